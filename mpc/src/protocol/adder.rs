//! Addition of boolean columns modulo 2^width.
//!
//! All forms work on p = x ^ y. Along a block of bits the carry ripples as c' = y ^ p & (y ^ c), one
//! AND and one round a bit; the blocks run side by side. A block that does not know its carry-in goes
//! without and keeps, for every bit, whether the carry-in would come through (the AND of all p so far).
//! A prefix tree (Sklansky) over the blocks finds the true carries between them, and one round hands
//! them out within. One block is the plain ripple, a block for every bit the plain tree.

use super::gates::{Gate, Sum, run, run_buffered};
use super::{ready, ready_both};
use crate::cost::{Circuit, Layout, ceil_log2, cost_carries, cost_prefix_and};
use crate::kernel;
use crate::shares::planes::Held;
use crate::{MpcError, Planes, Result, Session};

/// x + y (+ carry-in bit), mod 2^width. Ripple 3(k-1), k-1 rounds; or a prefix tree,
/// 1 + ceil(log2(k-1)) rounds; or in between; see [`crate::cost::cost_add`]. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn add(s: &mut Session, x: &Planes, y: &Planes, carry: bool) -> Result<Planes> {
    ready_both(s, x, y)?;
    let (len, width) = (x.len(), x.width());
    let (form, cost) = cost_carries(s.profile(), len, width.saturating_sub(1));
    s.chosen().note_circuit(form, width);
    if s.is_dry() {
        s.charge(cost);
        return Ok(Planes::ghost(len, width));
    }
    s.by_rows(len, [x, y], |s, [x, y]| {
        add_operands(s, form, x.len(), width, Operand::of(x, false), Operand::of(y, false), carry)
    })
}

/// [`add`] of operands that may be partly zero. Real sessions only.
pub(super) fn add_operands(
    s: &mut Session,
    form: Circuit,
    len: usize,
    width: usize,
    x: Operand<'_>,
    y: Operand<'_>,
    carry: bool,
) -> Result<Planes> {
    let words = crate::bits::words(len);
    let (mut a, mut b) = (vec![0; width * words], vec![0; width * words]);
    if a.is_empty() {
        return Ok(Planes::from_components(len, width, a, b));
    }
    let party = s.party();
    // The carry into bit j lies in plane j, until the bits join it.
    if carry {
        constant(party, &mut a[..words], &mut b[..words]);
    }
    let sum = |j: usize, a: &mut [u64], b: &mut [u64]| {
        for held in [x.plane(j), y.plane(j)] {
            kernel::xor(a, held.0);
            kernel::xor(b, held.1);
        }
    };
    if Layout::of(form, width - 1).blocks == 1 {
        for j in 0..width - 1 {
            let (low_a, high_a) = a[j * words..].split_at_mut(words);
            let (low_b, high_b) = b[j * words..].split_at_mut(words);
            let gate = carry_gate(x, y, j, Sum::of((low_a, low_b)));
            run(s, &[gate], &mut high_a[..words], &mut high_b[..words])?;
            sum(j, low_a, low_b);
        }
        let top = (width - 1) * words;
        sum(width - 1, &mut a[top..], &mut b[top..]);
    } else {
        carries_into(s, form, x, y, carry, &mut a[words..], &mut b[words..])?;
        let planes = a.chunks_exact_mut(words).zip(b.chunks_exact_mut(words));
        for (j, (a, b)) in planes.enumerate() {
            sum(j, a, b);
        }
    }
    Ok(Planes::from_components(len, width, a, b))
}

/// Shares of a public one in every row.
fn constant(party: usize, a: &mut [u64], b: &mut [u64]) {
    match party {
        0 => a.fill(u64::MAX),
        2 => b.fill(u64::MAX),
        _ => {}
    }
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
/// a prefix tree, ceil(log2 k) rounds; or in between. Reveals nothing.
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
    s.chosen().note_circuit(form, width);
    if s.is_dry() {
        s.charge(cost);
        return Ok(Planes::ghost(len, width));
    }
    if width == 0 {
        return Ok(x.clone());
    }
    s.by_rows(len, [bit, x], |s, [bit, x]| {
        let mut flipped = x.clone();
        flipped.xor_assign(bit);
        // The carry into bit j is the AND of the bit and of all lower planes.
        let carries = prefix_and(s, form, &bit.stack(&flipped.bits(0..width - 1)))?;
        flipped.xor_assign(&carries);
        Ok(flipped)
    })
}

