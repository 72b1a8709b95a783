//! Functions of numbers and dates.

use super::build::{self, Arithmetic};
use super::literals;
use super::numbers::{overflow, scale};
use super::scalar::Scope;
use super::{Planner, date, timestamp};
use crate::plan::{Compare, Expr, Failure, Literal, Rounding};
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind, Type};
use datafusion_common::ScalarValue;
use datafusion_expr::Expr as Logical;
use trine_proto::status::SqlError;

type Built = Result<Expr, SqlError>;

/// Exponents of power() up to this are products.
const EXPONENT_MAX: i128 = 16;

impl Planner<'_> {
    /// A function of numbers or dates; none if it is none of those that are computed.
    pub(super) fn math(&self, name: &str, args: &[Logical], scope: &Scope<'_>) -> Option<Built> {
        let built = match (name, args) {
            ("abs", [x]) => self.scalar(x, scope).and_then(build::absolute),
            ("signum", [x]) => self.exact(x, scope).and_then(sign),
            ("round" | "trunc", [x]) => self.rounded(name, x, 0, scope),
            ("round" | "trunc", [x, places]) => match integer(places) {
                Some(Some(places)) => match i32::try_from(places) {
                    Ok(places) if places.abs() <= 38 => self.rounded(name, x, places, scope),
                    _ => Err(overflow()),
                },
                Some(None) => self.scalar(x, scope).map(|x| build::null(x.ty)),
                None => return None,
            },
            ("floor" | "ceil", [x]) => self.whole(name, x, scope),
            ("power", [x, exponent]) => match integer(exponent) {
                Some(Some(exponent)) if (0..=EXPONENT_MAX).contains(&exponent) => {
                    self.exact(x, scope).and_then(|x| power(x, exponent))
                }
                _ => return None,
            },
            ("sqrt", [x]) => self.exact(x, scope).and_then(square_root),
            ("date_trunc", [unit, value]) => {
                let unit = text(unit)?.to_lowercase();
                let value = match self.scalar(value, scope) {
                    Ok(value) if build::is_null_literal(&value) => return Some(Ok(value)),
                    Ok(value) if timestamp::is_timestamp(&value) => value,
                    Ok(_) => return None,
                    Err(error) => return Some(Err(error)),
                };
                return timestamp::truncated(&unit, value);
            }
            ("date_part", [part, value]) => return self.date_part(part, value, scope),
            _ => return None,
        };
        let place = args.first()?;
        Some(built.map_err(|e| self.put(e, place)))
    }

    fn rounded(&self, name: &str, x: &Logical, places: i32, scope: &Scope<'_>) -> Built {
        let rounding = if name == "round" { Rounding::Nearest } else { Rounding::Truncate };
        let is_double = is_double_cast(x);
        let value = self.exact(x, scope)?;
        let digits = scale_of(&value).0;
        let done = build::rounded(value, places, rounding)?;
        // trunc() keeps the scale of a DECIMAL.
        let done = if name == "trunc" { restored(done, digits)? } else { done };
        if is_double { build::to_double(done) } else { Ok(done) }
    }

    fn whole(&self, name: &str, x: &Logical, scope: &Scope<'_>) -> Built {
        let rounding = if name == "floor" { Rounding::Floor } else { Rounding::Ceil };
        let is_double = is_double_cast(x);
        let value = self.exact(x, scope)?;
        let digits = scale_of(&value).0;
        let done = restored(build::rounded(value, 0, rounding)?, digits)?;
        if is_double { build::to_double(done) } else { Ok(done) }
    }

    fn date_part(&self, part: &Logical, value: &Logical, scope: &Scope<'_>) -> Option<Built> {
        let name = text(part)?.to_lowercase();
        let value = match self.scalar(value, scope) {
            Ok(value) => value,
            Err(error) => return Some(Err(error)),
        };
        if build::is_null_literal(&value) {
            return Some(Ok(build::null(Type::Number { kind: NumberKind::Int, low: 0, high: 0 })));
        }
        if timestamp::is_timestamp(&value) {
            return timestamp::part(&name, value);
        }
        let is_date = matches!(value.ty, Type::Number { kind: NumberKind::Date, .. });
        if !is_date {
            return None;
        }
        let built = date::part(&name, value)?;
        Some(if name == "epoch" { built.and_then(build::to_double) } else { built })
    }
}

