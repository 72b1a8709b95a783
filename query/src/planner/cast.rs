//! CAST between numbers, where nothing can be lost.

use super::Planner;
use super::build;
use super::numbers::{self, bounded, is_integer, overflow, scale, ten_to};
use super::scalar::Scope;
use crate::plan::{Compare, Expr};
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind, Type};
use arrow::datatypes::DataType;
use datafusion_expr::Expr as Logical;
use trine_proto::status::{SqlError, sqlstate};

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
            (Type::Number { kind: NumberKind::Enum { .. }, .. }, DataType::Utf8) => {
                Some(Ok(value.clone()))
            }
            (Type::Number { kind: NumberKind::Date, .. }, DataType::Date32) => {
                Some(Ok(value.clone()))
            }
            // Between DOUBLE and DECIMAL nothing is rounded: comparisons match the scales, and a
            // result column of the wrong kind is refused.
            (Type::Number { kind: NumberKind::Double { .. }, .. }, DataType::Decimal128(..))
            | (Type::Number { kind: NumberKind::Decimal { .. }, .. }, DataType::Float64) => {
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

/// An exact number as another number type; None where digits would be lost.
fn rescale(value: &Expr, to: &DataType) -> Result<Option<Expr>, SqlError> {
    let Type::Number { kind, low, high } = &value.ty else { return Ok(None) };
    let Some((tens, twos)) = scale(kind) else { return Ok(None) };
    let (target, places) = match to {
        DataType::Decimal128(precision, scale) => {
            let Ok(places) = u8::try_from(*scale) else { return Ok(None) };
            (NumberKind::Decimal { precision: *precision, scale: places }, u32::from(places))
        }
        DataType::Float64 if tens == 0 => {
            let more = DOUBLE_FRACTION_BITS.saturating_sub(twos);
            let target = NumberKind::Double { fraction_bits: twos + more };
            return build::times(value.clone(), 1 << more, target).map(Some);
        }
        DataType::Int8 | DataType::Int16 => (NumberKind::SmallInt, 0),
        DataType::Int32 => (NumberKind::Int, 0),
        DataType::Int64 => (NumberKind::BigInt, 0),
        DataType::UInt64 => (NumberKind::Decimal { precision: 20, scale: 0 }, 0),
        _ => return Ok(None),
    };
    if twos > 0 || places < tens {
        return Ok(None);
    }
    let factor = ten_to(places - tens).ok_or_else(overflow)?;
    let (low, high) = (low.checked_mul(factor), high.checked_mul(factor));
    if !fits(&target, low, high, to) {
        return Err(SqlError::new(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("the cast to {to} could overflow: the public bounds of its operand are wider"),
        )
        .hint("declare a RANGE on the column, or cast to a wider type"));
    }
    if factor == 1 {
        return Ok(Some(build::retype(value.clone(), bounded(target, low, high)?)));
    }
    build::times(value.clone(), factor, target).map(Some)
}

/// Whether bounds lie within a type. A DECIMAL of the greatest precision takes all that a ring
/// takes: it comes from type coercion and says nothing of the data.
fn fits(kind: &NumberKind, low: Option<i128>, high: Option<i128>, to: &DataType) -> bool {
    let (Some(low), Some(high)) = (low, high) else { return false };
    let within = |l: i128, h: i128| low >= l && high <= h;
    match (kind, to) {
        (NumberKind::Decimal { precision, .. }, DataType::Decimal128(..)) => {
            *precision >= numbers::PRECISION_MAX
                || ten_to(u32::from(*precision)).is_some_and(|t| within(1 - t, t - 1))
        }
        (_, DataType::Int8) => within(i8::MIN.into(), i8::MAX.into()),
        (NumberKind::SmallInt, _) => within(i16::MIN.into(), i16::MAX.into()),
        (NumberKind::Int, _) => within(i32::MIN.into(), i32::MAX.into()),
        // Sums are BIGINT to DataFusion whatever their bounds; ours are exact and wider.
        _ => true,
    }
}
