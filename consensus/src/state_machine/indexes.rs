//! CREATE and DROP INDEX. No operator uses an index; UNIQUE is a constraint, which the nodes check
//! over the rows there are before it is in force.

use trine_proto::catalog::{Catalog, IndexEntry, Subject, TableEntry};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

use super::{Request, ddl, malformed, names, retention, validation};
use crate::limits::RULES_MAX;

/// What is said of an index that is no constraint.
const NO_EFFECT: &str = "no query gets faster: every operator reads all rows, so that what is read \
                         says nothing about them";

/// Creates an index on a table of the caller's.
pub(super) fn create(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::CreateIndex,
) -> Result<Outcome, SqlError> {
    let at = request.index;
    let table = ddl::owned(catalog, request, &command.table, "create an index on")?;
    let columns = positions(table, &command.columns)?;
    let name = if command.name.is_empty() {
        free_name(catalog, &table.schema.name, &command.columns, "idx", at)
    } else {
        command.name.clone()
    };
    names::checked(&name)?;
    if let Err(error) = names::free(catalog, &name, at) {
        if command.if_not_exists {
            return Ok(Outcome::Nothing(at, format!("{}, skipping", error.message)));
        }
        return Err(error);
    }
    if table.rules.indexes.iter().filter(|i| i.dropped.is_none()).count() >= RULES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a table has at most {RULES_MAX} indexes"),
        ));
    }
    let id = table.id;
    let unique = command.unique;
    let index = IndexEntry { name, columns, unique, constraint: false, created: at, dropped: None };
    if unique && table.rows(at) == 0 && !validation::is_busy(catalog, id) {
        add(catalog, id, index);
        return Ok(Outcome::Applied(at));
    }
    if unique {
        let transaction = TransactionId(request.command_id);
        return validation::enqueue(catalog, at, transaction, id, Subject::Index(index));
    }
    add(catalog, id, index);
    Ok(Outcome::Nothing(at, NO_EFFECT.into()))
}

/// Drops an index of a table of the caller's.
pub(super) fn drop_index(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::DropIndex,
) -> Result<Outcome, SqlError> {
    let (name, at) = (&command.name, request.index);
    let Some((table, index)) = catalog.index(name, at) else {
        let error = names::undefined(catalog, "index", name, at);
        if command.if_exists && error.sqlstate == sqlstate::UNDEFINED_OBJECT {
            return Ok(Outcome::Nothing(at, format!("{}, skipping", error.message)));
        }
        return Err(error);
    };
    if index.constraint {
        return Err(SqlError::new(
            sqlstate::DEPENDENT_OBJECTS,
            format!(
                "cannot drop index \"{name}\" because a constraint of table \"{}\" requires it",
                table.schema.name
            ),
        )
        .hint("it is a part of the table's definition"));
    }
    refuse_referenced(catalog, table, &index.columns, at)?;
    let (id, schema_name) = (table.id, table.schema.name.clone());
    ddl::owned(catalog, request, &schema_name, "drop an index of")?;
    let keep_from = retention::oldest_unfinished(catalog);
    if let Some(table) = catalog.tables.get_mut(&id) {
        for index in table.rules.indexes.iter_mut().filter(|i| i.name == *name && i.exists(at)) {
            index.dropped = Some(at);
        }
        // What no unfinished query can plan with is forgotten.
        let needed = |end: LogIndex| keep_from.is_some_and(|oldest| oldest < end);
        table.rules.indexes.retain(|i| i.dropped.is_none_or(needed));
    }
    Ok(Outcome::Applied(at))
}

/// Puts an index into force.
pub(super) fn add(catalog: &mut Catalog, table: trine_proto::ids::TableId, index: IndexEntry) {
    if let Some(table) = catalog.tables.get_mut(&table) {
        table.rules.indexes.push(index);
    }
}

/// Positions of the columns of an index.
pub(super) fn positions(table: &TableEntry, columns: &[String]) -> Result<Vec<usize>, SqlError> {
    if columns.is_empty() {
        return Err(malformed("an index has columns"));
    }
    let mut positions = Vec::with_capacity(columns.len());
    for column in columns {
        let position = table.schema.position(column).ok_or_else(|| {
            SqlError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{column}\" does not exist"))
        })?;
        // A column named twice tells rows apart no better.
        if !positions.contains(&position) {
            positions.push(position);
        }
    }
    Ok(positions)
}

/// As PostgreSQL calls what has no name: table, columns, ending, and a number if that is taken.
pub(super) fn free_name(
    catalog: &Catalog,
    table: &str,
    columns: &[String],
    ending: &str,
    at: LogIndex,
) -> String {
    let mut base = format!("{table}_{}", columns.join("_"));
    base.truncate(base.floor_char_boundary(100));
    let mut name = format!("{base}_{ending}");
    let mut number = 0;
    while names::taken(catalog, &name, at).is_some() {
        number += 1;
        name = format!("{base}_{ending}{number}");
    }
    name
}

/// REFERENCES needs a key; the last one on those columns must stay.
fn refuse_referenced(
    catalog: &Catalog,
    table: &TableEntry,
    columns: &[usize],
    at: LogIndex,
) -> Result<(), SqlError> {
    let same =
        |other: &[usize]| other.len() == columns.len() && columns.iter().all(|c| other.contains(c));
    let keys = table.unique_keys(at).filter(|k| same(k)).count();
    let referring = catalog
        .tables
        .values()
        .filter(|t| t.exists(at))
        .find(|t| t.rules.references.iter().any(|r| r.table == table.id && same(&r.targets)));
    match referring {
        Some(other) if keys <= 1 => Err(SqlError::new(
            sqlstate::DEPENDENT_OBJECTS,
            format!(
                "cannot drop the index because table \"{}\" refers to its columns",
                other.schema.name
            ),
        )
        .hint("drop that table first")),
        _ => Ok(()),
    }
}
