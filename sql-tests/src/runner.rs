//! Running files: every record counts as passed, failed or skipped, and a failing one never stops
//! the file.
//!
//! Rows of a query without ORDER BY are compared as a multiset even where a file says `nosort`: SQL
//! leaves their order open, and Trine shuffles them on purpose.

use crate::compare::{Expected, compare};
use crate::engine::{Engine, EngineError};
use crate::script::{LABELS, Script, TestRecord};
use crate::value::Output;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use sqllogictest::{
    Condition, Control, ExpectedError, Location, QueryExpect, Record, SortMode, StatementExpect,
};
use std::ops::AddAssign;

/// Records of one file or of a whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Did what the file says.
    pub passed: usize,
    /// Did not, or the engine does not support the statement.
    pub failed: usize,
    /// Meant for another system, or after a `halt`.
    pub skipped: usize,
    /// One text per failed record: place, SQL, reason.
    pub failures: Vec<String>,
}

impl AddAssign for Report {
    fn add_assign(&mut self, mut other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.append(&mut other.failures);
    }
}

impl Report {
    /// `N passed, N failed, N skipped`.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }

    fn fail(&mut self, place: &Location, sql: &str, reason: &str) {
        self.failed += 1;
        self.failures.push(format!("{place}\n{}\n{}", indent(sql, "    "), indent(reason, "  ! ")));
    }
}

fn indent(text: &str, with: &str) -> String {
    text.trim_end().lines().map(|l| format!("{with}{l}")).collect::<Vec<_>>().join("\n")
}

/// Runs one file on a fresh database.
///
/// A record counts as failed also when the engine refuses its statement as unsupported, whatever the
/// record expects.
pub async fn run_script(engine: &mut Engine, script: &Script) -> Report {
    let mut report = Report::default();
    if let Err(e) = engine.reset().await {
        let records = script.records.iter().filter(|r| counted(r).is_some()).count();
        report.failed = records.max(1);
        report.failures.push(format!("no fresh database: {e}"));
        return report;
    }
    let mut sort = SortMode::NoSort;
    let mut halted = false;
    for record in &script.records {
        match record {
            Record::Halt { .. } => halted = true,
            Record::Control(Control::SortMode(mode)) => sort = *mode,
            _ => {}
        }
        if counted(record).is_none() {
            continue;
        }
        if halted || excluded(record, engine.label()) {
            report.skipped += 1;
            continue;
        }
        run_record(engine, script, record, sort, &mut report).await;
    }
    report
}

/// Conditions of a record that counts, `None` for the others.
fn counted(record: &TestRecord) -> Option<&[Condition]> {
    match record {
        Record::Statement { conditions, .. }
        | Record::Query { conditions, .. }
        | Record::System { conditions, .. }
        | Record::Let { conditions, .. } => Some(conditions),
        _ => None,
    }
}

/// Whether the conditions of a record leave it out on an engine.
#[must_use]
pub fn excluded(record: &TestRecord, engine_label: &str) -> bool {
    counted(record).is_some_and(|all| all.iter().any(|c| excludes(c, engine_label)))
}

fn excludes(condition: &Condition, engine_label: &str) -> bool {
    let ours = |label: &str| LABELS.contains(&label) || label == engine_label;
    match condition {
        Condition::OnlyIf { label } => !ours(label),
        Condition::SkipIf { label } => ours(label),
    }
}

async fn run_record(
    engine: &mut Engine,
    script: &Script,
    record: &TestRecord,
    sort: SortMode,
    report: &mut Report,
) {
    let (loc, sql, verdict) = match record {
        Record::Statement { loc, sql, expected, .. } => {
            let outcome = engine.run(sql).await;
            (loc, sql.as_str(), judge_statement(outcome, expected, script.exact_errors))
        }
        Record::Query { loc, sql, expected, .. } => {
            let outcome = engine.run(sql).await;
            let header = script.header_lines.contains(&loc.line());
            let sort = if is_ordered(sql) { sort } else { SortMode::RowSort };
            (loc, sql.as_str(), judge_query(outcome, expected, sort, header, script.exact_errors))
        }
        Record::System { loc, command, .. } => {
            (loc, command.as_str(), Err("system commands are not run".to_owned()))
        }
        Record::Let { loc, sql, .. } => {
            (loc, sql.as_str(), Err("variables are not supported".to_owned()))
        }
        _ => return,
    };
    match verdict {
        Ok(()) => report.passed += 1,
        Err(reason) => report.fail(loc, sql, &reason),
    }
}

fn judge_statement(
    outcome: Result<Output, EngineError>,
    expected: &StatementExpect,
    exact: bool,
) -> Result<(), String> {
    match (outcome, expected) {
        (Ok(_), StatementExpect::Ok) => Ok(()),
        (Ok(output), StatementExpect::Count(wanted)) => {
            let actual = output.affected.or_else(|| u64::try_from(output.rows.len()).ok());
            if actual == Some(*wanted) {
                Ok(())
            } else {
                Err(format!("expected {wanted} rows, affected {}", actual.unwrap_or(0)))
            }
        }
        (Ok(_), StatementExpect::Error(_)) => Err("expected an error, succeeded".to_owned()),
        (Err(e), StatementExpect::Error(wanted)) => judge_error(&e, wanted, exact),
        (Err(e), _) => Err(e.to_string()),
    }
}

