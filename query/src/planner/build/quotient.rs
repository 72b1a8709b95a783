//! Quotients, remainders and rounding, with bounds by corners. What divides by a secret number is
//! checked for zero on the effective path.

use super::arithmetic::{limits, negate, times};
use super::{Built, and, bind, compare, is_null, is_null_literal, literal, mismatch, not, null};
use super::{number, retype};
use crate::plan::{Compare, Expr, ExprKind, Failure, Literal, Rounding};
use crate::planner::numbers::{self, PRECISION_MAX, bounded, common_kind, overflow, scale, ten_to};
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind, Type};
use trine_proto::status::{SqlError, sqlstate};

/// Digits that a quotient has more than its dividend (as MySQL, Hive and DataFusion have it).
pub(crate) const QUOTIENT_DIGITS: u32 = 4;

/// left / right. Integers: towards zero. DECIMAL: [`QUOTIENT_DIGITS`] more digits than the dividend,
/// to the nearest, ties away from zero. DOUBLE: to the nearest step.
pub(crate) fn divide(left: Expr, right: Expr) -> Built {
    let (left, right) = same_family(left, right)?;
    let (Type::Number { kind: a, .. }, Type::Number { kind: b, .. }) = (&left.ty, &right.ty) else {
        return Err(mismatch("division", &left, &right));
    };
    let (Some(x), Some(y)) = (scale(a), scale(b)) else {
        return Err(mismatch("division", &left, &right));
    };
    let double = |k: &NumberKind| matches!(k, NumberKind::Double { .. });
    if double(a) || double(b) {
        let bits = DOUBLE_FRACTION_BITS.max(x.1.saturating_sub(y.1));
        let kind = NumberKind::Double { fraction_bits: bits };
        let raised = power_of_two(bits + y.1 - x.1)?;
        return quotient(left, raised, right, kind, Rounding::Nearest);
    }
    if numbers::is_integer(a) && numbers::is_integer(b) {
        let kind = common_kind(a, b).ok_or_else(overflow)?;
        return quotient(left, 1, right, kind, Rounding::Truncate);
    }
    let places = (x.0 + QUOTIENT_DIGITS).min(u32::from(PRECISION_MAX));
    let kind = decimal(places)?;
    let raised = ten_to(places - x.0 + y.0).ok_or_else(overflow)?;
    quotient(left, raised, right, kind, Rounding::Nearest)
}

/// The remainder of the division towards zero; its sign is the dividend's.
pub(crate) fn modulo(left: Expr, right: Expr) -> Built {
    let (left, right) = same_family(left, right)?;
    let (left, right) = super::comparison::in_one_scale(left, right)?;
    let (Type::Number { kind: a, .. }, Type::Number { kind: b, .. }) = (&left.ty, &right.ty) else {
        return Err(mismatch("a remainder", &left, &right));
    };
    if scale(a).is_none() {
        return Err(mismatch("a remainder", &left, &right));
    }
    let kind = common_kind(a, b).ok_or_else(overflow)?;
    if is_null_literal(&left) || is_null_literal(&right) {
        return Ok(null(bounded(kind, Some(0), Some(0))?));
    }
    let (l, r) = (limits(&left), limits(&right));
    let most = r.0.saturating_abs().max(r.1.saturating_abs()) - 1;
    let ty = bounded(kind, Some(l.0.max(-most).min(0)), Some(l.1.min(most).max(0)))?;
    if let (Some(Literal::Number(x)), Some(Literal::Number(y))) = (literal(&left), literal(&right))
    {
        let rest = x.checked_rem(*y).ok_or_else(by_zero)?;
        return Ok(Expr { kind: ExprKind::Literal(Literal::Number(rest)), ty, nullable: false });
    }
    if literal(&right).is_some() {
        if r == (0, 0) {
            return Err(by_zero());
        }
        // Only the size of a divisor matters.
        return bind(vec![left], |values| {
            let Some(x) = values.first() else { return Err(overflow()) };
            let whole = by_constant(x.clone(), r.0.abs(), Rounding::Truncate, None)?;
            let product = times(whole, r.0.abs(), kind_of(x))?;
            let nullable = x.nullable;
            let kind = ExprKind::Subtract(Box::new(x.clone()), Box::new(product));
            Ok(Expr { kind, ty: ty.clone(), nullable })
        });
    }
    guarded(left, right, |x, y| {
        let nullable = x.nullable || y.nullable;
        Ok(Expr { kind: ExprKind::Modulo(Box::new(x), Box::new(y)), ty: ty.clone(), nullable })
    })
}

