//! Running files: every record counts as passed, failed or skipped, and a failing one never stops
//! the file.
//!
//! Rows of a query without ORDER BY are compared as a multiset even where a file says `nosort`: SQL
//! leaves their order open, and Trine shuffles them on purpose.

use crate::beside::Beside;
use crate::engine::{Engine, EngineError};
use crate::judge::{judge_query, judge_statement, same_answer};
use crate::order::is_ordered;
use crate::report::{Cause, Failure, PostgresVerdict, Reason, Report};
use crate::script::{LABELS, Script, TestRecord};
use crate::value::Output;
use crate::words::{target, unquoted, words};
use sqllogictest::{Condition, Control, QueryExpect, Record, SortMode, StatementExpect};
use std::collections::BTreeMap;

/// Runs one file on a fresh database.
///
/// A record counts as failed also when the engine refuses its statement as unsupported, whatever the
/// record expects. A `postgres` that knows nothing yet is asked about every record that fails, and
/// failures say what it did.
pub async fn run_script(
    engine: &mut Engine,
    script: &Script,
    postgres: Option<&mut Beside>,
) -> Report {
    if let Err(e) = engine.reset().await {
        let records = script.records.iter().filter(|r| counted(r).is_some()).count();
        let report = Report::unreadable(&script.name, format!("no fresh database: {e}"));
        return Report { failed: records.max(1), ..report };
    }
    let (report, broken) = (Report::default(), BTreeMap::new());
    let mut walk = Walk { script, report, broken, postgres };
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
            walk.report.skipped += 1;
            continue;
        }
        walk.record(engine, record, sort).await;
    }
    walk.report
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

/// A file on its way.
struct Walk<'a> {
    script: &'a Script,
    report: Report,
    /// Tables and views whose creation or change failed, with the first error.
    broken: BTreeMap<String, Cause>,
    postgres: Option<&'a mut Beside>,
}

