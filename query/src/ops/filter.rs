//! Filter: a row stays valid where the predicate is TRUE. Rows and columns do not move.

use crate::error::Result;
use crate::expr::truth;
use crate::plan::Expr;
use crate::relation::Relation;
use trine_mpc::Session;

/// Costs the predicate and one AND with the valid bit; reveals nothing.
pub(crate) fn filter(mut input: Relation, predicate: &Expr, s: &mut Session) -> Result<Relation> {
    let also = input.valid.iter().cloned().collect();
    let valid = truth([predicate], also, &mut input, s)?;
    Ok(Relation { valid: Some(valid), ..input })
}
