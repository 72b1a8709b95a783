//! Constant expressions: what may stand for a value in VALUES, DEFAULT and the like. They are computed
//! here, because the values are data that must not leave the client in the clear. PostgreSQL's rules:
//! integers are INT or BIGINT by size and never wrap, division of integers cuts off, numbers with a
//! point are exact.
//!
//! Errors have positions, and never quote a value.

use super::create::column_type;
use super::parser::Parser;
use super::prepare::bound_value;
use crate::encode::{Cell, date_of_days, parse_date};
use sqlparser::tokenizer::Token as Sql;
use std::fmt::Write as _;
use trine_proto::schema::ColumnType;
use trine_proto::status::{SqlError, sqlstate};

/// Parentheses and signs inside each other at most.
const DEPTH_MAX: usize = 100;
/// Digits behind the point of a quotient before trailing zeros go.
const QUOTIENT_DIGITS: u32 = 20;
/// Digits behind the point at most.
const SCALE_MAX: u32 = 38;

/// A computed value.
#[derive(Clone, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    /// INT, or BIGINT if `wide`.
    Int {
        v: i64,
        wide: bool,
    },
    /// `unscaled` / 10^`scale`.
    Decimal {
        unscaled: i128,
        scale: u32,
    },
    /// A number beyond computing; a column may take it none the less.
    Huge(String),
    Text(String),
    Date(i32),
}

/// Parses and computes one expression; the value as a cell.
///
/// # Errors
/// `42601`, `0A000` for what is no constant, `22003`, `22012` and other data errors, at their place.
pub(super) fn constant(p: &mut Parser<'_>) -> Result<Cell, SqlError> {
    concatenation(p, 0).map(Value::into_cell)
}

impl Value {
    fn into_cell(self) -> Cell {
        match self {
            Self::Null => Cell::Null,
            Self::Bool(b) => Cell::Bool(b),
            Self::Date(days) => Cell::Date(days),
            Self::Text(text) => Cell::Text(text),
            number => Cell::Number(number.text().unwrap_or_default()),
        }
    }

    /// As it is written; none for NULL.
    fn text(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(b) => b.to_string(),
            Self::Int { v, .. } => v.to_string(),
            Self::Decimal { unscaled, scale } => decimal_text(*unscaled, *scale),
            Self::Huge(text) | Self::Text(text) => text.clone(),
            Self::Date(days) => date_of_days(*days).map_or_else(String::new, |d| d.to_string()),
        })
    }

    /// As a number with a scale.
    const fn decimal(&self) -> Option<(i128, u32)> {
        match self {
            Self::Int { v, .. } => Some((*v as i128, 0)),
            Self::Decimal { unscaled, scale } => Some((*unscaled, *scale)),
            _ => None,
        }
    }
}

