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

use std::borrow::Cow;

use super::adder::{Operand, add_operands};
use super::{ready, ready_arith};
use crate::bits::{read_planes, words, write_planes_from_rows};
use crate::cost::{
    Circuit, ToArith, cost_arith_to_planes, cost_bits_to_arith, cost_carries, cost_planes_to_arith,
};
use crate::kernel;
use crate::lanes::{join_arith, join_planes};
use crate::prg::{Claim, Draw, PairStream, Position, batch_elements};
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
    if width == 0 || len == 0 {
        return Ok(vec![Arith::from_components(Vec::new(), Vec::new()); width]);
    }
    let parts = s.in_lanes(len, |lane, rows| {
        if rows.len() == len {
            convert::<T>(lane, x, width, None)
        } else {
            convert::<T>(lane, &x.slice(rows), width, None)
        }
    })?;
    if width == 1 && parts.len() == 1 {
        return Ok(parts);
    }
    let plane = |j: usize| {
        let slice = |part: &Arith<T>| {
            let rows = part.len() / width;
            part.slice(j * rows..(j + 1) * rows)
        };
        join_arith(&parts.iter().map(slice).collect::<Vec<_>>())
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
        let adder = cost_carries(s.profile(), len, T::BITS - 1).0;
        let low = if x.width() == width { Cow::Borrowed(x) } else { Cow::Owned(x.bits(0..width)) };
        let parts = s.in_lanes(len, |lane, rows| {
            if rows.len() == len {
                return through_adder(lane, adder, &low, signed);
            }
            through_adder(lane, adder, &low.slice(rows), signed)
        })?;
        return Ok(joined(parts));
    }
    // Beyond the ring a sign plane weighs nothing: 2^l = 0.
    let negative = (signed && x.width() <= T::BITS).then(|| width - 1);
    let weight = |j: usize| {
        let weight = T::from_u128(1 << j);
        if negative == Some(j) { T::default().minus(weight) } else { weight }
    };
    let weights: Vec<T> = (0..width).map(weight).collect();
    let parts = s.in_lanes(len, |lane, rows| {
        if rows.len() == len {
            return convert(lane, x, width, Some(&weights));
        }
        convert(lane, &x.slice(rows), width, Some(&weights))
    })?;
    Ok(joined(parts))
}

/// Parts as one column.
fn joined<T: Ring>(mut parts: Vec<Arith<T>>) -> Arith<T> {
    if parts.len() > 1 {
        return join_arith(&parts);
    }
    parts.pop().unwrap_or_else(|| Arith::from_components(Vec::new(), Vec::new()))
}

/// The number, extended to l planes, its difference from a random one opened to parties 0 and 2.
fn through_adder<T: Ring>(
    s: &mut Session,
    form: Circuit,
    x: &Planes,
    signed: bool,
) -> Result<Arith<T>> {
    let (len, operator) = (x.len(), s.operator());
    let size = words(len) * T::BITS;
    let [at_number, at_input] = [0, 1].map(|p| Position::new(operator, p));
    // y_1 with P0, y_2 with P2; the input has component 2 from the stream of P1 and P2, and
    // component 0 = 0.
    type Input = (Vec<u64>, Vec<u64>);
    let (y1, y2, input): (Vec<T>, Vec<T>, Input) = match s.party() {
        0 => {
            let y1 = s.common(1, at_number, len)?;
            let mut masked = s.take_buffer(size);
            s.receive_elements(1, &mut masked)?;
            (y1, Vec::new(), (Vec::new(), masked))
        }
        1 => {
            let (y1, y2): (Vec<T>, Vec<T>) =
                (s.common(0, at_number, len)?, s.common(2, at_number, len)?);
            let both = |i: usize| T::default().minus(y1[i].plus(y2[i]));
            let mut masked = s.take_buffer(size);
            planes_of(&mut masked, len, T::BITS, both);
            let mask = random_words(s, 2, at_input, size)?;
            kernel::xor(&mut masked, &mask);
            s.send_elements(0, &masked)?;
            (y1, y2, (masked, mask))
        }
        _ => {
            let y2 = s.common(1, at_number, len)?;
            (Vec::new(), y2, (random_words(s, 1, at_input, size)?, Vec::new()))
        }
    };
    s.end_round();
    let held = (&input.0[..], &input.1[..]);
    let random = Operand { held, words: words(len), width: T::BITS, signed: false };
    let number = Operand::of(x, signed);
    let difference = add_operands(s, form, len, T::BITS, number, random, false)?;
    s.give_buffer(input.0);
    s.give_buffer(input.1);
    // P0 lacks component 2, P2 lacks component 1. What lies beyond the last row is not masked.
    let (a, b) = (difference.clear_component(true), difference.clear_component(false));
    let mut missing = s.take_buffer(if s.party() == 1 { 0 } else { size });
    match s.party() {
        0 => {
            s.send_elements(2, &b)?;
            s.receive_elements(1, &mut missing)?;
        }
        1 => s.send_elements(0, &b)?,
        _ => s.receive_elements(0, &mut missing)?,
    }
    s.end_round();
    kernel::xor_both(&mut missing, &a, &b);
    let result = match s.party() {
        0 => Arith::from_components(elements_of(len, &missing), y1),
        1 => Arith::from_components(y1, y2),
        _ => Arith::from_components(y2, elements_of(len, &missing)),
    };
    s.give_buffer(missing);
    Ok(result)
}

