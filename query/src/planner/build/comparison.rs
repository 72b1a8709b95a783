//! Comparisons: both sides in one scale, constants in the scale of what they are compared with.

use super::arithmetic::{level, trimmed};
use super::quotient::rescaled as rescaled_to;
use super::{Built, and, boolean, is_null, is_null_literal, literal, mismatch, not, null, number};
use crate::plan::{Compare, Expr, ExprKind, Literal, Rounding};
use crate::planner::dictionary::flip;
use crate::planner::numbers::{scale, ten_to};
use crate::types::{NumberKind, Type};
use trine_proto::status::SqlError;

/// A comparison of two booleans, texts, or numbers (brought to one scale).
pub(crate) fn compare(op: Compare, left: Expr, right: Expr) -> Built {
    if is_null_literal(&left) || is_null_literal(&right) {
        return Ok(null(Type::Boolean));
    }
    if let Some(done) = with_constant(op, &left, &right) {
        return done;
    }
    if let Some(done) = with_constant(flip(op), &right, &left) {
        return done;
    }
    let (left, right) = comparable(left, right)?;
    Ok(comparison(op, left, right))
}

fn comparison(op: Compare, left: Expr, right: Expr) -> Expr {
    let nullable = left.nullable || right.nullable;
    Expr {
        kind: ExprKind::Compare { op, left: Box::new(left), right: Box::new(right) },
        ty: Type::Boolean,
        nullable,
    }
}

/// A number against a constant of another scale: the constant moves to the number's own scale,
/// rounded so that the answer stays the same; casts of the number fall away.
fn with_constant(op: Compare, number: &Expr, constant: &Expr) -> Option<Built> {
    let (Literal::Number(v), Type::Number { kind: from, .. }) = (literal(constant)?, &constant.ty)
    else {
        return None;
    };
    if literal(number).is_some() {
        return None;
    }
    let number = unscaled(number);
    let Type::Number { kind: to, .. } = &number.ty else { return None };
    let (from, to) = (scale(from)?, scale(to)?);
    let (floor, exact) = match grid(&number.ty) {
        Some(_) => (nearest(*v, from, to)?, true),
        None => rescaled(*v, from, to)?,
    };
    let bound = match self::number(floor, constant_kind(&number.ty)?) {
        Ok(bound) => bound,
        Err(error) => return Some(Err(error)),
    };
    let op = match (op, exact) {
        (op, true) => op,
        (Compare::Lt | Compare::Le, false) => Compare::Le,
        (Compare::Gt | Compare::Ge, false) => Compare::Gt,
        (Compare::Eq, false) => return Some(Ok(never(number))),
        (Compare::Ne, false) => return Some(Ok(not(never(number)))),
    };
    Some(Ok(comparison(op, number.clone(), bound)))
}

/// Fewest binary digits after the point of a DOUBLE whose values are roundings.
const GRID_BITS_MIN: u32 = 8;

/// Binary digits of a DOUBLE that holds values rounded to its step (a stored one, a quotient): what
/// it is compared with is rounded alike, so that 0.1 equals a stored 0.1.
const fn grid(ty: &Type) -> Option<u32> {
    match ty {
        Type::Number { kind: NumberKind::Double { fraction_bits }, .. }
            if *fraction_bits >= GRID_BITS_MIN =>
        {
            Some(*fraction_bits)
        }
        _ => None,
    }
}

/// v under another scale, to the nearest, ties away from zero.
fn nearest(v: i128, from: (u32, u32), to: (u32, u32)) -> Option<i128> {
    let (up, down) = factors(from, to)?;
    Some(Rounding::Nearest.divide(v.checked_mul(up)?, down))
}

fn constant_kind(ty: &Type) -> Option<NumberKind> {
    match ty {
        Type::Number { kind, .. } => Some(kind.clone()),
        _ => None,
    }
}

