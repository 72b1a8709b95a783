//! Moving columns through the three pairs, each pair with its own secret permutation.
//!
//! One party *leads*: it is A, and sends twice as much as the others, so that every shuffle has another
//! leader than the one before. The column runs as a two-party sharing from pair to pair: (A, B), then
//! (B, C), then (C, A), each pair applying the permutation that only it knows:
//! 1. A sends m1 = p(x_a) + r to C; B keeps p(x_b) - r (r from the stream of A and B).
//! 2. B sends m2 = p'(its part) + r' to A; C keeps p'(m1) - r' (r' from B and C).
//! 3. A has u = p''(m2), C has v = p''(its part). With independent s, t from the stream of A and C,
//!    A sends u - s and C sends v - t, both to B; s + t is the component of A and C. (With s = 0 B
//!    would recognise what it sent and read p''; with t = 0 it could test values of low entropy.)
//!
//! 4 elements, 3 rounds, uniform masks for every column anew: two messages under one mask would give
//! the permutation away. The last permutation may keep only some rows (all parties know how many):
//! then the last messages have only those.

use std::borrow::Cow;
use std::ops::Range;

use super::column::Flat;
use super::permute::{Kind, permute};
use crate::prg::{Position, batch_elements};
use crate::{MpcError, Result, Session};

impl Kind {
    /// target += source in the group of this kind.
    fn plus(self, target: &mut [u64], source: &[u64]) {
        match self {
            Self::Bits(_) => crate::shares::planes::xor_into(target, source),
            Self::Ring64 => {
                for (t, s) in target.iter_mut().zip(source) {
                    *t = t.wrapping_add(*s);
                }
            }
            _ => self.by_element(target, source, u128::wrapping_add),
        }
    }

    /// target -= source.
    fn minus(self, target: &mut [u64], source: &[u64]) {
        match self {
            Self::Bits(_) => crate::shares::planes::xor_into(target, source),
            Self::Ring64 => {
                for (t, s) in target.iter_mut().zip(source) {
                    *t = t.wrapping_sub(*s);
                }
            }
            _ => self.by_element(target, source, u128::wrapping_sub),
        }
    }

    /// Elements that are not words: halves or pairs of them.
    #[allow(clippy::cast_possible_truncation, reason = "reduction modulo 2^32 or 2^64 is meant")]
    fn by_element(self, target: &mut [u64], source: &[u64], f: impl Fn(u128, u128) -> u128) {
        if self == Self::Ring32 {
            for (t, s) in target.iter_mut().zip(source) {
                let low = f(u128::from(*t), u128::from(*s)) as u32;
                let high = f(u128::from(*t >> 32), u128::from(*s >> 32)) as u32;
                *t = u64::from(low) | u64::from(high) << 32;
            }
            return;
        }
        for (t, s) in target.chunks_exact_mut(2).zip(source.chunks_exact(2)) {
            let join = |w: &[u64]| u128::from(w[0]) | u128::from(w[1]) << 64;
            let sum = f(join(t), join(s));
            t[0] = sum as u64;
            t[1] = (sum >> 64) as u64;
        }
    }
}

/// Which way through the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With leader 0: (0, 1), (1, 2), (2, 0).
    Forward,
    /// With leader 0: (2, 0), (1, 2), (0, 1).
    Backward,
}

/// The gather indices of one pass in the order of use; a party knows two of the three.
pub(super) struct Steps<'a> {
    pub(super) indices: [Option<Cow<'a, [u32]>>; 3],
    /// Who is A.
    pub(super) lead: usize,
    /// Rows before, and rows that the last index keeps.
    pub(super) rows: usize,
    pub(super) kept: usize,
}

/// Moves columns, all in the same 3 rounds. Real sessions only.
pub(super) fn pass(s: &mut Session, way: Way, steps: Steps<'_>, columns: Flat) -> Result<Flat> {
    // A is the same both ways: the component that it lacks is held by both candidates for B.
    let (after, before) = ((steps.lead + 1) % 3, (steps.lead + 2) % 3);
    let (pair_b, pair_c) = match way {
        Way::Forward => (after, before),
        Way::Backward => (before, after),
    };
    let pair_a = steps.lead;
    let operator = s.operator();
    let at = [0, 1, 2, 3].map(|purpose| Position::new(operator, purpose));
    let kinds = columns.kinds.clone();
    let roles = Roles { pair_a, pair_b, pair_c, kinds: columns.kinds.clone(), at, steps };
    let party = s.party();
    let (first, second) = match party {
        _ if party == pair_a => roles.run_a(s, columns)?,
        _ if party == pair_b => roles.run_b(s, columns)?,
        _ => {
            drop(columns);
            roles.run_c(s)?
        }
    };
    // x_i is shared with the previous party, x_{i+1} with the next.
    let (a, b) = if first.peer == s.previous() {
        (first.words, second.words)
    } else {
        (second.words, first.words)
    };
    Ok(Flat { kinds, a, b })
}

/// A component of the result and who else holds it.
struct SharedWith {
    peer: usize,
    words: Vec<u64>,
}

/// Who is A, B and C, and what one pass moves by which steps with which masks.
struct Roles<'a> {
    pair_a: usize,
    pair_b: usize,
    pair_c: usize,
    kinds: Vec<Kind>,
    at: [Position; 4],
    steps: Steps<'a>,
}

