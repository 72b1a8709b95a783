//! Random tables: every type with every option, and rows that repeat, are NULL or extreme.

use super::random::{Random, decimal};

/// Row counts: none, one, and both sides of the borders of words and of small domains.
const ROW_COUNTS: [usize; 14] = [0, 0, 1, 1, 2, 3, 5, 8, 13, 24, 31, 63, 64, 65];

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TRUE or FALSE.
    Boolean,
    /// Integers of a range.
    Integer {
        /// Lowest value that occurs.
        low: i64,
        /// Highest value that occurs.
        high: i64,
    },
    /// Digits of a range, scaled.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// Largest absolute number of units.
        most: i64,
    },
    /// Dates from 1992 to 2004.
    Date,
    /// Texts of at most so many bytes.
    Text {
        /// Bytes at most.
        bytes: usize,
    },
    /// Labels in byte order.
    Enum {
        /// The dictionary.
        labels: Vec<String>,
    },
}

/// A column of a random table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name, unlike those of other tables.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Type and options as CREATE TABLE has them.
    pub declared: String,
    /// The same for a database that knows nothing of ranges, dictionaries and PUBLIC.
    pub plain: String,
    /// Whether NULL may occur.
    pub nullable: bool,
}

/// A random table with its rows as literals.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name.
    pub name: String,
    /// Columns; the first is the key if there is one.
    pub columns: Vec<Column>,
    /// Whether the first column is PRIMARY KEY.
    pub keyed: bool,
    /// Rows of literals.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Its CREATE TABLE and its INSERT statements: one or, for some, two batches.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        self.statements_with(|column| &column.declared)
    }

    /// The same for a plain database.
    #[must_use]
    pub fn plain_statements(&self) -> Vec<String> {
        self.statements_with(|column| &column.plain)
    }

    fn statements_with(&self, declared: impl Fn(&Column) -> &String) -> Vec<String> {
        let columns: Vec<String> =
            self.columns.iter().map(|c| format!("{} {}", c.name, declared(c))).collect();
        let mut all = vec![format!("CREATE TABLE {} ({})", self.name, columns.join(", "))];
        // A second segment where the count is odd.
        let second = if self.rows.len() % 2 == 1 { self.rows.len() / 3 } else { 0 };
        let (later, first) = self.rows.split_at(second);
        for batch in [first, later] {
            if !batch.is_empty() {
                let rows: Vec<String> =
                    batch.iter().map(|r| format!("({})", r.join(", "))).collect();
                all.push(format!("INSERT INTO {} VALUES {}", self.name, rows.join(", ")));
            }
        }
        all
    }
}

/// Table number `index`.
pub(super) fn table(random: &mut Random, index: usize) -> Table {
    let name = format!("t{index}");
    let prefix = ["a", "b", "c"][index % 3];
    let rows = *random.pick(&ROW_COUNTS);
    let keyed = random.chance(70);
    // Tables of secret columns, of PUBLIC ones, and of both.
    let public = *random.pick(&[0, 0, 12, 50, 100]);
    let mut columns = Vec::new();
    if keyed {
        let secrecy = if random.chance(public) { " PUBLIC" } else { "" };
        let narrow = random.chance(50);
        let range = if narrow { " RANGE (0, 200)" } else { "" };
        columns.push(Column {
            name: format!("{prefix}0"),
            kind: Kind::Integer { low: 0, high: 200 },
            declared: format!("INT{range}{secrecy} PRIMARY KEY"),
            plain: "INT PRIMARY KEY".to_owned(),
            nullable: false,
        });
    }
    for i in columns.len()..2 + random.below(6) {
        columns.push(column(random, format!("{prefix}{i}"), public));
    }
    let mut keys: Vec<i64> = (0..=120).collect();
    let rows = (0..rows)
        .map(|_| {
            let mut row: Vec<String> = columns.iter().map(|c| literal(random, c)).collect();
            if keyed && let Some(key) = row.first_mut() {
                *key = keys.swap_remove(random.below(keys.len())).to_string();
            }
            row
        })
        .collect();
    Table { name, columns, keyed, rows }
}

