//! Expressions with types, bounds and nullability by construction. What is constant folds here, so
//! that no protocol runs for it.

use super::numbers::{self, PRECISION_MAX, bounded, common_kind, overflow, scale, ten_to};
use crate::plan::{Compare, Expr, ExprKind, Field, Literal};
use crate::types::{NumberKind, Type};
use trine_proto::status::{SqlError, sqlstate};

type Built = Result<Expr, SqlError>;

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

/// A comparison of two booleans, texts, or numbers (brought to one scale).
pub(crate) fn compare(op: Compare, left: Expr, right: Expr) -> Built {
    if is_null_literal(&left) || is_null_literal(&right) {
        return Ok(null(Type::Boolean));
    }
    if let Some(done) = with_constant(op, &left, &right) {
        return done;
    }
    if let Some(done) = with_constant(super::dictionary::flip(op), &right, &left) {
        return done;
    }
    let (left, right) = comparable(left, right)?;
    Ok(comparison(op, left, right))
}

fn comparison(op: Compare, left: Expr, right: Expr) -> Expr {
    let nullable = left.nullable || right.nullable;
    Expr {
        kind: ExprKind::Compare { op, left: Box::new(left), right: Box::new(right) },
        ty: Type::Boolean,
        nullable,
    }
}

/// A number against a constant of another scale: the constant moves to the number's own scale,
/// rounded so that the answer stays the same; casts of the number fall away.
fn with_constant(op: Compare, number: &Expr, constant: &Expr) -> Option<Built> {
    let (Literal::Number(v), Type::Number { kind: from, .. }) = (literal(constant)?, &constant.ty)
    else {
        return None;
    };
    if literal(number).is_some() {
        return None;
    }
    let number = unscaled(number);
    let Type::Number { kind: to, .. } = &number.ty else { return None };
    let (from, to) = (scale(from)?, scale(to)?);
    let (floor, exact) = rescaled(*v, from, to)?;
    let bound = match self::number(floor, constant_kind(&number.ty)?) {
        Ok(bound) => bound,
        Err(error) => return Some(Err(error)),
    };
    let op = match (op, exact) {
        (op, true) => op,
        (Compare::Lt | Compare::Le, false) => Compare::Le,
        (Compare::Gt | Compare::Ge, false) => Compare::Gt,
        (Compare::Eq, false) => return Some(Ok(never(number))),
        (Compare::Ne, false) => return Some(Ok(not(never(number)))),
    };
    Some(Ok(comparison(op, number.clone(), bound)))
}

fn constant_kind(ty: &Type) -> Option<NumberKind> {
    match ty {
        Type::Number { kind, .. } => Some(kind.clone()),
        _ => None,
    }
}

/// FALSE, or NULL where the value is.
fn never(value: &Expr) -> Expr {
    if !value.nullable {
        return boolean(false);
    }
    and(vec![is_null(value.clone()), null(Type::Boolean)])
}

/// The number below changes of scale and kind.
fn unscaled(expr: &Expr) -> &Expr {
    let of = |ty: &Type| match ty {
        Type::Number { kind, .. } => scale(kind),
        _ => None,
    };
    let (inner, factor) = match &expr.kind {
        ExprKind::Scale(inner, factor) => (inner, *factor),
        ExprKind::Retype(inner) => (inner, 1),
        _ => return expr,
    };
    let (Some(above), Some(below)) = (of(&expr.ty), of(&inner.ty)) else { return expr };
    let (Some(tens), Some(twos)) = (above.0.checked_sub(below.0), above.1.checked_sub(below.1))
    else {
        return expr;
    };
    let raised = ten_to(tens).and_then(|t| t.checked_mul(1_i128.checked_shl(twos)?));
    if raised == Some(factor) { unscaled(inner) } else { expr }
}

/// v under another scale: the floor, and whether that is exact.
fn rescaled(v: i128, from: (u32, u32), to: (u32, u32)) -> Option<(i128, bool)> {
    let power = |tens: u32, twos: u32| {
        ten_to(tens)?.checked_mul(1_i128.checked_shl(twos).filter(|p| *p > 0)?)
    };
    let up = power(to.0.saturating_sub(from.0), to.1.saturating_sub(from.1))?;
    let down = power(from.0.saturating_sub(to.0), from.1.saturating_sub(to.1))?;
    let raised = v.checked_mul(up)?;
    Some((raised.div_euclid(down), raised.rem_euclid(down) == 0))
}

