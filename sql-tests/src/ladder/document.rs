//! The document of what fails: counts per corpus, reasons with counts and examples, and for every
//! file the lines of its failing records.

use super::{FileReport, foreign};
use crate::report::{Failure, Reason};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Characters of an example's SQL.
const SQL_SHOWN: usize = 110;
/// Examples of a reason.
const EXAMPLES: usize = 3;

/// A class of failures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    /// Why PostgreSQL would not accept it either.
    foreign: Option<String>,
    /// SQLSTATE, or `-` for an answer that differs.
    state: String,
    /// Message without what changes from record to record.
    message: String,
    /// Whether it only follows from an earlier failure, whose state and message these then are.
    follows: bool,
}

impl Class {
    fn of(failure: &Failure) -> Self {
        let (state, message) = match (&failure.follows, &failure.reason) {
            (Some(cause), _) => (cause.error.sqlstate.clone(), masked(&cause.error.message)),
            (None, Reason::Error(e)) => (e.sqlstate.clone(), masked(&e.message)),
            (None, Reason::Different { .. }) => ("-".to_owned(), "another answer".to_owned()),
            (None, Reason::Other(what)) => ("-".to_owned(), masked(what)),
        };
        let foreign = foreign(failure).map(|why| masked(&why));
        if failure.postgres.is_some() && foreign.is_some() {
            // What PostgreSQL says is the reason, whatever the engine said.
            let (state, message) = ("-".to_owned(), "PostgreSQL fails it too".to_owned());
            return Self { foreign, state, message, follows: false };
        }
        Self { foreign, state, message, follows: failure.follows.is_some() }
    }
}

/// The whole document, in Markdown. The same reports give the same text.
#[must_use]
pub fn document(reports: &[FileReport]) -> String {
    let mut classes: BTreeMap<Class, Vec<&Failure>> = BTreeMap::new();
    for failure in reports.iter().flat_map(|r| &r.report.failures) {
        classes.entry(Class::of(failure)).or_default().push(failure);
    }
    let mut classes: Vec<(Class, Vec<&Failure>)> = classes.into_iter().collect();
    // Ours first, then by weight; the sort is stable, so ties keep their order.
    classes.sort_by_key(|(class, all)| (class.foreign.is_some(), usize::MAX - all.len()));
    let mut out = String::from(
        "# Records that fail\n\n\
         Written by `make ladder`; not edited by hand. Each record of the corpora that fails on the \
         in-process engine, by reason.\n\n",
    );
    summary(&mut out, reports);
    reasons(&mut out, &classes);
    places(&mut out, reports, &classes);
    out
}