/// To `places` decimal places (below 0: to tens, hundreds, …); the scale becomes that, 0 at least.
pub(crate) fn rounded(expr: Expr, places: i32, rounding: Rounding) -> Built {
    let Type::Number { kind, .. } = &expr.ty else {
        return Err(mismatch("rounding", &expr, &expr));
    };
    let kind = kind.clone();
    let Some((tens, twos)) = scale(&kind) else {
        return Err(mismatch("rounding", &expr, &expr));
    };
    let kept = u32::try_from(places).unwrap_or(0);
    let below = ten_to(places.min(0).unsigned_abs()).ok_or_else(overflow)?;
    if twos > 0 {
        // digits = value * 10^places / 2^bits, then back.
        let raised = times(expr, ten_to(kept).ok_or_else(overflow)?, kind.clone())?;
        let divisor = power_of_two(twos)?.checked_mul(below).ok_or_else(overflow)?;
        let whole = NumberKind::Double { fraction_bits: 0 };
        // Halves of a DOUBLE go to the even neighbour, as PostgreSQL's do.
        let halves = rounding == Rounding::Nearest && places == 0;
        let rounding = if halves { Rounding::Even } else { rounding };
        let digits = by_constant(raised, divisor, rounding, Some(whole.clone()))?;
        let digits = times(digits, below, whole)?;
        if kept == 0 {
            return Ok(digits);
        }
        let fine = times(digits, power_of_two(DOUBLE_FRACTION_BITS)?, kind)?;
        let to = NumberKind::Double { fraction_bits: DOUBLE_FRACTION_BITS };
        return by_constant(fine, ten_to(kept).ok_or_else(overflow)?, Rounding::Nearest, Some(to));
    }
    if kept >= tens && below == 1 {
        return Ok(expr);
    }
    let divisor = ten_to(tens.saturating_sub(kept))
        .and_then(|t| t.checked_mul(below))
        .ok_or_else(overflow)?;
    let to = if numbers::is_integer(&kind) { kind } else { decimal(kept)? };
    let whole = by_constant(expr, divisor, rounding, Some(to.clone()))?;
    times(whole, below, to)
}

/// A number as DOUBLE: exact for integers, the nearest step for a DECIMAL.
pub(crate) fn to_double(expr: Expr) -> Built {
    let Type::Number { kind, low, high } = &expr.ty else {
        return Err(mismatch("a conversion to DOUBLE PRECISION", &expr, &expr));
    };
    match scale(kind) {
        Some((0, twos)) => {
            let kind = NumberKind::Double { fraction_bits: twos };
            let ty = bounded(kind, Some(*low), Some(*high))?;
            Ok(retype(expr, ty))
        }
        Some((tens, 0)) => {
            let kind = kind.clone();
            let raised = times(expr, power_of_two(DOUBLE_FRACTION_BITS)?, kind)?;
            let to = NumberKind::Double { fraction_bits: DOUBLE_FRACTION_BITS };
            by_constant(raised, ten_to(tens).ok_or_else(overflow)?, Rounding::Nearest, Some(to))
        }
        _ => Err(mismatch("a conversion to DOUBLE PRECISION", &expr, &expr)),
    }
}

/// A number under another scale, to the nearest, ties away from zero.
pub(crate) fn rescaled(expr: Expr, from: (u32, u32), to: (u32, u32), kind: &NumberKind) -> Built {
    let factor = ten_to(to.0.saturating_sub(from.0))
        .and_then(|tens| tens.checked_mul(1_i128.checked_shl(to.1.saturating_sub(from.1))?))
        .ok_or_else(overflow)?;
    let divisor = ten_to(from.0.saturating_sub(to.0))
        .and_then(|tens| tens.checked_mul(1_i128.checked_shl(from.1.saturating_sub(to.1))?))
        .ok_or_else(overflow)?;
    // Means nothing by itself, and has no limits of its own.
    let between = NumberKind::Decimal { precision: PRECISION_MAX, scale: 0 };
    let raised = if factor == 1 { expr } else { times(expr, factor, between)? };
    by_constant(raised, divisor, Rounding::Nearest, Some(kind.clone()))
}

