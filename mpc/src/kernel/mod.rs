//! The inner loops, in the widest form that the processor has.
//!
//! The only place of the crate with `unsafe`: casts between words and bytes, and copies of loops for
//! instruction sets that are found at run time. Every kernel has a portable twin, and tests hold the
//! two equal bit by bit: parties with different processors must make the same masks and the same
//! messages. What a kernel computes never depends on the processor, only how fast.

mod compress;
mod transpose;

#[allow(unused_imports, reason = "taken by the movement of rows")]
pub(crate) use transpose::{TILE_WORDS, Tile, TileRows, rows_of_tile, tile_of_rows, transpose64};

#[allow(unused_imports, reason = "taken by the movement of rows")]
pub(crate) use compress::{BitWriter, compress};

/// Whether the loops may use AVX-512 (foundation, bytes and words, double and quad words, lengths,
/// byte permutations) and the Galois field instructions.
#[cfg(target_arch = "x86_64")]
#[inline]
fn has_wide_permutations() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("gfni")
}
