//! MIN and MAX over frames: windows of doubling length, each the greater of two shorter ones.

use super::frame::{Border, Rows};
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::carry::{Carrier, shifted_planes};
use crate::plan::{Aggregate, Bound, Frame, Function};
use crate::want::Want;
use trine_mpc::sort::Column as Moving;
use trine_mpc::{Planes, Session, protocol};

/// The extreme over the frame of every row; NULL where no row of it contributes. ceil(log2 length)
/// steps of a comparison and a selection, in each direction that the frame reaches.
pub(super) fn extreme(
    aggregate: &Aggregate,
    mut value: Column,
    counts: Planes,
    frame: Frame,
    rows: &mut Rows,
    s: &mut Session,
) -> Result<Column> {
    let minimum = aggregate.function == Function::Min;
    let planes = value.planes(s)?.clone();
    let planes = if minimum { planes.not(s.party()) } else { planes };
    // Zero, and a zero on top, where the row does not contribute: it never wins.
    let marked = protocol::and(s, &counts, &planes)?.stack(&counts);
    let best = over(marked, frame, rows, s)?;
    let width = planes.width();
    let found = best.bits(0..width);
    let found = if minimum { found.not(s.party()) } else { found };
    let null = best.bits(width..width + 1).not(s.party());
    Column::from_planes(value.ty, found, Some(null)).retype(s, &aggregate.ty, Want::ANY)
}

/// The greatest planes over the frame.
fn over(x: Planes, frame: Frame, rows: &mut Rows, s: &mut Session) -> Result<Planes> {
    let n = rows.count;
    let reach = |bound: Bound| match bound {
        Bound::Rows(k) => usize::try_from(k.unsigned_abs()).unwrap_or(n).min(n),
        Bound::Unbounded | Bound::Peers => n,
    };
    match (frame.start, frame.end) {
        (Bound::Peers, Bound::Peers) => {
            let peer = rows.peer(s)?;
            let best = backward(x, &peer, n, s)?;
            carried(rows.carrier(Border::PeersEnd, s)?, best, s)
        }
        (Bound::Unbounded, Bound::Unbounded) => {
            let best = backward(x, &rows.same.clone(), n, s)?;
            carried(rows.carrier(Border::PartitionEnd, s)?, best, s)
        }
        (Bound::Unbounded, Bound::Peers) => {
            let best = backward(x, &rows.same.clone(), n, s)?;
            carried(rows.carrier(Border::PeersEnd, s)?, best, s)
        }
        (Bound::Peers, Bound::Unbounded) => {
            let best = forward(x, &rows.same.clone(), n, s)?;
            carried(rows.carrier(Border::PeersStart, s)?, best, s)
        }
        (Bound::Peers, _) | (_, Bound::Peers) => {
            Err(QueryError::bug("a frame of rows on one side and of peers on the other"))
        }
        (start, end) => {
            let same = rows.same.clone();
            let back = backward(x.clone(), &same, reach(start), s)?;
            if end == Bound::Rows(0) {
                return Ok(back);
            }
            let ahead = forward(x, &same, reach(end), s)?;
            greater(&back, &ahead, s)
        }
    }
}

fn carried(carrier: &mut Carrier, planes: Planes, s: &mut Session) -> Result<Planes> {
    crate::relation::moved_planes(carrier.columns(vec![Moving::Planes(planes)], s)?.pop())
}

fn greater(x: &Planes, y: &Planes, s: &mut Session) -> Result<Planes> {
    let smaller = protocol::less_than(s, x, y)?;
    Ok(protocol::select(s, &smaller, y, x)?)
}

/// Over the row and the `reach` rows before it, as far as `same` links them.
fn backward(x: Planes, same: &Planes, reach: usize, s: &mut Session) -> Result<Planes> {
    let wanted = reach.min(x.len().saturating_sub(1)) + 1;
    let mut best = x;
    // `linked`: the row `length` rows before is in the same partition.
    let (mut length, mut linked) = (1_usize, same.clone());
    while length < wanted {
        let step = length.min(wanted - length);
        let back = i64::try_from(step).map_err(|_| QueryError::out_of_range())?;
        if step < length {
            linked = reaching(same, step, s)?;
        }
        let there = shifted_planes(&best, back, s);
        let there = protocol::and(s, &linked, &there)?;
        best = greater(&best, &there, s)?;
        length += step;
        if length < wanted {
            let further = shifted_planes(&linked, back, s);
            linked = protocol::and(s, &linked, &further)?;
        }
    }
    Ok(best)
}

/// 1 where all of the last `length` links hold.
fn reaching(same: &Planes, length: usize, s: &mut Session) -> Result<Planes> {
    let mut out = same.clone();
    let mut have = 1_usize;
    while have < length {
        let step = have.min(length - have);
        let back = i64::try_from(step).map_err(|_| QueryError::out_of_range())?;
        let further = shifted_planes(&out, back, s);
        out = protocol::and(s, &out, &further)?;
        have += step;
    }
    Ok(out)
}

/// The same looking ahead: rows in reverse.
fn forward(x: Planes, same: &Planes, reach: usize, s: &mut Session) -> Result<Planes> {
    let n = u32::try_from(x.len()).map_err(|_| QueryError::bug("more rows than memory"))?;
    let reverse: Vec<u32> = (0..n).rev().collect();
    let linked = crate::bits::next_row(s, same, false).gather(&reverse);
    let best = backward(x.gather(&reverse), &linked, reach, s)?;
    Ok(best.gather(&reverse))
}
