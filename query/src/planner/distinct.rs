//! How many different values some columns can have, whatever the data is: by the domains of their
//! types and by the rows of the relations that they come from. A GROUP BY has no more groups.

use super::build;
use crate::plan::{Expr, JoinKind, Literal, Operator, Plan, PublicRows};
use crate::types::Type;
use std::collections::BTreeSet;

type Columns = BTreeSet<usize>;

/// Different combinations of the values of expressions over a relation, at most.
pub(super) fn distinct(input: &Plan, exprs: &[Expr]) -> u64 {
    let sources = |exprs: &[Expr]| {
        let mut columns = Columns::new();
        exprs.iter().for_each(|e| build::columns_of(e, &mut columns));
        columns
    };
    let single = |e: &Expr| {
        let of_sources = of_columns(input, &sources(std::slice::from_ref(e)));
        domain(&e.ty, e.nullable).min(of_sources)
    };
    let product = exprs.iter().map(single).fold(1_u64, u64::saturating_mul);
    let together = if exprs.len() > 1 { of_columns(input, &sources(exprs)) } else { product };
    product.min(together).min(input.rows)
}

/// Values of a type.
fn domain(ty: &Type, nullable: bool) -> u64 {
    let values = match ty {
        Type::Boolean => 2,
        Type::Number { low, high, .. } => high
            .checked_sub(*low)
            .and_then(|d| u64::try_from(d).ok())
            .map_or(u64::MAX, |d| d.saturating_add(1)),
        Type::Text { .. } => u64::MAX,
    };
    values.saturating_add(u64::from(nullable))
}

fn of_columns(plan: &Plan, columns: &Columns) -> u64 {
    if columns.is_empty() {
        return 1;
    }
    let own = |plan: &Plan, columns: Columns| of_columns(plan, &columns);
    let split = |width: usize| -> (Columns, Columns) {
        let left = columns.iter().copied().filter(|c| *c < width).collect();
        (left, columns.iter().filter_map(|c| c.checked_sub(width)).collect())
    };
    let picked = |exprs: &[Expr]| -> Option<Vec<Expr>> {
        columns.iter().map(|c| exprs.get(*c).cloned()).collect()
    };
    let by_shape = match &plan.op {
        Operator::Filter { input, .. }
        | Operator::PublicFilter { input, .. }
        | Operator::Sort { input, .. }
        | Operator::Limit { input, .. }
        | Operator::Reveal { input, .. } => own(input, columns.clone()),
        Operator::Project { input, exprs } => {
            picked(exprs).map_or(u64::MAX, |e| distinct(input, &e))
        }
        Operator::SortAggregate { input, keys, .. }
        | Operator::SmallDomainAggregate { input, keys, .. } => {
            picked(keys).map_or(u64::MAX, |e| distinct(input, &e))
        }
        Operator::UniqueKeyJoin { kind, many, unique, .. } => {
            let (of_many, of_unique) = split(many.fields.len());
            let missing = u64::from(*kind == JoinKind::Left && !of_unique.is_empty());
            let of_unique = own(unique, of_unique).saturating_add(missing);
            own(many, of_many).saturating_mul(of_unique)
        }
        Operator::CrossJoin { left, right } | Operator::PublicJoin { left, right, .. } => {
            let (of_left, of_right) = split(left.fields.len());
            own(left, of_left).saturating_mul(own(right, of_right))
        }
        // Columns of the one row are the same beside all.
        Operator::OneRowJoin { input, .. } => own(input, split(input.fields.len()).0),
        Operator::Public { values, .. } => of_values(values, columns),
        Operator::PublicAggregate { keys, .. } => {
            let width = keys.columns().len();
            let (below, above) = split(width);
            if above.is_empty() { of_values(keys, &below) } else { u64::MAX }
        }
        Operator::PairAggregate { left: input, .. }
        | Operator::PublicColumns { input, .. }
        | Operator::Window { input, .. } => {
            let (below, above) = split(input.fields.len());
            if above.is_empty() { own(input, below) } else { u64::MAX }
        }
        Operator::UnionAll(inputs) => {
            inputs.iter().map(|input| own(input, columns.clone())).fold(0, u64::saturating_add)
        }
        Operator::Scan { .. }
        | Operator::Values(_)
        | Operator::ScalarAggregate { .. }
        | Operator::Again { .. } => u64::MAX,
    };
    by_shape.min(plan.rows)
}

/// Counted.
fn of_values(values: &PublicRows, columns: &Columns) -> u64 {
    let picked: Vec<_> = columns.iter().filter_map(|c| values.columns().get(*c)).collect();
    let rows: BTreeSet<Vec<&Literal>> =
        (0..values.rows()).map(|row| picked.iter().filter_map(|c| c.get(row)).collect()).collect();
    rows.len() as u64
}
