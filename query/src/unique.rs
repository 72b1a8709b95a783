//! PRIMARY KEY: whether a staged batch and what is visible have no key twice.

use crate::bits;
use crate::error::{QueryError, Result};
use crate::ops::scan::{Source, scan};
use crate::policy;
use crate::want::Want;
use trine_mpc::sort::{Column as Moving, sort};
use trine_mpc::{Session, protocol};
use trine_proto::catalog::{Catalog, Validation};
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::Store;

/// Whether the key is unique over the segments visible at the validation's position and its batch.
/// One sort of the keys, one equality of neighbours, one OR over all rows. Opens that one bit.
///
/// # Errors
/// [`QueryError::Mpc`] costs the attempt; `Storage` and `Sql` are final.
pub fn check_unique(
    catalog: &Catalog,
    validation: &Validation,
    session: &mut Session,
    store: &Store,
) -> Result<bool> {
    let table = catalog.tables.get(&validation.table).ok_or_else(|| {
        QueryError::Sql(SqlError::new(sqlstate::UNDEFINED_TABLE, "the table does not exist"))
    })?;
    let mut segments: Vec<_> = table.visible(validation.position).map(|s| (s.id, s.rows)).collect();
    segments.push((validation.segment.id, validation.segment.rows));
    let columns = &table.schema.primary_key;
    let source =
        Source { table: validation.table, schema: &table.schema, segments: &segments, columns };
    let s = session;
    let mut relation = scan(&source, &vec![Want::PLANES; columns.len()], s, Some(store))?;
    let rows = relation.rows;
    if rows <= 1 || columns.is_empty() {
        return Ok(true);
    }
    let mut planes = Vec::with_capacity(columns.len());
    for column in &mut relation.columns {
        planes.push(column.planes(s)?.clone());
    }
    let Some(key) = bits::stack_all(&planes) else {
        return Err(QueryError::bug("a primary key without columns"));
    };
    let moved = sort(s, &key)?.apply(s, vec![Moving::Planes(key)])?;
    let sorted = crate::relation::moved_planes(moved.into_iter().next())?;
    let twice = protocol::equal(s, &sorted.slice(1..rows), &sorted.slice(0..rows - 1))?;
    let any = protocol::or_all_rows(s, &twice)?;
    let opened = protocol::open_planes(s, &any, policy::permit_uniqueness_verdict())?;
    Ok(opened.first().is_some_and(|byte| byte & 1 == 0))
}
