//! Arithmetic modulo 2^k.

#[cfg(test)]
use crate::kernel::bytes;
use crate::kernel::{Plain, bytes_mut};

/// Z_2^k on u32, u64, u128, and no other type. All operations wrap.
#[allow(
    private_bounds,
    reason = "no other type may be a ring: its bytes are sent as they lie in memory"
)]
pub trait Ring: Plain + Copy + Send + Sync + 'static + PartialEq + Eq + Default {
    /// k.
    const BITS: usize;
    /// Bytes of one element on the wire and at rest.
    const BYTES: usize;
    /// Low bits of an integer.
    fn from_i128(v: i128) -> Self;
    /// Low bits of an unsigned integer.
    fn from_u128(v: u128) -> Self;
    /// Low bits of a word.
    fn from_u64(v: u64) -> Self;
    /// As unsigned.
    fn to_u128(self) -> u128;
    /// Bits 64i to 64i+63, zeros above the ring.
    fn word(self, i: usize) -> u64;
    /// +
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// -
    #[must_use]
    fn minus(self, other: Self) -> Self;
    /// *
    #[must_use]
    fn times(self, other: Self) -> Self;
    /// Reads exactly [`Ring::BYTES`] little-endian bytes; panics on another length.
    fn read_le(bytes: &[u8]) -> Self;
    /// Writes exactly [`Ring::BYTES`] little-endian bytes; panics on another length.
    fn write_le(self, bytes: &mut [u8]);
    /// Element `i` of a vector laid over 64-bit words, lowest first.
    fn from_words(words: &[u64], i: usize) -> Self;
}

macro_rules! ring {
    ($t:ty, $bytes:literal, $from_words:expr) => {
        impl Ring for $t {
            const BITS: usize = <$t>::BITS as usize;
            const BYTES: usize = $bytes;
            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "reduction modulo 2^k is meant")]
            fn from_i128(v: i128) -> Self {
                v as Self
            }
            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "reduction modulo 2^k is meant")]
            fn from_u128(v: u128) -> Self {
                v as Self
            }
            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "reduction modulo 2^k is meant")]
            fn from_u64(v: u64) -> Self {
                v as Self
            }
            #[inline]
            fn to_u128(self) -> u128 {
                u128::from(self)
            }
            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "one word of it is meant")]
            fn word(self, i: usize) -> u64 {
                (u128::from(self) >> (64 * i)) as u64
            }
            #[inline]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline]
            fn read_le(bytes: &[u8]) -> Self {
                let mut buffer = [0; $bytes];
                buffer.copy_from_slice(bytes);
                Self::from_le_bytes(buffer)
            }
            #[inline]
            fn write_le(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            #[inline]
            fn from_words(words: &[u64], i: usize) -> Self {
                let from: fn(&[u64], usize) -> Self = $from_words;
                from(words, i)
            }
        }
    };
}
#[allow(clippy::cast_possible_truncation, reason = "half a word is meant")]
const fn half(words: &[u64], i: usize) -> u32 {
    (words[i / 2] >> (32 * (i % 2))) as u32
}
ring!(u32, 4, half);
ring!(u64, 8, |words, i| words[i]);
ring!(u128, 16, |words, i| u128::from(words[2 * i]) | u128::from(words[2 * i + 1]) << 64);

/// 64-bit words that hold `n` elements.
pub(crate) const fn ring_words<T: Ring>(n: usize) -> usize {
    (n * T::BITS).div_ceil(64)
}

/// Elements from little-endian bytes.
pub(crate) fn elements_from_bytes<T: Ring>(from: &[u8]) -> Vec<T> {
    let mut elements = vec![T::default(); from.len() / T::BYTES];
    bytes_mut(&mut elements).copy_from_slice(from);
    elements
}

/// Little-endian bytes of elements.
#[cfg(test)]
pub(crate) fn bytes_from_elements<T: Ring>(elements: &[T]) -> Vec<u8> {
    bytes(elements).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_and_reads_back() {
        assert_eq!(u32::from_i128(-1), u32::MAX);
        assert_eq!(u64::from_i128(1 << 64 | 5), 5);
        assert_eq!(u128::MAX.plus(2), 1);
        assert_eq!(0u32.minus(1), u32::MAX);
        assert_eq!((1u64 << 63).times(2), 0);
        let v = [1u128, u128::MAX, 1 << 100];
        assert_eq!(elements_from_bytes::<u128>(&bytes_from_elements(&v)), v);
    }

    #[test]
    fn elements_lie_in_words_lowest_first() {
        let words = [0x0000_0002_0000_0001, 0x0000_0004_0000_0003];
        assert_eq!((0..4).map(|i| u32::from_words(&words, i)).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(u128::from_words(&words, 0), 0x0000_0004_0000_0003_0000_0002_0000_0001);
        assert_eq!(ring_words::<u32>(3), 2);
    }
}
