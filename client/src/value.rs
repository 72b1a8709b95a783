//! What a statement answers: typed values in tables, or that it was done.

use std::fmt;

use chrono::DateTime;
use trine_proto::wire::OutputKind;

use crate::encode::date_of_days;

/// One opened value. Its text is exact, whatever the type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// SMALLINT, INT, BIGINT, and what counts and sums of them need.
    Int(i128),
    /// DECIMAL: `unscaled` / 10^`scale`.
    Decimal {
        /// The digits as an integer.
        unscaled: i128,
        /// How many of them stand after the point.
        scale: u32,
    },
    /// DATE: days since 1970-01-01.
    Date(i32),
    /// TIMESTAMP: microseconds since 1970-01-01 00:00:00.
    Timestamp(i64),
    /// VARCHAR or ENUM.
    Text(String),
    /// DOUBLE PRECISION (AVG).
    Double(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Decimal { unscaled, scale: 0 } => write!(f, "{unscaled}"),
            Self::Decimal { unscaled, scale } => {
                let width = *scale as usize + 1;
                let digits = format!("{:0width$}", unscaled.unsigned_abs());
                let (whole, fraction) = digits.split_at(digits.len() + 1 - width);
                write!(f, "{}{whole}.{fraction}", if *unscaled < 0 { "-" } else { "" })
            }
            Self::Date(days) => match date_of_days(*days) {
                Some(date) => write!(f, "{date}"),
                None => write!(f, "day {days}"),
            },
            Self::Timestamp(micros) => match DateTime::from_timestamp_micros(*micros) {
                Some(moment) => write!(f, "{}", moment.format("%Y-%m-%d %H:%M:%S%.f")),
                None => write!(f, "microsecond {micros}"),
            },
            Self::Text(text) => f.write_str(text),
            Self::Double(x) => write!(f, "{x}"),
        }
    }
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Which [`Value`] its values are (NULL aside).
    pub kind: OutputKind,
    /// The type as SQL writes it, e.g. `DECIMAL(14,6)`.
    pub sql_type: String,
    /// Digits after the point of a DECIMAL.
    pub scale: u32,
}

impl OutputColumn {
    /// A column of text that the client makes itself.
    #[must_use]
    pub fn text(name: &str) -> Self {
        Self { name: name.into(), kind: OutputKind::Text, sql_type: "TEXT".into(), scale: 0 }
    }

    /// A column of whole numbers that the client makes itself.
    #[must_use]
    pub fn integer(name: &str) -> Self {
        Self { name: name.into(), kind: OutputKind::Int, sql_type: "BIGINT".into(), scale: 0 }
    }

    /// Whether its values are numbers (and stand at the right of their column).
    #[must_use]
    pub const fn is_numeric(&self) -> bool {
        matches!(self.kind, OutputKind::Int | OutputKind::Decimal | OutputKind::Double)
    }
}

/// Rows with typed columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<OutputColumn>,
    /// Rows; each has one value per column.
    pub rows: Vec<Vec<Value>>,
    /// EXPLAIN: the whole text; the rows of the one column are its lines, or all of it where it is JSON.
    pub explain: Option<String>,
}

impl Table {
    /// An EXPLAIN's text as a table of one column.
    #[must_use]
    pub fn of_explain(lines: Vec<String>) -> Self {
        let explain = Some(lines.join("\n"));
        let rows = lines.into_iter().map(|l| vec![Value::Text(l)]).collect();
        Self { columns: vec![OutputColumn::text("QUERY PLAN")], rows, explain }
    }
}

/// The answer to one statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A result with rows.
    Rows(Table),
    /// Done, nothing to show.
    Done {
        /// What was done, e.g. `CREATE TABLE`.
        tag: String,
        /// Rows written, where rows were.
        rows: Option<u64>,
        /// Something the user should know.
        notice: Option<String>,
    },
}

impl Answer {
    /// Done, without rows.
    #[must_use]
    pub fn done(tag: &str, notice: Option<String>) -> Self {
        Self::Done { tag: tag.into(), rows: None, notice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_exactly() {
        let d = |unscaled, scale| Value::Decimal { unscaled, scale }.to_string();
        assert_eq!(d(-7, 2), "-0.07");
        assert_eq!(d(0, 3), "0.000");
        assert_eq!(d(123_456, 2), "1234.56");
        assert_eq!(d(-5, 0), "-5");
        assert_eq!(d(i128::MIN, 1), "-17014118346046923173168730371588410572.8");
        assert_eq!(Value::Date(0).to_string(), "1970-01-01");
        assert_eq!(Value::Timestamp(-500_000).to_string(), "1969-12-31 23:59:59.500");
        assert_eq!(Value::Timestamp(1).to_string(), "1970-01-01 00:00:00.000001");
        assert_eq!(Value::Double(2.0).to_string(), "2");
        assert_eq!(Value::Double(0.1).to_string(), "0.1");
    }
}
