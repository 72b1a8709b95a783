//! The constraints of a table as rules over a batch.

use super::{Labelled, Rule};
use crate::bits;
use crate::error::Result;
use crate::frontend::{self, Positions, TrineTable, Writes};
use crate::plan::SegmentScan;
use crate::planner::Planner;
use crate::relation::Relation;
use crate::rules;
use crate::statement::on_a_large_stack;
use arrow::datatypes::DataType;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::alter::Demand;
use trine_proto::catalog::{Catalog, IndexEntry, ReferenceRule, TableEntry};
use trine_proto::ids::{LogIndex, TableId};
use trine_proto::schema::{Column, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, add_constraint, alter_action::Action};

/// Name under which the rows of a batch are found.
const BATCH: &str = "$batch";

/// Which constraints what is written can break.
pub(super) enum Scope<'a> {
    /// A batch that a client cut: all.
    Batch,
    /// The rows there are, under this index alone.
    Index(&'a IndexEntry),
    /// The rows there are, under what ALTER TABLE demands of them.
    Alter(&'a [Demand]),
    /// New rows of a statement: all but ranges, which it keeps by itself.
    Insert,
    /// New values in these columns.
    Update(&'a [usize]),
    /// Fewer rows: only what refers to them.
    Delete,
    /// All that a transaction wrote, beside what others committed since its statements were checked:
    /// what concerns more than one row. `removes`: rows of before may be gone.
    Transaction {
        /// See above.
        removes: bool,
    },
}

impl<'a> Scope<'a> {
    /// Of a statement.
    pub(super) fn of_write(writes: &'a Writes) -> Self {
        match writes {
            Writes::Insert(_) => Scope::Insert,
            Writes::Update(changed) => Scope::Update(changed),
            Writes::Delete => Scope::Delete,
        }
    }

    fn touches(&self, columns: &[usize]) -> bool {
        match self {
            Self::Batch | Self::Index(_) | Self::Insert | Self::Transaction { .. } => true,
            Self::Update(changed) => columns.iter().any(|c| changed.contains(c)),
            Self::Delete | Self::Alter(_) => false,
        }
    }
}

/// The constraints of a table that the `new` segments beside the `old` ones could break.
pub(super) fn of_table(
    catalog: &Catalog,
    table: &TableEntry,
    at: LogIndex,
    new: &[SegmentScan],
    old: &[SegmentScan],
    scope: &Scope<'_>,
) -> std::result::Result<Vec<Labelled>, SqlError> {
    let unique = |name: &str, columns: &[usize]| Labelled {
        label: format!("unique:{name}"),
        rule: Rule::Unique(columns.to_vec()),
    };
    if let Scope::Index(index) = scope {
        return Ok(vec![unique(&index.name, &index.columns)]);
    }
    let mut out = Vec::new();
    let key = &table.schema.primary_key;
    let demanded = |demand: Demand| matches!(scope, Scope::Alter(all) if all.contains(&demand));
    if !key.is_empty() && (scope.touches(key) || demanded(Demand::PrimaryKey)) {
        out.push(unique(&format!("{}_pkey", table.schema.name), key));
    }
    let indexes = table.rules.indexes.iter().filter(|i| i.unique && i.exists(at));
    let touched =
        |i: &&IndexEntry| scope.touches(&i.columns) || demanded(Demand::Unique(i.name.clone()));
    out.extend(indexes.filter(touched).map(|i| unique(&i.name, &i.columns)));
    if matches!(scope, Scope::Batch) {
        let ranged = table.schema.columns.iter().enumerate().filter(|(_, c)| c.may_leave_range());
        out.extend(ranged.map(|(position, c)| Labelled {
            label: format!("range:{}", c.name),
            rule: Rule::Range(position),
        }));
    }
    let statements = statements(catalog, table, at, scope);
    if statements.is_empty() {
        return Ok(out);
    }
    let over =
        |segments: Vec<SegmentScan>| TrineTable::over(table.id, table.schema.clone(), segments);
    let all: Vec<SegmentScan> = old.iter().chain(new).cloned().collect();
    let overlay = [(BATCH.to_owned(), over(new.to_vec())), (table.schema.name.clone(), over(all))];
    on_a_large_stack(|| {
        for (label, sql) in statements {
            let bound = frontend::bind_over(&sql, catalog, at, &table.owner, 0, &overlay)?;
            let positions = Positions::new(&sql);
            let plan = Planner::new(&positions, catalog.net_profile).found(&bound.plan)?;
            out.push(Labelled { label, rule: Rule::NoRow(Box::new(rules::apply(plan))) });
        }
        Ok(out)
    })
}

/// SELECTs that must find nothing, with their labels.
fn statements(
    catalog: &Catalog,
    table: &TableEntry,
    at: LogIndex,
    scope: &Scope<'_>,
) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if let Scope::Alter(demands) = scope {
        return demands.iter().filter_map(|d| demanded(catalog, table, d)).collect();
    }
    if !matches!(scope, Scope::Delete) {
        let single = table.rules.checks.iter();
        for check in single.filter(|_| !matches!(scope, Scope::Transaction { .. })) {
            out.push((format!("check:{}", check.name), falsified(&table.schema.name, &check.sql)));
        }
        for rule in table.rules.references.iter().filter(|r| scope.touches(&r.columns)) {
            let sql = orphans(catalog, &table.schema, BATCH, rule);
            out.extend(sql.map(|sql| (format!("reference:{}", rule.name), sql)));
        }
    }
    // Who refers to rows that may be gone now.
    let removes = |targets: &[usize]| match scope {
        Scope::Delete | Scope::Transaction { removes: true } => true,
        Scope::Update(changed) => targets.iter().any(|t| changed.contains(t)),
        _ => false,
    };
    for other in catalog.tables.values().filter(|t| t.exists(at)) {
        let rules = other.rules.references.iter();
        for rule in rules.filter(|r| r.table == table.id && removes(&r.targets)) {
            let sql = orphans(catalog, &other.schema, &other.schema.name, rule);
            out.extend(sql.map(|sql| (format!("reference:{}", rule.name), sql)));
        }
    }
    out
}

/// The SELECT that must find nothing for a demand of ALTER TABLE to hold, if it is one of single rows.
fn demanded(catalog: &Catalog, table: &TableEntry, demand: &Demand) -> Option<(String, String)> {
    let rules = &table.rules;
    match demand {
        Demand::NotNull(column) => {
            let name = &table.schema.columns.get(*column)?.name;
            let sql = format!("SELECT 1 FROM {} WHERE {} IS NULL", quoted(BATCH), quoted(name));
            Some((format!("column:{name}"), sql))
        }
        Demand::Check(name) => {
            let check = rules.checks.iter().find(|c| c.name == *name)?;
            Some((format!("check:{name}"), falsified(&table.schema.name, &check.sql)))
        }
        Demand::Reference(name) => {
            let rule = rules.references.iter().find(|r| r.name == *name)?;
            let sql = orphans(catalog, &table.schema, BATCH, rule)?;
            Some((format!("reference:{name}"), sql))
        }
        Demand::PrimaryKey | Demand::Unique(_) => None,
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Rows for which a CHECK is FALSE; unknown passes.
fn falsified(table: &str, condition: &str) -> String {
    format!("SELECT 1 FROM {} AS {} WHERE NOT ({condition})", quoted(BATCH), quoted(table))
}

/// Whether the conditions of CHECK can be used on rows of this schema: plans each once.
///
/// # Errors
/// What is wrong with the first that cannot, in the words of a condition; without a position.
pub fn check_conditions(
    schema: &TableSchema,
    checks: &[String],
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
) -> std::result::Result<(), SqlError> {
    let table = TrineTable::over(TableId::PARAMETERS, schema.clone(), Vec::new());
    let overlay = [(BATCH.to_owned(), table)];
    on_a_large_stack(|| {
        for condition in checks {
            let sql = falsified(&schema.name, condition);
            let planned = frontend::bind_over(&sql, catalog, at, principal, 0, &overlay);
            let planned = planned.and_then(|bound| {
                let positions = Positions::new(&sql);
                let planner = Planner::new(&positions, catalog.net_profile);
                planner.found(&bound.plan).map(drop)
            });
            let Err(error) = planned else { continue };
            // Its position would count in a text that nobody wrote.
            let error = SqlError { position: 0, ..error };
            let value = frontend::bind_over(
                &format!("SELECT ({condition}) FROM {}", quoted(BATCH)),
                catalog,
                at,
                principal,
                0,
                &overlay,
            );
            let ty = value.ok().map(|bound| bound.plan.schema().field(0).data_type().clone());
            return Err(match ty {
                Some(ty) if !matches!(ty, DataType::Boolean | DataType::Null) => SqlError::new(
                    sqlstate::DATATYPE_MISMATCH,
                    "the condition of CHECK must be a boolean",
                ),
                _ => error,
            });
        }
        Ok(())
    })
}

/// Whether the conditions of CHECK that an ALTER TABLE adds can be used on rows of the table with the
/// columns that it adds. What else is wrong with it the log says.
///
/// # Errors
/// As [`check_conditions`].
pub fn check_alteration(
    alter: &wire::AlterTable,
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
) -> std::result::Result<(), SqlError> {
    let Some(table) = catalog.table(&alter.table, at) else { return Ok(()) };
    let mut schema = table.schema.clone();
    let mut checks = Vec::new();
    for action in alter.actions.iter().filter_map(|a| a.action.as_ref()) {
        match action {
            Action::AddColumn(add) => {
                let added = add.column.as_ref().map(Column::try_from).transpose()?;
                let new = added.filter(|c| schema.position(&c.name).is_none());
                schema.columns.extend(new);
            }
            Action::AddConstraint(add) => {
                if let Some(add_constraint::Rule::Check(sql)) = &add.rule {
                    checks.push(sql.clone());
                }
            }
            _ => {}
        }
    }
    if checks.is_empty() {
        return Ok(());
    }
    check_conditions(&schema, &checks, catalog, at, principal)
}

/// Rows of `from` without NULL in the columns and without a partner.
fn orphans(
    catalog: &Catalog,
    schema: &TableSchema,
    from: &str,
    rule: &ReferenceRule,
) -> Option<String> {
    let target = catalog.tables.get(&rule.table)?;
    let mut present = Vec::new();
    let mut equal = Vec::new();
    for (column, key) in rule.columns.iter().zip(&rule.targets) {
        let column = quoted(&schema.columns.get(*column)?.name);
        let key = quoted(&target.schema.columns.get(*key)?.name);
        present.push(format!("\"$new\".{column} IS NOT NULL"));
        equal.push(format!("\"$key\".{key} = \"$new\".{column}"));
    }
    Some(format!(
        "SELECT 1 FROM {} AS \"$new\" WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS \"$key\" WHERE {})",
        quoted(from),
        present.join(" AND "),
        quoted(&target.schema.name),
        equal.join(" AND ")
    ))
}

/// For every row of a relation of one column whether its value leaves the range. One comparison with
/// a constant a row.
pub(super) fn outside(
    (low, high): (i64, i64),
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Option<Planes>> {
    let rows = relation.rows;
    let valid = relation.valid.clone();
    let Some(column) = relation.columns.first_mut().filter(|_| rows > 0) else { return Ok(None) };
    let planes = column.planes(s)?.clone();
    let span = (i128::from(high) - i128::from(low)).cast_unsigned() + 1;
    let below = protocol::less_than_constant(s, &planes, &bits::number_bits(span, planes.width()))?;
    let mut all = vec![below.not(s.party())];
    all.extend(column.null.as_ref().map(|null| null.not(s.party())));
    all.extend(valid);
    bits::and_tree(s, rows, all).map(Some)
}
