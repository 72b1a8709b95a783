//! Kernels over packed bits: one *plane* holds one bit of every row, row 0 in bit 0 of word 0.
//!
//! Plain loops over 64-bit words that the compiler vectorises. A column of `width` planes is one
//! slice, plane after plane, each `words(len)` long.

use crate::kernel::{TILE_WORDS, rows_of_tile, tile_of_rows};

/// 64-bit words of one plane of `len` rows.
pub(crate) const fn words(len: usize) -> usize {
    len.div_ceil(64)
}

/// Bytes of one row of `width` bits in row-major form.
pub(crate) const fn row_bytes(width: usize) -> usize {
    width.div_ceil(8)
}

/// Mask of the bits in use in the last word of `len` rows.
pub(crate) const fn tail_mask(len: usize) -> u64 {
    match len % 64 {
        0 => u64::MAX,
        used => (1 << used) - 1,
    }
}

/// Clears the bits beyond `len` in every plane.
pub(crate) fn clear_tails(planes: &mut [u64], len: usize) {
    let words = words(len);
    if words == 0 || len.is_multiple_of(64) {
        return;
    }
    for plane in planes.chunks_exact_mut(words) {
        plane[words - 1] &= tail_mask(len);
    }
}

/// Writes planes `first..first+64` (those below `width`) from their rows: `fill(w, rows)` makes the 64
/// rows of word w, bit p of each belonging to plane `first + p`. Whole cache lines at a time: planes
/// lie a power of two apart more often than not, and single words would fight for the same cache set.
pub(crate) fn write_planes_from_rows(
    planes: &mut [u64],
    words: usize,
    width: usize,
    first: usize,
    mut fill: impl FnMut(usize, &mut [u64; 64]),
) {
    let count = (width - first).min(64);
    let (mut rows, mut tile) = ([[0; 64]; TILE_WORDS], [[0; TILE_WORDS]; 64]);
    for start in (0..words).step_by(TILE_WORDS) {
        let used = (words - start).min(TILE_WORDS);
        for (w, block) in rows.iter_mut().enumerate().take(used) {
            fill(start + w, block);
        }
        tile_of_rows(&rows, &mut tile);
        for (plane, line) in tile.iter().enumerate().take(count) {
            let at = (first + plane) * words + start;
            move_line(&mut planes[at..at + used], &line[..used]);
        }
    }
}

/// Copies the words of one plane in a tile: a copy of a known length is one move.
#[inline]
fn move_line(target: &mut [u64], source: &[u64]) {
    match (target.as_chunks_mut::<TILE_WORDS>(), source.as_chunks::<TILE_WORDS>()) {
        (([target], []), ([source], [])) => *target = *source,
        _ => target.copy_from_slice(source),
    }
}

/// The other way: `take(w, rows)` gets the 64 rows of word w of planes `first..first+64` (zeros
/// above `width`).
pub(crate) fn read_planes(
    planes: &[u64],
    words: usize,
    width: usize,
    first: usize,
    mut take: impl FnMut(usize, &[u64; 64]),
) {
    let count = (width - first).min(64);
    let (mut rows, mut tile) = ([[0; 64]; TILE_WORDS], [[0; TILE_WORDS]; 64]);
    for start in (0..words).step_by(TILE_WORDS) {
        let used = (words - start).min(TILE_WORDS);
        for (plane, line) in tile.iter_mut().enumerate().take(count) {
            let at = (first + plane) * words + start;
            move_line(&mut line[..used], &planes[at..at + used]);
        }
        rows_of_tile(&tile, &mut rows);
        for (w, block) in rows.iter().enumerate().take(used) {
            take(start + w, block);
        }
    }
}

/// Where 64 bits of a row lie in row-major bytes.
#[derive(Clone, Copy)]
struct Group {
    len: usize,
    stride: usize,
    offset: usize,
}

impl Group {
    /// The first `N` bytes of the group of 64 rows, row after row.
    fn read<const N: usize>(self, rows: &[u8], word: usize, block: &mut [u64; 64]) {
        if word * 64 + 64 > self.len {
            block.fill(0);
        }
        for (row, slot) in (word * 64..self.len).zip(block) {
            let at = row * self.stride + self.offset;
            let mut buffer = [0; 8];
            buffer[..N].copy_from_slice(&rows[at..at + N]);
            *slot = u64::from_le_bytes(buffer);
        }
    }

    /// The other way.
    fn write<const N: usize>(self, rows: &mut [u8], word: usize, block: &[u64; 64]) {
        for (row, value) in (word * 64..self.len).zip(block) {
            let at = row * self.stride + self.offset;
            rows[at..at + N].copy_from_slice(&value.to_le_bytes()[..N]);
        }
    }
}

