//! `--create`: a schema read off the files. What it says becomes public, so that it says as little
//! as it can (ranges are rounded outwards) and names everything that it gives away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{Datelike as _, NaiveDate};
use trine_proto::schema::{
    Column, ColumnType, DECIMAL_DIGITS_MAX, Secrecy, TableSchema, VARCHAR_BYTES_MAX,
};
use trine_proto::status::{SqlError, sqlstate};

use super::source::{bad, open, read_header, unreadable};
use crate::catalog::bound;
use crate::encode::{date_of_days, parse_date};

/// Different values that a column of text may have to become an ENUM.
const LABELS_PROPOSED_MAX: usize = 32;
/// Bytes of a label of a proposed ENUM.
const LABEL_BYTES_MAX: usize = 64;
/// How often each label must occur on average: what is rarely repeated is no category.
const ROWS_PER_LABEL: u64 = 4;

/// A schema for files, and what creating it tells everybody.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The schema.
    pub schema: TableSchema,
    /// One sentence for each thing that becomes public.
    pub public: Vec<String>,
}

impl Proposal {
    /// The CREATE TABLE statement.
    #[must_use]
    pub fn sql(&self) -> String {
        let columns: Vec<String> = self
            .schema
            .columns
            .iter()
            .map(|c| {
                let range = c.range.map_or_else(String::new, |(low, high)| {
                    format!(" RANGE ({}, {})", bound(&c.ty, low), bound(&c.ty, high))
                });
                let null = if c.nullable { "" } else { " NOT NULL" };
                format!("    {} {}{range}{null}", quoted(&c.name), c.ty.sql_name())
            })
            .collect();
        format!("CREATE TABLE {} (\n{}\n)", quoted(&self.schema.name), columns.join(",\n"))
    }
}

fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.starts_with(|c: char| !c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Reads the files once and proposes the narrowest types that hold all their cells.
///
/// # Errors
/// `22P04` for a file that cannot be read or a column of which nothing is known; `42701` for a name
/// that appears twice.
pub fn propose(table: &str, files: &[PathBuf], null: &str) -> Result<Proposal, SqlError> {
    let mut facts: Vec<(String, Facts)> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        read_facts(file, null, index == 0, &mut facts)?;
    }
    let mut columns = Vec::with_capacity(facts.len());
    let mut public = Vec::new();
    for (name, facts) in facts {
        let column = facts.column(name, &files[0])?;
        public.extend(disclosed(&column));
        columns.push(column);
    }
    let schema = TableSchema { name: table.to_owned(), columns, primary_key: Vec::new() };
    Ok(Proposal { schema, public })
}

fn read_facts(
    file: &Path,
    null: &str,
    first: bool,
    facts: &mut Vec<(String, Facts)>,
) -> Result<(), SqlError> {
    let mut reader = open(file, b',')?;
    let names: Vec<String> =
        read_header(file, &mut reader)?.iter().map(|n| n.to_lowercase()).collect();
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(bad(format!("{}: column {} has no name", file.display(), i + 1)));
        }
        if names[..i].contains(name) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("{}: column \"{name}\" appears twice in the header", file.display()),
            ));
        }
    }
    if first {
        facts.extend(names.iter().map(|n| (n.clone(), Facts::default())));
    } else if !names.iter().eq(facts.iter().map(|(n, _)| n)) {
        return Err(bad(format!("{}: the header differs from the first file's", file.display()))
            .hint("create the table with CREATE TABLE, then load without --create"));
    }
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|e| unreadable(file, &e))? {
        // A record of another length is reported by the check.
        if record.len() != names.len() {
            continue;
        }
        for (field, (_, facts)) in record.iter().zip(facts.iter_mut()) {
            facts.see(field, null.as_bytes());
        }
    }
    Ok(())
}

