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
        ScalarValue::Float64(Some(v)) => double(*v),
        ScalarValue::Float32(Some(v)) => double(f64::from(*v)),
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => Ok(build::text(text.as_bytes())),
        other => Err(refuse(other)),
    }
}

fn refuse(value: &ScalarValue) -> SqlError {
    SqlError::unsupported(
        format!("a constant of type {} is not supported", value.data_type()),
        "the types are BOOLEAN, integers, DECIMAL, DATE and text",
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

/// (months, days) of an interval; none for what is no interval; the inner None for one with a part of
/// a day.
pub(crate) fn interval(value: &ScalarValue) -> Option<Option<(i128, i128)>> {
    const DAY_NANOSECONDS: i64 = 86_400_000_000_000;
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => {
            let whole = v.nanoseconds % DAY_NANOSECONDS == 0;
            let days = i128::from(v.days) + i128::from(v.nanoseconds / DAY_NANOSECONDS);
            Some(whole.then_some((i128::from(v.months), days)))
        }
        ScalarValue::IntervalDayTime(Some(v)) => {
            Some((v.milliseconds == 0).then_some((0, i128::from(v.days))))
        }
        ScalarValue::IntervalYearMonth(Some(v)) => Some(Some((i128::from(*v), 0))),
        _ => None,
    }
}

/// The prefix of a pattern `prefix%` without other wildcards.
pub(crate) fn like_prefix(pattern: &ScalarValue, escape: Option<char>) -> Option<Vec<u8>> {
    let (ScalarValue::Utf8(Some(text))
    | ScalarValue::LargeUtf8(Some(text))
    | ScalarValue::Utf8View(Some(text))) = pattern
    else {
        return None;
    };
    let escape = escape.unwrap_or('\\');
    let prefix = text.strip_suffix('%')?;
    let plain = !prefix.is_empty() && !prefix.contains(['%', '_', escape]);
    plain.then(|| prefix.as_bytes().to_vec())
}

/// The least byte string above all with this prefix.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if let Some(above) = last.checked_add(1) {
            next.push(above);
            return Some(next);
        }
    }
    None
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

    #[test]
    fn prefixes_have_a_successor() {
        assert_eq!(successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(successor(&[b'a', 0xff]), Some(b"b".to_vec()));
        assert_eq!(successor(&[0xff]), None);
        let like = |p: &str| like_prefix(&ScalarValue::Utf8(Some(p.into())), None);
        assert_eq!(like("ab%"), Some(b"ab".to_vec()));
        assert_eq!(like("a_b%"), None);
        assert_eq!(like("%"), None);
        assert_eq!(like("ab"), None);
    }
}
