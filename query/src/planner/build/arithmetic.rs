//! Sums, products and changes of scale, with interval bounds.

use super::quotient::{by_constant, narrowed, same_family};
use super::{Built, is_null_literal, literal, mismatch, number, retype};
use crate::plan::{Expr, ExprKind, Literal, Rounding};
use crate::planner::numbers::{
    self, BOUND_MAX, PRECISION_MAX, bounded, common_kind, overflow, scale, ten_to,
};
use crate::types::{NumberKind, Type};
use trine_proto::status::SqlError;

/// +, -, *.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

pub(crate) fn arithmetic(op: Arithmetic, left: Expr, right: Expr) -> Built {
    let (left, right) = same_family(left, right)?;
    let (Type::Number { kind: a, .. }, Type::Number { kind: b, .. }) = (&left.ty, &right.ty) else {
        return Err(mismatch("arithmetic", &left, &right));
    };
    if let Some(kind) = date_arithmetic(op, a, b) {
        return combine(op, left, right, kind);
    }
    let (Some(x), Some(y)) = (scale(a), scale(b)) else {
        return Err(mismatch("arithmetic", &left, &right));
    };
    if op == Arithmetic::Multiply {
        let kind = product_kind(a, b, x, y)?;
        if !matches!(kind, NumberKind::Double { .. }) {
            return multiply(left, right, kind);
        }
        let (left, right) = multiplicands(left, right)?;
        let of = |e: &Expr| match &e.ty {
            Type::Number { kind, .. } => scale(kind).map_or(0, |s| s.1),
            _ => 0,
        };
        let fraction_bits = of(&left) + of(&right);
        return multiply(left, right, NumberKind::Double { fraction_bits });
    }
    if x.0 != y.0 && x.1 != y.1 {
        return Err(mixed());
    }
    let common = (x.0.max(y.0), x.1.max(y.1));
    let kind = sum_kind(a, b, common)?;
    let (left, right) = level(left, x, right, y)?;
    let reached = |e: &Expr| match &e.ty {
        Type::Number { kind, .. } => scale(kind).map_or(0, |s| s.1),
        _ => 0,
    };
    // Two DOUBLEs may have met in the coarser scale.
    let fraction_bits = reached(&left).max(reached(&right));
    let kind = if fraction_bits < common.1 { NumberKind::Double { fraction_bits } } else { kind };
    combine(op, left, right, kind)
}

/// Both in one scale, the finer one; two DOUBLEs in the coarser one where the finer leaves 127 bits.
pub(super) fn level(
    left: Expr,
    x: (u32, u32),
    right: Expr,
    y: (u32, u32),
) -> Result<(Expr, Expr), SqlError> {
    let common = (x.0.max(y.0), x.1.max(y.1));
    match (raise(left.clone(), x, common), raise(right.clone(), y, common)) {
        (Ok(left), Ok(right)) => Ok((left, right)),
        (Err(error), _) | (_, Err(error)) => {
            let coarser = x.1.min(y.1);
            if common.0 > 0 || coarser < FRACTION_BITS_KEPT {
                return Err(error);
            }
            Ok((trimmed(left, coarser)?, trimmed(right, coarser)?))
        }
    }
}

/// Binary digits after the point that a DOUBLE keeps where its product with another leaves 127 bits.
const FRACTION_BITS_KEPT: u32 = 16;

/// A DOUBLE with at most this many binary digits after the point, to the nearest step.
pub(crate) fn trimmed(expr: Expr, bits: u32) -> Built {
    let Type::Number { kind: NumberKind::Double { fraction_bits }, .. } = &expr.ty else {
        return Ok(expr);
    };
    let Some(more) = fraction_bits.checked_sub(bits).filter(|more| *more > 0) else {
        return Ok(expr);
    };
    let divisor = 1_i128.checked_shl(more).filter(|d| *d > 0).ok_or_else(overflow)?;
    let kind = NumberKind::Double { fraction_bits: bits };
    by_constant(expr, divisor, Rounding::Nearest, Some(kind))
}

