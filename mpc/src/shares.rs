//! Shares of columns. Debug shows kind and length only. A *ghost* (dry sessions) has length and
//! width but no data; every local operation on ghosts gives a ghost.

/// Z_2^k on u32, u64, u128.
pub trait Ring: Copy + Send + Sync + 'static + PartialEq + Eq + Default {
    /// k.
    const BITS: usize;
    /// Low bits of an integer.
    fn from_i128(v: i128) -> Self;
    /// As unsigned.
    fn to_u128(self) -> u128;
    /// +
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// -
    #[must_use]
    fn minus(self, other: Self) -> Self;
    /// *
    #[must_use]
    fn times(self, other: Self) -> Self;
}

/// Boolean shares of `len` rows, `width` bits, bit-sliced: plane j (bit j, lowest first) is
/// words [j*words, (j+1)*words) of each held component. Bits beyond `len` in the last word are unspecified in shares
/// (implementations must tolerate them).
#[derive(Clone)]
pub struct Planes {
    _len: usize,
    _width: usize,
    _a: Vec<u64>,
    _b: Vec<u64>,
}

impl Planes {
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
    /// Bits.
    #[must_use]
    pub fn width(&self) -> usize {
        todo!()
    }
    /// From this party's two components as row-major bytes (`ceil(width/8)` a row). `None` data: ghost.
    #[must_use]
    pub fn from_rows(_len: usize, _width: usize, _a: &[u8], _b: &[u8]) -> Self {
        todo!()
    }
    /// From this party's two components as planes (each plane ceil(len/64) words).
    #[must_use]
    pub fn from_components(_len: usize, _width: usize, _a: Vec<u64>, _b: Vec<u64>) -> Self {
        todo!()
    }
    /// The two held components as planes (own x_i, then x_{i+1}).
    #[must_use]
    pub fn components(&self) -> (&[u64], &[u64]) {
        todo!()
    }
    /// Ghost.
    #[must_use]
    pub fn ghost(_len: usize, _width: usize) -> Self {
        todo!()
    }
    /// Whether it has no data.
    #[must_use]
    pub fn is_ghost(&self) -> bool {
        todo!()
    }
    /// Shares of a public plain vector (row-major bytes), at party `party`: component 0 = the value.
    #[must_use]
    pub fn public_rows(_party: usize, _len: usize, _width: usize, _rows: &[u8]) -> Self {
        todo!()
    }
    /// The same public constant in every row (bit j of `value`, lowest first).
    #[must_use]
    pub fn constant(_party: usize, _len: usize, _value: &[bool]) -> Self {
        todo!()
    }
    /// Public index 0..len as `width` bits (row index).
    #[must_use]
    pub fn row_index(_party: usize, _len: usize, _width: usize) -> Self {
        todo!()
    }
    /// Planes lo..hi as a column of their own.
    #[must_use]
    pub fn bits(&self, _range: std::ops::Range<usize>) -> Self {
        todo!()
    }
    /// Planes of `self` below, planes of `high` above.
    #[must_use]
    pub fn stack(&self, _high: &Self) -> Self {
        todo!()
    }
    /// Wider by zero planes on top.
    #[must_use]
    pub fn zero_extend(&self, _width: usize) -> Self {
        todo!()
    }
    /// Wider by copies of the top plane (two's complement).
    #[must_use]
    pub fn sign_extend(&self, _width: usize) -> Self {
        todo!()
    }
    /// Bitwise xor; local. A width-1 operand is repeated over all planes.
    #[must_use]
    pub fn xor(&self, _other: &Self) -> Self {
        todo!()
    }
    /// Bitwise complement; local.
    #[must_use]
    pub fn not(&self, _party: usize) -> Self {
        todo!()
    }
    /// Xor with a public constant, the same in every row; local.
    #[must_use]
    pub fn xor_constant(&self, _party: usize, _value: &[bool]) -> Self {
        todo!()
    }
    /// AND with a public constant (planes zeroed or kept); local.
    #[must_use]
    pub fn and_constant(&self, _value: &[bool]) -> Self {
        todo!()
    }
    /// Rows of `self`, then rows of `other` (equal widths).
    #[must_use]
    pub fn concat(&self, _other: &Self) -> Self {
        todo!()
    }
    /// Rows range.
    #[must_use]
    pub fn slice(&self, _rows: std::ops::Range<usize>) -> Self {
        todo!()
    }
    /// Row i of the result = row index[i] of self (public indices).
    #[must_use]
    pub fn gather(&self, _index: &[u32]) -> Self {
        todo!()
    }
    /// Row i of the result = row i-1 of self; row 0 = zero shares.
    #[must_use]
    pub fn shift_down(&self) -> Self {
        todo!()
    }
    /// Row i of the result = row i+1 of self; the last row = zero shares.
    #[must_use]
    pub fn shift_up(&self) -> Self {
        todo!()
    }
    /// One row repeated n times.
    #[must_use]
    pub fn repeat_row(&self, _n: usize) -> Self {
        todo!()
    }
    /// Inclusive prefix xor down the rows, every plane; local.
    #[must_use]
    pub fn prefix_xor(&self) -> Self {
        todo!()
    }
}

