//! ENUM columns: their labels are public, so that whatever depends on one ENUM column alone is
//! evaluated on the labels in the clear and becomes a public table over the secret position.
//!
//! Order is that of declaration. Values that a function makes of labels form a new dictionary in
//! byte order, as texts would sort.

use super::build;
use crate::plan::{Compare, Expr, Literal};
use crate::types::{NumberKind, Type};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr as Logical;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use std::collections::BTreeSet;
use trine_proto::status::{SqlError, sqlstate};

/// Labels up to which functions are evaluated while planning.
pub(crate) const LABELS_EVALUATED_MAX: usize = 2048;

/// The dictionary of an ENUM expression.
pub(crate) const fn labels(expr: &Expr) -> Option<&Vec<String>> {
    match &expr.ty {
        Type::Number { kind: NumberKind::Enum { labels }, .. } => Some(labels),
        _ => None,
    }
}

fn position(labels: &[String], label: &str) -> Option<i128> {
    labels.iter().position(|l| l == label).and_then(|p| i128::try_from(p).ok())
}

fn enum_type(labels: Vec<String>) -> Type {
    let high = i128::try_from(labels.len()).unwrap_or(i128::MAX).max(1) - 1;
    Type::Number { kind: NumberKind::Enum { labels }, low: 0, high }
}

/// Entries of a table over the argument's values, in the order of its bounds.
fn table(argument: &Expr, entry: impl Fn(&str) -> Literal) -> Vec<Literal> {
    let Type::Number { kind: NumberKind::Enum { labels }, low, high } = &argument.ty else {
        return Vec::new();
    };
    let low = usize::try_from(*low).unwrap_or(0);
    let high = usize::try_from(*high).unwrap_or(0);
    (low..=high).map(|i| entry(labels.get(i).map_or("", String::as_str))).collect()
}

