//! Which columns tell the valid rows of a relation apart, and which relations have one row.

use super::build;
use crate::plan::{
    Compare, Expr, ExprKind, JoinKind, Literal, Operator, Plan, PublicRows, WindowKind,
};
use std::collections::BTreeSet;

/// Sets of columns, each unique among valid rows without NULL in it. An empty set: at most one row.
pub(super) fn unique_keys(plan: &Plan) -> BTreeSet<BTreeSet<usize>> {
    if plan.rows <= 1 {
        return BTreeSet::from([BTreeSet::new()]);
    }
    match &plan.op {
        Operator::Scan { schema, columns, .. } => {
            let key: Option<BTreeSet<usize>> =
                schema.primary_key.iter().map(|k| columns.iter().position(|c| c == k)).collect();
            key.filter(|k| !k.is_empty()).into_iter().collect()
        }
        Operator::Public { values, .. } => of_values(values),
        Operator::PublicAggregate { keys, .. } => {
            BTreeSet::from([(0..keys.columns().len()).collect()])
        }
        Operator::PublicFilter { input, .. } | Operator::PublicColumns { input, .. } => {
            unique_keys(input)
        }
        Operator::PublicJoin { left, right, left_rows, right_rows, .. } => {
            let width = left.fields.len();
            let mut keys = BTreeSet::new();
            if left_rows.is_injective() {
                keys.extend(unique_keys(left));
            }
            if right_rows.is_injective() {
                let right = unique_keys(right);
                keys.extend(right.iter().map(|set| set.iter().map(|c| c + width).collect()));
            }
            keys
        }
        Operator::Filter { input, predicate } => {
            let mut keys = unique_keys(input);
            let constant = constant_columns(predicate);
            if !constant.is_empty() {
                let fewer: Vec<BTreeSet<usize>> =
                    keys.iter().map(|k| k.difference(&constant).copied().collect()).collect();
                keys.extend(fewer);
            }
            with_equals(&mut keys, &equal_columns(predicate));
            keys
        }
        Operator::Project { input, exprs } => {
            let place =
                |column: &usize| exprs.iter().position(|e| build::plain_column(e) == Some(*column));
            unique_keys(input)
                .iter()
                .filter_map(|key| key.iter().map(place).collect::<Option<BTreeSet<usize>>>())
                .collect()
        }
        Operator::SortAggregate { keys, determined, .. } => {
            let needed = keys.len().saturating_sub(*determined as usize);
            BTreeSet::from([(0..needed).collect()])
        }
        Operator::SmallDomainAggregate { keys, .. } => BTreeSet::from([(0..keys.len()).collect()]),
        Operator::UniqueKeyJoin {
            kind: JoinKind::Inner,
            many,
            unique,
            many_keys,
            unique_keys,
            ..
        } => of_join(many, unique, many_keys, unique_keys),
        Operator::UniqueKeyJoin { many, .. } => unique_keys(many),
        Operator::PairAggregate { left, .. } => unique_keys(left),
        Operator::CrossJoin { left, right } => {
            let width = left.fields.len();
            let right = unique_keys(right);
            let mut out = BTreeSet::new();
            for x in unique_keys(left) {
                for y in &right {
                    out.insert(x.iter().copied().chain(y.iter().map(|c| c + width)).collect());
                }
            }
            out
        }
        Operator::Window { input, partition, functions, .. } => {
            let mut keys = unique_keys(input);
            let columns: Option<BTreeSet<usize>> =
                partition.iter().map(build::plain_column).collect();
            let number = functions.iter().position(|f| f.kind == WindowKind::RowNumber);
            if let (Some(mut columns), Some(number)) = (columns, number) {
                columns.insert(input.fields.len() + number);
                keys.insert(columns);
            }
            keys
        }
        Operator::OneRowJoin { input, .. }
        | Operator::Sort { input, .. }
        | Operator::Limit { input, .. }
        | Operator::Reveal { input, .. } => unique_keys(input),
        Operator::UnionAll(inputs) => match inputs.as_slice() {
            [only] => unique_keys(only),
            _ => BTreeSet::new(),
        },
        Operator::Values(_) | Operator::ScalarAggregate { .. } | Operator::Again { .. } => {
            BTreeSet::new()
        }
    }
}

