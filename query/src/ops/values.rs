//! Values: public rows (a SELECT without FROM).

use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::plan::{Field, Literal};
use crate::relation::Relation;
use trine_mpc::Session;

/// Local. All rows are valid.
pub(crate) fn values(rows: &[Vec<Literal>], fields: &[Field], s: &Session) -> Result<Relation> {
    if rows.iter().any(|row| row.len() != fields.len()) {
        return Err(QueryError::bug("a row of VALUES has another number of columns"));
    }
    let mut columns = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let all: Vec<Literal> = rows.iter().map(|row| row[index].clone()).collect();
        columns.push(match all.as_slice() {
            [one] => Column::literal(s, 1, one, &field.ty),
            _ => Column::public(s, &field.ty, &all)?,
        });
    }
    Ok(Relation { rows: rows.len(), valid: None, columns })
}
