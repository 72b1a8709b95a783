//! Sort aggregate: GROUP BY over keys of any domain, and DISTINCT. As many sorts as there are
//! different arguments of MIN, MAX and DISTINCT aggregates, one at least.

use crate::error::{QueryError, Result};
use crate::ops::group_key::group_key;
use crate::ops::group_pass::{Input, Pass, run};
use crate::ops::scalar_aggregate::is_extreme;
use crate::plan::{Aggregate, Expr};
use crate::relation::Relation;
use crate::want::Want;
use trine_mpc::Session;

/// How rows are grouped.
pub(crate) struct GroupBy<'a> {
    /// All keys.
    pub(crate) keys: &'a [Expr],
    /// So many of them, from the first, tell groups apart.
    pub(crate) needed: usize,
    /// Whether rows of a group stand together already.
    pub(crate) presorted: bool,
    /// No more groups than these.
    pub(crate) groups: usize,
    /// How the columns of the result are used: keys, then aggregates.
    pub(crate) wants: &'a [Want],
}

/// Groups by the first `needed` keys, from which the others follow; one row for each of the groups that
/// there can be. Costs what its passes cost; all groups of all passes line up, because every pass puts its
/// groups in key order to the front. Reveals nothing.
pub(crate) fn sort_aggregate(
    mut relation: Relation,
    by: &GroupBy<'_>,
    aggregates: &[Aggregate],
    s: &mut Session,
) -> Result<Relation> {
    // Without aggregates every row stays in the order of the sort, groups marked among them.
    let groups = if aggregates.is_empty() { relation.rows } else { by.groups.min(relation.rows) };
    let mut key = group_key(by.keys, &mut relation, s)?;
    key.determined(by.keys.len().saturating_sub(by.needed));
    key.presorted = by.presorted;
    if by.presorted && aggregates.iter().any(|a| a.distinct || is_extreme(a)) {
        return Err(QueryError::bug(
            "an order of values is asked for, and the rows are not sorted",
        ));
    }
    let mut columns: Vec<Option<crate::column::Column>> = vec![None; aggregates.len()];
    let mut valid = None;
    let mut key_columns = Vec::new();
    let passes = passes(aggregates);
    let wants = by.wants.get(by.keys.len()..).unwrap_or_default();
    let mut input = Input { relation, key, groups, aggregates, wants };
    for (index, pass) in passes.iter().enumerate() {
        let grouped = run(pass, &mut input, index + 1 == passes.len(), s)?;
        for (position, column) in grouped.columns {
            columns[position] = Some(column);
        }
        if index == 0 {
            valid = Some(grouped.valid);
            key_columns = grouped.keys.map_or_else(Vec::new, |planes| input.key.columns(&planes));
        }
    }
    let aggregates: Option<Vec<_>> = columns.into_iter().collect();
    let Some(aggregates) = aggregates else {
        return Err(QueryError::bug("a pass left an aggregate out"));
    };
    key_columns.extend(aggregates);
    Ok(Relation { rows: groups, valid, columns: key_columns })
}

/// One pass for each (FILTER, argument) whose order is asked for; the first also does the rest.
fn passes(aggregates: &[Aggregate]) -> Vec<Pass> {
    let mut passes: Vec<Pass> = vec![Pass::default()];
    for (index, aggregate) in aggregates.iter().enumerate() {
        if !aggregate.distinct && !is_extreme(aggregate) {
            passes[0].plain.push(index);
            continue;
        }
        let same = |pass: &Pass| {
            pass.ordered.first().is_none_or(|&other| {
                let other = &aggregates[other];
                other.filter == aggregate.filter && other.argument == aggregate.argument
            })
        };
        match passes.iter_mut().find(|pass| same(pass)) {
            Some(pass) => pass.ordered.push(index),
            None => passes.push(Pass { plain: Vec::new(), ordered: vec![index] }),
        }
    }
    passes
}
