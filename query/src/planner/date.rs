//! Parts of dates, and months added to them. A DATE of few years is a step function over the first
//! days of its years or months: a comparison each. A wider one goes through the arithmetic of the
//! Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms", 2013): divisions
//! by public constants, years beginning in March.

use super::build::{self, Arithmetic};
use super::numbers::{bounded, overflow};
use crate::plan::{Compare, Expr, ExprKind, Literal, Rounding};
use crate::types::{NumberKind, Type};
use trine_proto::status::SqlError;

type Built = Result<Expr, SqlError>;

/// Years of a DATE up to which steps are cheaper than calendar arithmetic.
const YEARS_MAX: i128 = 48;
/// Months of a DATE up to which months can be added to it.
const MONTHS_MAX: i128 = 600;
/// First days of the months from March on, counted from 1 March.
const MONTH_STARTS: [i128; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar.
pub(crate) const fn days_of(year: i128, month: i128, day: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year and month of a day.
pub(crate) const fn month_of(days: i128) -> (i128, i128) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + if month <= 2 { 1 } else { 0 }, month)
}

/// A part of a DATE by its SQL name, as a whole number; none for a part that dates do not have.
pub(crate) fn part(name: &str, date: Expr) -> Option<Built> {
    Some(match name {
        "year" | "years" => year(date),
        "month" | "months" => month(date),
        "day" | "days" => day(date),
        "quarter" | "qtr" => quarter(date),
        "doy" => day_of_year(date),
        "dow" => weekday(date, 4),
        "isodow" => weekday(date, 3).and_then(|d| plus(d, 1)),
        "week" => week(date),
        "isoyear" => thursday(date).and_then(year),
        "century" => year(date).and_then(|y| plus(y, 99)).and_then(|y| floor(y, 100)),
        "decade" => year(date).and_then(|y| floor(y, 10)),
        "millennium" => year(date).and_then(|y| plus(y, 999)).and_then(|y| floor(y, 1000)),
        "epoch" => build::times(integer(date), 86_400, NumberKind::BigInt),
        "hour" | "minute" | "second" | "millisecond" | "microsecond" => {
            build::number(0, NumberKind::Int).map(|zero| if_present(date, zero))
        }
        _ => return None,
    })
}

fn limits(expr: &Expr) -> (i128, i128) {
    match &expr.ty {
        Type::Number { low, high, .. } => (*low, *high),
        _ => (0, 0),
    }
}

/// The days of a date as an integer.
fn integer(date: Expr) -> Expr {
    let (low, high) = limits(&date);
    build::retype(date, Type::Number { kind: NumberKind::Int, low, high })
}

fn if_present(value: Expr, then: Expr) -> Expr {
    if !value.nullable {
        return then;
    }
    let ty = then.ty.clone();
    let present = build::not(build::is_null(value));
    let branches = vec![(present, then)];
    let otherwise = Box::new(build::null(ty.clone()));
    Expr { kind: ExprKind::Case { branches, otherwise }, ty, nullable: true }
}

fn plus(x: Expr, n: i128) -> Built {
    build::arithmetic(Arithmetic::Add, x, build::number(n, NumberKind::Int)?)
}

fn floor(x: Expr, divisor: i128) -> Built {
    build::by_constant(x, divisor, Rounding::Floor, None)
}

/// x - y, known to lie in low..=high.
fn within(x: Expr, y: Expr, low: i128, high: i128) -> Built {
    let nullable = x.nullable || y.nullable;
    let ty = bounded(NumberKind::Int, Some(low), Some(high))?;
    Ok(Expr { kind: ExprKind::Subtract(Box::new(x), Box::new(y)), ty, nullable })
}

/// (day + shift) modulo 7.
fn weekday(date: Expr, shift: i128) -> Built {
    build::bind(vec![plus(integer(date), shift)?], |values| {
        let [x] = values else { return Err(overflow()) };
        let weeks = build::times(floor(x.clone(), 7)?, 7, NumberKind::BigInt)?;
        within(x.clone(), weeks, 0, 6)
    })
}

/// The Thursday of the date's week, which has the week's year.
fn thursday(date: Expr) -> Built {
    let (low, high) = limits(&date);
    build::bind(vec![date], |values| {
        let [date] = values else { return Err(overflow()) };
        let weekday = weekday(date.clone(), 3)?;
        let back = build::arithmetic(Arithmetic::Subtract, integer(date.clone()), weekday)?;
        let nullable = back.nullable;
        let ty = bounded(NumberKind::Date, Some(low - 3), Some(high + 3))?;
        let three = build::number(3, NumberKind::Int)?;
        Ok(Expr { kind: ExprKind::Add(Box::new(back), Box::new(three)), ty, nullable })
    })
}

fn week(date: Expr) -> Built {
    let days = day_of_year(thursday(date)?)?;
    plus(floor(plus(days, -1)?, 7)?, 1)
}