/// An addend. A component without words is zero; so are planes above the width, unless the top plane is
/// repeated.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) held: Held<'a>,
    pub(super) words: usize,
    pub(super) width: usize,
    pub(super) signed: bool,
}

impl<'a> Operand<'a> {
    /// A whole column, extended by zeros or by its sign.
    pub(super) fn of(x: &'a Planes, signed: bool) -> Self {
        Self { held: x.components(), words: x.words(), width: x.width(), signed }
    }
    fn plane(&self, j: usize) -> Held<'a> {
        let j = match self.width.checked_sub(1) {
            Some(top) if j > top && self.signed => top,
            _ => j,
        };
        let plane = |c: &'a [u64]| -> &'a [u64] {
            if j >= self.width || c.is_empty() {
                return &[];
            }
            &c[j * self.words..(j + 1) * self.words]
        };
        (plane(self.held.0), plane(self.held.1))
    }
    /// x_j ^ y_j.
    fn differs(self, y: Self, j: usize) -> Sum<'a> {
        Sum::both(self.plane(j), y.plane(j))
    }
}

/// y_j ^ p_j & (y_j ^ c): the carry out of bit j.
fn carry_gate<'a>(x: Operand<'a>, y: Operand<'a>, j: usize, carry: Sum<'a>) -> Gate<'a> {
    let plus = Sum::of(y.plane(j));
    Gate { left: x.differs(y, j), right: plus.xor(carry), plus, words: x.words }
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
    let size = x.width() * x.words();
    let (mut a, mut b) = (vec![0; size], vec![0; size]);
    carries_into(s, form, Operand::of(x, false), Operand::of(y, false), carry, &mut a, &mut b)?;
    Ok(Planes::from_components(x.len(), x.width(), a, b))
}

/// As many carries as `a` and `b` have planes.
fn carries_into(
    s: &mut Session,
    form: Circuit,
    x: Operand<'_>,
    y: Operand<'_>,
    carry: bool,
    a: &mut [u64],
    b: &mut [u64],
) -> Result<()> {
    let words = x.words;
    if a.is_empty() {
        return Ok(());
    }
    let layout = Layout::of(form, a.len() / words);
    // Whether a carry into the block comes through its bits up to j, for all blocks but the first.
    let size = if layout.blocks == 1 { 0 } else { a.len() };
    let (mut through_a, mut through_b) = (s.take_buffer(size), s.take_buffer(size));
    let mut through = Work { a: &mut through_a, b: &mut through_b, words };
    let mut carries = Work { a, b, words };
    for block in layout.all().skip(1) {
        let j = block.start;
        let (into_a, into_b) = through.plane_mut(j);
        into_a.fill(0);
        into_b.fill(0);
        for held in [x.plane(j), y.plane(j)] {
            kernel::xor(into_a, held.0);
            kernel::xor(into_b, held.1);
        }
    }
    for r in 0..layout.longest() {
        let (mut targets, mut gates) = (Vec::new(), Vec::new());
        for (i, block) in layout.all().enumerate().filter(|(_, block)| r < block.len()) {
            let j = block.start + r;
            let before = match (r, i) {
                (0, 0) => Sum::ZERO.flipped(carry),
                (0, _) => Sum::ZERO,
                _ => carries.sum(j - 1),
            };
            targets.push((Target::Value, j));
            gates.push(carry_gate(x, y, j, before));
            if r > 0 && i > 0 {
                let (left, right) = (x.differs(y, j), through.sum(j - 1));
                targets.push((Target::Through, j));
                gates.push(Gate { left, right, plus: Sum::ZERO, words });
            }
        }
        let results = run_buffered(s, &gates)?;
        put(s, results, &targets, &mut carries, &mut through);
    }
    join_blocks(s, &layout, &mut carries, &mut through)?;
    s.give_buffer(through_a);
    s.give_buffer(through_b);
    Ok(())
}

/// Planes of both components, in the making.
struct Work<'a> {
    a: &'a mut [u64],
    b: &'a mut [u64],
    words: usize,
}

impl Work<'_> {
    fn sum(&self, j: usize) -> Sum<'_> {
        let plane = j * self.words..(j + 1) * self.words;
        Sum::of((&self.a[plane.clone()], &self.b[plane]))
    }
    fn plane_mut(&mut self, j: usize) -> (&mut [u64], &mut [u64]) {
        let plane = j * self.words..(j + 1) * self.words;
        (&mut self.a[plane.clone()], &mut self.b[plane])
    }
}

/// Where the result of a gate belongs.
#[derive(Clone, Copy)]
enum Target {
    Value,
    Through,
}

