//! Scan: a table's rows at the snapshot, from this party's segments. Only encodings that are wanted
//! are read; components that a seed makes are expanded, not read. Local.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::plan::SegmentScan;
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Arith, Planes, Session, input};
use trine_proto::ids::TableId;
use trine_proto::schema::{self, Form, Secrecy, StoredColumn, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::{ComponentSource, SegmentReader, Store};

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
}

/// Rows of all segments; those whose segment has a *valid* column exist where its bit is 1. `store` is
/// none in a dry session only.
pub(crate) fn scan(
    source: &Source<'_>,
    wants: &[Want],
    s: &Session,
    store: Option<&Store>,
) -> Result<Relation> {
    let rows = source.segments.iter().map(|s| s.rows).sum::<u64>();
    let rows = usize::try_from(rows).map_err(|_| QueryError::bug("more rows than memory"))?;
    let layout = source.schema.stored_columns();
    let readers = match store {
        Some(store) => open(source, &layout, s, store)?,
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
    let valid = read_valid(source, &readers, s)?;
    Ok(Relation { rows, valid, columns })
}

fn damaged(what: &str) -> QueryError {
    QueryError::Sql(SqlError::new(sqlstate::DATA_CORRUPTED, what))
}

/// Opens the segments and checks that each is what the catalog says.
fn open(
    source: &Source<'_>,
    layout: &[StoredColumn],
    s: &Session,
    store: &Store,
) -> Result<Vec<SegmentReader>> {
    let mut readers = Vec::with_capacity(source.segments.len());
    for segment in source.segments {
        let reader = store.read(source.table, segment.id)?;
        let header = reader.header();
        if header.party.index() != s.party() {
            return Err(damaged("a segment of another party lies in this party's store"));
        }
        let own = header.layout.get(..layout.len());
        let more = header.layout.get(layout.len()..).unwrap_or_default();
        let due = if segment.has_valid { valid_layout(source.schema) } else { Vec::new() };
        if header.rows != segment.rows || own != Some(layout) || more != due {
            return Err(damaged("a segment has another shape than the catalog says"));
        }
        readers.push(reader);
    }
    Ok(readers)
}

/// The stored column behind those of the schema.
fn valid_layout(schema: &TableSchema) -> Vec<StoredColumn> {
    schema.segment_columns(true).split_off(schema.stored_columns().len())
}

/// The valid bits of all segments; none if no segment has them.
fn read_valid(
    source: &Source<'_>,
    readers: &[SegmentReader],
    s: &Session,
) -> Result<Option<Planes>> {
    if !source.segments.iter().any(|segment| segment.has_valid) {
        return Ok(None);
    }
    let stored = source.schema.stored_columns().len();
    let mut valid: Option<Planes> = None;
    for (index, segment) in source.segments.iter().enumerate() {
        let rows =
            usize::try_from(segment.rows).map_err(|_| QueryError::bug("more rows than memory"))?;
        let bits = match (segment.has_valid, readers.get(index)) {
            (false, _) => bits::constant_bit(s, rows, true),
            (true, None) => Planes::ghost(rows, 1),
            (true, Some(reader)) => {
                let (a, b) = read_bytes(
                    stored,
                    &reader.header().layout[stored],
                    std::slice::from_ref(reader),
                )?;
                Planes::from_rows(rows, 1, &a, &b)
            }
        };
        valid = Some(valid.map_or_else(|| bits.clone(), |above| above.concat(&bits)));
    }
    Ok(valid)
}

fn read_column(
    position: usize,
    column: &schema::Column,
    layout: &[StoredColumn],
    rows: usize,
    want: Want,
    s: &Session,
    readers: &[SegmentReader],
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
    readers: &[SegmentReader],
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
    readers: &[SegmentReader],
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

/// Row-major bytes of both components over all segments; of a PUBLIC column the plain bytes, and
/// nothing beside them.
fn read_bytes(
    index: usize,
    stored: &StoredColumn,
    readers: &[SegmentReader],
) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut out = (Vec::new(), Vec::new());
    for reader in readers {
        for chunk in 0..reader.chunks() {
            match stored.secrecy {
                Secrecy::Public => out.0.extend(reader.public(chunk, index)?),
                Secrecy::Secret => {
                    append(&mut out.0, reader, chunk, index, stored, 0)?;
                    append(&mut out.1, reader, chunk, index, stored, 1)?;
                }
            }
        }
    }
    Ok(out)
}

fn append(
    out: &mut Vec<u8>,
    reader: &SegmentReader,
    chunk: usize,
    index: usize,
    stored: &StoredColumn,
    slot: usize,
) -> Result<()> {
    if let Some(bytes) = reader.component(chunk, index, slot)? {
        out.extend(bytes);
        return Ok(());
    }
    let ComponentSource::Seed(seed) = &reader.header().components[slot].source else {
        return Err(QueryError::bug("an explicit component without bytes"));
    };
    let number = |n: usize| u32::try_from(n).map_err(|_| QueryError::bug("a huge segment"));
    let start = out.len();
    out.resize(start + reader.chunk_rows(chunk) * stored.row_bytes, 0);
    input::expand(seed, number(index)?, number(chunk)?, &mut out[start..]);
    Ok(())
}