fn summary(out: &mut String, reports: &[FileReport]) {
    let mut corpora: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for file in reports {
        let row = corpora.entry(file.corpus()).or_default();
        let not_postgres = file.report.failures.iter().filter(|f| foreign(f).is_some()).count();
        let counts = [file.report.passed, file.report.failed, not_postgres, file.report.skipped];
        row.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
    }
    let mut total = [0; 4];
    out.push_str(
        "Skipped records are meant for other systems (`onlyif`, `skipif`, `halt`). \"Not \
         PostgreSQL's\" are failing records that PostgreSQL fails as well, or answers as the engine does \
         (`--postgres`; without it by the rules in `src/ladder/foreign.rs`); the share leaves them \
         out.\n\n\
         | corpus | passed | failed | of them not PostgreSQL's | skipped | share passed |\n\
         |---|---|---|---|---|---|\n",
    );
    for (corpus, row) in &corpora {
        line(out, corpus, row);
        total.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    line(out, "all", &total);
}

fn line(out: &mut String, name: &str, [passed, failed, not_postgres, skipped]: &[usize; 4]) {
    let due = passed + failed - not_postgres;
    // Rounded down: 100 % means all of them.
    let tenths = (1000 * passed).checked_div(due).unwrap_or(1000);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let _ = writeln!(
        out,
        "| {name} | {passed} | {failed} | {not_postgres} | {skipped} | {whole}.{tenth} % |"
    );
}

fn reasons(out: &mut String, classes: &[(Class, Vec<&Failure>)]) {
    out.push_str("\n## Reasons\n\nThe numbers in front are those of the list below.\n");
    for (number, (class, failures)) in (1..).zip(classes) {
        let _ = write!(out, "\n{number}. {} × ", failures.len());
        if class.follows {
            out.push_str("follows from: ");
        }
        let _ = writeln!(out, "`{}` {}", class.state, escaped(&class.message));
        if let Some(why) = &class.foreign {
            let _ = writeln!(out, "   *not PostgreSQL's: {}*", escaped(why));
        }
        let mut shown: Vec<String> = Vec::new();
        for failure in failures {
            let sql = shortened(&failure.sql);
            if shown.len() < EXAMPLES && !shown.contains(&sql) {
                let _ = writeln!(out, "   - {}:{} `{}`", failure.file, failure.line, sql);
                shown.push(sql);
            }
        }
    }
}

fn places(out: &mut String, reports: &[FileReport], classes: &[(Class, Vec<&Failure>)]) {
    out.push_str("\n## Every failing record\n\nPer file and reason the lines of the records.\n");
    let numbers: BTreeMap<&Class, usize> = classes.iter().map(|(c, _)| c).zip(1..).collect();
    for file in reports.iter().filter(|f| f.report.failed > 0) {
        let mut lines: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for failure in &file.report.failures {
            let number = numbers.get(&Class::of(failure)).copied().unwrap_or(0);
            lines.entry(number).or_default().push(failure.line);
        }
        let _ = writeln!(out, "\n{}", file.file);
        for (number, lines) in lines {
            let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
            let _ = writeln!(out, "- {number}: {}", lines.join(" "));
        }
    }
}

/// The first line of a message, with … for names in quotes and N for numbers.
fn masked(message: &str) -> String {
    let mut out = String::new();
    let mut closing = None;
    let mut in_number = false;
    for c in message.lines().next().unwrap_or_default().chars() {
        if closing.is_some() {
            if closing == Some(c) {
                closing = None;
                out.push(c);
            }
            continue;
        }
        let digit = c.is_ascii_digit();
        match c {
            '"' | '\'' => {
                closing = Some(c);
                out.push(c);
                out.push('…');
            }
            _ if digit && in_number => {}
            _ if digit => out.push('N'),
            _ => out.push(c),
        }
        in_number = digit;
    }
    out
}

/// One line, without what Markdown would take for its own.
fn shortened(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "'");
    match line.char_indices().nth(SQL_SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

fn escaped(text: &str) -> String {
    text.replace('*', "\\*").replace('_', "\\_").replace('<', "\\<").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineError;
    use crate::report::Report;

    fn failure(line: u32, sql: &str, state: &str, message: &str) -> Failure {
        let reason = Reason::Error(EngineError::new(state, message));
        Failure {
            file: "c/f.slt".into(),
            line,
            sql: sql.into(),
            reason,
            follows: None,
            postgres: None,
        }
    }

    #[test]
    fn failures_are_grouped_counted_and_placed() {
        let failures = vec![
            failure(3, "SELECT\n 1 / a", "0A000", "division of \"a\" by 10 is not supported"),
            failure(9, "SELECT 2 / b", "0A000", "division of \"b\" by 2 is not supported"),
            failure(12, "PRAGMA x", "42601", "syntax error"),
        ];
        let report = Report { passed: 7, failed: 3, skipped: 1, failures };
        let text = document(&[FileReport { file: "c/f.slt".into(), report }]);
        assert!(text.contains("| c | 7 | 3 | 1 | 1 | 77.7 % |"), "{text}");
        assert!(
            text.contains("1. 2 × `0A000` division of \"…\" by N is not supported\n"),
            "{text}"
        );
        assert!(text.contains("   - c/f.slt:3 `SELECT 1 / a`\n"), "{text}");
        assert!(text.contains("2. 1 × `42601` syntax error\n   *not PostgreSQL's: "), "{text}");
        assert!(text.contains("c/f.slt\n- 1: 3 9\n- 2: 12\n"), "{text}");
    }
}
