//! Union all: rows of the inputs one after the other, under common bounds.

use crate::column::concat;
use crate::error::{QueryError, Result};
use crate::plan::Field;
use crate::relation::Relation;
use crate::want::Want;
use trine_mpc::Session;

/// Local where the bounds agree or an encoding does not depend on them; else one adder a number.
pub(crate) fn union_all(
    inputs: Vec<Relation>,
    fields: &[Field],
    wants: &[Want],
    s: &mut Session,
) -> Result<Relation> {
    if inputs.is_empty() || inputs.iter().any(|r| r.columns.len() != fields.len()) {
        return Err(QueryError::bug("the inputs of UNION ALL differ in columns"));
    }
    let rows = inputs.iter().map(|r| r.rows).sum();
    let valid = if inputs.iter().any(|r| r.valid.is_some()) {
        inputs.iter().map(|r| r.valid_bit(s)).reduce(|above, below| above.concat(&below))
    } else {
        None
    };
    let mut sources: Vec<_> = inputs.into_iter().map(|r| r.columns.into_iter()).collect();
    let mut columns = Vec::with_capacity(fields.len());
    for (field, want) in fields.iter().zip(wants) {
        let parts = sources.iter_mut().filter_map(Iterator::next).collect();
        columns.push(concat(s, parts, &field.ty, *want)?);
    }
    Ok(Relation { rows, valid, columns })
}