/// FALSE, or NULL where the value is.
fn never(value: &Expr) -> Expr {
    if !value.nullable {
        return boolean(false);
    }
    and(vec![is_null(value.clone()), null(Type::Boolean)])
}

/// The number below changes of scale and kind.
fn unscaled(expr: &Expr) -> &Expr {
    let of = |ty: &Type| match ty {
        Type::Number { kind, .. } => scale(kind),
        _ => None,
    };
    let (inner, factor) = match &expr.kind {
        ExprKind::Scale(inner, factor) => (inner, *factor),
        ExprKind::Retype(inner) => (inner, 1),
        _ => return expr,
    };
    let (Some(above), Some(below)) = (of(&expr.ty), of(&inner.ty)) else { return expr };
    let (Some(tens), Some(twos)) = (above.0.checked_sub(below.0), above.1.checked_sub(below.1))
    else {
        return expr;
    };
    let raised = ten_to(tens).and_then(|t| t.checked_mul(1_i128.checked_shl(twos)?));
    if raised == Some(factor) { unscaled(inner) } else { expr }
}

/// v under another scale: the floor, and whether that is exact.
fn rescaled(v: i128, from: (u32, u32), to: (u32, u32)) -> Option<(i128, bool)> {
    let (up, down) = factors(from, to)?;
    let raised = v.checked_mul(up)?;
    Some((raised.div_euclid(down), raised.rem_euclid(down) == 0))
}

/// What a number is multiplied with and then divided by to change its scale.
fn factors(from: (u32, u32), to: (u32, u32)) -> Option<(i128, i128)> {
    let power = |tens: u32, twos: u32| {
        ten_to(tens)?.checked_mul(1_i128.checked_shl(twos).filter(|p| *p > 0)?)
    };
    let up = power(to.0.saturating_sub(from.0), to.1.saturating_sub(from.1))?;
    let down = power(from.0.saturating_sub(to.0), from.1.saturating_sub(to.1))?;
    Some((up, down))
}

/// Both sides in one scale, to compare them. What stands beside a DOUBLE of rounded values is rounded to
/// its step, the finer of two DOUBLEs to that of the coarser: 0.1 of any type is the same 0.1.
pub(crate) fn comparable(left: Expr, right: Expr) -> Result<(Expr, Expr), SqlError> {
    match (grid(&left.ty), grid(&right.ty)) {
        (Some(x), Some(y)) if x != y => {
            let bits = x.min(y);
            in_one_scale(trimmed(left, bits)?, trimmed(right, bits)?)
        }
        (Some(bits), None) => {
            let right = on_grid(right, bits)?;
            in_one_scale(left, right)
        }
        (None, Some(bits)) => in_one_scale(on_grid(left, bits)?, right),
        _ => in_one_scale(left, right),
    }
}

/// A DECIMAL as a DOUBLE of these steps; anything else as it is.
fn on_grid(expr: Expr, bits: u32) -> Built {
    match &expr.ty {
        Type::Number { kind: NumberKind::Decimal { scale, .. }, .. } if *scale > 0 => {
            let own = (u32::from(*scale), 0);
            rescaled_to(expr, own, (0, bits), &NumberKind::Double { fraction_bits: bits })
        }
        _ => Ok(expr),
    }
}

/// Both sides in one scale; the kinds then no longer matter.
pub(crate) fn in_one_scale(left: Expr, right: Expr) -> Result<(Expr, Expr), SqlError> {
    let (a, b) = match (&left.ty, &right.ty) {
        (Type::Boolean, Type::Boolean) | (Type::Text { .. }, Type::Text { .. }) => {
            return Ok((left, right));
        }
        (Type::Number { kind: a, .. }, Type::Number { kind: b, .. }) => (a, b),
        _ => return Err(mismatch("a comparison", &left, &right)),
    };
    if a == b {
        return Ok((left, right));
    }
    let (Some(x), Some(y)) = (scale(a), scale(b)) else {
        return Err(mismatch("a comparison", &left, &right));
    };
    level(left, x, right, y)
}
