//! The secret random permutation.

use std::borrow::Cow;

use zeroize::Zeroize;

use super::column::{Column, Flat};
use super::movement::{Steps, Way, pass};
use crate::cost::cost_shuffle_front;
use crate::prg::Position;
use crate::{Cost, MpcError, Planes, Result, Session};

/// What a party knows of a shuffle: the permutations of its two pairs, as gather indices.
struct Known {
    /// With the next party.
    next: Vec<u32>,
    /// With the previous party.
    previous: Vec<u32>,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.next.zeroize();
        self.previous.zeroize();
    }
}

/// A secret random permutation of n rows, the product of three of which every party knows two;
/// moves columns only, each with fresh masks. It does not print, cannot be copied, and is erased when
/// dropped.
pub struct Shuffle {
    rows: usize,
    /// Who leads its moves; the next shuffle of the session has the next party.
    lead: usize,
    /// Rows left after the last step: all, or the first ones of an order that was cut.
    kept: usize,
    /// `None` in a dry session, and for fewer than two rows.
    known: Option<Known>,
}

impl std::fmt::Debug for Shuffle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shuffle({} rows)", self.rows)
    }
}

/// A column in an order that nobody knows; what may be opened of it is opened once, by the
/// function that takes it.
pub(super) struct Shuffled<T>(pub(super) T);

impl Shuffle {
    /// Draws one; no messages. Panics for 2^32 rows or more.
    #[must_use]
    pub fn draw(s: &mut Session, rows: usize) -> Self {
        let (at, lead) = (Position::new(s.operator(), 0), s.next_lead());
        if rows <= 1 || s.is_dry() {
            return Self { rows, lead, kept: rows, known: None };
        }
        let Ok(n) = u32::try_from(rows) else { panic!("fewer than 2^32 rows") };
        let (next, previous) = (s.next(), s.previous());
        let mut permutation = |peer| s.stream(peer).map(|stream| stream.permutation(at, n));
        let known = match (permutation(next), permutation(previous)) {
            (Ok(next), Ok(previous)) => Some(Known { next, previous }),
            _ => None,
        };
        Self { rows, lead, kept: rows, known }
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// No rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Moves columns, all in the same 3 rounds. 4k per element. Fewer than two rows stay where they
    /// are at no cost. Reveals nothing.
    ///
    /// # Errors
    /// Network, or columns of another length.
    pub fn apply(&self, s: &mut Session, columns: Vec<Column>) -> Result<Vec<Column>> {
        self.move_columns(s, Way::Forward, self.kept, columns)
    }

    /// Moves planes that this module is about to open something of.
    pub(super) fn apply_key(&self, s: &mut Session, key: Planes) -> Result<Shuffled<Planes>> {
        let moved = self.apply(s, vec![Column::Planes(key)])?;
        match moved.into_iter().next() {
            Some(Column::Planes(key)) => Ok(Shuffled(key)),
            _ => Err(MpcError::Shape("planes stay planes")),
        }
    }

    /// The same for a vector of destinations.
    pub(super) fn apply_flat(&self, s: &mut Session, flat: Flat) -> Result<Shuffled<Flat>> {
        let steps = self.steps(s.party(), Way::Forward, self.kept);
        Ok(Shuffled(pass(s, Way::Forward, steps, flat)?))
    }

    /// Moves columns forward, or all the way back; the first `kept` rows of what comes out.
    pub(super) fn move_columns(
        &self,
        s: &mut Session,
        way: Way,
        kept: usize,
        columns: Vec<Column>,
    ) -> Result<Vec<Column>> {
        let (planes, ring_words) = Column::measure(s, self.rows, &columns)?;
        if s.is_dry() {
            s.charge(self.cost(way, kept, planes, ring_words));
            return Ok(columns.iter().map(|column| column.ghost(kept)).collect());
        }
        if self.rows <= 1 || planes + ring_words == 0 {
            return Ok(columns.into_iter().map(|column| column.front(kept)).collect());
        }
        let moved = pass(s, way, self.steps(s.party(), way, kept), Flat::new(columns))?;
        moved.into_columns(kept)
    }

    /// What it takes to move so many planes and 64-bit words a row.
    fn cost(&self, way: Way, kept: usize, planes: usize, ring_words: usize) -> Cost {
        let mut cost = cost_shuffle_front(self.rows, kept, planes, ring_words);
        if way == Way::Backward {
            cost.bytes.swap(1, 2);
        }
        cost.led_by(self.lead)
    }

    /// Who sends most.
    pub(super) fn lead(&self) -> usize {
        self.lead
    }

    /// The gather indices in the order of use, from the pair of the leader and the party after it on, or
    /// their inverses backwards.
    fn steps(&self, party: usize, way: Way, kept: usize) -> Steps<'_> {
        let of_pair = |pair: usize| {
            let known = self.known.as_ref()?;
            let index = if party == pair {
                &known.next
            } else if party == (pair + 1) % 3 {
                &known.previous
            } else {
                return None;
            };
            Some(match way {
                Way::Forward => Cow::Borrowed(&index[..]),
                Way::Backward => Cow::Owned(inverse(index)),
            })
        };
        let mut indices = match way {
            Way::Forward => [0, 1, 2].map(|i| of_pair((self.lead + i) % 3)),
            Way::Backward => [2, 1, 0].map(|i| of_pair((self.lead + i) % 3)),
        };
        match &mut indices[2] {
            Some(Cow::Borrowed(index)) => *index = &index[..kept],
            Some(Cow::Owned(index)) => index.truncate(kept),
            None => {}
        }
        Steps { indices, lead: self.lead, rows: self.rows, kept }
    }

    /// Whether a real session drew it, or there is nothing to draw.
    pub(super) fn is_real(&self) -> bool {
        self.known.is_some() || self.rows <= 1
    }

    /// Takes the public `order`, or its first rows, into the last step, that of the leader and the party
    /// before it. (The other party has no use for it.)
    pub(super) fn end_with(&mut self, party: usize, order: &[u32]) {
        self.kept = order.len();
        let Some(last) = self.last(party) else { return };
        let composed = order.iter().map(|&row| last[row as usize]).collect();
        std::mem::replace(last, composed).zeroize();
    }

    /// Keeps only the first rows of what comes out.
    pub(super) fn keep(&mut self, party: usize, rows: usize) {
        self.kept = self.kept.min(rows);
        let kept = self.kept;
        if let Some(last) = self.last(party) {
            last[kept..].zeroize();
            last.truncate(kept);
        }
    }

    /// The index of the last step forward, at a party that holds it.
    fn last(&mut self, party: usize) -> Option<&mut Vec<u32>> {
        let known = self.known.as_mut()?;
        match (party + 3 - self.lead) % 3 {
            0 => Some(&mut known.previous),
            2 => Some(&mut known.next),
            _ => None,
        }
    }

    /// Rows that are left of a moved column.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }
}

/// The inverse of a permutation of fewer than 2^32 rows.
fn inverse(index: &[u32]) -> Vec<u32> {
    let mut out = vec![0; index.len()];
    for (i, &row) in (0_u32..).zip(index) {
        out[row as usize] = i;
    }
    out
}