/// Single columns of public values that do not repeat; all columns together where no single one does.
fn of_values(values: &PublicRows) -> BTreeSet<BTreeSet<usize>> {
    let columns = values.columns();
    let mut keys: BTreeSet<BTreeSet<usize>> = BTreeSet::new();
    for (index, column) in columns.iter().enumerate() {
        let distinct: BTreeSet<_> = column.iter().filter(|v| **v != Literal::Null).collect();
        if distinct.len() == column.iter().filter(|v| **v != Literal::Null).count() {
            keys.insert(BTreeSet::from([index]));
        }
    }
    if keys.is_empty() {
        let rows: BTreeSet<Vec<&Literal>> = (0..values.rows())
            .map(|row| columns.iter().filter_map(|c| c.get(row)).collect())
            .collect();
        if rows.len() == values.rows() {
            keys.insert((0..columns.len()).collect());
        }
    }
    keys
}

/// Sets that a derivation keeps at most.
const SETS_MAX: usize = 32;

/// Of an inner join: the many side's keys, also by the columns that they are equal to; the unique
/// side's too where each of its rows has one match at most.
fn of_join(
    many: &Plan,
    unique: &Plan,
    many_keys: &[Expr],
    unique_keys_of_join: &[Expr],
) -> BTreeSet<BTreeSet<usize>> {
    let width = many.fields.len();
    let pairs: Vec<(usize, usize)> = many_keys
        .iter()
        .zip(unique_keys_of_join)
        .filter_map(|(m, u)| Some((build::plain_column(m)?, build::plain_column(u)? + width)))
        .collect();
    let mut keys = unique_keys(many);
    if is_unique(many, many_keys) {
        keys.extend(unique_keys(unique).iter().map(|set| set.iter().map(|c| c + width).collect()));
    }
    with_equals(&mut keys, &pairs);
    keys
}

/// Adds the same sets by columns that are equal to others.
fn with_equals(keys: &mut BTreeSet<BTreeSet<usize>>, pairs: &[(usize, usize)]) {
    for (a, b) in pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]) {
        let swapped: Vec<BTreeSet<usize>> = keys
            .iter()
            .filter(|set| set.contains(&a))
            .map(|set| set.iter().map(|c| if *c == a { b } else { *c }).collect())
            .collect();
        for set in swapped {
            if keys.len() < SETS_MAX {
                keys.insert(set);
            }
        }
    }
}

/// Pairs of columns that a predicate sets equal.
fn equal_columns(predicate: &Expr) -> Vec<(usize, usize)> {
    match &predicate.kind {
        ExprKind::And(parts) => parts.iter().flat_map(equal_columns).collect(),
        ExprKind::Compare { op: Compare::Eq, left, right } => {
            build::plain_column(left).zip(build::plain_column(right)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Columns that a predicate sets equal to a constant.
fn constant_columns(predicate: &Expr) -> BTreeSet<usize> {
    match &predicate.kind {
        ExprKind::And(parts) => parts.iter().flat_map(constant_columns).collect(),
        ExprKind::Compare { op: Compare::Eq, left, right } => {
            let column = match (build::literal(left), build::literal(right)) {
                (None, Some(_)) => build::plain_column(left),
                (Some(_), None) => build::plain_column(right),
                _ => None,
            };
            column.into_iter().collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Whether a key over the relation is unique: a set of plain columns of it is.
pub(super) fn is_unique(plan: &Plan, key: &[Expr]) -> bool {
    let columns: BTreeSet<usize> = key.iter().filter_map(build::plain_column).collect();
    unique_keys(plan).iter().any(|set| set.is_subset(&columns))
}

/// Whether at most one row is valid.
pub(super) fn at_most_one(plan: &Plan) -> bool {
    unique_keys(plan).contains(&BTreeSet::new())
}

/// Whether exactly one row is there, and valid.
pub(super) fn exactly_one(plan: &Plan) -> bool {
    match &plan.op {
        Operator::ScalarAggregate { .. } => true,
        Operator::Values(rows) => rows.len() == 1,
        Operator::Public { values, .. } => values.rows() == 1,
        Operator::PublicColumns { input, .. } => exactly_one(input),
        Operator::Project { input, .. } | Operator::Sort { input, .. } => exactly_one(input),
        Operator::OneRowJoin { input, .. } => exactly_one(input),
        Operator::PairAggregate { left, .. } => exactly_one(left),
        Operator::UniqueKeyJoin { kind: JoinKind::Left, many, .. } => exactly_one(many),
        _ => false,
    }
}