/// What is known of a column's cells.
struct Facts {
    rows: u64,
    nulls: u64,
    /// Still possible for every cell seen.
    number: bool,
    date: bool,
    boolean: bool,
    /// Lowest and highest integer, where there was no fraction.
    low: i128,
    high: i128,
    whole_digits: usize,
    fraction_digits: usize,
    days: (i32, i32),
    bytes_max: usize,
    /// Different values; `None` once there are too many.
    labels: Option<BTreeSet<Vec<u8>>>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            rows: 0,
            nulls: 0,
            number: true,
            date: true,
            boolean: true,
            low: i128::MAX,
            high: i128::MIN,
            whole_digits: 1,
            fraction_digits: 0,
            days: (i32::MAX, i32::MIN),
            bytes_max: 0,
            labels: Some(BTreeSet::new()),
        }
    }
}

impl Facts {
    fn see(&mut self, field: &[u8], null: &[u8]) {
        self.rows += 1;
        if field == null {
            self.nulls += 1;
            return;
        }
        self.bytes_max = self.bytes_max.max(field.len());
        let trimmed = field.trim_ascii();
        if self.number {
            self.number = self.see_number(trimmed);
        }
        if self.date {
            match parse_date(trimmed) {
                Ok(day) => self.days = (self.days.0.min(day), self.days.1.max(day)),
                Err(_) => self.date = false,
            }
        }
        let words = ["true", "false", "t", "f"];
        self.boolean &= words.iter().any(|w| trimmed.eq_ignore_ascii_case(w.as_bytes()));
        if let Some(labels) = &mut self.labels {
            let room = labels.len() < LABELS_PROPOSED_MAX && field.len() <= LABEL_BYTES_MAX;
            if !labels.contains(field) {
                if room {
                    labels.insert(field.to_vec());
                } else {
                    self.labels = None;
                }
            }
        }
    }

    /// Takes a plain number (digits, at most one point) into account; false if it is none.
    fn see_number(&mut self, text: &[u8]) -> bool {
        let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
        let point = digits.iter().position(|c| *c == b'.').unwrap_or(digits.len());
        let fraction = digits.get(point + 1..).unwrap_or_default();
        let all_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        let whole = &digits[..point];
        let none = whole.is_empty() && fraction.is_empty();
        if none || !all_digits(whole) || !all_digits(fraction) || digits.len() > 30 {
            return false;
        }
        // A code such as 00712 is text: as a number it would lose its zeros.
        if whole.len() > 1 && whole[0] == b'0' {
            return false;
        }
        let significant = fraction.iter().rposition(|d| *d != b'0').map_or(0, |last| last + 1);
        self.whole_digits = self.whole_digits.max(whole.len());
        self.fraction_digits = self.fraction_digits.max(significant);
        let value = whole.iter().fold(0_i128, |v, d| v * 10 + i128::from(d - b'0'));
        let value = if text.starts_with(b"-") { -value } else { value };
        self.low = self.low.min(value);
        self.high = self.high.max(value);
        true
    }

    fn column(self, name: String, file: &Path) -> Result<Column, SqlError> {
        if self.rows == self.nulls {
            return Err(bad(format!("{}: column \"{name}\" has no value", file.display()))
                .hint("create the table with CREATE TABLE, then load without --create"));
        }
        let (ty, range) = self.typed(&name)?;
        Ok(Column { name, ty, nullable: self.nulls > 0, secrecy: Secrecy::Secret, range })
    }

