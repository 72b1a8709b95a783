//! CREATE and DROP TABLE, GRANT, REVOKE.

use super::*;
use trine_proto::ids::TableId;
use trine_proto::status::sqlstate;

#[test]
fn tables_are_numbered_in_order() {
    let mut world = World::new();
    for (number, name) in (0..).zip(["a", "b", "c"]) {
        let outcome = world.ann(create(name, false, false));
        assert_eq!(outcome, Outcome::TableCreated(outcome.index(), TableId(number)));
        let entry = world.entry(name);
        assert_eq!((entry.owner.as_str(), entry.created), ("ann", outcome.index()));
    }
    // A number is never used again.
    applied(&world.ann(drop_table("c", false)));
    let again = world.ann(create("c", false, false));
    assert_eq!(again, Outcome::TableCreated(again.index(), TableId(3)));
}

#[test]
fn a_name_is_taken_once() {
    let mut world = World::new();
    world.table("t", false);
    refused_with(&world.bob(create("t", true, false)), sqlstate::DUPLICATE_TABLE);
    let outcome = world.bob(create("t", true, true));
    assert_eq!(nothing(&outcome), "relation \"t\" already exists, skipping");
    assert_eq!(world.entry("t").owner, "ann");
}

#[test]
fn a_bad_schema_is_refused_with_its_own_error() {
    let mut world = World::new();
    let mut twice = schema("t", false);
    twice.columns[1].name = "id".into();
    let asked = wire::CreateTable { schema: Some(twice), ..Default::default() };
    refused_with(&world.ann(Asked::CreateTable(asked)), sqlstate::DUPLICATE_COLUMN);
    let none = wire::CreateTable::default();
    refused_with(&world.ann(Asked::CreateTable(none)), sqlstate::PROTOCOL_VIOLATION);
    assert!(world.catalog.tables.is_empty());
}

#[test]
fn a_dropped_table_stays_for_earlier_positions() {
    let mut world = World::new();
    let table = world.table("t", false);
    let loaded = world.load(1, &table, 5).index();
    refused_with(&world.bob(drop_table("t", false)), sqlstate::INSUFFICIENT_PRIVILEGE);
    let admin = world.admin(drop_table("t", false));
    refused_with(&admin, sqlstate::INSUFFICIENT_PRIVILEGE);
    let dropped = world.ann(drop_table("t", false));
    applied(&dropped);
    assert!(world.catalog.table("t", dropped.index()).is_none());
    let old = world.catalog.table("t", loaded).unwrap();
    assert_eq!((old.rows(loaded), old.segments.len()), (5, 1));
    refused_with(&world.ann(drop_table("t", false)), sqlstate::UNDEFINED_TABLE);
    let skipped = world.ann(drop_table("t", true));
    assert_eq!(nothing(&skipped), "table \"t\" does not exist, skipping");
}

#[test]
fn grants_hold_between_their_positions() {
    let mut world = World::new();
    world.table("t", false);
    let on = select_on("t", "bob");
    let before = world.catalog.applied;
    let granted = world.ann(Asked::Grant(on.clone()));
    applied(&granted);
    nothing(&world.ann(Asked::Grant(on.clone())));
    // A query at this position still plans with the grant after it is revoked.
    world.ann(query("SELECT 1"));
    let at = world.catalog.applied;
    applied(&world.ann(Asked::Revoke(on.clone())));
    nothing(&world.ann(Asked::Revoke(on)));
    let entry = world.entry("t");
    let may = |at| entry.may_select("bob", at);
    assert_eq!([may(before), may(granted.index()), may(at)], [false, true, true]);
    assert!(!may(world.catalog.applied));
    assert!(entry.may_select("ann", before));
}

#[test]
fn a_grant_to_public_reaches_everyone() {
    let mut world = World::new();
    world.table("t", false);
    applied(&world.ann(Asked::Grant(select_on("t", "public"))));
    assert!(world.entry("t").may_select("bob", world.catalog.applied));
}

#[test]
fn grants_name_what_exists_and_come_from_the_owner() {
    let mut world = World::new();
    world.table("t", false);
    let outcome = world.bob(Asked::Grant(select_on("t", "bob")));
    refused_with(&outcome, sqlstate::INSUFFICIENT_PRIVILEGE);
    let outcome = world.ann(Asked::Grant(select_on("t", "nobody")));
    refused_with(&outcome, sqlstate::UNDEFINED_OBJECT);
    let outcome = world.ann(Asked::Revoke(select_on("t", "nobody")));
    refused_with(&outcome, sqlstate::UNDEFINED_OBJECT);
    let outcome = world.ann(Asked::Grant(select_on("u", "bob")));
    refused_with(&outcome, sqlstate::UNDEFINED_TABLE);
}

#[test]
fn flipping_a_grant_does_not_grow_the_state() {
    let mut world = World::new();
    world.table("t", false);
    for _ in 0..20 {
        applied(&world.ann(Asked::Grant(select_on("t", "bob"))));
        applied(&world.ann(Asked::Revoke(select_on("t", "bob"))));
    }
    assert_eq!(world.entry("t").grants["bob"].len(), 2);
    assert!(!world.entry("t").may_select("bob", world.catalog.applied));
}
