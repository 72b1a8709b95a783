//! Types of aggregates, with bounds from the argument's bounds and the public number of rows.

use crate::plan::{Expr, Function};
use crate::planner::build;
use crate::planner::numbers::{self, BOUND_MAX, PRECISION_MAX, bounded, overflow, ten_to};
use crate::planner::scalar::defect;
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind, Type};
use trine_proto::status::{SqlError, sqlstate};

/// Digits that AVG adds to the scale of a DECIMAL.
const AVG_DIGITS: u8 = 4;

/// Type with bounds of an aggregate over at most `rows` rows.
pub(super) fn result_type(
    function: Function,
    argument: Option<&Expr>,
    rows: u64,
) -> Result<Type, SqlError> {
    let rows = i128::from(rows);
    let wrong = |name: &str, ty: &Type| {
        SqlError::new(
            sqlstate::DATATYPE_MISMATCH,
            format!("{name} of {} does not exist", numbers::sql_name(ty)),
        )
        .hint("give it a number")
    };
    match (function, argument) {
        (Function::CountStar | Function::Count, _) => {
            bounded(NumberKind::BigInt, Some(0), Some(rows))
        }
        (Function::Min | Function::Max, Some(value)) => Ok(value.ty.clone()),
        (Function::BoolAnd | Function::BoolOr, Some(value)) => match value.ty {
            Type::Boolean => Ok(Type::Boolean),
            _ => Err(wrong("BOOL_AND", &value.ty)),
        },
        (Function::Sum, Some(value)) => {
            let Type::Number { kind, low, high } = &value.ty else {
                return Err(wrong("SUM", &value.ty));
            };
            if numbers::scale(kind).is_none() {
                return Err(wrong("SUM", &value.ty));
            }
            let (low, high) = total(*low, *high, rows);
            let kind = match kind {
                NumberKind::Decimal { precision, scale } => NumberKind::Decimal {
                    precision: precision.saturating_add(10).min(PRECISION_MAX),
                    scale: *scale,
                },
                kind if numbers::is_integer(kind) => NumberKind::BigInt,
                other => other.clone(),
            };
            bounded(kind, low, high)
        }
        (Function::Avg, Some(value)) => average(value, rows),
        (_, None) => Err(defect("an aggregate without its argument".into())),
    }
}

/// The argument of SUM or AVG with room for the sum of `rows` of them: values beyond it are an error
/// for the client.
pub(super) fn summable(function: Function, value: Expr, rows: u64) -> Result<Expr, SqlError> {
    let rows = i128::from(rows).max(1);
    let factor = match (function, &value.ty) {
        (Function::Sum, Type::Number { kind, .. }) if numbers::scale(kind).is_some() => rows,
        (Function::Avg, Type::Number { kind, .. }) => {
            let more = match kind {
                NumberKind::Decimal { .. } => ten_to(u32::from(AVG_DIGITS)),
                kind => {
                    let own = numbers::scale(kind).map_or(0, |s| s.1);
                    Some(1 << DOUBLE_FRACTION_BITS.saturating_sub(own))
                }
            };
            more.and_then(|more| rows.checked_mul(more)).ok_or_else(overflow)?
        }
        _ => return Ok(value),
    };
    build::roomy(value, factor)
}

/// Bounds of a sum of 0 to `rows` numbers.
fn total(low: i128, high: i128, rows: i128) -> (Option<i128>, Option<i128>) {
    (low.min(0).checked_mul(rows), high.max(0).checked_mul(rows))
}

/// The quotient has the argument's bounds under a finer scale; the dividend must fit as well.
fn average(value: &Expr, rows: i128) -> Result<Type, SqlError> {
    let Type::Number { kind, low, high } = &value.ty else {
        return Err(defect("AVG of no number".into()));
    };
    let (factor, result) = match kind {
        NumberKind::Decimal { precision, scale } => {
            let scale = scale
                .checked_add(AVG_DIGITS)
                .filter(|s| *s <= PRECISION_MAX)
                .ok_or_else(overflow)?;
            let precision = precision.saturating_add(AVG_DIGITS).min(PRECISION_MAX);
            (
                ten_to(u32::from(AVG_DIGITS)).ok_or_else(overflow)?,
                NumberKind::Decimal { precision, scale },
            )
        }
        kind => {
            let own = numbers::scale(kind).map_or(0, |s| s.1);
            let fraction_bits = own.max(DOUBLE_FRACTION_BITS);
            (1_i128 << (fraction_bits - own), NumberKind::Double { fraction_bits })
        }
    };
    let (sum_low, sum_high) = total(*low, *high, rows);
    for bound in [sum_low, sum_high] {
        let fits = bound
            .and_then(|b| b.checked_mul(factor))
            .is_some_and(|b| (-BOUND_MAX..=BOUND_MAX).contains(&b));
        if !fits {
            return Err(overflow());
        }
    }
    bounded(result, low.checked_mul(factor), high.checked_mul(factor))
}
