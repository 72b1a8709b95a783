//! Random cases on an engine against the oracle: refusals are counted, another answer or an internal
//! error is a finding, and a finding is cut down to few rows and a short query.

use crate::compare::{equal_numbers, within};
use crate::engine::{Engine, EngineError};
use crate::generator::{Case, Query, Shape, case, wide_case};
use crate::value::{Output, Value};
use std::collections::BTreeMap;
use std::fmt;

/// Relative distance up to which averages count as equal: an oracle's decimals have few digits.
const TOLERANCE: f64 = 1e-6;
/// Absolute distance of the same: one unit of the scale that the oracle rounds averages to.
const STEP: f64 = 1e-4;
/// Runs of one case while it is cut down.
const SHRINK_RUNS: usize = 150;

/// What came of random queries.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answered like the oracle.
    pub equal: usize,
    /// Refused, by SQLSTATE and message.
    pub refused: BTreeMap<String, usize>,
    /// Not answered by the oracle itself.
    pub unknown: usize,
    /// Failures.
    pub findings: Vec<Finding>,
}

/// A case that an engine gets wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The seed that it came from.
    pub seed: u64,
    /// CREATE TABLE and INSERT, cut down.
    pub setup: Vec<String>,
    /// The query, cut down.
    pub sql: String,
    /// The query as it was generated.
    pub original: String,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        for sql in &self.setup {
            writeln!(f, "{sql};")?;
        }
        write!(f, "{};\n-- from: {}", self.sql, self.original)
    }
}

impl Tally {
    /// Queries in all.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.equal + self.unknown + self.findings.len() + self.refused.values().sum::<usize>()
    }
}

/// One verdict.
enum Verdict {
    Equal,
    Refused(EngineError),
    Unknown,
    Wrong(String),
}

/// Runs the case of a seed on both engines and adds to the tally.
///
/// # Errors
/// The oracle cannot create or fill the tables: a defect of the generator.
pub async fn run_seed(
    engine: &mut Engine,
    oracle: &mut Engine,
    seed: u64,
    queries: usize,
    tally: &mut Tally,
) -> Result<(), String> {
    let wide = matches!(oracle, Engine::Postgres(_));
    let case = if wide { wide_case(seed, queries) } else { case(seed, queries) };
    if let Some(what) = prepare(engine, oracle, &case).await? {
        let (setup, none) = (case.setup(), String::new());
        tally.findings.push(Finding { seed, setup, sql: none.clone(), original: none, what });
        return Ok(());
    }
    for query in &case.queries {
        match judge(engine, oracle, query).await {
            Verdict::Equal => tally.equal += 1,
            Verdict::Unknown => tally.unknown += 1,
            Verdict::Refused(e) => *tally.refused.entry(e.to_string()).or_default() += 1,
            Verdict::Wrong(what) => {
                let original = query.sql();
                let (small, query, what) = shrink(engine, oracle, &case, query, what).await?;
                let (setup, sql) = (small.setup(), query.sql());
                tally.findings.push(Finding { seed, setup, sql, original, what });
                prepare(engine, oracle, &case).await?;
            }
        }
    }
    Ok(())
}

/// Fills both engines; says what the engine failed with, if it did.
async fn prepare(
    engine: &mut Engine,
    oracle: &mut Engine,
    case: &Case,
) -> Result<Option<String>, String> {
    for which in [&mut *engine, &mut *oracle] {
        which.reset().await.map_err(|e| e.to_string())?;
    }
    let plain =
        if matches!(oracle, Engine::Postgres(_)) { case.plain_setup() } else { case.setup() };
    for sql in plain {
        oracle.run(&sql).await.map_err(|e| format!("the oracle: {sql}: {e}"))?;
    }
    for sql in case.setup() {
        if let Err(e) = engine.run(&sql).await {
            return Ok(Some(format!("{sql}: {e}")));
        }
    }
    Ok(None)
}

async fn judge(engine: &mut Engine, oracle: &mut Engine, query: &Query) -> Verdict {
    let sql = query.sql();
    let actual = engine.run(&sql).await;
    if let Err(e) = &actual
        && e.is_internal()
    {
        return Verdict::Wrong(e.to_string());
    }
    let Ok(expected) = oracle.run(&sql).await else { return Verdict::Unknown };
    match actual {
        Err(e) => Verdict::Refused(e),
        Ok(actual) if same(&actual, &expected, query.shape()) => Verdict::Equal,
        Ok(actual) => {
            Verdict::Wrong(format!("answered {}, expected {}", text(&actual), text(&expected)))
        }
    }
}

