//! Expressions with types, bounds and nullability by construction. What is constant folds here, so
//! that no protocol runs for it.

mod arithmetic;
mod bind;
mod comparison;
mod quotient;
mod walk;

pub(crate) use arithmetic::{
    Arithmetic, absolute, arithmetic, negate, raised_to, roomy, times, trimmed,
};
pub(crate) use bind::{bind, is_closed};
pub(crate) use comparison::{comparable, compare};
pub(crate) use quotient::{
    by_constant, checked, divide, gcd, modulo, narrowed, rescaled, root, rounded, to_double,
};
pub(crate) use walk::{columns_of, moved, replaced, substituted};

use super::numbers::{self, bounded, common_kind, scale};
use crate::plan::{Expr, ExprKind, Field, Literal};
use crate::types::{NumberKind, Type};
use trine_proto::status::{SqlError, sqlstate};

type Built = Result<Expr, SqlError>;

fn mismatch(what: &str, left: &Expr, right: &Expr) -> SqlError {
    SqlError::new(
        sqlstate::DATATYPE_MISMATCH,
        format!(
            "{what} of {} and {} is not possible",
            numbers::sql_name(&left.ty),
            numbers::sql_name(&right.ty)
        ),
    )
    .hint("CAST one side to the type of the other")
}

pub(crate) fn column(index: usize, field: &Field) -> Expr {
    Expr { kind: ExprKind::Column(index), ty: field.ty.clone(), nullable: field.nullable }
}

pub(crate) const fn boolean(value: bool) -> Expr {
    Expr { kind: ExprKind::Literal(Literal::Boolean(value)), ty: Type::Boolean, nullable: false }
}

pub(crate) fn number(value: i128, kind: NumberKind) -> Built {
    Ok(Expr {
        kind: ExprKind::Literal(Literal::Number(value)),
        ty: bounded(kind, Some(value), Some(value))?,
        nullable: false,
    })
}

pub(crate) fn text(bytes: &[u8]) -> Expr {
    let width = u32::try_from(bytes.len()).unwrap_or(u32::MAX).max(1);
    Expr {
        kind: ExprKind::Literal(Literal::Text(bytes.to_vec())),
        ty: Type::Text { bytes: width },
        nullable: false,
    }
}

pub(crate) const fn null(ty: Type) -> Expr {
    Expr { kind: ExprKind::Literal(Literal::Null), ty, nullable: true }
}

pub(crate) const fn literal(expr: &Expr) -> Option<&Literal> {
    match &expr.kind {
        ExprKind::Literal(literal) => Some(literal),
        _ => None,
    }
}

pub(crate) const fn is_null_literal(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Literal(Literal::Null))
}

fn truth(expr: &Expr) -> Option<Option<bool>> {
    match literal(expr)? {
        Literal::Boolean(value) => Some(Some(*value)),
        Literal::Null => Some(None),
        _ => None,
    }
}

/// The column behind a change of type or scale, which tell different values apart as it does.
pub(crate) fn plain_column(expr: &Expr) -> Option<usize> {
    match &expr.kind {
        ExprKind::Column(index) => Some(*index),
        ExprKind::Retype(inner) | ExprKind::Scale(inner, _) => plain_column(inner),
        _ => None,
    }
}

pub(crate) fn not(expr: Expr) -> Expr {
    match truth(&expr) {
        Some(Some(value)) => return boolean(!value),
        Some(None) => return null(Type::Boolean),
        None => {}
    }
    if let ExprKind::Not(inner) = expr.kind {
        return *inner;
    }
    let nullable = expr.nullable;
    Expr { kind: ExprKind::Not(Box::new(expr)), ty: Type::Boolean, nullable }
}

pub(crate) fn and(parts: Vec<Expr>) -> Expr {
    junction(parts, true)
}

pub(crate) fn or(parts: Vec<Expr>) -> Expr {
    junction(parts, false)
}

