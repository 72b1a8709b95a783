//! Between boolean and arithmetic columns.
//!
//! *Bit to arithmetic*, b = b_0 ^ b_1 ^ b_2: c = b_0 ^ b_1 is known to P0, d = b_2 to P1 and P2, and
//! b = d + (1 - 2d) c. Round 1: c_0 comes from the stream of P2 and P0; P0 sends c_1 = c - c_0 to P1.
//! Round 2, with r and s from the stream of P1 and P2: P2 sends y_0 = (1 - 2d) c_0 + r to P0, P1 sends
//! y_1 = (1 - 2d) c_1 + s to P0, and y_2 = d - r - s is local to P1 and P2.
//!
//! *Number to arithmetic*: either bit by bit, the weighted sum taken before the second round; or y_1
//! from the stream of P0 and P1, y_2 from that of P1 and P2, and y_0 = x - y_1 - y_2 by an adder in
//! planes, where P1 inputs -(y_1 + y_2), opened to P0 and P2 only. P0 lacks y_2 and P2 lacks y_1: what
//! they see is uniform.
//!
//! *Arithmetic to boolean*: P0 knows x_0 + x_1 and inputs it; x_2 is a boolean sharing already (its
//! own component 2); an adder does the rest.

use super::adder::add;
use super::{ready, ready_arith};
use crate::bits::{
    bytes_from_words, rows_from_planes, transpose64, words, words_from_bytes, write_planes,
};
use crate::cost::{ToArith, cost_arith_to_planes, cost_bits_to_arith, cost_planes_to_arith};
use crate::prg::Position;
use crate::ring::{bytes_from_elements, elements_from_bytes};
use crate::{Arith, MpcError, Planes, Result, Ring, Session};

/// Every plane as an arithmetic 0/1 vector. 3l bits a plane, 2 rounds in all. Reveals nothing.
///
/// # Errors
/// Network.
pub fn bits_to_arith<T: Ring>(s: &mut Session, x: &Planes) -> Result<Vec<Arith<T>>> {
    ready(s, x)?;
    let (len, width) = (x.len(), x.width());
    if s.is_dry() {
        s.charge(cost_bits_to_arith(len, width, T::BITS));
        return Ok((0..width).map(|_| Arith::ghost(len)).collect());
    }
    let values = convert::<T>(s, x, width, width, |products, _| products)?;
    let (a, b) = values.components();
    let plane = |j: usize| {
        let rows = j * len..(j + 1) * len;
        Arith::from_components(a[rows.clone()].to_vec(), b[rows].to_vec())
    };
    Ok((0..width).map(plane).collect())
}

/// Unsigned value of all planes, mod 2^l. In the form that the profile chooses: bit by bit, l(k+2)
/// and 2 rounds; or by an adder, 3l + 3(l-1) and its rounds + 2. Reveals nothing.
///
/// # Errors
/// Network.
pub fn planes_to_arith<T: Ring>(s: &mut Session, x: &Planes) -> Result<Arith<T>> {
    weighted_sum(s, x, false)
}

/// Two's complement value of all planes, mod 2^l. As [`planes_to_arith`]. Reveals nothing.
///
/// # Errors
/// Network.
pub fn signed_planes_to_arith<T: Ring>(s: &mut Session, x: &Planes) -> Result<Arith<T>> {
    weighted_sum(s, x, true)
}

fn weighted_sum<T: Ring>(s: &mut Session, x: &Planes, signed: bool) -> Result<Arith<T>> {
    ready(s, x)?;
    let (len, width) = (x.len(), x.width().min(T::BITS));
    let (form, cost) = cost_planes_to_arith(s.profile(), len, width, T::BITS);
    if s.is_dry() {
        s.charge(cost);
        return Ok(Arith::ghost(len));
    }
    if width == 0 || len == 0 {
        return Ok(Arith::constant(s.party(), len, T::default()));
    }
    if form == ToArith::Adder {
        let low = x.bits(0..width);
        let whole = if signed { low.sign_extend(T::BITS) } else { low.zero_extend(T::BITS) };
        return through_adder(s, &whole);
    }
    // Beyond the ring a sign plane weighs nothing: 2^l = 0.
    let negative = (signed && x.width() <= T::BITS).then(|| width - 1);
    convert(s, x, width, 1, |products: Vec<T>, len| {
        let mut sums = vec![T::default(); len];
        for (j, plane) in products.chunks_exact(len).enumerate() {
            let weight = T::from_u128(1 << j);
            let weight = if negative == Some(j) { T::default().minus(weight) } else { weight };
            for (sum, product) in sums.iter_mut().zip(plane) {
                *sum = sum.plus(product.times(weight));
            }
        }
        sums
    })
}