fn column(random: &mut Random, name: String, public: usize) -> Column {
    let (kind, declared) = match random.below(12) {
        0 => (Kind::Boolean, "BOOLEAN".to_owned()),
        1 => (Kind::Integer { low: -5, high: 5 }, "SMALLINT".to_owned()),
        2 | 3 => (Kind::Integer { low: -20, high: 20 }, "INT RANGE (-20, 20)".to_owned()),
        4 => (Kind::Integer { low: -1000, high: 1000 }, "INT".to_owned()),
        5 => {
            let extreme = Kind::Integer { low: i64::from(i32::MIN), high: i64::from(i32::MAX) };
            (extreme, "INT".to_owned())
        }
        6 => (Kind::Integer { low: -(1 << 40), high: 1 << 40 }, "BIGINT".to_owned()),
        7 => (Kind::Decimal { scale: 2, most: 99_999 }, "DECIMAL(8,2)".to_owned()),
        8 => (Kind::Decimal { scale: 1, most: 100 }, "DECIMAL(5,1) RANGE (-10, 10)".to_owned()),
        9 => (Kind::Date, "DATE".to_owned()),
        10 => {
            let bytes = *random.pick(&[1, 6, 20]);
            (Kind::Text { bytes }, format!("VARCHAR({bytes})"))
        }
        _ => {
            let count = 1 + random.below(5);
            let labels: Vec<String> = (0..count).map(|i| format!("k{i}")).collect();
            let quoted: Vec<String> = labels.iter().map(|l| format!("'{l}'")).collect();
            (Kind::Enum { labels }, format!("ENUM ({})", quoted.join(", ")))
        }
    };
    let nullable = random.chance(60);
    let not_null = if nullable { "" } else { " NOT NULL" };
    let public = if random.chance(public) { " PUBLIC" } else { "" };
    let bare = match kind {
        Kind::Enum { .. } => "VARCHAR(8)",
        _ => declared.split(" RANGE").next().unwrap_or(&declared),
    };
    let plain = format!("{bare}{not_null}");
    let declared = format!("{declared}{public}{not_null}");
    Column { name, kind, declared, plain, nullable }
}

fn literal(random: &mut Random, column: &Column) -> String {
    if column.nullable && random.chance(20) {
        "NULL".to_owned()
    } else {
        value(random, &column.kind)
    }
}

/// A literal of a kind: mostly from a few values, so that rows meet.
pub(super) fn value(random: &mut Random, kind: &Kind) -> String {
    match kind {
        Kind::Boolean => random.word(&["TRUE", "FALSE"]),
        Kind::Integer { low, high } => match random.below(10) {
            0 => low.to_string(),
            1 => high.to_string(),
            2..=6 => random.number((*low).max(-3), (*high).min(3)).to_string(),
            _ => random.number(*low, *high).to_string(),
        },
        Kind::Decimal { scale, most } => {
            let digits = match random.below(8) {
                0 => *most,
                1 => -*most,
                2..=4 => random.number(-3, 3) * 10,
                _ => random.number(-*most, *most),
            };
            decimal(digits, *scale)
        }
        Kind::Date => {
            let days = ["01", "02", "15", "28"];
            let (year, month) = (random.number(1992, 2004), random.number(1, 12));
            let leap = random.chance(5).then(|| "2000-02-29".to_owned());
            let date = leap.unwrap_or_else(|| format!("{year}-{month:02}-{}", random.word(&days)));
            format!("DATE '{date}'")
        }
        Kind::Text { bytes: 1 } => random.word(&["''", "'a'", "'b'", "'Z'", "' '"]),
        Kind::Text { bytes: 6 } => random
            .word(&["''", "'a'", "'ab'", "'b'", "'zebra'", "'Zed'", "'a%b'", "'a_b'", "'ab '"]),
        Kind::Text { .. } => random.word(&[
            "''",
            "'a'",
            "'ab'",
            "'special requests'",
            "'no special case'",
            "'12345678901234567890'",
            "'1234567890123456789x'",
        ]),
        Kind::Enum { labels } => format!("'{}'", random.pick(labels)),
    }
}
