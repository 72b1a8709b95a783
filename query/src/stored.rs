//! A segment as its table is now. Where ALTER TABLE has changed the columns since the segment was
//! stored, they are found by its layout: in another place, with or without a NULL bit, or as one
//! public constant for every row. Local; nothing is sent.

use crate::error::{QueryError, Result};
use crate::plan::SegmentScan;
use trine_mpc::input;
use trine_proto::alter::{Constant, Origin};
use trine_proto::ids::TableId;
use trine_proto::schema::{ColumnType, Form, StoredColumn, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::{ComponentSource, SegmentReader, Store};

/// Where a stored column of today comes from.
enum Source {
    /// That stored column, byte for byte.
    Same(usize),
    /// That stored column; rows lose or gain their uppermost bit, NULL.
    Reshaped(usize),
    /// These bytes in every row.
    Constant(Vec<u8>),
}

/// See the module. Columns go by their place in `TableSchema::segment_columns`.
pub(crate) struct Stored {
    reader: SegmentReader,
    /// Of the file.
    layout: Vec<StoredColumn>,
    columns: Vec<(StoredColumn, Source)>,
}

fn damaged(what: &str) -> QueryError {
    QueryError::Sql(SqlError::new(sqlstate::DATA_CORRUPTED, what))
}

impl Stored {
    /// Opens a segment of this table and checks that it is what the catalog says.
    ///
    /// # Errors
    /// `Storage` for a file that is missing or damaged; XX001 for one of another shape.
    pub(crate) fn open(
        store: &Store,
        table: TableId,
        schema: &TableSchema,
        segment: &SegmentScan,
    ) -> Result<Self> {
        let (home, before) = match &segment.layout {
            Some(layout) => (layout.table, &layout.schema),
            None => (table, schema),
        };
        let reader = store.read(home, segment.id)?;
        let header = reader.header();
        let layout = before.segment_columns(segment.has_valid);
        if header.rows != segment.rows || header.layout != layout {
            return Err(damaged("a segment has another shape than the catalog says"));
        }
        let mut columns = Vec::with_capacity(layout.len());
        for column in schema.segment_columns(segment.has_valid) {
            let source = source(&column, schema, segment, &layout)?;
            columns.push((column, source));
        }
        Ok(Self { reader, layout, columns })
    }

    /// Party index of the file.
    pub(crate) fn party(&self) -> usize {
        self.reader.header().party.index()
    }

    /// Rows of the segment.
    pub(crate) fn rows(&self) -> u64 {
        self.reader.header().rows
    }

    /// Chunks of the segment.
    pub(crate) fn chunks(&self) -> usize {
        self.reader.chunks()
    }

    /// Rows of a chunk.
    pub(crate) fn chunk_rows(&self, chunk: usize) -> usize {
        self.reader.chunk_rows(chunk)
    }

    /// Adds the row-major bytes of a component of a secret column: slot 0 is component i of party i,
    /// slot 1 component i+1.
    ///
    /// # Errors
    /// `Storage` for a damaged page.
    pub(crate) fn component(
        &self,
        out: &mut Vec<u8>,
        chunk: usize,
        column: usize,
        slot: usize,
    ) -> Result<()> {
        let (now, source) = self.column(column)?;
        match source {
            Source::Same(stored) => self.stored(out, chunk, *stored, slot)?,
            Source::Reshaped(stored) => {
                let mut bytes = Vec::new();
                self.stored(&mut bytes, chunk, *stored, slot)?;
                out.extend(reshaped(&bytes, &self.layout[*stored], now));
            }
            // The first component is the value, the others are nothing.
            Source::Constant(row) => {
                let rows = self.chunk_rows(chunk);
                let first = self.reader.header().component_index(slot) == 0;
                out.extend(if first { row.repeat(rows) } else { vec![0; row.len() * rows] });
            }
        }
        Ok(())
    }

    /// Row-major plain bytes of a PUBLIC column.
    ///
    /// # Errors
    /// `Storage` for a damaged page.
    pub(crate) fn public(&self, chunk: usize, column: usize) -> Result<Vec<u8>> {
        let (now, source) = self.column(column)?;
        Ok(match source {
            Source::Same(stored) => self.reader.public(chunk, *stored)?,
            Source::Reshaped(stored) => {
                reshaped(&self.reader.public(chunk, *stored)?, &self.layout[*stored], now)
            }
            Source::Constant(row) => row.repeat(self.chunk_rows(chunk)),
        })
    }

    fn column(&self, column: usize) -> Result<&(StoredColumn, Source)> {
        self.columns.get(column).ok_or_else(|| QueryError::bug("a stored column that is not there"))
    }

    /// Adds what a component holds, from the file or from its seed.
    fn stored(&self, out: &mut Vec<u8>, chunk: usize, column: usize, slot: usize) -> Result<()> {
        if let Some(bytes) = self.reader.component(chunk, column, slot)? {
            out.extend(bytes);
            return Ok(());
        }
        let ComponentSource::Seed(seed) = &self.reader.header().components[slot].source else {
            return Err(QueryError::bug("an explicit component without bytes"));
        };
        let number = |n: usize| u32::try_from(n).map_err(|_| QueryError::bug("a huge segment"));
        let start = out.len();
        out.resize(start + self.chunk_rows(chunk) * self.layout[column].row_bytes, 0);
        input::expand(seed, number(column)?, number(chunk)?, &mut out[start..]);
        Ok(())
    }
}

/// Where a stored column of `schema` is found in a segment.
fn source(
    column: &StoredColumn,
    schema: &TableSchema,
    segment: &SegmentScan,
    layout: &[StoredColumn],
) -> Result<Source> {
    let missing = || damaged("a segment's layout does not fit its table");
    let Some(changed) = &segment.layout else {
        let place = layout.iter().position(|c| c == column);
        return place.map(Source::Same).ok_or_else(missing);
    };
    let before = match schema.columns.get(column.column) {
        // The valid bits lie behind the columns.
        None => changed.schema.columns.len(),
        Some(now) => match changed.columns.get(column.column).ok_or_else(missing)? {
            Origin::Before(before) => *before,
            Origin::Constant(constant) => {
                return Ok(Source::Constant(row_of(constant, now, column)));
            }
        },
    };
    let place = layout.iter().position(|c| c.column == before && c.form == column.form);
    let place = place.ok_or_else(missing)?;
    let stored = &layout[place];
    if stored.secrecy != column.secrecy || stored.bits.abs_diff(column.bits) > 1 {
        return Err(missing());
    }
    Ok(if stored.bits == column.bits { Source::Same(place) } else { Source::Reshaped(place) })
}

/// Rows cut to the bits that both have; a bit that is new is 0 in every component. Bits of the last
/// byte beyond the column's may hold anything before, and hold 0 after.
fn reshaped(bytes: &[u8], from: &StoredColumn, to: &StoredColumn) -> Vec<u8> {
    let bits = from.bits.min(to.bits) as usize;
    let (whole, rest) = (bits / 8, bits % 8);
    let rows = bytes.len() / from.row_bytes.max(1);
    let mut out = vec![0; rows * to.row_bytes];
    let pairs = bytes.chunks_exact(from.row_bytes.max(1)).zip(out.chunks_exact_mut(to.row_bytes));
    for (old, new) in pairs {
        new[..whole].copy_from_slice(&old[..whole]);
        if rest > 0 {
            new[whole] = old[whole] & ((1 << rest) - 1);
        }
    }
    out
}

/// A constant as a row of a stored column.
fn row_of(
    constant: &Constant,
    column: &trine_proto::schema::Column,
    stored: &StoredColumn,
) -> Vec<u8> {
    let mut row = vec![0; stored.row_bytes];
    match (constant, stored.form) {
        (Constant::Null, Form::Boolean) if column.nullable => {
            let top = column.bits() as usize;
            row[top / 8] |= 1 << (top % 8);
        }
        // Rows that do not exist, in a column without NULL.
        (Constant::Null, _) => {}
        (Constant::Number(value), Form::Arithmetic) => row.copy_from_slice(&value.to_le_bytes()),
        (Constant::Number(value), Form::Boolean) => {
            let low = column.limits().map_or(0, |(low, _)| low);
            let offset = (i128::from(*value) - i128::from(low)).to_le_bytes();
            for (to, from) in row.iter_mut().zip(offset) {
                *to = from;
            }
        }
        // The first byte is the most significant.
        (Constant::Text(text), _) => {
            let ColumnType::Varchar { bytes_max } = column.ty else { return row };
            for (index, byte) in text.iter().enumerate().take(bytes_max as usize) {
                row[bytes_max as usize - 1 - index] = *byte;
            }
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::schema::{Column, Secrecy};

    fn stored(bits: u32, form: Form) -> StoredColumn {
        let row_bytes = bits.div_ceil(8) as usize;
        StoredColumn { column: 0, form, bits, row_bytes, secrecy: Secrecy::Secret }
    }

    fn column(ty: ColumnType, nullable: bool, range: Option<(i64, i64)>) -> Column {
        Column { name: "c".into(), ty, nullable, secrecy: Secrecy::Secret, range }
    }

    #[test]
    fn a_null_bit_comes_and_goes() {
        let (short, long) = (stored(8, Form::Boolean), stored(9, Form::Boolean));
        assert_eq!(reshaped(&[0xab, 0xcd], &short, &long), [0xab, 0, 0xcd, 0]);
        assert_eq!(reshaped(&[0xab, 0xff, 0xcd, 0xfe], &long, &short), [0xab, 0xcd]);
        // What lies beyond the bits of a component is chance.
        let (short, long) = (stored(3, Form::Boolean), stored(4, Form::Boolean));
        assert_eq!(reshaped(&[0xff, 0x05], &short, &long), [0x07, 0x05]);
        assert_eq!(reshaped(&[0xff, 0x0a], &long, &short), [0x07, 0x02]);
    }

    #[test]
    fn constants_are_encoded_as_rows_are() {
        let int = column(ColumnType::Int, true, Some((-2, 5)));
        let bits = stored(4, Form::Boolean);
        assert_eq!(row_of(&Constant::Number(3), &int, &bits), [5]);
        assert_eq!(row_of(&Constant::Null, &int, &bits), [8]);
        let ring = stored(64, Form::Arithmetic);
        assert_eq!(row_of(&Constant::Number(-1), &int, &ring), [0xff; 8]);
        assert_eq!(row_of(&Constant::Null, &int, &ring), [0; 8]);
        let whole = column(ColumnType::Int, false, None);
        assert_eq!(row_of(&Constant::Null, &whole, &stored(32, Form::Boolean)), [0; 4]);
        let text = column(ColumnType::Varchar { bytes_max: 3 }, false, None);
        let row = row_of(&Constant::Text(b"ab".to_vec()), &text, &stored(24, Form::Boolean));
        assert_eq!(row, [0, b'b', b'a']);
    }
}