/// DOUBLE and DECIMAL do not mix: the DECIMAL becomes a DOUBLE.
pub(super) fn same_family(left: Expr, right: Expr) -> Result<(Expr, Expr), SqlError> {
    let is_double = |e: &Expr| matches!(e.ty, Type::Number { kind: NumberKind::Double { .. }, .. });
    let has_digits = |e: &Expr| matches!(e.ty, Type::Number { kind: NumberKind::Decimal { scale, .. }, .. } if scale > 0);
    Ok(match (is_double(&left), is_double(&right)) {
        (true, false) if has_digits(&right) => (left, to_double(right)?),
        (false, true) if has_digits(&left) => (to_double(left)?, right),
        _ => (left, right),
    })
}

/// expr / divisor for a public positive divisor, under another kind if one is named.
pub(crate) fn by_constant(
    expr: Expr,
    divisor: i128,
    rounding: Rounding,
    to: Option<NumberKind>,
) -> Built {
    let (low, high) = limits(&expr);
    // What is divided is counted from the lower bound, and rounding adds up to a divisor.
    let reach = high.checked_sub(low).and_then(|reach| reach.checked_add(divisor.checked_mul(2)?));
    if reach.is_none() {
        return Err(overflow());
    }
    let kind = to.unwrap_or_else(|| kind_of(&expr));
    let ty =
        bounded(kind, Some(rounding.divide(low, divisor)), Some(rounding.divide(high, divisor)))?;
    let nullable = expr.nullable;
    if divisor == 1 {
        return Ok(retype(expr, ty));
    }
    let kind = match expr.kind {
        ExprKind::Literal(Literal::Number(v)) => {
            ExprKind::Literal(Literal::Number(rounding.divide(v, divisor)))
        }
        ExprKind::Literal(other) => ExprKind::Literal(other),
        kind => {
            let argument = Box::new(Expr { kind, ty: expr.ty, nullable });
            ExprKind::DivideBy { argument, divisor, rounding }
        }
    };
    Ok(Expr { kind, ty, nullable })
}

fn kind_of(expr: &Expr) -> NumberKind {
    match &expr.ty {
        Type::Number { kind, .. } => kind.clone(),
        _ => NumberKind::BigInt,
    }
}

fn decimal(places: u32) -> Result<NumberKind, SqlError> {
    let scale = u8::try_from(places).map_err(|_| overflow())?;
    Ok(NumberKind::Decimal { precision: PRECISION_MAX, scale })
}

fn power_of_two(bits: u32) -> Result<i128, SqlError> {
    1_i128.checked_shl(bits).filter(|v| *v > 0).ok_or_else(overflow)
}

fn by_zero() -> SqlError {
    SqlError::new(sqlstate::DIVISION_BY_ZERO, "division by zero")
}

/// Greatest common divisor.
pub(crate) const fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// left * factor / right as `kind`.
fn quotient(left: Expr, factor: i128, right: Expr, kind: NumberKind, rounding: Rounding) -> Built {
    if is_null_literal(&left) || is_null_literal(&right) {
        return Ok(null(bounded(kind, Some(0), Some(0))?));
    }
    if let Some(Literal::Number(divisor)) = literal(&right) {
        if *divisor == 0 {
            return Err(by_zero());
        }
        let common = gcd(factor, divisor.abs());
        let raised = times(left, factor / common, kind_of_raised(&kind))?;
        let size = divisor.abs() / common;
        let positive = by_constant(raised, size, rounding, Some(kind))?;
        return if *divisor < 0 { negate(positive) } else { Ok(positive) };
    }
    let left = times(left, factor, kind_of_raised(&kind))?;
    let (low, high) = corners(limits(&left), limits(&right), rounding).ok_or_else(by_zero)?;
    let ty = bounded(kind, Some(low), Some(high))?;
    guarded(left, right, |x, y| {
        let nullable = x.nullable || y.nullable;
        let (left, right) = (Box::new(x), Box::new(y));
        let kind = ExprKind::Divide { left, right, fraction_bits: 0, rounding };
        Ok(Expr { kind, ty: ty.clone(), nullable })
    })
}