/// Two DOUBLEs with as many binary digits as their product has room for.
fn multiplicands(left: Expr, right: Expr) -> Result<(Expr, Expr), SqlError> {
    let width = |e: &Expr| {
        let (low, high) = limits(e);
        128 - low.unsigned_abs().max(high.unsigned_abs()).leading_zeros()
    };
    let fraction = |e: &Expr| match &e.ty {
        Type::Number { kind, .. } => scale(kind).map_or(0, |s| s.1),
        _ => 0,
    };
    let (mut x, mut y) = (fraction(&left), fraction(&right));
    let mut excess = (width(&left) + width(&right)).saturating_sub(BITS_MAX);
    if excess == 0 {
        return Ok((left, right));
    }
    while excess > 0 {
        let finer = if x >= y { &mut x } else { &mut y };
        if *finer <= FRACTION_BITS_KEPT {
            return Err(overflow());
        }
        *finer -= 1;
        excess -= 1;
    }
    Ok((trimmed(left, x)?, trimmed(right, y)?))
}

/// Bits of two factors whose product is surely within bounds.
const BITS_MAX: u32 = 126;

pub(super) fn mixed() -> SqlError {
    SqlError::unsupported(
        "arithmetic that mixes DECIMAL and DOUBLE PRECISION is not supported",
        "take the average of a DECIMAL, or compare the two instead",
    )
}

/// DATE ± days is a DATE, DATE - DATE is days.
fn date_arithmetic(op: Arithmetic, a: &NumberKind, b: &NumberKind) -> Option<NumberKind> {
    use NumberKind::{Date, Int};
    match (op, a, b) {
        (Arithmetic::Add | Arithmetic::Subtract, Date, days) if numbers::is_integer(days) => {
            Some(Date)
        }
        (Arithmetic::Add, days, Date) if numbers::is_integer(days) => Some(Date),
        (Arithmetic::Subtract, Date, Date) => Some(Int),
        _ => None,
    }
}

fn digits(kind: &NumberKind) -> u8 {
    match kind {
        NumberKind::SmallInt => 5,
        NumberKind::Int => 10,
        NumberKind::BigInt => 19,
        NumberKind::Decimal { precision, .. } => *precision,
        _ => PRECISION_MAX,
    }
}

fn sum_kind(a: &NumberKind, b: &NumberKind, to: (u32, u32)) -> Result<NumberKind, SqlError> {
    if to.1 > 0 || matches!((a, b), (NumberKind::Double { .. }, _) | (_, NumberKind::Double { .. }))
    {
        return Ok(NumberKind::Double { fraction_bits: to.1 });
    }
    if numbers::is_integer(a) && numbers::is_integer(b) {
        return common_kind(a, b).ok_or_else(overflow);
    }
    let places = u8::try_from(to.0).map_err(|_| overflow())?;
    let whole = |k: &NumberKind| {
        let after = scale(k).and_then(|s| u8::try_from(s.0).ok()).unwrap_or(0);
        digits(k).saturating_sub(after)
    };
    let precision =
        whole(a).max(whole(b)).saturating_add(places).saturating_add(1).min(PRECISION_MAX);
    Ok(NumberKind::Decimal { precision, scale: places })
}

fn product_kind(
    a: &NumberKind,
    b: &NumberKind,
    x: (u32, u32),
    y: (u32, u32),
) -> Result<NumberKind, SqlError> {
    let double = |k: &NumberKind| matches!(k, NumberKind::Double { .. });
    if double(a) || double(b) {
        if x.0 + y.0 > 0 {
            return Err(mixed());
        }
        return Ok(NumberKind::Double { fraction_bits: x.1 + y.1 });
    }
    if numbers::is_integer(a) && numbers::is_integer(b) {
        return common_kind(a, b).ok_or_else(overflow);
    }
    let places =
        u8::try_from(x.0 + y.0).ok().filter(|s| *s <= PRECISION_MAX).ok_or_else(overflow)?;
    let precision = digits(a).saturating_add(digits(b)).saturating_add(1).min(PRECISION_MAX);
    Ok(NumberKind::Decimal { precision, scale: places })
}

