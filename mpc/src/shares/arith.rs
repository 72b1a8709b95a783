//! Arithmetic columns.

use std::sync::Arc;

use crate::ring::{Ring, elements_from_bytes};

/// Arithmetic shares of `len` rows in ring T. Clones share their elements.
#[derive(Clone)]
pub struct Arith<T: Ring> {
    len: usize,
    ghost: bool,
    a: Arc<Vec<T>>,
    b: Arc<Vec<T>>,
}

impl<T: Ring> std::fmt::Debug for Arith<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Arith({} rows, {} bits)", self.len, T::BITS)
    }
}

impl<T: Ring> Arith<T> {
    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }
    /// No rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// From this party's two components as little-endian bytes. Panics on another number of bytes
    /// than `len * T::BYTES`.
    #[must_use]
    pub fn from_rows(len: usize, a: &[u8], b: &[u8]) -> Self {
        let expected = len * T::BYTES;
        assert!(a.len() == expected && b.len() == expected, "little-endian bytes of {len} rows");
        Self::from_components(elements_from_bytes(a), elements_from_bytes(b))
    }
    /// From this party's two components.
    #[must_use]
    pub fn from_components(a: Vec<T>, b: Vec<T>) -> Self {
        assert_eq!(a.len(), b.len(), "components of equal length");
        Self { len: a.len(), ghost: false, a: Arc::new(a), b: Arc::new(b) }
    }
    /// The two held components.
    #[must_use]
    pub fn components(&self) -> (&[T], &[T]) {
        (&self.a, &self.b)
    }
    /// The two held components, owned: copied where a clone holds them too.
    pub(crate) fn into_components(self) -> (Vec<T>, Vec<T>) {
        (Arc::unwrap_or_clone(self.a), Arc::unwrap_or_clone(self.b))
    }
    /// Ghost.
    #[must_use]
    pub fn ghost(len: usize) -> Self {
        Self { len, ghost: true, a: Arc::default(), b: Arc::default() }
    }
    /// Whether it has no data.
    #[must_use]
    pub fn is_ghost(&self) -> bool {
        self.ghost
    }
    /// Shares of a public vector at party `party`: component 0 = the value.
    pub(crate) fn public(party: usize, values: Vec<T>) -> Self {
        let zeros = vec![T::default(); values.len()];
        match party {
            0 => Self::from_components(values, zeros),
            2 => Self::from_components(zeros, values),
            _ => Self::from_components(zeros.clone(), zeros),
        }
    }
    /// Shares of public little-endian values.
    #[must_use]
    pub fn public_rows(party: usize, len: usize, rows: &[u8]) -> Self {
        assert_eq!(rows.len(), len * T::BYTES, "little-endian bytes of {len} rows");
        Self::public(party, elements_from_bytes(rows))
    }
    /// A public constant in every row.
    #[must_use]
    pub fn constant(party: usize, len: usize, value: T) -> Self {
        Self::public(party, vec![value; len])
    }
    /// Row-wise +; local.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        self.zip(other, T::plus)
    }
    /// Row-wise -; local.
    #[must_use]
    pub fn sub(&self, other: &Self) -> Self {
        self.zip(other, T::minus)
    }
    /// [`Arith::add`] in place.
    #[must_use]
    pub(crate) fn into_sum(self, other: &Self) -> Self {
        self.change_by(other, T::plus)
    }
    /// [`Arith::sub`] in place.
    #[must_use]
    pub(crate) fn into_difference(self, other: &Self) -> Self {
        self.change_by(other, T::minus)
    }
    /// + a column of one row, in every row, in place; local.
    #[must_use]
    pub(crate) fn plus_row(mut self, row: &Self) -> Self {
        assert_eq!(row.len, 1, "one row");
        if self.ghost || row.ghost {
            return Self::ghost(self.len);
        }
        for (target, source) in [(&mut self.a, &row.a), (&mut self.b, &row.b)] {
            let value = source[0];
            for x in Arc::make_mut(target).as_mut_slice() {
                *x = x.plus(value);
            }
        }
        self
    }
    /// Row-wise negation; local.
    #[must_use]
    pub fn neg(&self) -> Self {
        self.each(|x| T::default().minus(x))
    }
    /// + public constant; local.
    #[must_use]
    pub fn add_constant(&self, party: usize, value: T) -> Self {
        let mut out = self.clone();
        let component: &mut [T] = match party {
            0 => Arc::make_mut(&mut out.a).as_mut_slice(),
            2 => Arc::make_mut(&mut out.b).as_mut_slice(),
            _ => &mut [],
        };
        for x in component {
            *x = x.plus(value);
        }
        out
    }
    /// + a public number that follows from the row's, modulo 2^32, in place; local.
    #[must_use]
    pub(crate) fn plus_public(mut self, party: usize, value: impl Fn(u32) -> T) -> Self {
        let component: &mut [T] = match party {
            0 => Arc::make_mut(&mut self.a).as_mut_slice(),
            2 => Arc::make_mut(&mut self.b).as_mut_slice(),
            _ => &mut [],
        };
        for (x, row) in component.iter_mut().zip(0_u32..) {
            *x = x.plus(value(row));
        }
        self
    }
    /// * public constant; local.
    #[must_use]
    pub fn times_constant(&self, value: T) -> Self {
        self.each(|x| x.times(value))
    }
    /// Rows of `self`, then rows of `other`.
    #[must_use]
    pub fn concat(&self, other: &Self) -> Self {
        if self.ghost || other.ghost {
            return Self::ghost(self.len + other.len);
        }
        Self::from_components(
            [&self.a[..], &other.a[..]].concat(),
            [&self.b[..], &other.b[..]].concat(),
        )
    }
    /// Rows range.
    #[must_use]
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.len, "rows of the column");
        if rows.len() == self.len {
            return self.clone();
        }
        self.map(rows.len(), |c| c[rows.clone()].to_vec())
    }
    /// Row i of the result = row `index[i]` of self (public indices).
    #[must_use]
    pub fn gather(&self, index: &[u32]) -> Self {
        assert!(index.iter().all(|&row| (row as usize) < self.len), "indices of rows");
        self.map(index.len(), |c| index.iter().map(|&row| c[row as usize]).collect())
    }
    /// One row repeated n times.
    #[must_use]
    pub fn repeat_row(&self, n: usize) -> Self {
        assert_eq!(self.len, 1, "one row");
        self.map(n, |c| vec![c[0]; n])
    }
    /// Inclusive prefix sum; local.
    #[must_use]
    pub fn prefix_sum(&self) -> Self {
        self.clone().into_prefix_sum()
    }
    /// [`Arith::prefix_sum`] in place.
    #[must_use]
    pub fn into_prefix_sum(self) -> Self {
        self.change(|c| {
            let mut sum = T::default();
            for x in c {
                sum = sum.plus(*x);
                *x = sum;
            }
        })
    }
    /// Row i minus row i-1 (row 0 unchanged); local.
    #[must_use]
    pub fn adjacent_difference(&self) -> Self {
        self.clone().into_adjacent_difference()
    }
    /// [`Arith::adjacent_difference`] in place.
    #[must_use]
    pub fn into_adjacent_difference(self) -> Self {
        self.change(|c| {
            let mut before = T::default();
            for x in c {
                *x = x.minus(std::mem::replace(&mut before, *x));
            }
        })
    }
    /// Sum of all rows as one row (0 for no rows); local.
    #[must_use]
    pub fn sum(&self) -> Self {
        self.map(1, |c| vec![c.iter().fold(T::default(), |sum, &x| sum.plus(x))])
    }
    /// Row i of the result = row i-1 of self; row 0 = zero shares.
    #[must_use]
    pub fn shift_down(&self) -> Self {
        self.map(self.len, |c| {
            let kept = c.len().saturating_sub(1);
            std::iter::once(T::default()).chain(c[..kept].iter().copied()).take(c.len()).collect()
        })
    }
    /// Truncation to the low bits (2^64 from 2^128, 2^32 from 2^64); local.
    #[must_use]
    pub fn truncate<U: Ring>(&self) -> Arith<U> {
        assert!(U::BITS <= T::BITS, "a truncation does not widen");
        if self.ghost {
            return Arith::ghost(self.len);
        }
        let low = |c: &[T]| c.iter().map(|x| U::from_u128(x.to_u128())).collect();
        Arith::from_components(low(&self.a), low(&self.b))
    }

    /// Both components through the same linear map; a ghost stays one.
    fn map(&self, len: usize, f: impl Fn(&[T]) -> Vec<T>) -> Self {
        if self.ghost {
            return Self::ghost(len);
        }
        Self::from_components(f(&self.a), f(&self.b))
    }

    /// The same in place, where no clone holds the elements too.
    fn change(mut self, f: impl Fn(&mut [T])) -> Self {
        if !self.ghost {
            f(Arc::make_mut(&mut self.a).as_mut_slice());
            f(Arc::make_mut(&mut self.b).as_mut_slice());
        }
        self
    }

    /// Both components with those of another column, in place.
    fn change_by(mut self, other: &Self, f: impl Fn(T, T) -> T) -> Self {
        assert_eq!(self.len, other.len, "columns of equal length");
        if self.ghost || other.ghost {
            return Self::ghost(self.len);
        }
        for (target, source) in [(&mut self.a, &other.a), (&mut self.b, &other.b)] {
            for (x, y) in Arc::make_mut(target).iter_mut().zip(source.iter()) {
                *x = f(*x, *y);
            }
        }
        self
    }

    fn each(&self, f: impl Fn(T) -> T) -> Self {
        self.map(self.len, |c| c.iter().map(|&x| f(x)).collect())
    }

    fn zip(&self, other: &Self, f: impl Fn(T, T) -> T) -> Self {
        assert_eq!(self.len, other.len, "columns of equal length");
        if self.ghost || other.ghost {
            return Self::ghost(self.len);
        }
        let both = |x: &[T], y: &[T]| x.iter().zip(y).map(|(&x, &y)| f(x, y)).collect();
        Self::from_components(both(&self.a, &other.a), both(&self.b, &other.b))
    }
}