/// Whether the rows of a query come in an order: ORDER BY outside of parentheses, or EXPLAIN.
fn is_ordered(sql: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else { return true };
    let mut depth = 0_usize;
    let mut words = Vec::new();
    for token in &tokens {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(w) if depth == 0 && w.quote_style.is_none() => words.push(w.keyword),
            _ => {}
        }
    }
    words.first() == Some(&Keyword::EXPLAIN)
        || words.windows(2).any(|pair| pair == [Keyword::ORDER, Keyword::BY])
}

fn judge_query(
    outcome: Result<Output, EngineError>,
    expected: &QueryExpect<sqllogictest::DefaultColumnType>,
    file_sort: SortMode,
    header: bool,
    exact: bool,
) -> Result<(), String> {
    match (outcome, expected) {
        (Ok(output), QueryExpect::Results { types, sort_mode, results, .. }) => {
            let mut lines = results.as_slice();
            if header {
                let names: Vec<&str> =
                    lines.first().map_or(Vec::new(), |l| l.split_whitespace().collect());
                let actual = output.columns.join(" ");
                if actual.split_whitespace().collect::<Vec<_>>() != names {
                    return Err(format!("columns are called: {actual}"));
                }
                lines = lines.get(1..).unwrap_or_default();
            }
            let sort = sort_mode.filter(|s| *s != SortMode::NoSort).unwrap_or(file_sort);
            compare(&output, &Expected { types, sort, lines }).map_err(|actual| {
                format!(
                    "expected:\n{}\nactual:\n{}",
                    first_lines(&lines.join("\n")),
                    first_lines(&actual)
                )
            })
        }
        (Ok(_), QueryExpect::Error(_)) => Err("expected an error, succeeded".to_owned()),
        (Err(e), QueryExpect::Error(wanted)) => judge_error(&e, wanted, exact),
        (Err(e), QueryExpect::Results { .. }) => Err(e.to_string()),
    }
}

/// SQLSTATEs must match; texts only where they are ours.
fn judge_error(error: &EngineError, wanted: &ExpectedError, exact: bool) -> Result<(), String> {
    let states = matches!(wanted, ExpectedError::SqlState(_));
    let fits = if exact || states {
        wanted.is_match(&error.message, Some(&error.sqlstate))
    } else {
        !error.is_unsupported() && !error.is_internal()
    };
    if fits { Ok(()) } else { Err(format!("expected the error {wanted}, got: {error}")) }
}

/// Enough of a long result for a report.
fn first_lines(text: &str) -> String {
    const LINES: usize = 40;
    let mut lines: Vec<&str> = text.lines().take(LINES).collect();
    if text.lines().count() > LINES {
        lines.push("…");
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineKind;

    #[test]
    fn order_by_counts_outside_of_parentheses() {
        assert!(is_ordered("SELECT a FROM t ORDER BY a"));
        assert!(!is_ordered("SELECT a FROM (SELECT a FROM t ORDER BY a) AS s"));
        assert!(!is_ordered("SELECT sum(a) OVER (ORDER BY b) FROM t -- ORDER BY a"));
        assert!(is_ordered("EXPLAIN SELECT 1"));
    }

    async fn report(text: &str) -> Report {
        let mut engine = Engine::start(EngineKind::Oracle).await.unwrap();
        run_script(&mut engine, &crate::script::parse(text, "f").unwrap()).await
    }

    #[tokio::test]
    async fn every_record_counts_once_and_a_failure_stops_nothing() {
        let text = "statement ok\nCREATE TABLE t (a INT)\n\nstatement count 2\nINSERT INTO t VALUES (2), (1)\n\n\
                    query I\nSELECT a FROM t\n----\n1\n2\n\nquery I\nSELECT a FROM t ORDER BY a DESC\n----\n1\n2\n\n\
                    onlyif mysql\nquery I\nSELECT 1\n----\n2\n\nstatement error\nSELECT 1\n\n\
                    statement error (42P01)\nSELECT a FROM nix\n\nstatement error (42601)\nSELECT a FROM nix\n\n\
                    halt\n\nquery I\nSELECT 1\n----\n1\n";
        let report = report(text).await;
        assert_eq!((report.passed, report.failed, report.skipped), (4, 3, 2), "{report:?}");
        assert!(report.failures[0].starts_with("f:13"), "{}", report.failures[0]);
    }

    #[tokio::test]
    async fn a_refusal_as_unsupported_fails_even_where_an_error_is_expected() {
        let text = "statement ok\nCREATE TABLE t (a INT)\n\nstatement error\nCREATE UNIQUE INDEX i ON t (a)\n";
        let report = report(text).await;
        assert_eq!((report.passed, report.failed), (1, 1), "{report:?}");
    }
}
