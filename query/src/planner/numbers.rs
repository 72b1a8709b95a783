//! Kinds and bounds of numbers. Every bound is derived from public facts and holds for every row,
//! so that no ring can wrap; what leaves [`BOUND_MAX`] is refused.

pub(crate) use crate::output::sql_type as sql_name;

use crate::plan::Field;
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind, Type};
use arrow::datatypes::DataType;
use trine_proto::schema::{Column, ColumnType};
use trine_proto::status::{SqlError, sqlstate};

/// No number of a plan lies beyond ± this, so that a difference of two still fits 128 bits.
pub(crate) const BOUND_MAX: i128 = 1 << 126;
/// Digits of a DECIMAL at most.
pub(crate) const PRECISION_MAX: u8 = 38;

/// Whether a number is an exact one with a scale: (digits after the decimal point, binary digits
/// after the point). None for dates, times and enums.
pub(crate) const fn scale(kind: &NumberKind) -> Option<(u32, u32)> {
    match kind {
        NumberKind::SmallInt | NumberKind::Int | NumberKind::BigInt => Some((0, 0)),
        NumberKind::Decimal { scale, .. } => Some((*scale as u32, 0)),
        NumberKind::Double { fraction_bits } => Some((0, *fraction_bits)),
        NumberKind::Date | NumberKind::Timestamp | NumberKind::Enum { .. } => None,
    }
}

/// Whether it is SMALLINT, INT or BIGINT.
pub(crate) const fn is_integer(kind: &NumberKind) -> bool {
    matches!(kind, NumberKind::SmallInt | NumberKind::Int | NumberKind::BigInt)
}

/// Error of arithmetic whose public bounds leave every ring.
pub(crate) fn overflow() -> SqlError {
    SqlError::new(
        sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
        "the computation could overflow: the public bounds of its operands leave 127 bits",
    )
    .hint("declare a RANGE on the columns, or a DECIMAL with fewer digits")
}

/// A number type, or a refusal beyond [`BOUND_MAX`].
pub(crate) fn bounded(
    kind: NumberKind,
    low: Option<i128>,
    high: Option<i128>,
) -> Result<Type, SqlError> {
    match (low, high) {
        (Some(low), Some(high)) if low >= -BOUND_MAX && high <= BOUND_MAX => {
            Ok(Type::Number { kind: promote(kind, low, high), low, high })
        }
        _ => Err(overflow()),
    }
}

/// An integer kind that holds the bounds.
fn promote(kind: NumberKind, low: i128, high: i128) -> NumberKind {
    let holds = |l: i64, h: i64| low >= i128::from(l) && high <= i128::from(h);
    let fits = match kind {
        NumberKind::SmallInt => holds(i16::MIN.into(), i16::MAX.into()),
        NumberKind::Int => holds(i32::MIN.into(), i32::MAX.into()),
        NumberKind::BigInt => holds(i64::MIN, i64::MAX),
        _ => return kind,
    };
    match kind {
        kind if fits => kind,
        NumberKind::SmallInt => promote(NumberKind::Int, low, high),
        NumberKind::Int => promote(NumberKind::BigInt, low, high),
        _ => NumberKind::Decimal { precision: PRECISION_MAX, scale: 0 },
    }
}

const fn integer_rank(kind: &NumberKind) -> Option<u8> {
    match kind {
        NumberKind::SmallInt => Some(0),
        NumberKind::Int => Some(1),
        NumberKind::BigInt => Some(2),
        _ => None,
    }
}

/// The kind of values of either kind, both of equal scale; None where they do not mix.
pub(crate) fn common_kind(a: &NumberKind, b: &NumberKind) -> Option<NumberKind> {
    if a == b {
        return Some(a.clone());
    }
    if let (Some(x), Some(y)) = (integer_rank(a), integer_rank(b)) {
        return Some(if x >= y { a.clone() } else { b.clone() });
    }
    match (a, b) {
        (
            NumberKind::Decimal { precision: p, scale: s },
            NumberKind::Decimal { precision: q, scale: t },
        ) if s == t => Some(NumberKind::Decimal { precision: *p.max(q), scale: *s }),
        (NumberKind::Decimal { precision, scale: 0 }, other)
        | (other, NumberKind::Decimal { precision, scale: 0 })
            if is_integer(other) =>
        {
            Some(NumberKind::Decimal { precision: (*precision).max(19), scale: 0 })
        }
        (NumberKind::Double { fraction_bits: 0 }, other)
        | (other, NumberKind::Double { fraction_bits: 0 })
            if scale(other) == Some((0, 0)) =>
        {
            Some(NumberKind::Double { fraction_bits: 0 })
        }
        _ => None,
    }
}