/// Whether steps over years will do, and the years.
fn few_years(date: &Expr) -> Option<(i128, i128)> {
    let (low, high) = limits(date);
    let (first, last) = (month_of(low).0, month_of(high).0);
    (last - first < YEARS_MAX).then_some((first, last))
}

/// A step at the first day of `month` of every year: `value(year)`. Before the first one the value
/// is that of the year before.
fn yearly(
    date: Expr,
    (first, last): (i128, i128),
    month: i128,
    kind: NumberKind,
    value: impl Fn(i128) -> i128,
) -> Built {
    let thresholds: Vec<i128> = (first..=last).map(|y| days_of(y, month, 1)).collect();
    let values: Vec<Literal> = (first - 1..=last).map(|y| Literal::Number(value(y))).collect();
    let (low, high) = limits(&date);
    let reached = |day: i128| thresholds.iter().filter(|t| **t <= day).count();
    let of = |index: usize| match values.get(index) {
        Some(Literal::Number(v)) => Some(*v),
        _ => None,
    };
    let ty = bounded(kind, of(reached(low)), of(reached(high)))?;
    Ok(build::steps(date, &thresholds, &values, ty))
}

fn year(date: Expr) -> Built {
    if let Some(years) = few_years(&date) {
        return yearly(date, years, 1, NumberKind::Int, |y| y);
    }
    let (low, high) = limits(&date);
    let bounds = (month_of(low).0, month_of(high).0);
    calendar(date, |c| {
        // January and February belong to the year that began in the March before.
        let late =
            build::compare(Compare::Ge, c.of_year.clone(), build::number(306, NumberKind::Int)?)?;
        let one = build::number(1, NumberKind::Int)?;
        let next = build::case(vec![(late, one)], build::number(0, NumberKind::Int)?)?;
        let eras = build::times(c.era.clone(), 400, NumberKind::BigInt)?;
        let sum = build::arithmetic(Arithmetic::Add, eras, c.year.clone())?;
        let sum = build::arithmetic(Arithmetic::Add, sum, next)?;
        let ty = bounded(NumberKind::Int, Some(bounds.0), Some(bounds.1))?;
        Ok(Expr { ty, ..sum })
    })
}

/// Days since 1 March.
fn from_march(date: Expr) -> Built {
    let Some(years) = few_years(&date) else { return calendar(date, |c| Ok(c.of_year.clone())) };
    build::bind(vec![date], |values| {
        let [date] = values else { return Err(overflow()) };
        let start = yearly(date.clone(), years, 3, NumberKind::Int, |y| days_of(y, 3, 1))?;
        within(integer(date.clone()), start, 0, 365)
    })
}

/// A function of the month, of a number of days since 1 March.
fn by_month(of_year: Expr, value: impl Fn(i128) -> i128) -> Built {
    // One value more in front: no day lies before 1 March.
    let months = (3..=12).chain(1..=2).map(&value);
    let values: Vec<i128> = std::iter::once(value(3)).chain(months).collect();
    let ty = bounded(NumberKind::Int, values.iter().min().copied(), values.iter().max().copied())?;
    let literals: Vec<Literal> = values.into_iter().map(Literal::Number).collect();
    Ok(build::steps(of_year, &MONTH_STARTS, &literals, ty))
}

fn month(date: Expr) -> Built {
    by_month(from_march(date)?, |m| m)
}

fn quarter(date: Expr) -> Built {
    by_month(from_march(date)?, |m| (m + 2) / 3)
}

fn day(date: Expr) -> Built {
    build::bind(vec![from_march(date)?], |values| {
        let [of_year] = values else { return Err(overflow()) };
        let start = |month: i128| {
            let index = usize::try_from((month + 9) % 12).unwrap_or(0);
            MONTH_STARTS.get(index).copied().unwrap_or(0)
        };
        let started = by_month(of_year.clone(), |m| start(m) - 1)?;
        within(of_year.clone(), started, 1, 31)
    })
}

fn day_of_year(date: Expr) -> Built {
    if let Some(years) = few_years(&date) {
        return build::bind(vec![date], |values| {
            let [date] = values else { return Err(overflow()) };
            let start = yearly(date.clone(), years, 1, NumberKind::Int, |y| days_of(y, 1, 1) - 1)?;
            within(integer(date.clone()), start, 1, 366)
        });
    }
    // 1 January of a year: 365 (y - 1) + (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400 - 719162.
    let years = build::bind(vec![year(date.clone())?], |values| {
        let [year] = values else { return Err(overflow()) };
        let before = plus(year.clone(), -1)?;
        let add = |x, y| build::arithmetic(Arithmetic::Add, x, y);
        let days = build::times(before.clone(), 365, NumberKind::BigInt)?;
        let days = add(days, floor(before.clone(), 4)?)?;
        let hundreds = floor(before.clone(), 100)?;
        let days = build::arithmetic(Arithmetic::Subtract, days, hundreds)?;
        plus(add(days, floor(before, 400)?)?, -719_163)
    })?;
    within(integer(date), years, 1, 366)
}

