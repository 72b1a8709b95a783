//! Indexes, views, and what a table demands of its rows.

use super::*;
use trine_proto::catalog::{Subject, Verdict};
use trine_proto::status::sqlstate;

pub(super) fn index(name: &str, columns: &[&str], unique: bool) -> Asked {
    Asked::CreateIndex(wire::CreateIndex {
        name: name.into(),
        table: "t".into(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        unique,
        if_not_exists: false,
    })
}

pub(super) fn view(name: &str, depends: &[&str]) -> wire::CreateView {
    wire::CreateView {
        name: name.into(),
        sql: "SELECT 1".into(),
        depends: depends.iter().map(|d| (*d).to_owned()).collect(),
        ..Default::default()
    }
}

fn drop_index(name: &str, if_exists: bool) -> Asked {
    Asked::DropIndex(wire::DropIndex { name: name.into(), if_exists })
}

fn drop_view(name: &str, cascade: bool) -> Asked {
    Asked::DropView(wire::DropView { name: name.into(), if_exists: false, cascade })
}

impl World {
    /// Work that waits or runs, oldest first, with the id of its transaction.
    pub(super) fn waiting(&self) -> Vec<(TransactionId, u32)> {
        let mut work: Vec<_> = self
            .catalog
            .transactions
            .iter()
            .filter_map(|(id, state)| match state {
                TransactionState::Validating(v) => Some((v.queued, *id, v.attempt)),
                _ => None,
            })
            .collect();
        work.sort_unstable();
        work.into_iter().map(|(_, id, attempt)| (id, attempt)).collect()
    }
    pub(super) fn say(&mut self, id: TransactionId, verdict: Verdict) {
        for party in 0..3 {
            self.node(party, NodeCommandKind::Verdict { transaction: id, attempt: 1, verdict });
        }
    }
}

#[test]
fn an_index_is_a_name_and_unique_is_a_constraint() {
    let mut world = World::new();
    let table = world.table("t", false);
    assert!(nothing(&world.ann(index("i", &["id"], false))).starts_with("no query gets faster"));
    refused_with(&world.ann(index("i", &["id"], false)), sqlstate::DUPLICATE_TABLE);
    refused_with(&world.ann(index("t", &["id"], false)), sqlstate::DUPLICATE_TABLE);
    refused_with(&world.ann(index("j", &["nix"], true)), sqlstate::UNDEFINED_COLUMN);
    refused_with(&world.bob(index("j", &["id"], true)), sqlstate::INSUFFICIENT_PRIVILEGE);
    // On an empty table there is nothing to check.
    applied(&world.ann(index("", &["id"], true)));
    let entry = world.entry("t");
    assert_eq!(entry.rules.indexes[1].name, "t_id_idx");
    assert!(entry.is_constrained(world.catalog.applied));
    assert!(matches!(world.load(1, &table, 5), Outcome::Validating(_)));
    world.say(transaction(1), Verdict::Violated);
    let TransactionState::Aborted(_, error) = world.state(1) else { panic!("aborted") };
    assert_eq!(error.sqlstate, sqlstate::UNIQUE_VIOLATION);
    assert_eq!(error.message, "duplicate key value violates unique constraint \"t_id_idx\"");
    applied(&world.ann(drop_index("t_id_idx", false)));
    assert!(matches!(world.load(2, &table, 5), Outcome::Committed(_)));
    refused_with(&world.ann(drop_index("t_id_idx", false)), sqlstate::UNDEFINED_OBJECT);
    let skipped = world.ann(drop_index("t_id_idx", true));
    assert_eq!(nothing(&skipped), "index \"t_id_idx\" does not exist, skipping");
    refused_with(&world.ann(drop_index("t", true)), sqlstate::WRONG_OBJECT_TYPE);
}

#[test]
fn a_unique_index_over_rows_is_checked_and_loads_wait_behind_it() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let outcome = world.ann(index("u", &["id"], true));
    assert!(matches!(outcome, Outcome::Validating(_)), "{outcome:?}");
    // A batch that came in now could break what is being checked.
    assert!(matches!(world.load(2, &table, 5), Outcome::Validating(_)));
    let waiting = world.waiting();
    assert_eq!(waiting.iter().map(|(_, attempt)| *attempt).collect::<Vec<_>>(), [1, 0]);
    assert!(world.entry("t").rules.indexes.is_empty());
    world.say(waiting[0].0, Verdict::Holds);
    assert_eq!(world.entry("t").rules.indexes[0].name, "u");
    // Now the batch is checked, against the index too.
    assert_eq!(world.waiting(), [(transaction(2), 1)]);
    world.say(transaction(2), Verdict::Holds);
    assert_eq!(world.entry("t").rows(world.catalog.applied), 10);
    let outcome = world.ann(index("v", &["id"], true));
    assert!(matches!(outcome, Outcome::Validating(_)));
    let (id, _) = world.waiting()[0];
    world.say(id, Verdict::Violated);
    let TransactionState::Aborted(_, error) = &world.catalog.transactions[&id] else {
        panic!("aborted")
    };
    assert_eq!(
        error.message,
        "could not create unique index \"v\": table \"t\" contains duplicated values"
    );
    assert_eq!(world.entry("t").rules.indexes.len(), 1);
}

