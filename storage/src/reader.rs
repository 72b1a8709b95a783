//! Reading one segment.
//!
//! [`SegmentReader::verify`] holds a whole file against its digests and remembers a short checksum of
//! every page. Pages that are read later, by this reader or another of the same file, are held against
//! those: a byte that changes on disk while the node runs is noticed at the next read.

use crate::backend::BackendRead;
use crate::digest::{Digests, SegmentHasher};
use crate::error::{Result, StorageError, corrupt};
use crate::footer::{self, PARQUET_MAGIC, read_error};
use crate::header::{ComponentSource, SegmentHeader};
use crate::layout::{self, FileColumn, Holds};
use crate::limits::PAGE_HEADER_BYTES_MAX;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use std::fmt;
use std::sync::Arc;
use trine_proto::schema::Secrecy;

/// Makes the key of the page checksums from the salts of both components.
const PAGE_CONTEXT: &str = "trine segment page check v1";

/// One segment, open for reading. It stays readable when the file is removed meanwhile. A clone is another
/// handle on the same.
#[derive(Clone)]
pub struct SegmentReader {
    open: Arc<Open>,
    verified: Option<Arc<Verified>>,
}

struct Open {
    name: String,
    file: Box<dyn BackendRead>,
    header: SegmentHeader,
    digests: Digests,
    page_headers: [u8; 32],
    columns: Vec<FileColumn>,
    /// Chunk by chunk, column by column of the file.
    pages: Vec<PageRange>,
}

/// What a file held when every byte of it was checked. In memory only.
pub(crate) struct Verified {
    digests: Digests,
    /// Keyed checksums of the page bodies in file order: 16 bytes a page.
    pages: Vec<[u8; 16]>,
}

/// Where a page lies: header first, body at the end.
struct PageRange {
    offset: u64,
    header_bytes: usize,
    body_bytes: usize,
}

impl SegmentReader {
    /// Opens the file and checks its end, but not its pages: see [`Self::verify`].
    pub(crate) fn open(name: String, file: Box<dyn BackendRead>) -> Result<Self> {
        let (parquet, metadata) = footer::read(&name, file.as_ref())?;
        let header = metadata.header;
        let columns = layout::file_columns(&header);
        let pages = page_ranges(&name, &parquet, &header, &columns)?;
        let (digests, page_headers) = (metadata.digests, metadata.page_headers);
        let open = Open { name, file, header, digests, page_headers, columns, pages };
        Ok(Self { open: Arc::new(open), verified: None })
    }

    /// Holds what is read from now on against what was checked before.
    ///
    /// # Errors
    /// `Corrupt` if this is another file than the one that was checked.
    pub(crate) fn trust(&mut self, verified: Arc<Verified>) -> Result<()> {
        if verified.digests != self.open.digests || verified.pages.len() != self.open.pages.len() {
            return Err(corrupt(&self.open.name, "the file was exchanged for another"));
        }
        self.verified = Some(verified);
        Ok(())
    }

    /// What the segment says about itself.
    #[must_use]
    pub fn header(&self) -> &SegmentHeader {
        &self.open.header
    }

    /// Its digests, as they were when it was staged.
    #[must_use]
    pub fn digests(&self) -> &Digests {
        &self.open.digests
    }

