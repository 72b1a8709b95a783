//! Transposes of 64 x 64 bits, alone and eight at a time.
//!
//! The wide form cuts a block into 8 x 8 bytes of 8 x 8 bits: bytes are brought together with a byte
//! permutation, each 8 x 8 bits are turned by one affine map over GF(2) (the data is the matrix, the
//! unit vectors are the arguments), and the eight groups change places as 64-bit words.

#![allow(unsafe_code)]

/// Words of a plane that a tile holds: one cache line.
pub(crate) const TILE_WORDS: usize = 8;
/// A cache line of each of 64 planes: `tile[p][w]` is word w of plane p.
pub(crate) type Tile = [[u64; TILE_WORDS]; 64];
/// The same rows: bit p of `rows[w][r]` is bit r of word w of plane p.
pub(crate) type TileRows = [[u64; 64]; TILE_WORDS];

/// Transposes 64 x 64 bits: bit r of word p becomes bit p of word r.
pub(crate) fn transpose64(block: &mut [u64; 64]) {
    #[cfg(target_arch = "x86_64")]
    {
        if super::has_wide_permutations() {
            // SAFETY: the features of the callee were found just now.
            unsafe { wide::transpose64(block) };
            return;
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the feature of the callee was found just now.
            unsafe { transpose64_avx2(block) };
            return;
        }
    }
    transpose64_portable(block);
}

/// Rows of a tile of planes.
pub(crate) fn rows_of_tile(tile: &Tile, rows: &mut TileRows) {
    #[cfg(target_arch = "x86_64")]
    if super::has_wide_permutations() {
        // SAFETY: the features of the callee were found just now.
        unsafe { wide::rows_of_tile(tile, rows) };
        return;
    }
    for (w, block) in rows.iter_mut().enumerate() {
        for (slot, line) in block.iter_mut().zip(tile) {
            *slot = line[w];
        }
        transpose64(block);
    }
}

/// A tile of planes from its rows; the inverse of [`rows_of_tile`].
pub(crate) fn tile_of_rows(rows: &TileRows, tile: &mut Tile) {
    #[cfg(target_arch = "x86_64")]
    if super::has_wide_permutations() {
        // SAFETY: the features of the callee were found just now.
        unsafe { wide::tile_of_rows(rows, tile) };
        return;
    }
    for (w, block) in rows.iter().enumerate() {
        let mut block = *block;
        transpose64(&mut block);
        for (line, word) in tile.iter_mut().zip(block) {
            line[w] = word;
        }
    }
}

