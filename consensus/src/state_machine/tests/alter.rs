//! ALTER TABLE.

use super::objects::{index, view};
use super::*;
use trine_proto::alter::{Constant, Origin};
use trine_proto::catalog::Verdict;
use trine_proto::status::sqlstate;
use trine_proto::wire::{add_constraint::Rule, alter_action::Action};

fn alter(table: &str, actions: Vec<Action>) -> Asked {
    let actions = actions.into_iter().map(|a| wire::AlterAction { action: Some(a) }).collect();
    Asked::AlterTable(wire::AlterTable { table: table.into(), if_exists: false, actions })
}

fn names(from: &str, to: &str) -> wire::Rename {
    wire::Rename { from: from.into(), to: to.into() }
}

fn add(name: &str, nullable: bool, value: Option<i64>) -> Action {
    let fill = value.map(|v| wire::ColumnFill { value: Some(wire::column_fill::Value::Number(v)) });
    Action::AddColumn(wire::AddColumn {
        column: Some(wire::ColumnSchema {
            name: name.into(),
            kind: wire::TypeKind::Int.into(),
            nullable,
            ..Default::default()
        }),
        if_not_exists: false,
        default_sql: value.map_or_else(String::new, |v| v.to_string()),
        fill,
    })
}

fn part(name: &str, cascade: bool) -> wire::DropPart {
    wire::DropPart { name: name.into(), if_exists: false, cascade }
}

fn rule(name: &str, rule: Rule) -> Action {
    Action::AddConstraint(wire::AddConstraint { name: name.into(), rule: Some(rule) })
}

fn columns(names: &[&str]) -> wire::ColumnNames {
    wire::ColumnNames { names: names.iter().map(|n| (*n).to_owned()).collect() }
}

impl World {
    fn columns_of(&self, table: &str) -> Vec<String> {
        self.entry(table).schema.columns.iter().map(|c| c.name.clone()).collect()
    }
    fn origins(&self, table: &str) -> Vec<Origin> {
        let segments = &self.entry(table).segments;
        segments[0].layout.as_ref().unwrap().columns.clone()
    }
}

#[test]
fn columns_come_and_go_and_stored_segments_are_found_by_their_layout() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let before = world.entry("t").clone();
    let at = world.catalog.applied;
    applied(
        &world
            .ann(alter("t", vec![add("n", true, Some(7)), Action::DropColumn(part("id", false))])),
    );
    assert_eq!(world.columns_of("t"), ["value", "n"]);
    let number = Origin::Constant(Constant::Number(7));
    assert_eq!(world.origins("t"), [Origin::Before(1), number.clone()]);
    let now = world.entry("t").clone();
    assert_ne!(now.id, before.id);
    assert_eq!(now.segments[0].home(now.id), before.id);
    assert_eq!(now.rules.defaults[&1], "7");
    // What reads at an older position sees the table as it was.
    let old = world.catalog.table("t", at).unwrap();
    assert_eq!((old.id, &old.schema, old.rows(at)), (before.id, &before.schema, 5));
    assert!(world.catalog.is_altered(before.id));
    // A second change looks through the first.
    applied(&world.ann(alter("t", vec![add("m", true, None)])));
    let null = Origin::Constant(Constant::Null);
    assert_eq!(world.origins("t"), [Origin::Before(1), number, null]);
    assert_eq!(world.entry("t").segments[0].home(world.entry("t").id), before.id);
}