/// The number in exactly l planes, its difference from a random one opened to parties 0 and 2.
fn through_adder<T: Ring>(s: &mut Session, x: &Planes) -> Result<Arith<T>> {
    let (len, operator) = (x.len(), s.operator());
    let size = words(len) * T::BITS;
    let [at_number, at_input] = [0, 1].map(|p| Position::new(operator, p));
    let zeros = || vec![0; size];
    // y_1 with P0, y_2 with P2; the input has component 2 from the stream of P1 and P2, and
    // component 0 = 0.
    let (y1, y2, input): (Vec<T>, Vec<T>, _) = match s.party() {
        0 => {
            let y1 = s.common(1, at_number, len)?;
            let masked = words_from_bytes(&s.receive(1, size * 8)?);
            (y1, Vec::new(), (zeros(), masked))
        }
        1 => {
            let (y1, y2): (Vec<T>, Vec<T>) =
                (s.common(0, at_number, len)?, s.common(2, at_number, len)?);
            let both = y1.iter().zip(&y2).map(|(a, b)| T::default().minus(a.plus(*b)));
            let mut masked = planes_of(&both.collect::<Vec<T>>(), T::BITS);
            let mask = s.stream(2)?.words(at_input, size);
            crate::shares::planes::xor_into(&mut masked, &mask);
            s.send(0, bytes_from_words(&masked))?;
            (y1, y2, (masked, mask))
        }
        _ => {
            let y2 = s.common(1, at_number, len)?;
            (Vec::new(), y2, (s.stream(1)?.words(at_input, size), zeros()))
        }
    };
    s.end_round();
    let input = Planes::from_components(len, T::BITS, input.0, input.1);
    let difference = add(s, x, &input, false)?;
    // P0 lacks component 2, P2 lacks component 1. What lies beyond the last row is not masked.
    let (a, b) = (difference.clear_component(true), difference.clear_component(false));
    match s.party() {
        0 => {
            s.send(2, bytes_from_words(&b))?;
            let missing = words_from_bytes(&s.receive(1, size * 8)?);
            s.end_round();
            Ok(Arith::from_components(elements_of(len, &a, &b, &missing), y1))
        }
        1 => {
            s.send(0, bytes_from_words(&b))?;
            s.end_round();
            Ok(Arith::from_components(y1, y2))
        }
        _ => {
            let missing = words_from_bytes(&s.receive(0, size * 8)?);
            s.end_round();
            Ok(Arith::from_components(y2, elements_of(len, &a, &b, &missing)))
        }
    }
}

/// Plain ring elements of the three components of exactly l planes.
fn elements_of<T: Ring>(len: usize, a: &[u64], b: &[u64], c: &[u64]) -> Vec<T> {
    let planes: Vec<u64> = a.iter().zip(b).zip(c).map(|((a, b), c)| a ^ b ^ c).collect();
    elements_from_bytes(&rows_from_planes(len, T::BITS, &planes))
}

/// The protocol over the low `planes` planes, row after row and plane after plane. `fold` is linear
/// and brings the products of all planes to `columns` results a row.
fn convert<T: Ring>(
    s: &mut Session,
    x: &Planes,
    planes: usize,
    columns: usize,
    fold: impl Fn(Vec<T>, usize) -> Vec<T>,
) -> Result<Arith<T>> {
    let (len, operator) = (x.len(), s.operator());
    let (elements, results) = (planes * len, columns * len);
    if elements == 0 {
        return Ok(Arith::from_components(Vec::new(), Vec::new()));
    }
    let [at_c, at_r, at_s] = [0, 1, 2].map(|purpose| Position::new(operator, purpose));
    let (a, b) = x.components();
    // (1 - 2d) c + mask, folded.
    let product = |d: &[u64], mut c: Vec<T>, mask: &[T]| {
        for_bits(d, len, planes, |i, set| {
            if set {
                c[i] = T::default().minus(c[i]);
            }
        });
        let mut y = fold(c, len);
        for (y, mask) in y.iter_mut().zip(mask) {
            *y = y.plus(*mask);
        }
        y
    };
    match s.party() {
        0 => {
            let c0: Vec<T> = s.common(2, at_c, elements)?;
            let known: Vec<u64> = a.iter().zip(b).map(|(a, b)| a ^ b).collect();
            let mut c1: Vec<T> = c0.iter().map(|c0| T::default().minus(*c0)).collect();
            for_bits(&known, len, planes, |i, set| c1[i] = c1[i].plus(bit(set)));
            s.send(1, bytes_from_elements(&c1))?;
            s.end_round();
            let y0 = elements_from_bytes(&s.receive(2, results * T::BYTES)?);
            let y1 = elements_from_bytes(&s.receive(1, results * T::BYTES)?);
            s.end_round();
            Ok(Arith::from_components(y0, y1))
        }
        1 => {
            let (r, t): (Vec<T>, Vec<T>) =
                (s.common(2, at_r, results)?, s.common(2, at_s, results)?);
            let c1 = elements_from_bytes(&s.receive(0, elements * T::BYTES)?);
            s.end_round();
            let y1 = product(b, c1, &t);
            s.send(0, bytes_from_elements(&y1))?;
            s.end_round();
            Ok(Arith::from_components(y1, remainder(b, len, planes, &fold, &r, &t)))
        }
        _ => {
            let c0: Vec<T> = s.common(0, at_c, elements)?;
            let (r, t): (Vec<T>, Vec<T>) =
                (s.common(1, at_r, results)?, s.common(1, at_s, results)?);
            s.end_round();
            let y0 = product(a, c0, &r);
            s.send(0, bytes_from_elements(&y0))?;
            s.end_round();
            Ok(Arith::from_components(remainder(a, len, planes, &fold, &r, &t), y0))
        }
    }
}