    /// Chunks, whether or not the file holds columns.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.open.header.chunks()
    }

    /// Rows of one chunk; 0 beyond the last.
    #[must_use]
    pub fn chunk_rows(&self, chunk: usize) -> usize {
        self.open.header.chunk_rows(chunk)
    }

    /// The explicit bytes (`chunk_rows` × `row_bytes`, row-major) of a secret stored column in slot 0
    /// or 1 of the components; `None` if that component is a seed. `column` is the position in
    /// `header().layout`.
    ///
    /// # Errors
    /// `Rejected` if there is no such chunk, secret column or slot; `Corrupt` or `Io`.
    pub fn component(&self, chunk: usize, column: usize, slot: usize) -> Result<Option<Vec<u8>>> {
        self.check_column(chunk, column, Secrecy::Secret)?;
        let component =
            self.open.header.components.get(slot).ok_or_else(|| {
                StorageError::Rejected(format!("there is no component slot {slot}"))
            })?;
        match component.source {
            ComponentSource::Seed(_) => Ok(None),
            ComponentSource::Explicit => self.body(chunk, column, Holds::Component(slot)).map(Some),
        }
    }

    /// The bytes (`chunk_rows` × `row_bytes`, row-major) of a PUBLIC stored column. `column` is the
    /// position in `header().layout`.
    ///
    /// # Errors
    /// `Rejected` if there is no such chunk or PUBLIC column; `Corrupt` or `Io`.
    pub fn public(&self, chunk: usize, column: usize) -> Result<Vec<u8>> {
        self.check_column(chunk, column, Secrecy::Public)?;
        self.body(chunk, column, Holds::Public)
    }

    /// Reads the whole file once, page by page, and compares every digest.
    pub(crate) fn verify(&self) -> Result<Verified> {
        let magic = self.read(0, PARQUET_MAGIC.len())?;
        if magic != PARQUET_MAGIC {
            return Err(corrupt(&self.open.name, "the beginning is not that of a Parquet file"));
        }
        let mut hasher = SegmentHasher::new(&self.open.header);
        let key = self.page_key();
        let mut pages = Vec::with_capacity(self.open.pages.len());
        for (index, page) in self.open.pages.iter().enumerate() {
            let whole = self.read(page.offset, page.header_bytes + page.body_bytes)?;
            let (header, body) = whole.split_at(page.header_bytes);
            hasher.page_header(header);
            pages.push(page_check(&key, body));
            match self.open.columns[index % self.open.columns.len()].holds {
                Holds::Component(slot) => hasher.explicit(slot, body),
                Holds::Public => hasher.public(body),
            }
        }
        let (digests, page_headers) = hasher.finish();
        for slot in [0, 1] {
            if digests.components[slot] != self.open.digests.components[slot] {
                let component = self.open.header.component_index(slot);
                return Err(corrupt(
                    &self.open.name,
                    format!("component {component}: digest mismatch"),
                ));
            }
        }
        if digests.public != self.open.digests.public {
            return Err(corrupt(&self.open.name, "PUBLIC columns: digest mismatch"));
        }
        if page_headers != self.open.page_headers {
            return Err(corrupt(&self.open.name, "page headers: digest mismatch"));
        }
        Ok(Verified { digests, pages })
    }

    fn page_key(&self) -> [u8; 32] {
        let mut salts = [0; 32];
        salts[..16].copy_from_slice(&self.open.header.components[0].salt);
        salts[16..].copy_from_slice(&self.open.header.components[1].salt);
        blake3::derive_key(PAGE_CONTEXT, &salts)
    }

    fn check_column(&self, chunk: usize, column: usize, secrecy: Secrecy) -> Result<()> {
        let fits = self.open.header.layout.get(column).is_some_and(|c| c.secrecy == secrecy);
        if chunk >= self.chunks() || !fits {
            return Err(StorageError::Rejected(format!(
                "segment {} has no {secrecy:?} stored column {column} in chunk {chunk}",
                self.open.header.segment
            )));
        }
        Ok(())
    }

    fn body(&self, chunk: usize, stored: usize, holds: Holds) -> Result<Vec<u8>> {
        let missing = || corrupt(&self.open.name, format!("stored column {stored} is missing"));
        let position =
            self.open.columns.iter().position(|c| c.stored == stored && c.holds == holds);
        let index = chunk * self.open.columns.len() + position.ok_or_else(missing)?;
        let page = self.open.pages.get(index).ok_or_else(missing)?;
        let body = self.read(page.offset + page.header_bytes as u64, page.body_bytes)?;
        if let Some(verified) = &self.verified
            && verified.pages.get(index) != Some(&page_check(&self.page_key(), &body))
        {
            let what = match holds {
                Holds::Component(slot) => {
                    format!("component {}", self.open.header.component_index(slot))
                }
                Holds::Public => "PUBLIC columns".into(),
            };
            return Err(corrupt(&self.open.name, format!("{what}: changed since it was checked")));
        }
        Ok(body)
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.open.file.read_at(offset, length).map_err(|e| read_error(&self.open.name, e))
    }
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentReader").field("header", &self.open.header).finish_non_exhaustive()
    }
}

fn page_check(key: &[u8; 32], body: &[u8]) -> [u8; 16] {
    let mut check = [0; 16];
    check.copy_from_slice(&blake3::keyed_hash(key, body).as_bytes()[..16]);
    check
}

/// Finds the pages, and checks that the footer describes the columns that the header asks for.
fn page_ranges(
    name: &str,
    parquet: &ParquetMetaData,
    header: &SegmentHeader,
    columns: &[FileColumn],
) -> Result<Vec<PageRange>> {
    let groups = if columns.is_empty() { 0 } else { header.chunks() };
    if parquet.num_row_groups() != groups {
        return Err(corrupt(name, "the footer has another number of chunks than the metadata"));
    }
    let mut pages = Vec::with_capacity(groups * columns.len());
    for (chunk, group) in parquet.row_groups().iter().enumerate() {
        let rows = header.chunk_rows(chunk);
        if usize::try_from(group.num_rows()) != Ok(rows) || group.num_columns() != columns.len() {
            return Err(corrupt(
                name,
                format!("chunk {chunk} has another shape than the metadata"),
            ));
        }
        for (column, found) in columns.iter().zip(group.columns()) {
            let page = page_range(found, rows * column.row_bytes).ok_or_else(|| {
                corrupt(name, format!("stored column {} has another size", column.stored))
            })?;
            pages.push(page);
        }
    }
    Ok(pages)
}

fn page_range(found: &ColumnChunkMetaData, body_bytes: usize) -> Option<PageRange> {
    let offset = u64::try_from(found.data_page_offset()).ok()?;
    let whole = usize::try_from(found.compressed_size()).ok()?;
    let header_bytes = whole.checked_sub(body_bytes)?;
    (header_bytes <= PAGE_HEADER_BYTES_MAX).then_some(PageRange {
        offset,
        header_bytes,
        body_bytes,
    })
}