#[test]
fn errors_are_those_of_postgresql() {
    let mut world = World::new();
    world.table("t", true);
    world.table("u", false);
    let mut fails = |table: &str, action: Action, state: &str, message: &str| {
        let outcome = world.ann(alter(table, vec![action]));
        let error = refused(&outcome);
        assert_eq!((error.sqlstate.as_str(), error.message.as_str()), (state, message));
    };
    let rename = |from, to| Action::RenameColumn(names(from, to));
    let no = "column \"x\" of relation \"t\" does not exist";
    fails("nix", rename("x", "y"), sqlstate::UNDEFINED_TABLE, "table \"nix\" does not exist");
    fails("t", rename("x", "y"), sqlstate::UNDEFINED_COLUMN, no);
    fails("t", Action::DropColumn(part("x", false)), sqlstate::UNDEFINED_COLUMN, no);
    let twice = "column \"id\" of relation \"t\" already exists";
    fails("t", rename("value", "id"), sqlstate::DUPLICATE_COLUMN, twice);
    fails("t", add("id", true, None), sqlstate::DUPLICATE_COLUMN, twice);
    let taken = "relation \"u\" already exists";
    fails("t", Action::RenameTable("u".into()), sqlstate::DUPLICATE_TABLE, taken);
    let null = wire::SetNotNull { column: "id".into(), not_null: false };
    let in_key = "column \"id\" is in a primary key";
    fails("t", Action::SetNotNull(null), sqlstate::INVALID_TABLE_DEFINITION, in_key);
    let many = "multiple primary keys for table \"t\" are not allowed";
    let key = Rule::PrimaryKey(columns(&["value"]));
    fails("t", rule("", key), sqlstate::INVALID_TABLE_DEFINITION, many);
    let none = "constraint \"c\" of relation \"t\" does not exist";
    fails("t", Action::DropConstraint(part("c", false)), sqlstate::UNDEFINED_OBJECT, none);
    let named = "column \"x\" named in key does not exist";
    fails("t", rule("", Rule::Unique(columns(&["x"]))), sqlstate::UNDEFINED_COLUMN, named);
    let taken = "constraint \"t_pkey\" for relation \"t\" already exists";
    let check = Rule::Check("id > 0".into());
    fails("t", rule("t_pkey", check), sqlstate::DUPLICATE_OBJECT, taken);
    let denied = world.bob(alter("t", vec![rename("id", "x")]));
    refused_with(&denied, sqlstate::INSUFFICIENT_PRIVILEGE);
}

#[test]
fn what_depends_on_a_column_holds_it_or_goes_with_cascade() {
    let mut world = World::new();
    world.table("t", true);
    let reference = wire::ForeignKey {
        columns: vec!["value".into()],
        table: "t".into(),
        targets: vec!["id".into()],
    };
    world.table("child", false);
    applied(&world.ann(alter("child", vec![rule("fk", Rule::ForeignKey(reference))])));
    let mut over = view("v", &["t"]);
    over.sql = "SELECT id FROM t".into();
    assert!(matches!(world.ann(Asked::CreateView(over)), Outcome::TableCreated(..)));
    assert!(matches!(world.ann(Asked::CreateView(view("w", &["v"]))), Outcome::TableCreated(..)));
    let drop = |cascade| alter("t", vec![Action::DropColumn(part("id", cascade))]);
    let outcome = world.ann(drop(false));
    assert_eq!(
        refused(&outcome).message,
        "cannot drop column \"id\" of table \"t\" because view \"v\" depends on it"
    );
    let rename = alter("t", vec![Action::RenameColumn(names("id", "key"))]);
    refused_with(&world.ann(rename), sqlstate::DEPENDENT_OBJECTS);
    // The other column no view names; but the key must stay for the other table.
    applied(&world.ann(alter("t", vec![Action::RenameColumn(names("value", "amount"))])));
    let pkey = alter("t", vec![Action::DropConstraint(part("t_pkey", false))]);
    let outcome = world.ann(pkey);
    assert_eq!(
        refused(&outcome).message,
        "cannot drop constraint \"t_pkey\" of table \"t\" because constraint \"fk\" on table \"child\" \
         depends on it"
    );
    let outcome = world.ann(drop(true));
    assert_eq!(
        nothing(&outcome),
        "drop cascades to view \"v\"; drop cascades to view \"w\"; drop cascades to constraint \"fk\" \
         on table \"child\""
    );
    assert!(world.catalog.view("w", world.catalog.applied).is_none());
    assert!(world.entry("child").rules.references.is_empty());
    assert!(world.entry("t").schema.primary_key.is_empty());
    assert_eq!(world.columns_of("t"), ["amount"]);
    let outcome = world.ann(alter("t", vec![Action::DropColumn(part("amount", false))]));
    refused_with(&outcome, sqlstate::FEATURE_NOT_SUPPORTED);
}

