//! A number as the text that SQL shows: a sign, digits without leading zeros, a point and the digits
//! behind it.

use super::shift;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::case::spread;
use crate::expr::divide_by::tenth;
use crate::expr::{eval, magnitude};
use crate::plan::Expr;
use crate::relation::Relation;
use crate::types::{NumberKind, Type};
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

/// Decimal digits of the greatest magnitude, at least one before the point.
pub(crate) const fn digits_of(most: u128, scale: usize) -> usize {
    let digits = match most.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    };
    if digits > scale { digits } else { scale + 1 }
}

/// The text of a number with `scale` digits behind the point. One division by ten a digit, one after the
/// other; then the leading zeros are shifted away (8 ANDs a byte and bit of their number), and the sign
/// is put in front (8 ANDs a byte).
pub(super) fn decimal(
    argument: &Expr,
    scale: usize,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    // The bounds of the plan say how long the text is.
    let mut x = eval(argument, relation, s, Want::ANY)?.retype(s, &argument.ty, Want::ANY)?;
    let Some((low, high)) = bits::bounds(&x.ty) else {
        return Err(QueryError::bug("the digits of a text"));
    };
    let most = low.unsigned_abs().max(high.unsigned_abs());
    let (size, negative) = magnitude(&mut x, s)?;
    let digits = digits(size, most, digits_of(most, scale), s)?;
    let hidden = hidden(&digits[scale + 1..], s)?;
    let number = bytes(&digits, scale, s)?;
    let moved = match hidden {
        Some(hidden) => shift::forwards(&number, &hidden, s)?,
        None => number,
    };
    let planes = match negative {
        None => moved,
        Some(negative) => {
            let sign = moved.stack(&bits::constant(s, moved.len(), &bits::text_bits(b"-", 1)));
            let plain = bits::constant(s, moved.len(), &[false; 8]).stack(&moved);
            protocol::select(s, &negative, &sign, &plain)?
        }
    };
    if planes.width() != ty.bits() {
        return Err(QueryError::bug("a number has more digits than its text"));
    }
    Ok(Column::from_planes(ty.clone(), planes, x.null))
}

/// Digits of 4 planes each, the lowest first.
fn digits(size: Planes, most: u128, count: usize, s: &mut Session) -> Result<Vec<Planes>> {
    let mut digits = Vec::with_capacity(count);
    let mut rest = Some((size, most));
    for _ in 0..count {
        let Some((planes, most)) = rest.take() else {
            let rows = digits.first().map_or(0, Planes::len);
            digits.push(bits::constant(s, rows, &[false; 4]));
            continue;
        };
        let low = bits::resize(&planes, 4);
        if most < 10 {
            digits.push(low);
            continue;
        }
        let high = i128::try_from(most).map_err(|_| QueryError::out_of_range())?;
        let ty = Type::Number { kind: NumberKind::BigInt, low: 0, high };
        let planes = bits::resize(&planes, ty.bits());
        let tenth = tenth(&mut Column::from_planes(ty, planes, None), most, s)?;
        // x - 10 q modulo 16: 10 q is 2 q with the lowest bit of q added at the top.
        let rows = tenth.len();
        let twice = bits::constant(s, rows, &[false]).stack(&bits::resize(&tenth, 3));
        let eight = bits::constant(s, rows, &[false; 3]).stack(&tenth.bits(0..1));
        digits.push(protocol::subtract(s, &low, &twice.xor(&eight))?);
        rest = Some((tenth, most / 10));
    }
    Ok(digits)
}

/// How many of the upper digits (the lowest first) are leading zeros; none: there are no such digits.
fn hidden(upper: &[Planes], s: &mut Session) -> Result<Option<Planes>> {
    let Some(rows) = upper.first().map(Planes::len) else { return Ok(None) };
    let blocks = super::joined(upper.iter().rev().cloned().collect());
    let Some(blocks) = blocks else { return Ok(None) };
    let zero = protocol::equal_constant(s, &blocks, &[false; 4])?;
    let width = bits_for(upper.len() as u128) as usize;
    let mut count = bits::constant(s, rows, &vec![false; width]);
    let mut leading: Option<Planes> = None;
    for i in 0..upper.len() {
        let own = zero.slice(i * rows..(i + 1) * rows);
        let still = match &leading {
            None => own,
            Some(before) => protocol::and(s, before, &own)?,
        };
        let change = bits::number_bits((i ^ (i + 1)) as u128, width);
        count = count.xor(&spread(s, &still, &change));
        leading = Some(still);
    }
    Ok(Some(count))
}

/// All digits as bytes, the point among them.
fn bytes(digits: &[Planes], scale: usize, s: &Session) -> Result<Planes> {
    let mut parts = Vec::with_capacity(2 * digits.len() + 1);
    for (place, digit) in digits.iter().enumerate() {
        if place == scale && scale > 0 {
            parts.push(bits::constant(s, digit.len(), &bits::text_bits(b".", 1)));
        }
        parts.push(digit.clone());
        // The upper half of '0' to '9'.
        parts.push(bits::constant(s, digit.len(), &bits::number_bits(3, 4)));
    }
    bits::stack_all(&parts).ok_or_else(|| QueryError::bug("a number without digits"))
}

#[cfg(test)]
mod tests {
    use super::digits_of;

    #[test]
    fn a_digit_stands_before_the_point() {
        for (most, scale, count) in
            [(0, 0, 1), (9, 0, 1), (10, 0, 2), (5, 2, 3), (99, 2, 3), (100, 2, 3), (1000, 2, 4)]
        {
            assert_eq!(digits_of(most, scale), count, "{most} {scale}");
        }
    }
}
