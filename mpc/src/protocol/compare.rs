//! Comparison of boolean columns, unsigned.
//!
//! Less-than keeps per bit d = x ^ y ("differs") and v = y ("then x is less"). A range of bits
//! combines as d = d_hi | d_lo, v = v_lo ^ d_hi & (v_hi ^ v_lo), and the lowest bit starts with
//! v = d & y, which is y itself where keys are distinct.

use super::multiply::Gates;
use super::{ready, ready_both};
use crate::cost::{
    Circuit, chosen, cost_equal, cost_less_than_as, cost_less_than_short_as, cost_or_all_rows,
    halved,
};
use crate::shares::planes::xor_into;
use crate::{MpcError, Planes, Result, Session, bits};

/// AND over all planes of a column: width-1 result (ones for width 0). 3(k-1), ceil(log2 k)
/// rounds. Reveals nothing.
///
/// # Errors
/// Network.
pub fn and_all_planes(s: &mut Session, x: &Planes) -> Result<Planes> {
    ready(s, x)?;
    if s.is_dry() {
        s.charge(cost_equal(x.len(), x.width()));
        return Ok(Planes::ghost(x.len(), 1));
    }
    if x.width() == 0 {
        return Ok(Planes::constant(s.party(), x.len(), &[true]));
    }
    let words = x.words();
    let (mut a, mut b) = (x.components().0.to_vec(), x.components().1.to_vec());
    let mut planes = x.width();
    while planes > 1 {
        let half = planes / 2;
        let cut = half * words;
        let mut gates = Gates::new(half, words);
        gates.push((&a[..cut], &b[..cut]), (&a[cut..2 * cut], &b[cut..2 * cut]));
        let (own, other) = gates.run(s)?;
        // An odd plane stays where it is, behind the results.
        a.drain(..cut);
        b.drain(..cut);
        a[..cut].copy_from_slice(&own);
        b[..cut].copy_from_slice(&other);
        planes -= half;
    }
    Ok(Planes::from_components(x.len(), 1, a, b))
}

/// OR over all rows of a width-1 column: one row (0 for no rows). About 3n bits, ceil(log2 n)
/// rounds. Reveals nothing.
///
/// # Errors
/// Network; a column wider than one bit.
pub fn or_all_rows(s: &mut Session, x: &Planes) -> Result<Planes> {
    ready(s, x)?;
    if x.width() != 1 {
        return Err(MpcError::Shape("OR over the rows of one bit"));
    }
    if s.is_dry() {
        s.charge(cost_or_all_rows(x.len()));
        return Ok(Planes::ghost(1, 1));
    }
    let (mut a, mut b) =
        (x.clear_component(true).into_owned(), x.clear_component(false).into_owned());
    a.resize(a.len().max(1), 0);
    b.resize(b.len().max(1), 0);
    let mut rows = x.len();
    while rows > 1 {
        let half = halved(rows);
        let (high_a, high_b) = (upper(&a, rows, half), upper(&b, rows, half));
        let words = bits::words(half);
        a.truncate(words);
        b.truncate(words);
        bits::clear_tails(&mut a, half);
        bits::clear_tails(&mut b, half);
        let mut gates = Gates::new(1, words);
        gates.push((&a, &b), (&high_a, &high_b));
        let (own, other) = gates.run(s)?;
        for (low, high, and) in [(&mut a, &high_a, &own), (&mut b, &high_b, &other)] {
            xor_into(low, high);
            xor_into(low, and);
            // Masks lie in the bits beyond the last row too.
            bits::clear_tails(low, half);
        }
        rows = half;
    }
    Ok(Planes::from_components(1, 1, a, b))
}

/// Rows `half..rows` of a plane, padded with zeros to `half` rows.
fn upper(plane: &[u64], rows: usize, half: usize) -> Vec<u64> {
    let mut out = vec![0; bits::words(half)];
    let count = rows - half;
    bits::slice_plane(plane, half, count, &mut out[..bits::words(count)]);
    out
}

/// x == y: width 1. 3(k-1), ceil(log2 k) rounds. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn equal(s: &mut Session, x: &Planes, y: &Planes) -> Result<Planes> {
    ready_both(s, x, y)?;
    and_all_planes(s, &x.xor(y).not(s.party()))
}

/// x == constant (missing high bits are zero): width 1. 3(k-1), ceil(log2 k) rounds. Reveals
/// nothing.
///
/// # Errors
/// Network; a constant wider than the column.
pub fn equal_constant(s: &mut Session, x: &Planes, value: &[bool]) -> Result<Planes> {
    ready(s, x)?;
    if value.len() > x.width() {
        return Err(MpcError::Shape("a constant wider than the column"));
    }
    and_all_planes(s, &x.xor_constant(s.party(), value).not(s.party()))
}

/// x < y, unsigned: width 1; circuit form from the session's profile and n. Tree
/// 3(2k-1-floor(log2 k)), 1+ceil(log2 k) rounds; ripple 3k, k rounds. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn less_than(s: &mut Session, x: &Planes, y: &Planes) -> Result<Planes> {
    ready_both(s, x, y)?;
    let (len, width) = (x.len(), x.width());
    let (form, cost) = chosen(s.profile(), |form| cost_less_than_as(form, len, width));
    if s.is_dry() {
        s.charge(cost);
        return Ok(Planes::ghost(len, 1));
    }
    if width == 0 {
        return Ok(Planes::constant(s.party(), len, &[false]));
    }
    let differs = x.xor(y);
    let mut gates = Gates::new(1, x.words());
    gates.push(differs.plane(0), y.plane(0));
    let (own, other) = gates.run(s)?;
    let lowest = Planes::from_components(len, 1, own, other);
    let less = lowest.stack(&y.bits(1..width));
    combine(s, form, differs, less)
}

