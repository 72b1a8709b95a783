//! Random tables and random queries over them, from a seed: within the SQL that Trine does, so that
//! every engine must answer, and alike.

use trine_mpc::testing::Noise;

/// A database and questions to it.
#[derive(Clone, Debug)]
pub struct Case {
    /// CREATE TABLE and INSERT statements.
    pub setup: Vec<String>,
    /// Queries, each with whether its rows come in a certain order.
    pub queries: Vec<(String, bool)>,
}

/// Rows of a random table at most.
const ROWS_MAX: usize = 24;

/// The case of a seed, with so many queries.
#[must_use]
pub fn case(seed: u64, queries: usize) -> Case {
    let mut random = Random(Noise::new(seed));
    let setup = random.tables();
    let queries = (0..queries).map(|_| random.query()).collect();
    Case { setup, queries }
}

struct Random(Noise);

/// Whether the columns of the unique side can be used too.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    One,
    Joined,
}

impl Random {
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.0.word() % (n.max(1) as u64)).unwrap_or(0)
    }
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
    fn pick(&mut self, choices: &[&str]) -> String {
        choices[self.below(choices.len())].to_owned()
    }
    fn number(&mut self, low: i64, high: i64) -> i64 {
        let span = usize::try_from(high - low + 1).unwrap_or(1);
        low + i64::try_from(self.below(span)).unwrap_or(0)
    }
    fn or_null(&mut self, percent: usize, value: String) -> String {
        if self.chance(percent) { "NULL".to_owned() } else { value }
    }

    fn tables(&mut self) -> Vec<String> {
        let mut setup = vec![
            "CREATE TABLE t (id INT PRIMARY KEY, a INT RANGE (-20, 20), b INT NOT NULL, \
             d DECIMAL(8,2), e ENUM('k0','k1','k2','k3') NOT NULL, s VARCHAR(6) NOT NULL, \
             f BOOLEAN, g INT RANGE (0, 3) NOT NULL)"
                .to_owned(),
            "CREATE TABLE u (id INT RANGE (-30, 30) PRIMARY KEY, x INT, y DECIMAL(6,1) NOT NULL, \
             h ENUM('k0','k1') NOT NULL)"
                .to_owned(),
        ];
        let rows = self.below(ROWS_MAX + 1);
        let rows: Vec<String> = (0..rows).map(|id| self.row_of_t(id)).collect();
        setup.extend(insert("t", &rows));
        let mut keys: Vec<i64> = (-25..25).collect();
        let count = self.below(16);
        let rows: Vec<String> = (0..count)
            .map(|_| {
                let key = keys.swap_remove(self.below(keys.len()));
                let x = self.number(-100, 100).to_string();
                let x = self.or_null(30, x);
                let y = self.decimal(999, 1);
                let h = self.pick(&["'k0'", "'k1'"]);
                format!("({key}, {x}, {y}, {h})")
            })
            .collect();
        setup.extend(insert("u", &rows));
        setup
    }

    fn row_of_t(&mut self, id: usize) -> String {
        let a = self.number(-20, 20).to_string();
        let a = self.or_null(25, a);
        let b = self.number(-1000, 1000);
        let d = self.decimal(99_999, 2);
        let d = self.or_null(20, d);
        let e = self.pick(&["'k0'", "'k1'", "'k2'", "'k3'"]);
        let s = self.pick(&["''", "'a'", "'ab'", "'b'", "'zebra'", "'Zed'"]);
        let f = self.pick(&["TRUE", "FALSE", "NULL"]);
        let g = self.below(4);
        format!("({id}, {a}, {b}, {d}, {e}, {s}, {f}, {g})")
    }

    fn decimal(&mut self, digits_max: i64, scale: usize) -> String {
        let digits = self.number(-digits_max, digits_max);
        let sign = if digits < 0 { "-" } else { "" };
        let text = format!("{:0width$}", digits.abs(), width = scale + 1);
        let (whole, fraction) = text.split_at(text.len() - scale);
        format!("{sign}{whole}.{fraction}")
    }

    fn query(&mut self) -> (String, bool) {
        let scope = if self.chance(40) { Scope::Joined } else { Scope::One };
        let from = match scope {
            Scope::One => "FROM t".to_owned(),
            Scope::Joined => {
                let kind = self.pick(&["JOIN", "LEFT JOIN"]);
                format!("FROM t {kind} u ON t.a = u.id")
            }
        };
        let filter = if self.chance(70) {
            format!(" WHERE {}", self.predicate(scope, 2))
        } else {
            String::new()
        };
        match self.below(3) {
            0 => self.rows_query(scope, &from, &filter),
            1 => (format!("SELECT {} {from}{filter}", self.aggregates(scope)), false),
            _ => (self.group_query(scope, &from, &filter), false),
        }
    }

    fn rows_query(&mut self, scope: Scope, from: &str, filter: &str) -> (String, bool) {
        let mut columns = vec!["t.id AS c0".to_owned()];
        for i in 1..=self.below(3) + 1 {
            let expression = match self.below(4) {
                0 => self.text(),
                1 => self.predicate(scope, 1),
                2 => {
                    let condition = self.predicate(scope, 1);
                    let (yes, no) = (self.integer(scope), self.integer(scope));
                    format!("CASE WHEN {condition} THEN {yes} ELSE {no} END")
                }
                _ => self.integer(scope),
            };
            columns.push(format!("{expression} AS c{i}"));
        }
        let mut sql = format!("SELECT {} {from}{filter}", columns.join(", "));
        let ordered = self.chance(50);
        if ordered {
            let first = self.pick(&["t.b", "t.e", "t.s", "t.b DESC", "t.a", "t.d DESC"]);
            sql.push_str(&format!(" ORDER BY {first}, t.id"));
            if self.chance(50) {
                sql.push_str(&format!(" LIMIT {}", self.below(8)));
            }
        }
        (sql, ordered)
    }

    fn group_query(&mut self, scope: Scope, from: &str, filter: &str) -> String {
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..=self.below(2) {
            let key = match scope {
                Scope::One => self.pick(&["t.e", "t.f", "t.g", "t.a", "t.s", "t.b"]),
                Scope::Joined => self.pick(&["t.e", "t.g", "u.h", "u.x", "t.a"]),
            };
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let named: Vec<String> =
            keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
        let aggregates = self.aggregates(scope);
        let having = if self.chance(30) {
            format!(" HAVING count(*) > {}", self.below(3))
        } else {
            String::new()
        };
        let (named, keys) = (named.join(", "), keys.join(", "));
        format!("SELECT {named}, {aggregates} {from}{filter} GROUP BY {keys}{having}")
    }

    fn aggregates(&mut self, scope: Scope) -> String {
        let mut list = Vec::new();
        for i in 0..=self.below(3) {
            let aggregate = match self.below(7) {
                0 => "count(*)".to_owned(),
                1 => format!("count({})", self.pick(&["t.a", "t.d", "t.f", "t.s"])),
                2 => format!("sum({})", self.integer(scope)),
                3 => format!("avg({})", self.pick(&["t.a", "t.b"])),
                4 => "sum(t.d)".to_owned(),
                5 => format!("min({})", self.pick(&["t.a", "t.b", "t.d"])),
                _ => format!("max({})", self.pick(&["t.a", "t.b", "t.d"])),
            };
            list.push(format!("{aggregate} AS a{i}"));
        }
        list.join(", ")
    }

    fn integer(&mut self, scope: Scope) -> String {
        let column = match scope {
            Scope::One => self.pick(&["t.a", "t.b", "t.g", "t.id"]),
            Scope::Joined => self.pick(&["t.a", "t.b", "t.g", "u.x", "u.id"]),
        };
        let small = self.number(-9, 9);
        match self.below(5) {
            0 => format!("({column} + {small})"),
            1 => format!("({column} * {small})"),
            2 => format!("({column} - t.g)"),
            _ => column,
        }
    }

    fn text(&mut self) -> String {
        self.pick(&["t.s", "t.e"])
    }

    fn predicate(&mut self, scope: Scope, depth: usize) -> String {
        if depth > 0 && self.chance(50) {
            let (left, right) =
                (self.predicate(scope, depth - 1), self.predicate(scope, depth - 1));
            return match self.below(3) {
                0 => format!("({left} AND {right})"),
                1 => format!("({left} OR {right})"),
                _ => format!("(NOT {left})"),
            };
        }
        let compare = self.pick(&["=", "<>", "<", "<=", ">", ">="]);
        match self.below(9) {
            0 => format!("t.a {compare} {}", self.number(-20, 20)),
            1 => format!("{} {compare} {}", self.integer(scope), self.integer(scope)),
            2 => format!("t.d {compare} {}", self.decimal(99_999, 2)),
            3 => format!("t.e {} 'k{}'", self.pick(&["=", "<>"]), self.below(5)),
            4 => format!("t.s {compare} {}", self.pick(&["'ab'", "'b'", "''", "'zz'"])),
            5 => format!("t.b BETWEEN {} AND {}", self.number(-900, 0), self.number(0, 900)),
            6 => format!("t.g IN ({}, {})", self.below(4), self.below(6)),
            7 => format!(
                "{} IS {}",
                self.pick(&["t.a", "t.d", "t.f"]),
                self.pick(&["NULL", "NOT NULL"])
            ),
            _ => "t.f".to_owned(),
        }
    }
}

fn insert(table: &str, rows: &[String]) -> Option<String> {
    (!rows.is_empty()).then(|| format!("INSERT INTO {table} VALUES {}", rows.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Oracle;

    #[tokio::test]
    async fn the_oracle_answers_every_query() {
        for seed in 0..40 {
            let case = case(seed, 6);
            let oracle = Oracle::new();
            for sql in &case.setup {
                oracle.run(sql).await.unwrap();
            }
            for (sql, _) in &case.queries {
                if let Err(e) = oracle.run(sql).await {
                    panic!("seed {seed}: {sql}\n{e}");
                }
            }
        }
    }
}
