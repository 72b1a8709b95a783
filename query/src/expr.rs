//! Scalar expressions over the columns of one relation, in three-valued logic.
//!
//! Booleans, comparisons and look-ups work on planes, sums and products on arithmetic shares; the
//! consumer says what it wants, so that a column is converted at most once and only if needed.
//! Everything with a public constant is local or folded into a cheaper circuit.

mod case;
mod check;
mod compare;
mod divide;
mod divide_by;
mod logic;
mod lookup;
mod number;
mod steps;
mod text;

pub(crate) use check::{gather, merge, under};
pub(crate) use compare::common_planes;
pub(crate) use divide::{divided, magnitude};
pub(crate) use logic::truth;
pub(crate) use lookup::indicators;
pub(crate) use text::digits_of;

use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::plan::{Expr, ExprKind};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::{Want, collect_bound};
use trine_mpc::Session;

/// Computes an expression for every row. The result has the type of the expression, except that a
/// bare column keeps its own.
pub(crate) fn eval(
    expr: &Expr,
    relation: &mut Relation,
    s: &mut Session,
    want: Want,
) -> Result<Column> {
    match &expr.kind {
        ExprKind::Column(index) => {
            let column = relation
                .columns
                .get_mut(*index)
                .ok_or_else(|| QueryError::bug("an expression names a column that is not there"))?;
            column.ensure(s, want)?;
            Ok(column.clone())
        }
        ExprKind::Literal(literal) => Ok(Column::literal(s, relation.rows, literal, &expr.ty)),
        ExprKind::Not(inner) => logic::not(inner, relation, s),
        ExprKind::And(all) => logic::and(all, relation, s),
        ExprKind::Or(all) => logic::or(all, relation, s),
        ExprKind::Compare { op, left, right } => compare::compare(*op, left, right, relation, s),
        ExprKind::IsNull(inner) => {
            let column = eval(inner, relation, s, Want::ANY)?;
            Ok(match column.null {
                Some(null) => Column::from_planes(Type::Boolean, null, None),
                None => Column::boolean(s, relation.rows, false),
            })
        }
        ExprKind::Add(x, y) => number::add(x, y, false, &expr.ty, relation, s, want),
        ExprKind::Subtract(x, y) => number::add(x, y, true, &expr.ty, relation, s, want),
        ExprKind::Multiply(x, y) => number::multiply(x, y, &expr.ty, relation, s),
        ExprKind::Scale(x, factor) => number::scale(x, *factor, &expr.ty, relation, s),
        ExprKind::Absolute(x) => number::absolute(x, &expr.ty, relation, s),
        ExprKind::Case { branches, otherwise } => {
            case::case(branches, otherwise, &expr.ty, relation, s, want)
        }
        ExprKind::Lookup { argument, table } => {
            lookup::lookup(argument, table, &expr.ty, relation, s)
        }
        ExprKind::Retype(inner) => {
            let column = eval(inner, relation, s, want)?;
            column.retype(s, &expr.ty, want)
        }
        ExprKind::Divide { left, right, fraction_bits, rounding } => {
            let how = (*fraction_bits as usize, *rounding);
            divide::divide(left, right, how, &expr.ty, relation, s)
        }
        ExprKind::SquareRoot { argument, fraction_bits } => {
            divide::square_root(argument, *fraction_bits as usize, &expr.ty, relation, s)
        }
        ExprKind::Modulo(x, y) => divide::modulo(x, y, &expr.ty, relation, s),
        ExprKind::DivideBy { argument, divisor, rounding } => {
            divide_by::divide_by(argument, *divisor, *rounding, &expr.ty, relation, s)
        }
        ExprKind::Steps { argument, thresholds, values } => {
            steps::steps(argument, thresholds, values, &expr.ty, relation, s)
        }
        ExprKind::Check { value, fails, failure } => {
            check::check(value, fails, *failure, relation, s, want)
        }
        ExprKind::Text { function, arguments } => {
            text::text(function, arguments, &expr.ty, relation, s)
        }
        ExprKind::Let { value, body } => {
            let needed =
                collect_bound(body, want, &mut vec![Want::NOTHING; relation.columns.len()]);
            let bound = eval(value, relation, s, needed)?;
            relation.columns.push(bound);
            let result = eval(body, relation, s, want);
            relation.columns.pop();
            result
        }
        ExprKind::Bound(depth) => {
            let index = relation.columns.len().checked_sub(depth + 1);
            let column = index
                .and_then(|index| relation.columns.get_mut(index))
                .ok_or_else(|| QueryError::bug("a bound value has no Let"))?;
            column.ensure(s, want)?;
            Ok(column.clone())
        }
    }
}
