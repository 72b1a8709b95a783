//! A public step function of a secret number: one comparison a step, all at once, the rest is local.

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::case::spread;
use crate::expr::eval;
use crate::plan::{Expr, Literal};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// values[0] ^ XOR over steps: (x >= threshold) & (value after ^ value before). One comparison with
/// a constant a step, in the rounds of one.
pub(super) fn steps(
    argument: &Expr,
    thresholds: &[i128],
    values: &[Literal],
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    let mut column = eval(argument, relation, s, Want::PLANES)?;
    let Some((low, high)) = bits::bounds(&column.ty) else {
        return Err(QueryError::bug("steps over a text"));
    };
    // The value, then the NULL bit on top.
    let rows = values
        .iter()
        .map(|value| {
            let mut row = bits::literal_bits(value, ty)?;
            row.push(matches!(value, Literal::Null));
            Ok(row)
        })
        .collect::<Result<Vec<_>>>()?;
    let below = thresholds.iter().filter(|t| **t <= low).count();
    let inside: Vec<i128> = thresholds.iter().copied().filter(|t| *t > low && *t <= high).collect();
    let Some(first) = rows.get(below) else {
        return Err(QueryError::bug("a step without a value"));
    };
    let mut out = bits::constant(s, column.rows, first);
    let planes = column.planes(s)?.clone();
    let reached = at_least(&planes, &inside.iter().map(|t| t - low).collect::<Vec<_>>(), s)?;
    for (index, hit) in reached.iter().enumerate() {
        let (Some(before), Some(after)) = (rows.get(below + index), rows.get(below + index + 1))
        else {
            return Err(QueryError::bug("a step without a value"));
        };
        let change: Vec<bool> = before.iter().zip(after).map(|(a, b)| a ^ b).collect();
        out = out.xor(&spread(s, hit, &change));
    }
    let width = ty.bits();
    let nullable = rows.iter().any(|row| row.last() == Some(&true));
    let own = nullable.then(|| out.bits(width..width + 1));
    let null = bits::or_optional(s, own.as_ref(), column.null.as_ref())?;
    Ok(Column::from_planes(ty.clone(), out.bits(0..width), null))
}

/// For each public number whether the planes hold it or more.
fn at_least(planes: &Planes, numbers: &[i128], s: &mut Session) -> Result<Vec<Planes>> {
    let (rows, width) = (planes.len(), planes.width());
    if let [number] = numbers {
        let bits = bits::number_bits(number.unsigned_abs(), width);
        return Ok(vec![protocol::less_than_constant(s, planes, &bits)?.not(s.party())]);
    }
    let mut all: Option<(Planes, Planes)> = None;
    for number in numbers {
        let constant = bits::constant(s, rows, &bits::number_bits(number.unsigned_abs(), width));
        all = Some(match all {
            None => (planes.clone(), constant),
            Some((x, y)) => (x.concat(planes), y.concat(&constant)),
        });
    }
    let Some((x, y)) = all else { return Ok(Vec::new()) };
    let reached = protocol::less_than(s, &x, &y)?.not(s.party());
    Ok((0..numbers.len()).map(|i| reached.slice(i * rows..(i + 1) * rows)).collect())
}
