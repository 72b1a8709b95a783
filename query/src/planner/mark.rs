//! Whether a match exists, as a condition beside each row: EXISTS and IN under OR or in the select
//! list, and EXISTS whose condition is no equality.

use super::Planner;
use super::aggregate::{counted, distinct_with_marker, extreme, with_marker};
use super::build;
use super::join::{Sides, found, keyed};
use super::relation::{beside, filtered, picked, project};
use super::scalar::defect;
use super::unique::is_unique;
use crate::plan::{Compare, Expr, ExprKind, Function, JoinKind, Plan};
use crate::types::{NumberKind, Type};
use datafusion_expr::logical_plan::Join;
use std::collections::BTreeSet;
use trine_proto::status::SqlError;

impl Planner<'_> {
    /// The left rows with one more column: whether a match exists.
    pub(super) fn mark(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        let width = sides.left.fields.len();
        let mut names: Vec<String> = sides.left.fields.iter().map(|f| f.name.clone()).collect();
        names.push("mark".to_owned());
        let (widened, found) = if sides.left_keys.is_empty() {
            self.existence(sides.pushed(), join)?
        } else {
            self.marked_by_key(sides.pushed(), join)?
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
            return self.existence(sides, join);
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

    /// From the count, or the least and greatest value of the right side, of all its rows or of those
    /// with the key; else over all pairs.
    pub(super) fn existence(&self, sides: Sides, join: &Join) -> Result<(Plan, Expr), SqlError> {
        let width = sides.left.fields.len();
        let (one_sided, mixed): (Vec<Expr>, Vec<Expr>) = sides
            .residual
            .iter()
            .cloned()
            .partition(|part| !matches!(side_of(part, width), Side::Both));
        let split = match mixed.as_slice() {
            [] => Some(None),
            [one] => split_comparison(one, width)
                .filter(|(op, _, value)| *op != Compare::Eq && orders(value))
                .map(Some),
            _ => None,
        };
        let Some(comparison) = split else { return self.by_pairs(sides, join) };
        let mut conditions = Vec::new();
        let mut right = sides.right;
        for part in one_sided {
            if matches!(side_of(&part, width), Side::Left) {
                conditions.push(build::is_true(part));
            } else {
                right = filtered(right, build::moved(&part, &|i| i - width));
            }
        }
        let Some((op, left, value)) = comparison else {
            let widened = beside(sides.left, counted(right, Vec::new())?);
            let count = field(&widened, width)?;
            let zero = build::number(0, NumberKind::BigInt)?;
            conditions.push(build::compare(Compare::Gt, count, zero)?);
            return Ok((widened, build::and(conditions)));
        };
        let both = vec![extreme(Function::Min, value.clone()), extreme(Function::Max, value)];
        let (widened, first) = if sides.left_keys.is_empty() {
            (beside(sides.left, counted(right, both)?), width + 1)
        } else {
            let (keys, first) = (sides.right_keys, width + sides.left_keys.len());
            let names: Vec<String> = (0..keys.len())
                .map(|i| format!("key{i}"))
                .chain(["min".to_owned(), "max".to_owned()])
                .collect();
            let grouped = self.grouped(right, keys, both, &names);
            let right_keys = grouped
                .fields
                .iter()
                .enumerate()
                .take(sides.left_keys.len())
                .map(|(i, f)| build::column(i, f))
                .collect();
            let sides = Sides { right: grouped, right_keys, residual: Vec::new(), ..sides };
            (keyed(JoinKind::Left, sides, None)?, first)
        };
        let (least, greatest) = (field(&widened, first)?, field(&widened, first + 1)?);
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

    /// Any condition, looking at all pairs of rows.
    fn by_pairs(&self, sides: Sides, join: &Join) -> Result<(Plan, Expr), SqlError> {
        let condition = build::and(sides.conditions()?);
        let refused = self.no_unique_side(join);
        found(sides.left, sides.right, condition).ok_or(refused)
    }
}

/// Whether MIN and MAX order a value as comparisons do.
fn orders(value: &Expr) -> bool {
    value.ty != Type::Boolean
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