fn text(output: &Output) -> String {
    const ROWS: usize = 30;
    let row = |r: &Vec<Value>| r.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
    let rows: Vec<String> = output.rows.iter().take(ROWS).map(row).collect();
    let more = if output.rows.len() > ROWS { " …" } else { "" };
    format!("[{}{more}]", rows.join(" | "))
}

/// Whether two answers are the same under the shape of their query.
fn same(a: &Output, b: &Output, shape: Shape) -> bool {
    if a.rows.len() != b.rows.len() || a.columns.len() != b.columns.len() {
        return false;
    }
    let value = |x: &Value, y: &Value| {
        let double = matches!((x, y), (Value::Double(_), _) | (_, Value::Double(_)));
        x == y || equal_numbers(x, y) || (shape.inexact || double) && nearly(x, y)
    };
    let row = |x: &[Value], y: &[Value]| x.iter().zip(y).all(|(v, w)| value(v, w));
    if shape.ordered {
        return a.rows.iter().zip(&b.rows).all(|(x, y)| row(x, y));
    }
    let mut used = vec![false; b.rows.len()];
    a.rows.iter().all(|x| {
        let found = (0..b.rows.len()).find(|&i| !used[i] && row(x, &b.rows[i]));
        found.map(|i| used[i] = true).is_some()
    })
}

fn nearly(x: &Value, y: &Value) -> bool {
    let apart = |a: f64, b: f64| (a - b).abs() <= STEP;
    within(x, y, TOLERANCE) || x.as_f64().zip(y.as_f64()).is_some_and(|(a, b)| apart(a, b))
}

/// Fewer rows and a shorter query that still go wrong.
async fn shrink(
    engine: &mut Engine,
    oracle: &mut Engine,
    case: &Case,
    query: &Query,
    what: String,
) -> Result<(Case, Query, String), String> {
    let mut best = (Case { tables: case.tables.clone(), queries: Vec::new() }, query.clone(), what);
    let mut runs = 0;
    loop {
        let mut smaller = None;
        for (tables, query) in candidates(&best.0, &best.1) {
            runs += 1;
            if runs > SHRINK_RUNS {
                return Ok(best);
            }
            if prepare(engine, oracle, &tables).await?.is_some() {
                continue;
            }
            if let Verdict::Wrong(what) = judge(engine, oracle, &query).await {
                smaller = Some((tables, query, what));
                break;
            }
        }
        match smaller {
            Some(found) => best = found,
            None => return Ok(best),
        }
    }
}

/// A part less of the query, else tables with half of their rows, else with one row less.
fn candidates(case: &Case, query: &Query) -> Vec<(Case, Query)> {
    let mut all: Vec<(Case, Query)> =
        query.smaller().into_iter().map(|q| (case.clone(), q)).collect();
    let mut ranges = Vec::new();
    for (index, table) in case.tables.iter().enumerate() {
        let rows = table.rows.len();
        ranges.extend([(index, 0, rows), (index, 0, rows / 2), (index, rows / 2, rows)]);
    }
    for (index, table) in case.tables.iter().enumerate() {
        ranges.extend((0..table.rows.len().min(8)).map(|row| (index, row, row + 1)));
    }
    for (index, from, to) in ranges.into_iter().filter(|(_, from, to)| from < to) {
        let mut less = case.clone();
        drop(less.tables[index].rows.drain(from..to));
        all.push((less, query.clone()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_may_differ_in_their_last_digits_and_nothing_else() {
        let one = |digits, scale| {
            Output::result(vec!["a".into()], vec![vec![Value::Decimal { digits, scale }]])
        };
        let exact = Shape { ordered: true, inexact: false };
        let inexact = Shape { ordered: true, inexact: true };
        assert!(same(&one(15, 1), &one(150, 2), exact));
        assert!(!same(&one(33_333, 5), &one(333_333, 6), exact));
        assert!(same(&one(33_333, 5), &one(333_333, 6), inexact));
        assert!(!same(&one(33, 2), &one(34, 2), inexact));
    }
}
