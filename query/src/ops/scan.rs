//! Scan: a table's rows at the snapshot, from this party's segments. Only encodings that are wanted
//! are read; components that a seed makes are expanded, not read. Local.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::plan::SegmentScan;
use crate::relation::Relation;
use crate::stored::Stored;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Arith, Planes, Session};
use trine_proto::CHUNK_ROWS;
use trine_proto::ids::TableId;
use trine_proto::schema::{self, Form, Secrecy, StoredColumn, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::Store;

/// What is scanned.
pub(crate) struct Source<'a> {
    /// Table.
    pub(crate) table: TableId,
    /// Its schema.
    pub(crate) schema: &'a TableSchema,
    /// Segments in commit order.
    pub(crate) segments: &'a [SegmentScan],
    /// Positions of the columns.
    pub(crate) columns: &'a [usize],
    /// The rows that are read, ascending over all segments; none: all.
    pub(crate) kept: Option<&'a [u32]>,
}

/// A segment that is read, and which of its rows.
struct Part {
    reader: Stored,
    has_valid: bool,
    /// Ascending; none: all.
    kept: Option<Vec<usize>>,
}

/// Rows of all segments; those whose segment has a *valid* column exist where its bit is 1. `store` is
/// none in a dry session only.
pub(crate) fn scan(
    source: &Source<'_>,
    wants: &[Want],
    s: &Session,
    store: Option<&Store>,
) -> Result<Relation> {
    let rows = match source.kept {
        Some(kept) => kept.len(),
        None => whole(source.segments.iter().map(|s| s.rows).sum::<u64>())?,
    };
    let layout = source.schema.stored_columns();
    let readers = match store {
        Some(store) => open(source, s, store)?,
        None if s.is_dry() => Vec::new(),
        None => return Err(QueryError::bug("a scan without a store")),
    };
    let mut columns = Vec::with_capacity(source.columns.len());
    for (&position, want) in source.columns.iter().zip(wants) {
        let column = source
            .schema
            .columns
            .get(position)
            .ok_or_else(|| QueryError::bug("a scan names a column that is not there"))?;
        columns.push(read_column(position, column, &layout, rows, *want, s, &readers)?);
    }
    let valid = read_valid(source, rows, &readers, s)?;
    Ok(Relation { rows, valid, columns })
}

fn whole(rows: u64) -> Result<usize> {
    usize::try_from(rows).map_err(|_| QueryError::bug("more rows than memory"))
}

fn damaged(what: &str) -> QueryError {
    QueryError::Sql(SqlError::new(sqlstate::DATA_CORRUPTED, what))
}

/// Opens the segments of which a row is kept and checks that each is what the catalog says.
fn open(source: &Source<'_>, s: &Session, store: &Store) -> Result<Vec<Part>> {
    let mut parts = Vec::with_capacity(source.segments.len());
    let mut left = source.kept;
    let mut start = 0_u64;
    for segment in source.segments {
        let kept = match &mut left {
            Some(left) => {
                let end = start.saturating_add(segment.rows);
                let count = left.partition_point(|row| u64::from(*row) < end);
                let (own, rest) = left.split_at(count);
                *left = rest;
                let own = own.iter().map(|row| whole(u64::from(*row) - start));
                Some(own.collect::<Result<Vec<usize>>>()?)
            }
            None => None,
        };
        start = start.saturating_add(segment.rows);
        if kept.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let reader = Stored::open(store, source.table, source.schema, segment)?;
        if reader.party() != s.party() {
            return Err(damaged("a segment of another party lies in this party's store"));
        }
        parts.push(Part { reader, has_valid: segment.has_valid, kept });
    }
    if left.is_some_and(|left| !left.is_empty()) {
        return Err(QueryError::bug("a row beyond the last segment is kept"));
    }
    Ok(parts)
}

/// The valid bits of all rows that are read; none if no segment has them.
fn read_valid(
    source: &Source<'_>,
    rows: usize,
    parts: &[Part],
    s: &Session,
) -> Result<Option<Planes>> {
    if !source.segments.iter().any(|segment| segment.has_valid) {
        return Ok(None);
    }
    if s.is_dry() {
        return Ok(Some(Planes::ghost(rows, 1)));
    }
    let columns = source.schema.segment_columns(true);
    let Some((index, stored)) = columns.iter().enumerate().next_back() else {
        return Err(QueryError::bug("a segment without columns"));
    };
    let mut valid = bits::constant_bit(s, 0, true);
    for part in parts {
        let count = part.rows()?;
        let bits = if part.has_valid {
            let (a, b) = read_bytes(index, stored, std::slice::from_ref(part))?;
            Planes::from_rows(count, 1, &a, &b)
        } else {
            bits::constant_bit(s, count, true)
        };
        valid = valid.concat(&bits);
    }
    Ok(Some(valid))
}

