//! Sort: ORDER BY, all rows or the first ones. Valid rows first, then by the keys; ties at random.

use crate::error::{QueryError, Result};
use crate::expr::eval;
use crate::plan::SortKey;
use crate::relation::{Relation, move_front, moved_planes, pack};
use crate::want::Want;
use trine_mpc::sort::{Column as Moving, Shuffle, top_k};
use trine_mpc::{Planes, Session, protocol};

/// Two moves of every wanted column (4k an element each) and a sort of the keys. The first move is a
/// fresh shuffle: the sort is stable, and rows that tie must not come out in storage order. Of the
/// sorted rows the first `front` are kept.
pub(crate) fn sort(
    mut input: Relation,
    keys: &[SortKey],
    wants: &[Want],
    front: u64,
    s: &mut Session,
) -> Result<Relation> {
    let front = usize::try_from(front).map_or(input.rows, |front| front.min(input.rows));
    if front == 0 || input.rows <= 1 {
        return Ok(input.slice(s, 0..front));
    }
    let mut key: Option<Planes> = None;
    for one in keys.iter().rev() {
        let planes = key_planes(one, &mut input, s)?;
        key = Some(key.map_or_else(|| planes.clone(), |low| low.stack(&planes)));
    }
    if let Some(valid) = &input.valid {
        let last = valid.not(s.party());
        key = Some(key.map_or_else(|| last.clone(), |low| low.stack(&last)));
    }
    let Some(key) = key else {
        return Err(QueryError::bug("a sort without a key"));
    };
    let rows = input.rows;
    let has_valid = input.valid.is_some();
    let (packed, columns) = pack(input.columns, wants)?;
    let mut moving = vec![Moving::Planes(key)];
    moving.extend(input.valid.map(Moving::Planes));
    moving.extend(columns);
    let mut moved = Shuffle::draw(s, rows).apply(s, moving)?.into_iter();
    let key = moved_planes(moved.next())?;
    let valid = if has_valid { Some(moved_planes(moved.next())?) } else { None };
    let columns = packed.unpack(s, rows, &mut moved)?;
    let order = top_k(s, &key, front)?;
    let shuffled = Relation { rows, valid, columns };
    move_front(shuffled, wants, front, s, |s, columns| order.apply(s, columns))
}

/// Unsigned planes in the order that is asked for: the value (complement: descending; the same for
/// all NULLs), below the NULL bit.
pub(crate) fn key_planes(key: &SortKey, input: &mut Relation, s: &mut Session) -> Result<Planes> {
    let mut column = eval(&key.expr, input, s, Want::PLANES)?;
    let value = column.planes(s)?.clone();
    let value = if key.descending { value.not(s.party()) } else { value };
    let Some(null) = column.null else { return Ok(value) };
    let present = null.not(s.party());
    let value = protocol::and(s, &present, &value)?;
    Ok(value.stack(if key.nulls_first { &present } else { &null }))
}
