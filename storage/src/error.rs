//! What can go wrong, named by what the caller does about it.

use parquet::errors::ParquetError;
use std::io;
use trine_proto::ids::{SegmentId, TableId};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Errors of the store. None carries share content.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The segment lies here already, complete: ask for its digests instead.
    #[error("segment {segment} of table {table} is already staged")]
    AlreadyStaged {
        /// The table.
        table: TableId,
        /// The segment.
        segment: SegmentId,
    },
    /// Another writer is at work on the same segment: try again later.
    #[error("segment {segment} of table {table} is being staged")]
    Busy {
        /// The table.
        table: TableId,
        /// The segment.
        segment: SegmentId,
    },
    /// The segment was removed while it was being written: the transaction is over.
    #[error("segment {segment} of table {table} was given up while it was being staged")]
    Cancelled {
        /// The table.
        table: TableId,
        /// The segment.
        segment: SegmentId,
    },
    /// There is no such file: repair it if the catalog lists it.
    #[error("segment {segment} of table {table} is not stored here")]
    NotFound {
        /// The table.
        table: TableId,
        /// The segment.
        segment: SegmentId,
    },
    /// What was handed in does not fit the header or the limits: tell the uploader.
    #[error("{0}")]
    Rejected(String),
    /// The file does not hold what was written: repair it from the peers.
    #[error("file {file} is corrupt: {what}")]
    Corrupt {
        /// Name below the data folder.
        file: String,
        /// Which part (component, public columns, footer) and how.
        what: String,
    },
    /// The file was written by a newer version of the software.
    #[error("file {file} has format version {version}; this version reads 1")]
    Unsupported {
        /// Name below the data folder.
        file: String,
        /// Its version.
        version: u32,
    },
    /// The disk is full (or a quota is): free space and try again.
    #[error("no space left to write {file}")]
    Full {
        /// Name below the data folder.
        file: String,
    },
    /// The backend failed otherwise.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// Name below the data folder.
        file: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl StorageError {
    /// The segment whose file is missing or damaged: what a repair would write anew.
    #[must_use]
    pub fn damaged(&self) -> Option<(TableId, SegmentId)> {
        match self {
            Self::NotFound { table, segment } => Some((*table, *segment)),
            Self::Corrupt { file, .. } => crate::store::parse_name(file),
            _ => None,
        }
    }
}

/// Turns a backend's error into ours; for `map_err`.
pub(crate) fn io_error(file: &str, action: &'static str) -> impl FnOnce(io::Error) -> StorageError {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StorageError::Full { file: file.into() }
        }
        _ => StorageError::Io { file: file.into(), action, source },
    }
}

/// Turns an error of the Parquet *writer* into ours: an I/O error inside it, or a bug of ours.
pub(crate) fn write_error(file: &str) -> impl FnOnce(ParquetError) -> StorageError {
    move |error| {
        let source = match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(source) => *source,
                Err(other) => io::Error::other(other),
            },
            other => io::Error::other(other),
        };
        io_error(file, "write")(source)
    }
}

pub(crate) fn corrupt(file: &str, what: impl Into<String>) -> StorageError {
    StorageError::Corrupt { file: file.into(), what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_even_through_the_parquet_writer() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(io_error("f", "write")(full()), StorageError::Full { .. }));
        assert!(matches!(write_error("f")(full().into()), StorageError::Full { .. }));
        let other = write_error("f")(ParquetError::General("x".into()));
        assert!(matches!(other, StorageError::Io { .. }));
    }
}
