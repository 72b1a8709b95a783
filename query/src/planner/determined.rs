//! Which columns follow from others: within a relation, rows that agree in some columns agree in all
//! that are determined by them. A GROUP BY then sorts by fewer bits.

use super::build;
use crate::plan::{Expr, JoinKind, Operator, Plan};
use std::collections::BTreeSet;

type Columns = BTreeSet<usize>;

/// All columns that valid rows must agree in when they agree in `given`.
pub(super) fn determined(plan: &Plan, given: &Columns) -> Columns {
    let width = plan.fields.len();
    let mut all = match &plan.op {
        Operator::Scan { schema, columns, .. } => {
            let key: Option<Columns> =
                schema.primary_key.iter().map(|k| columns.iter().position(|c| c == k)).collect();
            let whole = key.is_some_and(|k| !k.is_empty() && k.is_subset(given));
            if whole { (0..width).collect() } else { Columns::new() }
        }
        Operator::Filter { input, .. }
        | Operator::PublicFilter { input, .. }
        | Operator::Sort { input, .. }
        | Operator::Limit { input, .. }
        | Operator::Reveal { input, .. } => determined(input, given),
        Operator::Window { input, .. } | Operator::PublicColumns { input, .. } => {
            determined(input, &below(given, width_of(input)))
        }
        Operator::PairAggregate { left, .. } => determined(left, &below(given, width_of(left))),
        // The one row is the same beside all.
        Operator::OneRowJoin { input, .. } => {
            let own = width_of(input);
            let mut all = determined(input, &below(given, own));
            all.extend(own..width);
            all
        }
        Operator::Project { input, exprs } => of_project(input, exprs, given),
        Operator::SortAggregate { keys, .. } | Operator::SmallDomainAggregate { keys, .. } => {
            let whole = (0..keys.len()).all(|k| given.contains(&k));
            if whole { (0..width).collect() } else { Columns::new() }
        }
        Operator::PublicAggregate { keys, .. } => {
            let whole = (0..keys.columns().len()).all(|k| given.contains(&k));
            if whole { (0..width).collect() } else { Columns::new() }
        }
        Operator::UniqueKeyJoin { .. } => of_join(plan, given),
        Operator::CrossJoin { left, right } | Operator::PublicJoin { left, right, .. } => {
            let own = width_of(left);
            let mut all = determined(left, &below(given, own));
            all.extend(determined(right, &above(given, own)).iter().map(|c| c + own));
            all
        }
        Operator::ScalarAggregate { .. } => (0..width).collect(),
        Operator::Values(_)
        | Operator::Public { .. }
        | Operator::UnionAll(_)
        | Operator::Again { .. } => Columns::new(),
    };
    all.extend(given.iter().copied());
    all
}

fn width_of(plan: &Plan) -> usize {
    plan.fields.len()
}

fn below(columns: &Columns, width: usize) -> Columns {
    columns.iter().copied().filter(|c| *c < width).collect()
}

fn above(columns: &Columns, width: usize) -> Columns {
    columns.iter().filter_map(|c| c.checked_sub(width)).collect()
}

fn columns_of(expr: &Expr) -> Columns {
    let mut columns = Columns::new();
    build::columns_of(expr, &mut columns);
    columns
}

fn of_project(input: &Plan, exprs: &[Expr], given: &Columns) -> Columns {
    let sources: Columns =
        given.iter().filter_map(|c| exprs.get(*c)).filter_map(build::plain_column).collect();
    let known = determined(input, &sources);
    let follows = |e: &Expr| columns_of(e).is_subset(&known);
    exprs.iter().enumerate().filter(|(_, e)| follows(e)).map(|(i, _)| i).collect()
}

/// The many side's key determines the unique row; in an inner join the keys of both sides are equal.
fn of_join(plan: &Plan, given: &Columns) -> Columns {
    let Operator::UniqueKeyJoin { kind, many, unique, many_keys, unique_keys, residual, .. } =
        &plan.op
    else {
        return Columns::new();
    };
    let own = width_of(many);
    let mut known = determined(many, &below(given, own));
    if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        return known;
    }
    let all_known =
        |keys: &[Expr], known: &Columns| keys.iter().all(|k| columns_of(k).is_subset(known));
    // Without a match all is NULL, which must not be mistaken for a NULL of the unique side.
    let certain =
        |c: &usize| *kind == JoinKind::Inner || unique.fields.get(*c).is_some_and(|f| !f.nullable);
    let given_unique: Columns = above(given, own).into_iter().filter(certain).collect();
    let of_unique = determined(unique, &given_unique);
    if *kind == JoinKind::Inner && all_known(unique_keys, &of_unique) {
        // What is equal to a known key is known too, if nothing was lost on the way.
        let equal = many_keys.iter().filter_map(build::plain_column);
        let more: Columns = known.iter().copied().chain(equal).collect();
        known = determined(many, &more);
    }
    let mut all = known.clone();
    // Whether a row of a left join matches may depend on more than its key.
    let free = *kind == JoinKind::Inner
        || residual.as_ref().is_none_or(|r| below(&columns_of(r), own).is_subset(&known));
    if free && all_known(many_keys, &known) {
        all.extend(own..width_of(plan));
    } else {
        all.extend(of_unique.iter().map(|c| c + own));
    }
    all
}

/// Splits grouping keys into those that are needed and those that follow from them: positions among
/// the keys. Wide keys are dropped first.
pub(super) fn split_keys(input: &Plan, keys: &[Expr]) -> (Vec<usize>, Vec<usize>) {
    let mut needed: Vec<usize> = (0..keys.len()).collect();
    let mut widest = needed.clone();
    widest.sort_by_key(|k| std::cmp::Reverse(keys.get(*k).map_or(0, |e| e.ty.bits())));
    let mut dropped = Vec::new();
    for key in widest {
        let Some(expr) = keys.get(key) else { continue };
        if needed.len() <= 1 {
            break;
        }
        let others: Columns = needed
            .iter()
            .filter(|k| **k != key)
            .filter_map(|k| keys.get(*k))
            .filter_map(build::plain_column)
            .collect();
        if columns_of(expr).is_subset(&determined(input, &others)) {
            needed.retain(|k| *k != key);
            dropped.push(key);
        }
    }
    dropped.sort_unstable();
    (needed, dropped)
}