/// Arithmetic shares of `len` rows in ring T.
#[derive(Clone)]
pub struct Arith<T: Ring> {
    _len: usize,
    _a: Vec<T>,
    _b: Vec<T>,
}

impl<T: Ring> Arith<T> {
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
    /// From this party's two components as little-endian bytes.
    #[must_use]
    pub fn from_rows(_len: usize, _a: &[u8], _b: &[u8]) -> Self {
        todo!()
    }
    /// From this party's two components.
    #[must_use]
    pub fn from_components(_a: Vec<T>, _b: Vec<T>) -> Self {
        todo!()
    }
    /// The two held components.
    #[must_use]
    pub fn components(&self) -> (&[T], &[T]) {
        todo!()
    }
    /// Ghost.
    #[must_use]
    pub fn ghost(_len: usize) -> Self {
        todo!()
    }
    /// Whether it has no data.
    #[must_use]
    pub fn is_ghost(&self) -> bool {
        todo!()
    }
    /// Shares of public little-endian values.
    #[must_use]
    pub fn public_rows(_party: usize, _len: usize, _rows: &[u8]) -> Self {
        todo!()
    }
    /// A public constant in every row.
    #[must_use]
    pub fn constant(_party: usize, _len: usize, _value: T) -> Self {
        todo!()
    }
    /// Row-wise +; local.
    #[must_use]
    pub fn add(&self, _other: &Self) -> Self {
        todo!()
    }
    /// Row-wise -; local.
    #[must_use]
    pub fn sub(&self, _other: &Self) -> Self {
        todo!()
    }
    /// Row-wise negation; local.
    #[must_use]
    pub fn neg(&self) -> Self {
        todo!()
    }
    /// + public constant; local.
    #[must_use]
    pub fn add_constant(&self, _party: usize, _value: T) -> Self {
        todo!()
    }
    /// * public constant; local.
    #[must_use]
    pub fn times_constant(&self, _value: T) -> Self {
        todo!()
    }
    /// See [`Planes::concat`].
    #[must_use]
    pub fn concat(&self, _other: &Self) -> Self {
        todo!()
    }
    /// See [`Planes::slice`].
    #[must_use]
    pub fn slice(&self, _rows: std::ops::Range<usize>) -> Self {
        todo!()
    }
    /// See [`Planes::gather`].
    #[must_use]
    pub fn gather(&self, _index: &[u32]) -> Self {
        todo!()
    }
    /// See [`Planes::repeat_row`].
    #[must_use]
    pub fn repeat_row(&self, _n: usize) -> Self {
        todo!()
    }
    /// Inclusive prefix sum; local.
    #[must_use]
    pub fn prefix_sum(&self) -> Self {
        todo!()
    }
    /// Row i minus row i-1 (row 0 unchanged); local.
    #[must_use]
    pub fn adjacent_difference(&self) -> Self {
        todo!()
    }
    /// Sum of all rows as one row (0 for no rows); local.
    #[must_use]
    pub fn sum(&self) -> Self {
        todo!()
    }
    /// See [`Planes::shift_down`].
    #[must_use]
    pub fn shift_down(&self) -> Self {
        todo!()
    }
    /// Truncation to the low bits (2^64 from 2^128, 2^32 from 2^64); local.
    #[must_use]
    pub fn truncate<U: Ring>(&self) -> Arith<U> {
        todo!()
    }
}

macro_rules! ring {
    ($t:ty) => {
        impl Ring for $t {
            const BITS: usize = <$t>::BITS as usize;
            #[allow(clippy::cast_possible_truncation)]
            fn from_i128(v: i128) -> Self {
                v as Self
            }
            fn to_u128(self) -> u128 {
                self as u128
            }
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
        }
    };
}
ring!(u32);
ring!(u64);
ring!(u128);

impl std::fmt::Debug for Planes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Planes({} rows, {} bits)", self._len, self._width)
    }
}

impl<T: Ring> std::fmt::Debug for Arith<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Arith({} rows, {} bits)", self._len, T::BITS)
    }
}
