//! Limit: a public slice of the valid rows.

use crate::error::{QueryError, Result};
use crate::plan::{Operator, Plan};
use crate::relation::{Relation, compact, shuffle};
use crate::want::Want;
use trine_mpc::Session;

/// Whether a plan puts its valid rows first, in an order that is no secret of the storage.
pub(crate) fn valid_rows_come_first(plan: &Plan) -> bool {
    match &plan.op {
        Operator::Sort { .. } | Operator::Limit { .. } | Operator::ScalarAggregate { .. } => true,
        Operator::Project { input, .. } => valid_rows_come_first(input),
        _ => false,
    }
}

/// Local where the valid rows come first. Else a shuffle and a stable partition: which rows are
/// kept must not tell in what order they were stored.
pub(crate) fn limit(
    input: Relation,
    in_front: bool,
    skip: u64,
    fetch: Option<u64>,
    wants: &[Want],
    s: &mut Session,
) -> Result<Relation> {
    let rows = u64::try_from(input.rows).map_err(|_| QueryError::bug("more rows than memory"))?;
    let start = skip.min(rows);
    let end = fetch.map_or(rows, |fetch| start.saturating_add(fetch).min(rows));
    let index = |row: u64| usize::try_from(row).map_err(|_| QueryError::bug("rows of a slice"));
    let range = index(start)?..index(end)?;
    if range.is_empty() {
        return Ok(input.slice(s, range));
    }
    let ready = if in_front {
        input
    } else {
        let shuffled = shuffle(input, wants, s)?;
        compact(shuffled, wants, s)?
    };
    Ok(ready.slice(s, range))
}