fn decimal_text(unscaled: i128, scale: u32) -> String {
    let width = scale as usize + 1;
    let digits = format!("{:0width$}", unscaled.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let mut text = String::new();
    if unscaled < 0 {
        text.push('-');
    }
    text.push_str(whole);
    if scale > 0 {
        let _ = write!(text, ".{fraction}");
    }
    text
}

fn fails(state: &str, message: &str, position: u32) -> SqlError {
    SqlError::new(state, message).at(position)
}

fn out_of_range(what: &str, position: u32) -> SqlError {
    fails(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, &format!("{what} out of range"), position)
}

fn mismatch(position: u32) -> SqlError {
    fails(
        sqlstate::DATATYPE_MISMATCH,
        "the operator does not go with values of these types",
        position,
    )
    .hint("CAST(… AS type) converts a value")
}

fn no_constant(position: u32) -> SqlError {
    SqlError::unsupported(
        "only constants can stand here",
        "numbers, 'text', TRUE, FALSE, NULL, DATE '2024-12-31', + - * / % ||, CAST; compute anything \
         else first",
    )
    .at(position)
}

fn concatenation(p: &mut Parser<'_>, depth: usize) -> Result<Value, SqlError> {
    let mut left = sum(p, depth)?;
    loop {
        let at = p.position();
        if !p.symbol(&Sql::StringConcat) {
            return Ok(left);
        }
        let right = sum(p, depth)?;
        if !matches!(left, Value::Text(_) | Value::Null)
            && !matches!(right, Value::Text(_) | Value::Null)
        {
            return Err(mismatch(at));
        }
        left = match (left.text(), right.text()) {
            (Some(a), Some(b)) => Value::Text(a + &b),
            _ => Value::Null,
        };
    }
}

fn sum(p: &mut Parser<'_>, depth: usize) -> Result<Value, SqlError> {
    let mut left = product(p, depth)?;
    loop {
        let at = p.position();
        let op = match p.peek() {
            Some(Sql::Plus) => '+',
            Some(Sql::Minus) => '-',
            _ => return Ok(left),
        };
        p.advance();
        left = compute(op, left, product(p, depth)?, at)?;
    }
}

fn product(p: &mut Parser<'_>, depth: usize) -> Result<Value, SqlError> {
    let mut left = signed(p, depth)?;
    loop {
        let at = p.position();
        let op = match p.peek() {
            Some(Sql::Mul) => '*',
            Some(Sql::Div) => '/',
            Some(Sql::Mod) => '%',
            _ => return Ok(left),
        };
        p.advance();
        left = compute(op, left, signed(p, depth)?, at)?;
    }
}

fn signed(p: &mut Parser<'_>, depth: usize) -> Result<Value, SqlError> {
    let at = p.position();
    if depth > DEPTH_MAX {
        let message = format!("an expression is nested deeper than {DEPTH_MAX} levels");
        return Err(fails(sqlstate::LIMIT_EXCEEDED, &message, at));
    }
    if p.symbol(&Sql::Plus) {
        return match signed(p, depth + 1)? {
            Value::Text(_) | Value::Bool(_) | Value::Date(_) => Err(mismatch(at)),
            number => Ok(number),
        };
    }
    if !p.symbol(&Sql::Minus) {
        return converted(p, depth);
    }
    Ok(match signed(p, depth + 1)? {
        Value::Null => Value::Null,
        // The smallest INT and BIGINT are written as the negative of what does not fit their type.
        Value::Int { v: 2_147_483_648, .. } => Value::Int { v: -2_147_483_648, wide: false },
        Value::Int { v, wide } => {
            let v = v.checked_neg().ok_or_else(|| out_of_range("bigint", at))?;
            Value::Int { v, wide }
        }
        Value::Decimal { unscaled: 9_223_372_036_854_775_808, scale: 0 } => {
            Value::Int { v: i64::MIN, wide: true }
        }
        Value::Decimal { unscaled, scale } => {
            let unscaled = unscaled.checked_neg().ok_or_else(|| out_of_range("numeric", at))?;
            Value::Decimal { unscaled, scale }
        }
        Value::Huge(text) => Value::Huge(match text.strip_prefix('-') {
            Some(positive) => positive.to_owned(),
            None => format!("-{text}"),
        }),
        Value::Text(_) | Value::Bool(_) | Value::Date(_) => return Err(mismatch(at)),
    })
}

/// A value and the `::type` behind it.
fn converted(p: &mut Parser<'_>, depth: usize) -> Result<Value, SqlError> {
    let mut value = primary(p, depth)?;
    loop {
        let at = p.position();
        if !p.symbol(&Sql::DoubleColon) {
            return Ok(value);
        }
        let ty = column_type(p)?;
        value = cast(value, &ty, at)?;
    }
}

fn primary(p: &mut Parser<'_>, depth: usize) -> Result<Value, SqlError> {
    let at = p.position();
    for (word, value) in
        [("NULL", Value::Null), ("TRUE", Value::Bool(true)), ("FALSE", Value::Bool(false))]
    {
        if p.word(word) {
            return Ok(value);
        }
    }
    if p.word("DATE") {
        let text = p.string().ok_or_else(|| p.unexpected("DATE is followed by 'YYYY-MM-DD'"))?;
        return date(&text, at);
    }
    if p.word("TIMESTAMP") {
        let unexpected = || p.unexpected("TIMESTAMP is followed by 'YYYY-MM-DD HH:MM:SS'");
        return p.clone().string().map(Value::Text).ok_or_else(unexpected).inspect(|_| p.advance());
    }
    if p.word("CAST") {
        p.expect_symbol(&Sql::LParen)?;
        let value = concatenation(p, depth + 1)?;
        p.expect_word("AS")?;
        let ty = column_type(p)?;
        p.expect_symbol(&Sql::RParen)?;
        return cast(value, &ty, at);
    }
    if p.symbol(&Sql::LParen) {
        let value = concatenation(p, depth + 1)?;
        if p.peek().is_some_and(|t| *t != Sql::RParen) {
            return Err(no_constant(p.position()));
        }
        p.expect_symbol(&Sql::RParen)?;
        return Ok(value);
    }
    if let Some(text) = p.string() {
        return Ok(Value::Text(text));
    }
    match p.peek() {
        Some(token @ Sql::Placeholder(name)) => {
            let Some(text) = bound_value(p.fragment(), token) else {
                let message = format!("there is no parameter {name}");
                return Err(fails(sqlstate::UNDEFINED_PARAMETER, &message, at)
                    .hint("PREPARE the statement and EXECUTE it with values"));
            };
            p.advance();
            let fragments = super::split(&text)?;
            let [fragment] = fragments.as_slice() else { return Err(no_constant(at)) };
            concatenation(&mut Parser::new(fragment), depth + 1)
        }
        Some(Sql::Number(digits, _)) => {
            p.advance();
            Ok(number(digits))
        }
        None | Some(Sql::Comma | Sql::RParen) => Err(p.unexpected("a literal is expected")),
        Some(_) => Err(no_constant(at)),
    }
}

fn date(text: &str, at: u32) -> Result<Value, SqlError> {
    parse_date(text.trim().as_bytes())
        .map(Value::Date)
        .map_err(|e| fails(e.sqlstate, &e.reason, at))
}

/// Digits, a point, an exponent.
fn number(text: &str) -> Value {
    let huge = || Value::Huge(text.to_owned());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => match e.parse::<i32>() {
            Ok(e) => (m, Some(e)),
            Err(_) => return huge(),
        },
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(digits) = format!("0{whole}{fraction}").parse::<i128>() else { return huge() };
    if !mantissa.contains('.') && exponent.is_none() {
        return match i64::try_from(digits) {
            Ok(v) => Value::Int { v, wide: i32::try_from(v).is_err() },
            Err(_) => Value::Decimal { unscaled: digits, scale: 0 },
        };
    }
    let scale =
        i64::try_from(fraction.len()).unwrap_or(i64::MAX) - i64::from(exponent.unwrap_or(0));
    if scale > i64::from(SCALE_MAX) {
        return huge();
    }
    match u32::try_from(scale) {
        Ok(scale) => Value::Decimal { unscaled: digits, scale },
        Err(_) => match u32::try_from(-scale)
            .ok()
            .and_then(|zeros| 10_i128.checked_pow(zeros))
            .and_then(|power| digits.checked_mul(power))
        {
            Some(unscaled) => Value::Decimal { unscaled, scale: 0 },
            None => huge(),
        },
    }
}

fn compute(op: char, left: Value, right: Value, at: u32) -> Result<Value, SqlError> {
    match (&left, &right) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::Int { v: a, wide: x }, Value::Int { v: b, wide: y }) => {
            whole_numbers(op, *a, *b, *x || *y, at)
        }
        (Value::Date(a), Value::Date(b)) if op == '-' => {
            let days = i64::from(*a) - i64::from(*b);
            Ok(Value::Int { v: days, wide: false })
        }
        (Value::Date(a), Value::Int { v, .. }) if matches!(op, '+' | '-') => {
            let days = if op == '+' {
                i64::from(*a).checked_add(*v)
            } else {
                i64::from(*a).checked_sub(*v)
            };
            days.and_then(|d| i32::try_from(d).ok())
                .filter(|d| date_of_days(*d).is_some())
                .map(Value::Date)
                .ok_or_else(|| out_of_range("date", at))
        }
        (Value::Int { .. }, Value::Date(_)) if op == '+' => compute(op, right, left, at),
        _ => match left.decimal().zip(right.decimal()) {
            Some((a, b)) => decimals(op, a, b, at),
            None => Err(mismatch(at)),
        },
    }
}

