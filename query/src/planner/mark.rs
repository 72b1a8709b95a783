//! Whether a match exists, as a condition beside each row: EXISTS and IN under OR or in the select
//! list, and EXISTS whose condition is no equality.

use super::Planner;
use super::aggregate::{counted, distinct_with_marker, extreme, with_marker};
use super::build;
use super::join::{Sides, keyed};
use super::relation::{beside, filtered, picked, project};
use super::scalar::defect;
use super::unique::is_unique;
use crate::plan::{Compare, Expr, ExprKind, Function, JoinKind, Plan};
use crate::types::NumberKind;
use datafusion_expr::logical_plan::Join;
use std::collections::BTreeSet;
use trine_proto::status::SqlError;

impl Planner<'_> {
    /// The left rows with one more column: whether a match exists.
    pub(super) fn mark(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        let nullable_key = sides.left_keys.iter().chain(&sides.right_keys).any(|k| k.nullable);
        if nullable_key {
            let error = SqlError::unsupported(
                "IN or EXISTS of columns that may be NULL is not supported under OR or in the \
                 select list",
                "write it as a condition of its own in WHERE, joined by AND",
            );
            return Err(match join.on.first() {
                Some((l, _)) => self.put(error, l),
                None => error,
            });
        }
        let width = sides.left.fields.len();
        let mut names: Vec<String> = sides.left.fields.iter().map(|f| f.name.clone()).collect();
        names.push("mark".to_owned());
        let (widened, found) = if sides.left_keys.is_empty() {
            self.existence(sides, join)?
        } else {
            self.marked_by_key(sides, join)?
        };
        let mut exprs: Vec<Expr> = widened
            .fields
            .iter()
            .enumerate()
            .take(width)
            .map(|(i, f)| build::column(i, f))
            .collect();
        exprs.push(found);
        Ok(project(widened, exprs, names))
    }

    /// An equality: a left join with the distinct keys and a marker.
    fn marked_by_key(&self, mut sides: Sides, join: &Join) -> Result<(Plan, Expr), SqlError> {
        let width = sides.left.fields.len();
        if is_unique(&sides.right, &sides.right_keys) {
            sides.right = with_marker(sides.right);
        } else if sides.residual_reads_right() {
            return Err(self.no_unique_side(join));
        } else {
            let keys = std::mem::take(&mut sides.right_keys);
            sides.right = distinct_with_marker(self, sides.right, keys);
            sides.right_keys = sides
                .right
                .fields
                .iter()
                .enumerate()
                .take(sides.left_keys.len())
                .map(|(i, f)| build::column(i, f))
                .collect();
        }
        let residual = build::and(std::mem::take(&mut sides.residual));
        let residual = (build::literal(&residual).is_none()).then_some(residual);
        let marker = width + sides.right.fields.len() - 1;
        let joined = keyed(JoinKind::Left, sides, residual)?;
        let field =
            joined.fields.get(marker).ok_or_else(|| defect("a marker is missing".into()))?;
        let found = build::not(build::is_null(build::column(marker, field)));
        Ok((picked_all(joined), found))
    }

    /// No equality: from the count, or the least or greatest value of the right side.
    pub(super) fn existence(&self, sides: Sides, join: &Join) -> Result<(Plan, Expr), SqlError> {
        let width = sides.left.fields.len();
        if !sides.left_keys.is_empty() {
            return Err(self.no_unique_side(join));
        }
        let mut conditions = Vec::new();
        let mut right = sides.right;
        let mut mixed: Option<(Compare, Expr, Expr)> = None;
        for part in sides.residual {
            match side_of(&part, width) {
                Side::Left => conditions.push(build::is_true(part)),
                Side::Right => {
                    right = filtered(right, build::moved(&part, &|i| i - width));
                }
                Side::Both => {
                    let Some(split) = split_comparison(&part, width) else {
                        return Err(self.no_unique_side(join));
                    };
                    if mixed.replace(split).is_some() {
                        return Err(self.no_unique_side(join));
                    }
                }
            }
        }
        let Some((op, left, value)) = mixed else {
            let widened = beside(sides.left, counted(right, Vec::new())?);
            let count = field(&widened, width)?;
            let zero = build::number(0, NumberKind::BigInt)?;
            conditions.push(build::compare(Compare::Gt, count, zero)?);
            return Ok((widened, build::and(conditions)));
        };
        let both = vec![extreme(Function::Min, value.clone()), extreme(Function::Max, value)];
        let widened = beside(sides.left, counted(right, both)?);
        let (least, greatest) = (field(&widened, width + 1)?, field(&widened, width + 2)?);
        let found = match op {
            Compare::Gt | Compare::Ge => build::compare(op, left, least)?,
            Compare::Lt | Compare::Le => build::compare(op, left, greatest)?,
            Compare::Ne => build::or(vec![
                build::compare(op, left.clone(), least)?,
                build::compare(op, left, greatest)?,
            ]),
            Compare::Eq => return Err(self.no_unique_side(join)),
        };
        conditions.push(build::is_true(found));
        Ok((widened, build::and(conditions)))
    }
}

fn picked_all(plan: Plan) -> Plan {
    let all: Vec<usize> = (0..plan.fields.len()).collect();
    picked(plan, &all)
}

fn field(plan: &Plan, index: usize) -> Result<Expr, SqlError> {
    plan.fields
        .get(index)
        .map(|f| build::column(index, f))
        .ok_or_else(|| defect("a column of a subquery is missing".into()))
}

enum Side {
    Left,
    Right,
    Both,
}

fn side_of(expr: &Expr, width: usize) -> Side {
    let mut columns = BTreeSet::new();
    build::columns_of(expr, &mut columns);
    let left = columns.iter().any(|c| *c < width);
    let right = columns.iter().any(|c| *c >= width);
    match (left, right) {
        (_, false) => Side::Left,
        (false, true) => Side::Right,
        (true, true) => Side::Both,
    }
}

/// left op right, with the left side over left columns and the right side over right columns.
fn split_comparison(expr: &Expr, width: usize) -> Option<(Compare, Expr, Expr)> {
    let ExprKind::Compare { op, left, right } = &expr.kind else { return None };
    let moved = |e: &Expr| build::moved(e, &|i| i - width);
    match (side_of(left, width), side_of(right, width)) {
        (Side::Left, Side::Right) => Some((*op, left.as_ref().clone(), moved(right))),
        (Side::Right, Side::Left) => {
            Some((super::dictionary::flip(*op), right.as_ref().clone(), moved(left)))
        }
        _ => None,
    }
}