#[test]
fn rules_follow_their_columns() {
    let mut world = World::new();
    world.table("t", false);
    applied(&world.ann(alter(
        "t",
        vec![
            add("c", true, None),
            rule("", Rule::Check("value > 0 AND t.value < 9".into())),
            rule("", Rule::Check("id > 0".into())),
            rule("", Rule::Unique(columns(&["c", "value"]))),
        ],
    )));
    applied(&world.ann(alter("t", vec![Action::DropColumn(part("id", false))])));
    let rules = world.entry("t").rules.clone();
    assert_eq!(rules.checks.len(), 1);
    assert_eq!(rules.indexes[0].name, "t_c_value_key");
    assert_eq!(rules.indexes[0].columns, [1, 0]);
    applied(&world.ann(alter("t", vec![Action::RenameColumn(names("value", "v"))])));
    applied(&world.ann(alter("t", vec![Action::RenameTable("s".into())])));
    assert_eq!(world.entry("s").rules.checks[0].sql, "\"v\" > 0 AND \"s\".\"v\" < 9");
    // A table may take the name that has become free.
    world.table("t", false);
}

#[test]
fn what_it_demands_of_rows_is_checked_first_and_loads_wait_behind_it() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let unique = || alter("t", vec![rule("", Rule::Unique(columns(&["value"])))]);
    assert!(matches!(world.ann(unique()), Outcome::Validating(_)));
    assert!(matches!(world.load(2, &table, 5), Outcome::Validating(_)));
    let (id, attempt) = world.waiting()[0];
    assert_eq!(attempt, 1);
    world.say(id, Verdict::Violated);
    let TransactionState::Aborted(_, error) = &world.catalog.transactions[&id] else {
        panic!("aborted")
    };
    assert_eq!(error.sqlstate, sqlstate::UNIQUE_VIOLATION);
    assert_eq!(
        error.message,
        "could not create unique index \"t_value_key\": the table contains duplicated values"
    );
    world.say(transaction(2), Verdict::Holds);
    // Rules change in place: the table's batches are as good as before.
    let id_before = world.entry("t").id;
    assert!(matches!(world.ann(unique()), Outcome::Validating(_)));
    let (id, _) = world.waiting()[0];
    assert!(matches!(world.load(3, &table, 5), Outcome::Validating(_)));
    world.say(id, Verdict::Holds);
    assert_eq!(world.entry("t").id, id_before);
    assert_eq!(world.waiting(), [(transaction(3), 1)]);
    assert_eq!(world.entry("t").unique_keys(world.catalog.applied).count(), 1);
}

#[test]
fn what_was_cut_for_the_columns_before_is_refused() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let receipts = world.receipts(2, &table, 5);
    let commit = world.cluster.commit(&receipts);
    // There and back: the schema is the same, the version is not.
    applied(&world.ann(alter("t", vec![Action::RenameTable("s".into())])));
    applied(&world.ann(alter("s", vec![Action::RenameTable("t".into())])));
    assert_eq!(world.entry("t").schema.digest(), table.digest());
    refused_with(&world.ann(commit), "55000");
    // A batch that waits behind a check is given up with it, a later one is welcome.
    let not_null = wire::SetNotNull { column: "id".into(), not_null: false };
    applied(&world.ann(alter("t", vec![Action::SetNotNull(not_null)])));
    let mut nullable = table.clone();
    nullable.columns[0].nullable = true;
    let not_null = wire::SetNotNull { column: "id".into(), not_null: true };
    let outcome = world.ann(alter("t", vec![Action::SetNotNull(not_null)]));
    assert!(matches!(outcome, Outcome::Validating(_)), "{outcome:?}");
    let (id, _) = world.waiting()[0];
    assert!(matches!(world.load(3, &nullable, 5), Outcome::Validating(_)));
    world.say(id, Verdict::Holds);
    let TransactionState::Aborted(_, error) = world.state(3) else { panic!("given up") };
    assert_eq!(error.sqlstate, sqlstate::SERIALIZATION_FAILURE);
    assert!(matches!(world.load(4, &table, 5), Outcome::Committed(_)));
    assert_eq!(world.entry("t").rows(world.catalog.applied), 10);
}

