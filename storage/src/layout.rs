//! Which columns a segment's file has, and whether a header makes sense.

use crate::error::{Result, StorageError};
use crate::header::{ComponentSource, SegmentHeader};
use crate::limits::{PAGES_MAX, ROW_BYTES_MAX, ROWS_MAX, STORED_COLUMNS_MAX};
use parquet::basic::{Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};
use std::sync::Arc;
use trine_proto::schema::{Form, Secrecy};

/// What a column of the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The explicit bytes of a secret stored column in this slot (0, 1).
    Component(usize),
    /// A PUBLIC stored column.
    Public,
}

/// One column of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileColumn {
    /// Position among the stored columns.
    pub(crate) stored: usize,
    pub(crate) holds: Holds,
    /// Bytes of one row.
    pub(crate) row_bytes: usize,
}

/// The columns of the file, in order: slot 0 if explicit, slot 1 if explicit, PUBLIC columns; each
/// in the order of the stored columns.
pub(crate) fn file_columns(header: &SegmentHeader) -> Vec<FileColumn> {
    let of = |secrecy: Secrecy, holds: Holds| {
        header
            .layout
            .iter()
            .enumerate()
            .filter(move |(_, c)| c.secrecy == secrecy)
            .map(move |(stored, c)| FileColumn { stored, holds, row_bytes: c.row_bytes })
    };
    let mut columns = Vec::new();
    for slot in [0, 1] {
        if header.components[slot].source == ComponentSource::Explicit {
            columns.extend(of(Secrecy::Secret, Holds::Component(slot)));
        }
    }
    columns.extend(of(Secrecy::Public, Holds::Public));
    columns
}

/// The Parquet schema of the file: required FIXED_LEN_BYTE_ARRAY columns, or one placeholder.
pub(crate) fn parquet_schema(
    header: &SegmentHeader,
    columns: &[FileColumn],
) -> std::result::Result<TypePtr, ParquetError> {
    let mut fields = Vec::with_capacity(columns.len().max(1));
    for column in columns {
        let name = match column.holds {
            Holds::Component(slot) => {
                format!("column{}_component{}", column.stored, header.component_index(slot))
            }
            Holds::Public => format!("column{}_public", column.stored),
        };
        let field = Type::primitive_type_builder(&name, Physical::FIXED_LEN_BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .with_length(i32::try_from(column.row_bytes)?)
            .build()?;
        fields.push(Arc::new(field));
    }
    if fields.is_empty() {
        let field = Type::primitive_type_builder("no_columns", Physical::INT32)
            .with_repetition(Repetition::REQUIRED)
            .build()?;
        fields.push(Arc::new(field));
    }
    Ok(Arc::new(Type::group_type_builder("segment").with_fields(fields).build()?))
}

/// Whether a header keeps the limits and its layout is consistent.
///
/// # Errors
/// `Rejected` says what does not fit.
pub(crate) fn check(header: &SegmentHeader) -> Result<()> {
    let reject = |what: String| Err(StorageError::Rejected(what));
    if header.rows > ROWS_MAX {
        return reject(format!("{} rows; a segment takes up to {ROWS_MAX}", header.rows));
    }
    if header.layout.is_empty() || header.layout.len() > STORED_COLUMNS_MAX {
        return reject(format!(
            "{} stored columns; a segment takes 1 to {STORED_COLUMNS_MAX}",
            header.layout.len()
        ));
    }
    for (index, column) in header.layout.iter().enumerate() {
        let expected = match column.form {
            Form::Boolean => column.bits.div_ceil(8) as usize,
            Form::Arithmetic => 8,
        };
        if column.row_bytes != expected || !(1..=ROW_BYTES_MAX).contains(&expected) {
            return reject(format!(
                "stored column {index} has {} bits in {} bytes a row",
                column.bits, column.row_bytes
            ));
        }
    }
    let pages = header.chunks().saturating_mul(file_columns(header).len());
    if pages > PAGES_MAX {
        return reject(format!(
            "{} rows of {} columns make {pages} pages; a segment takes up to {PAGES_MAX}: \
             cut the batch",
            header.rows,
            header.layout.len()
        ));
    }
    Ok(())
}