pub(super) const fn limits(expr: &Expr) -> (i128, i128) {
    match &expr.ty {
        Type::Number { low, high, .. } => (*low, *high),
        _ => (0, 0),
    }
}

/// A check of bounds below this would refuse ordinary values: the statement is refused instead.
const CHECKED_MIN: i128 = 1 << 31;

/// A number that may be multiplied with a public positive factor. Where its own bounds do not say so,
/// its values are checked while the statement runs: what is too large is an error for the client.
pub(crate) fn roomy(expr: Expr, factor: i128) -> Built {
    let limit = BOUND_MAX / factor.max(1);
    let (low, high) = limits(&expr);
    if -limit <= low && high <= limit {
        return Ok(expr);
    }
    if limit < CHECKED_MIN {
        return Err(overflow());
    }
    let Type::Number { kind, .. } = &expr.ty else { return Err(overflow()) };
    let kind = kind.clone();
    narrowed(expr, kind, -limit, limit)
}

fn combine(op: Arithmetic, left: Expr, right: Expr, kind: NumberKind) -> Built {
    let within = |x: (i128, i128)| -BOUND_MAX / 2 <= x.0 && x.1 <= BOUND_MAX / 2;
    if !within(limits(&left)) || !within(limits(&right)) {
        let (left, right) = (roomy(left, 2)?, roomy(right, 2)?);
        return combined(op, left, right, kind);
    }
    combined(op, left, right, kind)
}

fn combined(op: Arithmetic, left: Expr, right: Expr, kind: NumberKind) -> Built {
    let (a, b) = (limits(&left), limits(&right));
    let (low, high) = match op {
        Arithmetic::Subtract => (a.0.checked_sub(b.1), a.1.checked_sub(b.0)),
        _ => (a.0.checked_add(b.0), a.1.checked_add(b.1)),
    };
    let ty = bounded(kind, low, high)?;
    let nullable = left.nullable || right.nullable;
    if let (Some(Literal::Number(x)), Some(Literal::Number(y))) = (literal(&left), literal(&right))
    {
        let value = if op == Arithmetic::Subtract { x - y } else { x + y };
        return Ok(Expr { kind: ExprKind::Literal(Literal::Number(value)), ty, nullable });
    }
    let kind = match op {
        Arithmetic::Subtract => ExprKind::Subtract(Box::new(left), Box::new(right)),
        _ => ExprKind::Add(Box::new(left), Box::new(right)),
    };
    Ok(Expr { kind, ty, nullable })
}

fn multiply(left: Expr, right: Expr, kind: NumberKind) -> Built {
    for (constant, other) in [(&left, &right), (&right, &left)] {
        if let Some(Literal::Number(factor)) = literal(constant)
            && *factor > 0
        {
            return times(other.clone(), *factor, kind);
        }
    }
    let (left, right) = factors(left, right)?;
    let (a, b) = (limits(&left), limits(&right));
    let mut low = Some(i128::MAX);
    let mut high = Some(i128::MIN);
    for (x, y) in [(a.0, b.0), (a.0, b.1), (a.1, b.0), (a.1, b.1)] {
        let corner = x.checked_mul(y);
        low = low.zip(corner).map(|(l, c)| l.min(c));
        high = high.zip(corner).map(|(h, c)| h.max(c));
    }
    let ty = bounded(kind, low, high)?;
    let nullable = left.nullable || right.nullable;
    Ok(Expr { kind: ExprKind::Multiply(Box::new(left), Box::new(right)), ty, nullable })
}

