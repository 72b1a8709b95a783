//! Sums, products and absolute values. Bounds are the planner's: a result lies within its type, so
//! that arithmetic in the ring of the result cannot wrap.

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::eval;
use crate::plan::{Expr, Literal};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::{Want, literal_of};
use trine_mpc::{Planes, Session, protocol};

fn number_of(literal: &Literal) -> Result<Option<i128>> {
    match literal {
        Literal::Number(v) => Ok(Some(*v)),
        Literal::Null => Ok(None),
        _ => Err(QueryError::bug("arithmetic on a literal that is no number")),
    }
}

/// x + y or x - y. Local on arithmetic shares.
pub(super) fn add(
    x: &Expr,
    y: &Expr,
    minus: bool,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
    want: Want,
) -> Result<Column> {
    if let Some(literal) = literal_of(y) {
        let Some(v) = number_of(literal)? else {
            return Ok(Column::literal(s, relation.rows, &Literal::Null, ty));
        };
        let column = eval(x, relation, s, want)?;
        return shift(column, if minus { v.wrapping_neg() } else { v }, ty, s, want);
    }
    if let (Some(literal), false) = (literal_of(x), minus) {
        let Some(v) = number_of(literal)? else {
            return Ok(Column::literal(s, relation.rows, &Literal::Null, ty));
        };
        let column = eval(y, relation, s, want)?;
        return shift(column, v, ty, s, want);
    }
    let mut a = eval(x, relation, s, Want::ARITH)?;
    let mut b = eval(y, relation, s, Want::ARITH)?;
    let left = a.arith_in(s, ty.ring_bits())?;
    let right = b.arith_in(s, ty.ring_bits())?;
    let sum = if minus { left.sub(&right)? } else { left.add(&right)? };
    let null = bits::or_optional(s, a.null.as_ref(), b.null.as_ref())?;
    Ok(Column::from_arith(ty.clone(), sum, null))
}

/// x + constant. Local on arithmetic shares, and on planes where the bounds of the result move along.
fn shift(mut x: Column, v: i128, ty: &Type, s: &mut Session, want: Want) -> Result<Column> {
    let (Some((from, _)), Some((to, _))) = (bits::bounds(&x.ty), bits::bounds(ty)) else {
        return Err(QueryError::bug("arithmetic on text"));
    };
    let from = from.wrapping_add(v);
    let sum = if x.has_arith() || want.arith {
        Some(x.arith_in(s, ty.ring_bits())?.add_constant(s, v))
    } else {
        None
    };
    let planes = if x.has_planes() && from == to {
        Some(bits::resize(x.planes(s)?, ty.bits()))
    } else if sum.is_none() {
        let own = x.planes(s)?.clone();
        Some(bits::rebase(s, &own, from, to, ty.bits())?)
    } else {
        None
    };
    Ok(Column::from_parts(ty.clone(), x.rows, planes, sum, x.null))
}

/// x * y. 3 ring bits, 1 round; local with a public constant.
pub(super) fn multiply(
    x: &Expr,
    y: &Expr,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    for (literal, other) in [(literal_of(y), x), (literal_of(x), y)] {
        let Some(literal) = literal else { continue };
        return match number_of(literal)? {
            Some(v) => scale(other, v, ty, relation, s),
            None => Ok(Column::literal(s, relation.rows, &Literal::Null, ty)),
        };
    }
    let mut a = eval(x, relation, s, Want::ARITH)?;
    let mut b = eval(y, relation, s, Want::ARITH)?;
    let left = a.arith_in(s, ty.ring_bits())?;
    let right = b.arith_in(s, ty.ring_bits())?;
    let product = left.mul(s, &right)?;
    let null = bits::or_optional(s, a.null.as_ref(), b.null.as_ref())?;
    Ok(Column::from_arith(ty.clone(), product, null))
}

/// x times a public constant; local.
pub(super) fn scale(
    x: &Expr,
    factor: i128,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    let mut column = eval(x, relation, s, Want::ARITH)?;
    let product = column.arith_in(s, ty.ring_bits())?.times_constant(factor);
    Ok(Column::from_arith(ty.clone(), product, column.null))
}

/// Bits of the two's complement of every number in low..=high.
pub(super) fn signed_bits(low: i128, high: i128) -> usize {
    let span = (!low.min(-1)).max(high.max(0));
    trine_proto::schema::bits_for(span as u128) as usize + 1
}

/// Two's complement planes of a column, just wide enough for its bounds.
pub(super) fn signed_planes(column: &mut Column, s: &mut Session) -> Result<Planes> {
    let Some((low, high)) = bits::bounds(&column.ty) else {
        return Err(QueryError::bug("the sign of a text"));
    };
    let width = signed_bits(low, high);
    if !column.has_planes() && column.has_arith() {
        let narrow = width.min(column.ty.ring_bits());
        return column.arith(s)?.to_planes(s, narrow);
    }
    let planes = bits::resize(column.planes(s)?, width);
    bits::add_constant(s, &planes, low as u128)
}

/// |x|. One or two adders.
pub(super) fn absolute(
    x: &Expr,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    let mut column = eval(x, relation, s, Want::ANY)?;
    let Some((low, _)) = bits::bounds(&column.ty) else {
        return Err(QueryError::bug("the absolute value of a text"));
    };
    if low >= 0 {
        return column.retype(s, ty, Want::ANY);
    }
    let signed = signed_planes(&mut column, s)?;
    let (magnitude, _) = protocol::absolute(s, &signed)?;
    let to_low = bits::bounds(ty).map_or(0, |(low, _)| low);
    let planes = bits::rebase(s, &magnitude, 0, to_low, ty.bits())?;
    Ok(Column::from_planes(ty.clone(), planes, column.null))
}

#[cfg(test)]
mod tests {
    use super::signed_bits;

    #[test]
    fn signed_widths_are_exact() {
        for (low, high, bits) in
            [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-128, 127, 8), (-129, 127, 9)]
        {
            assert_eq!(signed_bits(low, high), bits, "{low}..={high}");
        }
        assert_eq!(signed_bits(i128::MIN, i128::MAX), 128);
    }
}