/// Calls a method with the number of bytes as a constant: copies of a known length are one move.
macro_rules! with_bytes {
    ($bytes:expr, $group:ident.$method:ident($($arg:expr),*)) => {
        match $bytes {
            1 => $group.$method::<1>($($arg),*),
            2 => $group.$method::<2>($($arg),*),
            3 => $group.$method::<3>($($arg),*),
            4 => $group.$method::<4>($($arg),*),
            5 => $group.$method::<5>($($arg),*),
            6 => $group.$method::<6>($($arg),*),
            7 => $group.$method::<7>($($arg),*),
            _ => $group.$method::<8>($($arg),*),
        }
    };
}

/// Planes of row-major bytes (`row_bytes(width)` a row); bits of a row beyond `width` are dropped.
pub(crate) fn planes_from_rows(len: usize, width: usize, rows: &[u8]) -> Vec<u64> {
    let (words, stride) = (words(len), row_bytes(width));
    let mut planes = vec![0; words * width];
    for first in (0..width).step_by(64) {
        let group = Group { len, stride, offset: first / 8 };
        write_planes_from_rows(&mut planes, words, width, first, |word, block| {
            with_bytes!(stride - first / 8, group.read(rows, word, block));
        });
    }
    planes
}

/// Row-major bytes of planes; the inverse of [`planes_from_rows`].
pub(crate) fn rows_from_planes(len: usize, width: usize, planes: &[u64]) -> Vec<u8> {
    let mut rows = vec![0; len * row_bytes(width)];
    write_rows(len, width, planes, &mut rows, row_bytes(width), 0);
    rows
}

/// The same among other things: `row_bytes(width)` bytes from byte `offset` of every `stride` on.
pub(crate) fn write_rows(
    len: usize,
    width: usize,
    planes: &[u64],
    rows: &mut [u8],
    stride: usize,
    offset: usize,
) {
    for first in (0..width).step_by(64) {
        let group = Group { len, stride, offset: offset + first / 8 };
        read_planes(planes, words(len), width, first, |word, block| {
            with_bytes!(row_bytes(width) - first / 8, group.write(rows, word, block));
        });
    }
}

/// Row-major 64-bit groups: bits `first..first+64` of row r are written to
/// `rows[r * stride + offset]`; `rows` covers whole blocks of 64 rows.
pub(crate) fn chunk_rows(
    planes: &[u64],
    len: usize,
    width: usize,
    first: usize,
    rows: &mut [u64],
    stride: usize,
    offset: usize,
) {
    read_planes(planes, words(len), width, first, |word, block| {
        let slots = rows[word * 64 * stride..].iter_mut().skip(offset).step_by(stride);
        for (slot, value) in slots.zip(block) {
            *slot = *value;
        }
    });
}

/// Planes up to which rows are picked bit by bit instead of through a transpose.
const PICK_PLANES_MAX: usize = 2;

/// Row i of the result is row `index[i]`, in every plane.
pub(crate) fn gather(planes: &[u64], len: usize, width: usize, index: &[u32]) -> Vec<u64> {
    let (words_in, words_out) = (words(len), words(index.len()));
    let mut out = vec![0; words_out * width];
    if width <= PICK_PLANES_MAX {
        for plane in 0..width {
            let source = &planes[plane * words_in..(plane + 1) * words_in];
            let target = &mut out[plane * words_out..(plane + 1) * words_out];
            for (word, rows) in target.iter_mut().zip(index.chunks(64)) {
                for (bit, &row) in rows.iter().enumerate() {
                    let row = row as usize;
                    *word |= (source[row / 64] >> (row % 64) & 1) << bit;
                }
            }
        }
        return out;
    }
    let mut rows = vec![0; words_in * 64];
    for first in (0..width).step_by(64) {
        chunk_rows(planes, len, width, first, &mut rows, 1, 0);
        write_planes_from_rows(&mut out, words_out, width, first, |word, block| {
            let places = &index[word * 64..];
            if places.len() < 64 {
                block.fill(0);
            }
            for (slot, &row) in block.iter_mut().zip(places) {
                *slot = rows[row as usize];
            }
        });
    }
    out
}

/// Rows `from..from+len` of one plane into `out` (`words(len)` words, tail cleared).
pub(crate) fn slice_plane(plane: &[u64], from: usize, len: usize, out: &mut [u64]) {
    let (skip, shift) = (from / 64, from % 64);
    for (w, slot) in out.iter_mut().enumerate() {
        let low = plane[skip + w] >> shift;
        let high = match shift {
            0 => 0,
            _ => plane.get(skip + w + 1).map_or(0, |next| next << (64 - shift)),
        };
        *slot = low | high;
    }
    if let Some(last) = out.last_mut() {
        *last &= tail_mask(len);
    }
}

