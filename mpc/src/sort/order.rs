//! The result of a sort or a partition.

use super::column::Column;
use super::movement::Way;
use super::shuffle::Shuffle;
use crate::{MpcError, Result, Session};

/// How a sort orders rows: secret shuffle, then public permutation. Belongs to one attempt of one
/// job. It may move columns; it never justifies another opening.
///
/// One that was cut ([`super::top_k`]) keeps the first rows only.
pub struct SortOrder {
    /// Its last step holds the public permutation too.
    shuffle: Shuffle,
    /// Whether the order is the way back of `shuffle`, not the way there.
    turned: bool,
    /// Rows that are kept of sorted columns.
    kept: usize,
}

impl std::fmt::Debug for SortOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SortOrder({} of {} rows)", self.kept(), self.len())
    }
}

impl SortOrder {
    /// From a shuffle whose opening has happened; the shuffle can justify no other. Row i of the result
    /// = shuffled row `public[i]`.
    pub(super) fn new(s: &Session, mut shuffle: Shuffle, public: &[u32]) -> Self {
        shuffle.end_with(s.party(), public);
        let kept = shuffle.kept();
        Self { shuffle, turned: false, kept }
    }

    /// The inverse of (shuffle, then row `public[i]` to place i).
    pub(super) fn turned(s: &Session, mut shuffle: Shuffle, public: &[u32]) -> Self {
        shuffle.end_with(s.party(), public);
        let kept = shuffle.len();
        Self { shuffle, turned: true, kept }
    }

    /// The same in a dry session.
    pub(super) fn still_turned(shuffle: Shuffle) -> Self {
        let kept = shuffle.len();
        Self { shuffle, turned: true, kept }
    }

    /// Keeps only the first rows.
    pub(super) fn keep(&mut self, s: &Session, rows: usize) {
        self.kept = self.kept.min(rows);
        if !self.turned {
            self.shuffle.keep(s.party(), self.kept);
        }
    }

    /// In a dry session, or below two rows: nothing is permuted.
    pub(super) fn still(mut shuffle: Shuffle, kept: usize) -> Self {
        shuffle.keep(0, kept);
        Self { shuffle, turned: false, kept }
    }

    /// Rows of the columns that it moves.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shuffle.len()
    }
    /// No rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Rows of the columns that come out.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }
    /// Columns in sorted order. 4k per element (2k for rows that are cut off), 3 rounds for all columns
    /// together; nothing below two rows. Reveals nothing.
    ///
    /// # Errors
    /// Network, or columns of another length.
    pub fn apply(&self, s: &mut Session, columns: Vec<Column>) -> Result<Vec<Column>> {
        self.apply_front(s, columns, self.kept)
    }
    /// The first `rows` rows of [`SortOrder::apply`], or all if it has no more: 2k per element for rows that
    /// are cut off.
    ///
    /// # Errors
    /// As `apply`.
    pub fn apply_front(
        &self,
        s: &mut Session,
        columns: Vec<Column>,
        rows: usize,
    ) -> Result<Vec<Column>> {
        self.check(s)?;
        let way = if self.turned { Way::Backward } else { Way::Forward };
        self.shuffle.move_columns(s, way, rows.min(self.kept), columns)
    }
    /// Columns in sorted order back to where they came from. 4k, 3 rounds. Reveals nothing.
    ///
    /// # Errors
    /// Network, columns of another length, an order that was cut.
    pub fn unapply(&self, s: &mut Session, columns: Vec<Column>) -> Result<Vec<Column>> {
        self.check(s)?;
        if self.kept() < self.len() {
            return Err(MpcError::Shape("the way back of an order that was cut"));
        }
        let way = if self.turned { Way::Forward } else { Way::Backward };
        self.shuffle.move_columns(s, way, self.len(), columns)
    }

    fn check(&self, s: &Session) -> Result<()> {
        if s.is_dry() || self.shuffle.is_real() {
            return Ok(());
        }
        Err(MpcError::Shape("an order from a dry session in a real one"))
    }
}