fn scale_of(expr: &Expr) -> (u32, u32) {
    match &expr.ty {
        Type::Number { kind, .. } => scale(kind).unwrap_or((0, 0)),
        _ => (0, 0),
    }
}

/// A whole DECIMAL under the scale that it had.
fn restored(expr: Expr, digits: u32) -> Built {
    let own = scale_of(&expr);
    if own.0 >= digits { Ok(expr) } else { build::raised_to(expr, digits) }
}

/// Type coercion asks for DOUBLE; the exact number below is computed with and becomes a DOUBLE.
fn is_double_cast(expr: &Logical) -> bool {
    use arrow::datatypes::DataType;
    matches!(expr, Logical::Cast(cast) if matches!(cast.field.data_type(), DataType::Float64))
}

/// The whole number that a literal is: none for no literal, Some(None) for NULL.
pub(super) fn integer(expr: &Logical) -> Option<Option<i128>> {
    let expr = match expr {
        Logical::Cast(cast) => &cast.expr,
        other => other,
    };
    let Logical::Literal(value, _) = expr else { return None };
    if value.is_null() {
        return Some(None);
    }
    let built = literals::compile(value).ok()?;
    let (tens, twos) = scale_of(&built);
    let Some(Literal::Number(v)) = build::literal(&built) else { return None };
    let unit = 10_i128.checked_pow(tens)?.checked_mul(1_i128.checked_shl(twos)?)?;
    (v % unit == 0).then_some(Some(v / unit))
}

/// The text that a literal is.
pub(super) fn text(expr: &Logical) -> Option<&str> {
    match expr {
        Logical::Literal(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)),
            _,
        ) => Some(text),
        _ => None,
    }
}

/// -1, 0 or 1 as a DOUBLE.
fn sign(value: Expr) -> Built {
    let Type::Number { kind, low, high } = &value.ty else {
        return build::negate(value);
    };
    if scale(kind).is_none() {
        return build::negate(value);
    }
    let ty = Type::Number {
        kind: NumberKind::Double { fraction_bits: 0 },
        low: low.signum(),
        high: high.signum(),
    };
    if build::is_null_literal(&value) {
        return Ok(build::null(ty));
    }
    let values = [-1, 0, 1].map(Literal::Number);
    Ok(build::steps(value, &[0, 1], &values, ty))
}

/// The square root as a DOUBLE; fails below 0.
fn square_root(value: Expr) -> Built {
    if build::is_null_literal(&value) {
        return Ok(build::null(value.ty));
    }
    build::bind(vec![build::to_double(value)?], |values| {
        let [x] = values else { return Err(overflow()) };
        let own = scale_of(x).1;
        let root = build::root(x.clone(), (2 * DOUBLE_FRACTION_BITS).saturating_sub(own))?;
        let zero = build::number(0, NumberKind::Double { fraction_bits: own })?;
        let negative = build::compare(Compare::Lt, x.clone(), zero)?;
        if matches!(x.ty, Type::Number { low, .. } if low >= 0) {
            return Ok(root);
        }
        Ok(build::checked(root, negative, Failure::InvalidArgument))
    })
}

/// x multiplied by itself, as a DOUBLE.
fn power(value: Expr, exponent: i128) -> Built {
    if exponent == 0 {
        let one = build::number(1, NumberKind::Double { fraction_bits: 0 })?;
        let present = build::not(build::is_null(value));
        let nothing = build::null(one.ty.clone());
        return build::case(vec![(present, one)], nothing);
    }
    let product = build::bind(vec![value], |values| {
        let [x] = values else { return Err(overflow()) };
        let mut product = x.clone();
        for _ in 1..exponent {
            product = build::arithmetic(Arithmetic::Multiply, product, x.clone())?;
        }
        Ok(product)
    })?;
    build::to_double(product)
}
