//! The inner loops, in the widest form that the processor has.
//!
//! The only place of the crate with `unsafe`: casts between words and bytes, a call of the C library's allocator, and
//! copies of loops for instruction sets that are found at run time. Every kernel has a portable twin, and tests hold the
//! two equal bit by bit: parties with different processors must make the same masks and the same
//! messages. What a kernel computes never depends on the processor, only how fast.

mod cast;
mod compress;
mod loops;
mod memory;
mod stream;
mod transpose;

pub(crate) use cast::{Plain, bytes, bytes_mut, elements};
pub(crate) use compress::compress;
pub(crate) use loops::{
    and_terms, flip, inner_terms, minus, negate_where, plus, plus_bits, plus_both, plus_weighted,
    product_terms, xor, xor_both, xor_of,
};
pub use memory::release_freed;
pub(crate) use stream::Cipher;
pub(crate) use transpose::{TILE_WORDS, Tile, TileRows, rows_of_tile, tile_of_rows};

/// Whether the loops may use AVX-512 with byte permutations and the Galois field instructions.
#[cfg(target_arch = "x86_64")]
#[inline]
fn has_wide_permutations() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("gfni")
}
