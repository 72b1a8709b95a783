//! CAST. What may not fit its new type is checked while the statement runs.

use super::Planner;
use super::build;
use super::numbers::{self, bounded, is_integer, overflow, scale, ten_to};
use super::scalar::Scope;
use super::timestamp;
use crate::expr::digits_of;
use crate::plan::{Compare, Expr, ExprKind, Rounding, TextFunction};
use crate::types::{NumberKind, Type};
use arrow::datatypes::DataType;
use datafusion_expr::Expr as Logical;
use trine_proto::status::SqlError;

impl Planner<'_> {
    pub(super) fn cast(
        &self,
        expr: &Logical,
        inner: &Logical,
        to: &DataType,
        scope: &Scope<'_>,
    ) -> Result<Expr, SqlError> {
        let value = self.scalar(inner, scope)?;
        if build::is_null_literal(&value) {
            return numbers::of_arrow(to)
                .map(build::null)
                .ok_or_else(|| self.cast_refusal(expr, &value, to));
        }
        let done = match (&value.ty, to) {
            (Type::Boolean, DataType::Boolean) => Some(Ok(value.clone())),
            (Type::Text { .. }, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                Some(Ok(value.clone()))
            }
            (Type::Boolean, ty) if ty.is_integer() => {
                let one = build::number(1, NumberKind::Int)?;
                let zero = build::number(0, NumberKind::Int)?;
                let branches = vec![(value.clone(), one.clone())];
                if value.nullable {
                    let branches =
                        branches.into_iter().chain([(build::not(value.clone()), zero)]).collect();
                    Some(build::case(branches, build::null(one.ty)))
                } else {
                    Some(build::case(branches, zero))
                }
            }
            (Type::Boolean, DataType::Utf8) => {
                let no = build::not(value.clone());
                let branches =
                    vec![(value.clone(), build::text(b"true")), (no, build::text(b"false"))];
                Some(build::case(branches, build::null(Type::Text { bytes: 5 })))
            }
            (Type::Number { kind, .. }, DataType::Utf8 | DataType::LargeUtf8)
                if matches!(scale(kind), Some((_, 0)))
                    && !matches!(kind, NumberKind::Double { .. }) =>
            {
                Some(Ok(shown(&value)))
            }
            (Type::Number { kind: NumberKind::Enum { .. }, .. }, DataType::Utf8) => {
                Some(Ok(value.clone()))
            }
            (Type::Number { kind: NumberKind::Date, .. }, DataType::Timestamp(..)) => {
                Some(timestamp::midnight(value.clone()))
            }
            (Type::Number { kind: NumberKind::Timestamp, .. }, DataType::Timestamp(..)) => {
                Some(Ok(value.clone()))
            }
            (Type::Number { kind: NumberKind::Timestamp, .. }, DataType::Date32) => {
                Some(timestamp::day(value.clone()))
            }
            (Type::Number { kind: NumberKind::Date, .. }, DataType::Date32) => {
                Some(Ok(value.clone()))
            }
            (Type::Number { kind, .. }, DataType::Boolean) if is_integer(kind) => {
                let zero = build::number(0, kind.clone())?;
                Some(build::compare(Compare::Ne, value.clone(), zero))
            }
            (Type::Number { kind, .. }, _) if scale(kind).is_some() => {
                rescale(&value, to).transpose()
            }
            _ => None,
        };
        match done {
            Some(built) => built.map_err(|e| self.put(e, inner)),
            None => self
                .by_dictionary(expr, scope)
                .unwrap_or_else(|| Err(self.cast_refusal(expr, &value, to))),
        }
    }

    fn cast_refusal(&self, expr: &Logical, value: &Expr, to: &DataType) -> SqlError {
        self.unsupported(
            expr,
            format!(
                "CAST from {} to {to} is not supported on secret values",
                numbers::sql_name(&value.ty)
            ),
            "casts between numbers that lose nothing are supported",
        )
    }
}

