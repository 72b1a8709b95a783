//! CREATE and DROP SCHEMA.

use super::objects::view;
use super::*;
use trine_proto::status::sqlstate;
use trine_proto::wire::alter_action::Action;

fn create_schema(name: &str) -> Asked {
    Asked::CreateSchema(wire::CreateSchema { name: name.into(), if_not_exists: false })
}

fn drop_schema(name: &str, cascade: bool) -> Asked {
    Asked::DropSchema(wire::DropSchema { name: name.into(), if_exists: false, cascade })
}

#[test]
fn relations_live_in_schemas_of_their_owner() {
    let mut world = World::new();
    refused_with(&world.ann(create("s.t", false, false)), sqlstate::UNDEFINED_SCHEMA);
    applied(&world.ann(create_schema("s")));
    refused_with(&world.ann(create_schema("s")), sqlstate::DUPLICATE_SCHEMA);
    refused_with(&world.ann(create_schema("public")), sqlstate::DUPLICATE_SCHEMA);
    refused_with(&world.ann(create_schema("pg_x")), sqlstate::RESERVED_NAME);
    refused_with(&world.bob(create("s.t", false, false)), sqlstate::INSUFFICIENT_PRIVILEGE);
    world.table("t", false);
    world.table("s.t", false);
    assert_ne!(world.entry("t").id, world.entry("s.t").id);
    let rename = wire::AlterTable {
        table: "s.t".into(),
        if_exists: false,
        actions: vec![wire::AlterAction { action: Some(Action::RenameTable("u".into())) }],
    };
    applied(&world.ann(Asked::AlterTable(rename)));
    assert_eq!(world.entry("s.u").schema.name, "s.u");
    // A view outside holds nothing but what it reads.
    let outcome = world.ann(Asked::CreateView(view("v", &["s.u"])));
    assert!(matches!(outcome, Outcome::TableCreated(..)), "{outcome:?}");
    refused_with(&world.bob(drop_schema("s", true)), sqlstate::INSUFFICIENT_PRIVILEGE);
    refused_with(&world.ann(drop_schema("s", false)), sqlstate::DEPENDENT_OBJECTS);
    refused_with(&world.ann(drop_schema("public", true)), sqlstate::FEATURE_NOT_SUPPORTED);
    let outcome = world.ann(drop_schema("s", true));
    assert_eq!(nothing(&outcome), "drop cascades to 1 other objects");
    refused_with(&world.ann(drop_schema("s", true)), sqlstate::UNDEFINED_SCHEMA);
    let at = world.catalog.applied;
    assert!(world.catalog.table("s.u", at).is_none() && world.catalog.view("v", at).is_none());
    assert!(world.catalog.table("t", at).is_some());
}
