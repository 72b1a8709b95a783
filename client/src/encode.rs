//! Typed cells into encoded rows, as `trine_proto::schema` defines them. Every check that input can
//! fail (type, range, length, NOT NULL, dictionary) is here, on the owner's machine.
//!
//! A reason never quotes the cell: it may end up in a log.

use std::collections::HashMap;
use std::fmt;

use chrono::{Datelike as _, NaiveDate};
use trine_proto::schema::{Column, ColumnType, StoredColumn, TableSchema};
use trine_proto::status::{SqlError, sqlstate};

/// Days from 0001-01-01 (day 1) to 1970-01-01.
const EPOCH_FROM_CE: i32 = 719_163;
/// Microseconds of a day.
const DAY_MICROS: i128 = 86_400_000_000;

/// A value as its user wrote it.
#[derive(Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Bool(bool),
    /// An exact number: sign, digits, point, exponent.
    Number(String),
    /// A string; also stands for a value of any other type, as in SQL.
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool(_)",
            Self::Number(_) => "Number(_)",
            Self::Text(_) => "Text(_)",
            Self::Date(_) => "Date(_)",
        })
    }
}

/// A checked value of a column, not yet laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Encoded<'a> {
    /// NULL.
    Null,
    /// The encoded integer v, within the column's limits.
    Integer(i64),
    /// Text of at most the column's bytes.
    Bytes(&'a [u8]),
}

/// Why a cell does not fit its column. Holds nothing of the cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// One of `trine_proto::status::sqlstate`.
    pub sqlstate: &'static str,
    /// What is wrong, without the column's name.
    pub reason: String,
}

fn fail<T>(sqlstate: &'static str, reason: impl Into<String>) -> Result<T, CellError> {
    Err(CellError { sqlstate, reason: reason.into() })
}

impl CellError {
    /// As an error that a user meets.
    #[must_use]
    pub fn of_column(self, column: &str) -> SqlError {
        SqlError::new(self.sqlstate, format!("column \"{column}\": {}", self.reason))
    }
}

/// Checks and encodes the values of one column.
#[derive(Clone, Debug)]
pub struct ColumnEncoder {
    column: Column,
    limits: (i64, i64),
    labels: HashMap<Vec<u8>, i64>,
    bits: u32,
    row_bytes: usize,
    arithmetic: bool,
}

impl ColumnEncoder {
    /// For a column of a schema.
    #[must_use]
    pub fn new(column: &Column) -> Self {
        let labels = match &column.ty {
            ColumnType::Enum { labels } => {
                labels.iter().map(|l| l.as_bytes().to_vec()).zip(0..).collect()
            }
            _ => HashMap::new(),
        };
        let bits = column.bits();
        Self {
            limits: column.limits().unwrap_or((0, 0)),
            labels,
            bits,
            row_bytes: (bits + u32::from(column.nullable)).div_ceil(8) as usize,
            arithmetic: column.ty.is_numeric(),
            column: column.clone(),
        }
    }

    /// The column.
    #[must_use]
    pub const fn column(&self) -> &Column {
        &self.column
    }