/// Both sides in one scale; the kinds then no longer matter.
pub(crate) fn comparable(left: Expr, right: Expr) -> Result<(Expr, Expr), SqlError> {
    let (a, b) = match (&left.ty, &right.ty) {
        (Type::Boolean, Type::Boolean) | (Type::Text { .. }, Type::Text { .. }) => {
            return Ok((left, right));
        }
        (Type::Number { kind: a, .. }, Type::Number { kind: b, .. }) => (a, b),
        _ => return Err(mismatch("a comparison", &left, &right)),
    };
    if a == b {
        return Ok((left, right));
    }
    let (Some(x), Some(y)) = (scale(a), scale(b)) else {
        return Err(mismatch("a comparison", &left, &right));
    };
    let common = (x.0.max(y.0), x.1.max(y.1));
    Ok((raise(left, x, common)?, raise(right, y, common)?))
}

/// Times 10^(d digits) * 2^(b bits), under the kind that shows the new scale best.
fn raise(expr: Expr, from: (u32, u32), to: (u32, u32)) -> Built {
    let ten = ten_to(to.0 - from.0).ok_or_else(overflow)?;
    let two = 1_i128.checked_shl(to.1 - from.1).filter(|v| *v > 0).ok_or_else(overflow)?;
    let factor = ten.checked_mul(two).ok_or_else(overflow)?;
    if factor == 1 {
        return Ok(expr);
    }
    let kind = if to.1 > 0 {
        NumberKind::Double { fraction_bits: to.1 }
    } else {
        NumberKind::Decimal {
            precision: PRECISION_MAX,
            scale: u8::try_from(to.0).map_err(|_| overflow())?,
        }
    };
    times(expr, factor, kind)
}

