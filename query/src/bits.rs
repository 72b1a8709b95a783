//! Public constants as bits, and the small boolean building blocks that operators share.

use crate::error::{QueryError, Result};
use crate::plan::Literal;
use crate::types::Type;
use trine_mpc::{Planes, Session, protocol};

/// The low `width` bits of a number, lowest first.
pub(crate) fn number_bits(value: u128, width: usize) -> Vec<bool> {
    (0..width).map(|j| j < 128 && (value >> j) & 1 == 1).collect()
}

/// Zero-padded text as bits, lowest first: the first byte is the most significant.
pub(crate) fn text_bits(text: &[u8], bytes: usize) -> Vec<bool> {
    let mut bits = Vec::with_capacity(8 * bytes);
    for k in (0..bytes).rev() {
        let byte = text.get(k).copied().unwrap_or(0);
        bits.extend((0..8).map(|j| (byte >> j) & 1 == 1));
    }
    bits
}

/// Lowest and highest number of a type; none for text.
pub(crate) fn bounds(ty: &Type) -> Option<(i128, i128)> {
    match ty {
        Type::Boolean => Some((0, 1)),
        Type::Number { low, high, .. } => Some((*low, *high)),
        Type::Text { .. } => None,
    }
}

/// Canonical planes of a literal (NULL: zeros).
pub(crate) fn literal_bits(literal: &Literal, ty: &Type) -> Result<Vec<bool>> {
    match (literal, ty) {
        (Literal::Null, _) => Ok(vec![false; ty.bits()]),
        (Literal::Boolean(b), Type::Boolean) => Ok(vec![*b]),
        (Literal::Number(v), Type::Number { low, high, .. }) if (low..=high).contains(&v) => {
            Ok(number_bits(v.wrapping_sub(*low) as u128, ty.bits()))
        }
        (Literal::Text(text), Type::Text { bytes }) if text.len() <= *bytes as usize => {
            Ok(text_bits(text, *bytes as usize))
        }
        _ => Err(QueryError::bug("a literal does not fit its type")),
    }
}

/// Bits, lowest first, as row-major bytes.
pub(crate) fn pack_bits(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8)
        .map(|byte| byte.iter().enumerate().fold(0, |b, (j, &on)| b | (u8::from(on) << j)))
        .collect()
}

/// A public constant in every row; a ghost in a dry session.
pub(crate) fn constant(s: &Session, rows: usize, bits: &[bool]) -> Planes {
    if s.is_dry() {
        Planes::ghost(rows, bits.len())
    } else {
        Planes::constant(s.party(), rows, bits)
    }
}

/// One public bit in every row.
pub(crate) fn constant_bit(s: &Session, rows: usize, bit: bool) -> Planes {
    constant(s, rows, &[bit])
}

/// Public rows, lowest bit first; a ghost in a dry session. All rows have the same width.
pub(crate) fn public_rows(s: &Session, width: usize, rows: &[Vec<bool>]) -> Planes {
    if s.is_dry() {
        return Planes::ghost(rows.len(), width);
    }
    let bytes: Vec<u8> = rows.iter().flat_map(|row| pack_bits(row)).collect();
    Planes::public_rows(s.party(), rows.len(), width, &bytes)
}

/// Row i of the result = row `index[i]` (public indices, `rows` of them); a ghost in a dry session,
/// which needs no indices.
pub(crate) fn gather(s: &Session, planes: &Planes, rows: usize, index: &[u32]) -> Planes {
    if s.is_dry() { Planes::ghost(rows, planes.width()) } else { planes.gather(index) }
}

/// Exactly `width` planes: zero planes on top, or the top planes dropped.
pub(crate) fn resize(planes: &Planes, width: usize) -> Planes {
    match planes.width().cmp(&width) {
        std::cmp::Ordering::Less => planes.zero_extend(width),
        std::cmp::Ordering::Equal => planes.clone(),
        std::cmp::Ordering::Greater => planes.bits(0..width),
    }
}

