//! Cutting values into shares on the owner's machine, and expanding seeds on a node's.
//! Used by the client and by the nodes' scan; no network.

/// 32-byte seed of one component of one batch.
pub type Seed = [u8; 32];

/// Fills `out` with the share bytes of (seed, stored column, chunk): AES-128-CTR under a key derived with BLAKE3.
pub fn expand(_seed: &Seed, _stored_column: u32, _chunk: u32, _out: &mut [u8]) {
    todo!()
}

/// Explicit third component of a boolean column: plain ^ expand(seed0) ^ expand(seed1), in place.
pub fn cut_boolean(
    _plain: &mut [u8],
    _seed0: &Seed,
    _seed1: &Seed,
    _stored_column: u32,
    _chunk: u32,
) {
    todo!()
}

/// Explicit third component of an arithmetic column (little-endian u64): plain - expand(seed0) - expand(seed1), in place.
pub fn cut_arithmetic(
    _plain: &mut [u8],
    _seed0: &Seed,
    _seed1: &Seed,
    _stored_column: u32,
    _chunk: u32,
) {
    todo!()
}