    /// NULL.
    ///
    /// # Errors
    /// `23502` if the column is NOT NULL.
    pub fn null(&self) -> Result<Encoded<'static>, CellError> {
        if self.column.nullable {
            Ok(Encoded::Null)
        } else {
            fail(sqlstate::NOT_NULL_VIOLATION, "NULL in a column that is NOT NULL")
        }
    }

    /// The text of a file's cell, or of a string literal. White space around numbers, dates and
    /// booleans does not count.
    ///
    /// # Errors
    /// `22P02`, `22003`, `22007` or `22001`.
    pub fn text<'a>(&self, field: &'a [u8]) -> Result<Encoded<'a>, CellError> {
        match &self.column.ty {
            ColumnType::Varchar { bytes_max } => {
                check_text(field, *bytes_max)?;
                Ok(Encoded::Bytes(field))
            }
            ColumnType::Enum { labels } => match self.labels.get(field) {
                Some(index) => Ok(Encoded::Integer(*index)),
                None => fail(sqlstate::INVALID_TEXT, format!("not one of {}", shown(labels))),
            },
            ColumnType::Boolean => parse_bool(field.trim_ascii()).map(Encoded::Integer),
            ColumnType::Date => {
                self.within(i128::from(parse_date(field.trim_ascii())?)).map(Encoded::Integer)
            }
            ColumnType::Timestamp => {
                self.within(parse_timestamp(field.trim_ascii())?).map(Encoded::Integer)
            }
            ColumnType::Decimal { scale, .. } => self.number(field.trim_ascii(), *scale),
            ColumnType::Double { fraction_bits } => {
                let steps = steps(field.trim_ascii(), *fraction_bits)?;
                self.within(steps).map(Encoded::Integer)
            }
            ColumnType::SmallInt | ColumnType::Int | ColumnType::BigInt => {
                self.number(field.trim_ascii(), 0)
            }
        }
    }

    /// A literal.
    ///
    /// # Errors
    /// Those of [`Self::null`] and [`Self::text`]; `42804` if its type does not go with the column's.
    pub fn cell<'a>(&self, cell: &'a Cell) -> Result<Encoded<'a>, CellError> {
        let mismatch = |kind: &str| {
            fail(
                sqlstate::DATATYPE_MISMATCH,
                format!(
                    "a {kind} does not go into a column of type {}",
                    kind_name(&self.column.ty)
                ),
            )
        };
        match (cell, &self.column.ty) {
            (Cell::Null, _) => self.null(),
            (Cell::Text(text), _) => self.text(text.as_bytes()),
            (Cell::Bool(b), ColumnType::Boolean) => Ok(Encoded::Integer(i64::from(*b))),
            (Cell::Bool(_), _) => mismatch("boolean"),
            (Cell::Date(days), ColumnType::Date) => {
                self.within(i128::from(*days)).map(Encoded::Integer)
            }
            (Cell::Date(days), ColumnType::Timestamp) => {
                self.within(i128::from(*days) * DAY_MICROS).map(Encoded::Integer)
            }
            (Cell::Date(_), _) => mismatch("date"),
            (Cell::Number(n), ty) if ty.is_numeric() => self.text(n.as_bytes()),
            (Cell::Number(n), ColumnType::Varchar { .. }) => self.text(n.as_bytes()),
            (Cell::Number(_), _) => mismatch("number"),
        }
    }

    fn number(&self, text: &[u8], scale: u8) -> Result<Encoded<'static>, CellError> {
        let value = match plain_integer(text) {
            Some(v) if scale == 0 => i128::from(v),
            _ => parse_number(text, scale)?,
        };
        self.within(value).map(Encoded::Integer)
    }

    fn within(&self, value: i128) -> Result<i64, CellError> {
        let (low, high) = self.limits;
        match i64::try_from(value) {
            Ok(v) if low <= v && v <= high => Ok(v),
            _ if self.column.range.is_some() => {
                fail(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "outside of the declared range")
            }
            _ => fail(
                sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("out of range for {}", kind_name(&self.column.ty)),
            ),
        }
    }

    /// Appends one row of the boolean encoding, and of the arithmetic one if the column has it.
    pub fn append(&self, value: Encoded<'_>, boolean: &mut Vec<u8>, arithmetic: &mut Vec<u8>) {
        let start = boolean.len();
        boolean.resize(start + self.row_bytes, 0);
        let row = &mut boolean[start..];
        match value {
            Encoded::Null => row[self.bits as usize / 8] |= 1 << (self.bits % 8),
            Encoded::Integer(v) => {
                // v >= low, so that the wrapped difference is the true one.
                let offset = v.wrapping_sub(self.limits.0).cast_unsigned().to_le_bytes();
                let used = self.row_bytes.min(8);
                row[..used].copy_from_slice(&offset[..used]);
            }
            Encoded::Bytes(text) => {
                // The first byte is the most significant one of a little-endian number.
                let top = self.bits as usize / 8;
                for (to, from) in row[top - text.len()..top].iter_mut().zip(text.iter().rev()) {
                    *to = *from;
                }
            }
        }
        if self.arithmetic {
            let v = if let Encoded::Integer(v) = value { v } else { 0 };
            arithmetic.extend_from_slice(&v.to_le_bytes());
        }
    }
}

