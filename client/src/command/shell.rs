//! The shell: lines until a semicolon, history, completion.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper, Highlighter, Hinter};
use tokio::runtime::Runtime;
use trine_client::BlockStatus;
use trine_client::statement::is_complete;

use super::Failure;
use super::session::Session;
use super::sql::run_script;

/// As psql's: a star while a transaction is open, an exclamation mark when only ROLLBACK is left.
const fn prompt(status: BlockStatus) -> &'static str {
    match status {
        BlockStatus::Idle => "trine=> ",
        BlockStatus::Open => "trine=*> ",
        BlockStatus::Failed => "trine=!> ",
    }
}

const KEYWORDS: [&str; 69] = [
    "AND",
    "AS",
    "ASC",
    "AVG",
    "BEGIN",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "CASE",
    "CAST",
    "COMMIT",
    "COUNT",
    "CREATE TABLE",
    "DATE",
    "DECIMAL",
    "DESC",
    "DISTINCT",
    "DROP TABLE",
    "ELSE",
    "END",
    "ENUM",
    "EXISTS",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "FALSE",
    "FROM",
    "GRANT SELECT ON",
    "GROUP BY",
    "HAVING",
    "IF",
    "IN",
    "INNER JOIN",
    "INSERT INTO",
    "INT",
    "IS",
    "JOIN",
    "LEFT JOIN",
    "LIMIT",
    "MAX",
    "MIN",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER BY",
    "PRIMARY KEY",
    "PUBLIC",
    "RANGE",
    "REVOKE SELECT ON",
    "ROLLBACK",
    "SELECT",
    "SHOW TABLES",
    "SMALLINT",
    "SUM",
    "TABLE",
    "TEXT",
    "THEN",
    "TO",
    "TRUE",
    "UNION ALL",
    "VALUES",
    "VARCHAR",
    "WHEN",
    "WHERE",
    "WITH",
    "NULLS FIRST",
    "NULLS LAST",
    "COALESCE",
];

/// Reads and runs until `\q` or the end of input. Errors are shown and the shell goes on.
pub(super) fn run(runtime: &Runtime, mut session: Session) -> Result<(), Failure> {
    let mut editor: Editor<Assistant, DefaultHistory> = Editor::new().map_err(unreadable)?;
    editor.set_helper(Some(Assistant { names: names(runtime, &session) }));
    let history = history_file();
    if let Some(file) = &history {
        // No history yet is the usual case on the first day.
        editor.load_history(file).ok();
    }
    println!("trine {}. \\? for help, \\q to leave.", env!("CARGO_PKG_VERSION"));
    loop {
        let text = match editor.readline(prompt(session.block.status())) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(unreadable(error)),
        };
        if text.trim().is_empty() {
            continue;
        }
        editor.add_history_entry(text.trim_end()).map_err(unreadable)?;
        let outcome = runtime.block_on(run_script(&mut session, &text));
        match outcome {
            Ok(true) => {}
            Ok(false) => break,
            Err(failure) => {
                failure.report();
            }
        }
        if let Some(helper) = editor.helper_mut()
            && ["create", "drop", "\\i"].iter().any(|w| text.to_lowercase().contains(w))
        {
            helper.names = names(runtime, &session);
        }
    }
    runtime.block_on(session.leave());
    if let Some(file) = &history {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).ok();
        }
        // rustyline makes the file readable for its owner only: statements hold data.
        if let Err(error) = editor.save_history(file) {
            eprintln!("NOTICE:  history was not saved: {error}");
        }
    }
    Ok(())
}

fn unreadable(error: ReadlineError) -> Failure {
    Failure::Io(std::io::Error::other(error))
}

fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state =
        folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|h| h.join(".local/state")))?;
    Some(state.join("trine").join("history"))
}

/// Names of the tables and columns that the user may see; none if nobody answers.
fn names(runtime: &Runtime, session: &Session) -> BTreeSet<String> {
    let tables = runtime.block_on(session.client.tables("")).unwrap_or_default();
    tables
        .into_iter()
        .filter_map(|t| t.schema)
        .flat_map(|s| s.columns.into_iter().map(|c| c.name).chain([s.name]))
        .collect()
}

/// Completes words and knows when a text is complete.
#[derive(Helper, Highlighter, Hinter)]
struct Assistant {
    names: BTreeSet<String>,
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(completions(&self.names, &line[..position]))
    }
}

fn completions(names: &BTreeSet<String>, before: &str) -> (usize, Vec<Pair>) {
    let start = before
        .rfind(|c: char| !c.is_alphanumeric() && c != '_')
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    if word.is_empty() {
        return (start, Vec::new());
    }
    let upper = word.to_uppercase();
    let lower_case = word.chars().all(|c| !c.is_uppercase());
    let names = names.iter().filter(|n| n.starts_with(&word.to_lowercase())).cloned();
    let keywords = KEYWORDS
        .iter()
        .filter(|k| k.starts_with(&upper))
        .map(|k| if lower_case { k.to_lowercase() } else { (*k).to_owned() });
    let pair = |text: String| Pair { display: text.clone(), replacement: text };
    (start, names.chain(keywords).map(pair).collect())
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let done = text.trim_start().starts_with('\\') || is_complete(text);
        Ok(if done { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_in_their_case() {
        let names = BTreeSet::from(["sales".to_owned(), "salary".to_owned()]);
        let found = |before: &str| {
            let (start, pairs) = completions(&names, before);
            (start, pairs.into_iter().map(|p| p.replacement).collect::<Vec<_>>())
        };
        assert_eq!(found("select sal"), (7, vec!["salary".to_owned(), "sales".to_owned()]));
        assert_eq!(found("SELE"), (0, vec!["SELECT".to_owned()]));
        assert_eq!(found("gro"), (0, vec!["group by".to_owned()]));
        assert_eq!(found("é.gro").0, 3);
        assert_eq!(found("select "), (7, vec![]));
    }
}