#[test]
fn an_open_transaction_goes_on_reading_and_cannot_write_any_more() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.table("other", false);
    world.load(1, &table, 5);
    let mut early = world.begin();
    let mut late = world.begin();
    world.load_in(&mut early, 2, &table, 3);
    applied(&world.ann(alter("t", vec![add("n", true, None)])));
    // What it sees is the version of its snapshot, with what it wrote there.
    let open = match &world.catalog.transactions[&early.id] {
        TransactionState::Open(open) => open.clone(),
        other => panic!("{other:?}"),
    };
    let seen = world.catalog.within(open.snapshot, &open.written);
    let old = seen.table("t", open.snapshot).unwrap();
    assert_eq!((old.schema.columns.len(), old.rows(open.snapshot)), (2, 8));
    refused_with(&world.commit_open(&early), sqlstate::SERIALIZATION_FAILURE);
    let outcome = world.submit_in(&mut late, "t", wire::WriteKind::Rewrite);
    refused_with(&outcome, sqlstate::SERIALIZATION_FAILURE);
}

#[test]
fn statements_that_wait_run_over_the_table_as_it_is_then() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let write = || writes::write("t", wire::WriteKind::Rewrite);
    assert!(matches!(world.ann(write()), Outcome::Validating(_)));
    let outcome = world.ann(alter("t", vec![add("n", true, None)]));
    assert!(matches!(outcome, Outcome::Validating(_)), "{outcome:?}");
    assert!(matches!(world.ann(write()), Outcome::Validating(_)));
    let waiting = world.waiting();
    assert_eq!(waiting.iter().map(|w| w.1).collect::<Vec<_>>(), [1, 0, 0]);
    for party in 0..3 {
        let verdict = writes::staged(party, 5, [0, 1, 2]);
        world.node(
            party,
            NodeCommandKind::Verdict { transaction: waiting[0].0, attempt: 1, verdict },
        );
    }
    // The change was in force with its turn, and the statement behind it runs.
    assert!(matches!(world.catalog.transactions[&waiting[1].0], TransactionState::Committed(_)));
    let TransactionState::Validating(next) = &world.catalog.transactions[&waiting[2].0] else {
        panic!("runs")
    };
    assert_eq!((next.attempt, next.table), (1, world.entry("t").id));
    assert!(world.entry("t").segments[0].layout.is_some());
}

#[test]
fn indexes_and_self_references_are_moved() {
    let mut world = World::new();
    world.table("t", true);
    let key =
        wire::ForeignKey { columns: vec!["value".into()], table: "t".into(), targets: vec![] };
    applied(&world.ann(alter("t", vec![rule("", Rule::ForeignKey(key)), add("n", true, None)])));
    nothing(&world.ann(index("i", &["n"], false)));
    applied(
        &world.ann(alter("t", vec![Action::DropColumn(part("n", false)), add("m", true, None)])),
    );
    let entry = world.entry("t");
    assert!(entry.rules.indexes.is_empty());
    let rule = &entry.rules.references[0];
    assert_eq!((rule.name.as_str(), rule.table), ("t_fkey", entry.id));
    assert_eq!((&rule.columns[..], &rule.targets[..]), (&[1][..], &[0][..]));
}