/// Plain stored vectors of up to one chunk of rows: what is cut next.
#[derive(Clone, Default)]
pub struct PlainChunk {
    /// Rows held.
    pub rows: usize,
    /// Per column: bytes of the boolean encoding, bytes of the arithmetic encoding (empty if none).
    columns: Vec<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for PlainChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainChunk({} rows)", self.rows)
    }
}

impl PlainChunk {
    /// The stored vectors in the order of `TableSchema::stored_columns`.
    #[must_use]
    pub fn into_stored(self, stored: &[StoredColumn]) -> Vec<Vec<u8>> {
        use trine_proto::schema::Form;
        let mut columns = self.columns;
        stored
            .iter()
            .map(|s| match (columns.get_mut(s.column), s.form) {
                (Some(c), Form::Boolean) => std::mem::take(&mut c.0),
                (Some(c), Form::Arithmetic) => std::mem::take(&mut c.1),
                (None, _) => Vec::new(),
            })
            .collect()
    }
}

/// Encodes the rows of one table.
#[derive(Clone, Debug)]
pub struct RowEncoder {
    columns: Vec<ColumnEncoder>,
}

impl RowEncoder {
    /// For a table.
    #[must_use]
    pub fn new(schema: &TableSchema) -> Self {
        Self { columns: schema.columns.iter().map(ColumnEncoder::new).collect() }
    }

    /// The columns' encoders, in the order of the schema.
    #[must_use]
    pub fn columns(&self) -> &[ColumnEncoder] {
        &self.columns
    }

    /// An empty chunk with room for `rows`.
    #[must_use]
    pub fn chunk(&self, rows: usize) -> PlainChunk {
        let columns = self
            .columns
            .iter()
            .map(|c| {
                let arithmetic = if c.arithmetic { rows * 8 } else { 0 };
                (Vec::with_capacity(rows * c.row_bytes), Vec::with_capacity(arithmetic))
            })
            .collect();
        PlainChunk { rows: 0, columns }
    }

    /// Appends a row; `cell(i)` is the checked value of column i. Nothing is appended on an error.
    ///
    /// # Errors
    /// The first error of a cell, with the column's position.
    pub fn append<'a, F>(&self, chunk: &mut PlainChunk, cell: F) -> Result<(), (usize, CellError)>
    where
        F: Fn(usize, &ColumnEncoder) -> Result<Encoded<'a>, CellError>,
    {
        for (i, encoder) in self.columns.iter().enumerate() {
            match cell(i, encoder) {
                Ok(value) => {
                    let (boolean, arithmetic) = &mut chunk.columns[i];
                    encoder.append(value, boolean, arithmetic);
                }
                Err(e) => {
                    for (done, c) in self.columns[..i].iter().zip(&mut chunk.columns) {
                        c.0.truncate(chunk.rows * done.row_bytes);
                        c.1.truncate(chunk.rows * 8);
                    }
                    return Err((i, e));
                }
            }
        }
        chunk.rows += 1;
        Ok(())
    }
}

/// "DECIMAL(10,2)" but "ENUM" without its dictionary.
fn kind_name(ty: &ColumnType) -> String {
    match ty {
        ColumnType::Enum { .. } => "ENUM".into(),
        _ => ty.sql_name(),
    }
}

fn shown(labels: &[String]) -> String {
    const SHOWN_MAX: usize = 10;
    let quoted: Vec<String> = labels.iter().take(SHOWN_MAX).map(|l| format!("'{l}'")).collect();
    let more = labels.len().saturating_sub(SHOWN_MAX);
    if more == 0 { quoted.join(", ") } else { format!("{} and {more} more", quoted.join(", ")) }
}

fn check_text(field: &[u8], bytes_max: u32) -> Result<(), CellError> {
    if field.len() > bytes_max as usize {
        return fail(
            sqlstate::STRING_TOO_LONG,
            format!("{} bytes, the column takes {bytes_max}", field.len()),
        );
    }
    if std::str::from_utf8(field).is_err() {
        return fail(sqlstate::INVALID_TEXT, "not UTF-8");
    }
    // Text is padded with zero bytes, so that it cannot hold one.
    if field.contains(&0) {
        return fail(sqlstate::INVALID_TEXT, "a zero byte cannot be stored");
    }
    Ok(())
}

