//! Key streams in bulk: AES-128 in counter mode, xored into what they mask.
//!
//! Blocks are numbered; block i is the encryption of the 128-bit number whose low half is one word
//! given by the caller and whose high half is another word plus i. Where the processor has the wide AES
//! instructions, four blocks go through one register and a stream never touches memory; elsewhere the
//! `aes` crate does the work batch by batch.

#![allow(unsafe_code)]

use aes::Aes128;
use aes::cipher::{Array, Block, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

/// Blocks encrypted in one call of the portable form: 2 KiB, well inside the first-level cache.
const BATCH_BLOCKS: usize = 128;

/// One AES-128 key, ready for use. Erased when dropped.
pub(crate) struct Cipher {
    portable: Aes128,
    /// Round keys for the wide form, where the processor has it.
    #[cfg(target_arch = "x86_64")]
    wide: Option<Box<[[u8; 16]; 11]>>,
}

impl Drop for Cipher {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        if let Some(keys) = &mut self.wide {
            keys.zeroize();
        }
    }
}

impl Cipher {
    /// From the 16 bytes of a key.
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        let mut copy = Array::from(*key);
        let portable = Aes128::new(&copy);
        copy.as_mut_slice().zeroize();
        #[cfg(target_arch = "x86_64")]
        if wide::available() {
            // SAFETY: the features of the callee were found just now.
            return Self { portable, wide: Some(unsafe { wide::round_keys(key) }) };
        }
        Self {
            portable,
            #[cfg(target_arch = "x86_64")]
            wide: None,
        }
    }

    /// Xors the stream from block `(low, high)` on into `target`. Two words a block; half of the last
    /// block stays unused where the number of words is odd.
    pub(crate) fn xor_into(&self, low: u64, high: u64, target: &mut [u64]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(keys) = &self.wide {
            // SAFETY: round keys exist only where the features were found.
            unsafe { wide::xor_into(keys, low, high, target) };
            return;
        }
        self.xor_into_portable(low, high, target);
    }

    /// Xors the sum of the streams of two keys into `target`: as two calls of [`Cipher::xor_into`].
    pub(crate) fn xor_both_into(&self, other: &Self, low: u64, high: u64, target: &mut [u64]) {
        // In pieces that stay in the first-level cache between the two.
        let mut high = high;
        for piece in target.chunks_mut(2 * BATCH_BLOCKS) {
            self.xor_into(low, high, piece);
            other.xor_into(low, high, piece);
            high = high.wrapping_add(BATCH_BLOCKS as u64);
        }
    }

    fn xor_into_portable(&self, low: u64, high: u64, target: &mut [u64]) {
        let mut blocks = [Block::<Aes128>::default(); BATCH_BLOCKS];
        let mut number = high;
        for piece in target.chunks_mut(2 * BATCH_BLOCKS) {
            let used = piece.len().div_ceil(2);
            for block in &mut blocks[..used] {
                block[..8].copy_from_slice(&low.to_le_bytes());
                block[8..].copy_from_slice(&number.to_le_bytes());
                number = number.wrapping_add(1);
            }
            self.portable.encrypt_blocks(&mut blocks[..used]);
            for (pair, block) in piece.chunks_mut(2).zip(&blocks) {
                let value = u128::from_le_bytes((*block).into());
                pair[0] ^= half(value);
                if let Some(word) = pair.get_mut(1) {
                    *word ^= half(value >> 64);
                }
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low word is meant")]
const fn half(value: u128) -> u64 {
    value as u64
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m128i, __m512i, _mm_aeskeygenassist_si128, _mm_loadu_si128, _mm_shuffle_epi32,
        _mm_slli_si128, _mm_storeu_si128, _mm_xor_si128, _mm512_add_epi64, _mm512_aesenc_epi128,
        _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_loadu_si512, _mm512_set_epi64,
        _mm512_storeu_si512, _mm512_xor_si512,
    };

    /// Registers in flight: enough to hide the latency of a round.
    const WIDTH: usize = 8;
    /// Words that they hold.
    const WORDS: usize = 8 * WIDTH;

    pub(super) fn available() -> bool {
        is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("avx512f")
    }

    #[target_feature(enable = "avx512f")]
    fn key(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: 16 readable bytes; the load asks for no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    /// The key schedule of AES-128 (FIPS 197, 5.2).
    #[target_feature(enable = "aes,avx512f")]
    pub(super) fn round_keys(first: &[u8; 16]) -> Box<[[u8; 16]; 11]> {
        let mut keys = Box::new([[0; 16]; 11]);
        let mut last = key(first);
        macro_rules! step {
            ($at:literal, $constant:literal) => {{
                let turned = _mm_aeskeygenassist_si128::<$constant>(last);
                let turned = _mm_shuffle_epi32::<0xFF>(turned);
                let mut shifted = last;
                for _ in 0..3 {
                    shifted = _mm_slli_si128::<4>(shifted);
                    last = _mm_xor_si128(last, shifted);
                }
                last = _mm_xor_si128(last, turned);
                store_key(&mut keys[$at], last);
            }};
        }
        store_key(&mut keys[0], last);
        step!(1, 0x01);
        step!(2, 0x02);
        step!(3, 0x04);
        step!(4, 0x08);
        step!(5, 0x10);
        step!(6, 0x20);
        step!(7, 0x40);
        step!(8, 0x80);
        step!(9, 0x1B);
        step!(10, 0x36);
        keys
    }

    #[target_feature(enable = "avx512f")]
    fn store_key(bytes: &mut [u8; 16], value: __m128i) {
        // SAFETY: 16 writable bytes; the store asks for no alignment.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
    }

    /// `WIDTH` registers of key stream from the counters in `counters`.
    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn encrypt<const N: usize>(keys: &[__m512i; 11], counters: [__m512i; N]) -> [__m512i; N] {
        let mut state = counters;
        for x in &mut state {
            *x = _mm512_xor_si512(*x, keys[0]);
        }
        for key in &keys[1..10] {
            for x in &mut state {
                *x = _mm512_aesenc_epi128(*x, *key);
            }
        }
        for x in &mut state {
            *x = _mm512_aesenclast_epi128(*x, keys[10]);
        }
        state
    }

    #[target_feature(enable = "avx512f")]
    fn xor_store(words: &mut [u64; 8], value: __m512i) {
        // SAFETY: 64 readable and writable bytes; neither asks for alignment.
        unsafe {
            let at: *mut __m512i = words.as_mut_ptr().cast();
            _mm512_storeu_si512(at, _mm512_xor_si512(_mm512_loadu_si512(at), value));
        }
    }

    #[target_feature(enable = "avx512f,vaes")]
    pub(super) fn xor_into(keys: &[[u8; 16]; 11], low: u64, high: u64, target: &mut [u64]) {
        let keys: [__m512i; 11] = std::array::from_fn(|i| _mm512_broadcast_i32x4(key(&keys[i])));
        let low = low.cast_signed();
        let at = |i: u64| high.wrapping_add(i).cast_signed();
        let mut next = _mm512_set_epi64(at(3), low, at(2), low, at(1), low, at(0), low);
        let four = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
        let (groups, rest) = target.as_chunks_mut::<WORDS>();
        for group in groups {
            let mut counters = [next; WIDTH];
            for x in &mut counters {
                *x = next;
                next = _mm512_add_epi64(next, four);
            }
            let (lines, _) = group.as_chunks_mut::<8>();
            for (line, value) in lines.iter_mut().zip(encrypt(&keys, counters)) {
                xor_store(line, value);
            }
        }
        for line in rest.chunks_mut(8) {
            let [value] = encrypt(&keys, [next]);
            next = _mm512_add_epi64(next, four);
            let mut whole = [0; 8];
            whole[..line.len()].copy_from_slice(line);
            xor_store(&mut whole, value);
            line.copy_from_slice(&whole[..line.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    #[test]
    fn both_forms_make_the_same_stream() {
        let mut noise = Noise::new(3);
        for n in [0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 255, 256, 257, 1000] {
            let mut key = [0; 16];
            key.copy_from_slice(&noise.bytes(16));
            let cipher = Cipher::new(&key);
            let (low, high) = (noise.word(), noise.word() | 0xFFFF_FFFF);
            let before: Vec<u64> = (0..n).map(|_| noise.word()).collect();
            let (mut fast, mut portable) = (before.clone(), before.clone());
            cipher.xor_into(low, high, &mut fast);
            cipher.xor_into_portable(low, high, &mut portable);
            assert_eq!(fast, portable, "{n} words");
            let other = Cipher::new(&[7; 16]);
            let mut both = before;
            cipher.xor_both_into(&other, low, high, &mut both);
            other.xor_into_portable(low, high, &mut portable);
            assert_eq!(both, portable);
        }
    }

    #[test]
    fn the_cipher_is_aes() {
        // FIPS 197, appendix C.1.
        let key: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let block: [u8; 16] = std::array::from_fn(|i| u8::try_from(i * 0x11).unwrap());
        let value = u128::from_le_bytes(block);
        let mut out = [0; 2];
        Cipher::new(&key).xor_into(half(value), half(value >> 64), &mut out);
        let expected = "69c4e0d86a7b0430d8cdb78070b4c55a";
        let found: String = crate::kernel::bytes(&out).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, expected);
    }
}
