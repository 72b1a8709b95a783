//! Comparison of boolean columns, unsigned.
//!
//! Less-than keeps per bit "same" = !(x ^ y) and "less" = y ("if they differ, x is less"). A range of
//! bits combines as less = less_lo ^ !same_hi & (less_hi ^ less_lo), same = same_hi & same_lo, and the
//! lowest bit starts with less = (x ^ y) & y, which is y itself where keys are distinct.

use std::marker::PhantomData;

use super::gates::{Gate, Sum, run, run_buffered};
use super::{ready, ready_both};
use crate::cost::{
    Circuit, Layout, chosen, cost_equal, cost_less_than_as, cost_less_than_short_as,
    cost_or_all_rows, halved,
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
    all_of(s, [x], |[x], j| Sum::of(x.plane(j)))
}

/// AND over `width` sums of planes.
fn all_of<const N: usize>(
    s: &mut Session,
    columns: [&Planes; N],
    leaf: impl for<'a> Fn([&'a Planes; N], usize) -> Sum<'a> + Sync,
) -> Result<Planes> {
    let (len, width) = columns.first().map_or((0, 0), |column| (column.len(), column.width()));
    if s.is_dry() {
        s.charge(cost_equal(len, width));
        return Ok(Planes::ghost(len, 1));
    }
    if width == 0 {
        return Ok(Planes::constant(s.party(), len, &[true]));
    }
    s.by_rows(len, columns, |s, columns| {
        all_of_part(s, columns[0].len(), width, |j| leaf(columns, j))
    })
}

fn all_of_part<'a>(
    s: &mut Session,
    len: usize,
    width: usize,
    leaf: impl Fn(usize) -> Sum<'a>,
) -> Result<Planes> {
    let mut table = Table::new(bits::words(len), leaf);
    let mut nodes: Vec<Part> = (0..width).map(Part::Leaf).collect();
    while nodes.len() > 1 {
        let half = nodes.len() / 2;
        let gate = |i: usize| (nodes[i], nodes[half + i]);
        let pairs: Vec<(Part, Part)> = (0..half).map(gate).collect();
        let gates = pairs.iter().map(|&(left, right)| Gate {
            left: table.sum(left),
            right: table.sum(right),
            plus: Sum::ZERO,
            words: table.words,
        });
        let gates: Vec<Gate<'_>> = gates.collect();
        let results = run_buffered(s, &gates)?;
        let rest = nodes.split_off(2 * half);
        nodes = table.made(results, half);
        nodes.extend(rest);
        for (left, right) in pairs {
            table.release(s, left);
            table.release(s, right);
        }
    }
    table.take(s, len, nodes[0])
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
        let gate = Gate::and((&a, &b), (&high_a, &high_b));
        let (mut own, mut other) = (vec![0; words], vec![0; words]);
        run(s, &[gate], &mut own, &mut other)?;
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
    all_of(s, [x, y], |[x, y], j| Sum::both(x.plane(j), y.plane(j)).flipped(true))
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
    let bit = |j: usize| value.get(j).copied().unwrap_or(false);
    all_of(s, [x], |[x], j| Sum::of(x.plane(j)).flipped(!bit(j)))
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
    s.chosen().note_circuit(form, width);
    if s.is_dry() {
        s.charge(cost);
        return Ok(Planes::ghost(len, 1));
    }
    less_than_as(s, form, x, y)
}