impl Part {
    fn rows(&self) -> Result<usize> {
        match &self.kept {
            Some(kept) => Ok(kept.len()),
            None => whole(self.reader.rows()),
        }
    }

    /// The rows of a chunk that are kept, counted from its first; none: all.
    fn kept_in(&self, chunk: usize) -> Option<Vec<usize>> {
        let kept = self.kept.as_ref()?;
        let first = chunk * CHUNK_ROWS;
        let end = first + self.reader.chunk_rows(chunk);
        let from = kept.partition_point(|row| *row < first);
        let to = kept.partition_point(|row| *row < end);
        kept.get(from..to).map(|rows| rows.iter().map(|row| row - first).collect())
    }
}

/// Rows of `row_bytes` at these places; none: all.
fn append_rows(out: &mut Vec<u8>, bytes: &[u8], kept: Option<&[usize]>, row_bytes: usize) {
    match kept {
        None => out.extend_from_slice(bytes),
        Some(kept) => {
            for row in kept {
                out.extend(bytes.get(row * row_bytes..(row + 1) * row_bytes).unwrap_or_default());
            }
        }
    }
}

fn read_column(
    position: usize,
    column: &schema::Column,
    layout: &[StoredColumn],
    rows: usize,
    want: Want,
    s: &Session,
    readers: &[Part],
) -> Result<Column> {
    let ty = Type::of_column(column);
    if !want.used {
        return Ok(Column::from_parts(ty, rows, None, None, None));
    }
    let find = |form: Form| layout.iter().position(|c| c.column == position && c.form == form);
    let arithmetic = find(Form::Arithmetic).filter(|_| want.arith);
    let by_planes = want.planes || arithmetic.is_none();
    let mut planes = None;
    let mut null = None;
    if by_planes || column.nullable {
        let stored = find(Form::Boolean)
            .ok_or_else(|| QueryError::bug("a column without a boolean encoding"))?;
        let bits = ty.bits();
        let all = read_planes(stored, &layout[stored], rows, s, readers)?;
        planes = by_planes.then(|| all.bits(0..bits));
        null = column.nullable.then(|| all.bits(bits..bits + 1));
    }
    let arith = match arithmetic {
        Some(stored) => Some(read_arith(stored, &layout[stored], rows, s, readers)?),
        None => None,
    };
    Ok(Column::from_parts(ty, rows, planes, arith, null))
}

fn read_planes(
    index: usize,
    stored: &StoredColumn,
    rows: usize,
    s: &Session,
    readers: &[Part],
) -> Result<Planes> {
    let width = stored.bits as usize;
    if s.is_dry() {
        return Ok(Planes::ghost(rows, width));
    }
    let (a, b) = read_bytes(index, stored, readers)?;
    Ok(match stored.secrecy {
        Secrecy::Secret => Planes::from_rows(rows, width, &a, &b),
        Secrecy::Public => Planes::public_rows(s.party(), rows, width, &a),
    })
}

fn read_arith(
    index: usize,
    stored: &StoredColumn,
    rows: usize,
    s: &Session,
    readers: &[Part],
) -> Result<ArithAny> {
    if s.is_dry() {
        return Ok(ArithAny::A64(Arith::ghost(rows)));
    }
    let (a, b) = read_bytes(index, stored, readers)?;
    Ok(ArithAny::A64(match stored.secrecy {
        Secrecy::Secret => Arith::from_rows(rows, &a, &b),
        Secrecy::Public => Arith::public_rows(s.party(), rows, &a),
    }))
}

/// Row-major bytes of both components over all rows that are read; of a PUBLIC column the plain bytes,
/// and nothing beside them. Chunks without such a row are left out.
fn read_bytes(index: usize, stored: &StoredColumn, parts: &[Part]) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut out = (Vec::new(), Vec::new());
    for part in parts {
        let reader = &part.reader;
        for chunk in 0..reader.chunks() {
            let kept = part.kept_in(chunk);
            let kept = kept.as_deref();
            if kept.is_some_and(<[usize]>::is_empty) {
                continue;
            }
            match stored.secrecy {
                Secrecy::Public => {
                    append_rows(&mut out.0, &reader.public(chunk, index)?, kept, stored.row_bytes);
                }
                Secrecy::Secret => {
                    for (slot, out) in [&mut out.0, &mut out.1].into_iter().enumerate() {
                        if kept.is_none() {
                            reader.component(out, chunk, index, slot)?;
                            continue;
                        }
                        let mut all = Vec::new();
                        reader.component(&mut all, chunk, index, slot)?;
                        append_rows(out, &all, kept, stored.row_bytes);
                    }
                }
            }
        }
    }
    Ok(out)
}