/// 10^n, if it fits.
pub(crate) fn ten_to(n: u32) -> Option<i128> {
    10_i128.checked_pow(n)
}

/// Type of a stored column.
pub(crate) fn of_column(column: &Column) -> Type {
    let (low, high) = column.limits().unwrap_or((0, 0));
    let number = |kind| Type::Number { kind, low: i128::from(low), high: i128::from(high) };
    match &column.ty {
        ColumnType::Boolean => Type::Boolean,
        ColumnType::SmallInt => number(NumberKind::SmallInt),
        ColumnType::Int => number(NumberKind::Int),
        ColumnType::BigInt => number(NumberKind::BigInt),
        ColumnType::Decimal { precision, scale } => {
            number(NumberKind::Decimal { precision: *precision, scale: *scale })
        }
        ColumnType::Double { fraction_bits } => {
            number(NumberKind::Double { fraction_bits: u32::from(*fraction_bits) })
        }
        ColumnType::Date => number(NumberKind::Date),
        ColumnType::Timestamp => number(NumberKind::Timestamp),
        ColumnType::Varchar { bytes_max } => Type::Text { bytes: *bytes_max },
        ColumnType::Enum { labels } => number(NumberKind::Enum { labels: labels.clone() }),
    }
}

/// Type of a column without values (a NULL, an empty relation): narrowest bounds.
pub(crate) fn of_arrow(ty: &DataType) -> Option<Type> {
    let number = |kind| Type::Number { kind, low: 0, high: 0 };
    Some(match ty {
        DataType::Boolean => Type::Boolean,
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Type::Text { bytes: 1 }
        }
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => number(NumberKind::SmallInt),
        DataType::UInt16 | DataType::Int32 => number(NumberKind::Int),
        DataType::UInt32 | DataType::Int64 => number(NumberKind::BigInt),
        DataType::UInt64 => number(NumberKind::Decimal { precision: 20, scale: 0 }),
        DataType::Decimal128(precision, scale) => {
            number(NumberKind::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? })
        }
        DataType::Date32 => number(NumberKind::Date),
        DataType::Timestamp(..) => number(NumberKind::Timestamp),
        DataType::Float64 | DataType::Float32 => {
            number(NumberKind::Double { fraction_bits: DOUBLE_FRACTION_BITS })
        }
        _ => return None,
    })
}

/// Whether a type is what DataFusion calls `arrow`, up to width: a check of the planner on itself.
pub(crate) fn agrees(field: &Field, arrow: &DataType) -> bool {
    match (&field.ty, arrow) {
        (_, DataType::Null) => true,
        (Type::Boolean, DataType::Boolean)
        | (Type::Text { .. }, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => true,
        (Type::Number { kind, .. }, _) => match (kind, arrow) {
            (NumberKind::Enum { .. }, DataType::Utf8 | DataType::LargeUtf8) => true,
            (NumberKind::Date, DataType::Date32)
            | (NumberKind::Timestamp, DataType::Timestamp(..)) => true,
            (NumberKind::Double { .. }, DataType::Float64 | DataType::Float32) => true,
            (NumberKind::Decimal { scale: 0, .. }, ty) if ty.is_integer() => true,
            (NumberKind::Decimal { scale, .. }, DataType::Decimal128(_, s)) => {
                i16::from(*s) == i16::from(*scale)
            }
            (kind, ty) => is_integer(kind) && ty.is_integer(),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_promoted_by_their_bounds() {
        let kind = |low, high| match bounded(NumberKind::SmallInt, Some(low), Some(high)) {
            Ok(Type::Number { kind, .. }) => kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(-32_768, 32_767), NumberKind::SmallInt);
        assert_eq!(kind(0, 32_768), NumberKind::Int);
        assert_eq!(kind(0, 1 << 31), NumberKind::BigInt);
        assert_eq!(kind(0, 1 << 63), NumberKind::Decimal { precision: 38, scale: 0 });
    }

    #[test]
    fn nothing_passes_the_widest_ring() {
        assert!(bounded(NumberKind::Int, Some(-BOUND_MAX), Some(BOUND_MAX)).is_ok());
        assert!(bounded(NumberKind::Int, Some(0), Some(BOUND_MAX + 1)).is_err());
        assert!(bounded(NumberKind::Int, None, Some(0)).is_err());
    }
}