/// Puts `len` rows of `plane` behind the first `at` rows of `out`, whose later bits are zero.
pub(crate) fn append_plane(out: &mut [u64], at: usize, plane: &[u64], len: usize) {
    let (skip, shift) = (at / 64, at % 64);
    let count = words(len);
    for (w, &word) in plane.iter().enumerate().take(count) {
        let word = if w + 1 == count { word & tail_mask(len) } else { word };
        out[skip + w] |= word << shift;
        if shift > 0 && word >> (64 - shift) != 0 {
            out[skip + w + 1] |= word >> (64 - shift);
        }
    }
}

/// Inclusive prefix xor of one plane.
pub(crate) fn prefix_xor_plane(plane: &[u64], out: &mut [u64]) {
    let mut carry = 0;
    for (&word, slot) in plane.iter().zip(out) {
        let mut x = word;
        x ^= x << 1;
        x ^= x << 2;
        x ^= x << 4;
        x ^= x << 8;
        x ^= x << 16;
        x ^= x << 32;
        *slot = x ^ carry;
        carry = 0_u64.wrapping_sub(*slot >> 63);
    }
}

/// `width` planes of the row index 0..len.
pub(crate) fn index_planes(len: usize, width: usize) -> Vec<u64> {
    const WITHIN_WORD: [u64; 6] = [
        0xAAAA_AAAA_AAAA_AAAA,
        0xCCCC_CCCC_CCCC_CCCC,
        0xF0F0_F0F0_F0F0_F0F0,
        0xFF00_FF00_FF00_FF00,
        0xFFFF_0000_FFFF_0000,
        0xFFFF_FFFF_0000_0000,
    ];
    let words = words(len);
    let mut planes = Vec::with_capacity(words * width);
    for plane in 0..width {
        match WITHIN_WORD.get(plane) {
            Some(&pattern) => planes.extend(std::iter::repeat_n(pattern, words)),
            None => planes.extend((0..words).map(|w| {
                let bit = if plane - 6 < 64 { (w as u64) >> (plane - 6) & 1 } else { 0 };
                0_u64.wrapping_sub(bit)
            })),
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, mut seed: u64) -> Vec<u64> {
        (0..n)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                seed ^ (seed >> 29)
            })
            .collect()
    }

    fn bit(planes: &[u64], len: usize, plane: usize, row: usize) -> u64 {
        planes[plane * words(len) + row / 64] >> (row % 64) & 1
    }

    #[test]
    fn rows_and_planes_are_inverse() {
        for (len, width) in [(0, 5), (1, 1), (63, 8), (64, 64), (65, 65), (130, 200), (7, 0)] {
            let mut planes = noise(words(len) * width, 3);
            clear_tails(&mut planes, len);
            let rows = rows_from_planes(len, width, &planes);
            assert_eq!(rows.len(), len * row_bytes(width));
            for row in 0..len {
                for p in 0..width {
                    let byte = rows[row * row_bytes(width) + p / 8];
                    assert_eq!(u64::from(byte >> (p % 8) & 1), bit(&planes, len, p, row));
                }
            }
            assert_eq!(planes_from_rows(len, width, &rows), planes);
        }
    }

    #[test]
    fn gather_picks_rows() {
        for (len, width) in [(1, 1), (64, 2), (65, 3), (200, 64), (200, 130)] {
            let planes = noise(words(len) * width, 11);
            let index: Vec<u32> =
                noise(150, 5).iter().map(|v| u32::try_from(v % len as u64).unwrap()).collect();
            let out = gather(&planes, len, width, &index);
            for (i, &row) in index.iter().enumerate() {
                for p in 0..width {
                    assert_eq!(bit(&out, index.len(), p, i), bit(&planes, len, p, row as usize));
                }
            }
        }
    }

    #[test]
    fn slice_and_append_move_bits() {
        let plane = noise(5, 21);
        for (from, len) in [(0, 0), (0, 64), (3, 64), (60, 200), (64, 1), (127, 193)] {
            let mut out = vec![0; words(len)];
            slice_plane(&plane, from, len, &mut out);
            let mut back = vec![0; 6];
            append_plane(&mut back, 13, &out, len);
            for i in 0..len {
                assert_eq!(bit(&out, len, 0, i), bit(&plane, 320, 0, from + i));
                assert_eq!(back[(13 + i) / 64] >> ((13 + i) % 64) & 1, bit(&out, len, 0, i));
            }
        }
    }

    #[test]
    fn prefix_xor_accumulates() {
        let plane = noise(4, 2);
        let mut out = vec![0; 4];
        prefix_xor_plane(&plane, &mut out);
        let mut sum = 0;
        for i in 0..256 {
            sum ^= bit(&plane, 256, 0, i);
            assert_eq!(bit(&out, 256, 0, i), sum);
        }
    }

    #[test]
    fn index_planes_count_rows() {
        let planes = index_planes(300, 12);
        for row in 0..300 {
            let value: u64 = (0..12).map(|p| bit(&planes, 300, p, row) << p).sum();
            assert_eq!(value, row as u64);
        }
    }
}