/// `t`, `true`, `1`, `y`, `yes`, `on` and their opposites, in any case.
fn parse_bool(text: &[u8]) -> Result<i64, CellError> {
    let is = |words: [&str; 6]| words.iter().any(|w| text.eq_ignore_ascii_case(w.as_bytes()));
    if is(["t", "true", "1", "y", "yes", "on"]) {
        Ok(1)
    } else if is(["f", "false", "0", "n", "no", "off"]) {
        Ok(0)
    } else {
        fail(sqlstate::INVALID_TEXT, "not a boolean: write true or false")
    }
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
///
/// # Errors
/// `22007` if it is written otherwise or is no day of the calendar.
pub fn parse_date(text: &[u8]) -> Result<i32, CellError> {
    let digits = |from: usize, to: usize| {
        text.get(from..to)?
            .iter()
            .try_fold(0_u32, |n, d| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0')))
    };
    let parts = if text.len() == 10 && text[4] == b'-' && text[7] == b'-' {
        digits(0, 4).zip(digits(5, 7)).zip(digits(8, 10))
    } else {
        None
    };
    let Some(((year, month), day)) = parts else {
        return fail(sqlstate::INVALID_DATETIME, "not a date: write YYYY-MM-DD");
    };
    match i32::try_from(year).ok().and_then(|y| NaiveDate::from_ymd_opt(y, month, day)) {
        Some(date) => Ok(date.num_days_from_ce() - EPOCH_FROM_CE),
        None => fail(sqlstate::INVALID_DATETIME, "no such day in the calendar"),
    }
}

/// Microseconds since 1970-01-01 00:00:00 of `YYYY-MM-DD[ HH:MM[:SS[.ffffff]]]`; more digits are rounded.
fn parse_timestamp(text: &[u8]) -> Result<i128, CellError> {
    let (date, time) = text.split_at(text.len().min(10));
    let midnight = i128::from(parse_date(date)?) * DAY_MICROS;
    let wrong = || CellError {
        sqlstate: sqlstate::INVALID_DATETIME,
        reason: "not a timestamp: write YYYY-MM-DD HH:MM:SS".into(),
    };
    let Some((b' ' | b'T', time)) = time.split_first() else {
        return if time.is_empty() { Ok(midnight) } else { Err(wrong()) };
    };
    let two = |text: &[u8]| match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => {
            Some(i128::from(a - b'0') * 10 + i128::from(b - b'0'))
        }
        _ => None,
    };
    let mut parts = time.splitn(3, |c| *c == b':');
    let hours = parts.next().and_then(two).filter(|h| *h < 24).ok_or_else(wrong)?;
    let minutes = parts.next().and_then(two).filter(|m| *m < 60).ok_or_else(wrong)?;
    let micros = match parts.next() {
        None => 0,
        Some(seconds) => {
            let (whole, fraction) = seconds.split_at(seconds.len().min(2));
            let whole = two(whole).filter(|s| *s < 60).ok_or_else(wrong)?;
            let fraction = match fraction.split_first() {
                None => 0,
                Some((b'.', digits)) if digits.iter().all(u8::is_ascii_digit) => {
                    let digit = |at: usize| digits.get(at).map_or(0, |d| i128::from(d - b'0'));
                    let six = (0..6).fold(0, |n, at| n * 10 + digit(at));
                    six + i128::from(digit(6) >= 5)
                }
                Some(_) => return Err(wrong()),
            };
            whole * 1_000_000 + fraction
        }
    };
    Ok(midnight + (hours * 60 + minutes) * 60_000_000 + micros)
}

/// The calendar date of a day number, `None` where the calendar ends.
#[must_use]
pub fn date_of_days(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_FROM_CE)?)
}

/// The common case of a number: a sign and at most 18 digits.
fn plain_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_i64;
    for d in digits {
        if !d.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(d - b'0');
    }
    Some(if negative { -value } else { value })
}