/// Times a public positive constant, as a number of `kind`.
pub(crate) fn times(expr: Expr, factor: i128, kind: NumberKind) -> Built {
    let Type::Number { low, high, .. } = expr.ty else {
        return Err(mismatch("a product", &expr, &expr));
    };
    let ty = bounded(kind, low.checked_mul(factor), high.checked_mul(factor))?;
    let nullable = expr.nullable;
    let kind = match expr.kind {
        ExprKind::Literal(Literal::Number(v)) => {
            ExprKind::Literal(Literal::Number(v.checked_mul(factor).ok_or_else(overflow)?))
        }
        ExprKind::Literal(other) => ExprKind::Literal(other),
        kind if factor == 1 => {
            let inner = Expr { kind, ty: expr.ty, nullable };
            return Ok(retype(inner, ty));
        }
        kind => {
            let inner = Expr { kind, ty: expr.ty, nullable };
            ExprKind::Scale(Box::new(inner), factor)
        }
    };
    Ok(Expr { kind, ty, nullable })
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

/// +, -, *.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

pub(crate) fn arithmetic(op: Arithmetic, left: Expr, right: Expr) -> Built {
    let (Type::Number { kind: a, .. }, Type::Number { kind: b, .. }) = (&left.ty, &right.ty) else {
        return Err(mismatch("arithmetic", &left, &right));
    };
    if let Some(kind) = date_arithmetic(op, a, b) {
        return combine(op, left, right, kind);
    }
    let (Some(x), Some(y)) = (scale(a), scale(b)) else {
        return Err(mismatch("arithmetic", &left, &right));
    };
    if op == Arithmetic::Multiply {
        let kind = product_kind(a, b, x, y)?;
        return multiply(left, right, kind);
    }
    if x.0 != y.0 && x.1 != y.1 {
        return Err(mixed());
    }
    let common = (x.0.max(y.0), x.1.max(y.1));
    let kind = sum_kind(a, b, common)?;
    let (left, right) = (raise(left, x, common)?, raise(right, y, common)?);
    combine(op, left, right, kind)
}

fn mixed() -> SqlError {
    SqlError::unsupported(
        "arithmetic that mixes DECIMAL and DOUBLE PRECISION is not supported",
        "take the average of a DECIMAL, or compare the two instead",
    )
}

/// DATE ± days is a DATE, DATE - DATE is days.
fn date_arithmetic(op: Arithmetic, a: &NumberKind, b: &NumberKind) -> Option<NumberKind> {
    use NumberKind::{Date, Int};
    match (op, a, b) {
        (Arithmetic::Add | Arithmetic::Subtract, Date, days) if numbers::is_integer(days) => {
            Some(Date)
        }
        (Arithmetic::Add, days, Date) if numbers::is_integer(days) => Some(Date),
        (Arithmetic::Subtract, Date, Date) => Some(Int),
        _ => None,
    }
}

fn digits(kind: &NumberKind) -> u8 {
    match kind {
        NumberKind::SmallInt => 5,
        NumberKind::Int => 10,
        NumberKind::BigInt => 19,
        NumberKind::Decimal { precision, .. } => *precision,
        _ => PRECISION_MAX,
    }
}

fn sum_kind(a: &NumberKind, b: &NumberKind, to: (u32, u32)) -> Result<NumberKind, SqlError> {
    if to.1 > 0 || matches!((a, b), (NumberKind::Double { .. }, _) | (_, NumberKind::Double { .. }))
    {
        return Ok(NumberKind::Double { fraction_bits: to.1 });
    }
    if numbers::is_integer(a) && numbers::is_integer(b) {
        return common_kind(a, b).ok_or_else(overflow);
    }
    let places = u8::try_from(to.0).map_err(|_| overflow())?;
    let whole = |k: &NumberKind| digits(k).saturating_sub(scale(k).map_or(0, |s| s.0 as u8));
    let precision =
        whole(a).max(whole(b)).saturating_add(places).saturating_add(1).min(PRECISION_MAX);
    Ok(NumberKind::Decimal { precision, scale: places })
}

fn product_kind(
    a: &NumberKind,
    b: &NumberKind,
    x: (u32, u32),
    y: (u32, u32),
) -> Result<NumberKind, SqlError> {
    let double = |k: &NumberKind| matches!(k, NumberKind::Double { .. });
    if double(a) || double(b) {
        if x.0 + y.0 > 0 {
            return Err(mixed());
        }
        return Ok(NumberKind::Double { fraction_bits: x.1 + y.1 });
    }
    if numbers::is_integer(a) && numbers::is_integer(b) {
        return common_kind(a, b).ok_or_else(overflow);
    }
    let places =
        u8::try_from(x.0 + y.0).ok().filter(|s| *s <= PRECISION_MAX).ok_or_else(overflow)?;
    let precision = digits(a).saturating_add(digits(b)).saturating_add(1).min(PRECISION_MAX);
    Ok(NumberKind::Decimal { precision, scale: places })
}

const fn limits(expr: &Expr) -> (i128, i128) {
    match &expr.ty {
        Type::Number { low, high, .. } => (*low, *high),
        _ => (0, 0),
    }
}

fn combine(op: Arithmetic, left: Expr, right: Expr, kind: NumberKind) -> Built {
    let (a, b) = (limits(&left), limits(&right));
    let (low, high) = match op {
        Arithmetic::Subtract => (a.0.checked_sub(b.1), a.1.checked_sub(b.0)),
        _ => (a.0.checked_add(b.0), a.1.checked_add(b.1)),
    };
    let ty = bounded(kind, low, high)?;
    let nullable = left.nullable || right.nullable;
    if let (Some(Literal::Number(x)), Some(Literal::Number(y))) = (literal(&left), literal(&right))
    {
        let value = if op == Arithmetic::Subtract { x - y } else { x + y };
        return Ok(Expr { kind: ExprKind::Literal(Literal::Number(value)), ty, nullable });
    }
    let kind = match op {
        Arithmetic::Subtract => ExprKind::Subtract(Box::new(left), Box::new(right)),
        _ => ExprKind::Add(Box::new(left), Box::new(right)),
    };
    Ok(Expr { kind, ty, nullable })
}

fn multiply(left: Expr, right: Expr, kind: NumberKind) -> Built {
    for (constant, other) in [(&left, &right), (&right, &left)] {
        if let Some(Literal::Number(factor)) = literal(constant)
            && *factor > 0
        {
            return times(other.clone(), *factor, kind);
        }
    }
    let (a, b) = (limits(&left), limits(&right));
    let mut low = Some(i128::MAX);
    let mut high = Some(i128::MIN);
    for (x, y) in [(a.0, b.0), (a.0, b.1), (a.1, b.0), (a.1, b.1)] {
        let corner = x.checked_mul(y);
        low = low.zip(corner).map(|(l, c)| l.min(c));
        high = high.zip(corner).map(|(h, c)| h.max(c));
    }
    let ty = bounded(kind, low, high)?;
    let nullable = left.nullable || right.nullable;
    Ok(Expr { kind: ExprKind::Multiply(Box::new(left), Box::new(right)), ty, nullable })
}

pub(crate) fn negate(expr: Expr) -> Built {
    let Type::Number { kind, .. } = &expr.ty else {
        return Err(mismatch("the negative", &expr, &expr));
    };
    let zero = number(0, kind.clone())?;
    let kind = kind.clone();
    combine(Arithmetic::Subtract, zero, expr, kind)
}

pub(crate) fn absolute(expr: Expr) -> Built {
    let Type::Number { kind, low, high } = expr.ty.clone() else {
        return Err(mismatch("the absolute value", &expr, &expr));
    };
    if low >= 0 {
        return Ok(expr);
    }
    let (new_low, new_high) = if high <= 0 {
        (-high, -low)
    } else {
        (0, high.max(low.checked_neg().ok_or_else(overflow)?))
    };
    let ty = bounded(kind, Some(new_low), Some(new_high))?;
    let nullable = expr.nullable;
    Ok(Expr { kind: ExprKind::Absolute(Box::new(expr)), ty, nullable })
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
        return Err(mixed());
    }
    values
        .into_iter()
        .map(|v| match of(&v) {
            Some(own) if own != common => raise(v, own, common),
            _ => Ok(v),
        })
        .collect()
}

