//! Division by a public constant: a product with a public number, then the upper bits.
//!
//! floor(u / c) = floor(u * m / 2^t) for all 0 <= u <= most, if m = ceil(2^t / c) and
//! (m * c - 2^t) * most < 2^t (Granlund and Montgomery, PLDI 1994). The product is local on
//! arithmetic shares, and so is dropping t planes; what costs is one conversion to planes.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::eval;
use crate::plan::{Expr, Rounding};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

/// Every rounding is floor((x + shift + negative * (x < 0)) / divisor).
const fn as_floor(divisor: i128, rounding: Rounding) -> (i128, i128) {
    match rounding {
        Rounding::Floor => (0, 0),
        Rounding::Ceil => (divisor - 1, 0),
        Rounding::Truncate => (0, divisor - 1),
        Rounding::Even => (divisor / 2, 0),
        Rounding::Nearest => (divisor / 2, if divisor % 2 == 0 { -1 } else { 0 }),
    }
}

/// x / divisor, rounded. A comparison and a bit conversion where the sign matters, then one
/// conversion to planes of about twice the bits.
pub(super) fn divide_by(
    argument: &Expr,
    divisor: i128,
    rounding: Rounding,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    let mut x = eval(argument, relation, s, Want::ANY)?;
    let (Some((low, high)), Some((to_low, _))) = (bits::bounds(&x.ty), bits::bounds(ty)) else {
        return Err(QueryError::bug("a text is divided"));
    };
    if divisor < 1 {
        return Err(QueryError::bug("a public divisor is not positive"));
    }
    let even = rounding == Rounding::Even;
    if even && !divisor.unsigned_abs().is_power_of_two() {
        return Err(QueryError::bug("ties go to even neighbours of halves only"));
    }
    let first = rounding.divide(low, divisor);
    // Counted from an even number, the last bit of what is counted tells odd from even.
    let first = if even { first & !1 } else { first };
    let (shift, if_negative) = as_floor(divisor, rounding);
    let signed = low < 0 && if_negative != 0;
    let offset = first
        .checked_mul(divisor)
        .and_then(|start| shift.checked_sub(start))
        .ok_or_else(QueryError::out_of_range)?;
    let reach = |x: i128, more: i128| {
        x.checked_add(offset).and_then(|u| u.checked_add(more)).ok_or_else(QueryError::out_of_range)
    };
    let mut most = reach(high, 0)?;
    if signed {
        most = most.max(reach(high.min(-1), if_negative)?);
    }
    let most = u128::try_from(most).map_err(|_| QueryError::bug("a quotient below its bound"))?;
    let dividend = Dividend { offset, if_negative: if signed { if_negative } else { 0 }, most };
    let quotient = if even {
        to_even(&mut x, &dividend, divisor.trailing_zeros() as usize, s)?
    } else {
        floor(&mut x, &dividend, divisor.unsigned_abs(), s)?
    };
    let planes = bits::rebase(s, &quotient, first, to_low, ty.bits())?;
    Ok(Column::from_planes(ty.clone(), planes, x.null))
}

/// floor(x / 10) for x from 0 to `most`, as few planes as its greatest value needs.
pub(super) fn tenth(x: &mut Column, most: u128, s: &mut Session) -> Result<Planes> {
    floor(x, &Dividend { offset: 0, if_negative: 0, most }, 10, s)
}

/// u = x + offset + if_negative * (x < 0), from 0 to `most`.
struct Dividend {
    offset: i128,
    if_negative: i128,
    most: u128,
}

impl Dividend {
    fn in_ring(&self, x: &mut Column, ring: usize, s: &mut Session) -> Result<ArithAny> {
        let mut sum = x.arith_in(s, ring)?.add_constant(s, self.offset);
        if self.if_negative != 0 {
            let (low, _) = bits::bounds(&x.ty).unwrap_or((0, 0));
            let planes = x.planes(s)?;
            let zero = bits::number_bits(low.unsigned_abs(), planes.width());
            let negative = protocol::less_than_constant(s, planes, &zero)?;
            let bit = if ring == 64 {
                protocol::bits_to_arith(s, &negative)?.pop().map(ArithAny::A64)
            } else {
                protocol::bits_to_arith(s, &negative)?.pop().map(ArithAny::A128)
            };
            let bit = bit.ok_or_else(|| QueryError::bug("a bit without a plane"))?;
            sum = sum.add(&bit.times_constant(self.if_negative))?;
        }
        Ok(sum)
    }
}

