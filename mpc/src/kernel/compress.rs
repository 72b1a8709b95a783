//! Picking the bits of a plane that a mask selects, packed one behind the other.

#![allow(unsafe_code)]

/// Appends the bits of `words` selected by `mask` to `out` behind its first `at` bits; the place
/// behind the last of them. Bits behind it in its word become zero. Panics if `out` is too short.
pub(crate) fn compress(words: &[u64], mask: &[u64], out: &mut [u64], at: usize) -> usize {
    assert_eq!(words.len(), mask.len(), "a mask for every word");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the features of the callee were found just now.
        return unsafe { compress_bmi2(words, mask, out, at) };
    }
    compress_with(words, mask, out, at, pick)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2,popcnt")]
fn compress_bmi2(words: &[u64], mask: &[u64], out: &mut [u64], at: usize) -> usize {
    compress_with(words, mask, out, at, |word, mask| std::arch::x86_64::_pext_u64(word, mask))
}

#[inline(always)]
fn compress_with(
    words: &[u64],
    mask: &[u64],
    out: &mut [u64],
    at: usize,
    pick: impl Fn(u64, u64) -> u64,
) -> usize {
    let (mut slot, mut filled) = (at / 64, at % 64);
    let mut pending = if filled > 0 { out[slot] & ((1 << filled) - 1) } else { 0 };
    for (&word, &mask) in words.iter().zip(mask) {
        let bits = pick(word, mask);
        let count = mask.count_ones() as usize;
        pending |= bits << filled;
        if let Some(word) = out.get_mut(slot) {
            *word = pending;
        } else {
            assert!(bits == 0, "room for all bits");
        }
        // Without a branch: whether a word is full is anyone's guess. In two shifts: by 64 where
        // nothing was pending.
        let over = bits >> 1 >> (63 - filled);
        let full = filled + count;
        pending = if full >= 64 { over } else { pending };
        slot += full / 64;
        filled = full % 64;
    }
    if filled > 0 {
        out[slot] = pending;
    }
    slot * 64 + filled
}

/// The bits of `word` where `mask` is one, moved together at the low end (Warren, Hacker's Delight,
/// 7-4).
#[inline]
fn pick(word: u64, mut mask: u64) -> u64 {
    let mut word = word & mask;
    let mut zeros_below = !mask << 1;
    for step in 0..6 {
        let mut parity = zeros_below;
        for shift in [1, 2, 4, 8, 16, 32] {
            parity ^= parity << shift;
        }
        let moves = parity & mask;
        mask = (mask ^ moves) | (moves >> (1 << step));
        let moved = word & moves;
        word = (word ^ moved) | (moved >> (1 << step));
        zeros_below &= !parity;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    fn by_bits(words: &[u64], mask: &[u64], out: &mut [u64], mut at: usize) -> usize {
        for i in 0..words.len() * 64 {
            if mask[i / 64] >> (i % 64) & 1 == 1 {
                out[at / 64] |= (words[i / 64] >> (i % 64) & 1) << (at % 64);
                at += 1;
            }
        }
        at
    }

    #[test]
    fn both_forms_pick_the_same_bits() {
        let mut noise = Noise::new(4);
        for round in 0..200_usize {
            let n = usize::try_from(noise.word() % 9).unwrap();
            let words: Vec<u64> = (0..n).map(|_| noise.word()).collect();
            let mask: Vec<u64> = (0..n)
                .map(|_| match noise.word() % 5 {
                    0 => 0,
                    1 => u64::MAX,
                    2 => noise.word() & noise.word() & noise.word(),
                    _ => noise.word(),
                })
                .collect();
            let start = round % 130;
            let fresh: Vec<u64> = (0..12)
                .map(|w| noise.word() & ((1 << start.saturating_sub(w * 64).min(63)) - 1))
                .collect();
            let (mut expected, mut portable, mut fast) = (fresh.clone(), fresh.clone(), fresh);
            let end = by_bits(&words, &mask, &mut expected, start);
            assert_eq!(compress_with(&words, &mask, &mut portable, start, pick), end);
            assert_eq!(compress(&words, &mask, &mut fast, start), end);
            assert_eq!(portable, expected);
            assert_eq!(fast, expected);
        }
    }
}
