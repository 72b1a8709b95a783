//! Constants of DataFusion as constants of a plan.

use super::build;
use super::numbers::{of_arrow, overflow};
use crate::plan::Expr;
use crate::types::NumberKind;
use datafusion_common::ScalarValue;
use trine_proto::status::SqlError;

/// A literal with its exact value as bounds.
pub(crate) fn compile(value: &ScalarValue) -> Result<Expr, SqlError> {
    if value.is_null() {
        let ty = of_arrow(&value.data_type()).ok_or_else(|| refuse(value))?;
        return Ok(build::null(ty));
    }
    match value {
        ScalarValue::Boolean(Some(v)) => Ok(build::boolean(*v)),
        ScalarValue::Int8(Some(v)) => build::number((*v).into(), NumberKind::SmallInt),
        ScalarValue::Int16(Some(v)) => build::number((*v).into(), NumberKind::SmallInt),
        ScalarValue::Int32(Some(v)) => build::number((*v).into(), NumberKind::Int),
        ScalarValue::Int64(Some(v)) => build::number((*v).into(), NumberKind::BigInt),
        ScalarValue::UInt8(Some(v)) => build::number((*v).into(), NumberKind::SmallInt),
        ScalarValue::UInt16(Some(v)) => build::number((*v).into(), NumberKind::Int),
        ScalarValue::UInt32(Some(v)) => build::number((*v).into(), NumberKind::BigInt),
        ScalarValue::UInt64(Some(v)) => build::number((*v).into(), NumberKind::BigInt),
        ScalarValue::Decimal128(Some(v), precision, scale) => {
            let scale = u8::try_from(*scale).map_err(|_| refuse(value))?;
            build::number(*v, NumberKind::Decimal { precision: *precision, scale })
        }
        ScalarValue::Date32(Some(days)) => build::number((*days).into(), NumberKind::Date),
        ScalarValue::TimestampSecond(Some(v), _) => moment(i128::from(*v) * 1_000_000),
        ScalarValue::TimestampMillisecond(Some(v), _) => moment(i128::from(*v) * 1000),
        ScalarValue::TimestampMicrosecond(Some(v), _) => moment(i128::from(*v)),
        ScalarValue::TimestampNanosecond(Some(v), _) => moment(i128::from(v.div_euclid(1000))),
        ScalarValue::Float64(Some(v)) => double(*v),
        ScalarValue::Float32(Some(v)) => double(f64::from(*v)),
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => Ok(build::text(text.as_bytes())),
        other => Err(refuse(other)),
    }
}

fn moment(micros: i128) -> Result<Expr, SqlError> {
    build::number(micros, NumberKind::Timestamp)
}

fn refuse(value: &ScalarValue) -> SqlError {
    SqlError::unsupported(
        format!("a constant of type {} is not supported", value.data_type()),
        "the types are BOOLEAN, integers, DECIMAL, DOUBLE, DATE, TIMESTAMP and text",
    )
}

/// A floating point number exactly: mantissa * 2^exponent with as few binary digits after the
/// point as it takes.
fn double(value: f64) -> Result<Expr, SqlError> {
    if !value.is_finite() {
        return Err(overflow());
    }
    let bits = value.to_bits();
    let exponent_bits = i32::try_from((bits >> 52) & 0x7ff).map_err(|_| overflow())?;
    let fraction = i128::from(bits & ((1 << 52) - 1));
    let (mut mantissa, mut exponent) = if exponent_bits == 0 {
        (fraction, -1074)
    } else {
        (fraction | (1 << 52), exponent_bits - 1075)
    };
    if mantissa == 0 {
        return build::number(0, NumberKind::Double { fraction_bits: 0 });
    }
    while mantissa % 2 == 0 && exponent < 0 {
        mantissa /= 2;
        exponent += 1;
    }
    if exponent > 0 {
        let shift = u32::try_from(exponent).map_err(|_| overflow())?;
        if shift > 72 {
            return Err(overflow());
        }
        mantissa <<= shift;
        exponent = 0;
    }
    let fraction_bits = exponent.unsigned_abs();
    let signed = if bits >> 63 == 1 { -mantissa } else { mantissa };
    build::number(signed, NumberKind::Double { fraction_bits })
}

/// A span of time, in PostgreSQL's three parts.
#[derive(Clone, Copy)]
pub(crate) struct Interval {
    pub(crate) months: i128,
    pub(crate) days: i128,
    /// Microseconds, less than a day.
    pub(crate) micros: i128,
}

/// The span that a constant is; none for what is no interval.
pub(crate) fn interval(value: &ScalarValue) -> Option<Interval> {
    const DAY_NANOSECONDS: i64 = 86_400_000_000_000;
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => Some(Interval {
            months: i128::from(v.months),
            days: i128::from(v.days) + i128::from(v.nanoseconds / DAY_NANOSECONDS),
            micros: i128::from((v.nanoseconds % DAY_NANOSECONDS) / 1000),
        }),
        ScalarValue::IntervalDayTime(Some(v)) => Some(Interval {
            months: 0,
            days: i128::from(v.days),
            micros: i128::from(v.milliseconds) * 1000,
        }),
        ScalarValue::IntervalYearMonth(Some(v)) => {
            Some(Interval { months: i128::from(*v), days: 0, micros: 0 })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ExprKind, Literal};
    use crate::types::Type;

    #[test]
    fn doubles_are_exact() {
        for (value, mantissa, bits) in [
            (0.0, 0, 0),
            (1.0, 1, 0),
            (-2.5, -5, 1),
            (4.0, 4, 0),
            (0.75, 3, 2),
            (1e18, 10_i128.pow(18), 0),
        ] {
            let expr = double(value).unwrap();
            assert_eq!(expr.kind, ExprKind::Literal(Literal::Number(mantissa)), "{value}");
            let Type::Number { kind, .. } = expr.ty else { panic!("{value}") };
            assert_eq!(kind, NumberKind::Double { fraction_bits: bits }, "{value}");
        }
        assert!(double(f64::NAN).is_err());
        assert!(double(1e300).is_err());
    }
}
