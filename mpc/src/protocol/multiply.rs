//! AND and multiplication: the only place where secret values meet.
//!
//! x y = sum of x_i y_j over all i, j. Party i holds the four terms of {i, i+1} and takes three of
//! them, z_i = x_i y_i + x_i y_{i+1} + x_{i+1} y_i + a_i with a_0 + a_1 + a_2 = 0 from the pair
//! streams, and sends z_i to party i-1. (Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016.)

use super::{ready_arith, ready_rows};
use crate::bits::{bytes_from_words, words_from_bytes};
use crate::cost::{cost_and_many, cost_multiply};
use crate::ring::{bytes_from_elements, elements_from_bytes};
use crate::shares::planes::Held;
use crate::{Arith, MpcError, Planes, Result, Ring, Session};

/// ANDs of one round, gathered plane by plane; every boolean gate of the crate goes through here.
pub(crate) struct Gates {
    words: Vec<u64>,
}

impl Gates {
    /// Room for `planes` gates of `words` words.
    pub(crate) fn new(planes: usize, words: usize) -> Self {
        Self { words: Vec::with_capacity(planes * words) }
    }

    /// x & y.
    pub(crate) fn push(&mut self, x: Held<'_>, y: Held<'_>) {
        let terms = x.0.iter().zip(x.1).zip(y.0.iter().zip(y.1));
        self.words.extend(terms.map(|((xa, xb), (ya, yb))| (xa & (ya ^ yb)) ^ (xb & ya)));
    }

    /// x & (y ^ w).
    pub(crate) fn push_xor(&mut self, x: Held<'_>, y: Held<'_>, w: Held<'_>) {
        let ys = y.0.iter().zip(y.1).zip(w.0.iter().zip(w.1));
        let terms = x.0.iter().zip(x.1).zip(ys);
        self.words.extend(terms.map(|((xa, xb), ((ya, yb), (wa, wb)))| {
            let (a, b) = (ya ^ wa, yb ^ wb);
            (xa & (a ^ b)) ^ (xb & a)
        }));
    }

    /// One round; both components of all gates in the order in which they were pushed.
    pub(crate) fn run(self, s: &mut Session) -> Result<(Vec<u64>, Vec<u64>)> {
        let mut own = self.words;
        if own.is_empty() {
            return Ok((own, Vec::new()));
        }
        s.mask_zero_xor(&mut own)?;
        s.send(s.previous(), bytes_from_words(&own))?;
        let other = words_from_bytes(&s.receive(s.next(), own.len() * 8)?);
        s.end_round();
        Ok((own, other))
    }
}

/// Products of one round; every ring multiplication of the crate goes through here.
fn reshare<T: Ring>(s: &mut Session, mut own: Vec<T>) -> Result<(Vec<T>, Vec<T>)> {
    if own.is_empty() {
        return Ok((own, Vec::new()));
    }
    s.mask_zero_ring(&mut own)?;
    s.send(s.previous(), bytes_from_elements(&own))?;
    let other = elements_from_bytes(&s.receive(s.next(), own.len() * T::BYTES)?);
    s.end_round();
    Ok((own, other))
}

/// This party's three terms of each row's product.
fn local_terms<'a, T: Ring>(x: &'a Arith<T>, y: &'a Arith<T>) -> impl Iterator<Item = T> + 'a {
    let ((xa, xb), (ya, yb)) = (x.components(), y.components());
    let pairs = xa.iter().zip(xb).zip(ya.iter().zip(yb));
    pairs.map(|((xa, xb), (ya, yb))| xa.times(ya.plus(*yb)).plus(xb.times(*ya)))
}

/// AND, plane by plane; a width-1 operand is repeated (still 3 bits an output bit). 3k, 1 round.
/// Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn and(s: &mut Session, x: &Planes, y: &Planes) -> Result<Planes> {
    let mut results = and_many(s, &[(x, y)])?;
    results.pop().ok_or(MpcError::Shape("one result for one pair"))
}