fn constant_text(expr: &Expr) -> Option<&str> {
    match build::literal(expr)? {
        Literal::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// An ENUM as zero-padded text.
pub(crate) fn to_text(expr: Expr) -> Expr {
    let Some(labels) = labels(&expr) else { return expr };
    let longest = labels.iter().map(String::len).max().unwrap_or(1).max(1);
    let ty = Type::Text { bytes: u32::try_from(longest).unwrap_or(u32::MAX) };
    let entries = table(&expr, |label| Literal::Text(label.as_bytes().to_vec()));
    build::lookup(expr, entries, ty)
}

/// An ENUM under another dictionary that holds all its labels.
fn to_dictionary(expr: Expr, target: &[String]) -> Expr {
    match labels(&expr) {
        Some(own) if own == target => return expr,
        None => return expr,
        Some(_) => {}
    }
    let entries =
        table(&expr, |label| position(target, label).map_or(Literal::Null, Literal::Number));
    build::lookup(expr, entries, enum_type(target.to_vec()))
}

/// A comparison in which at least one side may be an ENUM.
pub(crate) fn compare(op: Compare, left: Expr, right: Expr) -> Result<Expr, SqlError> {
    if build::is_null_literal(&left) || build::is_null_literal(&right) {
        return Ok(build::null(Type::Boolean));
    }
    match (labels(&left), labels(&right)) {
        (None, None) => build::compare(op, left, right),
        (None, Some(_)) => compare(flip(op), right, left),
        (Some(a), Some(b)) if a == b => build::compare(op, left, right),
        (Some(a), _) => {
            if let Some(text) = constant_text(&right) {
                return with_label(op, left.clone(), a, text);
            }
            if !matches!(op, Compare::Eq | Compare::Ne) {
                return Err(SqlError::unsupported(
                    "texts of different dictionaries have no common order",
                    "compare an ENUM with one of its labels, or declare both columns alike",
                ));
            }
            let values = harmonise(vec![left, right]);
            let mut values = values.into_iter();
            match (values.next(), values.next()) {
                (Some(x), Some(y)) => build::compare(op, x, y),
                _ => Err(SqlError::new(sqlstate::INTERNAL_ERROR, "a comparison lost a side")),
            }
        }
    }
}

pub(crate) const fn flip(op: Compare) -> Compare {
    match op {
        Compare::Lt => Compare::Gt,
        Compare::Le => Compare::Ge,
        Compare::Gt => Compare::Lt,
        Compare::Ge => Compare::Le,
        same => same,
    }
}

fn with_label(op: Compare, column: Expr, own: &[String], text: &str) -> Result<Expr, SqlError> {
    if let Some(index) = position(own, text) {
        let label = build::number(index, NumberKind::Enum { labels: own.to_vec() })?;
        return build::compare(op, column, label);
    }
    let answer = match op {
        Compare::Eq => false,
        Compare::Ne => true,
        _ => {
            return Err(SqlError::new(
                sqlstate::INVALID_TEXT,
                format!("invalid input value for enum: \"{text}\""),
            )
            .hint(format!("the labels in order are {}", own.join(", "))));
        }
    };
    let entries = table(&column, |_| Literal::Boolean(answer));
    Ok(build::lookup(column, entries, Type::Boolean))
}

/// Values of CASE, COALESCE, a comparison or a set operation under one encoding: a common
/// dictionary where all are ENUMs or constants, else text.
pub(crate) fn harmonise(values: Vec<Expr>) -> Vec<Expr> {
    if !values.iter().any(|v| labels(v).is_some()) {
        return values;
    }
    let closed = values
        .iter()
        .all(|v| labels(v).is_some() || constant_text(v).is_some() || build::is_null_literal(v));
    if !closed {
        return values.into_iter().map(to_text).collect();
    }
    let mut union: Vec<String> = Vec::new();
    for value in &values {
        let own: Vec<String> = match (labels(value), constant_text(value)) {
            (Some(labels), _) if !build::is_null_literal(value) => labels.clone(),
            (_, Some(text)) => vec![text.to_owned()],
            _ => Vec::new(),
        };
        for label in own {
            if !union.contains(&label) {
                union.push(label);
            }
        }
    }
    values
        .into_iter()
        .map(|value| {
            if build::is_null_literal(&value) {
                return build::null(enum_type(union.clone()));
            }
            let index = constant_text(&value).and_then(|text| position(&union, text));
            match index {
                Some(index) => {
                    let kind = NumberKind::Enum { labels: union.clone() };
                    build::number(index, kind).unwrap_or(value)
                }
                None => to_dictionary(value, &union),
            }
        })
        .collect()
}

/// x IN (list) over an ENUM, as one table.
pub(crate) fn in_list(column: Expr, list: &BTreeSet<String>) -> Expr {
    let entries = table(&column, |label| Literal::Boolean(list.contains(label)));
    build::lookup(column, entries, Type::Boolean)
}

/// The one column that an expression depends on, if it could be a function of one column.
pub(crate) fn only_column(expr: &Logical) -> Option<Column> {
    let mut found: Option<Column> = None;
    let mut single = true;
    let walked = expr.apply(|node| {
        match node {
            Logical::Column(column) => {
                if found.as_ref().is_some_and(|f| f != column) {
                    single = false;
                }
                found = Some(column.clone());
            }
            Logical::ScalarSubquery(_)
            | Logical::AggregateFunction(_)
            | Logical::Exists(_)
            | Logical::InSubquery(_)
            | Logical::OuterReferenceColumn(..) => single = false,
            _ => {}
        }
        Ok(if single { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    if single && walked.is_ok() { found } else { None }
}

/// An expression over one ENUM column as a table: evaluated for each label in the clear. `None`
/// where it does not fold to constants of one simple type, or is something else than NULL for NULL.
pub(crate) fn evaluate(expr: &Logical, column: &Column, argument: Expr) -> Option<Expr> {
    let own = labels(&argument)?;
    if own.len() > LABELS_EVALUATED_MAX {
        return None;
    }
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    let folded = |label: Option<String>| {
        let text = Logical::Literal(ScalarValue::Utf8(label), None);
        let bound = expr
            .clone()
            .transform_up(|node| {
                Ok(match node {
                    Logical::Column(c) if c == *column => Transformed::yes(text.clone()),
                    other => Transformed::no(other),
                })
            })
            .ok()?
            .data;
        match simplifier.simplify(bound).ok()? {
            Logical::Literal(value, _) => Some(value),
            _ => None,
        }
    };
    // A table has no entry for NULL.
    if argument.nullable && !folded(None)?.is_null() {
        return None;
    }
    let values: Option<Vec<ScalarValue>> =
        own.iter().map(|label| folded(Some(label.clone()))).collect();
    from_values(values?, argument)
}

fn from_values(values: Vec<ScalarValue>, argument: Expr) -> Option<Expr> {
    let texts: Option<Vec<Option<String>>> = values.iter().map(text_of).collect();
    if let Some(texts) = texts {
        let distinct: BTreeSet<String> = texts.iter().flatten().cloned().collect();
        let target: Vec<String> = distinct.into_iter().collect();
        let entries = pick(&argument, &texts, |text: &Option<String>| {
            text.as_deref()
                .and_then(|t| position(&target, t))
                .map_or(Literal::Null, Literal::Number)
        });
        let ty = enum_type(if target.is_empty() { vec![String::new()] } else { target });
        return Some(build::lookup(argument, entries, ty));
    }
    let booleans: Option<Vec<Option<bool>>> = values
        .iter()
        .map(|v| match v {
            ScalarValue::Boolean(b) => Some(*b),
            ScalarValue::Null => Some(None),
            _ => None,
        })
        .collect();
    if let Some(booleans) = booleans {
        let entries = pick(&argument, &booleans, |b: &Option<bool>| {
            b.map_or(Literal::Null, Literal::Boolean)
        });
        return Some(build::lookup(argument, entries, Type::Boolean));
    }
    let integers: Vec<Option<i128>> = values.iter().map(integer_of).collect::<Option<_>>()?;
    let low = integers.iter().flatten().min().copied().unwrap_or(0);
    let high = integers.iter().flatten().max().copied().unwrap_or(0);
    let ty = super::numbers::bounded(NumberKind::Int, Some(low), Some(high)).ok()?;
    let entries =
        pick(&argument, &integers, |v: &Option<i128>| v.map_or(Literal::Null, Literal::Number));
    Some(build::lookup(argument, entries, ty))
}

/// The entries of the values within the argument's bounds.
fn pick<T>(argument: &Expr, values: &[T], entry: impl Fn(&T) -> Literal) -> Vec<Literal> {
    let Type::Number { low, high, .. } = &argument.ty else { return Vec::new() };
    let low = usize::try_from(*low).unwrap_or(0);
    let high = usize::try_from(*high).unwrap_or(0);
    values.iter().skip(low).take(high + 1 - low).map(entry).collect()
}

fn text_of(value: &ScalarValue) -> Option<Option<String>> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            Some(text.clone())
        }
        ScalarValue::Null => Some(None),
        _ => None,
    }
}

fn integer_of(value: &ScalarValue) -> Option<Option<i128>> {
    Some(match value {
        ScalarValue::Int16(v) => v.map(i128::from),
        ScalarValue::Int32(v) => v.map(i128::from),
        ScalarValue::Int64(v) => v.map(i128::from),
        ScalarValue::UInt64(v) => v.map(i128::from),
        ScalarValue::Null => None,
        _ => return None,
    })
}