    fn typed(&self, name: &str) -> Result<(ColumnType, Option<(i64, i64)>), SqlError> {
        if self.boolean {
            return Ok((ColumnType::Boolean, None));
        }
        if self.number && self.fraction_digits == 0 {
            if let Some(whole) = self.whole() {
                return Ok(whole);
            }
        } else if self.number {
            let digits = self.whole_digits + self.fraction_digits;
            let scale = u8::try_from(self.fraction_digits).unwrap_or(u8::MAX);
            if digits <= usize::from(DECIMAL_DIGITS_MAX) {
                let precision = u8::try_from(digits).unwrap_or(DECIMAL_DIGITS_MAX);
                return Ok((ColumnType::Decimal { precision, scale }, None));
            }
        }
        if self.date {
            return Ok((ColumnType::Date, self.decades()));
        }
        if let Some(labels) = &self.labels
            && self.rows - self.nulls >= ROWS_PER_LABEL * labels.len() as u64
        {
            let text = labels.iter().map(|l| String::from_utf8(l.clone()));
            if let Ok(labels) = text.collect::<Result<Vec<_>, _>>() {
                return Ok((ColumnType::Enum { labels }, None));
            }
        }
        // Rounded up, so that the longest value does not show exactly.
        let bytes = u32::try_from(self.bytes_max.max(1).next_multiple_of(8)).unwrap_or(u32::MAX);
        if self.bytes_max > VARCHAR_BYTES_MAX as usize {
            return Err(bad(format!(
                "column \"{name}\" has a value of {} bytes; VARCHAR takes {VARCHAR_BYTES_MAX}",
                self.bytes_max
            )));
        }
        Ok((ColumnType::Varchar { bytes_max: bytes.min(VARCHAR_BYTES_MAX) }, None))
    }

    /// INT or BIGINT with a range of full powers of ten.
    fn whole(&self) -> Option<(ColumnType, Option<(i64, i64)>)> {
        let outwards = |v: i128| -> i128 {
            (0..).map(|digits| 10_i128.pow(digits) - 1).find(|top| v.abs() <= *top).unwrap_or(v)
        };
        let low = if self.low < 0 { -outwards(self.low) } else { 0 };
        let high = if self.high > 0 { outwards(self.high) } else { 0 };
        let fits = |v: i128, bits: u32| -(1_i128 << (bits - 1)) <= v && v < 1_i128 << (bits - 1);
        let (ty, bits) = if fits(self.low, 32) && fits(self.high, 32) {
            (ColumnType::Int, 32)
        } else if fits(self.low, 64) && fits(self.high, 64) {
            (ColumnType::BigInt, 64)
        } else {
            return None;
        };
        let range = if fits(low, bits) && fits(high, bits) && low < high {
            i64::try_from(low).ok().zip(i64::try_from(high).ok())
        } else {
            None
        };
        Some((ty, range))
    }

    /// The decades around all dates.
    fn decades(&self) -> Option<(i64, i64)> {
        let first = date_of_days(self.days.0)?.year().div_euclid(10) * 10;
        let last = date_of_days(self.days.1)?.year().div_euclid(10) * 10 + 9;
        let day = |year, month, day| {
            let date = NaiveDate::from_ymd_opt(year, month, day)?;
            parse_date(date.to_string().as_bytes()).ok().map(i64::from)
        };
        day(first, 1, 1).zip(day(last, 12, 31))
    }
}

/// What the definition of a column tells about its values.
fn disclosed(column: &Column) -> Vec<String> {
    let name = &column.name;
    let mut told = Vec::new();
    if let Some((low, high)) = column.range {
        let (low, high) = (bound(&column.ty, low), bound(&column.ty, high));
        told.push(format!("column {name}: its values lie from {low} to {high}"));
    }
    match &column.ty {
        ColumnType::Enum { labels } => {
            let labels: Vec<String> = labels.iter().map(|l| format!("'{l}'")).collect();
            told.push(format!("column {name}: its values are {}", labels.join(", ")));
        }
        ColumnType::Varchar { bytes_max } => {
            told.push(format!("column {name}: its values have at most {bytes_max} bytes"));
        }
        ColumnType::Decimal { precision, scale } => told.push(format!(
            "column {name}: its values have at most {precision} digits, {scale} after the point"
        )),
        _ => {}
    }
    if !column.nullable {
        told.push(format!("column {name}: it has no NULL"));
    }
    told
}
