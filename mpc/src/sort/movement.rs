//! Moving columns through the three pairs, each pair with its own secret permutation.
//!
//! The column runs as a two-party sharing from pair to pair: (A, B), then (B, C), then (C, A), each
//! pair applying the permutation that only it knows:
//! 1. A sends m1 = p(x_a) + r to C; B keeps p(x_b) - r (r from the stream of A and B).
//! 2. B sends m2 = p'(its part) + r' to A; C keeps p'(m1) - r' (r' from B and C).
//! 3. A has u = p''(m2), C has v = p''(its part). With independent s, t from the stream of A and C,
//!    A sends u - s and C sends v - t, both to B; s + t is the component of A and C. (With s = 0 B
//!    would recognise what it sent and read p''; with t = 0 it could test values of low entropy.)
//!
//! 4 elements, 3 rounds, uniform masks for every column anew: two messages under one mask would give
//! the permutation away.

use crate::bits::{self, bytes_from_words, words_from_bytes};
use crate::cost::cost_shuffle;
use crate::prg::Position;
use crate::{Arith, Cost, MpcError, Planes, Result, Session};

/// A column to be moved.
#[derive(Clone, Debug)]
pub enum Column {
    /// Boolean.
    Planes(Planes),
    /// 64-bit ring.
    Arith64(Arith<u64>),
    /// 128-bit ring.
    Arith128(Arith<u128>),
}

impl Column {
    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Planes(x) => x.len(),
            Self::Arith64(x) => x.len(),
            Self::Arith128(x) => x.len(),
        }
    }
    /// No rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The same shape without data.
    #[must_use]
    pub(crate) fn ghost(&self) -> Self {
        match self {
            Self::Planes(x) => Self::Planes(Planes::ghost(x.len(), x.width())),
            Self::Arith64(x) => Self::Arith64(Arith::ghost(x.len())),
            Self::Arith128(x) => Self::Arith128(Arith::ghost(x.len())),
        }
    }
    fn is_ghost(&self) -> bool {
        match self {
            Self::Planes(x) => x.is_ghost(),
            Self::Arith64(x) => x.is_ghost(),
            Self::Arith128(x) => x.is_ghost(),
        }
    }
    /// Both components as words.
    pub(super) fn flatten(&self) -> Flat {
        match self {
            Self::Planes(x) => {
                let (a, b) = x.components();
                Flat { kind: Kind::Bits(x.width()), a: a.to_vec(), b: b.to_vec() }
            }
            Self::Arith64(x) => {
                let (a, b) = x.components();
                Flat { kind: Kind::Ring64, a: a.to_vec(), b: b.to_vec() }
            }
            Self::Arith128(x) => {
                let (a, b) = x.components();
                Flat { kind: Kind::Ring128, a: words_of(a), b: words_of(b) }
            }
        }
    }
    /// Checks that columns fit `rows` and each other, and what moving them costs.
    pub(super) fn cost_of_moving(s: &Session, rows: usize, columns: &[Self]) -> Result<Cost> {
        let (mut planes, mut ring_words) = (0, 0);
        for column in columns {
            if column.len() != rows {
                return Err(MpcError::Shape("a column of another length than the order"));
            }
            if column.is_ghost() && !s.is_dry() {
                return Err(MpcError::Shape("a ghost column in a real session"));
            }
            match column {
                Self::Planes(x) => planes += x.width(),
                Self::Arith64(_) => ring_words += 1,
                Self::Arith128(_) => ring_words += 2,
            }
        }
        Ok(cost_shuffle(rows, planes, ring_words))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low and the high word are meant")]
fn words_of(values: &[u128]) -> Vec<u64> {
    values.iter().flat_map(|v| [*v as u64, (v >> 64) as u64]).collect()
}

fn wide(words: &[u64]) -> Vec<u128> {
    words.chunks_exact(2).map(|w| u128::from(w[0]) | u128::from(w[1]) << 64).collect()
}

/// What the words of a flat column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// So many planes.
    Bits(usize),
    /// Two elements of 32 bits a word.
    Ring32,
    Ring64,
    /// Two words an element.
    Ring128,
}

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

    /// Row i of the result = row index[i].
    fn gather(self, source: &[u64], rows: usize, index: &[u32]) -> Vec<u64> {
        match self {
            Self::Bits(width) => bits::gather(source, rows, width, index),
            Self::Ring32 => {
                let half = |row: &u32| source[*row as usize / 2] >> (32 * (row % 2)) & 0xFFFF_FFFF;
                let join = |pair: &[u32]| half(&pair[0]) | pair.get(1).map_or(0, half) << 32;
                index.chunks(2).map(join).collect()
            }
            Self::Ring64 => index.iter().map(|&row| source[row as usize]).collect(),
            Self::Ring128 => {
                let pair = |&row: &u32| [source[2 * row as usize], source[2 * row as usize + 1]];
                index.iter().flat_map(pair).collect()
            }
        }
    }
}

