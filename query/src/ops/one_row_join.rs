//! One-row join: a scalar subquery's row beside every row of the input.

use crate::bits;
use crate::error::{QueryError, Result};
use crate::relation::Relation;
use trine_mpc::Session;

/// Local, but for one OR a column where the one row may be missing: then its columns are NULL.
pub(crate) fn one_row_join(
    mut input: Relation,
    one: &Relation,
    s: &mut Session,
) -> Result<Relation> {
    if one.rows != 1 {
        return Err(QueryError::bug("the one side of a one-row join has another row count"));
    }
    let missing = one.valid.as_ref().map(|v| v.not(s.party()));
    for column in &one.columns {
        let null = bits::or_optional(s, column.null.as_ref(), missing.as_ref())?;
        let column = column.clone().with_null(null);
        input.columns.push(column.repeat_row(s, input.rows));
    }
    Ok(input)
}
