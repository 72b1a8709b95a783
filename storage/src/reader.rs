//! Reading one segment.

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

/// One segment, open for reading. It stays readable when the file is removed meanwhile. A clone is another
/// handle on the same.
#[derive(Clone)]
pub struct SegmentReader(Arc<Open>);

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
        Ok(Self(Arc::new(Open { name, file, header, digests, page_headers, columns, pages })))
    }

    /// What the segment says about itself.
    #[must_use]
    pub fn header(&self) -> &SegmentHeader {
        &self.0.header
    }

    /// Its digests, as they were when it was staged.
    #[must_use]
    pub fn digests(&self) -> &Digests {
        &self.0.digests
    }

    /// Chunks, whether or not the file holds columns.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.0.header.chunks()
    }

    /// Rows of one chunk; 0 beyond the last.
    #[must_use]
    pub fn chunk_rows(&self, chunk: usize) -> usize {
        self.0.header.chunk_rows(chunk)
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
            self.0.header.components.get(slot).ok_or_else(|| {
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
    pub(crate) fn verify(&self) -> Result<()> {
        let magic = self.read(0, PARQUET_MAGIC.len())?;
        if magic != PARQUET_MAGIC {
            return Err(corrupt(&self.0.name, "the beginning is not that of a Parquet file"));
        }
        let mut hasher = SegmentHasher::new(&self.0.header);
        for (index, page) in self.0.pages.iter().enumerate() {
            let whole = self.read(page.offset, page.header_bytes + page.body_bytes)?;
            let (header, body) = whole.split_at(page.header_bytes);
            hasher.page_header(header);
            match self.0.columns[index % self.0.columns.len()].holds {
                Holds::Component(slot) => hasher.explicit(slot, body),
                Holds::Public => hasher.public(body),
            }
        }
        let (digests, page_headers) = hasher.finish();
        for slot in [0, 1] {
            if digests.components[slot] != self.0.digests.components[slot] {
                let component = self.0.header.component_index(slot);
                return Err(corrupt(
                    &self.0.name,
                    format!("component {component}: digest mismatch"),
                ));
            }
        }
        if digests.public != self.0.digests.public {
            return Err(corrupt(&self.0.name, "PUBLIC columns: digest mismatch"));
        }
        if page_headers != self.0.page_headers {
            return Err(corrupt(&self.0.name, "page headers: digest mismatch"));
        }
        Ok(())
    }

    fn check_column(&self, chunk: usize, column: usize, secrecy: Secrecy) -> Result<()> {
        let fits = self.0.header.layout.get(column).is_some_and(|c| c.secrecy == secrecy);
        if chunk >= self.chunks() || !fits {
            return Err(StorageError::Rejected(format!(
                "segment {} has no {secrecy:?} stored column {column} in chunk {chunk}",
                self.0.header.segment
            )));
        }
        Ok(())
    }

    fn body(&self, chunk: usize, stored: usize, holds: Holds) -> Result<Vec<u8>> {
        let page = self
            .0
            .columns
            .iter()
            .position(|c| c.stored == stored && c.holds == holds)
            .and_then(|position| self.0.pages.get(chunk * self.0.columns.len() + position))
            .ok_or_else(|| corrupt(&self.0.name, format!("stored column {stored} is missing")))?;
        self.read(page.offset + page.header_bytes as u64, page.body_bytes)
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.0.file.read_at(offset, length).map_err(|e| read_error(&self.0.name, e))
    }
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentReader").field("header", &self.0.header).finish_non_exhaustive()
    }
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
