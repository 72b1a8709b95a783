//! Joins on keys that can repeat only so often on one side, because the rest of a unique key has a
//! small public domain (PRIMARY KEY (person, year) with years 1 to 5: a person occurs 5 times at
//! most). Every row of the other side is laid out that often; each copy meets one of the rows.

use super::{Sides, keyed};
use crate::plan::{Expr, Field, JoinKind, Literal, Operator, Plan, WindowFunction, WindowKind};
use crate::planner::relation::picked;
use crate::planner::{ROWS_MAX, build, unique};
use crate::types::{NumberKind, Type};
use std::collections::BTreeSet;
use trine_proto::status::SqlError;

/// Rows of one key at most.
const REPEATS_MAX: u64 = 64;

/// Inner join by the equalities alone; none where nothing bounds how often a key of the right side
/// repeats.
pub(super) fn joined(sides: &Sides) -> Result<Option<Plan>, SqlError> {
    if sides.left_keys.is_empty() {
        return Ok(None);
    }
    let Some(times) = repeats(&sides.right, &sides.right_keys).filter(|t| *t <= REPEATS_MAX) else {
        return Ok(None);
    };
    let rows = sides.left.rows.checked_mul(times).filter(|rows| *rows <= ROWS_MAX);
    let (Some(rows), true) = (rows, sides.left.rows > 0 && sides.right.rows > 0) else {
        return Ok(None);
    };
    let (nl, nr) = (sides.left.fields.len(), sides.right.fields.len());
    let left = copies(sides.left.clone(), times, rows);
    let right = numbered(sides.right.clone(), sides.right_keys.clone());
    let (Some(copy), Some(number)) = (left.fields.last(), right.fields.last()) else {
        return Ok(None);
    };
    let (copy, number) = (build::column(nl, copy), build::column(nr, number));
    let (mut left_keys, mut right_keys) = (sides.left_keys.clone(), sides.right_keys.clone());
    left_keys.push(copy);
    right_keys.push(number);
    let wide = Sides { left, right, left_keys, right_keys, residual: Vec::new() };
    let joined = keyed(JoinKind::Inner, wide, None)?;
    let kept: Vec<usize> = (0..nl).chain(nl + 1..nl + 1 + nr).collect();
    Ok(Some(picked(joined, &kept)))
}

/// How often one value of the key can occur among valid rows, by the domains of what else is in a
/// unique key.
fn repeats(plan: &Plan, keys: &[Expr]) -> Option<u64> {
    let columns: BTreeSet<usize> = keys.iter().filter_map(build::plain_column).collect();
    let domain = |column: &usize| {
        let field = plan.fields.get(*column).filter(|f| !f.nullable)?;
        match &field.ty {
            Type::Boolean => Some(2),
            Type::Number { low, high, .. } => {
                u64::try_from(high.checked_sub(*low)?).ok()?.checked_add(1)
            }
            Type::Text { .. } => None,
        }
    };
    let bound = |set: &BTreeSet<usize>| {
        set.difference(&columns).try_fold(1_u64, |all, c| all.checked_mul(domain(c)?))
    };
    unique::unique_keys(plan).iter().filter_map(bound).min()
}

/// Every row `times` times, with the number of the copy, from 1, behind it.
fn copies(plan: Plan, times: u64, rows: u64) -> Plan {
    let number = Field {
        name: "copy".to_owned(),
        ty: Type::Number { kind: NumberKind::BigInt, low: 1, high: i128::from(times) },
        nullable: false,
    };
    let values = (1..=times).map(|t| vec![Literal::Number(i128::from(t))]).collect();
    let copies = Plan { op: Operator::Values(values), fields: vec![number.clone()], rows: times };
    let fields: Vec<Field> = plan.fields.iter().cloned().chain([number]).collect();
    let op = Operator::CrossJoin { left: Box::new(plan), right: Box::new(copies) };
    Plan { op, fields, rows }
}

/// Every row with its number among the rows of its key, from 1, behind it.
pub(in crate::planner) fn numbered(plan: Plan, keys: Vec<Expr>) -> Plan {
    let high = i128::from(plan.rows.max(1));
    let ty = Type::Number { kind: NumberKind::BigInt, low: 1, high };
    let number = Field { name: "number".to_owned(), ty: ty.clone(), nullable: false };
    let fields: Vec<Field> = plan.fields.iter().cloned().chain([number]).collect();
    let rows = plan.rows;
    let function = WindowFunction { kind: WindowKind::RowNumber, ty, nullable: false };
    let op = Operator::Window {
        input: Box::new(plan),
        partition: keys,
        order: Vec::new(),
        functions: vec![function],
    };
    Plan { op, fields, rows }
}
