//! What a segment's file says about itself.

use crate::digest::Digests;
use crate::error::{Result, StorageError, corrupt};
use crate::layout;
use serde::{Deserialize, Serialize};
use std::fmt;
use trine_proto::CHUNK_ROWS;
use trine_proto::ids::{Party, SegmentId, TableId};
use trine_proto::schema::StoredColumn;

/// Version of the file format that this crate writes.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Key of the one entry in the file's key-value metadata.
pub(crate) const METADATA_KEY: &str = "trine.segment";

/// Where the bytes of a component come from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComponentSource {
    /// All of its columns are expanded from this seed, by whoever reads it; nothing is stored.
    Seed([u8; 32]),
    /// Stored bytes, one column per secret stored column.
    Explicit,
}

/// One of the two components that a party holds of a batch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentHeader {
    /// Keys the component's digest; known to the two holders of the component only.
    pub salt: [u8; 16],
    /// Seed or stored bytes.
    pub source: ComponentSource,
}

/// What is known of a segment before its first row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHeader {
    /// Whose file this is.
    pub party: Party,
    /// The table.
    pub table: TableId,
    /// The segment.
    pub segment: SegmentId,
    /// Digest of the schema that the batch was cut for (`TableSchema::digest`).
    pub schema_digest: [u8; 32],
    /// Rows of the whole segment.
    pub rows: u64,
    /// Stored columns, as `TableSchema::stored_columns` lists them.
    pub layout: Vec<StoredColumn>,
    /// Slot 0 is component i of party i, slot 1 is component i + 1 (mod 3).
    pub components: [ComponentHeader; 2],
}

impl SegmentHeader {
    /// Index (0, 1, 2) of the component in a slot (0, 1).
    #[must_use]
    pub const fn component_index(&self, slot: usize) -> usize {
        (self.party.index() + slot) % 3
    }

    /// Chunks of the segment: every one full except perhaps the last.
    #[must_use]
    pub fn chunks(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(usize::MAX).div_ceil(CHUNK_ROWS)
    }

    /// Rows of one chunk; 0 beyond the last.
    #[must_use]
    pub fn chunk_rows(&self, chunk: usize) -> usize {
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
        rows.saturating_sub(chunk.saturating_mul(CHUNK_ROWS)).min(CHUNK_ROWS)
    }
}

impl fmt::Debug for ComponentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seed(_) => "Seed(redacted)",
            Self::Explicit => "Explicit",
        })
    }
}

impl fmt::Debug for ComponentHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The salt is as secret as the component: with it, a digest can be searched.
        f.debug_struct("ComponentHeader").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The value under [`METADATA_KEY`]: hexadecimal postcard of (format version, this).
#[derive(Serialize, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) header: SegmentHeader,
    pub(crate) digests: Digests,
    /// Plain BLAKE3 of the headers of all pages in file order; they hold lengths only.
    pub(crate) page_headers: [u8; 32],
}

impl Metadata {
    pub(crate) fn encode(&self) -> Result<String> {
        let bytes = postcard::to_stdvec(&(FORMAT_VERSION, self))
            .map_err(|e| StorageError::Rejected(format!("the header cannot be encoded: {e}")))?;
        Ok(hex::encode(bytes))
    }

    /// Decodes and checks the value found in `file`.
    pub(crate) fn decode(file: &str, value: &str) -> Result<Self> {
        let bytes = hex::decode(value).map_err(|_| corrupt(file, "metadata are not readable"))?;
        let unreadable = |_| corrupt(file, "metadata are not readable");
        let (version, rest) = postcard::take_from_bytes::<u32>(&bytes).map_err(unreadable)?;
        if version != FORMAT_VERSION {
            return Err(StorageError::Unsupported { file: file.into(), version });
        }
        let (metadata, rest) = postcard::take_from_bytes::<Self>(rest).map_err(unreadable)?;
        if !rest.is_empty() {
            return Err(corrupt(file, "metadata are followed by something"));
        }
        layout::check(&metadata.header).map_err(|e| corrupt(file, e.to_string()))?;
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::schema::{Form, Secrecy};

    fn header() -> SegmentHeader {
        SegmentHeader {
            party: Party::ALL[2],
            table: TableId(7),
            segment: SegmentId([9; 16]),
            schema_digest: [3; 32],
            rows: 3 * CHUNK_ROWS as u64 + 1,
            layout: vec![StoredColumn {
                column: 0,
                form: Form::Arithmetic,
                bits: 64,
                row_bytes: 8,
                secrecy: Secrecy::Secret,
            }],
            components: [
                ComponentHeader { salt: [0xa7; 16], source: ComponentSource::Seed([0xb9; 32]) },
                ComponentHeader { salt: [0xc5; 16], source: ComponentSource::Explicit },
            ],
        }
    }

    #[test]
    fn debug_shows_no_seed_and_no_salt() {
        let text = format!("{:?} {:#?}", header(), header());
        for byte in ["167", "185", "197", "a7", "b9", "c5"] {
            assert!(!text.contains(byte), "{byte} in {text}");
        }
        assert!(text.contains("Seed(redacted)") && text.contains("Explicit"));
    }

    #[test]
    fn chunks_cover_the_rows() {
        let h = header();
        assert_eq!(h.chunks(), 4);
        let rows: Vec<usize> = (0..6).map(|c| h.chunk_rows(c)).collect();
        assert_eq!(rows, [CHUNK_ROWS, CHUNK_ROWS, CHUNK_ROWS, 1, 0, 0]);
        assert_eq!((h.component_index(0), h.component_index(1)), (2, 0));
    }

    #[test]
    fn metadata_survive_and_a_newer_version_is_named() {
        let digests = Digests { components: [[1; 32], [2; 32]], public: [3; 32] };
        let metadata = Metadata { header: header(), digests, page_headers: [4; 32] };
        let text = metadata.encode().unwrap();
        let back = Metadata::decode("f", &text).unwrap();
        assert_eq!(back.header, metadata.header);
        assert_eq!(back.digests, metadata.digests);
        let newer = format!("02{}", &text[2..]);
        assert!(matches!(
            Metadata::decode("f", &newer),
            Err(StorageError::Unsupported { version: 2, .. })
        ));
        for bad in ["", "01", "zz", &format!("{text}00"), &text[..text.len() - 2]] {
            assert!(matches!(Metadata::decode("f", bad), Err(StorageError::Corrupt { .. })));
        }
    }
}
