//! Comparisons. Both sides are brought to one unsigned encoding, in which bit order is SQL order.

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::eval;
use crate::plan::{Compare, Expr, Literal};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::{Want, literal_of};
use trine_mpc::{Planes, Session, protocol};

/// Where a public constant lies among the values of a column's encoding.
enum Place {
    /// Below every value.
    Below,
    /// Above every value.
    Above,
    /// On a value.
    At(Vec<bool>),
    /// Between a value and the next one.
    After(Vec<bool>),
}

/// NULL where a side is NULL.
pub(super) fn compare(
    op: Compare,
    left: &Expr,
    right: &Expr,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    if let Some(literal) = literal_of(right) {
        let x = eval(left, relation, s, Want::PLANES)?;
        return with_literal(op, x, literal, s);
    }
    if let Some(literal) = literal_of(left) {
        let x = eval(right, relation, s, Want::PLANES)?;
        return with_literal(flip(op), x, literal, s);
    }
    let mut x = eval(left, relation, s, Want::PLANES)?;
    let mut y = eval(right, relation, s, Want::PLANES)?;
    let (a, b) = common_planes(&mut x, &mut y, s)?;
    let null = bits::or_optional(s, x.null.as_ref(), y.null.as_ref())?;
    let bit = match op {
        Compare::Eq => protocol::equal(s, &a, &b)?,
        Compare::Ne => protocol::equal(s, &a, &b)?.not(s.party()),
        Compare::Lt => protocol::less_than(s, &a, &b)?,
        Compare::Gt => protocol::less_than(s, &b, &a)?,
        Compare::Le => protocol::less_than(s, &b, &a)?.not(s.party()),
        Compare::Ge => protocol::less_than(s, &a, &b)?.not(s.party()),
    };
    Ok(Column::from_planes(Type::Boolean, bit, null))
}

const fn flip(op: Compare) -> Compare {
    match op {
        Compare::Lt => Compare::Gt,
        Compare::Le => Compare::Ge,
        Compare::Gt => Compare::Lt,
        Compare::Ge => Compare::Le,
        same => same,
    }
}

/// Planes of two columns in one encoding: numbers over the lower of the two lows and the wider of
/// the two ranges (one adder for the other side), texts zero-padded to the longer one (local).
pub(crate) fn common_planes(
    x: &mut Column,
    y: &mut Column,
    s: &mut Session,
) -> Result<(Planes, Planes)> {
    if let (Type::Text { bytes: a }, Type::Text { bytes: b }) = (&x.ty, &y.ty) {
        let ty = Type::Text { bytes: *a.max(b) };
        let mut x = x.clone().retype(s, &ty, Want::PLANES)?;
        let mut y = y.clone().retype(s, &ty, Want::PLANES)?;
        return Ok((x.planes(s)?.clone(), y.planes(s)?.clone()));
    }
    let (Some((a_low, a_high)), Some((b_low, b_high))) = (bits::bounds(&x.ty), bits::bounds(&y.ty))
    else {
        return Err(QueryError::bug("a number is compared with text"));
    };
    let low = a_low.min(b_low);
    let span = a_high.max(b_high).wrapping_sub(low) as u128;
    let width = (trine_proto::schema::bits_for(span) as usize).max(1);
    let a = x.planes(s)?.clone();
    let b = y.planes(s)?.clone();
    Ok((bits::rebase(s, &a, a_low, low, width)?, bits::rebase(s, &b, b_low, low, width)?))
}

fn place(literal: &Literal, ty: &Type) -> Result<Place> {
    let bad = || QueryError::bug("a literal of another type is compared");
    match (literal, ty) {
        (Literal::Boolean(b), Type::Boolean) => Ok(Place::At(vec![*b])),
        (Literal::Number(v), _) => {
            let (low, high) = bits::bounds(ty).ok_or_else(bad)?;
            Ok(if *v < low {
                Place::Below
            } else if *v > high {
                Place::Above
            } else {
                Place::At(bits::number_bits(v.wrapping_sub(low) as u128, ty.bits()))
            })
        }
        (Literal::Text(text), Type::Text { bytes }) => {
            let bytes = *bytes as usize;
            let kept = text.len().min(bytes);
            let here = bits::text_bits(&text[..kept], bytes);
            Ok(if text.iter().skip(kept).any(|b| *b != 0) {
                Place::After(here)
            } else {
                Place::At(here)
            })
        }
        _ => Err(bad()),
    }
}

/// x <= constant; nothing to do at the top of the range.
fn at_most(s: &mut Session, x: &Planes, value: &[bool]) -> Result<Option<Planes>> {
    let mut above = value.to_vec();
    for bit in &mut above {
        *bit = !*bit;
        if *bit {
            return Ok(Some(protocol::less_than_constant(s, x, &above)?));
        }
    }
    Ok(None)
}

/// A comparison with a public constant: out of range it costs nothing.
fn with_literal(op: Compare, mut x: Column, literal: &Literal, s: &mut Session) -> Result<Column> {
    if matches!(literal, Literal::Null) {
        return Ok(Column::literal(s, x.rows, &Literal::Null, &Type::Boolean));
    }
    let place = place(literal, &x.ty)?;
    let constant = match (&place, op) {
        (Place::Below, Compare::Gt | Compare::Ge | Compare::Ne)
        | (Place::Above, Compare::Lt | Compare::Le | Compare::Ne)
        | (Place::After(_), Compare::Ne) => Some(true),
        (Place::Below | Place::Above, _) | (Place::After(_), Compare::Eq) => Some(false),
        _ => None,
    };
    if let Some(constant) = constant {
        let null = x.null.take();
        return Ok(Column::boolean(s, x.rows, constant).with_null(null));
    }
    let rows = x.rows;
    let planes = x.planes(s)?;
    let bit = match (&place, op) {
        (Place::At(c), Compare::Eq) => Some(protocol::equal_constant(s, planes, c)?),
        (Place::At(c), Compare::Ne) => Some(protocol::equal_constant(s, planes, c)?.not(s.party())),
        (Place::At(c), Compare::Lt) => Some(protocol::less_than_constant(s, planes, c)?),
        (Place::At(c), Compare::Ge) => {
            Some(protocol::less_than_constant(s, planes, c)?.not(s.party()))
        }
        (Place::At(c), Compare::Le) | (Place::After(c), Compare::Lt | Compare::Le) => {
            at_most(s, planes, c)?
        }
        (Place::At(c), Compare::Gt) | (Place::After(c), Compare::Gt | Compare::Ge) => {
            let below = at_most(s, planes, c)?.unwrap_or_else(|| bits::constant_bit(s, rows, true));
            Some(below.not(s.party()))
        }
        _ => return Err(QueryError::bug("a comparison was not folded")),
    };
    let bit = bit.unwrap_or_else(|| bits::constant_bit(s, rows, true));
    Ok(Column::from_planes(Type::Boolean, bit, x.null))
}