impl Roles<'_> {
    fn run_a(mut self, s: &mut Session, columns: Flat) -> Result<(SharedWith, SharedWith)> {
        let Flat { a: mut m, b, .. } = columns;
        self.combine(&mut m, &b, self.steps.rows, Kind::plus);
        drop(b);
        let mut m = self.gather(0, m)?;
        self.mask(s, self.pair_b, 0, &mut m, Kind::plus)?;
        send(s, self.pair_c, m)?;
        s.end_round();
        let u = receive(s, self.pair_b, self.size(self.steps.rows))?;
        s.end_round();
        let u = self.gather(2, u)?;
        self.finish(s, self.pair_c, u, false)
    }

    fn run_b(mut self, s: &mut Session, columns: Flat) -> Result<(SharedWith, SharedWith)> {
        // What A lacks is the second component of the party after it and the first of the one before.
        let is_after = self.pair_b == (self.pair_a + 1) % 3;
        let Flat { mut a, b: mut part, .. } = columns;
        if !is_after {
            std::mem::swap(&mut a, &mut part);
        }
        drop(a);
        let mut part = self.gather(0, part)?;
        self.mask(s, self.pair_a, 0, &mut part, Kind::minus)?;
        s.end_round();
        let mut part = self.gather(1, part)?;
        self.mask(s, self.pair_c, 1, &mut part, Kind::plus)?;
        send(s, self.pair_a, part)?;
        s.end_round();
        let size = self.size(self.steps.kept);
        let with_a = receive(s, self.pair_a, size)?;
        let with_c = receive(s, self.pair_c, size)?;
        s.end_round();
        let first = SharedWith { peer: self.pair_a, words: with_a };
        Ok((first, SharedWith { peer: self.pair_c, words: with_c }))
    }

    fn run_c(mut self, s: &mut Session) -> Result<(SharedWith, SharedWith)> {
        let v = receive(s, self.pair_a, self.size(self.steps.rows))?;
        s.end_round();
        let mut v = self.gather(1, v)?;
        self.mask(s, self.pair_b, 1, &mut v, Kind::minus)?;
        s.end_round();
        let v = self.gather(2, v)?;
        self.finish(s, self.pair_a, v, true)
    }

    /// A and C: takes a mask that only they know from their part and sends it to B; the sum of both
    /// masks is their own component.
    fn finish(
        &self,
        s: &mut Session,
        peer: usize,
        mut part: Vec<u64>,
        is_c: bool,
    ) -> Result<(SharedWith, SharedWith)> {
        let kept = self.steps.kept;
        let mut own = vec![0; self.size(kept)];
        self.for_mask(s, peer, 2, kept, |kind, range, x| {
            own[range.clone()].copy_from_slice(x);
            if !is_c {
                kind.minus(&mut part[range], x);
            }
        })?;
        self.for_mask(s, peer, 3, kept, |kind, range, y| {
            kind.plus(&mut own[range.clone()], y);
            if is_c {
                kind.minus(&mut part[range], y);
            }
        })?;
        s.send_elements(self.pair_b, &part)?;
        s.end_round();
        let own = SharedWith { peer, words: own };
        Ok((own, SharedWith { peer: self.pair_b, words: part }))
    }

    /// Words of one component of all columns of `rows` rows.
    fn size(&self, rows: usize) -> usize {
        self.kinds.iter().map(|kind| kind.words(rows)).sum()
    }

    fn combine(
        &self,
        target: &mut [u64],
        source: &[u64],
        rows: usize,
        f: impl Fn(Kind, &mut [u64], &[u64]),
    ) {
        let mut from = 0;
        for &kind in &self.kinds {
            let range = from..from + kind.words(rows);
            from = range.end;
            f(kind, &mut target[range.clone()], &source[range]);
        }
    }

    /// Adds or takes away a mask that `peer` knows too.
    fn mask(
        &self,
        s: &mut Session,
        peer: usize,
        purpose: usize,
        target: &mut [u64],
        f: impl Fn(Kind, &mut [u64], &[u64]),
    ) -> Result<()> {
        self.for_mask(s, peer, purpose, self.steps.rows, |kind, range, mask| {
            f(kind, &mut target[range], mask);
        })
    }

    /// Draws a mask for columns of `rows` rows piece by piece, which both that know it do alike.
    fn for_mask(
        &self,
        s: &mut Session,
        peer: usize,
        purpose: usize,
        rows: usize,
        mut take: impl FnMut(Kind, Range<usize>, &[u64]),
    ) -> Result<()> {
        let stream = s.stream(peer)?;
        let claim = stream.claim(self.at[purpose]);
        let mut draw = stream.draw(claim);
        let mut from = 0;
        for &kind in &self.kinds {
            let end = from + kind.words(rows);
            while from < end {
                let to = end.min(from + batch_elements::<u64>());
                take(kind, from..to, draw.next(to - from));
                from = to;
            }
        }
        Ok(())
    }

    /// Moves rows by step `number` of the pass, and lets go of its index.
    fn gather(&mut self, number: usize, flat: Vec<u64>) -> Result<Vec<u64>> {
        let index = self.steps.indices[number]
            .take()
            .ok_or(MpcError::Shape("a permutation that this party does not hold"))?;
        Ok(permute(&self.kinds, self.steps.rows, flat, &index))
    }
}

fn send(s: &mut Session, to: usize, words: Vec<u64>) -> Result<()> {
    s.send_elements(to, &words)
}

fn receive(s: &mut Session, from: usize, words: usize) -> Result<Vec<u64>> {
    let mut out = vec![0; words];
    s.receive_elements(from, &mut out)?;
    Ok(out)
}
