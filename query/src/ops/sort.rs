//! Sort: ORDER BY, all rows or the first ones. Valid rows first, then by the keys; ties at random.

use crate::error::{QueryError, Result};
use crate::expr::eval;
use crate::plan::SortKey;
use crate::relation::{Relation, move_front};
use crate::want::Want;
use trine_mpc::sort::top_k_shuffled;
use trine_mpc::{Planes, Session, protocol};

/// A sort of the keys and one move of every wanted column (4k an element). Rows that tie come out in a
/// secret random order, so that none shows where it was stored. Of the sorted rows the first `front` are
/// kept.
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
    let order = top_k_shuffled(s, &key, front)?;
    drop(key);
    move_front(input, wants, front, s, |s, columns| order.apply(s, columns))
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