/// [`less_than`] in one form. Real sessions only; cost [`cost_less_than_as`].
pub(crate) fn less_than_as(
    s: &mut Session,
    form: Circuit,
    x: &Planes,
    y: &Planes,
) -> Result<Planes> {
    let (len, width) = (x.len(), x.width());
    s.by_rows(len, [x, y], |s, [x, y]| {
        let less = |j: usize| Sum::of(y.plane(j));
        let same = |j: usize| Sum::both(x.plane(j), y.plane(j)).flipped(true);
        if width == 0 || len == 0 {
            return less_of(s, form, x.len(), width, less, same);
        }
        let words = x.words();
        let (left, right) = (same(0).flipped(true), less(0));
        let gate = Gate { left, right, plus: Sum::ZERO, words };
        let (mut own, mut other) = (s.take_buffer(words), s.take_buffer(words));
        run(s, &[gate], &mut own, &mut other)?;
        let lowest = |j: usize| if j == 0 { Sum::of((&own, &other)) } else { less(j) };
        let result = less_of(s, form, x.len(), width, lowest, same);
        s.give_buffer(own);
        s.give_buffer(other);
        result
    })
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
    s.chosen().note_circuit(form, width);
    if s.is_dry() {
        s.charge(cost);
        return Ok(Planes::ghost(len, 1));
    }
    // A lowest bit of x is less than the constant's if it is 0 and that is 1.
    let bit = |j: usize| value.get(j).copied().unwrap_or(false);
    s.by_rows(len, [x], |s, [x]| {
        let less = |j: usize| match j {
            0 if bit(0) => Sum::of(x.plane(0)).flipped(true),
            _ => Sum::ZERO.flipped(j > 0 && bit(j)),
        };
        let same = |j: usize| Sum::of(x.plane(j)).flipped(!bit(j));
        less_of(s, form, x.len(), width, less, same)
    })
}

/// x < y where no row has x == y; then the lowest bit is free. Costs as
/// [`less_than_constant`]. Real sessions only.
pub(crate) fn less_than_distinct(
    s: &mut Session,
    form: Circuit,
    x: &Planes,
    y: &Planes,
) -> Result<Planes> {
    s.by_rows(x.len(), [x, y], |s, [x, y]| {
        let less = |j: usize| Sum::of(y.plane(j));
        let same = |j: usize| Sum::both(x.plane(j), y.plane(j)).flipped(true);
        less_of(s, form, x.len(), x.width(), less, same)
    })
}