/// Takes the results of a round to their planes.
fn put(
    s: &mut Session,
    results: (Vec<u64>, Vec<u64>),
    targets: &[(Target, usize)],
    values: &mut Work<'_>,
    through: &mut Work<'_>,
) {
    let words = values.words;
    let planes = results.0.chunks_exact(words).zip(results.1.chunks_exact(words));
    for ((own, other), (target, j)) in planes.zip(targets) {
        let into = match target {
            Target::Value => values.plane_mut(*j),
            Target::Through => through.plane_mut(*j),
        };
        into.0.copy_from_slice(own);
        into.1.copy_from_slice(other);
    }
    s.give_buffer(results.0);
    s.give_buffer(results.1);
}

/// True carries out of every bit, from those that take no carry into a block to be 0.
fn join_blocks(
    s: &mut Session,
    layout: &Layout,
    values: &mut Work<'_>,
    through: &mut Work<'_>,
) -> Result<()> {
    let words = values.words;
    let top = |i: usize| layout.block(i).end - 1;
    for level in 0..ceil_log2(layout.blocks) {
        let (mut targets, mut gates) = (Vec::new(), Vec::new());
        for i in (0..layout.blocks).filter(|i| i >> level & 1 == 1) {
            let low = top((i >> level << level) - 1);
            let (left, plus) = (through.sum(top(i)), values.sum(top(i)));
            targets.push((Target::Value, top(i)));
            gates.push(Gate { left, right: values.sum(low), plus, words });
            if i >> (level + 1) != 0 {
                let right = through.sum(low);
                targets.push((Target::Through, top(i)));
                gates.push(Gate { left, right, plus: Sum::ZERO, words });
            }
        }
        let results = run_buffered(s, &gates)?;
        put(s, results, &targets, values, through);
    }
    let (mut targets, mut gates) = (Vec::new(), Vec::new());
    for (i, block) in layout.all().enumerate().skip(1) {
        for j in block.start..block.end - 1 {
            let (left, right, plus) =
                (through.sum(j), values.sum(layout.block(i).start - 1), values.sum(j));
            targets.push((Target::Value, j));
            gates.push(Gate { left, right, plus, words });
        }
    }
    if gates.is_empty() {
        return Ok(());
    }
    let results = run_buffered(s, &gates)?;
    put(s, results, &targets, values, through);
    Ok(())
}

/// Plane j of the result = AND of planes 0..=j. Real sessions only; cost
/// [`crate::cost::cost_prefix_and_as`].
pub(crate) fn prefix_and(s: &mut Session, form: Circuit, x: &Planes) -> Result<Planes> {
    let (width, words) = (x.width(), x.words());
    let layout = Layout::of(form, width);
    let (mut a, mut b) = (x.components().0.to_vec(), x.components().1.to_vec());
    if a.is_empty() {
        return Ok(x.clone());
    }
    // Planes (j, low) of a round: plane j takes in plane `low`.
    let mut rounds: Vec<Vec<(usize, usize)>> = Vec::new();
    for r in 1..layout.longest() {
        let blocks = layout.all().filter(|block| r < block.len());
        rounds.push(blocks.map(|block| (block.start + r, block.start + r - 1)).collect());
    }
    let top = |i: usize| layout.block(i).end - 1;
    for level in 0..ceil_log2(layout.blocks) {
        let highs = (0..layout.blocks).filter(|i| i >> level & 1 == 1);
        rounds.push(highs.map(|i| (top(i), top((i >> level << level) - 1))).collect());
    }
    let inner = layout
        .all()
        .skip(1)
        .flat_map(|block| (block.start..block.end - 1).map(move |j| (j, block.start - 1)));
    rounds.push(inner.collect());
    let mut work = Work { a: &mut a, b: &mut b, words };
    let mut nothing = Work { a: &mut [], b: &mut [], words };
    for pairs in rounds.iter().filter(|pairs| !pairs.is_empty()) {
        let gate = |&(j, low): &(usize, usize)| {
            let (left, right) = (work.sum(j), work.sum(low));
            Gate { left, right, plus: Sum::ZERO, words }
        };
        let gates: Vec<Gate<'_>> = pairs.iter().map(gate).collect();
        let results = run_buffered(s, &gates)?;
        let targets: Vec<_> = pairs.iter().map(|&(j, _)| (Target::Value, j)).collect();
        put(s, results, &targets, &mut work, &mut nothing);
    }
    Ok(Planes::from_components(x.len(), width, a, b))
}
