//! The PUBLIC columns of this node's segments, as values.

use crate::bits::bounds;
use crate::error::QueryError;
use crate::plan::{Literal, SegmentScan};
use crate::stored::Stored;
use crate::types::Type;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use trine_proto::ids::TableId;
use trine_proto::schema::{Column, Form, Secrecy, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::{StorageError, Store};

type Values = Arc<Vec<Literal>>;
/// Segments, and the values of a column over all their rows.
type Read = (Vec<SegmentScan>, Values);

/// What the planner may look at beside the catalog: PUBLIC columns, which every node has alike. Each is
/// read once a statement.
pub(crate) struct PublicData<'s> {
    store: Option<&'s Store>,
    /// By table and column.
    read: RefCell<BTreeMap<(TableId, usize), Read>>,
    /// Whether the statement has met a PUBLIC column.
    met: Cell<bool>,
    failed: RefCell<Option<StorageError>>,
}

impl fmt::Debug for PublicData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicData({} columns read)", self.read.borrow().len())
    }
}

impl<'s> PublicData<'s> {
    /// From the segments of a store; none: PUBLIC columns are not looked at.
    pub(crate) fn new(store: Option<&'s Store>) -> Self {
        Self { store, read: RefCell::default(), met: Cell::new(false), failed: RefCell::default() }
    }

    /// Notes that a table is read.
    pub(crate) fn meet(&self, schema: &TableSchema) {
        let public = schema.columns.iter().any(|c| c.secrecy == Secrecy::Public);
        self.met.set(self.met.get() || (public && self.store.is_some()));
    }

    /// Whether there is anything that could be computed in the clear.
    pub(crate) fn is_met(&self) -> bool {
        self.met.get()
    }

    /// The error of the store that ended the planning, if one did.
    pub(crate) fn take_failure(&self) -> Option<StorageError> {
        self.failed.take()
    }

    /// All values of a PUBLIC column over these segments, whether their rows exist or not; none for a
    /// secret one.
    ///
    /// # Errors
    /// XX001 where a segment is missing, damaged or of another shape.
    pub(crate) fn column(
        &self,
        table: TableId,
        schema: &TableSchema,
        position: usize,
        segments: &[SegmentScan],
    ) -> Result<Option<Values>, SqlError> {
        let (Some(column), Some(store)) = (schema.columns.get(position), self.store) else {
            return Ok(None);
        };
        if column.secrecy != Secrecy::Public {
            return Ok(None);
        }
        if let Some((known, values)) = self.read.borrow().get(&(table, position))
            && known == segments
        {
            return Ok(Some(Arc::clone(values)));
        }
        let mut all = Vec::new();
        for segment in segments {
            let key = (table, position);
            all.extend(self.read(store, key, schema, column, segment)?);
        }
        let values = Arc::new(all);
        let kept = (segments.to_vec(), Arc::clone(&values));
        self.read.borrow_mut().insert((table, position), kept);
        Ok(Some(values))
    }

    fn read(
        &self,
        store: &Store,
        (table, position): (TableId, usize),
        schema: &TableSchema,
        column: &Column,
        segment: &SegmentScan,
    ) -> Result<Vec<Literal>, SqlError> {
        let failed = |e: QueryError| match e {
            QueryError::Storage(e) => {
                let error = SqlError::new(sqlstate::DATA_CORRUPTED, e.to_string());
                *self.failed.borrow_mut() = Some(e);
                error
            }
            QueryError::Sql(error) => error,
            other => SqlError::new(sqlstate::INTERNAL_ERROR, other.to_string()),
        };
        let damaged =
            || SqlError::new(sqlstate::DATA_CORRUPTED, "a PUBLIC column has another shape");
        let layout = schema.stored_columns();
        let stored = layout
            .iter()
            .position(|c| c.column == position && c.form == Form::Boolean)
            .ok_or_else(damaged)?;
        let reader = Stored::open(store, table, schema, segment).map_err(failed)?;
        let row_bytes = layout.get(stored).map_or(1, |c| c.row_bytes).max(1);
        let ty = Type::of_column(column);
        let mut values = Vec::with_capacity(usize::try_from(segment.rows).unwrap_or(0));
        for chunk in 0..reader.chunks() {
            let bytes = reader.public(chunk, stored).map_err(failed)?;
            for row in bytes.chunks_exact(row_bytes) {
                values.push(decoded(row, &ty, column.nullable).ok_or_else(damaged)?);
            }
        }
        if values.len() as u64 == segment.rows { Ok(values) } else { Err(damaged()) }
    }
}

/// A value from its boolean encoding with the NULL bit on top; none for what is none of the type.
fn decoded(row: &[u8], ty: &Type, nullable: bool) -> Option<Literal> {
    let bit = |index: usize| row.get(index / 8).is_some_and(|b| b >> (index % 8) & 1 == 1);
    let width = ty.bits();
    if nullable && bit(width) {
        return Some(Literal::Null);
    }
    match ty {
        Type::Boolean => Some(Literal::Boolean(bit(0))),
        Type::Text { bytes } => {
            // The first byte is the most significant.
            let bytes = row.get(..*bytes as usize)?;
            let end = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
            Some(Literal::Text(bytes[end..].iter().rev().copied().collect()))
        }
        Type::Number { .. } => {
            let (low, high) = bounds(ty)?;
            let offset = (0..width.min(127)).rev().fold(0_i128, |v, i| v << 1 | i128::from(bit(i)));
            low.checked_add(offset).filter(|v| *v <= high).map(Literal::Number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NumberKind;

    #[test]
    fn encodings_are_read_back() {
        let number = Type::Number { kind: NumberKind::Int, low: -3, high: 400 };
        assert_eq!(decoded(&[5, 0], &number, true), Some(Literal::Number(2)));
        assert_eq!(decoded(&[0, 2], &number, true), Some(Literal::Null));
        assert_eq!(decoded(&[255, 1], &number, false), None);
        let text = Type::Text { bytes: 3 };
        assert_eq!(decoded(&[0, b'b', b'a'], &text, false), Some(Literal::Text(b"ab".to_vec())));
        assert_eq!(decoded(&[0, 0, 0], &text, false), Some(Literal::Text(Vec::new())));
        assert_eq!(decoded(&[1], &Type::Boolean, true), Some(Literal::Boolean(true)));
        assert_eq!(decoded(&[2], &Type::Boolean, true), Some(Literal::Null));
    }
}
