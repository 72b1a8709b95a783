//! Columns that can be moved, and their flat form for the way.

use super::permute::Kind;
use crate::{Arith, MpcError, Planes, Result, Session};

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
    /// The same kind of column with `rows` rows and no data.
    #[must_use]
    pub(super) fn ghost(&self, rows: usize) -> Self {
        match self {
            Self::Planes(x) => Self::Planes(Planes::ghost(rows, x.width())),
            Self::Arith64(_) => Self::Arith64(Arith::ghost(rows)),
            Self::Arith128(_) => Self::Arith128(Arith::ghost(rows)),
        }
    }
    /// The first rows.
    pub(super) fn front(self, rows: usize) -> Self {
        if rows == self.len() {
            return self;
        }
        match self {
            Self::Planes(x) => Self::Planes(x.slice(0..rows)),
            Self::Arith64(x) => Self::Arith64(x.slice(0..rows)),
            Self::Arith128(x) => Self::Arith128(x.slice(0..rows)),
        }
    }
    fn is_ghost(&self) -> bool {
        match self {
            Self::Planes(x) => x.is_ghost(),
            Self::Arith64(x) => x.is_ghost(),
            Self::Arith128(x) => x.is_ghost(),
        }
    }
    fn kind(&self) -> Kind {
        match self {
            Self::Planes(x) => Kind::Bits(x.width()),
            Self::Arith64(_) => Kind::Ring64,
            Self::Arith128(_) => Kind::Ring128,
        }
    }
    fn into_components(self) -> (Vec<u64>, Vec<u64>) {
        match self {
            Self::Planes(x) => x.into_components(),
            Self::Arith64(x) => x.into_components(),
            Self::Arith128(x) => {
                let (a, b) = x.into_components();
                (words_of(&a), words_of(&b))
            }
        }
    }
    fn from_components(kind: Kind, rows: usize, a: Vec<u64>, b: Vec<u64>) -> Result<Self> {
        Ok(match kind {
            Kind::Bits(width) => Self::Planes(Planes::from_components(rows, width, a, b)),
            Kind::Ring64 => Self::Arith64(Arith::from_components(a, b)),
            Kind::Ring128 => Self::Arith128(Arith::from_components(wide(&a), wide(&b))),
            Kind::Ring32 => return Err(MpcError::Shape("no public column of 32 bits")),
        })
    }
    /// Checks that columns fit `rows`; their planes and 64-bit words of arithmetic a row.
    pub(super) fn measure(s: &Session, rows: usize, columns: &[Self]) -> Result<(usize, usize)> {
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
        Ok((planes, ring_words))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low and the high word are meant")]
fn words_of(values: &[u128]) -> Vec<u64> {
    values.iter().flat_map(|v| [*v as u64, (v >> 64) as u64]).collect()
}

fn wide(words: &[u64]) -> Vec<u128> {
    words.chunks_exact(2).map(|w| u128::from(w[0]) | u128::from(w[1]) << 64).collect()
}

/// One party's two components of all columns of a pass, column behind column.
pub(super) struct Flat {
    pub(super) kinds: Vec<Kind>,
    pub(super) a: Vec<u64>,
    pub(super) b: Vec<u64>,
}

impl Flat {
    /// Frees every column as soon as it is taken over; a single one is not copied.
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let kinds: Vec<Kind> = columns.iter().map(Column::kind).collect();
        let size = columns.iter().map(|column| column.kind().words(column.len())).sum();
        let mut columns = columns.into_iter();
        if columns.len() == 1
            && let Some(column) = columns.next()
        {
            let (a, b) = column.into_components();
            return Self { kinds, a, b };
        }
        let (mut a, mut b) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for column in columns {
            let (own, other) = column.into_components();
            a.extend_from_slice(&own);
            b.extend_from_slice(&other);
        }
        Self { kinds, a, b }
    }

    /// The columns again, of `rows` rows.
    pub(super) fn into_columns(self, rows: usize) -> Result<Vec<Column>> {
        if let [kind] = self.kinds[..] {
            return Ok(vec![Column::from_components(kind, rows, self.a, self.b)?]);
        }
        // From the end, so that what has been taken out is freed at once.
        let (mut a, mut b) = (self.a, self.b);
        let mut columns = Vec::with_capacity(self.kinds.len());
        for &kind in self.kinds.iter().rev() {
            let from = a.len() - kind.words(rows);
            let (own, other) = (a.split_off(from), b.split_off(from));
            a.shrink_to_fit();
            b.shrink_to_fit();
            columns.push(Column::from_components(kind, rows, own, other)?);
        }
        columns.reverse();
        Ok(columns)
    }
}
