//! Values that an expression names several times but computes once.

use super::Built;
use crate::plan::{Expr, ExprKind};

/// `make` over values that may each be written several times: what costs something is computed once
/// and bound by a Let. Where a value names a bound value of another Let around this one, all are
/// written out as they are.
pub(crate) fn bind(values: Vec<Expr>, make: impl FnOnce(&[Expr]) -> Built) -> Built {
    let closed = values.iter().all(|v| is_closed(v, 0));
    let bound: Vec<bool> = values.iter().map(|v| closed && !is_cheap(v)).collect();
    let depth = bound.iter().filter(|b| **b).count();
    let mut seen = 0;
    let mut names = Vec::with_capacity(values.len());
    for (value, bound) in values.iter().zip(&bound) {
        names.push(if *bound {
            seen += 1;
            Expr { kind: ExprKind::Bound(depth - seen), ..value.clone() }
        } else {
            value.clone()
        });
    }
    let body = make(&names)?;
    let lets = values.into_iter().zip(bound).filter(|(_, bound)| *bound).map(|(value, _)| value);
    Ok(lets.rev().fold(body, |body, value| {
        let (ty, nullable) = (body.ty.clone(), body.nullable);
        let kind = ExprKind::Let { value: Box::new(value), body: Box::new(body) };
        Expr { kind, ty, nullable }
    }))
}

/// Costs nothing however often it is written.
fn is_cheap(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Column(_) | ExprKind::Literal(_) | ExprKind::Bound(_) => true,
        ExprKind::Retype(inner) | ExprKind::Scale(inner, _) => is_cheap(inner),
        _ => false,
    }
}

/// Whether every bound value that it names is bound inside, or by one of `depth` Lets around it.
pub(crate) fn is_closed(expr: &Expr, depth: usize) -> bool {
    match &expr.kind {
        ExprKind::Bound(index) => *index < depth,
        ExprKind::Let { value, body } => is_closed(value, depth) && is_closed(body, depth + 1),
        _ => expr.children().into_iter().all(|child| is_closed(child, depth)),
    }
}