/// Two factors whose product is within bounds; the wider one is checked where it has to be.
fn factors(left: Expr, right: Expr) -> Result<(Expr, Expr), SqlError> {
    let size = |e: &Expr| {
        let (low, high) = limits(e);
        low.unsigned_abs().max(high.unsigned_abs()).max(1)
    };
    let (x, y) = (size(&left), size(&right));
    if x.checked_mul(y).is_some_and(|most| most <= BOUND_MAX.unsigned_abs()) {
        return Ok((left, right));
    }
    let half = 1_u128 << 63;
    let factor = |other: u128| i128::try_from(other.min(half)).map_err(|_| overflow());
    Ok(if x >= y {
        let left = roomy(left, factor(y)?)?;
        let right = if y > half { roomy(right, factor(x)?)? } else { right };
        (left, right)
    } else {
        let right = roomy(right, factor(x)?)?;
        let left = if x > half { roomy(left, factor(y)?)? } else { left };
        (left, right)
    })
}

pub(crate) fn negate(expr: Expr) -> Built {
    let Type::Number { kind, .. } = &expr.ty else {
        return Err(mismatch("the negative", &expr, &expr));
    };
    let zero = number(0, kind.clone())?;
    let kind = kind.clone();
    combine(Arithmetic::Subtract, zero, expr, kind)
}

pub(crate) fn absolute(expr: Expr) -> Built {
    let Type::Number { kind, low, high } = expr.ty.clone() else {
        return Err(mismatch("the absolute value", &expr, &expr));
    };
    if low >= 0 {
        return Ok(expr);
    }
    let (new_low, new_high) = if high <= 0 {
        (-high, -low)
    } else {
        (0, high.max(low.checked_neg().ok_or_else(overflow)?))
    };
    let ty = bounded(kind, Some(new_low), Some(new_high))?;
    let nullable = expr.nullable;
    Ok(Expr { kind: ExprKind::Absolute(Box::new(expr)), ty, nullable })
}

/// Times 10^(d digits) * 2^(b bits), under the kind that shows the new scale best.
pub(super) fn raise(expr: Expr, from: (u32, u32), to: (u32, u32)) -> Built {
    let ten = ten_to(to.0 - from.0).ok_or_else(overflow)?;
    let two = 1_i128.checked_shl(to.1 - from.1).filter(|v| *v > 0).ok_or_else(overflow)?;
    let factor = ten.checked_mul(two).ok_or_else(overflow)?;
    if factor == 1 {
        return Ok(expr);
    }
    let kind = if to.1 > 0 {
        NumberKind::Double { fraction_bits: to.1 }
    } else {
        NumberKind::Decimal {
            precision: PRECISION_MAX,
            scale: u8::try_from(to.0).map_err(|_| overflow())?,
        }
    };
    times(expr, factor, kind)
}

/// A DECIMAL with this many digits after the point, which are no fewer than it has.
pub(crate) fn raised_to(expr: Expr, digits: u32) -> Built {
    let own = match &expr.ty {
        Type::Number { kind, .. } => scale(kind).ok_or_else(overflow)?,
        _ => return Err(mismatch("a change of scale", &expr, &expr)),
    };
    raise(expr, own, (digits, own.1))
}

/// Times a public positive constant, as a number of `kind`.
pub(crate) fn times(expr: Expr, factor: i128, kind: NumberKind) -> Built {
    let expr = if is_null_literal(&expr) { expr } else { roomy(expr, factor)? };
    let Type::Number { low, high, .. } = expr.ty else {
        return Err(mismatch("a product", &expr, &expr));
    };
    let ty = bounded(kind, low.checked_mul(factor), high.checked_mul(factor))?;
    let nullable = expr.nullable;
    let kind = match expr.kind {
        ExprKind::Literal(Literal::Number(v)) => {
            ExprKind::Literal(Literal::Number(v.checked_mul(factor).ok_or_else(overflow)?))
        }
        ExprKind::Literal(other) => ExprKind::Literal(other),
        kind if factor == 1 => {
            let inner = Expr { kind, ty: expr.ty, nullable };
            return Ok(retype(inner, ty));
        }
        kind => {
            let inner = Expr { kind, ty: expr.ty, nullable };
            ExprKind::Scale(Box::new(inner), factor)
        }
    };
    Ok(Expr { kind, ty, nullable })
}
