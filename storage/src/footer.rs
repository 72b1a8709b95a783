//! The end of the file: a guard, then Parquet's footer.
//!
//! The guard is what makes the footer safe to decode: Parquet's own format has no checksum there,
//! and a decoder that trusts flipped lengths may ask for any amount of memory. It lies before the
//! footer, where Parquet readers see unreferenced bytes.
//!
//! ```text
//! guard = "TRINESEG" | salt of slot 0 | salt of slot 1 | keyed BLAKE3 of all bytes after the guard
//! ```
//!
//! The digest is keyed by the two salts because the footer holds seeds.

use crate::backend::{BackendFile, BackendRead};
use crate::error::{Result, corrupt, io_error};
use crate::header::{METADATA_KEY, Metadata, SegmentHeader};
use crate::limits::{FOOTER_BYTES_MAX, WRITE_BUFFER_BYTES};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use std::io::{self, BufWriter, Write};

const GUARD_MAGIC: &[u8; 8] = b"TRINESEG";
const GUARD_CONTEXT: &str = "trine segment footer guard v1";
const SALTS_END: usize = 8 + 32;
const GUARD_BYTES: usize = SALTS_END + 32;
/// First and last bytes of every Parquet file.
pub(crate) const PARQUET_MAGIC: &[u8; 4] = b"PAR1";
/// Footer length (u32, little-endian) and magic.
const TAIL_BYTES: usize = 8;

/// Where the Parquet writer writes: pages go through a buffer to the backend, the footer is held
/// back so that the guard can be put before it.
pub(crate) struct Sink {
    file: BufWriter<Box<dyn BackendFile>>,
    footer: Option<Vec<u8>>,
}

impl Sink {
    pub(crate) fn new(file: Box<dyn BackendFile>) -> Self {
        Self { file: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file), footer: None }
    }

    /// From here on what is written is the footer.
    pub(crate) fn hold_footer(&mut self) {
        self.footer = Some(Vec::new());
    }

    /// Writes guard and footer, and syncs the file.
    pub(crate) fn seal(&mut self, header: &SegmentHeader) -> io::Result<()> {
        let footer = self.footer.take().unwrap_or_default();
        let mut salts = [0; 32];
        salts[..16].copy_from_slice(&header.components[0].salt);
        salts[16..].copy_from_slice(&header.components[1].salt);
        self.file.write_all(GUARD_MAGIC)?;
        self.file.write_all(&salts)?;
        self.file.write_all(guard_digest(&salts, &footer).as_bytes())?;
        self.file.write_all(&footer)?;
        self.file.flush()?;
        self.file.get_mut().sync()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.footer {
            Some(footer) => footer.write(bytes),
            None => self.file.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.footer.is_some() { Ok(()) } else { self.file.flush() }
    }
}

fn guard_digest(salts: &[u8], footer: &[u8]) -> blake3::Hash {
    blake3::keyed_hash(&blake3::derive_key(GUARD_CONTEXT, salts), footer)
}

/// Reads and checks the end of a file: Parquet's metadata and ours. Cost: two reads, no page.
pub(crate) fn read(name: &str, file: &dyn BackendRead) -> Result<(ParquetMetaData, Metadata)> {
    let failed = |e: io::Error| read_error(name, e);
    let least = (PARQUET_MAGIC.len() + GUARD_BYTES + TAIL_BYTES) as u64;
    let length = file.length().map_err(failed)?;
    if length < least {
        return Err(corrupt(name, "the file is cut off"));
    }
    let tail = file.read_at(length - TAIL_BYTES as u64, TAIL_BYTES).map_err(failed)?;
    let (size, magic) = tail.split_at(4);
    let size = size.iter().rev().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
    if magic != PARQUET_MAGIC || size > FOOTER_BYTES_MAX || size as u64 > length - least {
        return Err(corrupt(name, "the end of the file is not that of a segment"));
    }
    let end_bytes = GUARD_BYTES + size + TAIL_BYTES;
    let end = file.read_at(length - end_bytes as u64, end_bytes).map_err(failed)?;
    let (guard, footer) = end.split_at(GUARD_BYTES);
    let salts = &guard[GUARD_MAGIC.len()..SALTS_END];
    // `blake3::Hash` compares in constant time; nothing depends on that here.
    if &guard[..GUARD_MAGIC.len()] != GUARD_MAGIC
        || guard_digest(salts, footer) != guard[SALTS_END..]
    {
        return Err(corrupt(name, "footer: digest mismatch"));
    }
    let parquet = ParquetMetaDataReader::decode_metadata(&footer[..size])
        .map_err(|e| corrupt(name, format!("footer: {e}")))?;
    let value = parquet
        .file_metadata()
        .key_value_metadata()
        .and_then(|entries| entries.iter().find(|e| e.key == METADATA_KEY))
        .and_then(|entry| entry.value.as_deref())
        .ok_or_else(|| corrupt(name, "metadata are missing"))?;
    let metadata = Metadata::decode(name, value)?;
    Ok((parquet, metadata))
}

/// A file that ends too early is corrupt; anything else is the backend's trouble.
pub(crate) fn read_error(name: &str, error: io::Error) -> crate::StorageError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        corrupt(name, "the file is cut off")
    } else {
        io_error(name, "read")(error)
    }
}
