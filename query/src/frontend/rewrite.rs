//! Names that PostgreSQL has and DataFusion does not, written as DataFusion knows them.

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, OrderByExpr, OrderByOptions, Query,
    UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// Functions under another name.
const SYNONYMS: [(&str, &str); 6] = [
    ("sign", "signum"),
    ("ceiling", "ceil"),
    ("every", "bool_and"),
    ("variance", "var_samp"),
    ("pow", "power"),
    ("variance_samp", "var_samp"),
];

/// Rewrites a whole query in place.
pub(super) fn rewrite(query: &mut Query) {
    let _ = query.visit(&mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        without_exponent(expr);
        plain_zero(expr);
        plain_date(expr);
        if let Some(other) = as_call(expr).or_else(|| rows_compared(expr)) {
            *expr = other;
        }
        if let Expr::Function(function) = expr
            && let Some(name) = plain_name(function)
        {
            if let Some((_, other)) = SYNONYMS.iter().find(|(own, _)| *own == name) {
                let part = ObjectNamePart::Identifier(Ident::new(*other));
                function.name = ObjectName(vec![part]);
            } else if name == "median" {
                as_percentile(function);
            } else if name == "mod"
                && let Some([x, y]) = two_arguments(function)
            {
                let nested = |e: &Expr| Box::new(Expr::Nested(Box::new(e.clone())));
                let op = BinaryOperator::Modulo;
                let remainder = Expr::BinaryOp { left: nested(x), op, right: nested(y) };
                *expr = Expr::Nested(Box::new(remainder));
            }
        }
        ControlFlow::Continue(())
    }
}

/// MEDIAN(x) as the percentile that it is.
fn as_percentile(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = list.args.as_slice() else {
        return;
    };
    if !function.within_group.is_empty() || !list.clauses.is_empty() {
        return;
    }
    let options = OrderByOptions { asc: None, nulls_first: None };
    function.within_group = vec![OrderByExpr { expr: value.clone(), options, with_fill: None }];
    let half = Expr::Value(Value::Number("0.5".to_owned(), false).into());
    list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(half))];
    let part = ObjectNamePart::Identifier(Ident::new("percentile_cont"));
    function.name = ObjectName(vec![part]);
}

/// SUBSTRING(… FROM … FOR …) and POSITION(… IN …) as calls.
fn as_call(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let one = || Expr::Value(Value::Number("1".to_owned(), false).into());
            let from = substring_from.as_deref().cloned().unwrap_or_else(one);
            let mut arguments = vec![expr.as_ref().clone(), from];
            arguments.extend(substring_for.as_deref().cloned());
            Some(call("substr", arguments))
        }
        Expr::Position { expr, r#in } => {
            Some(call("strpos", vec![r#in.as_ref().clone(), expr.as_ref().clone()]))
        }
        Expr::UnaryOp { op: UnaryOperator::PGAbs, expr } => {
            Some(call("abs", vec![expr.as_ref().clone()]))
        }
        Expr::UnaryOp { op: UnaryOperator::PGSquareRoot, expr } => {
            Some(call("sqrt", vec![expr.as_ref().clone()]))
        }
        _ => None,
    }
}

/// `'1.5e3'::DECIMAL`: DataFusion reads digits and a point only.
fn without_exponent(expr: &mut Expr) {
    let Expr::Cast { expr, data_type, .. } = expr else { return };
    let exact = matches!(data_type, DataType::Decimal(_) | DataType::Numeric(_) | DataType::Dec(_));
    if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = expr.as_mut()
        && exact
        && let Some(plain) = expanded(text.trim())
    {
        *text = plain;
    }
}

/// `0e100` is 0, however far its point is moved to the right.
fn plain_zero(expr: &mut Expr) {
    let Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) = expr else { return };
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return };
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let is_zero = mantissa.bytes().all(|b| matches!(b, b'0' | b'.'));
    let moved = exponent.parse::<i32>().ok().and_then(|moved| usize::try_from(moved).ok());
    if is_zero && moved.is_some_and(|moved| moved >= fraction) {
        "0".clone_into(text);
    }
}

/// `' 2020-1-5 12:00:00 '::DATE`: DataFusion reads a date in full digits and nothing else.
fn plain_date(expr: &mut Expr) {
    let Expr::Cast { expr, data_type: DataType::Date, .. } = expr else { return };
    if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = expr.as_mut()
        && let Some(date) = date_in(text)
    {
        *text = date;
    }
}

/// The date that a text begins with, if only a time of day follows.
fn date_in(text: &str) -> Option<String> {
    let text = text.trim();
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let is_time = time.trim().bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'));
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let clear = year.len() == 4 && digits(year, 4) && digits(month, 2) && digits(day, 2);
    (clear && is_time).then(|| format!("{year}-{month:0>2}-{day:0>2}"))
}

