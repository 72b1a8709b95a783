//! What CREATE TABLE demands of rows: defaults, checks, unique keys, references.

use std::collections::BTreeMap;

use trine_proto::catalog::{Catalog, CheckRule, IndexEntry, ReferenceRule, TableRules};
use trine_proto::ids::TableId;
use trine_proto::schema::{ColumnType, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

use super::{Request, indexes, malformed, names};
use crate::limits::{RULE_BYTES_MAX, RULES_MAX};

/// The rules of a table that is being created as `id`, checked against its schema and the catalog.
pub(super) fn of_table(
    catalog: &Catalog,
    request: &Request,
    id: TableId,
    schema: &TableSchema,
    rules: &wire::TableRules,
) -> Result<TableRules, SqlError> {
    let counts = [rules.checks.len(), rules.indexes.len(), rules.references.len()];
    if counts.iter().any(|n| *n > RULES_MAX) || rules.defaults.len() > schema.columns.len() {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a table has at most {RULES_MAX} constraints of a kind"),
        ));
    }
    let mut defaults = BTreeMap::new();
    for default in &rules.defaults {
        let column = positions(&[default.column], schema)?[0];
        text(&default.sql)?;
        defaults.insert(column, default.sql.clone());
    }
    let mut checks = Vec::with_capacity(rules.checks.len());
    for check in &rules.checks {
        names::checked(&check.name)?;
        text(&check.sql)?;
        checks.push(CheckRule { name: check.name.clone(), sql: check.sql.clone() });
    }
    let at = request.index;
    let mut unique: Vec<IndexEntry> = Vec::with_capacity(rules.indexes.len());
    for rule in &rules.indexes {
        let columns = positions(&rule.columns, schema)?;
        let name = if rule.name.is_empty() {
            let columns: Vec<String> =
                columns.iter().map(|c| schema.columns[*c].name.clone()).collect();
            indexes::free_name(catalog, &schema.name, &columns, "key", at)
        } else {
            rule.name.clone()
        };
        names::checked(&name)?;
        names::free(catalog, &name, at)?;
        if name == schema.name || unique.iter().any(|i| i.name == name) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists"),
            ));
        }
        let constraint = rule.constraint;
        unique.push(IndexEntry {
            name,
            columns,
            unique: rule.unique,
            constraint,
            created: at,
            dropped: None,
        });
    }
    let mut references = Vec::with_capacity(rules.references.len());
    for rule in &rules.references {
        references.push(reference(catalog, request, (id, schema, &unique), rule)?);
    }
    Ok(TableRules { defaults, checks, references, indexes: unique })
}

pub(super) fn text(sql: &str) -> Result<(), SqlError> {
    if sql.is_empty() || sql.len() > RULE_BYTES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a DEFAULT or CHECK has 1 to {RULE_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

fn positions(columns: &[u32], schema: &TableSchema) -> Result<Vec<usize>, SqlError> {
    let mut out: Vec<usize> = Vec::with_capacity(columns.len());
    for column in columns {
        match usize::try_from(*column) {
            Ok(c) if c < schema.columns.len() && !out.contains(&c) => out.push(c),
            _ => return Err(malformed("a rule names no column, or one twice")),
        }
    }
    if out.is_empty() { Err(malformed("a rule names no column")) } else { Ok(out) }
}

/// The key referred to must be one, of the same types, of a table of the same owner: a check against
/// another's rows would let whoever may insert ask for their keys one by one.
pub(super) fn reference(
    catalog: &Catalog,
    request: &Request,
    (id, schema, own_indexes): (TableId, &TableSchema, &[IndexEntry]),
    rule: &wire::ReferenceRule,
) -> Result<ReferenceRule, SqlError> {
    let at = request.index;
    names::checked(&rule.name)?;
    let columns = positions(&rule.columns, schema)?;
    let own = rule.table == schema.name;
    let target = catalog.table(&rule.table, at).filter(|_| !own);
    let (table, target_schema) = match target {
        Some(t) => (t.id, &t.schema),
        None if own => (id, schema),
        None => return Err(names::undefined(catalog, "table", &rule.table, at)),
    };
    if target.is_some_and(|t| t.owner != request.principal.name) {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for table {}", rule.table),
        )
        .hint("REFERENCES goes to tables of one's own: each INSERT would probe another's keys"));
    }
    let mut targets = Vec::with_capacity(columns.len());
    for name in &rule.targets {
        targets.push(target_schema.position(name).ok_or_else(|| {
            SqlError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{name}\" referenced in foreign key constraint does not exist"),
            )
        })?);
    }
    if targets.is_empty() {
        targets.clone_from(&target_schema.primary_key);
    }
    let same =
        |key: &[usize]| key.len() == targets.len() && targets.iter().all(|c| key.contains(c));
    let is_key = match target {
        Some(t) => t.unique_keys(at).any(same),
        None => {
            same(&schema.primary_key) || own_indexes.iter().any(|i| i.unique && same(&i.columns))
        }
    };
    if !is_key || targets.is_empty() || targets.len() != columns.len() {
        return Err(SqlError::new(
            "42830",
            format!(
                "there is no unique constraint matching given keys for referenced table \"{}\"",
                rule.table
            ),
        )
        .hint("REFERENCES goes to a PRIMARY KEY or UNIQUE of as many columns"));
    }
    for (column, target) in columns.iter().zip(&targets) {
        let (a, b) = (&schema.columns[*column], &target_schema.columns[*target]);
        if kind(&a.ty) != kind(&b.ty) {
            return Err(SqlError::new(
                sqlstate::DATATYPE_MISMATCH,
                format!(
                    "foreign key constraint \"{}\" cannot be implemented: \"{}\" and \"{}\" are of incompatible types",
                    rule.name, a.name, b.name
                ),
            ));
        }
    }
    Ok(ReferenceRule { name: rule.name.clone(), columns, table, targets })
}

/// Types of one kind compare with each other.
fn kind(ty: &ColumnType) -> u8 {
    match ty {
        ColumnType::Varchar { .. } => 0,
        ColumnType::Enum { .. } => 1,
        ColumnType::Boolean => 2,
        ColumnType::Date => 3,
        ColumnType::Timestamp => 5,
        _ => 4,
    }
}