fn whole_numbers(op: char, a: i64, b: i64, wide: bool, at: u32) -> Result<Value, SqlError> {
    if b == 0 && matches!(op, '/' | '%') {
        return Err(fails(sqlstate::DIVISION_BY_ZERO, "division by zero", at));
    }
    let v = match op {
        '+' => a.checked_add(b),
        '-' => a.checked_sub(b),
        '*' => a.checked_mul(b),
        '/' => a.checked_div(b),
        _ => Some(a.checked_rem(b).unwrap_or(0)),
    };
    match v {
        Some(v) if wide || i32::try_from(v).is_ok() => Ok(Value::Int { v, wide }),
        _ => Err(out_of_range(if wide { "bigint" } else { "integer" }, at)),
    }
}

fn decimals(
    op: char,
    (a, x): (i128, u32),
    (b, y): (i128, u32),
    at: u32,
) -> Result<Value, SqlError> {
    let range = || out_of_range("numeric", at);
    let raised =
        |v: i128, by: u32| 10_i128.checked_pow(by).and_then(|p| v.checked_mul(p)).ok_or_else(range);
    let scale = x.max(y);
    match op {
        '*' => {
            let unscaled = a.checked_mul(b).ok_or_else(range)?;
            if x + y > SCALE_MAX {
                return Err(range());
            }
            Ok(Value::Decimal { unscaled, scale: x + y })
        }
        '+' | '-' => {
            let (a, b) = (raised(a, scale - x)?, raised(b, scale - y)?);
            let unscaled = if op == '+' { a.checked_add(b) } else { a.checked_sub(b) };
            Ok(Value::Decimal { unscaled: unscaled.ok_or_else(range)?, scale })
        }
        _ if b == 0 => Err(fails(sqlstate::DIVISION_BY_ZERO, "division by zero", at)),
        '%' => {
            let (a, b) = (raised(a, scale - x)?, raised(b, scale - y)?);
            Ok(Value::Decimal { unscaled: a.checked_rem(b).ok_or_else(range)?, scale })
        }
        _ => {
            let a = raised(a, QUOTIENT_DIGITS + y)?;
            let unscaled = divided(a, raised(b, x)?).ok_or_else(range)?;
            Ok(shortened(unscaled, QUOTIENT_DIGITS, scale))
        }
    }
}

