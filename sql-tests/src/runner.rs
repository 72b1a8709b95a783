//! Running files: every record counts as passed, failed or skipped, and a failing one never stops
//! the file.

use crate::compare::{Expected, compare};
use crate::engine::{Engine, EngineError};
use crate::script::{LABELS, Script, TestRecord};
use crate::value::Output;
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
            let sort = sort_mode.unwrap_or(file_sort);
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
