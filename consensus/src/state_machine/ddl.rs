//! CREATE and DROP TABLE, GRANT and REVOKE SELECT.

use std::collections::BTreeMap;

use trine_proto::catalog::{Catalog, TableEntry};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, TableId};
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

use super::principals::PUBLIC;
use super::{Request, malformed, retention, validation};
use crate::limits::TABLES_MAX;

/// Creates a table of the caller's.
pub(super) fn create_table(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::CreateTable,
) -> Result<Outcome, SqlError> {
    let schema = command.schema.as_ref().ok_or_else(|| malformed("the table has no schema"))?;
    let schema = TableSchema::try_from(schema)?;
    if catalog.table(&schema.name, request.index).is_some() {
        let message = format!("relation \"{}\" already exists", schema.name);
        if command.if_not_exists {
            return Ok(Outcome::Nothing(request.index, format!("{message}, skipping")));
        }
        return Err(SqlError::new(sqlstate::DUPLICATE_TABLE, message));
    }
    if catalog.tables.values().filter(|t| t.dropped.is_none()).count() >= TABLES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a cluster has at most {TABLES_MAX} tables"),
        ));
    }
    let id = TableId(catalog.next_table);
    catalog.next_table += 1;
    let entry = TableEntry {
        id,
        schema,
        owner: request.principal.name.clone(),
        created: request.index,
        dropped: None,
        segments: Vec::new(),
        grants: BTreeMap::new(),
    };
    catalog.tables.insert(id, entry);
    Ok(Outcome::TableCreated(request.index, id))
}

/// Drops a table of the caller's. Its segments stay listed: queries before this position read
/// them; the nodes delete the files later. Batches that wait for validation are aborted.
pub(super) fn drop_table(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::DropTable,
) -> Result<Outcome, SqlError> {
    let Some(table) = catalog.table(&command.table, request.index) else {
        if command.if_exists {
            let notice = format!("table \"{}\" does not exist, skipping", command.table);
            return Ok(Outcome::Nothing(request.index, notice));
        }
        return Err(undefined_table(&command.table));
    };
    let id = table.id;
    owned_mut(catalog, request, &command.table, "drop")?.dropped = Some(request.index);
    validation::table_dropped(catalog, request.index, id, &command.table);
    retention::tables(catalog);
    Ok(Outcome::Applied(request.index))
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
    let table = owned_mut(catalog, request, &command.table, "grant privileges on")?;
    if !known {
        return Err(SqlError::new(
            sqlstate::UNDEFINED_OBJECT,
            format!("principal \"{grantee}\" is not enrolled"),
        ));
    }
    let now = table.grants.get(grantee).and_then(|g| g.last()).is_some_and(|(_, yes)| *yes);
    if now == granted {
        let has = if granted { "already has" } else { "does not have" };
        let notice = format!("\"{grantee}\" {has} SELECT on \"{}\"", command.table);
        return Ok(Outcome::Nothing(request.index, notice));
    }
    let changes = table.grants.entry(grantee.clone()).or_default();
    let passed = changes.iter().filter(|(at, _)| *at <= oldest).count().saturating_sub(1);
    changes.drain(..passed);
    changes.push((request.index, granted));
    Ok(Outcome::Applied(request.index))
}

/// The table of this name, for a change that only its owner may make.
fn owned_mut<'a>(
    catalog: &'a mut Catalog,
    request: &Request,
    name: &str,
    verb: &str,
) -> Result<&'a mut TableEntry, SqlError> {
    let table = existing(catalog, name, request.index)?;
    if table.owner != request.principal.name {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("only its owner, \"{}\", may {verb} table \"{name}\"", table.owner),
        ));
    }
    let id = table.id;
    catalog.tables.get_mut(&id).ok_or_else(|| undefined_table(name))
}

/// The table of this name at a position.
pub(super) fn existing<'a>(
    catalog: &'a Catalog,
    name: &str,
    at: LogIndex,
) -> Result<&'a TableEntry, SqlError> {
    catalog.table(name, at).ok_or_else(|| undefined_table(name))
}

fn undefined_table(name: &str) -> SqlError {
    SqlError::new(sqlstate::UNDEFINED_TABLE, format!("table \"{name}\" does not exist"))
}