/// A number as a multiple of 2^-fraction_bits: the nearest double, then the nearest multiple, ties away
/// from zero.
fn steps(text: &[u8], fraction_bits: u8) -> Result<i128, CellError> {
    let malformed =
        || CellError { sqlstate: sqlstate::INVALID_TEXT, reason: "not a number".into() };
    // Not "inf" and "NaN", which the parser of numbers takes as well.
    let plain = text.iter().all(|c| c.is_ascii_digit() || b"+-.eE".contains(c));
    let text = std::str::from_utf8(text).ok().filter(|_| plain).ok_or_else(malformed)?;
    let value: f64 = text.parse().map_err(|_| malformed())?;
    let scaled = (value * 2_f64.powi(i32::from(fraction_bits))).round();
    if scaled.abs() < 2_f64.powi(100) {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number below 2^100")]
        let whole = scaled as i128;
        return Ok(whole);
    }
    fail(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "out of range for DOUBLE PRECISION")
}

/// A number times 10^scale, exactly: sign, digits, point, exponent.
fn parse_number(text: &[u8], scale: u8) -> Result<i128, CellError> {
    let malformed =
        || CellError { sqlstate: sqlstate::INVALID_TEXT, reason: "not a number".into() };
    let too_large = || CellError {
        sqlstate: sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
        reason: "number with too many digits".into(),
    };
    let (mantissa, exponent) = match text.iter().position(|c| matches!(c, b'e' | b'E')) {
        None => (text, 0),
        Some(at) => {
            let exponent = plain_integer(&text[at + 1..]).ok_or_else(malformed)?;
            (&text[..at], i32::try_from(exponent).map_err(|_| too_large())?)
        }
    };
    let (negative, digits) = match mantissa {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mut value, mut count, mut fraction, mut point) = (0_i128, 0_i32, 0_i32, false);
    for c in digits {
        match c {
            b'0'..=b'9' => {
                value = value
                    .checked_mul(10)
                    .and_then(|v| v.checked_add(i128::from(c - b'0')))
                    .ok_or_else(too_large)?;
                count += 1;
                fraction += i32::from(point);
            }
            b'.' if !point => point = true,
            _ => return Err(malformed()),
        }
    }
    if count == 0 {
        return Err(malformed());
    }
    let shift = i32::from(scale).saturating_add(exponent).saturating_sub(fraction);
    let power = |n: u32| 10_i128.checked_pow(n);
    let scaled = if value == 0 {
        0
    } else if let Ok(up) = u32::try_from(shift) {
        power(up).and_then(|f| value.checked_mul(f)).ok_or_else(too_large)?
    } else {
        match power(shift.unsigned_abs()) {
            Some(f) if value % f == 0 => value / f,
            _ if scale == 0 => {
                return fail(sqlstate::INVALID_TEXT, "not a whole number");
            }
            _ => {
                return fail(
                    sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                    format!("more than {scale} digits after the point"),
                );
            }
        }
    };
    Ok(if negative { -scaled } else { scaled })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::schema::Secrecy;

    fn column(ty: ColumnType, nullable: bool, range: Option<(i64, i64)>) -> ColumnEncoder {
        let name = "c".to_owned();
        ColumnEncoder::new(&Column { name, ty, nullable, secrecy: Secrecy::Secret, range })
    }

    fn integer(c: &ColumnEncoder, text: &str) -> Result<i64, &'static str> {
        match c.text(text.as_bytes()) {
            Ok(Encoded::Integer(v)) => Ok(v),
            Ok(_) => Err("no integer"),
            Err(e) => Err(e.sqlstate),
        }
    }

    #[test]
    fn integers_are_held_to_their_type_and_range() {
        let small = column(ColumnType::SmallInt, true, None);
        assert_eq!(integer(&small, " -32768 "), Ok(-32768));
        assert_eq!(integer(&small, "1e2"), Ok(100));
        assert_eq!(integer(&small, "7.0"), Ok(7));
        assert_eq!(integer(&small, "32768"), Err("22003"));
        assert_eq!(integer(&small, "1.5"), Err("22P02"));
        for bad in ["", "-", "x", "1x", "1 2", ".", "1.2.3", "e5", "0x10"] {
            assert_eq!(integer(&small, bad), Err("22P02"), "{bad}");
        }
        let big = column(ColumnType::BigInt, true, None);
        assert_eq!(integer(&big, "-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer(&big, "9223372036854775808"), Err("22003"));
        assert_eq!(integer(&big, "1e400"), Err("22003"));
        let ranged = column(ColumnType::Int, true, Some((-5, 10)));
        assert_eq!(integer(&ranged, "10"), Ok(10));
        assert_eq!(integer(&ranged, "11"), Err("22003"));
    }

    #[test]
    fn decimals_are_exact() {
        let d = column(ColumnType::Decimal { precision: 5, scale: 2 }, true, None);
        assert_eq!(integer(&d, "12"), Ok(1200));
        assert_eq!(integer(&d, "-0.07"), Ok(-7));
        assert_eq!(integer(&d, ".5"), Ok(50));
        assert_eq!(integer(&d, "1.230"), Ok(123));
        assert_eq!(integer(&d, "1.23e2"), Ok(12300));
        assert_eq!(integer(&d, "1.234"), Err("22003"));
        assert_eq!(integer(&d, "999.99"), Ok(99999));
        assert_eq!(integer(&d, "1000"), Err("22003"));
        assert_eq!(integer(&d, "1e-60"), Err("22003"));
        assert_eq!(integer(&d, "nan"), Err("22P02"));
    }

    #[test]
    fn dates_and_booleans() {
        let d = column(ColumnType::Date, true, None);
        assert_eq!(integer(&d, "1970-01-01"), Ok(0));
        assert_eq!(integer(&d, "1969-12-31"), Ok(-1));
        assert_eq!(integer(&d, "2024-02-29"), Ok(19782));
        for bad in
            ["2023-02-29", "2024-13-01", "24-01-01", "2024/01/01", "2024-1-1", "", "2024-01-01x"]
        {
            assert_eq!(integer(&d, bad), Err("22007"), "{bad}");
        }
        assert_eq!(date_of_days(19782).unwrap().to_string(), "2024-02-29");
        let b = column(ColumnType::Boolean, true, None);
        assert_eq!(integer(&b, "YES"), Ok(1));
        assert_eq!(integer(&b, "f"), Ok(0));
        assert_eq!(integer(&b, "2"), Err("22P02"));
    }

    #[test]
    fn text_is_never_cut() {
        let c = column(ColumnType::Varchar { bytes_max: 3 }, false, None);
        assert!(c.text("äa".as_bytes()) == Ok(Encoded::Bytes("äa".as_bytes())));
        assert_eq!(c.text("ääa".as_bytes()).err().unwrap().sqlstate, "22001");
        assert_eq!(c.text(b"\xff").err().unwrap().sqlstate, "22P02");
        assert_eq!(c.text(b"a\0").err().unwrap().sqlstate, "22P02");
        assert_eq!(c.null().err().unwrap().sqlstate, "23502");
        let e = column(ColumnType::Enum { labels: vec!["a".into(), "b".into()] }, false, None);
        assert_eq!(integer(&e, "b"), Ok(1));
        assert_eq!(e.text(b"z").err().unwrap().reason, "not one of 'a', 'b'");
    }

    #[test]
    fn doubles_are_the_nearest_step() {
        let double = column(ColumnType::Double { fraction_bits: 8 }, true, None);
        for (text, due) in
            [("1", 256), ("-0.5", -128), ("1e-1", 26), ("0.001953125", 1), ("2.5e2", 64_000)]
        {
            assert!(double.text(text.as_bytes()) == Ok(Encoded::Integer(due)), "{text}");
        }
        let refused = |text: &str| double.text(text.as_bytes()).err().unwrap().sqlstate;
        assert_eq!(refused("NaN"), "22P02");
        assert_eq!(refused("inf"), "22P02");
        assert_eq!(refused("1e"), "22P02");
        assert_eq!(refused("1e400"), "22003");
        assert_eq!(refused("1e20"), "22003");
        let bool = double.cell(&Cell::Bool(true)).err().unwrap();
        assert_eq!(bool.reason, "a boolean does not go into a column of type DOUBLE PRECISION");
    }

    #[test]
    fn timestamps_are_microseconds() {
        let moment = column(ColumnType::Timestamp, true, None);
        for (text, due) in [
            ("1970-01-01", 0),
            ("1970-01-01 00:00", 0),
            ("1970-01-02T01:02:03", 90_123_000_000),
            ("1969-12-31 23:59:59.9999995", 0),
            ("1970-01-01 00:00:00.25", 250_000),
            ("9999-12-31 23:59:59.999999", 253_402_300_799_999_999),
        ] {
            assert!(moment.text(text.as_bytes()) == Ok(Encoded::Integer(due)), "{text}");
        }
        let days = moment.cell(&Cell::Date(1));
        assert!(days == Ok(Encoded::Integer(86_400_000_000)));
        for text in ["1970-01-01x", "1970-01-01 24:00", "1970-01-01 1:00", "1970-01-01 00:00:00.x"]
        {
            assert_eq!(moment.text(text.as_bytes()).err().unwrap().sqlstate, "22007", "{text}");
        }
        let late = moment.text(b"9999-12-31 23:59:59.9999999").err().unwrap();
        assert_eq!((late.sqlstate, late.reason.as_str()), ("22003", "out of range for TIMESTAMP"));
    }

    #[test]
    fn literals_go_with_their_type_only() {
        let int = column(ColumnType::Int, true, None);
        assert_eq!(int.cell(&Cell::Bool(true)).err().unwrap().sqlstate, "42804");
        assert!(int.cell(&Cell::Text("5".into())) == Ok(Encoded::Integer(5)));
        let text = column(ColumnType::Varchar { bytes_max: 8 }, true, None);
        assert!(text.cell(&Cell::Number("5".into())) == Ok(Encoded::Bytes(b"5")));
        let boolean = column(ColumnType::Boolean, true, None);
        assert_eq!(boolean.cell(&Cell::Number("1".into())).err().unwrap().sqlstate, "42804");
        assert_eq!(format!("{:?}", Cell::Text("secret".into())), "Text(_)");
    }

    #[test]
    fn rows_are_laid_out_as_the_contract_says() {
        let layout = |c: &ColumnEncoder, v: Encoded<'_>| {
            let (mut b, mut a) = (Vec::new(), Vec::new());
            c.append(v, &mut b, &mut a);
            (b, a)
        };
        // 0..=9 in four bits, the null bit is bit 4; the arithmetic encoding is v itself.
        let c = column(ColumnType::Int, true, Some((10, 19)));
        assert_eq!(layout(&c, Encoded::Integer(13)), (vec![3], 13_i64.to_le_bytes().to_vec()));
        assert_eq!(layout(&c, Encoded::Null), (vec![16], vec![0; 8]));
        let c = column(ColumnType::Int, true, None);
        assert_eq!(layout(&c, Encoded::Integer(-1)).0, [0xff, 0xff, 0xff, 0x7f, 0]);
        assert_eq!(layout(&c, Encoded::Integer(-1)).1, [0xff; 8]);
        assert_eq!(layout(&c, Encoded::Null).0, [0, 0, 0, 0, 1]);
        let c = column(ColumnType::BigInt, true, None);
        assert_eq!(layout(&c, Encoded::Integer(i64::MAX)).0, [[0xff; 8].as_slice(), &[0]].concat());
        let c = column(ColumnType::Varchar { bytes_max: 4 }, true, None);
        assert_eq!(layout(&c, Encoded::Bytes(b"ab")), (vec![0, 0, b'b', b'a', 0], vec![]));
        assert_eq!(layout(&c, Encoded::Null).0, [0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_bad_row_leaves_the_chunk_as_it_was() {
        let int = |name: &str| Column {
            name: name.into(),
            ty: ColumnType::Int,
            nullable: true,
            secrecy: Secrecy::Secret,
            range: None,
        };
        let schema = TableSchema {
            name: "t".into(),
            columns: vec![int("a"), int("b")],
            primary_key: vec![],
        };
        let encoder = RowEncoder::new(&schema);
        let mut chunk = encoder.chunk(4);
        let good = [b"1".as_slice(), b"2"];
        let bad = [b"3".as_slice(), b"x"];
        encoder.append(&mut chunk, |i, c| c.text(good[i])).unwrap();
        let (at, _) = encoder.append(&mut chunk, |i, c| c.text(bad[i])).unwrap_err();
        encoder.append(&mut chunk, |i, c| c.text(good[i])).unwrap();
        assert_eq!((at, chunk.rows), (1, 2));
        let stored = chunk.into_stored(&schema.stored_columns());
        assert_eq!(stored.iter().map(Vec::len).collect::<Vec<_>>(), [10, 16, 10, 16]);
    }
}
