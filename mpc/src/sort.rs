//! Shuffle, sort, stable partition.

use crate::{Arith, Planes, Result, Ring, Session};

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

/// A secret random permutation of n rows; moves columns only, each with fresh masks.
pub struct Shuffle {
    _private: (),
}

impl Shuffle {
    /// Draws one.
    #[must_use]
    pub fn draw(_s: &mut Session, _rows: usize) -> Self {
        todo!()
    }
    /// Moves columns, all in the same 3 rounds. 4k per element.
    /// # Errors
    /// Network.
    pub fn apply(&self, _s: &mut Session, _columns: Vec<Column>) -> Result<Vec<Column>> {
        todo!()
    }
}

/// How a sort orders rows: secret shuffle, then public permutation. Belongs to one attempt of one job.
pub struct SortOrder {
    _private: (),
}

impl SortOrder {
    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }
    /// No rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// Columns in sorted order. 4k per element, 3 rounds for all columns together.
    /// # Errors
    /// Network.
    pub fn apply(&self, _s: &mut Session, _columns: Vec<Column>) -> Result<Vec<Column>> {
        todo!()
    }
    /// Columns in sorted order back to where they came from. 4k, 3.
    /// # Errors
    /// Network.
    pub fn unapply(&self, _s: &mut Session, _columns: Vec<Column>) -> Result<Vec<Column>> {
        todo!()
    }
}

/// Stable ascending sort by `key` as unsigned numbers (bit width-1 most significant).
/// # Errors
/// Network.
pub fn sort(_s: &mut Session, _key: &Planes) -> Result<SortOrder> {
    todo!()
}

/// Stable partition: rows whose bit is 1 first, then rows whose bit is 0.
/// # Errors
/// Network.
pub fn partition(_s: &mut Session, _bit: &Planes) -> Result<SortOrder> {
    todo!()
}