/// Adds a public constant mod 2^width; free when it is zero. One adder otherwise.
pub(crate) fn add_constant(s: &mut Session, planes: &Planes, value: u128) -> Result<Planes> {
    let bits = number_bits(value, planes.width());
    if bits.iter().all(|b| !b) {
        return Ok(planes.clone());
    }
    let addend = constant(s, planes.len(), &bits);
    Ok(protocol::add(s, planes, &addend, false)?)
}

/// Unsigned planes over `low` as planes over another `low`, `width` of them; the values lie in both
/// ranges. Free when the two lows are equal, one adder otherwise.
pub(crate) fn rebase(
    s: &mut Session,
    planes: &Planes,
    from_low: i128,
    to_low: i128,
    width: usize,
) -> Result<Planes> {
    let wide = resize(planes, planes.width().max(width));
    let moved = add_constant(s, &wide, from_low.wrapping_sub(to_low) as u128)?;
    Ok(resize(&moved, width))
}

/// AND of all operands (equal widths; none: all ones of width 1), pair by pair.
/// 3k bits per operand but the first, ceil(log2 operands) rounds.
pub(crate) fn and_tree(s: &mut Session, rows: usize, mut all: Vec<Planes>) -> Result<Planes> {
    while all.len() > 1 {
        let odd = if all.len() % 2 == 1 { all.pop() } else { None };
        let pairs: Vec<(&Planes, &Planes)> =
            all.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect();
        let mut next = protocol::and_many(s, &pairs)?;
        next.extend(odd);
        all = next;
    }
    Ok(all.pop().unwrap_or_else(|| constant_bit(s, rows, true)))
}

/// OR of two optional bits, where none means 0. At most one AND.
pub(crate) fn or_optional(
    s: &mut Session,
    x: Option<&Planes>,
    y: Option<&Planes>,
) -> Result<Option<Planes>> {
    Ok(match (x, y) {
        (Some(x), Some(y)) => Some(protocol::or(s, x, y)?),
        (Some(x), None) => Some(x.clone()),
        (None, y) => y.cloned(),
    })
}

/// Stacks columns of planes, the first lowest; none: no planes.
pub(crate) fn stack_all<'a>(parts: impl IntoIterator<Item = &'a Planes>) -> Option<Planes> {
    let mut parts = parts.into_iter();
    let first = parts.next()?.clone();
    Some(parts.fold(first, |below, above| below.stack(above)))
}

/// For every row whether its planes are equal to those of the row before it: row 0 is not.
pub(crate) fn equals_previous(s: &mut Session, key: &Planes) -> Result<Planes> {
    let n = key.len();
    let first = constant_bit(s, n.min(1), false);
    if n <= 1 {
        return Ok(first);
    }
    let equal = protocol::equal(s, &key.slice(1..n), &key.slice(0..n - 1))?;
    Ok(first.concat(&equal))
}

/// Shift by one row towards the front: row i is that of row i+1, the last row is `last`.
pub(crate) fn next_row(s: &Session, bit: &Planes, last: bool) -> Planes {
    let n = bit.len();
    if n == 0 {
        return bit.clone();
    }
    bit.slice(1..n).concat(&constant_bit(s, 1, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_most_significant_byte_first() {
        let bits = text_bits(b"A", 2);
        assert_eq!(pack_bits(&bits), vec![0, b'A']);
        assert_eq!(pack_bits(&number_bits(0x1ff, 9)), vec![0xff, 1]);
    }
    #[test]
    fn a_literal_outside_its_type_is_a_defect() {
        let ty = Type::Number { kind: crate::types::NumberKind::Int, low: -3, high: 4 };
        assert_eq!(literal_bits(&Literal::Number(-3), &ty).unwrap(), vec![false; 3]);
        assert!(literal_bits(&Literal::Number(5), &ty).is_err());
        assert!(literal_bits(&Literal::Text(b"x".to_vec()), &ty).is_err());
    }
}