/// An integer or DECIMAL as the text that SQL shows.
fn shown(value: &Expr) -> Expr {
    let (low, high, places) = match &value.ty {
        Type::Number { low, high, kind } => (*low, *high, scale(kind).map_or(0, |s| s.0)),
        Type::Boolean | Type::Text { .. } => (0, 0, 0),
    };
    let most = low.unsigned_abs().max(high.unsigned_abs());
    let digits = digits_of(most, places as usize) + usize::from(low < 0) + usize::from(places > 0);
    let ty = Type::Text { bytes: u32::try_from(digits).unwrap_or(u32::MAX) };
    let function = TextFunction::Decimal { scale: places };
    let nullable = value.nullable;
    Expr { kind: ExprKind::Text { function, arguments: vec![value.clone()] }, ty, nullable }
}

/// An exact number as another number type: to the nearest where digits are lost, checked where it
/// may not fit; None for what is no number type.
fn rescale(value: &Expr, to: &DataType) -> Result<Option<Expr>, SqlError> {
    let Type::Number { kind, .. } = &value.ty else { return Ok(None) };
    let Some((tens, twos)) = scale(kind) else { return Ok(None) };
    let (target, places) = match to {
        DataType::Decimal128(precision, scale) => {
            let Ok(places) = u8::try_from(*scale) else { return Ok(None) };
            (NumberKind::Decimal { precision: *precision, scale: places }, u32::from(places))
        }
        DataType::Float64 | DataType::Float32 => return build::to_double(value.clone()).map(Some),
        DataType::Int8 | DataType::Int16 => (NumberKind::SmallInt, 0),
        DataType::Int32 => (NumberKind::Int, 0),
        DataType::Int64 => (NumberKind::BigInt, 0),
        DataType::UInt64 => (NumberKind::Decimal { precision: 20, scale: 0 }, 0),
        _ => return Ok(None),
    };
    let factor = ten_to(places.saturating_sub(tens)).ok_or_else(overflow)?;
    let divisor = ten_to(tens.saturating_sub(places))
        .and_then(|t| t.checked_mul(1_i128.checked_shl(twos)?))
        .ok_or_else(overflow)?;
    let same = value.clone();
    let scaled = if factor == 1 { same } else { build::times(same, factor, target.clone())? };
    let scaled = if divisor == 1 {
        scaled
    } else {
        // Halves of a DOUBLE go to the even neighbour, as PostgreSQL's do.
        let whole = twos > 0 && is_integer(&target);
        let rounding = if whole { Rounding::Even } else { Rounding::Nearest };
        build::by_constant(scaled, divisor, rounding, Some(target.clone()))?
    };
    match limits(&target, to) {
        Some((low, high)) => build::narrowed(scaled, target, low, high).map(Some),
        None => {
            let Type::Number { low, high, .. } = scaled.ty else { return Ok(None) };
            Ok(Some(build::retype(scaled, bounded(target, Some(low), Some(high))?)))
        }
    }
}

/// What a value of a type may be. A DECIMAL of the greatest precision takes all that a ring takes: it
/// comes from type coercion and says nothing of the data. Sums are BIGINT to type coercion whatever
/// their bounds; ours are exact and wider.
fn limits(kind: &NumberKind, to: &DataType) -> Option<(i128, i128)> {
    Some(match (kind, to) {
        (NumberKind::Decimal { precision, .. }, DataType::Decimal128(..))
            if *precision < numbers::PRECISION_MAX =>
        {
            let top = ten_to(u32::from(*precision))?;
            (1 - top, top - 1)
        }
        (_, DataType::Int8) => (i8::MIN.into(), i8::MAX.into()),
        (NumberKind::SmallInt, _) => (i16::MIN.into(), i16::MAX.into()),
        (NumberKind::Int, _) => (i32::MIN.into(), i32::MAX.into()),
        _ => return None,
    })
}
