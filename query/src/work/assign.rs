//! A value into a column of a table: what cannot fit by its type is refused at planning, what may not
//! fit by its value sets a bit that refuses the statement. Digits that a column does not keep are
//! rounded, as in PostgreSQL.

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::plan::{Field, Literal, Operator, Plan};
use crate::planner::build;
use crate::planner::numbers::{scale, sql_name};
use crate::types::Type;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::{self, TableSchema};
use trine_proto::status::{SqlError, sqlstate};

/// Values in the boolean encoding of a stored column.
pub(super) struct Assigned {
    /// As many planes as the column has bits.
    pub(super) planes: Planes,
    /// 1 = NULL; none: never.
    pub(super) null: Option<Planes>,
}

/// The plan with its columns in kinds that go into the columns at these positions: numbers get the
/// scale of their column.
pub(super) fn fitted(
    plan: Plan,
    schema: &TableSchema,
    targets: &[usize],
) -> std::result::Result<Plan, SqlError> {
    let mut exprs = Vec::with_capacity(targets.len());
    let mut changed = false;
    for (index, (field, target)) in plan.fields.iter().zip(targets).enumerate() {
        let column = schema
            .columns
            .get(*target)
            .ok_or_else(|| mismatch(field, "a column that is not there"))?;
        let wanted = Type::of_column(column);
        let expr = build::column(index, field);
        exprs.push(match (&field.ty, &wanted) {
            (Type::Number { kind: from, .. }, Type::Number { kind: to, .. }) if from != to => {
                let (Some(own), Some(due)) = (scale(from), scale(to)) else {
                    return Err(mismatch(field, &column.name));
                };
                changed |= own != due;
                if own == due { expr } else { build::rescaled(expr, own, due, to)? }
            }
            (Type::Number { .. }, Type::Number { .. })
            | (Type::Text { .. }, Type::Text { .. })
            | (Type::Boolean, Type::Boolean) => expr,
            _ if is_null(&plan, index) => expr,
            _ => return Err(mismatch(field, &column.name)),
        });
    }
    if !changed {
        return Ok(plan);
    }
    let fields = plan
        .fields
        .iter()
        .zip(&exprs)
        .map(|(f, e)| Field { name: f.name.clone(), ty: e.ty.clone(), nullable: e.nullable })
        .collect();
    let rows = plan.rows;
    Ok(Plan { op: Operator::Project { input: Box::new(plan), exprs }, fields, rows })
}

fn mismatch(field: &Field, column: &str) -> SqlError {
    SqlError::new(
        sqlstate::DATATYPE_MISMATCH,
        format!("a value of type {} does not go into column \"{column}\"", sql_name(&field.ty)),
    )
    .hint("CAST the value to the type of the column")
}

/// Whether a column of a plan is NULL in every row.
fn is_null(plan: &Plan, index: usize) -> bool {
    match &plan.op {
        Operator::Project { exprs, .. } => exprs.get(index).is_some_and(build::is_null_literal),
        Operator::Values(rows) => rows.iter().all(|r| r.get(index) == Some(&Literal::Null)),
        _ => false,
    }
}

/// In the encoding of the column, and where the value does not fit; none: it always does. One
/// comparison with a constant for each bound that may be left, one adder for another bound.
pub(super) fn assign(
    mut value: Column,
    target: &schema::Column,
    s: &mut Session,
) -> Result<(Assigned, Option<Planes>)> {
    let wanted = Type::of_column(target);
    let rows = value.rows;
    if matches!(value.as_literal(), Some(Literal::Null)) {
        let planes = bits::constant(s, rows, &vec![false; wanted.bits()]);
        let null = bits::constant_bit(s, rows, true);
        let misfit = (!target.nullable).then(|| null.clone());
        return Ok((Assigned { planes, null: target.nullable.then_some(null) }, misfit));
    }
    let planes = value.planes(s)?.clone();
    let (planes, outside) = match (&value.ty, &wanted) {
        (Type::Boolean, Type::Boolean) => (planes, None),
        (Type::Text { bytes: from }, Type::Text { bytes: to }) => texts(&planes, *from, *to, s)?,
        (Type::Number { .. }, Type::Number { .. }) => numbers(&planes, &value.ty, &wanted, s)?,
        _ => return Err(QueryError::bug("a value of another kind than its column")),
    };
    let outside = match (outside, &value.null) {
        (Some(outside), Some(null)) => Some(protocol::and(s, &outside, &null.not(s.party()))?),
        (outside, _) => outside,
    };
    if target.nullable {
        return Ok((Assigned { planes, null: value.null }, outside));
    }
    let misfit = bits::or_optional(s, outside.as_ref(), value.null.as_ref())?;
    Ok((Assigned { planes, null: None }, misfit))
}

/// First byte most significant: what is too long has something in its lowest planes.
fn texts(planes: &Planes, from: u32, to: u32, s: &mut Session) -> Result<(Planes, Option<Planes>)> {
    let (from, to) = (8 * from as usize, 8 * to as usize);
    if from <= to {
        let pad = bits::constant(s, planes.len(), &vec![false; to - from]);
        return Ok((if from == to { planes.clone() } else { pad.stack(planes) }, None));
    }
    let rest = planes.bits(0..from - to);
    let none = protocol::equal_constant(s, &rest, &vec![false; from - to])?;
    Ok((planes.bits(from - to..from), Some(none.not(s.party()))))
}

fn numbers(
    planes: &Planes,
    from: &Type,
    to: &Type,
    s: &mut Session,
) -> Result<(Planes, Option<Planes>)> {
    let (Some((from_low, from_high)), Some((to_low, to_high))) =
        (bits::bounds(from), bits::bounds(to))
    else {
        return Err(QueryError::bug("a number without bounds"));
    };
    let constant =
        |v: i128| bits::number_bits(v.wrapping_sub(from_low).cast_unsigned(), planes.width());
    let mut outside: Option<Planes> = None;
    if from_low < to_low {
        outside = Some(if to_low > from_high {
            bits::constant_bit(s, planes.len(), true)
        } else {
            protocol::less_than_constant(s, planes, &constant(to_low))?
        });
    }
    if from_high > to_high {
        let above = if to_high < from_low {
            bits::constant_bit(s, planes.len(), true)
        } else {
            protocol::less_than_constant(s, planes, &constant(to_high + 1))?.not(s.party())
        };
        outside = bits::or_optional(s, outside.as_ref(), Some(&above))?;
    }
    let moved = bits::rebase(s, planes, from_low, to_low, to.bits())?;
    Ok((moved, outside))
}
