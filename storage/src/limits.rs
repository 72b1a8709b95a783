//! Limits of one segment, in one place.

use trine_proto::CHUNK_ROWS;
use trine_proto::schema::{COLUMNS_MAX, VARCHAR_BYTES_MAX};

/// Rows of one segment at most.
pub const ROWS_MAX: u64 = 1 << 31;
/// Stored columns of one segment at most: a boolean and an arithmetic encoding per column.
pub const STORED_COLUMNS_MAX: usize = 2 * COLUMNS_MAX;
/// Bytes of one row of one stored column at most: the longest VARCHAR and its null bit.
pub const ROW_BYTES_MAX: usize = VARCHAR_BYTES_MAX as usize + 1;
/// Pages of one file (chunks × columns of the file) at most; bounds the footer and its index in memory.
pub const PAGES_MAX: usize = 1 << 18;
/// Bytes of a footer at most.
pub const FOOTER_BYTES_MAX: usize = 1 << 27;
/// Bytes of a page's header at most.
pub const PAGE_HEADER_BYTES_MAX: usize = 256;

/// Bytes of a file that is held in memory once it was read, at most.
pub(crate) const HELD_FILE_BYTES_MAX: u64 = 1 << 18;
/// Bytes of all files that are held, at most.
pub(crate) const HELD_BYTES_MAX: u64 = 1 << 26;

/// Bytes collected before they go to the backend.
pub(crate) const WRITE_BUFFER_BYTES: usize = 1 << 20;

const _: () = assert!(HELD_FILE_BYTES_MAX <= HELD_BYTES_MAX);
// Parquet numbers row groups with 15 bits.
const _: () = assert!(ROWS_MAX / CHUNK_ROWS as u64 <= 1 << 15);
// A page's length is an i32 in Parquet.
const _: () = assert!(CHUNK_ROWS * ROW_BYTES_MAX < i32::MAX as usize);
// An entry of the footer is well below 256 bytes; the metadata adds a few bytes per stored column.
const _: () = assert!(PAGES_MAX * 256 + STORED_COLUMNS_MAX * 512 + (1 << 16) <= FOOTER_BYTES_MAX);
