//! TIMESTAMP: microseconds since 1970-01-01 00:00:00. A day and what is left of it are a division by a
//! public constant; parts of the day are those of a DATE.

use super::build::{self, Arithmetic};
use super::date;
use super::numbers::{bounded, overflow};
use crate::plan::{Expr, ExprKind, Rounding};
use crate::types::{NumberKind, Type};
use trine_proto::status::SqlError;

type Built = Result<Expr, SqlError>;

/// Microseconds of a second.
pub(crate) const SECOND: i128 = 1_000_000;
/// Microseconds of a day.
pub(crate) const DAY: i128 = 86_400 * SECOND;

fn limits(expr: &Expr) -> (i128, i128) {
    match &expr.ty {
        Type::Number { low, high, .. } => (*low, *high),
        _ => (0, 0),
    }
}

/// Whether a value is a TIMESTAMP.
pub(crate) const fn is_timestamp(expr: &Expr) -> bool {
    matches!(expr.ty, Type::Number { kind: NumberKind::Timestamp, .. })
}

/// The day of a TIMESTAMP.
pub(crate) fn day(value: Expr) -> Built {
    build::by_constant(value, DAY, Rounding::Floor, Some(NumberKind::Date))
}

/// The first moment of a DATE.
pub(crate) fn midnight(date: Expr) -> Built {
    build::times(date, DAY, NumberKind::Timestamp)
}

/// The last whole `unit` microseconds before a TIMESTAMP.
fn floor(value: Expr, unit: i128) -> Built {
    let units = build::by_constant(value, unit, Rounding::Floor, Some(NumberKind::BigInt))?;
    build::times(units, unit, NumberKind::Timestamp)
}

/// Microseconds since the last whole `unit` of them.
fn since(value: Expr, unit: i128) -> Built {
    build::bind(vec![value], |values| {
        let [x] = values else { return Err(overflow()) };
        let whole = floor(x.clone(), unit)?;
        let ty = bounded(NumberKind::BigInt, Some(0), Some(unit - 1))?;
        let nullable = x.nullable;
        let kind = ExprKind::Subtract(Box::new(x.clone()), Box::new(whole));
        Ok(Expr { kind, ty, nullable })
    })
}

/// A part by its SQL name; none for one that there is not.
pub(crate) fn part(name: &str, value: Expr) -> Option<Built> {
    let within = |unit: i128, of: i128| {
        since(value.clone(), of)
            .and_then(|rest| build::by_constant(rest, unit, Rounding::Floor, None))
    };
    Some(match name {
        "hour" | "hours" => within(3600 * SECOND, DAY),
        "minute" | "minutes" => within(60 * SECOND, 3600 * SECOND),
        "second" | "seconds" => within(SECOND, 60 * SECOND),
        "millisecond" | "milliseconds" => within(1000, 60 * SECOND),
        "microsecond" | "microseconds" => within(1, 60 * SECOND),
        "epoch" => {
            let (low, high) = limits(&value);
            let kind = NumberKind::Decimal { precision: 18, scale: 6 };
            build::to_double(build::retype(value, Type::Number { kind, low, high }))
        }
        _ => return day(value).map_or_else(|e| Some(Err(e)), |day| date::part(name, day)),
    })
}

/// DATE_TRUNC; none for a unit that there is not.
pub(crate) fn truncated(unit: &str, value: Expr) -> Option<Built> {
    let first = |part: &'static str| {
        build::bind(vec![day(value.clone())?], |values| {
            let [day] = values else { return Err(overflow()) };
            let (low, high) = limits(day);
            let number = date::part(part, day.clone()).ok_or_else(overflow)??;
            let one = build::number(1, NumberKind::Int)?;
            let before = build::arithmetic(Arithmetic::Subtract, number, one)?;
            let nullable = day.nullable || before.nullable;
            // At most a year before.
            let ty = bounded(NumberKind::Date, Some(low - 366), Some(high))?;
            let kind = ExprKind::Subtract(Box::new(day.clone()), Box::new(before));
            midnight(Expr { kind, ty, nullable })
        })
    };
    Some(match unit {
        "microsecond" | "microseconds" => Ok(value),
        "millisecond" | "milliseconds" => floor(value, 1000),
        "second" => floor(value, SECOND),
        "minute" => floor(value, 60 * SECOND),
        "hour" => floor(value, 3600 * SECOND),
        "day" => floor(value, DAY),
        "week" => first("isodow"),
        "month" => first("day"),
        "year" => first("doy"),
        _ => return None,
    })
}

/// TIMESTAMP plus months, then days, then microseconds.
pub(crate) fn shifted(value: Expr, months: i128, days: i128, micros: i128) -> Option<Built> {
    let plus = |value: Expr, micros: i128| {
        let (low, high) = limits(&value);
        let ty = bounded(NumberKind::Timestamp, low.checked_add(micros), high.checked_add(micros))?;
        let nullable = value.nullable;
        let more = build::number(micros, NumberKind::BigInt)?;
        let kind = ExprKind::Add(Box::new(value), Box::new(more));
        Ok(Expr { kind, ty, nullable })
    };
    let more = days * DAY + micros;
    if months == 0 {
        return Some(if more == 0 { Ok(value) } else { plus(value, more) });
    }
    // The time of day stays.
    let moved = match day(value.clone()) {
        Ok(day) => date::add_months(day, months)?,
        Err(error) => return Some(Err(error)),
    };
    Some(moved.and_then(midnight).and_then(|midnight| {
        let rest = since(value, DAY)?;
        let (low, high) = limits(&midnight);
        let ty = bounded(NumberKind::Timestamp, Some(low), high.checked_add(DAY))?;
        let nullable = midnight.nullable || rest.nullable;
        let kind = ExprKind::Add(Box::new(midnight), Box::new(rest));
        let whole = Expr { kind, ty, nullable };
        if more == 0 { Ok(whole) } else { plus(whole, more) }
    }))
}