/// x < constant (missing high bits are zero), unsigned: width 1. Tree 3(2k-2-floor(log2 k)),
/// ceil(log2 k) rounds; ripple 3(k-1), k-1 rounds. Reveals nothing.
///
/// # Errors
/// Network; a constant wider than the column.
pub fn less_than_constant(s: &mut Session, x: &Planes, value: &[bool]) -> Result<Planes> {
    ready(s, x)?;
    let (len, width) = (x.len(), x.width());
    if value.len() > width {
        return Err(MpcError::Shape("a constant wider than the column"));
    }
    let (form, cost) = chosen(s.profile(), |form| cost_less_than_short_as(form, len, width));
    if s.is_dry() {
        s.charge(cost);
        return Ok(Planes::ghost(len, 1));
    }
    if width == 0 {
        return Ok(Planes::constant(s.party(), len, &[false]));
    }
    let mut bits = value.to_vec();
    bits.resize(width, false);
    let differs = x.xor_constant(s.party(), &bits);
    let lowest = differs.bits(0..1).and_constant(&bits[..1]);
    let less = lowest.stack(&Planes::constant(s.party(), len, &bits[1..]));
    combine(s, form, differs, less)
}

/// x < y where no row has x == y; then the lowest bit is free. Costs as
/// [`less_than_constant`]. Real sessions only.
pub(crate) fn less_than_distinct(
    s: &mut Session,
    form: Circuit,
    x: &Planes,
    y: Planes,
) -> Result<Planes> {
    let differs = x.xor(&y);
    combine(s, form, differs, y)
}

/// The verdict of the highest bit that differs; at the lowest bit `less` holds it already.
fn combine(s: &mut Session, form: Circuit, differs: Planes, less: Planes) -> Result<Planes> {
    match form {
        Circuit::Ripple => combine_ripple(s, &differs, &less),
        Circuit::Tree => combine_tree(s, differs, less),
    }
}

fn combine_ripple(s: &mut Session, differs: &Planes, less: &Planes) -> Result<Planes> {
    let (a, b) = less.plane(0);
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    for j in 1..less.width() {
        let mut gates = Gates::new(1, less.words());
        gates.push_xor(differs.plane(j), less.plane(j), (&a, &b));
        let (own, other) = gates.run(s)?;
        xor_into(&mut a, &own);
        xor_into(&mut b, &other);
    }
    Ok(Planes::from_components(less.len(), 1, a, b))
}

fn combine_tree(s: &mut Session, mut differs: Planes, mut less: Planes) -> Result<Planes> {
    // The lowest range needs no `differs`. Where k is no power of two it sits out one level, which
    // brings its depth, and with it the saving, to floor(log2 k).
    let mut may_rest = !less.width().is_power_of_two();
    while less.width() > 1 {
        let nodes = less.width();
        let rests = may_rest && nodes % 2 == 1;
        may_rest &= !rests;
        (differs, less) = tree_level(s, &differs, &less, usize::from(rests))?;
    }
    Ok(less)
}

/// Combines neighbours (first, first+1), (first+2, first+3), ...; others stay.
fn tree_level(
    s: &mut Session,
    differs: &Planes,
    less: &Planes,
    first: usize,
) -> Result<(Planes, Planes)> {
    let (nodes, words) = (less.width(), less.words());
    let pairs = (nodes - first) / 2;
    // The lowest node of all is never asked whether it differs.
    let skip = usize::from(first == 0);
    let mut gates = Gates::new(2 * pairs - skip, words);
    for low in (first..).step_by(2).take(pairs) {
        gates.push_xor(differs.plane(low + 1), less.plane(low + 1), less.plane(low));
    }
    for low in (first..).step_by(2).take(pairs).skip(skip) {
        gates.push(differs.plane(low + 1), differs.plane(low));
    }
    let results = gates.run(s)?;
    let level = Level { nodes, words, first, pairs, skip };
    let ((da, db), (la, lb)) = (differs.components(), less.components());
    let (differs_a, less_a) = level.next(da, la, &results.0);
    let (differs_b, less_b) = level.next(db, lb, &results.1);
    let (len, width) = (less.len(), nodes - pairs);
    Ok((
        Planes::from_components(len, width, differs_a, differs_b),
        Planes::from_components(len, width, less_a, less_b),
    ))
}

/// Shape of one level of the tree.
struct Level {
    nodes: usize,
    words: usize,
    first: usize,
    pairs: usize,
    skip: usize,
}

impl Level {
    /// One component of the next level's (differs, less) from this level's and the gates.
    fn next(&self, differs: &[u64], less: &[u64], gates: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let words = self.words;
        let plane = |j: usize| j * words..(j + 1) * words;
        let total = (self.nodes - self.pairs) * words;
        let (mut d, mut v) = (Vec::with_capacity(total), Vec::with_capacity(total));
        d.extend_from_slice(&differs[..self.first * words]);
        v.extend_from_slice(&less[..self.first * words]);
        for i in 0..self.pairs {
            let low = self.first + 2 * i;
            let chosen = gates[plane(i)].iter().zip(&less[plane(low)]);
            v.extend(chosen.map(|(z, low)| z ^ low));
            if i < self.skip {
                d.resize(d.len() + words, 0);
                continue;
            }
            let both = &gates[plane(self.pairs + i - self.skip)];
            let either = differs[plane(low)].iter().zip(&differs[plane(low + 1)]).zip(both);
            d.extend(either.map(|((low, high), z)| low ^ high ^ z));
        }
        let rest = (self.first + 2 * self.pairs) * words;
        d.extend_from_slice(&differs[rest..]);
        v.extend_from_slice(&less[rest..]);
        (d, v)
    }
}
