//! Writing one segment.

use crate::digest::{Digests, SegmentHasher};
use crate::error::{Result, StorageError, io_error, write_error};
use crate::footer::Sink;
use crate::header::{METADATA_KEY, Metadata, SegmentHeader};
use crate::layout::{self, FileColumn, Holds};
use crate::store::Staging;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

/// One segment being staged. Chunks go in in order; [`StageWriter::finish`] puts the file in its
/// place. Dropped before that, it leaves nothing behind.
pub struct StageWriter {
    header: SegmentHeader,
    columns: Vec<FileColumn>,
    parquet: SerializedFileWriter<Sink>,
    hasher: SegmentHasher,
    /// Page headers by (rows, bytes of the body): equal for equal shapes.
    page_headers: BTreeMap<(usize, usize), Vec<u8>>,
    rows_written: u64,
    /// A write failed half-way: the file cannot be completed.
    broken: bool,
    /// What must come out, where it is known: a repair.
    expected: Option<Digests>,
    /// Last, so that the file is closed before the claim on it is given up.
    staging: Staging,
}

impl StageWriter {
    /// Checks the header and opens the partial file.
    pub(crate) fn new(
        staging: Staging,
        header: SegmentHeader,
        expected: Option<Digests>,
    ) -> Result<Self> {
        layout::check(&header)?;
        let columns = layout::file_columns(&header);
        let failed = write_error(staging.partial());
        let schema = layout::parquet_schema(&header, &columns);
        // Statistics of shares would be useless, and a digest of them (a page CRC) is forbidden.
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_created_by("trine".into())
            .build();
        let file = staging.create()?;
        let parquet = schema
            .and_then(|s| SerializedFileWriter::new(Sink::new(file), s, Arc::new(properties)))
            .map_err(failed)?;
        let hasher = SegmentHasher::new(&header);
        let page_headers = BTreeMap::new();
        Ok(Self {
            staging,
            header,
            columns,
            parquet,
            hasher,
            page_headers,
            rows_written: 0,
            broken: false,
            expected,
        })
    }

    /// Adds the next chunk of `rows` rows: 65,536, or what remains for the last one.
    ///
    /// `explicit`: row-major bytes, one entry per secret stored column of the explicit component;
    /// none if both components are seeds; if both are explicit, the entries of slot 0 and then those
    /// of slot 1. `public`: one entry per PUBLIC stored column.
    ///
    /// # Errors
    /// `Rejected` if a count or a length does not fit (nothing was written, the writer goes on);
    /// `Full` or `Io` if the backend fails (the writer is of no use any more).
    pub fn append(&mut self, rows: usize, explicit: &[Vec<u8>], public: &[Vec<u8>]) -> Result<()> {
        self.check_unbroken()?;
        self.check_chunk(rows, explicit, public)?;
        if !self.columns.is_empty() {
            let bodies: Vec<&Vec<u8>> = explicit.iter().chain(public).collect();
            self.broken = true;
            self.write_chunk(rows, &bodies).map_err(write_error(self.staging.partial()))?;
            self.broken = false;
        }
        self.rows_written += rows as u64;
        Ok(())
    }

    /// Completes the file, syncs it and its folder, and puts it into its place. A segment without
    /// columns may come without any chunk.
    ///
    /// # Errors
    /// `Rejected` if rows are missing, or digests differ from those expected; `Cancelled` if the segment was removed meanwhile; `Full` or
    /// `Io` if the backend fails. After an error nothing is staged.
    pub fn finish(mut self) -> Result<Digests> {
        self.check_unbroken()?;
        let without_chunks = self.columns.is_empty() && self.rows_written == 0;
        if self.rows_written != self.header.rows && !without_chunks {
            return Err(StorageError::Rejected(format!(
                "{} of {} rows arrived",
                self.rows_written, self.header.rows
            )));
        }
        let (digests, page_headers) = self.hasher.finish();
        if let Some(expected) = &self.expected {
            self.check_digests(&digests, expected)?;
        }
        let metadata = Metadata { header: self.header.clone(), digests, page_headers };
        self.write_footer(metadata.encode()?).map_err(write_error(self.staging.partial()))?;
        let sink = self.parquet.inner_mut();
        sink.seal(&self.header).map_err(io_error(self.staging.partial(), "write"))?;
        self.staging.publish()?;
        Ok(digests)
    }

    fn check_digests(&self, found: &Digests, expected: &Digests) -> Result<()> {
        let reject = |what: String| Err(StorageError::Rejected(what));
        for slot in [0, 1] {
            if found.components[slot] != expected.components[slot] {
                let component = self.header.component_index(slot);
                return reject(format!("component {component} is not what the log lists"));
            }
        }
        if found.public != expected.public {
            return reject("the PUBLIC columns are not what the nodes agreed on".into());
        }
        Ok(())
    }