/// Several independent ANDs in one round; lengths may differ from pair to pair. 3k each, 1 round.
/// Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn and_many(s: &mut Session, pairs: &[(&Planes, &Planes)]) -> Result<Vec<Planes>> {
    let mut shapes = Vec::with_capacity(pairs.len());
    for (x, y) in pairs {
        ready_rows(s, x, y)?;
        let width = match (x.width(), y.width()) {
            (k, l) if k == l => k,
            (1, k) | (k, 1) => k,
            _ => return Err(MpcError::Shape("AND of columns of different width")),
        };
        shapes.push((x.len(), width));
    }
    if s.is_dry() {
        s.charge(cost_and_many(&shapes));
        return Ok(shapes.into_iter().map(|(len, width)| Planes::ghost(len, width)).collect());
    }
    let words = pairs.iter().zip(&shapes).map(|((x, _), shape)| x.words() * shape.1).sum();
    let mut gates = Gates::new(1, words);
    for ((x, y), &(_, width)) in pairs.iter().zip(&shapes) {
        if x.width() == y.width() {
            gates.push(x.components(), y.components());
            continue;
        }
        let (one, many) = if x.width() == 1 { (x, y) } else { (y, x) };
        for j in 0..width {
            gates.push(one.plane(0), many.plane(j));
        }
    }
    let (own, other) = gates.run(s)?;
    if let [(len, width)] = shapes[..] {
        return Ok(vec![Planes::from_components(len, width, own, other)]);
    }
    let mut from = 0;
    let mut results = Vec::with_capacity(pairs.len());
    for ((x, _), &(len, width)) in pairs.iter().zip(&shapes) {
        let range = from..from + x.words() * width;
        from = range.end;
        let (a, b) = (own[range.clone()].to_vec(), other[range].to_vec());
        results.push(Planes::from_components(len, width, a, b));
    }
    Ok(results)
}

/// OR, plane by plane; widths as for [`and`]. 3k, 1 round. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn or(s: &mut Session, x: &Planes, y: &Planes) -> Result<Planes> {
    let both = and(s, x, y)?;
    Ok(x.xor(y).xor(&both))
}

/// bit ? x : y, row by row; `bit` has width 1. 3k, 1 round. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn select(s: &mut Session, bit: &Planes, x: &Planes, y: &Planes) -> Result<Planes> {
    super::ready_both(s, x, y)?;
    if bit.width() != 1 {
        return Err(MpcError::Shape("a choice by one bit"));
    }
    let difference = and(s, bit, &x.xor(y))?;
    Ok(y.xor(&difference))
}

/// Row-wise product. 3k, 1 round. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn mul<T: Ring>(s: &mut Session, x: &Arith<T>, y: &Arith<T>) -> Result<Arith<T>> {
    let mut results = mul_many(s, &[(x, y)])?;
    results.pop().ok_or(MpcError::Shape("one result for one pair"))
}

fn check_pairs<T: Ring>(s: &Session, pairs: &[(&Arith<T>, &Arith<T>)]) -> Result<()> {
    for (x, y) in pairs {
        ready_arith(s, x)?;
        ready_arith(s, y)?;
        if x.len() != y.len() {
            return Err(MpcError::Shape("columns of different length"));
        }
    }
    Ok(())
}

/// Several products in one round; lengths may differ from pair to pair. 3k each, 1 round. Reveals
/// nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn mul_many<T: Ring>(
    s: &mut Session,
    pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Vec<Arith<T>>> {
    check_pairs(s, pairs)?;
    let total = pairs.iter().map(|(x, _)| x.len()).sum();
    if s.is_dry() {
        s.charge(cost_multiply(total, T::BITS));
        return Ok(pairs.iter().map(|(x, _)| Arith::ghost(x.len())).collect());
    }
    let mut terms = Vec::with_capacity(total);
    for (x, y) in pairs {
        terms.extend(local_terms(x, y));
    }
    let (own, other) = reshare(s, terms)?;
    if pairs.len() == 1 {
        return Ok(vec![Arith::from_components(own, other)]);
    }
    let mut from = 0;
    let cut = pairs.iter().map(|(x, _)| {
        let range = from..from + x.len();
        from = range.end;
        Arith::from_components(own[range.clone()].to_vec(), other[range].to_vec())
    });
    Ok(cut.collect())
}

/// For each pair the inner product, all in one round: one row per pair (a vector of `pairs.len()`
/// rows). 3k per pair whatever the lengths, 1 round. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn inner_products<T: Ring>(
    s: &mut Session,
    pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Arith<T>> {
    check_pairs(s, pairs)?;
    if s.is_dry() {
        s.charge(cost_multiply(pairs.len(), T::BITS));
        return Ok(Arith::ghost(pairs.len()));
    }
    let sums = pairs.iter().map(|(x, y)| local_terms(x, y).fold(T::default(), T::plus)).collect();
    let (own, other) = reshare(s, sums)?;
    Ok(Arith::from_components(own, other))
}

/// Row by row the sum of the products of all pairs. 3k a row whatever the number of pairs, 1 round. Real
/// sessions only; columns of equal length.
pub(crate) fn sum_of_products<T: Ring>(
    s: &mut Session,
    pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Arith<T>> {
    check_pairs(s, pairs)?;
    let mut sums = vec![T::default(); pairs.first().map_or(0, |(x, _)| x.len())];
    for (x, y) in pairs {
        for (sum, term) in sums.iter_mut().zip(local_terms(x, y)) {
            *sum = sum.plus(term);
        }
    }
    let (own, other) = reshare(s, sums)?;
    Ok(Arith::from_components(own, other))
}