/// One party's two components of a column, as words.
pub(super) struct Flat {
    pub(super) kind: Kind,
    pub(super) a: Vec<u64>,
    pub(super) b: Vec<u64>,
}

impl Flat {
    /// The column that this came from, with the same kind.
    pub(super) fn unflatten(self, rows: usize) -> Result<Column> {
        Ok(match self.kind {
            Kind::Bits(width) => {
                Column::Planes(Planes::from_components(rows, width, self.a, self.b))
            }
            Kind::Ring64 => Column::Arith64(Arith::from_components(self.a, self.b)),
            Kind::Ring128 => Column::Arith128(Arith::from_components(wide(&self.a), wide(&self.b))),
            Kind::Ring32 => return Err(MpcError::Shape("no public column of 32 bits")),
        })
    }
}

/// Which way through the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// (0, 1), (1, 2), (2, 0).
    Forward,
    /// (2, 0), (1, 2), (0, 1).
    Backward,
}

/// The gather indices of one pass, in the order of use; a party knows two of the three.
pub(super) struct Steps<'a> {
    pub(super) first: Option<&'a [u32]>,
    pub(super) second: Option<&'a [u32]>,
    pub(super) third: Option<&'a [u32]>,
}

/// One component of all columns: the unit of a message.
struct Part {
    kinds: Vec<(Kind, usize)>,
    words: Vec<u64>,
}

impl Part {
    fn new(columns: &[Flat], component: impl Fn(&Flat) -> &Vec<u64>) -> Self {
        let (mut kinds, mut words) = (Vec::new(), Vec::new());
        for column in columns {
            let column_words = component(column);
            kinds.push((column.kind, column_words.len()));
            words.extend_from_slice(column_words);
        }
        Self { kinds, words }
    }

    /// Columns of this component and of the other.
    fn split(self, other: Self) -> Vec<Flat> {
        if let [(kind, _)] = self.kinds[..] {
            return vec![Flat { kind, a: self.words, b: other.words }];
        }
        let mut from = 0;
        let cut = self.kinds.iter().map(|&(kind, count)| {
            let range = from..from + count;
            from = range.end;
            Flat { kind, a: self.words[range.clone()].to_vec(), b: other.words[range].to_vec() }
        });
        cut.collect()
    }

    fn with(&self, words: Vec<u64>) -> Self {
        Self { kinds: self.kinds.clone(), words }
    }

    fn combine(&mut self, other: &[u64], f: impl Fn(Kind, &mut [u64], &[u64])) {
        let mut from = 0;
        for &(kind, count) in &self.kinds {
            f(kind, &mut self.words[from..from + count], &other[from..from + count]);
            from += count;
        }
    }

    fn plus(&mut self, other: &[u64]) {
        self.combine(other, Kind::plus);
    }

    fn minus(&mut self, other: &[u64]) {
        self.combine(other, Kind::minus);
    }

    fn gather(&mut self, rows: usize, index: Option<&[u32]>) -> Result<()> {
        let index = index.ok_or(MpcError::Shape("a permutation that this party does not hold"))?;
        let mut from = 0;
        let mut moved = Vec::with_capacity(self.words.len());
        for &(kind, count) in &self.kinds {
            moved.append(&mut kind.gather(&self.words[from..from + count], rows, index));
            from += count;
        }
        self.words = moved;
        Ok(())
    }
}

