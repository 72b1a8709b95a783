//! Cutting values into shares on the owner's machine, and expanding seeds on a node's.
//! Used by the client and by the nodes' scan; no network.
//!
//! A column chunk has three components. Two are seeds of 32 bytes, the third is explicit: what
//! remains of the value after both expansions. A node gets the two components that it holds and
//! nothing else. A seed must never be used for a second version of the same rows: the difference
//! of the explicit components would be the difference of the rows.

use crate::prg::Counter;

/// 32-byte seed of one component of one batch.
pub type Seed = [u8; 32];

/// Domain of the key that a seed gives for one (stored column, chunk).
const CONTEXT: &str = "trine 2025-01 input share of one column chunk v1";

/// The key stream of (seed, stored column, chunk).
fn stream(seed: &Seed, stored_column: u32, chunk: u32) -> Counter {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(seed).update(&stored_column.to_le_bytes()).update(&chunk.to_le_bytes());
    Counter::new(hasher.finalize().as_bytes())
}

/// Fills `out` with the share bytes of (seed, stored column, chunk): AES-128-CTR under a key
/// derived with BLAKE3. A shorter `out` is a prefix of a longer one.
pub fn expand(seed: &Seed, stored_column: u32, chunk: u32, out: &mut [u8]) {
    stream(seed, stored_column, chunk).bytes(out, |bytes, key| {
        let n = bytes.len();
        bytes.copy_from_slice(&key[..n]);
    });
}

/// Explicit third component of a boolean column: plain ^ expand(seed0) ^ expand(seed1), in place.
pub fn cut_boolean(plain: &mut [u8], seed0: &Seed, seed1: &Seed, stored_column: u32, chunk: u32) {
    for seed in [seed0, seed1] {
        stream(seed, stored_column, chunk).bytes(plain, |bytes, key| {
            for (b, k) in bytes.iter_mut().zip(key) {
                *b ^= k;
            }
        });
    }
}

/// Explicit third component of an arithmetic column (little-endian u64): plain - expand(seed0) -
/// expand(seed1), in place. Panics unless `plain` is whole elements: a rest would stay plain.
pub fn cut_arithmetic(
    plain: &mut [u8],
    seed0: &Seed,
    seed1: &Seed,
    stored_column: u32,
    chunk: u32,
) {
    assert!(plain.len().is_multiple_of(8), "an arithmetic column is whole 64-bit elements");
    for seed in [seed0, seed1] {
        stream(seed, stored_column, chunk).bytes(plain, |bytes, key| {
            let (mut value, mut mask) = ([0; 8], [0; 8]);
            value.copy_from_slice(bytes);
            mask.copy_from_slice(key);
            let share = u64::from_le_bytes(value).wrapping_sub(u64::from_le_bytes(mask));
            bytes.copy_from_slice(&share.to_le_bytes());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_add_up() {
        for n in [0, 8, 16, 4096, 5000 * 8] {
            let plain: Vec<u8> = (0..n).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let (mut e0, mut e1) = (vec![0; n], vec![0; n]);
            expand(&[1; 32], 3, 4, &mut e0);
            expand(&[2; 32], 3, 4, &mut e1);
            let mut explicit = plain.clone();
            cut_boolean(&mut explicit, &[1; 32], &[2; 32], 3, 4);
            let back: Vec<u8> =
                explicit.iter().zip(&e0).zip(&e1).map(|((x, a), b)| x ^ a ^ b).collect();
            assert_eq!(back, plain);
            let mut explicit = plain.clone();
            cut_arithmetic(&mut explicit, &[1; 32], &[2; 32], 3, 4);
            let word = |b: &[u8]| u64::from_le_bytes(b.try_into().unwrap());
            for i in (0..n).step_by(8) {
                let sum = word(&explicit[i..i + 8])
                    .wrapping_add(word(&e0[i..i + 8]))
                    .wrapping_add(word(&e1[i..i + 8]));
                assert_eq!(sum, word(&plain[i..i + 8]));
            }
        }
    }

    #[test]
    fn streams_differ_by_seed_column_and_chunk_and_prefixes_agree() {
        let draw = |seed: u8, column, chunk, n| {
            let mut out = vec![0; n];
            expand(&[seed; 32], column, chunk, &mut out);
            out
        };
        let base = draw(1, 1, 1, 64);
        assert_eq!(base, draw(1, 1, 1, 64));
        for other in [draw(2, 1, 1, 64), draw(1, 2, 1, 64), draw(1, 1, 2, 64)] {
            assert_ne!(base, other);
        }
        assert_eq!(draw(1, 1, 1, 13), base[..13]);
    }

    #[test]
    #[should_panic(expected = "whole 64-bit elements")]
    fn a_partial_element_is_refused() {
        cut_arithmetic(&mut [0; 9], &[1; 32], &[2; 32], 0, 0);
    }
}