/// AND (`neutral` = TRUE) or OR (`neutral` = FALSE) of any number of conditions.
fn junction(parts: Vec<Expr>, neutral: bool) -> Expr {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match (part.kind, neutral) {
            (ExprKind::And(inner), true) | (ExprKind::Or(inner), false) => flat.extend(inner),
            (ExprKind::Literal(Literal::Boolean(value)), _) if value == neutral => {}
            (ExprKind::Literal(Literal::Boolean(value)), _) => return boolean(value),
            (kind, _) => flat.push(Expr { kind, ty: part.ty, nullable: part.nullable }),
        }
    }
    match flat.len() {
        0 => boolean(neutral),
        1 => flat.swap_remove(0),
        _ => {
            let nullable = flat.iter().any(|p| p.nullable);
            let kind = if neutral { ExprKind::And(flat) } else { ExprKind::Or(flat) };
            Expr { kind, ty: Type::Boolean, nullable }
        }
    }
}

pub(crate) fn is_null(expr: Expr) -> Expr {
    if is_null_literal(&expr) {
        return boolean(true);
    }
    if !expr.nullable {
        return boolean(false);
    }
    Expr { kind: ExprKind::IsNull(Box::new(expr)), ty: Type::Boolean, nullable: false }
}

/// Whether a condition is TRUE (never NULL itself).
pub(crate) fn is_true(expr: Expr) -> Expr {
    if !expr.nullable {
        return expr;
    }
    if is_null_literal(&expr) {
        return boolean(false);
    }
    Expr {
        kind: ExprKind::Case {
            branches: vec![(expr, boolean(true))],
            otherwise: Box::new(boolean(false)),
        },
        ty: Type::Boolean,
        nullable: false,
    }
}

/// The same value under another type (wider bounds, another kind of equal scale, longer text).
pub(crate) fn retype(expr: Expr, ty: Type) -> Expr {
    if expr.ty == ty {
        return expr;
    }
    let nullable = expr.nullable;
    match expr.kind {
        ExprKind::Literal(value) => Expr { kind: ExprKind::Literal(value), ty, nullable },
        ExprKind::Retype(inner) => Expr { kind: ExprKind::Retype(inner), ty, nullable },
        kind => {
            let inner = Expr { kind, ty: expr.ty, nullable };
            Expr { kind: ExprKind::Retype(Box::new(inner)), ty, nullable }
        }
    }
}

/// Numbers of either bounds and kind, or texts of either length; None where they do not mix.
pub(crate) fn common_type(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        (Type::Boolean, Type::Boolean) => Some(Type::Boolean),
        (Type::Text { bytes: x }, Type::Text { bytes: y }) => Some(Type::Text { bytes: *x.max(y) }),
        (
            Type::Number { kind: k, low: a_low, high: a_high },
            Type::Number { kind: l, low: b_low, high: b_high },
        ) => Some(Type::Number {
            kind: common_kind(k, l)?,
            low: *a_low.min(b_low),
            high: *a_high.max(b_high),
        }),
        _ => None,
    }
}

/// Values of one type but for bounds and length; NULL literals take the type of the others.
pub(crate) fn unify(values: Vec<Expr>) -> Result<(Vec<Expr>, Type), SqlError> {
    let values = same_scale(values)?;
    let mut common: Option<Type> = None;
    for value in values.iter().filter(|v| !is_null_literal(v)) {
        common = Some(match common {
            None => value.ty.clone(),
            Some(ty) => common_type(&ty, &value.ty)
                .ok_or_else(|| mismatch("a common type", &null(ty), value))?,
        });
    }
    let first = values.first().map_or(Type::Text { bytes: 1 }, |v| v.ty.clone());
    let ty = common.unwrap_or(first);
    let values = values
        .into_iter()
        .map(|value| {
            if is_null_literal(&value) {
                return null(ty.clone());
            }
            match (&value.ty, &ty) {
                (Type::Number { low, high, kind: own }, Type::Number { kind, .. })
                    if own != kind =>
                {
                    let ty = Type::Number { kind: kind.clone(), low: *low, high: *high };
                    retype(value, ty)
                }
                _ => value,
            }
        })
        .collect();
    Ok((values, ty))
}

/// Raises numbers to the largest scale among them.
fn same_scale(values: Vec<Expr>) -> Result<Vec<Expr>, SqlError> {
    let of = |v: &Expr| match &v.ty {
        Type::Number { kind, .. } if !is_null_literal(v) => scale(kind),
        _ => None,
    };
    let scales: Vec<(u32, u32)> = values.iter().filter_map(of).collect();
    let common = scales.iter().fold((0, 0), |c, s| (c.0.max(s.0), c.1.max(s.1)));
    if common.0 > 0 && common.1 > 0 {
        return Err(arithmetic::mixed());
    }
    values
        .into_iter()
        .map(|v| match of(&v) {
            Some(own) if own != common => arithmetic::raise(v, own, common),
            _ => Ok(v),
        })
        .collect()
}