/// Rounded to the nearest, halves away from zero.
fn divided(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    let rest = a.checked_rem(b)?.unsigned_abs();
    let up = rest >= b.unsigned_abs() - rest;
    match (up && rest > 0, (a < 0) == (b < 0)) {
        (false, _) => Some(quotient),
        (true, true) => quotient.checked_add(1),
        (true, false) => quotient.checked_sub(1),
    }
}

/// Without trailing zeros behind the point, but not fewer digits than `least`.
fn shortened(mut unscaled: i128, mut scale: u32, least: u32) -> Value {
    while scale > least && unscaled % 10 == 0 {
        unscaled /= 10;
        scale -= 1;
    }
    Value::Decimal { unscaled, scale }
}

fn cast(value: Value, ty: &ColumnType, at: u32) -> Result<Value, SqlError> {
    let invalid =
        |what: &str| fails(sqlstate::INVALID_TEXT, &format!("invalid input for {what}"), at);
    if value == Value::Null {
        return Ok(Value::Null);
    }
    match ty {
        ColumnType::SmallInt | ColumnType::Int | ColumnType::BigInt => {
            let (unscaled, scale) = numeric(value).ok_or_else(|| invalid("an integer"))?;
            let v = rounded(unscaled, scale, 0).and_then(|v| i64::try_from(v).ok());
            let (low, high) = ty.limits().unwrap_or((0, 0));
            match v.filter(|v| (low..=high).contains(v)) {
                Some(v) => Ok(Value::Int { v, wide: *ty == ColumnType::BigInt }),
                None => Err(out_of_range(&ty.sql_name().to_lowercase(), at)),
            }
        }
        ColumnType::Decimal { scale: to, .. } => {
            let (unscaled, scale) = numeric(value).ok_or_else(|| invalid("a number"))?;
            let to = u32::from(*to);
            let (low, high) = ty.limits().unwrap_or((0, 0));
            match rounded(unscaled, scale, to) {
                Some(v) if (i128::from(low)..=i128::from(high)).contains(&v) => {
                    Ok(Value::Decimal { unscaled: v, scale: to })
                }
                _ => Err(out_of_range("numeric", at)),
            }
        }
        ColumnType::Double { .. } => {
            let (unscaled, scale) = numeric(value).ok_or_else(|| invalid("a number"))?;
            Ok(Value::Decimal { unscaled, scale })
        }
        ColumnType::Varchar { bytes_max } => {
            let text = value.text().unwrap_or_default();
            if text.len() > *bytes_max as usize {
                let message = format!("the value is longer than {bytes_max} bytes");
                return Err(fails(sqlstate::STRING_TOO_LONG, &message, at));
            }
            Ok(Value::Text(text))
        }
        ColumnType::Timestamp => match value {
            Value::Text(_) | Value::Date(_) => Ok(value),
            _ => Err(mismatch(at)),
        },
        ColumnType::Date => match value {
            Value::Text(text) => date(&text, at),
            Value::Date(days) => Ok(Value::Date(days)),
            _ => Err(mismatch(at)),
        },
        ColumnType::Boolean => match value {
            Value::Bool(b) => Ok(Value::Bool(b)),
            Value::Int { v, .. } => Ok(Value::Bool(v != 0)),
            Value::Text(text) => match text.trim().to_lowercase().as_str() {
                "t" | "true" | "1" | "y" | "yes" | "on" => Ok(Value::Bool(true)),
                "f" | "false" | "0" | "n" | "no" | "off" => Ok(Value::Bool(false)),
                _ => Err(invalid("a boolean")),
            },
            _ => Err(mismatch(at)),
        },
        _ => Err(mismatch(at)),
    }
}

