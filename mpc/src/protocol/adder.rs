//! Addition of boolean columns modulo 2^width.
//!
//! Both forms work on p = x ^ y. Ripple: c' = y ^ p & (y ^ c), one AND and one round a bit. Prefix
//! (Sklansky): g = x & y, then ranges of bits combine as g = g_hi ^ p_hi & g_lo, p = p_hi & p_lo.

use super::multiply::Gates;
use super::{ready, ready_both};
use crate::cost::{Circuit, ceil_log2, cost_carries, cost_prefix_and};
use crate::shares::planes::{Held, xor_into};
use crate::{MpcError, Planes, Result, Session};

/// x + y (+ carry-in bit), mod 2^width. Ripple 3(k-1), k-1 rounds; or a prefix tree,
/// 1 + ceil(log2(k-1)) rounds; see [`crate::cost::cost_add`]. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn add(s: &mut Session, x: &Planes, y: &Planes, carry: bool) -> Result<Planes> {
    ready_both(s, x, y)?;
    let (len, width) = (x.len(), x.width());
    let wanted = width.saturating_sub(1);
    let (form, cost) = cost_carries(s.profile(), len, wanted);
    if s.is_dry() {
        s.charge(cost);
        return Ok(Planes::ghost(len, width));
    }
    if width == 0 {
        return Ok(x.clone());
    }
    let into = Planes::constant(s.party(), len, &[carry]);
    let carries = carries(s, form, &x.bits(0..wanted), &y.bits(0..wanted), carry)?;
    Ok(x.xor(y).xor(&into.stack(&carries)))
}

/// x - y mod 2^width. As [`add`]. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn subtract(s: &mut Session, x: &Planes, y: &Planes) -> Result<Planes> {
    let complement = y.not(s.party());
    add(s, x, &complement, true)
}

/// Two's complement |x| and sign bit. As [`negate_if`]. Reveals nothing.
///
/// # Errors
/// Network; a column without bits.
pub fn absolute(s: &mut Session, x: &Planes) -> Result<(Planes, Planes)> {
    if x.width() == 0 {
        return Err(MpcError::Shape("a sign needs a bit"));
    }
    let sign = x.bits(x.width() - 1..x.width());
    let magnitude = negate_if(s, &sign, x)?;
    Ok((magnitude, sign))
}

/// bit ? -x : x, two's complement: complement, then an incrementer. Ripple 3(k-1), k-1 rounds; or
/// a prefix tree, ceil(log2 k) rounds. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn negate_if(s: &mut Session, bit: &Planes, x: &Planes) -> Result<Planes> {
    ready(s, x)?;
    ready(s, bit)?;
    if bit.width() != 1 || bit.len() != x.len() {
        return Err(MpcError::Shape("one bit for every row"));
    }
    let (len, width) = (x.len(), x.width());
    let (form, cost) = cost_prefix_and(s.profile(), len, width);
    if s.is_dry() {
        s.charge(cost);
        return Ok(Planes::ghost(len, width));
    }
    if width == 0 {
        return Ok(x.clone());
    }
    let flipped = x.xor(bit);
    // The carry into bit j is the AND of the bit and of all lower planes.
    let carries = prefix_and(s, form, &bit.stack(&flipped.bits(0..width - 1)))?;
    Ok(flipped.xor(&carries))
}

/// The carries out of every bit of x + y + carry. Real sessions only; cost
/// [`crate::cost::cost_carries_as`].
pub(crate) fn carries(
    s: &mut Session,
    form: Circuit,
    x: &Planes,
    y: &Planes,
    carry: bool,
) -> Result<Planes> {
    if x.width() == 0 {
        return Ok(x.clone());
    }
    match form {
        Circuit::Ripple => carries_ripple(s, x, y, carry),
        Circuit::Tree => carries_prefix(s, x, y, carry),
    }
}