/// CASE WHEN … of branches whose values have one type.
pub(crate) fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Built {
    let (conditions, mut values): (Vec<Expr>, Vec<Expr>) = branches.into_iter().unzip();
    values.push(otherwise);
    let (mut values, ty) = unify(values)?;
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

/// The expression over other columns: column i becomes `place(i)`.
pub(crate) fn moved(expr: &Expr, place: &dyn Fn(usize) -> usize) -> Expr {
    rebuilt(expr, &|index, column| Expr { kind: ExprKind::Column(place(index)), ..column.clone() })
}

/// The expression with column i replaced by `by[i]`.
pub(crate) fn replaced(expr: &Expr, by: &[Expr]) -> Expr {
    rebuilt(expr, &|index, column| by.get(index).unwrap_or(column).clone())
}

/// The expression with each column (its position, itself) replaced.
fn rebuilt(expr: &Expr, column: &dyn Fn(usize, &Expr) -> Expr) -> Expr {
    let one = |e: &Expr| Box::new(rebuilt(e, column));
    let all = |es: &[Expr]| es.iter().map(|e| rebuilt(e, column)).collect::<Vec<Expr>>();
    let kind = match &expr.kind {
        ExprKind::Column(index) => return column(*index, expr),
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
                .map(|(c, v)| (rebuilt(c, column), rebuilt(v, column)))
                .collect(),
            otherwise: one(otherwise),
        },
        ExprKind::Lookup { argument, table } => {
            ExprKind::Lookup { argument: one(argument), table: table.clone() }
        }
        ExprKind::Retype(x) => ExprKind::Retype(one(x)),
    };
    Expr { kind, ty: expr.ty.clone(), nullable: expr.nullable }
}

/// Adds the positions of all columns of an expression.
pub(crate) fn columns_of(expr: &Expr, found: &mut std::collections::BTreeSet<usize>) {
    match &expr.kind {
        ExprKind::Column(index) => {
            found.insert(*index);
        }
        ExprKind::Literal(_) => {}
        ExprKind::Not(x)
        | ExprKind::IsNull(x)
        | ExprKind::Scale(x, _)
        | ExprKind::Absolute(x)
        | ExprKind::Retype(x)
        | ExprKind::Lookup { argument: x, .. } => columns_of(x, found),
        ExprKind::And(parts) | ExprKind::Or(parts) => {
            parts.iter().for_each(|p| columns_of(p, found));
        }
        ExprKind::Compare { left: x, right: y, .. }
        | ExprKind::Add(x, y)
        | ExprKind::Subtract(x, y)
        | ExprKind::Multiply(x, y) => {
            columns_of(x, found);
            columns_of(y, found);
        }
        ExprKind::Case { branches, otherwise } => {
            for (condition, value) in branches {
                columns_of(condition, found);
                columns_of(value, found);
            }
            columns_of(otherwise, found);
        }
    }
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
    if !expr.nullable {
        return Ok(expr);
    }
    let default = match &expr.ty {
        Type::Boolean => boolean(false),
        Type::Text { .. } => text(b""),
        Type::Number { kind, low, .. } => number(*low, kind.clone())?,
    };
    case(vec![(not(is_null(expr.clone())), expr)], default)
}