fn numeric(value: Value) -> Option<(i128, u32)> {
    match value {
        Value::Bool(b) => Some((i128::from(b), 0)),
        Value::Text(text) => {
            let text = text.trim();
            let (negative, digits) = match text.strip_prefix('-') {
                Some(digits) => (true, digits),
                None => (false, text.strip_prefix('+').unwrap_or(text)),
            };
            let plain = digits
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
            if digits.is_empty()
                || !plain
                || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            {
                return None;
            }
            let (v, scale) = number(digits).decimal()?;
            Some((if negative { -v } else { v }, scale))
        }
        number => number.decimal(),
    }
}

fn rounded(unscaled: i128, from: u32, to: u32) -> Option<i128> {
    if to >= from {
        10_i128.checked_pow(to - from)?.checked_mul(unscaled)
    } else {
        divided(unscaled, 10_i128.checked_pow(from - to)?)
    }
}

/// A cell as SQL text that gives the same cell again.
pub(super) fn literal_text(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".into(),
        Cell::Bool(true) => "TRUE".into(),
        Cell::Bool(false) => "FALSE".into(),
        Cell::Number(digits) => digits.clone(),
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Cell::Date(days) => {
            format!("DATE '{}'", date_of_days(*days).map_or_else(String::new, |d| d.to_string()))
        }
    }
}

/// The cell of a text made by [`literal_text`].
///
/// # Errors
/// `42601` for any other text.
pub(crate) fn parse_literal(text: &str) -> Result<Cell, SqlError> {
    let fragments = super::split(text)?;
    let [fragment] = fragments.as_slice() else {
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "a default is one constant"));
    };
    let mut p = Parser::new(fragment);
    let cell = constant(&mut p)?;
    p.end()?;
    Ok(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        literal_text(&parse_literal(text).unwrap())
    }

    fn refused(text: &str) -> (String, u32) {
        let e = parse_literal(text).unwrap_err();
        (e.sqlstate, e.position)
    }

    #[test]
    fn constants_are_computed_as_postgres_does() {
        for (text, due) in [
            ("1+2", "3"),
            ("1 + 2 * 3", "7"),
            ("(1+2)*3", "9"),
            ("- - 5", "5"),
            ("+5", "5"),
            ("-2147483648", "-2147483648"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("7/2", "3"),
            ("-7/2", "-3"),
            ("-7 % 4", "-3"),
            ("7.0/2", "3.5"),
            ("1.5 + 2", "3.5"),
            ("1.50 * 2.0", "3.000"),
            ("1/3.0 * 3", "0.99999999999999999999"),
            ("1e3", "1000"),
            ("1.5e-2", "0.015"),
            ("'a' || 'b' || 1", "'ab1'"),
            ("'a' || NULL", "NULL"),
            ("NULL + 1", "NULL"),
            ("'it''s'", "'it''s'"),
            ("CAST(2.5 AS INT)", "3"),
            ("CAST(-2.5 AS INT)", "-3"),
            ("'12'::int + 1", "13"),
            ("CAST(1.005 AS DECIMAL(8,2))", "1.01"),
            ("CAST(7 AS VARCHAR(3))", "'7'"),
            ("DATE '2024-02-28' + 2", "DATE '2024-03-01'"),
            ("DATE '2024-03-01' - DATE '2024-02-28'", "2"),
            ("'2024-02-29'::date", "DATE '2024-02-29'"),
            ("'yes'::boolean", "TRUE"),
            ("TRUE", "TRUE"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(value(text), due, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_refused_at_its_place() {
        for (text, state, at) in [
            ("2147483647 + 1", "22003", 12),
            ("9223372036854775807 * 2", "22003", 21),
            ("1 / 0", "22012", 3),
            ("1.0 % 0", "22012", 5),
            ("TRUE + 1", "42804", 6),
            ("- 'a'", "42804", 1),
            ("abs(1)", "0A000", 1),
            ("1 +", "42601", 4),
            ("1 2", "42601", 3),
            ("(1", "42601", 3),
            ("CAST('x' AS INT)", "22P02", 1),
            ("CAST(99999 AS SMALLINT)", "22003", 1),
            ("CAST(1 AS DATE)", "42804", 1),
            ("DATE 5", "42601", 6),
            ("DATE '2023-02-29'", "22007", 1),
        ] {
            assert_eq!(refused(text), (state.to_owned(), at), "{text}");
        }
        assert_eq!(refused(&"(".repeat(200)).0, "54000");
    }
}
