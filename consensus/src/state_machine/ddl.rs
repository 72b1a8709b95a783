//! CREATE and DROP TABLE, GRANT and REVOKE SELECT.

use std::collections::BTreeMap;

use trine_proto::catalog::{Catalog, Grants, TableEntry};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, TableId};
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

use super::principals::PUBLIC;
use super::{Request, malformed, names, retention, rules, schemas, validation, views};
use crate::limits::TABLES_MAX;

/// Creates a table of the caller's.
pub(super) fn create_table(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::CreateTable,
) -> Result<Outcome, SqlError> {
    let schema = command.schema.as_ref().ok_or_else(|| malformed("the table has no schema"))?;
    let schema = TableSchema::try_from(schema)?;
    if let Err(error) = names::free(catalog, &schema.name, request.index) {
        if command.if_not_exists {
            return Ok(Outcome::Nothing(request.index, format!("{}, skipping", error.message)));
        }
        return Err(error);
    }
    schemas::may_create(catalog, request, &schema.name)?;
    if catalog.tables.values().filter(|t| t.dropped.is_none()).count() >= TABLES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a cluster has at most {TABLES_MAX} tables"),
        ));
    }
    let none = wire::TableRules::default();
    let rules = command.rules.as_ref().unwrap_or(&none);
    let next = TableId(catalog.next_table);
    let rules = rules::of_table(catalog, request, next, &schema, rules)?;
    let id = names::next_id(catalog);
    let entry = TableEntry {
        id,
        schema,
        owner: request.principal.name.clone(),
        created: request.index,
        dropped: None,
        segments: Vec::new(),
        grants: BTreeMap::new(),
        rules,
        replaces: None,
    };
    catalog.tables.insert(id, entry);
    Ok(Outcome::TableCreated(request.index, id))
}

/// Drops a table of the caller's; with CASCADE the views over it and the references to it too. Its
/// segments stay listed: queries before this position read them; the nodes delete the files later.
/// Work that waits for the table is given up.
pub(super) fn drop_table(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::DropTable,
) -> Result<Outcome, SqlError> {
    let at = request.index;
    let Some(table) = catalog.table(&command.table, at) else {
        let error = names::undefined(catalog, "table", &command.table, at);
        if command.if_exists && error.sqlstate == sqlstate::UNDEFINED_TABLE {
            return Ok(Outcome::Nothing(at, format!("{}, skipping", error.message)));
        }
        return Err(error);
    };
    let id = table.id;
    owned(catalog, request, &command.table, "drop")?;
    let refers = |t: &TableEntry| {
        t.id != id && t.exists(at) && t.rules.references.iter().any(|r| r.table == id)
    };
    if let Some(other) = catalog.tables.values().find(|t| refers(t)).filter(|_| !command.cascade) {
        return Err(SqlError::new(
            sqlstate::DEPENDENT_OBJECTS,
            format!(
                "cannot drop table \"{}\" because table \"{}\" refers to it",
                command.table, other.schema.name
            ),
        )
        .hint("use DROP … CASCADE to drop the constraint too"));
    }
    let what = format!("table \"{}\"", command.table);
    let notice = views::drop_dependents(catalog, at, id, &what, command.cascade)?;
    for other in catalog.tables.values_mut().filter(|t| t.id != id) {
        other.rules.references.retain(|r| r.table != id);
    }
    if let Some(table) = catalog.tables.get_mut(&id) {
        table.dropped = Some(at);
    }
    validation::table_dropped(catalog, at, id, &command.table);
    retention::tables(catalog);
    retention::views(catalog);
    Ok(notice.map_or(Outcome::Applied(at), |n| Outcome::Nothing(at, n)))
}

/// GRANT (`granted`) or REVOKE SELECT.
pub(super) fn grant(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::Grant,
    granted: bool,
) -> Result<Outcome, SqlError> {
    let grantee = &command.principal;
    let known = grantee == PUBLIC || catalog.principals.contains_key(grantee);
    // A query plans against the grants at its own position: of what lies before the oldest
    // unfinished one only the latest counts.
    let oldest = retention::oldest_unfinished(catalog).unwrap_or(request.index);
    let grants = grants_mut(catalog, request, &command.table)?;
    if !known {
        return Err(SqlError::new(
            sqlstate::UNDEFINED_OBJECT,
            format!("principal \"{grantee}\" is not enrolled"),
        ));
    }
    let now = grants.get(grantee).and_then(|g| g.last()).is_some_and(|(_, yes)| *yes);
    if now == granted {
        let has = if granted { "already has" } else { "does not have" };
        let notice = format!("\"{grantee}\" {has} SELECT on \"{}\"", command.table);
        return Ok(Outcome::Nothing(request.index, notice));
    }
    let changes = grants.entry(grantee.clone()).or_default();
    let passed = changes.iter().filter(|(at, _)| *at <= oldest).count().saturating_sub(1);
    changes.drain(..passed);
    changes.push((request.index, granted));
    Ok(Outcome::Applied(request.index))
}

/// The grants of the table or view of this name, for a change that only its owner may make.
fn grants_mut<'a>(
    catalog: &'a mut Catalog,
    request: &Request,
    name: &str,
) -> Result<&'a mut Grants, SqlError> {
    let verb = "grant privileges on";
    if let Some(view) = catalog.view(name, request.index) {
        if view.owner != request.principal.name {
            return Err(not_owner("view", name, &view.owner, verb));
        }
        let id = view.id;
        return catalog
            .views
            .get_mut(&id)
            .map(|v| &mut v.grants)
            .ok_or_else(|| malformed("a view"));
    }
    let id = owned(catalog, request, name, verb)?.id;
    catalog.tables.get_mut(&id).map(|t| &mut t.grants).ok_or_else(|| undefined_table(name))
}

fn not_owner(kind: &str, name: &str, owner: &str, verb: &str) -> SqlError {
    SqlError::new(
        sqlstate::INSUFFICIENT_PRIVILEGE,
        format!("only its owner, \"{owner}\", may {verb} {kind} \"{name}\""),
    )
}

/// The table of this name, for a change that only its owner may make.
pub(super) fn owned<'a>(
    catalog: &'a Catalog,
    request: &Request,
    name: &str,
    verb: &str,
) -> Result<&'a TableEntry, SqlError> {
    let table = existing(catalog, name, request.index)?;
    if table.owner != request.principal.name {
        return Err(not_owner("table", name, &table.owner, verb));
    }
    Ok(table)
}

/// The table of this name at a position.
pub(super) fn existing<'a>(
    catalog: &'a Catalog,
    name: &str,
    at: LogIndex,
) -> Result<&'a TableEntry, SqlError> {
    catalog.table(name, at).ok_or_else(|| names::undefined(catalog, "table", name, at))
}

fn undefined_table(name: &str) -> SqlError {
    SqlError::new(sqlstate::UNDEFINED_TABLE, format!("table \"{name}\" does not exist"))
}
