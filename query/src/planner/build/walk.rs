//! Expressions over other columns, and the columns of an expression.

use crate::plan::{Expr, ExprKind};
use std::collections::BTreeSet;

/// The expression over other columns: column i becomes `place(i)`.
pub(crate) fn moved(expr: &Expr, place: &dyn Fn(usize) -> usize) -> Expr {
    substituted(expr, &|e| match &e.kind {
        ExprKind::Column(index) => {
            Some(Expr { kind: ExprKind::Column(place(*index)), ..e.clone() })
        }
        _ => None,
    })
}

/// The expression with column i replaced by `by[i]`.
pub(crate) fn replaced(expr: &Expr, by: &[Expr]) -> Expr {
    substituted(expr, &|e| match &e.kind {
        ExprKind::Column(index) => Some(by.get(*index).unwrap_or(e).clone()),
        _ => None,
    })
}

/// The expression with parts replaced: the outermost for which `replace` has another one.
pub(crate) fn substituted(expr: &Expr, replace: &dyn Fn(&Expr) -> Option<Expr>) -> Expr {
    if let Some(other) = replace(expr) {
        return other;
    }
    let one = |e: &Expr| Box::new(substituted(e, replace));
    let all = |es: &[Expr]| es.iter().map(|e| substituted(e, replace)).collect::<Vec<Expr>>();
    let kind = match &expr.kind {
        ExprKind::Column(index) => ExprKind::Column(*index),
        ExprKind::Literal(value) => ExprKind::Literal(value.clone()),
        ExprKind::Not(x) => ExprKind::Not(one(x)),
        ExprKind::And(parts) => ExprKind::And(all(parts)),
        ExprKind::Or(parts) => ExprKind::Or(all(parts)),
        ExprKind::Compare { op, left, right } => {
            ExprKind::Compare { op: *op, left: one(left), right: one(right) }
        }
        ExprKind::IsNull(x) => ExprKind::IsNull(one(x)),
        ExprKind::Add(x, y) => ExprKind::Add(one(x), one(y)),
        ExprKind::Subtract(x, y) => ExprKind::Subtract(one(x), one(y)),
        ExprKind::Multiply(x, y) => ExprKind::Multiply(one(x), one(y)),
        ExprKind::Scale(x, factor) => ExprKind::Scale(one(x), *factor),
        ExprKind::Absolute(x) => ExprKind::Absolute(one(x)),
        ExprKind::Case { branches, otherwise } => ExprKind::Case {
            branches: branches
                .iter()
                .map(|(c, v)| (substituted(c, replace), substituted(v, replace)))
                .collect(),
            otherwise: one(otherwise),
        },
        ExprKind::Lookup { argument, table } => {
            ExprKind::Lookup { argument: one(argument), table: table.clone() }
        }
        ExprKind::Retype(x) => ExprKind::Retype(one(x)),
        ExprKind::Divide { left, right, fraction_bits, rounding } => ExprKind::Divide {
            left: one(left),
            right: one(right),
            fraction_bits: *fraction_bits,
            rounding: *rounding,
        },
        ExprKind::SquareRoot { argument, fraction_bits } => {
            ExprKind::SquareRoot { argument: one(argument), fraction_bits: *fraction_bits }
        }
        ExprKind::Modulo(x, y) => ExprKind::Modulo(one(x), one(y)),
        ExprKind::DivideBy { argument, divisor, rounding } => {
            ExprKind::DivideBy { argument: one(argument), divisor: *divisor, rounding: *rounding }
        }
        ExprKind::Steps { argument, thresholds, values } => ExprKind::Steps {
            argument: one(argument),
            thresholds: thresholds.clone(),
            values: values.clone(),
        },
        ExprKind::Check { value, fails, failure } => {
            ExprKind::Check { value: one(value), fails: one(fails), failure: *failure }
        }
        ExprKind::Let { value, body } => ExprKind::Let { value: one(value), body: one(body) },
        ExprKind::Bound(depth) => ExprKind::Bound(*depth),
        ExprKind::Text { function, arguments } => {
            ExprKind::Text { function: function.clone(), arguments: all(arguments) }
        }
    };
    Expr { kind, ty: expr.ty.clone(), nullable: expr.nullable }
}

/// Adds the positions of all columns of an expression.
pub(crate) fn columns_of(expr: &Expr, found: &mut BTreeSet<usize>) {
    if let ExprKind::Column(index) = &expr.kind {
        found.insert(*index);
    }
    expr.children().into_iter().for_each(|child| columns_of(child, found));
}
