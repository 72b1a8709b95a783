//! Boolean columns: what moves or accumulates rows, the same in every plane.

use super::Planes;
use crate::bits::{self, words};

impl Planes {
    /// Rows of `self`, then rows of `other` (equal widths).
    #[must_use]
    pub fn concat(&self, other: &Self) -> Self {
        assert_eq!(self.width(), other.width(), "columns of equal width");
        let len = self.len() + other.len();
        if self.is_ghost() || other.is_ghost() {
            return Self::ghost(len, self.width());
        }
        let (first, second) = (self.components(), other.components());
        let join = |x: &[u64], y: &[u64]| {
            let mut out = vec![0; words(len) * self.width()];
            for (j, target) in out.chunks_exact_mut(words(len).max(1)).enumerate() {
                bits::append_plane(target, 0, plane_of(x, self.words(), j), self.len());
                bits::append_plane(target, self.len(), plane_of(y, other.words(), j), other.len());
            }
            out
        };
        let (a, b) = (join(first.0, second.0), join(first.1, second.1));
        Self::from_components(len, self.width(), a, b)
    }
    /// Rows range.
    #[must_use]
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.len(), "rows of the column");
        if rows.len() == self.len() {
            return self.clone();
        }
        self.per_plane(rows.len(), |plane, out| {
            bits::slice_plane(plane, rows.start, rows.len(), out);
        })
    }
    /// Row i of the result = row `index[i]` of self (public indices).
    #[must_use]
    pub fn gather(&self, index: &[u32]) -> Self {
        let (len, width) = (self.len(), self.width());
        assert!(index.iter().all(|&row| (row as usize) < len), "indices of rows");
        self.map(index.len(), width, |c| bits::gather(c, len, width, index))
    }
    /// Row i of the result = row i-1 of self; row 0 = zero shares.
    #[must_use]
    pub fn shift_down(&self) -> Self {
        self.per_plane(self.len(), |plane, out| {
            let mut carry = 0;
            for (word, slot) in plane.iter().zip(out) {
                *slot = word << 1 | carry;
                carry = word >> 63;
            }
        })
    }
    /// Row i of the result = row i+1 of self; the last row = zero shares.
    #[must_use]
    pub fn shift_up(&self) -> Self {
        let tail = bits::tail_mask(self.len());
        self.per_plane(self.len(), |plane, out| {
            let mut carry = 0;
            let mut mask = tail;
            for (word, slot) in plane.iter().zip(out).rev() {
                let word = word & mask;
                mask = u64::MAX;
                *slot = word >> 1 | carry;
                carry = word << 63;
            }
        })
    }
    /// One row repeated n times.
    #[must_use]
    pub fn repeat_row(&self, n: usize) -> Self {
        assert_eq!(self.len(), 1, "one row");
        self.per_plane(n, |plane, out| out.fill(0_u64.wrapping_sub(plane[0] & 1)))
    }
    /// Inclusive prefix xor down the rows, every plane; local.
    #[must_use]
    pub fn prefix_xor(&self) -> Self {
        self.per_plane(self.len(), bits::prefix_xor_plane)
    }

    /// Every plane of both components through the same map to a plane of `len` rows.
    fn per_plane(&self, len: usize, f: impl Fn(&[u64], &mut [u64])) -> Self {
        let (before, after) = (self.words(), words(len));
        self.map(len, self.width(), |c| {
            let mut out = vec![0; after * self.width()];
            for (j, target) in out.chunks_exact_mut(after.max(1)).enumerate() {
                f(plane_of(c, before, j), target);
            }
            out
        })
    }
}

/// Plane j of one component.
fn plane_of(component: &[u64], words: usize, j: usize) -> &[u64] {
    &component[j * words..(j + 1) * words]
}