/// A raised dividend means nothing by itself: any kind without limits of its own will do.
const fn kind_of_raised(kind: &NumberKind) -> NumberKind {
    match kind {
        NumberKind::Double { .. } => NumberKind::Double { fraction_bits: 0 },
        _ => NumberKind::BigInt,
    }
}

/// Least and greatest quotient; none if the divisor can only be 0. For a fixed divisor the quotient
/// is monotone in the dividend, and on either side of zero in the divisor.
fn corners(l: (i128, i128), r: (i128, i128), rounding: Rounding) -> Option<(i128, i128)> {
    let divisors = [r.0, r.1, -1, 1].into_iter().filter(|d| *d != 0 && r.0 <= *d && *d <= r.1);
    let all: Vec<i128> =
        divisors.flat_map(|d| [rounding.divide(l.0, d), rounding.divide(l.1, d)]).collect();
    Some((*all.iter().min()?, *all.iter().max()?))
}

/// A function of a dividend and a divisor that fails where the divisor is 0 and neither is NULL.
fn guarded(left: Expr, right: Expr, make: impl Fn(Expr, Expr) -> Built) -> Built {
    let (low, high) = limits(&right);
    if low > 0 || high < 0 {
        return make(left, right);
    }
    bind(vec![left, right], |values| {
        let [x, y] = values else { return Err(overflow()) };
        let zero = number(0, kind_of(y))?;
        let is_zero = compare(Compare::Eq, y.clone(), zero)?;
        let fails = and(vec![not(is_null(x.clone())), is_zero]);
        let value = make(x.clone(), y.clone())?;
        Ok(checked(value, fails, Failure::DivisionByZero))
    })
}

/// The square root as a DOUBLE of half the binary digits that the number has with `more` of them.
pub(crate) fn root(expr: Expr, more: u32) -> Built {
    let (_, high) = limits(&expr);
    let own = match &expr.ty {
        Type::Number { kind, .. } => scale(kind).filter(|s| s.0 == 0).ok_or_else(overflow)?.1,
        _ => return Err(mismatch("a root", &expr, &expr)),
    };
    let kind = NumberKind::Double { fraction_bits: u32::midpoint(own, more) };
    let top = high.max(0).unsigned_abs().isqrt() + 1;
    let top = top.checked_mul(1_u128 << (more / 2)).and_then(|t| i128::try_from(t).ok());
    let ty = bounded(kind, Some(0), top)?;
    let nullable = expr.nullable;
    Ok(Expr {
        kind: ExprKind::SquareRoot { argument: Box::new(expr), fraction_bits: more },
        ty,
        nullable,
    })
}

/// A value that raises a failure where a condition is TRUE.
pub(crate) fn checked(value: Expr, fails: Expr, failure: Failure) -> Expr {
    if matches!(literal(&fails), Some(Literal::Boolean(false) | Literal::Null)) {
        return value;
    }
    let (ty, nullable) = (value.ty.clone(), value.nullable);
    let kind = ExprKind::Check { value: Box::new(value), fails: Box::new(fails), failure };
    Expr { kind, ty, nullable }
}

/// A number within bounds that its own may exceed: what lies outside fails when the statement runs.
pub(crate) fn narrowed(expr: Expr, kind: NumberKind, low: i128, high: i128) -> Built {
    let own = limits(&expr);
    let inside = (own.0.max(low).min(high), own.1.min(high).max(low));
    let ty = Type::Number { kind, low: inside.0, high: inside.1 };
    if own == inside {
        return Ok(retype(expr, ty));
    }
    if let Some(Literal::Number(v)) = literal(&expr) {
        if (low..=high).contains(v) {
            return Ok(retype(expr, ty));
        }
        return Err(Failure::OutOfRange.error());
    }
    bind(vec![expr], |values| {
        let [x] = values else { return Err(overflow()) };
        let bound = |v: i128| number(v, kind_of(x));
        let mut outside = Vec::new();
        if own.0 < low {
            outside.push(compare(Compare::Lt, x.clone(), bound(low)?)?);
        }
        if own.1 > high {
            outside.push(compare(Compare::Gt, x.clone(), bound(high)?)?);
        }
        Ok(checked(retype(x.clone(), ty.clone()), super::or(outside), Failure::OutOfRange))
    })
}