/// Swaps ever smaller off-diagonal squares (Warren, Hacker's Delight, 7-3).
#[inline(always)]
fn transpose64_portable(block: &mut [u64; 64]) {
    let mut mask = 0x0000_0000_FFFF_FFFF_u64;
    let mut step = 32;
    while step > 0 {
        for group in block.chunks_exact_mut(2 * step) {
            let (low, high) = group.split_at_mut(step);
            for (l, h) in low.iter_mut().zip(high) {
                let swap = ((*l >> step) ^ *h) & mask;
                *l ^= swap << step;
                *h ^= swap;
            }
        }
        step /= 2;
        mask ^= mask << step;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn transpose64_avx2(block: &mut [u64; 64]) {
    transpose64_portable(block);
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m512i, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_permutex2var_epi64,
        _mm512_permutexvar_epi8, _mm512_set_epi64, _mm512_set1_epi64, _mm512_shuffle_i64x2,
        _mm512_storeu_si512, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
    };

    use super::{TILE_WORDS, Tile, TileRows};

    /// Byte 8c + r of the result is byte 8r + c: an 8 x 8 transpose of bytes.
    const BYTES: [u8; 64] = byte_order(false);
    /// The same with the rows in reverse, as the affine map wants its matrix.
    const BYTES_REVERSED: [u8; 64] = byte_order(true);

    #[allow(clippy::cast_possible_truncation, reason = "numbers below 64")]
    const fn byte_order(reversed: bool) -> [u8; 64] {
        let mut order = [0; 64];
        let mut at = 0;
        while at < 64 {
            let (column, row) = (at / 8, if reversed { 7 - at % 8 } else { at % 8 });
            order[at] = (8 * row + column) as u8;
            at += 1;
        }
        order
    }

    #[target_feature(enable = "avx512f")]
    fn load(words: &[u64; 8]) -> __m512i {
        // SAFETY: 64 readable bytes; the load asks for no alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    fn load_bytes(bytes: &[u8; 64]) -> __m512i {
        // SAFETY: 64 readable bytes; the load asks for no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    fn store(words: &mut [u64; 8], value: __m512i) {
        // SAFETY: 64 writable bytes; the store asks for no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), value) }
    }

    /// 8 x 8 transpose of 64-bit words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn turn_words(x: [__m512i; 8]) -> [__m512i; 8] {
        // Pairs of neighbours, then pairs of 128 bits, then halves.
        let low = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0);
        let high = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
        let mut pairs = x;
        for i in 0..4 {
            pairs[2 * i] = _mm512_unpacklo_epi64(x[2 * i], x[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_epi64(x[2 * i], x[2 * i + 1]);
        }
        // pairs[2i + o] holds, for c = o, o + 2, o + 4, o + 6, the words c of x[2i] and x[2i+1].
        let mut out = x;
        for o in 0..2 {
            // Columns o, o + 4 are in the even pairs of 128 bits, o + 2 and o + 6 in the odd.
            let even_low = _mm512_permutex2var_epi64(pairs[o], low, pairs[2 + o]);
            let odd_low = _mm512_permutex2var_epi64(pairs[o], high, pairs[2 + o]);
            let even_high = _mm512_permutex2var_epi64(pairs[4 + o], low, pairs[6 + o]);
            let odd_high = _mm512_permutex2var_epi64(pairs[4 + o], high, pairs[6 + o]);
            out[o] = _mm512_shuffle_i64x2::<0b01_00_01_00>(even_low, even_high);
            out[o + 4] = _mm512_shuffle_i64x2::<0b11_10_11_10>(even_low, even_high);
            out[o + 2] = _mm512_shuffle_i64x2::<0b01_00_01_00>(odd_low, odd_high);
            out[o + 6] = _mm512_shuffle_i64x2::<0b11_10_11_10>(odd_low, odd_high);
        }
        out
    }

    /// The transpose of a block whose words 8i..8i+8 are `x[i]`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    fn turn_bits(mut x: [__m512i; 8]) -> [__m512i; 8] {
        let units = _mm512_set1_epi64(0x8040_2010_0804_0201_u64.cast_signed());
        let (order, reversed) = (load_bytes(&BYTES), load_bytes(&BYTES_REVERSED));
        for value in &mut x {
            let together = _mm512_permutexvar_epi8(reversed, *value);
            *value = _mm512_gf2p8affine_epi64_epi8::<0>(units, together);
        }
        let mut out = turn_words(x);
        for value in &mut out {
            *value = _mm512_permutexvar_epi8(order, *value);
        }
        out
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_block(block: &[u64; 64]) -> [__m512i; 8] {
        let (groups, _) = block.as_chunks::<8>();
        std::array::from_fn(|i| load(&groups[i]))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store_block(block: &mut [u64; 64], x: [__m512i; 8]) {
        let (groups, _) = block.as_chunks_mut::<8>();
        for (group, value) in groups.iter_mut().zip(x) {
            store(group, value);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    pub(super) fn transpose64(block: &mut [u64; 64]) {
        let turned = turn_bits(load_block(block));
        store_block(block, turned);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    pub(super) fn rows_of_tile(tile: &Tile, rows: &mut TileRows) {
        for (group, lines) in tile.as_chunks::<8>().0.iter().enumerate() {
            let turned = turn_words(std::array::from_fn(|i| load(&lines[i])));
            for (block, value) in rows.iter_mut().zip(turned) {
                store(&mut block.as_chunks_mut::<8>().0[group], value);
            }
        }
        for block in rows {
            transpose64(block);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    pub(super) fn tile_of_rows(rows: &TileRows, tile: &mut Tile) {
        let mut turned = [[0; 64]; TILE_WORDS];
        for (block, slot) in rows.iter().zip(&mut turned) {
            store_block(slot, turn_bits(load_block(block)));
        }
        for (group, lines) in tile.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let words = std::array::from_fn(|w| load(&turned[w].as_chunks::<8>().0[group]));
            for (line, value) in lines.iter_mut().zip(turn_words(words)) {
                store(line, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    fn block(seed: u64) -> [u64; 64] {
        let mut noise = Noise::new(seed);
        std::array::from_fn(|_| noise.word())
    }

    #[test]
    fn every_form_swaps_row_and_column() {
        for seed in 0..20 {
            let before = block(seed);
            let mut portable = before;
            transpose64_portable(&mut portable);
            for (r, row) in portable.iter().enumerate() {
                for (p, plane) in before.iter().enumerate() {
                    assert_eq!(row >> p & 1, plane >> r & 1);
                }
            }
            let mut fast = before;
            transpose64(&mut fast);
            assert_eq!(fast, portable);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                let mut half = before;
                // SAFETY: the feature was found just now.
                unsafe { transpose64_avx2(&mut half) };
                assert_eq!(half, portable);
            }
        }
    }

    #[test]
    fn tiles_are_eight_transposes_and_turn_back() {
        let mut noise = Noise::new(9);
        let mut tile = [[0; TILE_WORDS]; 64];
        for word in tile.iter_mut().flatten() {
            *word = noise.word();
        }
        let mut rows = [[0; 64]; TILE_WORDS];
        rows_of_tile(&tile, &mut rows);
        for (w, block) in rows.iter().enumerate() {
            let mut expected: [u64; 64] = std::array::from_fn(|p| tile[p][w]);
            transpose64_portable(&mut expected);
            assert_eq!(*block, expected);
        }
        let mut back = [[0; TILE_WORDS]; 64];
        tile_of_rows(&rows, &mut back);
        assert_eq!(back, tile);
    }
}
