//! Joins over all pairs of rows, for public bounds whose product is small.

use crate::plan::{Aggregate, Expr, Field, Function, Literal, Operator, Plan};
use crate::planner::build;
use crate::types::Type;

/// Pairs of rows that become rows of a relation, at most.
pub(super) const PAIRS_KEPT_MAX: u64 = 1 << 22;
/// Pairs of rows that are looked at, at most.
const PAIRS_SEEN_MAX: u64 = 1 << 26;

/// Every pair of rows; none if there could be too many.
pub(in crate::planner) fn crossed(left: Plan, right: Plan) -> Option<Plan> {
    let rows = left.rows.checked_mul(right.rows).filter(|rows| *rows <= PAIRS_KEPT_MAX)?;
    let fields: Vec<Field> = left.fields.iter().chain(&right.fields).cloned().collect();
    let op = Operator::CrossJoin { left: Box::new(left), right: Box::new(right) };
    Some(Plan { op, fields, rows })
}

/// Left rows beside aggregates over the right rows that meet the condition; none if there could be
/// too many pairs.
pub(in crate::planner) fn paired(
    left: Plan,
    right: Plan,
    condition: Option<Expr>,
    aggregates: Vec<Aggregate>,
    names: &[String],
) -> Option<Plan> {
    let quantified = |a: &Aggregate| matches!(a.function, Function::BoolAnd | Function::BoolOr);
    let most = if aggregates.iter().all(quantified) { PAIRS_SEEN_MAX } else { PAIRS_KEPT_MAX };
    left.rows.checked_mul(right.rows).filter(|pairs| *pairs <= most)?;
    let made = aggregates.iter().zip(names).map(|(a, name)| Field {
        name: name.clone(),
        ty: a.ty.clone(),
        nullable: a.nullable,
    });
    let fields: Vec<Field> = left.fields.iter().cloned().chain(made).collect();
    let rows = left.rows;
    let condition =
        condition.filter(|c| !matches!(build::literal(c), Some(Literal::Boolean(true))));
    let op = Operator::PairAggregate {
        left: Box::new(left),
        right: Box::new(right),
        condition,
        aggregates,
    };
    Some(Plan { op, fields, rows })
}

fn some(argument: Expr) -> Aggregate {
    Aggregate {
        function: Function::BoolOr,
        argument: Some(argument),
        filter: None,
        distinct: false,
        ty: Type::Boolean,
        nullable: true,
    }
}

fn last(plan: &Plan, back: usize) -> Option<Expr> {
    let index = plan.fields.len().checked_sub(back)?;
    plan.fields.get(index).map(|f| build::column(index, f))
}

/// Left rows with a column behind them, and whether a right row meets the condition (never NULL).
pub(in crate::planner) fn found(left: Plan, right: Plan, condition: Expr) -> Option<(Plan, Expr)> {
    let aggregates = vec![some(build::boolean(true))];
    let plan = paired(left, right, Some(condition), aggregates, &["found".to_owned()])?;
    let found = build::not(build::is_null(last(&plan, 1)?));
    Some((plan, found))
}

/// Left rows with columns behind them, and the value of `x = ANY (list)`: TRUE where it is TRUE for a
/// right row in the list, else NULL where it is NULL for one, else FALSE.
pub(in crate::planner) fn any(
    left: Plan,
    right: Plan,
    listed: Option<Expr>,
    equal: Expr,
) -> Option<(Plan, Expr)> {
    let unknown = build::is_null(equal.clone());
    let names = ["found".to_owned(), "unknown".to_owned()];
    let plan = paired(left, right, listed, vec![some(equal), some(unknown)], &names)?;
    let is = |e: Expr| build::is_true(e);
    let (found, unknown) = (is(last(&plan, 2)?), is(last(&plan, 1)?));
    let branches = vec![(found, build::boolean(true)), (unknown, build::null(Type::Boolean))];
    let value = build::case(branches, build::boolean(false)).ok()?;
    Some((plan, value))
}
