//! Values as every engine hands them over, and how sqllogictest writes them.

use std::fmt;

/// One value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Boolean(bool),
    /// Any integer.
    Integer(i128),
    /// Exact decimal: digits / 10^scale.
    Decimal {
        /// Scaled value.
        digits: i128,
        /// Digits after the point.
        scale: u8,
    },
    /// Floating or fixed point number.
    Double(f64),
    /// Text, and everything that is written as text (dates).
    Text(String),
}

/// What an engine answered to one statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Column names; empty for a statement without a result.
    pub columns: Vec<String>,
    /// Rows of `columns.len()` values each.
    pub rows: Vec<Vec<Value>>,
    /// Rows that a statement without a result inserted.
    pub affected: Option<u64>,
    /// Whether this is a result set at all.
    pub is_result: bool,
}

impl Output {
    /// A statement without a result.
    #[must_use]
    pub fn done(affected: Option<u64>) -> Self {
        Self { affected, ..Self::default() }
    }
    /// A result set.
    #[must_use]
    pub const fn result(columns: Vec<String>, rows: Vec<Vec<Value>>) -> Self {
        Self { columns, rows, affected: None, is_result: true }
    }
}

impl Value {
    /// As sqllogictest compares it under a type letter: `I` truncates to an integer, `R` has three
    /// decimals, anything else is the plain text; NULL is `NULL`, an empty text `(empty)`.
    #[must_use]
    pub fn render(&self, letter: char) -> String {
        match (letter, self) {
            ('I', Self::Boolean(b)) => u8::from(*b).to_string(),
            ('I', Self::Decimal { digits, scale }) => (digits / power(*scale)).to_string(),
            ('I', Self::Double(v)) => format!("{:.0}", v.trunc()).replace("-0", "0"),
            ('R', Self::Integer(_) | Self::Decimal { .. } | Self::Double(_)) => {
                three_decimals(self)
            }
            _ => self.to_string(),
        }
    }

    /// The value as a number, if it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(_) | Self::Decimal { .. } | Self::Double(_) => {
                self.to_string().parse().ok()
            }
            _ => None,
        }
    }

    /// From text that reads as a decimal number.
    #[must_use]
    pub fn number(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !plain {
            return text
                .parse()
                .ok()
                .filter(|v: &f64| v.is_finite() && text.contains(['e', 'E']))
                .map(Self::Double);
        }
        match text.split_once('.') {
            None => text.parse().ok().map(Self::Integer),
            Some((whole, fraction)) => Some(Self::Decimal {
                digits: format!("{whole}{fraction}").parse().ok()?,
                scale: u8::try_from(fraction.len()).ok()?,
            }),
        }
    }
}

/// 10^scale; scales of SQL types are at most 38.
fn power(scale: u8) -> i128 {
    10_i128.saturating_pow(u32::from(scale))
}

fn three_decimals(value: &Value) -> String {
    match value {
        Value::Decimal { digits, scale } if *scale > 3 => {
            // Half away from zero, exact: a detour over f64 would move ties.
            let unit = power(*scale - 3);
            let rounded = (digits.abs() + unit / 2) / unit * digits.signum();
            Value::Decimal { digits: rounded, scale: 3 }.to_string()
        }
        Value::Decimal { scale, .. } => {
            let point = if *scale == 0 { "." } else { "" };
            format!("{value}{point}{}", "0".repeat(3 - usize::from(*scale)))
        }
        other => other.as_f64().map_or_else(String::new, |v| {
            let text = format!("{v:.3}");
            if text == "-0.000" { "0.000".to_owned() } else { text }
        }),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(b) => write!(f, "{b}"),
            Self::Integer(v) => write!(f, "{v}"),
            Self::Decimal { digits, scale: 0 } => write!(f, "{digits}"),
            Self::Decimal { digits, scale } => {
                let unit = power(*scale);
                let sign = if *digits < 0 { "-" } else { "" };
                let (whole, rest) = ((digits / unit).abs(), (digits % unit).abs());
                write!(f, "{sign}{whole}.{rest:0width$}", width = usize::from(*scale))
            }
            Self::Double(v) => write!(f, "{v}"),
            Self::Text(t) if t.is_empty() => f.write_str("(empty)"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_by_type_letter() {
        let d = Value::Decimal { digits: -12_345, scale: 2 };
        assert_eq!(d.to_string(), "-123.45");
        assert_eq!(d.render('I'), "-123");
        assert_eq!(d.render('R'), "-123.450");
        assert_eq!(Value::Decimal { digits: 5, scale: 4 }.render('R'), "0.001");
        assert_eq!(Value::Decimal { digits: -5, scale: 2 }.to_string(), "-0.05");
        assert_eq!(Value::Double(2.75).render('I'), "2");
        assert_eq!(Value::Double(-0.2).render('I'), "0");
        assert_eq!(Value::Double(1.0 / 3.0).render('R'), "0.333");
        assert_eq!(Value::Integer(7).render('R'), "7.000");
        assert_eq!(Value::Boolean(true).render('I'), "1");
        assert_eq!(Value::Boolean(true).render('T'), "true");
        assert_eq!(Value::Text(String::new()).render('T'), "(empty)");
        assert_eq!(Value::Null.render('I'), "NULL");
    }

    #[test]
    fn text_reads_as_numbers() {
        assert_eq!(Value::number("-1.50"), Some(Value::Decimal { digits: -150, scale: 2 }));
        assert_eq!(Value::number("42"), Some(Value::Integer(42)));
        assert_eq!(Value::number("1e3"), Some(Value::Double(1000.0)));
        assert_eq!(Value::number("abc"), None);
        assert_eq!(Value::number("-"), None);
    }
}
