//! One CSV file against one table: header matched by name, records one by one, no allocation a row.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use csv::ByteRecord;
use trine_proto::schema::{ColumnType, TableSchema};
use trine_proto::status::{SqlError, sqlstate};

use super::{LoadOptions, LoadProgress};
use crate::encode::{CellError, ColumnEncoder, Encoded};

/// A file that is being read.
pub(super) struct Source {
    path: PathBuf,
    reader: csv::Reader<File>,
    header: ByteRecord,
    record: ByteRecord,
    /// Per column of the table: its field in the file.
    fields: Vec<Option<usize>>,
    null: Vec<u8>,
    records: u64,
    reported: u64,
}

/// A reader of a file with the settings that all readings share.
pub(super) fn open(path: &Path, delimiter: u8) -> Result<csv::Reader<File>, SqlError> {
    let fail = |e: std::io::Error| bad(format!("cannot read {}: {e}", path.display()));
    let file = File::open(path).map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(bad(format!("{} is not a file: it has to be read twice", path.display())));
    }
    Ok(csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(1 << 18)
        .from_reader(file))
}

/// The names in the first record, without the mark that some programs put before UTF-8.
pub(super) fn read_header(
    path: &Path,
    reader: &mut csv::Reader<File>,
) -> Result<Vec<String>, SqlError> {
    let mut header = ByteRecord::new();
    let found = reader.read_byte_record(&mut header).map_err(|e| unreadable(path, &e))?;
    if !found {
        return Err(bad(format!(
            "{} is empty: its first line must name the columns",
            path.display()
        )));
    }
    header
        .iter()
        .map(|name| {
            let name = name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name);
            std::str::from_utf8(name)
                .map(|n| n.trim().to_owned())
                .map_err(|_| bad(format!("{}: the header is not UTF-8", path.display())))
        })
        .collect()
}

pub(super) fn bad(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::BAD_COPY_FILE, message)
}

pub(super) fn unreadable(path: &Path, error: &csv::Error) -> SqlError {
    bad(format!("cannot read {}: {error}", path.display()))
}

impl Source {
    /// Opens a file and matches its header with the table's columns.
    ///
    /// # Errors
    /// `22P04` if it cannot be read, `42703` for a column that the table lacks, `23502` if a NOT
    /// NULL column is missing.
    pub(super) fn open(
        path: &Path,
        schema: &TableSchema,
        options: &LoadOptions,
    ) -> Result<Self, SqlError> {
        let mut reader = open(path, options.delimiter)?;
        let names = match &options.columns {
            None => read_header(path, &mut reader)?,
            Some(columns) => {
                let mut skipped = ByteRecord::new();
                for _ in 0..options.skip_lines {
                    reader.read_byte_record(&mut skipped).map_err(|e| unreadable(path, &e))?;
                }
                columns.clone()
            }
        };
        let fields = match_header(path, &names, schema)?;
        let header = names.iter().map(String::as_bytes).collect();
        Ok(Self {
            path: path.to_path_buf(),
            reader,
            header,
            record: ByteRecord::new(),
            fields,
            null: options.null.as_bytes().to_vec(),
            records: 0,
            reported: 0,
        })
    }

    /// Goes to the next record; false at the end.
    pub(super) fn next(&mut self) -> Result<bool, SqlError> {
        self.records += 1;
        self.reader.read_byte_record(&mut self.record).map_err(|e| unreadable(&self.path, &e))
    }

    /// Whether the record has as many fields as the header.
    pub(super) fn is_whole(&self) -> bool {
        self.record.len() == self.header.len()
    }

    /// The checked value of a column in this record.
    pub(super) fn cell(
        &self,
        column: usize,
        encoder: &ColumnEncoder,
    ) -> Result<Encoded<'_>, CellError> {
        let field = match self.fields.get(column) {
            Some(Some(field)) => self.record.get(*field).unwrap_or_default(),
            _ => return encoder.null(),
        };
        if field == self.null {
            let text = matches!(encoder.column().ty, ColumnType::Varchar { .. });
            if field.is_empty() && text && !encoder.column().nullable {
                return encoder.text(field);
            }
            return encoder.null();
        }
        encoder.text(field)
    }

    /// Number (from 1) of the field that a column is read from.
    pub(super) fn field_number(&self, column: usize) -> usize {
        self.fields.get(column).copied().flatten().map_or(1, |f| f + 1)
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names in the file's header.
    pub(super) const fn header(&self) -> &ByteRecord {
        &self.header
    }

    /// The record as it was read.
    pub(super) const fn record(&self) -> &ByteRecord {
        &self.record
    }

    /// Line (from 1) in the file on which a field of this record starts. Costs a look into the file:
    /// for errors only.
    pub(super) fn line(&self, field_number: usize) -> u64 {
        let Some(position) = self.record.position() else { return 0 };
        // The reader's position lies before empty lines, which it skips.
        let skipped = File::open(&self.path)
            .and_then(|mut f| f.seek(SeekFrom::Start(position.byte())).map(|_| f))
            .map_or(0, |f| {
                BufReader::new(f)
                    .bytes()
                    .map_while(Result::ok)
                    .take_while(|b| matches!(b, b'\r' | b'\n'))
                    .filter(|b| *b == b'\n')
                    .count()
            });
        let inside: usize = self
            .record
            .iter()
            .take(field_number.saturating_sub(1))
            .map(|f| f.iter().filter(|b| **b == b'\n').count())
            .sum();
        position.line() + (skipped + inside) as u64
    }

    /// Adds to the progress what was read since the last report, every `records` records.
    pub(super) fn report(&mut self, progress: &LoadProgress, records: u64) {
        if self.records.is_multiple_of(records) {
            let now = self.reader.position().byte();
            progress.bytes_done.fetch_add(now - self.reported, Ordering::Relaxed);
            self.reported = now;
        }
    }
}

/// Per column of the table its field: by exact name, else without regard to case.
fn match_header(
    path: &Path,
    names: &[String],
    schema: &TableSchema,
) -> Result<Vec<Option<usize>>, SqlError> {
    let mut fields = vec![None; schema.columns.len()];
    for (field, name) in names.iter().enumerate() {
        let column = schema
            .position(name)
            .or_else(|| schema.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)));
        let Some(column) = column else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("{}: table \"{}\" has no column \"{name}\"", path.display(), schema.name),
            )
            .hint("the first line of the file names the columns of the table"));
        };
        if fields[column].replace(field).is_some() {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("{}: column \"{name}\" appears twice in the header", path.display()),
            ));
        }
    }
    for (column, field) in schema.columns.iter().zip(&fields) {
        if field.is_none() && !column.nullable {
            return Err(SqlError::new(
                sqlstate::NOT_NULL_VIOLATION,
                format!("{} has no column \"{}\", which is NOT NULL", path.display(), column.name),
            ));
        }
    }
    Ok(fields)
}