/// CASE WHEN … of branches whose values have one type.
pub(crate) fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Built {
    let (conditions, mut values): (Vec<Expr>, Vec<Expr>) = branches.into_iter().unzip();
    values.push(otherwise);
    let (mut values, ty) = unify(values)?;
    if values.iter().all(is_null_literal) {
        return Ok(null(ty));
    }
    let Some(mut otherwise) = values.pop() else { return Ok(null(ty)) };
    let mut kept: Vec<(Expr, Expr)> = Vec::with_capacity(values.len());
    for (condition, value) in conditions.into_iter().zip(values) {
        match truth(&condition) {
            Some(Some(true)) => {
                otherwise = value;
                break;
            }
            Some(_) => {}
            None => kept.push((condition, value)),
        }
    }
    if kept.is_empty() {
        return Ok(retype(otherwise, ty));
    }
    let nullable = otherwise.nullable || kept.iter().any(|(_, v)| v.nullable);
    Ok(Expr {
        kind: ExprKind::Case { branches: kept, otherwise: Box::new(otherwise) },
        ty,
        nullable,
    })
}

/// A public table over a narrow number.
pub(crate) fn lookup(argument: Expr, table: Vec<Literal>, ty: Type) -> Expr {
    let nullable = argument.nullable || table.iter().any(|l| matches!(l, Literal::Null));
    Expr { kind: ExprKind::Lookup { argument: Box::new(argument), table }, ty, nullable }
}

/// A public step function: `values[i]`, where i thresholds are at most the argument. Steps outside of
/// its bounds and steps that change nothing are left out.
pub(crate) fn steps(argument: Expr, thresholds: &[i128], values: &[Literal], ty: Type) -> Expr {
    let (low, high) = match &argument.ty {
        Type::Number { low, high, .. } => (*low, *high),
        _ => (i128::MIN, i128::MAX),
    };
    let start = thresholds.iter().filter(|t| **t <= low).count();
    let mut kept_values: Vec<Literal> = values.get(start).cloned().into_iter().collect();
    let mut kept = Vec::new();
    for (threshold, value) in thresholds.iter().zip(values.iter().skip(1)).skip(start) {
        if *threshold <= high && kept_values.last() != Some(value) {
            kept.push(*threshold);
            kept_values.push(value.clone());
        }
    }
    let nullable = argument.nullable || kept_values.iter().any(|l| matches!(l, Literal::Null));
    let kind =
        ExprKind::Steps { argument: Box::new(argument), thresholds: kept, values: kept_values };
    Expr { kind, ty, nullable }
}

/// The conditions that AND joins.
pub(crate) fn conjuncts(expr: Expr) -> Vec<Expr> {
    match expr.kind {
        ExprKind::And(parts) => parts,
        ExprKind::Literal(Literal::Boolean(true)) => Vec::new(),
        kind => vec![Expr { kind, ty: expr.ty, nullable: expr.nullable }],
    }
}

/// A value in place of NULL (any value of the type), so that NULLs compare equal.
pub(crate) fn filled(expr: Expr) -> Built {
    let low = low_of(&expr);
    filled_with(expr, low)
}

/// Both sides of an equality that holds between NULLs, with one value for NULL.
pub(crate) fn filled_alike(x: Expr, y: Expr) -> Result<(Expr, Expr), SqlError> {
    let low = low_of(&x).min(low_of(&y));
    Ok((filled_with(x, low)?, filled_with(y, low)?))
}

/// The lowest number of a type; 0 where it has none.
fn low_of(expr: &Expr) -> i128 {
    match &expr.ty {
        Type::Number { low, .. } => *low,
        Type::Boolean | Type::Text { .. } => 0,
    }
}

fn filled_with(expr: Expr, low: i128) -> Built {
    if !expr.nullable {
        return Ok(expr);
    }
    let default = match &expr.ty {
        Type::Boolean => boolean(false),
        Type::Text { .. } => text(b""),
        Type::Number { kind, .. } => number(low, kind.clone())?,
    };
    case(vec![(not(is_null(expr.clone())), expr)], default)
}
