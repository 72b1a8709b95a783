//! AND gates: the only place where secret bits meet.
//!
//! x y = xor of x_i y_j over all i, j. Party i holds the four terms of {i, i+1} and takes three of
//! them, z_i = x_i y_i ^ x_i y_{i+1} ^ x_{i+1} y_i ^ a_i with a_0 ^ a_1 ^ a_2 = 0 from the pair
//! streams, and sends z_i to party i-1. (Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016.)
//!
//! A gate takes xors of planes and adds one to its result: z_i ^ w_i is as uniform for party i-1,
//! which holds w_i, as z_i is. Operands, terms and masks of a few thousand bits at a time pass
//! through the first-level cache, so that a round reads its inputs and writes its message once.

use crate::kernel;
use crate::prg::ZeroMask;
use crate::shares::planes::Held;
use crate::{Result, Session};

/// Words of a gate that are worked on at a time.
const PIECE_WORDS: usize = 512;

/// A xor of up to two columns and a public bit, the same in every row. A component without words
/// is zero.
#[derive(Clone, Copy)]
pub(crate) struct Sum<'a> {
    terms: [Held<'a>; 2],
    ones: bool,
}

impl<'a> Sum<'a> {
    /// Zero.
    pub(crate) const ZERO: Self = Self { terms: [(&[], &[]), (&[], &[])], ones: false };

    /// One column.
    pub(crate) const fn of(x: Held<'a>) -> Self {
        Self { terms: [x, (&[], &[])], ones: false }
    }
    /// The xor of two.
    pub(crate) const fn both(x: Held<'a>, y: Held<'a>) -> Self {
        Self { terms: [x, y], ones: false }
    }
    /// The complement where `ones` is set.
    #[must_use]
    pub(crate) const fn flipped(self, ones: bool) -> Self {
        Self { ones: self.ones ^ ones, ..self }
    }
    /// The xor with `other`; of both together at most two columns.
    #[must_use]
    pub(crate) fn xor(self, other: Self) -> Self {
        let ones = self.ones ^ other.ones;
        let mut terms = self.terms.into_iter().chain(other.terms).filter(|t| !is_zero(t));
        let mut take = || terms.next().unwrap_or((&[], &[]));
        let sum = Self { terms: [take(), take()], ones };
        assert!(terms.next().is_none(), "a sum of two columns");
        sum
    }

    /// Both components, in whole.
    pub(crate) fn write(&self, party: usize, a: &mut [u64], b: &mut [u64]) {
        for (own, out) in [(true, a), (false, b)] {
            let mut scratch = [0; PIECE_WORDS];
            for (piece, out) in out.chunks_mut(PIECE_WORDS).enumerate() {
                let scratch = &mut scratch[..out.len()];
                out.copy_from_slice(self.component(own, party, piece * PIECE_WORDS, scratch));
            }
        }
    }

    /// One component, words `from..from + scratch.len()`: borrowed where it is a column by itself.
    fn component<'b>(
        &'b self,
        own: bool,
        party: usize,
        from: usize,
        scratch: &'b mut [u64],
    ) -> &'b [u64] {
        let pick = |held: Held<'a>| {
            let words = if own { held.0 } else { held.1 };
            if words.is_empty() { None } else { Some(&words[from..from + scratch.len()]) }
        };
        let flip = self.ones && party == if own { 0 } else { 2 };
        match (pick(self.terms[0]), pick(self.terms[1]), flip) {
            (Some(x), None, false) | (None, Some(x), false) => return x,
            (Some(x), Some(y), _) => kernel::xor_of(scratch, x, y),
            (Some(x), None, true) | (None, Some(x), true) => scratch.copy_from_slice(x),
            (None, None, _) => scratch.fill(0),
        }
        if flip {
            kernel::flip(scratch);
        }
        scratch
    }
}

const fn is_zero(held: &Held<'_>) -> bool {
    held.0.is_empty() && held.1.is_empty()
}

/// left & right ^ plus, over so many words.
#[derive(Clone, Copy)]
pub(crate) struct Gate<'a> {
    pub(crate) left: Sum<'a>,
    pub(crate) right: Sum<'a>,
    pub(crate) plus: Sum<'a>,
    pub(crate) words: usize,
}

impl<'a> Gate<'a> {
    /// x & y of two columns of equal shape.
    pub(crate) const fn and(x: Held<'a>, y: Held<'a>) -> Self {
        let (left, right) = (Sum::of(x), Sum::of(y));
        Self { left, right, plus: Sum::ZERO, words: x.0.len() }
    }
}

/// Buffers of one piece: they stay in the first-level cache.
struct Scratch([[u64; PIECE_WORDS]; 5]);

/// One round; both components of all gates, in their order. Nothing for no words.
pub(crate) fn run(
    s: &mut Session,
    gates: &[Gate<'_>],
    own: &mut [u64],
    other: &mut [u64],
) -> Result<()> {
    let (party, mut pipe) = (s.party(), s.pipe()?);
    let mut mask = s.zero_mask()?;
    let mut scratch = Scratch([[0; PIECE_WORDS]; 5]);
    let mut made = 0;
    for gate in gates {
        for from in (0..gate.words).step_by(PIECE_WORDS) {
            let end = made + (gate.words - from).min(PIECE_WORDS);
            evaluate(gate, party, from, &mut own[made..end], &mut mask, &mut scratch);
            made = end;
            pipe.step(own, other, made)?;
        }
    }
    assert!(made == own.len(), "a word for every gate");
    s.end_pipe(pipe, own, other)
}

/// [`run`] into buffers of the session.
pub(crate) fn run_buffered(s: &mut Session, gates: &[Gate<'_>]) -> Result<(Vec<u64>, Vec<u64>)> {
    let total = gates.iter().map(|gate| gate.words).sum();
    let (mut own, mut other) = (s.take_buffer(total), s.take_buffer(total));
    run(s, gates, &mut own, &mut other)?;
    Ok((own, other))
}

/// This party's masked terms of one piece of a gate.
fn evaluate(
    gate: &Gate<'_>,
    party: usize,
    from: usize,
    out: &mut [u64],
    mask: &mut ZeroMask<'_>,
    scratch: &mut Scratch,
) {
    let n = out.len();
    let [xa, xb, ya, yb, plus] = &mut scratch.0;
    let xa = gate.left.component(true, party, from, &mut xa[..n]);
    let xb = gate.left.component(false, party, from, &mut xb[..n]);
    let ya = gate.right.component(true, party, from, &mut ya[..n]);
    let yb = gate.right.component(false, party, from, &mut yb[..n]);
    kernel::and_terms(out, xa, xb, ya, yb);
    if !gate.plus.terms.iter().all(is_zero) || gate.plus.ones {
        kernel::xor(out, gate.plus.component(true, party, from, &mut plus[..n]));
    }
    mask.xor_into(out);
}
