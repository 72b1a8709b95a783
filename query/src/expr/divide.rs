//! Quotients and remainders of two secret numbers, by restoring division of the magnitudes.

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::eval;
use crate::expr::number::signed_planes;
use crate::plan::{Expr, Rounding};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

/// |x| and, where it can be negative, its sign bit; exactly as wide as the bounds ask for. At most
/// one conversion or adder and one conditional negation.
pub(crate) fn magnitude(column: &mut Column, s: &mut Session) -> Result<(Planes, Option<Planes>)> {
    let Some((low, high)) = bits::bounds(&column.ty) else {
        return Err(QueryError::bug("the magnitude of a text"));
    };
    let most = low.unsigned_abs().max(high.unsigned_abs());
    let width = (bits_for(most) as usize).max(1);
    if low < 0 {
        let signed = signed_planes(column, s)?;
        let (magnitude, negative) = protocol::absolute(s, &signed)?;
        return Ok((bits::resize(&magnitude, width), Some(negative)));
    }
    let planes = if !column.has_planes() && column.has_arith() {
        column.arith(s)?.to_planes(s, width)?
    } else {
        let own = column.planes(s)?.clone();
        bits::rebase(s, &own, low, 0, width)?
    };
    Ok((planes, None))
}

/// Signed quotient of two magnitudes as canonical planes of `ty`: towards zero, or to the nearest
/// with ties away from zero (one more adder). Reveals nothing.
pub(crate) fn divided(
    (left, left_negative): (&Planes, Option<&Planes>),
    (right, right_negative): (&Planes, Option<&Planes>),
    fraction_bits: usize,
    rounding: Rounding,
    ty: &Type,
    s: &mut Session,
) -> Result<Planes> {
    let Some((to_low, _)) = bits::bounds(ty) else {
        return Err(QueryError::bug("a quotient is a number"));
    };
    let numerator = match rounding {
        Rounding::Truncate => left.clone(),
        Rounding::Nearest if fraction_bits == 0 => {
            let width = left.width().max(right.width() - 1) + 1;
            let half = right.bits(1..right.width());
            protocol::add(s, &left.zero_extend(width), &half.zero_extend(width), false)?
        }
        _ => return Err(QueryError::bug("a quotient is rounded in a way that is not made")),
    };
    let quotient = protocol::divide(s, &numerator, right, fraction_bits)?;
    let negative = match (left_negative, right_negative) {
        (Some(x), Some(y)) => Some(x.xor(y)),
        (x, y) => x.or(y).cloned(),
    };
    // Modulo 2^bits everything that follows is exact, because value - low fits.
    let mut planes = bits::resize(&quotient, ty.bits());
    if let Some(negative) = negative {
        planes = protocol::negate_if(s, &negative, &planes)?;
    }
    bits::add_constant(s, &planes, to_low.wrapping_neg() as u128)
}

/// left / right. NULL where a side is.
pub(super) fn divide(
    left: &Expr,
    right: &Expr,
    rounding: Rounding,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    let mut x = eval(left, relation, s, Want::ANY)?;
    let mut y = eval(right, relation, s, Want::ANY)?;
    let planes = quotient(&mut x, &mut y, rounding, ty, s)?;
    let null = bits::or_optional(s, x.null.as_ref(), y.null.as_ref())?;
    Ok(Column::from_planes(ty.clone(), planes, null))
}

fn quotient(
    x: &mut Column,
    y: &mut Column,
    rounding: Rounding,
    ty: &Type,
    s: &mut Session,
) -> Result<Planes> {
    let (left, left_sign) = magnitude(x, s)?;
    let (right, right_sign) = magnitude(y, s)?;
    let (left, right) = ((&left, left_sign.as_ref()), (&right, right_sign.as_ref()));
    divided(left, right, 0, rounding, ty, s)
}

/// left - right * trunc(left / right): the quotient, its conversion and one product.
pub(super) fn modulo(
    left: &Expr,
    right: &Expr,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    let mut x = eval(left, relation, s, Want::ARITH)?;
    let mut y = eval(right, relation, s, Want::ARITH)?;
    let Some((low, high)) = bits::bounds(&x.ty) else {
        return Err(QueryError::bug("the remainder of a text"));
    };
    let most = low.saturating_abs().max(high.saturating_abs());
    let of = match &x.ty {
        Type::Number { kind, .. } => Type::Number { kind: kind.clone(), low: -most, high: most },
        other => other.clone(),
    };
    let planes = quotient(&mut x, &mut y, Rounding::Truncate, &of, s)?;
    let ring = ty.ring_bits();
    // Modulo 2^ring all of this is exact, whatever the quotient is, because the remainder fits.
    let times = Column::from_planes(of, planes, None).arith_in(s, ring)?;
    let product = y.arith_in(s, ring)?.mul(s, &times)?;
    let rest = x.arith_in(s, ring)?.sub(&product)?;
    let null = bits::or_optional(s, x.null.as_ref(), y.null.as_ref())?;
    Ok(Column::from_arith(ty.clone(), rest, null))
}