/// Digits that an exponent may add at most.
const ZEROS_MAX: usize = 76;

/// A number with an exponent, written without; none for any other text.
fn expanded(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let before = usize::try_from(point).unwrap_or(0);
    let zeros = usize::try_from(point.checked_neg()?).unwrap_or(0);
    if before > ZEROS_MAX || zeros > ZEROS_MAX {
        return None;
    }
    let padded =
        format!("{}{all}{}", "0".repeat(zeros), "0".repeat(before.saturating_sub(all.len())));
    let (whole, fraction) = padded.split_at(before.min(padded.len()));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

/// Comparisons of rows, column by column.
fn rows_compared(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::BinaryOp { left, op, right } => {
            let (x, y) = (row(left)?, row(right)?);
            if x.len() != y.len() {
                return None;
            }
            match op {
                BinaryOperator::Eq => Some(all_equal(x, y)),
                BinaryOperator::NotEq => Some(negated(all_equal(x, y))),
                BinaryOperator::Lt | BinaryOperator::Gt => ordered(op, op, x, y),
                BinaryOperator::LtEq => ordered(&BinaryOperator::Lt, op, x, y),
                BinaryOperator::GtEq => ordered(&BinaryOperator::Gt, op, x, y),
                _ => None,
            }
        }
        Expr::InList { expr, list, negated: not } => {
            let x = row(expr)?;
            let rows: Option<Vec<&[Expr]>> =
                list.iter().map(|y| row(y).filter(|y| y.len() == x.len())).collect();
            let any = joined(BinaryOperator::Or, rows?.into_iter().map(|y| all_equal(x, y)))?;
            Some(if *not { negated(any) } else { any })
        }
        _ => None,
    }
}

fn row(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(values) => Some(values),
        Expr::Nested(inner) => row(inner),
        _ => None,
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let both = Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    Expr::Nested(Box::new(both))
}

fn negated(expr: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) }))
}

fn joined(op: BinaryOperator, parts: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    parts.into_iter().reduce(|all, part| binary(all, op.clone(), part))
}

fn all_equal(x: &[Expr], y: &[Expr]) -> Expr {
    let pairs = x.iter().zip(y).map(|(x, y)| binary(x.clone(), BinaryOperator::Eq, y.clone()));
    let none = || Expr::Value(Value::Boolean(true).into());
    joined(BinaryOperator::And, pairs).unwrap_or_else(none)
}

/// The first column decides; where it is equal, the others.
fn ordered(strict: &BinaryOperator, last: &BinaryOperator, x: &[Expr], y: &[Expr]) -> Option<Expr> {
    let ((a, x), (b, y)) = (x.split_first()?, y.split_first()?);
    if x.is_empty() {
        return Some(binary(a.clone(), last.clone(), b.clone()));
    }
    let equal = binary(a.clone(), BinaryOperator::Eq, b.clone());
    let rest = binary(equal, BinaryOperator::And, ordered(strict, last, x, y)?);
    Some(binary(binary(a.clone(), strict.clone(), b.clone()), BinaryOperator::Or, rest))
}

pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let unnamed = |e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e));
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(unnamed).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn plain_name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] if ident.quote_style.is_none() => {
            Some(ident.value.to_lowercase())
        }
        _ => None,
    }
}

fn two_arguments(function: &Function) -> Option<[&Expr; 2]> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(x)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(y)),
        ] => Some([x, y]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_become_digits() {
        for (text, due) in [
            ("1e3", "1000"),
            ("1.5e3", "1500"),
            ("-.1e-1", "-0.01"),
            ("12.345E1", "123.45"),
            ("+2e-3", "0.002"),
            ("0e1", "00"),
        ] {
            assert_eq!(expanded(text).as_deref(), Some(due), "{text}");
        }
        for text in ["", "1", "e5", "1e", "xe1", "1e400", "1e-400", "1e99999999999"] {
            assert_eq!(expanded(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_written_in_full() {
        for (text, due) in [
            (" 2020-01-05 ", Some("2020-01-05")),
            ("2020-1-5", Some("2020-01-05")),
            ("2020-01-01 12:34:56.7", Some("2020-01-01")),
            ("2020-01-01T12:34", Some("2020-01-01")),
            ("2020-01-01 noon", None),
            ("20-01-01", None),
            ("2020-01", None),
            ("2020-001-01", None),
        ] {
            assert_eq!(date_in(text).as_deref(), due, "{text}");
        }
    }

    #[test]
    fn zero_has_no_exponent() {
        for (text, due) in [("0e100", "0"), ("0.0E1", "0"), ("0.00e1", "0.00e1"), ("1e2", "1e2")] {
            let mut expr = Expr::Value(Value::Number(text.to_owned(), false).into());
            plain_zero(&mut expr);
            assert_eq!(expr, Expr::Value(Value::Number(due.to_owned(), false).into()));
        }
    }
}