/// Ring elements of exactly l plain planes.
fn elements_of<T: Ring>(len: usize, planes: &[u64]) -> Vec<T> {
    let mut elements = vec![T::default(); len];
    for first in (0..T::BITS).step_by(64) {
        let shift = T::from_u128(1 << first);
        read_planes(planes, words(len), T::BITS, first, |word, rows| {
            for (element, row) in elements[word * 64..].iter_mut().zip(rows) {
                *element = element.plus(T::from_u64(*row).times(shift));
            }
        });
    }
    elements
}

/// The protocol over the low `planes` planes. Without weights every plane gives a column, one after the
/// other; with them all give their weighted sum. At least one row and one plane.
fn convert<T: Ring>(
    s: &mut Session,
    x: &Planes,
    planes: usize,
    weights: Option<&[T]>,
) -> Result<Arith<T>> {
    let (len, operator) = (x.len(), s.operator());
    let (elements, results) = (planes * len, if weights.is_some() { len } else { planes * len });
    let [at_c, at_r, at_s] = [0, 1, 2].map(|purpose| Position::new(operator, purpose));
    let (a, b) = x.components();
    match s.party() {
        0 => {
            let stream = s.stream(2)?;
            let claim = stream.claim(at_c);
            let mut c1 = complements(stream.draw(claim), a, b, len, planes);
            s.send_elements(1, &c1)?;
            s.end_round();
            // Its buffer takes in what comes back.
            c1.truncate(results);
            let mut y1 = vec![T::default(); results];
            s.receive_elements(2, &mut c1)?;
            s.receive_elements(1, &mut y1)?;
            s.end_round();
            Ok(Arith::from_components(c1, y1))
        }
        1 => {
            let mut c1 = vec![T::default(); elements];
            s.receive_elements(0, &mut c1)?;
            s.end_round();
            let stream = s.stream(2)?;
            let claims = (stream.claim(at_r), stream.claim(at_s));
            let (y1, y2) = products(stream, claims, false, b, len, c1, weights);
            s.send_elements(0, &y1)?;
            s.end_round();
            Ok(Arith::from_components(y1, y2))
        }
        _ => {
            // Next is P0, previous is P1.
            let (with_0, with_1) = s.streams()?;
            let claim = with_0.claim(at_c);
            let mut draw = with_0.draw(claim);
            let mut c0 = vec![T::default(); elements];
            for piece in c0.chunks_mut(len).flat_map(|c| c.chunks_mut(batch_elements::<T>())) {
                piece.copy_from_slice(draw.next(piece.len()));
            }
            drop(draw);
            let claims = (with_1.claim(at_r), with_1.claim(at_s));
            let (y0, y2) = products(with_1, claims, true, a, len, c0, weights);
            s.end_round();
            s.send_elements(0, &y0)?;
            s.end_round();
            Ok(Arith::from_components(y2, y0))
        }
    }
}

/// c_1 = c - c_0 for c = b_0 ^ b_1, plane after plane.
fn complements<T: Ring>(
    mut c0: Draw<'_>,
    a: &[u64],
    b: &[u64],
    len: usize,
    planes: usize,
) -> Vec<T> {
    let mut c1 = vec![T::default(); planes * len];
    let size = batch_elements::<T>();
    let mut known = vec![0; size / 64];
    for (j, plane) in c1.chunks_mut(len).enumerate() {
        for (i, piece) in plane.chunks_mut(size).enumerate() {
            let from = j * words(len) + i * (size / 64);
            let bits = from..from + words(piece.len());
            let known = &mut known[..bits.len()];
            kernel::xor_of(known, &a[bits.clone()], &b[bits]);
            kernel::plus_bits(piece, known);
            kernel::minus(piece, c0.next(piece.len()));
        }
    }
    c1
}