fn carries_ripple(s: &mut Session, x: &Planes, y: &Planes, carry: bool) -> Result<Planes> {
    let (len, width, words) = (x.len(), x.width(), x.words());
    let propagate = x.xor(y);
    let first = Planes::constant(s.party(), len, &[carry]);
    let (mut a, mut b) = (Vec::with_capacity(width * words), Vec::with_capacity(width * words));
    for j in 0..width {
        let mut gates = Gates::new(1, words);
        let from = j.saturating_sub(1) * words;
        let before: Held<'_> = if j == 0 { first.plane(0) } else { (&a[from..], &b[from..]) };
        gates.push_xor(propagate.plane(j), y.plane(j), before);
        let (mut own, mut other) = gates.run(s)?;
        xor_into(&mut own, y.plane(j).0);
        xor_into(&mut other, y.plane(j).1);
        a.append(&mut own);
        b.append(&mut other);
    }
    Ok(Planes::from_components(len, width, a, b))
}

fn carries_prefix(s: &mut Session, x: &Planes, y: &Planes, carry: bool) -> Result<Planes> {
    let (len, width, words) = (x.len(), x.width(), x.words());
    let mut generate = Gates::new(width, words);
    generate.push(x.components(), y.components());
    let (own, other) = generate.run(s)?;
    let propagate = x.xor(y);
    let mut g = Planes::from_components(len, width, own, other);
    if carry {
        // x0 | y0 instead of x0 & y0.
        let lowest = g.bits(0..1).xor(&propagate.bits(0..1));
        g = lowest.stack(&g.bits(1..width));
    }
    let (mut p_a, mut p_b) = parts(&propagate);
    let (mut g_a, mut g_b) = parts(&g);
    for level in 0..ceil_log2(width) {
        let highs: Vec<usize> = (0..width).filter(|j| j >> level & 1 == 1).collect();
        let inner: Vec<usize> = highs.iter().copied().filter(|j| j >> (level + 1) != 0).collect();
        let plane = |j: usize| j * words..(j + 1) * words;
        let low = |j: usize| plane((j >> level << level) - 1);
        let mut gates = Gates::new(highs.len() + inner.len(), words);
        for &j in &highs {
            gates.push((&p_a[plane(j)], &p_b[plane(j)]), (&g_a[low(j)], &g_b[low(j)]));
        }
        for &j in &inner {
            gates.push((&p_a[plane(j)], &p_b[plane(j)]), (&p_a[low(j)], &p_b[low(j)]));
        }
        let (own, other) = gates.run(s)?;
        for (result, g, p) in [(own, &mut g_a, &mut p_a), (other, &mut g_b, &mut p_b)] {
            for (i, &j) in highs.iter().enumerate() {
                xor_into(&mut g[plane(j)], &result[plane(i)]);
            }
            for (i, &j) in inner.iter().enumerate() {
                p[plane(j)].copy_from_slice(&result[plane(highs.len() + i)]);
            }
        }
    }
    Ok(Planes::from_components(len, width, g_a, g_b))
}

/// Plane j of the result = AND of planes 0..=j. Real sessions only; cost
/// [`crate::cost::cost_prefix_and_as`].
pub(crate) fn prefix_and(s: &mut Session, form: Circuit, x: &Planes) -> Result<Planes> {
    let (width, words) = (x.width(), x.words());
    let plane = |j: usize| j * words..(j + 1) * words;
    let (mut a, mut b) = parts(x);
    // Ripple takes one plane a round, the tree all planes of a level at once.
    let rounds: Vec<Vec<(usize, usize)>> = match form {
        Circuit::Ripple => (1..width).map(|j| vec![(j, j - 1)]).collect(),
        Circuit::Tree => (0..ceil_log2(width))
            .map(|level| {
                let highs = (0..width).filter(|j| j >> level & 1 == 1);
                highs.map(|j| (j, (j >> level << level) - 1)).collect()
            })
            .collect(),
    };
    for pairs in rounds {
        let mut gates = Gates::new(pairs.len(), words);
        for &(j, low) in &pairs {
            gates.push((&a[plane(j)], &b[plane(j)]), (&a[plane(low)], &b[plane(low)]));
        }
        let (own, other) = gates.run(s)?;
        for (i, &(j, _)) in pairs.iter().enumerate() {
            a[plane(j)].copy_from_slice(&own[plane(i)]);
            b[plane(j)].copy_from_slice(&other[plane(i)]);
        }
    }
    Ok(Planes::from_components(x.len(), width, a, b))
}

fn parts(x: &Planes) -> (Vec<u64>, Vec<u64>) {
    let (a, b) = x.components();
    (a.to_vec(), b.to_vec())
}
