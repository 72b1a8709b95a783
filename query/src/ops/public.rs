//! Rows, columns and pairs that PUBLIC data decides: public constants and moves to public places. Local,
//! but for one AND a pair of a join whose sides both have rows that may not exist.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::plan::{Field, Literal, PublicRows};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Arith, Planes, Session, protocol};

/// Public rows as columns of public constants; all exist.
pub(crate) fn values(
    values: &PublicRows,
    fields: &[Field],
    wants: &[Want],
    s: &Session,
) -> Result<Relation> {
    if values.columns().len() != fields.len() {
        return Err(QueryError::bug("public rows of another width"));
    }
    let mut columns = Vec::with_capacity(fields.len());
    for (index, (field, own)) in fields.iter().zip(values.columns()).enumerate() {
        let want = wants.get(index).copied().unwrap_or(Want::NOTHING);
        columns.push(column(own, &field.ty, want, s)?);
    }
    Ok(Relation { rows: values.rows(), valid: None, columns })
}

/// The input with public columns behind it.
pub(crate) fn beside(
    mut input: Relation,
    made: &PublicRows,
    fields: &[Field],
    wants: &[Want],
    s: &Session,
) -> Result<Relation> {
    let width = input.columns.len();
    let more = fields.get(width..).ok_or_else(|| QueryError::bug("a column is missing"))?;
    if made.rows() != input.rows {
        return Err(QueryError::bug("public columns of another length"));
    }
    input.columns.extend(values(made, more, wants.get(width..).unwrap_or_default(), s)?.columns);
    Ok(input)
}

/// The rows at public places.
pub(crate) fn picked(input: Relation, rows: &[u32], s: &Session) -> Result<Relation> {
    if rows.iter().any(|row| *row as usize >= input.rows) {
        return Err(QueryError::bug("a public position beyond the last row"));
    }
    let valid = input.valid.as_ref().map(|v| bits::gather(s, v, rows.len(), rows));
    let columns = input.columns.iter().map(|c| c.gather(s, rows.len(), rows)).collect();
    Ok(Relation { rows: rows.len(), valid, columns })
}

/// Left rows beside right rows, pair by pair. A pair exists where both rows do: 3 bits and one round if
/// neither side is sure to.
pub(crate) fn paired(
    (left, left_rows): (Relation, &[u32]),
    (right, right_rows): (Relation, &[u32]),
    s: &mut Session,
) -> Result<Relation> {
    if left_rows.len() != right_rows.len() {
        return Err(QueryError::bug("pairs of two lengths"));
    }
    let mut pairs = picked(left, left_rows, s)?;
    let right = picked(right, right_rows, s)?;
    pairs.valid = match (pairs.valid, right.valid) {
        (Some(l), Some(r)) if pairs.rows > 0 => Some(protocol::and(s, &l, &r)?),
        (l, r) => l.or(r),
    };
    pairs.columns.extend(right.columns);
    Ok(pairs)
}

/// In the encodings that are wanted, so that no protocol has to make them.
fn column(values: &[Literal], ty: &Type, want: Want, s: &Session) -> Result<Column> {
    let rows = values.len();
    if !want.used {
        return Ok(Column::from_parts(ty.clone(), rows, None, None, None));
    }
    if let Some(first) = values.first()
        && values.iter().all(|v| v == first)
    {
        return Ok(Column::literal(s, rows, first, ty));
    }
    let is_null = |v: &Literal| u8::from(*v == Literal::Null);
    let null = values.contains(&Literal::Null).then(|| {
        let bytes: Vec<u8> = values.iter().map(is_null).collect();
        bit_rows(s, rows, 1, &bytes)
    });
    let counts = matches!(ty, Type::Number { .. });
    let arith = (counts && want.arith).then(|| numbers(values, ty, s));
    let planes = if want.planes || arith.is_none() {
        let mut bytes = Vec::with_capacity(rows * ty.bits().div_ceil(8));
        for value in values {
            append(value, ty, &mut bytes)?;
        }
        Some(bit_rows(s, rows, ty.bits(), &bytes))
    } else {
        None
    };
    Ok(Column::from_parts(ty.clone(), rows, planes, arith, null))
}

fn bit_rows(s: &Session, rows: usize, width: usize, bytes: &[u8]) -> Planes {
    if s.is_dry() {
        Planes::ghost(rows, width)
    } else {
        Planes::public_rows(s.party(), rows, width, bytes)
    }
}

/// Canonical planes of one value, row-major; NULL as zeros.
fn append(value: &Literal, ty: &Type, out: &mut Vec<u8>) -> Result<()> {
    let row_bytes = ty.bits().div_ceil(8);
    match (value, ty) {
        (Literal::Number(v), Type::Number { low, high, .. }) if (low..=high).contains(&v) => {
            out.extend(v.wrapping_sub(*low).to_le_bytes().iter().take(row_bytes));
        }
        (Literal::Text(text), Type::Text { bytes }) if text.len() <= *bytes as usize => {
            out.extend(std::iter::repeat_n(0, row_bytes - text.len()));
            out.extend(text.iter().rev());
        }
        (Literal::Boolean(b), Type::Boolean) => out.push(u8::from(*b)),
        (Literal::Null, _) => out.extend(std::iter::repeat_n(0, row_bytes)),
        _ => return Err(QueryError::bug("a public value does not fit its type")),
    }
    Ok(())
}

fn numbers(values: &[Literal], ty: &Type, s: &Session) -> ArithAny {
    let number = |v: &Literal| match v {
        Literal::Number(v) => *v,
        _ => 0,
    };
    let (rows, party) = (values.len(), s.party());
    match (ty.ring_bits(), s.is_dry()) {
        (64, true) => ArithAny::A64(Arith::ghost(rows)),
        (_, true) => ArithAny::A128(Arith::ghost(rows)),
        (64, false) => {
            let low64 = |v: i128| v.to_le_bytes().into_iter().take(8);
            let bytes: Vec<u8> = values.iter().flat_map(|v| low64(number(v))).collect();
            ArithAny::A64(Arith::public_rows(party, rows, &bytes))
        }
        (_, false) => {
            let bytes: Vec<u8> = values.iter().flat_map(|v| number(v).to_le_bytes()).collect();
            ArithAny::A128(Arith::public_rows(party, rows, &bytes))
        }
    }
}
