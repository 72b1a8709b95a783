//! One party's share segments.
//!
//! A *segment* is one batch of rows of one table. At each node it is one Parquet file,
//! `segments/<table>/<segment>.parquet` below the data folder, with the two share components that
//! this party holds of every secret column, and the PUBLIC columns in the clear. Shares are opaque
//! fixed-width bytes here: nothing in this crate knows what they mean.
//!
//! # What it guarantees
//!
//! * *Immutable*: a segment is written once and never changed; it appears in its place complete
//!   and synced, or not at all, whatever call a crash interrupts.
//! * *Invisible until listed*: a file exists for readers of the database only because the catalog
//!   lists it. Nothing here decides visibility; [`Store::reconcile`] brings files and list together.
//! * *Never silently wrong*: the first [`Store::read`] of a segment reads the whole file once and
//!   checks every byte of it against its digests; every page that is read later is held against what
//!   was checked then. A mismatch is [`StorageError::Corrupt`], and [`Store::rebuild`] replaces the
//!   file.
//! * *Digests do not leak*: every digest that covers share material is keyed with a salt that only
//!   the holders of that material have ([`Digests`]).
//!
//! It does *not* hide anything from whoever can read the folder: this is one party's own disk.
//!
//! # The life of a segment
//!
//! 1. [`Store::stage`] opens a partial file; [`StageWriter::append`] adds one chunk of rows at a
//!    time; [`StageWriter::finish`] writes the footer, syncs, and renames the file into its place.
//!    The digests it returns go into the node's receipt. A writer that is dropped leaves nothing.
//! 2. A client that lost the answer asks again: [`Store::staged_digests`].
//! 3. The log decides. After a commit, queries [`Store::read`] the segment chunk by chunk.
//! 4. After an abort or a drop, [`Store::remove`] or [`Store::reconcile`] deletes the file.
//!
//! # The file
//!
//! ```text
//! "PAR1" | chunk 0: one page per column | chunk 1: … | guard | footer | footer length | "PAR1"
//! ```
//!
//! One row group per chunk of 65,536 rows, one uncompressed PLAIN page per column and row group, no
//! dictionary, no statistics: a page's body is exactly the row-major bytes that were uploaded. Every
//! Parquet reader can read it. The columns of component `k` are called `column<i>_component<k>`, the
//! PUBLIC ones `column<i>_public`, where `i` is the position among the stored columns. A component
//! made from a seed has no columns; its seed stands in the metadata (key `trine.segment`). A segment
//! without any column (two seeds, nothing PUBLIC) is a file without row groups whose schema has one
//! placeholder column; its row count is in the metadata. The *guard* is a keyed digest of the footer:
//! it is checked before the footer is decoded.
//!
//! All calls block on the disk.

mod backend;
mod digest;
mod error;
mod footer;
mod header;
mod held;
mod layout;
pub mod limits;
mod reader;
mod store;
mod writer;

pub use backend::{Backend, BackendFile, BackendRead, Disk, Memory};
#[cfg(feature = "testing")]
pub use backend::{Faulty, Tear};
pub use digest::Digests;
pub use error::{Result, StorageError};
pub use header::{ComponentHeader, ComponentSource, SegmentHeader};
pub use reader::SegmentReader;
pub use store::{Reconciled, Removed, Store};
pub use writer::StageWriter;
