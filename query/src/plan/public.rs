//! What a plan knows of PUBLIC data: values and positions of rows. They are part of the plan, so that
//! its digest binds them: three nodes run a statement over the same public values or not at all.

use super::Literal;
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Rows whose every value is public, column by column. All of them exist. A clone shares the values.
#[derive(Clone)]
pub struct PublicRows {
    rows: usize,
    columns: Vec<Arc<Vec<Literal>>>,
    digest: [u8; 32],
}

impl PublicRows {
    /// From columns of `rows` values each; none where one is longer or shorter.
    #[must_use]
    pub fn new(rows: usize, columns: Vec<Arc<Vec<Literal>>>) -> Option<Self> {
        if columns.iter().any(|c| c.len() != rows) {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(rows as u64).to_le_bytes());
        for value in columns.iter().flat_map(|c| c.iter()) {
            match value {
                Literal::Null => hasher.update(&[0]),
                Literal::Boolean(b) => hasher.update(&[1, u8::from(*b)]),
                Literal::Number(v) => hasher.update(&[2]).update(&v.to_le_bytes()),
                Literal::Text(text) => {
                    hasher.update(&[3]).update(&(text.len() as u64).to_le_bytes()).update(text)
                }
            };
        }
        Some(Self { rows, columns, digest: *hasher.finalize().as_bytes() })
    }

    /// Rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, of `rows` values each.
    #[must_use]
    pub fn columns(&self) -> &[Arc<Vec<Literal>>] {
        &self.columns
    }
}

impl fmt::Debug for PublicRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicRows({} rows, {} columns)", self.rows, self.columns.len())
    }
}

impl PartialEq for PublicRows {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.columns.len() == other.columns.len()
    }
}

impl Eq for PublicRows {}

impl Serialize for PublicRows {
    /// A digest stands for the values.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.rows as u64, self.columns.len() as u64, self.digest).serialize(serializer)
    }
}

/// Positions of rows of a relation, chosen by public values alone. A clone shares them.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicIndex {
    rows: Arc<Vec<u32>>,
}

impl PublicIndex {
    /// Positions in the order in which their rows come out.
    #[must_use]
    pub fn new(rows: Vec<u32>) -> Self {
        Self { rows: Arc::new(rows) }
    }

    /// The positions.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Whether no row comes out twice.
    #[must_use]
    pub fn is_injective(&self) -> bool {
        if self.rows.windows(2).all(|pair| pair[0] < pair[1]) {
            return true;
        }
        let mut sorted = self.rows.to_vec();
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| pair[0] < pair[1])
    }
}

impl fmt::Debug for PublicIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicIndex({} rows)", self.rows.len())
    }
}

impl Serialize for PublicIndex {
    /// A digest stands for the positions.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hasher = blake3::Hasher::new();
        for row in self.rows.iter() {
            hasher.update(&row.to_le_bytes());
        }
        (self.rows.len() as u64, hasher.finalize().as_bytes()).serialize(serializer)
    }
}

/// Rows that a condition over PUBLIC columns keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Their positions.
    pub rows: PublicIndex,
    /// The condition as a reader sees it.
    pub condition: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[i128]) -> PublicRows {
        let column = values.iter().map(|v| Literal::Number(*v)).collect();
        PublicRows::new(values.len(), vec![Arc::new(column)]).unwrap()
    }

    #[test]
    fn the_encoding_binds_every_value() {
        let bytes = |rows: &PublicRows| postcard::to_stdvec(rows).unwrap();
        assert_eq!(bytes(&of(&[1, 2])), bytes(&of(&[1, 2])));
        assert_ne!(bytes(&of(&[1, 2])), bytes(&of(&[2, 1])));
        assert_ne!(of(&[1, 2]), of(&[1, 3]));
        let index = |rows: &[u32]| postcard::to_stdvec(&PublicIndex::new(rows.to_vec())).unwrap();
        assert_ne!(index(&[0, 1]), index(&[1, 0]));
        assert!(PublicRows::new(3, of(&[1]).columns().to_vec()).is_none());
    }

    #[test]
    fn a_repeated_row_is_noticed() {
        assert!(PublicIndex::new(vec![0, 3, 4]).is_injective());
        assert!(PublicIndex::new(vec![4, 0, 3]).is_injective());
        assert!(!PublicIndex::new(vec![4, 0, 4]).is_injective());
    }

    #[test]
    fn values_do_not_print() {
        assert_eq!(format!("{:?}", of(&[7])), "PublicRows(1 rows, 1 columns)");
    }
}