/// Moves columns of `rows` rows, all in the same 3 rounds. Real sessions only.
pub(super) fn pass(
    s: &mut Session,
    way: Way,
    rows: usize,
    steps: &Steps<'_>,
    columns: &[Flat],
) -> Result<Vec<Flat>> {
    // A is party 0 both ways: it lacks component 2, which both candidates for B hold.
    let (pair_b, pair_c) = match way {
        Way::Forward => (1, 2),
        Way::Backward => (2, 1),
    };
    let operator = s.operator();
    let at = [0, 1, 2, 3].map(|purpose| Position::new(operator, purpose));
    let size = columns.iter().map(|c| c.a.len()).sum();
    let roles = Roles { pair_b, pair_c, rows, size, at };
    let party = s.party();
    let (first, second) = match party {
        0 => roles.run_a(s, steps, columns)?,
        _ if party == pair_b => roles.run_b(s, steps, columns)?,
        _ => roles.run_c(s, steps, columns)?,
    };
    // x_i is shared with the previous party, x_{i+1} with the next.
    let (a, b) = if first.peer == s.previous() {
        (first.part, second.part)
    } else {
        (second.part, first.part)
    };
    Ok(a.split(b))
}

/// A component of the result and who else holds it.
struct SharedWith {
    peer: usize,
    part: Part,
}

/// Who is B, who is C, and the sizes and stream positions of one pass.
struct Roles {
    pair_b: usize,
    pair_c: usize,
    rows: usize,
    /// Words of one component of all columns.
    size: usize,
    at: [Position; 4],
}

impl Roles {
    fn run_a(
        &self,
        s: &mut Session,
        steps: &Steps<'_>,
        columns: &[Flat],
    ) -> Result<(SharedWith, SharedWith)> {
        let mut m = Part::new(columns, |c| &c.a);
        m.plus(&Part::new(columns, |c| &c.b).words);
        m.gather(self.rows, steps.first)?;
        m.plus(&s.stream(self.pair_b)?.words(self.at[0], self.size));
        s.send(self.pair_c, bytes_from_words(&m.words))?;
        s.end_round();
        let mut u = m.with(words_from_bytes(&s.receive(self.pair_b, self.size * 8)?));
        s.end_round();
        u.gather(self.rows, steps.third)?;
        let (x, y) = self.component_of_ac(s, self.pair_c)?;
        u.minus(&x);
        s.send(self.pair_b, bytes_from_words(&u.words))?;
        s.end_round();
        let mut sum = u.with(x);
        sum.plus(&y);
        let own = SharedWith { peer: self.pair_c, part: sum };
        Ok((own, SharedWith { peer: self.pair_b, part: u }))
    }

    fn run_b(
        &self,
        s: &mut Session,
        steps: &Steps<'_>,
        columns: &[Flat],
    ) -> Result<(SharedWith, SharedWith)> {
        // Component 2 is the second of party 1 and the first of party 2.
        let second = self.pair_b == 1;
        let mut part = Part::new(columns, |c| if second { &c.b } else { &c.a });
        part.gather(self.rows, steps.first)?;
        part.minus(&s.stream(0)?.words(self.at[0], self.size));
        s.end_round();
        part.gather(self.rows, steps.second)?;
        part.plus(&s.stream(self.pair_c)?.words(self.at[1], self.size));
        s.send(0, bytes_from_words(&part.words))?;
        s.end_round();
        let with_a = part.with(words_from_bytes(&s.receive(0, self.size * 8)?));
        let with_c = part.with(words_from_bytes(&s.receive(self.pair_c, self.size * 8)?));
        s.end_round();
        let first = SharedWith { peer: 0, part: with_a };
        Ok((first, SharedWith { peer: self.pair_c, part: with_c }))
    }

    fn run_c(
        &self,
        s: &mut Session,
        steps: &Steps<'_>,
        columns: &[Flat],
    ) -> Result<(SharedWith, SharedWith)> {
        let shape = Part::new(columns, |c| &c.a);
        let mut v = shape.with(words_from_bytes(&s.receive(0, self.size * 8)?));
        s.end_round();
        v.gather(self.rows, steps.second)?;
        v.minus(&s.stream(self.pair_b)?.words(self.at[1], self.size));
        s.end_round();
        v.gather(self.rows, steps.third)?;
        let (x, y) = self.component_of_ac(s, 0)?;
        v.minus(&y);
        s.send(self.pair_b, bytes_from_words(&v.words))?;
        s.end_round();
        let mut sum = v.with(x);
        sum.plus(&y);
        Ok((SharedWith { peer: 0, part: sum }, SharedWith { peer: self.pair_b, part: v }))
    }

    /// s and t, which only A and C know.
    fn component_of_ac(&self, s: &mut Session, peer: usize) -> Result<(Vec<u64>, Vec<u64>)> {
        let stream = s.stream(peer)?;
        Ok((stream.words(self.at[2], self.size), stream.words(self.at[3], self.size)))
    }
}
