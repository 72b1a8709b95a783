//! LAG, LEAD, FIRST_VALUE, LAST_VALUE, NTH_VALUE: the value of another row.

use super::frame::{Border, Rows};
use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::carry::{shifted_number, shifted_planes};
use crate::ops::tally::bits_to_arith;
use crate::plan::{Bound, Frame, Which};
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

/// The column of the row `back` rows before; zeros where there is none. Local.
fn shifted(column: Column, back: i64, s: &mut Session) -> Result<Column> {
    let (ty, rows) = (column.ty.clone(), column.rows);
    if let Some(literal) = column.as_literal().cloned() {
        let null = column.null.as_ref().map(|n| shifted_planes(n, back, s));
        return Ok(Column::literal(s, rows, &literal, &ty).with_null(null));
    }
    let (planes, arith, null) = column.into_parts();
    let planes = planes.map(|p| shifted_planes(&p, back, s));
    let arith = match arith {
        Some(a) => Some(shifted_number(&a, back, s)?),
        None => None,
    };
    let null = null.map(|n| shifted_planes(&n, back, s));
    Ok(Column::from_parts(ty, rows, planes, arith, null))
}

/// NULL where the bit is 0.
fn only(column: Column, bit: &Planes, s: &mut Session) -> Result<Column> {
    let not = bit.not(s.party());
    let null = bits::or_optional(s, column.null.as_ref(), Some(&not))?;
    Ok(column.with_null(null))
}

/// bit ? x : y, over planes of one type.
fn choose(bit: &Planes, x: Column, y: Column, ty: &Type, s: &mut Session) -> Result<Column> {
    let (x, y) = (x.retype(s, ty, Want::PLANES)?, y.retype(s, ty, Want::PLANES)?);
    let rows = x.rows;
    let null = match (&x.null, &y.null) {
        (None, None) => None,
        (a, b) => {
            let none = || bits::constant_bit(s, rows, false);
            let (a, b) = (a.clone().unwrap_or_else(none), b.clone().unwrap_or_else(none));
            Some(protocol::select(s, bit, &a, &b)?)
        }
    };
    let (mut x, mut y) = (x, y);
    let (x, y) = (x.planes(s)?.clone(), y.planes(s)?.clone());
    let value = protocol::select(s, bit, &x, &y)?;
    Ok(Column::from_planes(ty.clone(), value, null))
}

/// LAG and LEAD. ANDs for the reach; a selection where there is a default.
pub(super) fn shift(
    value: Column,
    back: i64,
    default: Option<Column>,
    ty: &Type,
    rows: &Rows,
    s: &mut Session,
) -> Result<Column> {
    if back == 0 {
        return Ok(value);
    }
    let inside = rows.reaches(back, s)?;
    let there = shifted(value, back, s)?;
    match default {
        None => only(there, &inside, s),
        Some(default) => choose(&inside, there, default, ty, s),
    }
}

/// The value of one row of the frame. One carry; NTH_VALUE counts the frame too.
pub(super) fn value(
    value: Column,
    which: Which,
    frame: Frame,
    valid: Option<&Planes>,
    rows: &mut Rows,
    s: &mut Session,
) -> Result<Column> {
    let n = match which {
        Which::First | Which::Nth(1) => return at(value, frame.start, true, rows, s),
        Which::Last => return at(value, frame.end, false, rows, s),
        Which::Nth(n) => n,
    };
    let ahead = i64::try_from(n - 1).map_err(|_| QueryError::out_of_range())?;
    let inside = rows.reaches(-ahead, s)?;
    let there = shifted(value, -ahead, s)?;
    let there = only(there, &inside, s)?;
    let carried = at(there, frame.start, true, rows, s)?;
    let ones = match valid {
        None => ArithAny::constant(s, 64, rows.count, 1),
        Some(valid) => bits_to_arith(&[(valid, false)], s)?
            .pop()
            .and_then(|mut v| v.pop())
            .ok_or_else(|| QueryError::bug("a bit without a plane"))?,
    };
    let size = rows.sums(&[ones], frame, s)?.pop();
    let size = size.ok_or_else(|| QueryError::bug("a count was lost"))?;
    let width = (bits_for((rows.count as u128).max(u128::from(n))) as usize).max(1);
    let size = size.to_planes(s, width)?;
    let enough = protocol::less_than_constant(s, &size, &bits::number_bits(u128::from(n), width))?;
    only(carried, &enough.not(s.party()), s)
}

/// The value at a border of the frame.
fn at(
    value: Column,
    bound: Bound,
    start: bool,
    rows: &mut Rows,
    s: &mut Session,
) -> Result<Column> {
    match bound {
        Bound::Rows(0) => Ok(value),
        Bound::Unbounded if start && rows.single => {
            let n = rows.count;
            Ok(value.slice(s, 0..1).repeat_row(s, n))
        }
        Bound::Unbounded if start => rows.carrier(Border::PartitionStart, s)?.column(value, s),
        Bound::Unbounded => rows.carrier(Border::PartitionEnd, s)?.column(value, s),
        Bound::Peers if start => rows.carrier(Border::PeersStart, s)?.column(value, s),
        Bound::Peers => rows.carrier(Border::PeersEnd, s)?.column(value, s),
        Bound::Rows(ahead) => {
            let inside = rows.reaches(-ahead, s)?;
            let there = shifted(value.clone(), -ahead, s)?;
            let border = if ahead < 0 { Border::PartitionStart } else { Border::PartitionEnd };
            let ty = value.ty.clone();
            let beyond = rows.carrier(border, s)?.column(value, s)?;
            choose(&inside, there, beyond, &ty, s)
        }
    }
}
