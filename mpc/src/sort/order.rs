//! The result of a sort or a partition.

use super::movement::{Column, Way};
use super::shuffle::Shuffle;
use crate::{MpcError, Result, Session};

/// How a sort orders rows: secret shuffle, then public permutation. Belongs to one attempt of one
/// job. It may move columns; it never justifies another opening.
pub struct SortOrder {
    shuffle: Shuffle,
    /// Row i of the result = shuffled row `public[i]`; empty in a dry session and below two rows.
    public: Vec<u32>,
}

impl std::fmt::Debug for SortOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SortOrder({} rows)", self.len())
    }
}

impl SortOrder {
    /// From a shuffle whose opening has happened; the shuffle can justify no other.
    pub(super) fn new(shuffle: Shuffle, public: Vec<u32>) -> Self {
        Self { shuffle, public }
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shuffle.len()
    }
    /// No rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Columns in sorted order. 4k per element, 3 rounds for all columns together; nothing below
    /// two rows. Reveals nothing.
    ///
    /// # Errors
    /// Network, or columns of another length.
    pub fn apply(&self, s: &mut Session, columns: Vec<Column>) -> Result<Vec<Column>> {
        self.shuffle.move_columns(s, Way::Forward, self.order(s)?, columns)
    }
    /// Columns in sorted order back to where they came from. 4k, 3 rounds. Reveals nothing.
    ///
    /// # Errors
    /// Network, or columns of another length.
    pub fn unapply(&self, s: &mut Session, columns: Vec<Column>) -> Result<Vec<Column>> {
        self.shuffle.move_columns(s, Way::Backward, self.order(s)?, columns)
    }

    fn order(&self, s: &Session) -> Result<Option<&[u32]>> {
        if s.is_dry() || self.len() <= 1 {
            return Ok(None);
        }
        if self.public.len() != self.len() {
            return Err(MpcError::Shape("an order from a dry session in a real one"));
        }
        Ok(Some(&self.public))
    }
}