#[test]
fn views_share_names_with_tables_and_hold_what_they_name() {
    let mut world = World::new();
    world.table("t", false);
    let create = |v: wire::CreateView| Asked::CreateView(v);
    assert!(matches!(world.bob(create(view("v", &["t", "nix"]))), Outcome::TableCreated(..)));
    refused_with(&world.ann(create(view("v", &[]))), sqlstate::DUPLICATE_TABLE);
    refused_with(&world.ann(create(view("t", &[]))), sqlstate::DUPLICATE_TABLE);
    refused_with(&world.ann(super::create("v", false, false)), sqlstate::DUPLICATE_TABLE);
    let again = wire::CreateView { if_not_exists: true, ..view("v", &[]) };
    assert_eq!(nothing(&world.ann(create(again))), "relation \"v\" already exists, skipping");
    assert!(matches!(world.ann(create(view("w", &["v"]))), Outcome::TableCreated(..)));
    let replaced = |or_replace| wire::CreateView { or_replace, ..view("v", &["t"]) };
    refused_with(&world.ann(create(replaced(true))), sqlstate::INSUFFICIENT_PRIVILEGE);
    assert!(matches!(world.bob(create(replaced(true))), Outcome::TableCreated(..)));
    refused_with(&world.ann(drop_table("t", false)), sqlstate::DEPENDENT_OBJECTS);
    refused_with(&world.bob(drop_view("v", false)), sqlstate::DEPENDENT_OBJECTS);
    refused_with(&world.ann(drop_view("v", true)), sqlstate::INSUFFICIENT_PRIVILEGE);
    refused_with(&world.ann(drop_view("t", true)), sqlstate::WRONG_OBJECT_TYPE);
    let all = wire::DropTable { table: "t".into(), if_exists: false, cascade: true };
    assert_eq!(nothing(&world.ann(Asked::DropTable(all))), "drop cascades to 2 views");
    let at = world.catalog.applied;
    assert!(world.catalog.view("v", at).is_none() && world.catalog.view("w", at).is_none());
}

#[test]
fn select_on_a_view_is_granted_by_its_owner() {
    let mut world = World::new();
    assert!(matches!(world.ann(Asked::CreateView(view("v", &[]))), Outcome::TableCreated(..)));
    let grant = wire::Grant { table: "v".into(), principal: "bob".into() };
    refused_with(&world.bob(Asked::Grant(grant.clone())), sqlstate::INSUFFICIENT_PRIVILEGE);
    let may = |world: &World| {
        let at = world.catalog.applied;
        world.catalog.view("v", at).unwrap().may_select("bob", at)
    };
    assert!(!may(&world));
    applied(&world.ann(Asked::Grant(grant.clone())));
    assert!(may(&world));
    applied(&world.ann(Asked::Revoke(grant)));
    assert!(!may(&world));
}

#[test]
fn references_go_to_keys_of_ones_own_tables() {
    let mut world = World::new();
    world.table("p", true);
    let child = |table: &str, targets: &[&str]| {
        let reference = wire::ReferenceRule {
            name: "f".into(),
            columns: vec![0],
            table: table.into(),
            targets: targets.iter().map(|t| (*t).to_owned()).collect(),
        };
        Asked::CreateTable(wire::CreateTable {
            schema: Some(schema("c", false)),
            if_not_exists: false,
            rules: Some(wire::TableRules { references: vec![reference], ..Default::default() }),
        })
    };
    refused_with(&world.ann(child("nix", &[])), sqlstate::UNDEFINED_TABLE);
    refused_with(&world.bob(child("p", &[])), sqlstate::INSUFFICIENT_PRIVILEGE);
    refused_with(&world.ann(child("p", &["nix"])), sqlstate::UNDEFINED_COLUMN);
    refused_with(&world.ann(child("c", &[])), "42830");
    assert!(matches!(world.ann(child("p", &[])), Outcome::TableCreated(..)));
    refused_with(&world.ann(drop_table("p", false)), sqlstate::DEPENDENT_OBJECTS);
    let all = wire::DropTable { table: "p".into(), if_exists: false, cascade: true };
    applied(&world.ann(Asked::DropTable(all)));
    assert!(world.entry("c").rules.references.is_empty());
}

#[test]
fn a_batch_under_several_constraints_does_not_say_which_failed() {
    let mut world = World::new();
    let check = wire::CheckRule { name: "positive".into(), sql: "id > 0".into() };
    let asked = wire::CreateTable {
        schema: Some(schema("t", true)),
        if_not_exists: false,
        rules: Some(wire::TableRules { checks: vec![check], ..Default::default() }),
    };
    assert!(matches!(world.ann(Asked::CreateTable(asked)), Outcome::TableCreated(..)));
    let table = world.entry("t").schema.clone();
    world.load(1, &table, 5);
    let TransactionState::Validating(v) = world.state(1) else { panic!("a validation") };
    assert!(matches!(v.subject, Subject::Batch(_)));
    world.say(transaction(1), Verdict::Violated);
    let TransactionState::Aborted(_, error) = world.state(1) else { panic!("aborted") };
    assert_eq!(error.sqlstate, sqlstate::INTEGRITY_VIOLATION);
    assert_eq!(error.message, "a constraint of table \"t\" is violated");
}