/// The verdict of the highest bit that differs, from that of every bit alone (of the lowest: final)
/// and whether it is the same on both sides. Real sessions only; cost
/// [`crate::cost::cost_less_than_short_as`].
fn less_of<'a>(
    s: &mut Session,
    form: Circuit,
    len: usize,
    width: usize,
    less: impl Fn(usize) -> Sum<'a>,
    same: impl Fn(usize) -> Sum<'a>,
) -> Result<Planes> {
    if width == 0 || len == 0 {
        return Ok(Planes::constant(s.party(), len, &[false]));
    }
    // Leaf j says less, leaf width + j says same.
    let leaf = |i: usize| if i < width { less(i) } else { same(i - width) };
    let mut table = Table::new(bits::words(len), leaf);
    let layout = Layout::of(form, width);
    let node = |j: usize| Node { less: Part::Leaf(j), same: Part::Leaf(width + j) };
    let mut blocks: Vec<Node> = layout.all().map(|block| node(block.start)).collect();
    for r in 1..layout.longest() {
        let grows: Vec<usize> = (0..blocks.len()).filter(|&i| r < layout.block(i).len()).collect();
        let pairs = grows.iter().map(|&i| (blocks[i], node(layout.block(i).start + r)));
        let pairs: Vec<(Node, Node)> = pairs.collect();
        let joined = table.join(s, &pairs)?;
        for (i, node) in grows.into_iter().zip(joined) {
            blocks[i] = node;
        }
    }
    // Where there is no power of two of blocks the lowest sits out one level, which brings its depth,
    // and with it the saving of its `same`, to floor(log2 blocks).
    let mut may_rest = !blocks.len().is_power_of_two();
    while blocks.len() > 1 {
        let rests = usize::from(may_rest && blocks.len() % 2 == 1);
        may_rest &= rests == 0;
        let pairs: Vec<(Node, Node)> =
            blocks[rests..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        let after = blocks.split_off(rests + 2 * pairs.len());
        blocks.truncate(rests);
        if rests == 0 {
            blocks.extend(table.join(s, &pairs)?);
        } else {
            blocks.extend(table.join_above(s, &pairs)?);
        }
        blocks.extend(after);
    }
    table.take(s, len, blocks[0].less)
}

/// A range of bits.
#[derive(Clone, Copy)]
struct Node {
    less: Part,
    /// Not asked for, and not made, in the lowest range of all.
    same: Part,
}

/// A plane: one of the inputs, or one that gates made.
#[derive(Clone, Copy)]
enum Part {
    Leaf(usize),
    /// Plane `plane` of round `round`.
    Made {
        round: usize,
        plane: usize,
    },
    /// None.
    Absent,
}

/// What one round made, and how many of its planes are still needed.
struct Made {
    a: Vec<u64>,
    b: Vec<u64>,
    needed: usize,
}

/// The planes of a circuit. Every plane is used once; buffers go back when all theirs are.
struct Table<'a, F: Fn(usize) -> Sum<'a>> {
    words: usize,
    leaf: F,
    rounds: Vec<Option<Made>>,
    leaves: PhantomData<Sum<'a>>,
}

impl<'a, F: Fn(usize) -> Sum<'a>> Table<'a, F> {
    fn new(words: usize, leaf: F) -> Self {
        Self { words, leaf, rounds: Vec::new(), leaves: PhantomData }
    }

    fn sum(&self, part: Part) -> Sum<'_> {
        match part {
            Part::Leaf(leaf) => (self.leaf)(leaf),
            Part::Absent => Sum::ZERO,
            Part::Made { round, plane } => {
                let words = plane * self.words..(plane + 1) * self.words;
                let made = self.rounds[round].as_ref();
                made.map_or(Sum::ZERO, |made| Sum::of((&made.a[words.clone()], &made.b[words])))
            }
        }
    }

    /// Keeps the planes of a round.
    fn made(&mut self, results: (Vec<u64>, Vec<u64>), planes: usize) -> Vec<Part> {
        let round = self.rounds.len();
        self.rounds.push(Some(Made { a: results.0, b: results.1, needed: planes }));
        (0..planes).map(|plane| Part::Made { round, plane }).collect()
    }

    /// A plane has been used.
    fn release(&mut self, s: &mut Session, part: Part) {
        let Part::Made { round, .. } = part else { return };
        let Some(made) = &mut self.rounds[round] else { return };
        made.needed -= 1;
        if made.needed == 0
            && let Some(made) = self.rounds[round].take()
        {
            s.give_buffer(made.a);
            s.give_buffer(made.b);
        }
    }

    /// The plane as a column of its own.
    fn take(mut self, s: &mut Session, len: usize, part: Part) -> Result<Planes> {
        let (mut a, mut b) = (vec![0; self.words], vec![0; self.words]);
        self.sum(part).write(s.party(), &mut a, &mut b);
        self.release(s, part);
        Ok(Planes::from_components(len, 1, a, b))
    }

    /// One round: joins every (lower, higher) pair of neighbours; the first pair is the lowest of all.
    fn join(&mut self, s: &mut Session, pairs: &[(Node, Node)]) -> Result<Vec<Node>> {
        self.join_from(s, pairs, 1)
    }

    /// The same where none of them is the lowest.
    fn join_above(&mut self, s: &mut Session, pairs: &[(Node, Node)]) -> Result<Vec<Node>> {
        self.join_from(s, pairs, 0)
    }

    /// less = less_lo ^ differs_hi & (less_hi ^ less_lo), same = same_hi & same_lo, the latter not for
    /// the first `lowest` pairs.
    fn join_from(
        &mut self,
        s: &mut Session,
        pairs: &[(Node, Node)],
        lowest: usize,
    ) -> Result<Vec<Node>> {
        let words = self.words;
        let mut gates = Vec::with_capacity(2 * pairs.len());
        for (low, high) in pairs {
            let plus = self.sum(low.less);
            let (left, right) = (self.sum(high.same).flipped(true), self.sum(high.less).xor(plus));
            gates.push(Gate { left, right, plus, words });
        }
        for (low, high) in &pairs[lowest..] {
            let (left, right) = (self.sum(high.same), self.sum(low.same));
            gates.push(Gate { left, right, plus: Sum::ZERO, words });
        }
        let results = run_buffered(s, &gates)?;
        let planes = self.made(results, 2 * pairs.len() - lowest);
        for (low, high) in pairs {
            for part in [low.less, low.same, high.less, high.same] {
                self.release(s, part);
            }
        }
        let (less, same) = planes.split_at(pairs.len());
        let same = std::iter::repeat_n(&Part::Absent, lowest).chain(same);
        Ok(less.iter().zip(same).map(|(&less, &same)| Node { less, same }).collect())
    }
}
