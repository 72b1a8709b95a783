//! Aggregates over plain rows.

use super::Beyond;
use super::expr::{Cells, eval, is_true, quotient};
use crate::plan::{Aggregate, Function, Literal, Rounding};
use crate::types::{NumberKind, Type};

/// One aggregate over the rows of a group; `cells` gives the columns of each.
pub(super) fn total<'v>(
    aggregate: &Aggregate,
    rows: &[usize],
    cells: &dyn Fn(usize, usize) -> Option<&'v Literal>,
) -> Result<Literal, Beyond> {
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        let row: Cells<'_, 'v> = &|column| cells(*row, column);
        let counts = match &aggregate.filter {
            Some(filter) => is_true(filter, row)?,
            None => true,
        };
        if counts {
            values.push(match &aggregate.argument {
                Some(argument) => eval(argument, row)?,
                None => Literal::Boolean(true),
            });
        }
    }
    values.retain(|v| *v != Literal::Null);
    if aggregate.distinct {
        values.sort();
        values.dedup();
    }
    let count = i128::try_from(values.len()).map_err(|_| Beyond)?;
    match aggregate.function {
        Function::CountStar | Function::Count => Ok(Literal::Number(count)),
        _ if values.is_empty() => Ok(Literal::Null),
        Function::Sum => sum(&values).map(Literal::Number),
        Function::Avg => average(aggregate, sum(&values)?, count),
        Function::Min => values.into_iter().min().ok_or(Beyond),
        Function::Max => values.into_iter().max().ok_or(Beyond),
        Function::BoolAnd => Ok(Literal::Boolean(!values.contains(&Literal::Boolean(false)))),
        Function::BoolOr => Ok(Literal::Boolean(values.contains(&Literal::Boolean(true)))),
    }
}

fn sum(values: &[Literal]) -> Result<i128, Beyond> {
    values.iter().try_fold(0_i128, |sum, value| match value {
        Literal::Number(v) => sum.checked_add(*v).ok_or(Beyond),
        _ => Err(Beyond),
    })
}

/// Decimals gain digits and are rounded to the nearest; integers become fixed point, cut off.
fn average(aggregate: &Aggregate, sum: i128, count: i128) -> Result<Literal, Beyond> {
    let argument = aggregate.argument.as_ref().ok_or(Beyond)?;
    let (factor, bits, rounding) = match (&argument.ty, &aggregate.ty) {
        (
            Type::Number { kind: NumberKind::Decimal { scale: from, .. }, .. },
            Type::Number { kind: NumberKind::Decimal { scale: to, .. }, .. },
        ) => {
            let digits = u32::from(to.saturating_sub(*from));
            (10_i128.checked_pow(digits).ok_or(Beyond)?, 0, Rounding::Nearest)
        }
        (_, Type::Number { kind: NumberKind::Double { fraction_bits }, .. }) => {
            (1, *fraction_bits, Rounding::Truncate)
        }
        _ => return Err(Beyond),
    };
    let raised = sum.checked_mul(factor).ok_or(Beyond)?;
    quotient(raised, count, bits, rounding).map(Literal::Number).ok_or(Beyond)
}
