//! Failures of single rows: noted as secret bits on the effective path, never acted upon.

use crate::column::Column;
use crate::error::Result;
use crate::expr::{eval, truth};
use crate::plan::{Expr, Failure};
use crate::relation::Relation;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// The value; raises `failure` in valid rows where the condition is TRUE. Costs the condition and
/// one AND; reveals nothing.
pub(super) fn check(
    value: &Expr,
    fails: &Expr,
    failure: Failure,
    relation: &mut Relation,
    s: &mut Session,
    want: Want,
) -> Result<Column> {
    let valid = relation.valid.iter().cloned().collect();
    let rows = truth([fails], valid, relation, s)?;
    s.raise(failure as u8, rows);
    eval(value, relation, s, want)
}

/// Runs a step as if only the rows with this bit were there: what fails in others does not count.
/// One AND where rows may be invalid already.
pub(crate) fn under<T>(
    guard: &Planes,
    relation: &mut Relation,
    s: &mut Session,
    step: impl FnOnce(&mut Relation, &mut Session) -> Result<T>,
) -> Result<T> {
    let before = relation.valid.take();
    relation.valid = Some(match &before {
        Some(valid) => protocol::and(s, valid, guard)?,
        None => guard.clone(),
    });
    let result = step(relation, s);
    relation.valid = before;
    result
}

/// One row for each kind of failure: whether it was raised in any row. About 3 bits a raised row.
pub(crate) fn gather(s: &mut Session) -> Result<Vec<(Failure, Planes)>> {
    let raised = s.take_raised();
    let mut found = Vec::new();
    for failure in Failure::ALL {
        let rows = raised
            .iter()
            .filter(|(kind, _)| *kind == failure as u8)
            .map(|(_, rows)| rows.clone())
            .reduce(|above, below| above.concat(&below));
        if let Some(rows) = rows {
            found.push((failure, protocol::or_all_rows(s, &rows)?));
        }
    }
    Ok(found)
}

/// OR of two single rows of failures, kind by kind.
pub(crate) fn merge(
    known: &mut Vec<(Failure, Planes)>,
    more: Vec<(Failure, Planes)>,
    s: &mut Session,
) -> Result<()> {
    for (failure, bit) in more {
        match known.iter_mut().find(|(kind, _)| *kind == failure) {
            Some((_, known)) => *known = protocol::or(s, known, &bit)?,
            None => known.push((failure, bit)),
        }
    }
    known.sort_by_key(|(kind, _)| *kind);
    Ok(())
}