impl Walk<'_> {
    async fn record(&mut self, engine: &mut Engine, record: &TestRecord, sort: SortMode) {
        let (line, sql) = match record {
            Record::Statement { loc, sql, .. } | Record::Query { loc, sql, .. } => {
                (loc.line(), sql)
            }
            Record::System { loc, command, .. } => {
                let reason = Reason::Other("system commands are not run".to_owned());
                return self.fail(loc.line(), command, reason, None);
            }
            Record::Let { loc, sql, .. } => {
                let reason = Reason::Other("variables are not supported".to_owned());
                return self.fail(loc.line(), sql, reason, None);
            }
            _ => return,
        };
        let outcome = engine.run(sql).await;
        let wants_success = matches!(
            record,
            Record::Statement { expected: StatementExpect::Ok | StatementExpect::Count(_), .. }
                | Record::Query { expected: QueryExpect::Results { .. }, .. }
        );
        if let (Err(e), true) = (&outcome, wants_success) {
            self.broken_by(sql, e);
        }
        match self.judge(record, sort, outcome.clone()) {
            Ok(()) => {
                self.report.passed += 1;
                if let Some(postgres) = &mut self.postgres {
                    postgres.passed(sql);
                }
            }
            Err(reason) => {
                let theirs = match &mut self.postgres {
                    Some(postgres) => Some(postgres.ask(sql).await),
                    None => None,
                };
                let verdict = theirs.map(|t| self.postgres_verdict(record, sort, outcome, t));
                self.fail(line, sql, reason, verdict);
            }
        }
    }

    fn judge(
        &self,
        record: &TestRecord,
        sort: SortMode,
        outcome: Result<Output, EngineError>,
    ) -> Result<(), Reason> {
        let exact = self.script.exact_errors;
        match record {
            Record::Statement { expected, .. } => judge_statement(outcome, expected, exact),
            Record::Query { loc, sql, expected, .. } => {
                let header = self.script.header_lines.contains(&loc.line());
                let sort = if is_ordered(sql) { sort } else { SortMode::RowSort };
                judge_query(sql, outcome, expected, sort, header, exact)
            }
            _ => Ok(()),
        }
    }

    /// What PostgreSQL's outcome says about a record that the engine failed with `ours`.
    fn postgres_verdict(
        &self,
        record: &TestRecord,
        sort: SortMode,
        ours: Result<Output, EngineError>,
        theirs: Result<Output, EngineError>,
    ) -> PostgresVerdict {
        let passed = self.judge(record, sort, theirs.clone()).is_ok();
        match (ours, theirs) {
            _ if passed => PostgresVerdict::Accepts,
            (_, Err(error)) => PostgresVerdict::Refuses(error),
            (Ok(ours), Ok(theirs)) => match record {
                Record::Query { sql, expected: QueryExpect::Results { types, .. }, .. }
                    if same_answer(sql, &ours, &theirs, types) =>
                {
                    PostgresVerdict::SameAnswer
                }
                Record::Query { expected: QueryExpect::Results { .. }, .. } => {
                    PostgresVerdict::Accepts
                }
                Record::Statement { expected: StatementExpect::Count(_), .. }
                    if ours.affected == theirs.affected =>
                {
                    PostgresVerdict::SameAnswer
                }
                Record::Statement { expected: StatementExpect::Count(_), .. } => {
                    PostgresVerdict::Accepts
                }
                _ => PostgresVerdict::AcceptsToo,
            },
            // An error is wanted, and there is none.
            (Err(_), Ok(_)) => PostgresVerdict::Accepts,
        }
    }

    fn broken_by(&mut self, sql: &str, error: &EngineError) {
        if let Some(name) = target(&words(sql)) {
            let cause = || Cause { sql: sql.to_owned(), error: error.clone() };
            self.broken.entry(name).or_insert_with(cause);
        }
    }

    fn fail(&mut self, line: u32, sql: &str, reason: Reason, postgres: Option<PostgresVerdict>) {
        let words = words(sql);
        let own_target = target(&words);
        let cause = |word: &String| self.broken.get(&unquoted(word));
        let follows = match &reason {
            // Its own error says more, unless it is that the table is not there.
            Reason::Error(e) if !e.is_missing_table() => None,
            Reason::Error(_) if own_target.is_some_and(|t| starts_with_create(&words, &t)) => None,
            _ => words.iter().find_map(cause).cloned(),
        };
        self.report.failed += 1;
        let (file, sql) = (self.script.name.clone(), sql.to_owned());
        self.report.failures.push(Failure { file, line, sql, reason, follows, postgres });
    }
}

fn starts_with_create(words: &[String], target: &str) -> bool {
    words.first().is_some_and(|w| w == "create") && words.iter().any(|w| unquoted(w) == target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineKind;

    async fn report(text: &str) -> Report {
        let mut engine = Engine::start(EngineKind::Oracle).await.unwrap();
        run_script(&mut engine, &crate::script::parse(text, "f").unwrap(), None).await
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
        assert_eq!((report.failures[0].file.as_str(), report.failures[0].line), ("f", 13));
    }

    #[tokio::test]
    async fn a_refusal_as_unsupported_fails_even_where_an_error_is_expected() {
        let text = "statement ok\nCREATE TABLE t (a INT)\n\nstatement error\nCREATE UNIQUE INDEX i ON t (a)\n";
        let report = report(text).await;
        assert_eq!((report.passed, report.failed), (1, 1), "{report:?}");
    }

    #[tokio::test]
    async fn failures_that_follow_from_an_earlier_one_name_it() {
        let text = "statement ok\nCREATE TABLE t (a NOTYPE)\n\nstatement ok\nINSERT INTO t VALUES (1)\n\n\
                    query I\nSELECT a FROM t\n----\n1\n\nquery I\nSELECT a FROM nix\n----\n1\n";
        let report = report(text).await;
        assert_eq!((report.passed, report.failed), (0, 4));
        let first = match &report.failures[0].reason {
            Reason::Error(e) => e.clone(),
            other => panic!("{other}"),
        };
        let follow = |f: &Failure| f.follows.as_ref().map(|c| c.error.clone());
        let follows: Vec<_> = report.failures.iter().map(follow).collect();
        assert_eq!(follows, [None, Some(first.clone()), Some(first), None]);
    }
}
