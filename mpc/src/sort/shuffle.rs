//! The secret random permutation.

use zeroize::Zeroize;

use super::movement::{Column, Flat, Steps, Way, pass};
use crate::prg::Position;
use crate::{Planes, Result, Session};

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
        let at = Position::new(s.operator(), 0);
        if rows <= 1 || s.is_dry() {
            return Self { rows, known: None };
        }
        let Ok(n) = u32::try_from(rows) else { panic!("fewer than 2^32 rows") };
        let (next, previous) = (s.next(), s.previous());
        let mut permutation = |peer| s.stream(peer).map(|stream| stream.permutation(at, n));
        let known = match (permutation(next), permutation(previous)) {
            (Ok(next), Ok(previous)) => Some(Known { next, previous }),
            _ => None,
        };
        Self { rows, known }
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
        self.move_columns(s, Way::Forward, None, columns)
    }

    /// Moves planes that this module is about to open something of.
    pub(super) fn apply_key(&self, s: &mut Session, key: Planes) -> Result<Shuffled<Planes>> {
        let moved = self.apply(s, vec![Column::Planes(key)])?;
        match moved.into_iter().next() {
            Some(Column::Planes(key)) => Ok(Shuffled(key)),
            _ => Err(crate::MpcError::Shape("planes stay planes")),
        }
    }

    /// The same for a vector of destinations.
    pub(super) fn apply_flat(&self, s: &mut Session, flat: Flat) -> Result<Shuffled<Flat>> {
        let steps = self.steps(s.party(), Way::Forward);
        let moved = pass(s, Way::Forward, self.rows, &steps.borrow(), &[flat])?;
        match moved.into_iter().next() {
            Some(flat) => Ok(Shuffled(flat)),
            None => Err(crate::MpcError::Shape("one column stays one")),
        }
    }

    /// Moves columns forward, then by the public `order` (a gather index); or all the way back.
    pub(super) fn move_columns(
        &self,
        s: &mut Session,
        way: Way,
        order: Option<&[u32]>,
        columns: Vec<Column>,
    ) -> Result<Vec<Column>> {
        let cost = Column::cost_of_moving(s, self.rows, &columns)?;
        if s.is_dry() {
            s.charge(cost);
            return Ok(columns.iter().map(Column::ghost).collect());
        }
        if cost.rounds == 0 {
            return Ok(columns);
        }
        let mut steps = self.steps(s.party(), way);
        if let Some(order) = order {
            steps.end_with(way, order);
        }
        let flats: Vec<Flat> = columns.iter().map(Column::flatten).collect();
        drop(columns);
        let moved = pass(s, way, self.rows, &steps.borrow(), &flats)?;
        moved.into_iter().map(|flat| flat.unflatten(self.rows)).collect()
    }

    /// The gather indices in the order of use: (0, 1), (1, 2), (2, 0), or their inverses backwards.
    fn steps(&self, party: usize, way: Way) -> OwnedSteps {
        let Some(known) = &self.known else { return OwnedSteps::default() };
        let of_pair = |pair: usize| {
            if party == pair {
                Some(&known.next)
            } else if party == (pair + 1) % 3 {
                Some(&known.previous)
            } else {
                None
            }
        };
        let index = |pair| match way {
            Way::Forward => of_pair(pair).cloned(),
            Way::Backward => of_pair(pair).map(|p| inverse(p)),
        };
        match way {
            Way::Forward => OwnedSteps { first: index(0), second: index(1), third: index(2) },
            Way::Backward => OwnedSteps { first: index(2), second: index(1), third: index(0) },
        }
    }
}

/// Gather indices of one pass.
#[derive(Default)]
struct OwnedSteps {
    first: Option<Vec<u32>>,
    second: Option<Vec<u32>>,
    third: Option<Vec<u32>>,
}

impl OwnedSteps {
    fn borrow(&self) -> Steps<'_> {
        Steps {
            first: self.first.as_deref(),
            second: self.second.as_deref(),
            third: self.third.as_deref(),
        }
    }

    /// Takes the public permutation into the step of the pair (2, 0): the last one forward, the
    /// first one backward.
    fn end_with(&mut self, way: Way, order: &[u32]) {
        match way {
            Way::Forward => {
                if let Some(third) = &mut self.third {
                    *third = order.iter().map(|&i| third[i as usize]).collect();
                }
            }
            Way::Backward => {
                if let Some(first) = &mut self.first {
                    let back = inverse(order);
                    *first = first.iter().map(|&i| back[i as usize]).collect();
                }
            }
        }
    }
}

/// The inverse of a permutation of fewer than 2^32 rows.
pub(super) fn inverse(index: &[u32]) -> Vec<u32> {
    let mut out = vec![0; index.len()];
    for (i, &row) in (0_u32..).zip(index) {
        out[row as usize] = i;
    }
    out
}
