//! Words and ring elements as the little-endian bytes that travel, without a copy.

#![allow(unsafe_code)]

#[cfg(not(target_endian = "little"))]
compile_error!("shares are little-endian in memory as on the wire");

/// Integers without padding: any bytes are a value, any value is bytes. Casts rely on it: no type but
/// the three below may have it.
#[allow(unreachable_pub, reason = "a bound of the public trait of rings, which it seals")]
pub trait Plain: Copy {}

impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for u128 {}

/// The bytes of a slice.
pub(crate) fn bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: the same memory, which lives as long; integers have no padding, so every byte is
    // initialised, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes of a slice, to be written.
pub(crate) fn bytes_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as in `bytes`, borrowed for writing by nobody else; any bytes are valid integers.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// Elements that begin at the first of some words: key stream words as ring elements.
pub(crate) fn elements<T: Plain>(words: &[u64], count: usize) -> &[T] {
    assert!(count * size_of::<T>() <= size_of_val(words), "elements within the words");
    assert!(words.as_ptr().cast::<T>().is_aligned(), "words aligned for the elements");
    // SAFETY: within the same memory, aligned, and any bytes are valid integers.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_little_endian() {
        assert_eq!(bytes(&[0x0807_0605_0403_0201_u64]), [1, 2, 3, 4, 5, 6, 7, 8]);
        let mut values = [0_u32; 2];
        bytes_mut(&mut values).copy_from_slice(&[1, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(values, [1, 256]);
        assert_eq!(elements::<u32>(&[0x0000_0002_0000_0001], 2), [1, 2]);
    }
}