/// y_2 = d - r - s, folded.
fn remainder<T: Ring>(
    d: &[u64],
    len: usize,
    planes: usize,
    fold: impl Fn(Vec<T>, usize) -> Vec<T>,
    r: &[T],
    s: &[T],
) -> Vec<T> {
    let mut bits = vec![T::default(); planes * len];
    for_bits(d, len, planes, |i, set| bits[i] = bit(set));
    let mut y = fold(bits, len);
    for ((y, r), s) in y.iter_mut().zip(r).zip(s) {
        *y = y.minus(*r).minus(*s);
    }
    y
}

fn bit<T: Ring>(set: bool) -> T {
    T::from_u128(u128::from(set))
}

/// Every bit of the low planes, by plane * len + row.
fn for_bits(component: &[u64], len: usize, planes: usize, mut f: impl FnMut(usize, bool)) {
    for (j, plane) in component.chunks_exact(words(len)).take(planes).enumerate() {
        for (w, &word) in plane.iter().enumerate() {
            for row in 0..(len - w * 64).min(64) {
                f(j * len + w * 64 + row, word >> row & 1 == 1);
            }
        }
    }
}

/// The low `width` bits of x as planes. k + one adder, 1 round more than the adder. Reveals
/// nothing.
///
/// # Errors
/// Network; more bits than the ring has.
pub fn arith_to_planes<T: Ring>(s: &mut Session, x: &Arith<T>, width: usize) -> Result<Planes> {
    ready_arith(s, x)?;
    if width > T::BITS {
        return Err(MpcError::Shape("more bits than the ring has"));
    }
    let len = x.len();
    if s.is_dry() {
        s.charge(cost_arith_to_planes(s.profile(), len, width));
        return Ok(Planes::ghost(len, width));
    }
    let size = words(len) * width;
    if size == 0 {
        return Ok(Planes::from_components(len, width, Vec::new(), Vec::new()));
    }
    let at = Position::new(s.operator(), 0);
    let zeros = || vec![0; size];
    let ((a, b), party) = (x.components(), s.party());
    // The input has component 1 from the stream of P0 and P1, and component 2 = 0.
    let (input, other) = match party {
        0 => {
            let known: Vec<T> = a.iter().zip(b).map(|(a, b)| a.plus(*b)).collect();
            let mask = s.stream(1)?.words(at, size);
            let mut masked = planes_of(&known, width);
            crate::shares::planes::xor_into(&mut masked, &mask);
            s.send(2, bytes_from_words(&masked))?;
            ((masked, mask), (zeros(), zeros()))
        }
        1 => ((s.stream(0)?.words(at, size), zeros()), (zeros(), planes_of(b, width))),
        _ => {
            let masked = words_from_bytes(&s.receive(0, size * 8)?);
            ((zeros(), masked), (planes_of(a, width), zeros()))
        }
    };
    s.end_round();
    let input = Planes::from_components(len, width, input.0, input.1);
    let other = Planes::from_components(len, width, other.0, other.1);
    add(s, &input, &other, false)
}

/// The low `width` bits of plain ring elements as planes.
fn planes_of<T: Ring>(values: &[T], width: usize) -> Vec<u64> {
    let words = words(values.len());
    let mut planes = vec![0; words * width];
    for first in (0..width).step_by(64) {
        write_planes(&mut planes, words, width, first, |word| {
            let mut block = [0; 64];
            for (slot, value) in block.iter_mut().zip(&values[word * 64..]) {
                *slot = low_word(value.to_u128() >> first);
            }
            transpose64(&mut block);
            block
        });
    }
    planes
}

#[allow(clippy::cast_possible_truncation, reason = "the low word is meant")]
const fn low_word(value: u128) -> u64 {
    value as u64
}
