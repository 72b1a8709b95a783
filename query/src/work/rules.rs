//! The constraints of a table as rules over a batch.

use super::Rule;
use crate::bits;
use crate::error::Result;
use crate::frontend::{self, Positions, TrineTable};
use crate::plan::SegmentScan;
use crate::planner::Planner;
use crate::relation::Relation;
use crate::rules;
use crate::statement::on_a_large_stack;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::catalog::{Catalog, CheckRule, ReferenceRule, TableEntry};
use trine_proto::ids::LogIndex;
use trine_proto::schema::Column;
use trine_proto::status::SqlError;

/// Name under which the rows of a batch are found.
const BATCH: &str = "$batch";

/// All constraints of a table, for the `new` segments beside the `old` ones.
pub(super) fn of_table(
    catalog: &Catalog,
    table: &TableEntry,
    at: LogIndex,
    new: &[SegmentScan],
    old: &[SegmentScan],
) -> std::result::Result<Vec<Rule>, SqlError> {
    let mut out: Vec<Rule> = table.unique_keys(at).map(|k| Rule::Unique(k.to_vec())).collect();
    let ranged =
        table.schema.columns.iter().enumerate().filter(|(_, c)| Column::may_leave_range(c));
    out.extend(ranged.map(|(position, _)| Rule::Range(position)));
    if table.rules.checks.is_empty() && table.rules.references.is_empty() {
        return Ok(out);
    }
    let over =
        |segments: Vec<SegmentScan>| TrineTable::over(table.id, table.schema.clone(), segments);
    let all: Vec<SegmentScan> = old.iter().chain(new).copied().collect();
    let overlay = [(BATCH.to_owned(), over(new.to_vec())), (table.schema.name.clone(), over(all))];
    let mut statements: Vec<String> =
        table.rules.checks.iter().map(|check| falsified(table, check)).collect();
    for reference in &table.rules.references {
        statements.extend(orphans(catalog, table, reference));
    }
    on_a_large_stack(|| {
        for sql in &statements {
            let bound = frontend::bind_over(sql, catalog, at, &table.owner, 0, &overlay)?;
            let positions = Positions::new(sql);
            let plan = Planner::new(&positions, catalog.net_profile).found(&bound.plan)?;
            out.push(Rule::NoRow(Box::new(rules::apply(plan))));
        }
        Ok(out)
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Rows for which a CHECK is FALSE; unknown passes.
fn falsified(table: &TableEntry, check: &CheckRule) -> String {
    let name = quoted(&table.schema.name);
    format!("SELECT 1 FROM {} AS {name} WHERE NOT ({})", quoted(BATCH), check.sql)
}

/// Rows without NULL in the columns and without a partner.
fn orphans(catalog: &Catalog, table: &TableEntry, rule: &ReferenceRule) -> Option<String> {
    let target = catalog.tables.get(&rule.table)?;
    let mut present = Vec::new();
    let mut equal = Vec::new();
    for (column, key) in rule.columns.iter().zip(&rule.targets) {
        let column = quoted(&table.schema.columns.get(*column)?.name);
        let key = quoted(&target.schema.columns.get(*key)?.name);
        present.push(format!("\"$new\".{column} IS NOT NULL"));
        equal.push(format!("\"$key\".{key} = \"$new\".{column}"));
    }
    Some(format!(
        "SELECT 1 FROM {} AS \"$new\" WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS \"$key\" WHERE {})",
        quoted(BATCH),
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