/// (1 - 2d) c + mask and y_2 = d - r - s, both summed up where there are weights; the mask is r where
/// `takes_r`, else s. The streams of `claims` are those of r and s.
fn products<T: Ring>(
    stream: &PairStream,
    claims: (Claim, Claim),
    takes_r: bool,
    d: &[u64],
    len: usize,
    mut c: Vec<T>,
    weights: Option<&[T]>,
) -> (Vec<T>, Vec<T>) {
    let (mut r, mut t) = (stream.draw(claims.0), stream.draw(claims.1));
    let results = if weights.is_some() { len } else { c.len() };
    let size = batch_elements::<T>();
    let mut rest = vec![T::default(); results];
    let mut mask = |y: &mut [T], rest: &mut [T]| {
        let (r, t) = (r.next(y.len()), t.next(y.len()));
        kernel::plus(y, if takes_r { r } else { t });
        kernel::minus(rest, r);
        kernel::minus(rest, t);
    };
    let bits_of = |j: usize, i: usize, rows: usize| {
        let from = j * words(len) + i * (size / 64);
        &d[from..from + words(rows)]
    };
    let Some(weights) = weights else {
        for (j, (c, rest)) in c.chunks_mut(len).zip(rest.chunks_mut(len)).enumerate() {
            for (i, (c, rest)) in c.chunks_mut(size).zip(rest.chunks_mut(size)).enumerate() {
                let bits = bits_of(j, i, c.len());
                kernel::negate_where(c, bits);
                kernel::plus_bits(rest, bits);
                mask(c, rest);
            }
        }
        return (c, rest);
    };
    let mut sums = vec![T::default(); len];
    let mut ones = vec![T::default(); size];
    let pieces = sums.chunks_mut(size).zip(rest.chunks_mut(size));
    for (i, (sums, rest)) in pieces.enumerate() {
        let rows = sums.len();
        for (j, &weight) in weights.iter().enumerate() {
            let bits = bits_of(j, i, rows);
            let c = &mut c[j * len + i * size..][..rows];
            kernel::negate_where(c, bits);
            kernel::plus_weighted(sums, c, weight);
            let ones = &mut ones[..rows];
            ones.fill(T::default());
            kernel::plus_bits(ones, bits);
            kernel::plus_weighted(rest, ones, weight);
        }
        mask(sums, rest);
    }
    (sums, rest)
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
    let form = cost_carries(s.profile(), len, width.saturating_sub(1)).0;
    s.chosen().note_circuit(form, width);
    if s.is_dry() {
        s.charge(cost_arith_to_planes(s.profile(), len, width));
        return Ok(Planes::ghost(len, width));
    }
    if len == 0 || width == 0 {
        return Ok(Planes::from_components(len, width, Vec::new(), Vec::new()));
    }
    let parts = s.in_lanes(len, |lane, rows| planes_in(lane, form, x, rows, width))?;
    match &parts[..] {
        [_] => parts.into_iter().next().ok_or(MpcError::Shape("one part")),
        _ => join_planes(len, &parts),
    }
}

/// Some of the rows of [`arith_to_planes`]; at least one row and one bit.
fn planes_in<T: Ring>(
    s: &mut Session,
    form: Circuit,
    x: &Arith<T>,
    rows: std::ops::Range<usize>,
    width: usize,
) -> Result<Planes> {
    let len = rows.len();
    let size = words(len) * width;
    let at = Position::new(s.operator(), 0);
    let (a, b) = x.components();
    let (a, b) = (&a[rows.clone()], &b[rows]);
    // The input has component 1 from the stream of P0 and P1, and component 2 = 0; x_2 is a sharing
    // with nothing in the other components.
    let (input, other) = match s.party() {
        0 => {
            let mask = random_words(s, 1, at, size)?;
            let mut masked = s.take_buffer(size);
            planes_of(&mut masked, len, width, |i| a[i].plus(b[i]));
            kernel::xor(&mut masked, &mask);
            s.send_elements(2, &masked)?;
            ((masked, mask), (Vec::new(), Vec::new()))
        }
        1 => {
            let mask = random_words(s, 0, at, size)?;
            let mut known = s.take_buffer(size);
            planes_of(&mut known, len, width, |i| b[i]);
            ((mask, Vec::new()), (Vec::new(), known))
        }
        _ => {
            let mut known = s.take_buffer(size);
            planes_of(&mut known, len, width, |i| a[i]);
            let mut masked = s.take_buffer(size);
            s.receive_elements(0, &mut masked)?;
            ((Vec::new(), masked), (known, Vec::new()))
        }
    };
    s.end_round();
    let [first, second] = [&input, &other].map(|held| {
        let held = (&held.0[..], &held.1[..]);
        Operand { held, words: words(len), width, signed: false }
    });
    let sum = add_operands(s, form, len, width, first, second, false);
    for buffer in [input.0, input.1, other.0, other.1] {
        s.give_buffer(buffer);
    }
    sum
}

/// The low `width` bits of plain ring elements as planes.
fn planes_of<T: Ring>(planes: &mut [u64], len: usize, width: usize, value: impl Fn(usize) -> T) {
    let words = words(len);
    for first in (0..width).step_by(64) {
        write_planes_from_rows(planes, words, width, first, |word, block| {
            let rows = (len - word * 64).min(64);
            block[rows..].fill(0);
            for (slot, row) in block[..rows].iter_mut().zip(word * 64..) {
                *slot = value(row).word(first / 64);
            }
        });
    }
}

/// Random words known to this party and `peer`, in a buffer of the session.
fn random_words(s: &mut Session, peer: usize, at: Position, size: usize) -> Result<Vec<u64>> {
    let mut words = s.take_buffer(size);
    words.fill(0);
    s.stream(peer)?.xor_into(at, &mut words);
    Ok(words)
}