    fn check_unbroken(&self) -> Result<()> {
        if self.broken {
            let source = io::Error::other("an earlier write failed");
            return Err(io_error(self.staging.partial(), "write")(source));
        }
        Ok(())
    }

    fn check_chunk(&self, rows: usize, explicit: &[Vec<u8>], public: &[Vec<u8>]) -> Result<()> {
        let reject = |what: String| Err(StorageError::Rejected(what));
        let chunk = usize::try_from(self.rows_written / trine_proto::CHUNK_ROWS as u64);
        let expected = self.header.chunk_rows(chunk.unwrap_or(usize::MAX));
        let left = self.header.rows - self.rows_written;
        if rows == 0 || rows != expected || rows as u64 > left {
            return reject(format!(
                "a chunk of {rows} rows where {} are due",
                left.min(expected as u64)
            ));
        }
        let is_public = |c: &&FileColumn| c.holds == Holds::Public;
        let public_columns = self.columns.iter().filter(is_public).count();
        let explicit_columns = self.columns.len() - public_columns;
        if explicit.len() != explicit_columns || public.len() != public_columns {
            return reject(format!(
                "a chunk with {} explicit and {} PUBLIC columns where {explicit_columns} and \
                 {public_columns} are due",
                explicit.len(),
                public.len()
            ));
        }
        for (column, bytes) in self.columns.iter().zip(explicit.iter().chain(public)) {
            if bytes.len() != rows * column.row_bytes {
                return reject(format!(
                    "stored column {} has {} bytes for {rows} rows of {}",
                    column.stored,
                    bytes.len(),
                    column.row_bytes
                ));
            }
        }
        Ok(())
    }

    fn write_chunk(&mut self, rows: usize, bodies: &[&Vec<u8>]) -> parquet::errors::Result<()> {
        let schema = self.parquet.schema_descr().columns().to_vec();
        let mut group = self.parquet.next_row_group()?;
        for ((column, description), body) in self.columns.iter().zip(schema).zip(bodies) {
            let header = match self.page_headers.entry((rows, body.len())) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    new.insert(page_header(rows, body.len())?)
                }
            };
            self.hasher.page_header(header);
            match column.holds {
                Holds::Component(slot) => self.hasher.explicit(slot, body),
                Holds::Public => self.hasher.public(body),
            }
            let bytes = i64::try_from(header.len() + body.len())?;
            let metadata = ColumnChunkMetaData::builder(description)
                .set_compression(Compression::UNCOMPRESSED)
                .set_encodings(vec![Encoding::PLAIN])
                .set_num_values(i64::try_from(rows)?)
                .set_total_compressed_size(bytes)
                .set_total_uncompressed_size(bytes)
                .set_data_page_offset(0)
                .build()?;
            let close = ColumnCloseResult {
                bytes_written: bytes.unsigned_abs(),
                rows_written: rows as u64,
                metadata,
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            group.append_column(&EncodedPage { header, body }, close)?;
        }
        group.close()?;
        Ok(())
    }

    fn write_footer(&mut self, metadata: String) -> parquet::errors::Result<()> {
        self.parquet.append_key_value_metadata(KeyValue::new(METADATA_KEY.into(), metadata));
        self.parquet.flush()?;
        self.parquet.inner_mut().hold_footer();
        self.parquet.finish()?;
        Ok(())
    }
}

impl fmt::Debug for StageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageWriter")
            .field("header", &self.header)
            .field("rows_written", &self.rows_written)
            .finish_non_exhaustive()
    }
}

/// The Parquet header of a data page of `rows` REQUIRED values in `bytes` bytes.
fn page_header(rows: usize, bytes: usize) -> parquet::errors::Result<Vec<u8>> {
    let page = Page::DataPage {
        buf: vec![0; bytes].into(),
        num_values: u32::try_from(rows)?,
        encoding: Encoding::PLAIN,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    let mut whole = TrackedWrite::new(Vec::new());
    SerializedPageWriter::new(&mut whole).write_page(CompressedPage::new(page, bytes))?;
    let mut header = whole.into_inner()?;
    header.truncate(header.len() - bytes);
    Ok(header)
}

/// A page as the Parquet writer takes it in: header and body, one after the other.
struct EncodedPage<'a> {
    header: &'a [u8],
    body: &'a [u8],
}

impl Length for EncodedPage<'_> {
    fn len(&self) -> u64 {
        (self.header.len() + self.body.len()) as u64
    }
}

impl<'a> ChunkReader for EncodedPage<'a> {
    type T = io::Chain<&'a [u8], &'a [u8]>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        if start != 0 {
            return Err(ParquetError::EOF("a page is read from its beginning".into()));
        }
        Ok(self.header.chain(self.body))
    }

    fn get_bytes(&self, _: u64, _: usize) -> parquet::errors::Result<bytes::Bytes> {
        Err(ParquetError::NYI("a page is read as a stream".into()))
    }
}
