//! Random expressions over the columns in sight, of a wanted kind. Integers carry a bound on their
//! absolute value, so that no engine has to overflow.

use super::random::{Random, decimal};
use super::table::{Column, Kind, value};

/// A column in sight.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// As a query writes it: `x0.a1`.
    pub(super) text: String,
    pub(super) column: Column,
    /// NULL by its declaration or by an outer join.
    pub(super) nullable: bool,
}

/// Largest absolute value of an integer expression.
const INTEGER_MOST: i64 = 1 << 31;

/// An integer expression with a bound on its absolute value.
struct Integer {
    text: String,
    most: i64,
}

/// Makes expressions over fields.
pub(super) struct Expressions<'a> {
    pub(super) random: &'a mut Random,
    pub(super) fields: &'a [Field],
}

impl Expressions<'_> {
    fn some(&mut self, wanted: impl Fn(&Field) -> bool) -> Option<Field> {
        let fitting: Vec<&Field> = self.fields.iter().filter(|f| wanted(f)).collect();
        (!fitting.is_empty()).then(|| (*self.random.pick(&fitting)).clone())
    }

    /// Any column.
    pub(super) fn column(&mut self) -> Field {
        self.random.pick(self.fields).clone()
    }

    /// An expression of any kind for a SELECT list.
    pub(super) fn any(&mut self, depth: usize) -> String {
        match self.random.below(10) {
            0..=3 => self.column().text,
            4 | 5 => self.integer(depth).text,
            6 => self.predicate(depth),
            7 => self.number(depth),
            8 => self.text(depth),
            _ => self.case(depth),
        }
    }

    /// An integer expression within 32 bits.
    pub(super) fn integer_text(&mut self, depth: usize) -> String {
        self.integer(depth).text
    }

    fn integer(&mut self, depth: usize) -> Integer {
        let small =
            |f: &Field| matches!(f.column.kind, Kind::Integer { high, .. } if high < 100_000);
        let leaf = match self.some(small) {
            Some(f) if !self.random.chance(15) => {
                let Kind::Integer { low, high } = f.column.kind else {
                    return Integer { text: f.text, most: 1 };
                };
                Integer { text: f.text, most: low.abs().max(high.abs()) }
            }
            _ => {
                let n = self.random.number(-9, 9);
                Integer { text: n.to_string(), most: 9 }
            }
        };
        if depth == 0 || self.random.chance(35) {
            return leaf;
        }
        let (a, b) = (self.integer(depth - 1), self.integer(depth - 1));
        let (text, most) = match self.random.below(9) {
            0 | 1 => (format!("({} + {})", a.text, b.text), a.most + b.most),
            2 => (format!("({} - {})", a.text, b.text), a.most + b.most),
            3 => (format!("({} * {})", a.text, b.text), a.most.saturating_mul(b.most)),
            4 => {
                // A constant divisor never is zero; a column's may be, and both must then fail.
                let d = *self.random.pick(&[-7, -2, -1, 1, 2, 3, 10]);
                (format!("({} / ({d}))", a.text), a.most)
            }
            5 => {
                let d = *self.random.pick(&[-3, 2, 5, 7]);
                (format!("({} % ({d}))", a.text), 7)
            }
            6 => (format!("coalesce({}, {})", a.text, b.text), a.most.max(b.most)),
            7 => (format!("abs({})", a.text), a.most),
            _ => {
                let condition = self.predicate(depth - 1);
                let text = format!("CASE WHEN {condition} THEN {} ELSE {} END", a.text, b.text);
                (text, a.most.max(b.most))
            }
        };
        if most < INTEGER_MOST { Integer { text, most } } else { leaf }
    }

    /// A decimal expression, or an integer one where there is no decimal column.
    fn number(&mut self, depth: usize) -> String {
        let Some(field) = self.some(|f| matches!(f.column.kind, Kind::Decimal { .. })) else {
            return self.integer(depth).text;
        };
        let constant = decimal(self.random.number(-500, 500), 2);
        match self.random.below(5) {
            0 => format!("({} + {constant})", field.text),
            1 => format!("({} * {constant})", field.text),
            2 => format!("(- {})", field.text),
            _ => field.text,
        }
    }

    fn text(&mut self, depth: usize) -> String {
        let texts = |f: &Field| matches!(f.column.kind, Kind::Text { .. } | Kind::Enum { .. });
        let Some(field) = self.some(texts) else { return self.integer(depth).text };
        match self.random.below(8) {
            0 => format!("upper({})", field.text),
            1 => format!("lower({})", field.text),
            2 => {
                let (from, count) = (self.random.number(1, 3), self.random.number(0, 4));
                format!("substring({} from {from} for {count})", field.text)
            }
            3 => format!("length({})", field.text),
            4 => format!("({} || 'x')", field.text),
            _ => field.text,
        }
    }

    fn case(&mut self, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        let condition = self.predicate(depth);
        let field = self.column();
        match self.random.below(3) {
            0 => format!("CASE WHEN {condition} THEN {} END", field.text),
            1 => {
                let other = value(self.random, &field.column.kind);
                let same = field.text;
                // NULLIF compares: only with a value of its own kind.
                format!("nullif({same}, {other})")
            }
            _ => {
                let (yes, no) = (self.integer(depth).text, self.integer(depth).text);
                format!(
                    "CASE WHEN {condition} THEN {yes} WHEN {condition} IS NULL THEN -1 ELSE {no} END"
                )
            }
        }
    }

    /// A condition.
    pub(super) fn predicate(&mut self, depth: usize) -> String {
        if depth > 0 && self.random.chance(45) {
            let (left, right) = (self.predicate(depth - 1), self.predicate(depth - 1));
            return match self.random.below(4) {
                0 | 1 => format!("({left} AND {right})"),
                2 => format!("({left} OR {right})"),
                _ => format!("(NOT {left})"),
            };
        }
        let compare = self.random.word(&["=", "<>", "<", "<=", ">", ">="]);
        let field = self.column();
        let constant = value(self.random, &field.column.kind);
        match self.random.below(9) {
            0 => {
                let (a, b) = (self.integer(depth).text, self.integer(depth).text);
                format!("{a} {compare} {b}")
            }
            1 => format!("{} IS {}NULL", field.text, self.random.word(&["", "NOT "])),
            2 => {
                let second = value(self.random, &field.column.kind);
                let not = self.random.word(&["", "", "NOT "]);
                format!("{} {not}IN ({constant}, {second})", field.text)
            }
            3 => {
                let second = value(self.random, &field.column.kind);
                format!("{} BETWEEN {constant} AND {second}", field.text)
            }
            4 => self.like(),
            5 => self.of_date(&compare),
            6 => match field.column.kind {
                Kind::Boolean => field.text,
                // In parentheses: DataFusion's parser takes a following AND into the constant.
                _ => format!("({} IS DISTINCT FROM {constant})", field.text),
            },
            _ => format!("{} {compare} {constant}", field.text),
        }
    }

    fn like(&mut self) -> String {
        let texts = |f: &Field| matches!(f.column.kind, Kind::Text { .. } | Kind::Enum { .. });
        let Some(field) = self.some(texts) else { return "1 = 1".to_owned() };
        let pattern =
            self.random.word(&["a%", "%b", "%a%", "k_", "%", "", "_", "%special%case%", "_e%a"]);
        let not = self.random.word(&["", "NOT "]);
        format!("{} {not}LIKE '{pattern}'", field.text)
    }

    fn of_date(&mut self, compare: &str) -> String {
        let Some(field) = self.some(|f| f.column.kind == Kind::Date) else {
            return format!("{} {compare} 0", self.integer(1).text);
        };
        match self.random.below(3) {
            0 => {
                let part = self.random.word(&["year", "month", "day"]);
                let n = self.random.number(1, 12);
                let n = if part == "year" { 1992 + n } else { n };
                format!("extract({part} from {}) {compare} {n}", field.text)
            }
            1 => {
                let (n, unit) =
                    (self.random.number(1, 40), self.random.word(&["day", "month", "year"]));
                let date = value(self.random, &Kind::Date);
                format!("{} {compare} {date} - INTERVAL '{n}' {unit}", field.text)
            }
            _ => format!("{} {compare} {}", field.text, value(self.random, &Kind::Date)),
        }
    }
}
