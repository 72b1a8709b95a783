//! ROW_NUMBER, RANK, DENSE_RANK, NTILE: public positions, less those at the borders.

use super::frame::{Border, Rows};
use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::tally::bits_to_arith;
use crate::types::Type;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

/// 1, 2, 3, … over all rows.
fn positions(rows: &Rows, s: &Session) -> ArithAny {
    ArithAny::constant(s, 64, rows.count, 1).prefix_sum()
}

/// Positions before the row's partition; none: 0.
fn offsets(rows: &mut Rows, s: &mut Session) -> Result<Option<ArithAny>> {
    if rows.single {
        return Ok(None);
    }
    let before = positions(rows, s).add_constant(s, -1);
    Ok(rows.carrier(Border::PartitionStart, s)?.numbers(vec![before], s)?.pop())
}

fn numbered(rows: &mut Rows, s: &mut Session) -> Result<ArithAny> {
    let all = positions(rows, s);
    match offsets(rows, s)? {
        None => Ok(all),
        Some(before) => all.sub(&before),
    }
}

/// Local for one partition, else one carry.
pub(super) fn row_number(ty: &Type, rows: &mut Rows, s: &mut Session) -> Result<Column> {
    Ok(Column::from_arith(ty.clone(), numbered(rows, s)?, None))
}

/// One carry, two where there are partitions.
pub(super) fn rank(ty: &Type, rows: &mut Rows, s: &mut Session) -> Result<Column> {
    let own = numbered(rows, s)?;
    let rank = rows.carrier(Border::PeersStart, s)?.numbers(vec![own], s)?.pop();
    let rank = rank.ok_or_else(|| QueryError::bug("a carry lost its column"))?;
    Ok(Column::from_arith(ty.clone(), rank, None))
}

/// One bit conversion, and one carry where there are partitions.
pub(super) fn dense_rank(ty: &Type, rows: &mut Rows, s: &mut Session) -> Result<Column> {
    let first = rows.peer(s)?.not(s.party());
    let ones = bits_to_arith(&[(&first, false)], s)?.pop().and_then(|mut v| v.pop());
    let up = ones.ok_or_else(|| QueryError::bug("a bit without a plane"))?.prefix_sum();
    let rank = if rows.single {
        up
    } else {
        let before = up.add_constant(s, -1);
        let carried = rows.carrier(Border::PartitionStart, s)?.numbers(vec![before], s)?.pop();
        up.sub(&carried.ok_or_else(|| QueryError::bug("a carry lost its column"))?)?
    };
    Ok(Column::from_arith(ty.clone(), rank, None))
}

/// Row r (from 0) of a partition of c rows is in bucket 1 + (number of b in 1..n with
/// r >= b * (c div n) + min(b, c mod n)). n - 1 comparisons, one division by a constant.
pub(super) fn ntile(
    buckets: u64,
    ty: &Type,
    valid: Option<&Planes>,
    rows: &mut Rows,
    s: &mut Session,
) -> Result<Column> {
    let n = rows.count;
    let width = (bits_for(n as u128) as usize).max(1) + 1;
    let number = numbered(rows, s)?.add_constant(s, -1);
    let ones = match valid {
        None => ArithAny::constant(s, 64, n, 1),
        Some(valid) => bits_to_arith(&[(valid, false)], s)?
            .pop()
            .and_then(|mut v| v.pop())
            .ok_or_else(|| QueryError::bug("a bit without a plane"))?,
    };
    let whole = crate::plan::Frame {
        start: crate::plan::Bound::Unbounded,
        end: crate::plan::Bound::Unbounded,
    };
    let count = rows.sums(&[ones], whole, s)?.pop();
    let count = count.ok_or_else(|| QueryError::bug("a count was lost"))?;
    let count_planes = count.to_planes(s, width)?;
    let by = bits::constant(s, n, &bits::number_bits(u128::from(buckets), 9));
    let each = bits::resize(&protocol::divide(s, &count_planes, &by, 0)?, width);
    let each = Column::from_planes(whole_number(width), each, None).arith(s)?.clone();
    let rest = count.sub(&each.times_constant(i128::from(buckets)))?.to_planes(s, 8)?;
    let number = number.to_planes(s, width)?;
    let mut bucket = ArithAny::constant(s, 64, n, 1);
    for b in 1..buckets {
        let more = protocol::less_than_constant(s, &rest, &bits::number_bits(u128::from(b), 8))?;
        // min(b, rest) = b, or rest where rest < b.
        let constant = bits::constant(s, n, &bits::number_bits(u128::from(b), 8));
        let least = protocol::select(s, &more, &rest, &constant)?;
        let least = Column::from_planes(whole_number(8), least, None).arith(s)?.clone();
        let start = each.times_constant(i128::from(b)).add(&least)?.to_planes(s, width)?;
        let within = protocol::less_than(s, &number, &start)?.not(s.party());
        let one = bits_to_arith(&[(&within, false)], s)?.pop().and_then(|mut v| v.pop());
        bucket = bucket.add(&one.ok_or_else(|| QueryError::bug("a bit without a plane"))?)?;
    }
    Ok(Column::from_arith(ty.clone(), bucket, None))
}

fn whole_number(width: usize) -> Type {
    let high = (1_i128 << width) - 1;
    Type::Number { kind: crate::types::NumberKind::BigInt, low: 0, high }
}