/// floor(u / 2^dropped), one less where that is odd and nothing is left over: u is a half more than what is
/// divided. One comparison of the lower bits with zero beside the conversion to planes.
fn to_even(x: &mut Column, u: &Dividend, dropped: usize, s: &mut Session) -> Result<Planes> {
    let bits_of_u = bits_for(u.most) as usize;
    if bits_of_u <= dropped {
        return Ok(bits::constant(s, x.rows, &[false]));
    }
    let ring = if bits_of_u <= 64 { 64 } else { 128 };
    let planes = u.in_ring(x, ring, s)?.to_planes(s, bits_of_u)?;
    let zeros = vec![false; dropped];
    let tie = protocol::equal_constant(s, &planes.bits(0..dropped), &zeros)?;
    let odd = planes.bits(dropped..dropped + 1);
    let last = odd.xor(&protocol::and(s, &tie, &odd)?);
    Ok(match bits_of_u - dropped {
        1 => last,
        _ => last.stack(&planes.bits(dropped + 1..bits_of_u)),
    })
}

/// floor(u / divisor), as many planes as its greatest value needs.
fn floor(x: &mut Column, u: &Dividend, divisor: u128, s: &mut Session) -> Result<Planes> {
    let width = (bits_for(u.most / divisor) as usize).max(1);
    if u.most < divisor {
        return Ok(bits::constant(s, x.rows, &[false]));
    }
    let factor = if divisor.is_power_of_two() {
        Some((1, divisor.trailing_zeros()))
    } else {
        magic(divisor, u.most)
    };
    let product = factor.and_then(|(m, t)| Some((m, t, u.most.checked_mul(m)?)));
    if let Some((factor, dropped, product)) = product {
        let product_bits = bits_for(product) as usize;
        let ring = if product_bits <= 64 { 64 } else { 128 };
        let raised = u.in_ring(x, ring, s)?.times_constant(factor.cast_signed());
        let planes = raised.to_planes(s, product_bits)?;
        let dropped = dropped as usize;
        return Ok(bits::resize(&planes.bits(dropped..product_bits), width));
    }
    let bits_of_u = bits_for(u.most) as usize;
    let planes = u.in_ring(x, 128, s)?.to_planes(s, bits_of_u)?;
    let denominator = bits::number_bits(divisor, bits_for(divisor) as usize);
    let denominator = bits::constant(s, x.rows, &denominator);
    Ok(bits::resize(&protocol::divide(s, &planes, &denominator, 0)?, width))
}

/// (m, t) as above with the least t; none if 128 bits do not hold it.
fn magic(divisor: u128, most: u128) -> Option<(u128, u32)> {
    (bits_for(divisor)..127).find_map(|t| {
        let power = 1_u128 << t;
        let factor = power.div_ceil(divisor);
        let error = factor.checked_mul(divisor)? - power;
        (error.checked_mul(most)? < power).then_some((factor, t))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_and_a_shift_divide() {
        for divisor in [3_u128, 5, 7, 10, 100, 365, 1461, 146_097, 1_000_000_007] {
            for most in [divisor, 1000, 65_535, (1 << 31) - 1, (1 << 40) + 12_345] {
                let (m, t) = magic(divisor, most).unwrap();
                let edges = (0..50).flat_map(|k| {
                    [k, most.saturating_sub(k), k * divisor, k * divisor + divisor - 1]
                });
                for u in edges.filter(|u| *u <= most) {
                    assert_eq!((u * m) >> t, u / divisor, "{u} / {divisor}");
                }
            }
        }
        assert!(magic(3, u128::MAX >> 1).is_none());
    }

    #[test]
    fn every_rounding_is_a_floor() {
        use Rounding::{Ceil, Floor, Nearest, Truncate};
        for rounding in [Floor, Ceil, Truncate, Nearest] {
            for divisor in 1..8 {
                let (shift, if_negative) = as_floor(divisor, rounding);
                for x in -40..40 {
                    let u = x + shift + if x < 0 { if_negative } else { 0 };
                    assert_eq!(
                        u.div_euclid(divisor),
                        rounding.divide(x, divisor),
                        "{x} / {divisor}"
                    );
                }
            }
        }
    }
}