/// What the calendar says of a day, as numbers that are computed once.
struct Calendar {
    /// Periods of 400 years since 1 March of year 0.
    era: Expr,
    /// Year of the era, beginning in March: 0 to 399.
    year: Expr,
    /// Day of that year: 0 to 365.
    of_year: Expr,
}

/// `make` of a day's calendar, by divisions with public constants.
fn calendar(date: Expr, make: impl FnOnce(&Calendar) -> Built) -> Built {
    let bound = |index: usize, of: &Expr| Expr { kind: ExprKind::Bound(index), ..of.clone() };
    let shifted = plus(integer(date), 719_468)?;
    // Each value may name those before it: the last one is Bound(0).
    let era = floor(bound(0, &shifted), 146_097)?;
    let eras = build::times(bound(0, &era), 146_097, NumberKind::BigInt)?;
    let of_era = within(bound(1, &shifted), eras, 0, 146_096)?;
    let days = |index| bound(index, &of_era);
    let minus = |x, y| build::arithmetic(Arithmetic::Subtract, x, y);
    let add = |x, y| build::arithmetic(Arithmetic::Add, x, y);
    let whole = minus(days(0), floor(days(0), 1460)?)?;
    let whole = minus(add(whole, floor(days(0), 36_524)?)?, floor(days(0), 146_096)?)?;
    let year = floor(Expr { ty: bounded(NumberKind::Int, Some(0), Some(146_000))?, ..whole }, 365)?;
    let year = Expr { ty: bounded(NumberKind::Int, Some(0), Some(399))?, ..year };
    let years = |index| bound(index, &year);
    let started = add(build::times(years(0), 365, NumberKind::Int)?, floor(years(0), 4)?)?;
    let started = minus(started, floor(years(0), 100)?)?;
    let of_year = within(days(1), started, 0, 365)?;
    let body = make(&Calendar {
        era: bound(3, &era),
        year: bound(1, &year),
        of_year: bound(0, &of_year),
    })?;
    Ok([of_year, year, of_era, era, shifted].into_iter().fold(body, |body, value| {
        let (ty, nullable) = (body.ty.clone(), body.nullable);
        let kind = ExprKind::Let { value: Box::new(value), body: Box::new(body) };
        Expr { kind, ty, nullable }
    }))
}

/// date + months, to the last day of a shorter month; none where the date has too many months.
pub(crate) fn add_months(date: Expr, months: i128) -> Option<Built> {
    let (low, high) = limits(&date);
    let ordinal = |(year, month): (i128, i128)| 12 * year + month - 1;
    let (first, last) = (ordinal(month_of(low)), ordinal(month_of(high)));
    if last - first >= MONTHS_MAX {
        return None;
    }
    let start = |ordinal: i128| days_of(ordinal.div_euclid(12), ordinal.rem_euclid(12) + 1, 1);
    let thresholds: Vec<i128> = (first..=last).map(start).collect();
    let monthly = |date: &Expr, value: &dyn Fn(i128) -> i128| -> Built {
        let numbers: Vec<i128> = (first - 1..=last).map(value).collect();
        let kind = NumberKind::Int;
        let ty = bounded(kind, numbers.iter().min().copied(), numbers.iter().max().copied())?;
        let values: Vec<Literal> = numbers.into_iter().map(Literal::Number).collect();
        Ok(build::steps(date.clone(), &thresholds, &values, ty))
    };
    let add_one = |date: &Expr| -> Built {
        // Day of the month from 0, no more than the new month has.
        let of_month = within(integer(date.clone()), monthly(date, &start)?, 0, 30)?;
        let most = monthly(date, &|o| start(o + months + 1) - start(o + months) - 1)?;
        let moved = monthly(date, &|o| start(o + months))?;
        let day = build::bind(vec![of_month, most], |values| {
            let [day, most] = values else { return Err(overflow()) };
            let beyond = build::compare(Compare::Gt, day.clone(), most.clone())?;
            build::case(vec![(beyond, most.clone())], day.clone())
        })?;
        let sum = build::arithmetic(Arithmetic::Add, moved, day)?;
        let (low, high) = (start(first + months), start(last + months + 1) - 1);
        let ty = bounded(NumberKind::Date, Some(low), Some(high))?;
        Ok(Expr { ty, ..sum })
    };
    Some(add_one(&date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_chronos() {
        use chrono::{Datelike, NaiveDate};
        for days in (-800_000..800_000).step_by(997).chain([-1, 0, 59, 60, 11_016, 11_017]) {
            let date = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap()
                + chrono::Duration::days(i64::from(days));
            let (year, month) = (i128::from(date.year()), i128::from(date.month()));
            assert_eq!(month_of(days.into()), (year, month), "{date}");
            assert_eq!(days_of(year, month, date.day().into()), i128::from(days), "{date}");
        }
    }
}
