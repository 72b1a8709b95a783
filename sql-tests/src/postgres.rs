//! A real PostgreSQL beside the engine: whether it would accept a record is asked, not guessed.
//!
//! `scripts/with-postgres.sh` starts a throw-away server; `psql` finds it by `PGHOST`. A file has a
//! database of its own and one `psql`, which is told statement by statement what to run and echoes
//! a mark behind every answer.

use crate::engine::EngineError;
use crate::value::{Output, Value};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use trine_proto::status::sqlstate;

/// How long an answer may take; a `psql` that still waits for the end of a text is started anew.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the server itself ends, in milliseconds.
const STATEMENT_MILLISECONDS: u32 = 10_000;
/// Between two cells, two rows, and in the place of NULL: bytes that no corpus has in a text.
const CELL: char = '\u{1f}';
const ROW: char = '\u{1e}';
const NULL: &str = "\u{1d}";
/// Begins a line of our own among the answers.
const MARK: &str = "\u{1c}";

/// Databases made by this process.
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// One `psql` on a database of its own.
pub struct Postgres {
    database: String,
    psql: Psql,
}

struct Psql {
    /// Ends with this.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Postgres {
    /// A fresh database on the server that `PGHOST` names.
    ///
    /// # Errors
    /// No `psql`, or no server.
    pub async fn start() -> Result<Self, EngineError> {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let database = format!("ladder_{}_{number}", std::process::id());
        let create = format!("CREATE DATABASE {database} TEMPLATE template0");
        administer(&create).await?;
        let psql = Psql::start(&database)?;
        let mut postgres = Self { database, psql };
        postgres.run(&format!("SET statement_timeout = {STATEMENT_MILLISECONDS}")).await?;
        postgres.run("SET timezone = 'UTC'").await?;
        Ok(postgres)
    }

    /// Drops the database.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn finish(self) -> Result<(), EngineError> {
        drop(self.psql);
        administer(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database)).await
    }

    /// Drops every table.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn reset(&mut self) -> Result<(), EngineError> {
        self.run("SET client_min_messages = warning").await?;
        self.run("DROP SCHEMA public CASCADE").await?;
        self.run("CREATE SCHEMA public").await.map(drop)
    }

    /// Runs the statements of a text; the answer is that of the last one.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn run(&mut self, sql: &str) -> Result<Output, EngineError> {
        let statement = sql.trim_end().trim_end_matches(';');
        // The description comes first: types are known before the rows are read.
        let script = format!(
            "{statement}\n\\gdesc\n\\echo '{MARK}'\n\\g\n\\echo '{MARK}' :ERROR :SQLSTATE :ROW_COUNT\n\
             \\echo :LAST_ERROR_MESSAGE\n\\echo '{MARK}'\n"
        );
        let answer = timeout(PATIENCE, self.psql.ask(&script)).await;
        let Ok(Some([described, rows, state, message])) = answer else {
            // Inside an open quotation everything is text, also what we wrote.
            self.psql = Psql::start(&self.database)?;
            return Err(EngineError::new(sqlstate::SYNTAX_ERROR, "the text has no end"));
        };
        let mut state = state.split_whitespace();
        let (failed, code) = (state.next() != Some("false"), state.next().unwrap_or_default());
        if failed {
            return Err(EngineError::new(code, message.trim_end()));
        }
        let count = state.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        Ok(answer_of(&described, &rows, count))
    }
}

impl Psql {
    fn start(database: &str) -> Result<Self, EngineError> {
        // Without a terminal psql keeps answers back until a buffer is full.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "psql", "-X", "-q", "-t", "-A", "-v", "VERBOSITY=terse", "-d", database])
            .args(["-F", &CELL.to_string(), "-R", &ROW.to_string(), "-P", &format!("null={NULL}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(&e))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { return Err(failed(&"no pipe")) };
        Ok(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    /// Description, rows, state, message; `None` if psql went away.
    async fn ask(&mut self, script: &str) -> Option<[String; 4]> {
        self.input.write_all(script.as_bytes()).await.ok()?;
        let mut parts: [String; 4] = Default::default();
        let mut part = 0;
        while let Ok(Some(line)) = self.output.next_line().await {
            // The mark may stand behind a row without a line's end.
            let (before, after) =
                line.split_once(MARK).map_or((line.as_str(), None), |(b, a)| (b, Some(a)));
            parts[part].push_str(before);
            match after {
                None => parts[part].push('\n'),
                Some(_) if part == 3 => return Some(parts),
                Some(_) if part == 0 => part = 1,
                Some(state) => {
                    state.clone_into(&mut parts[2]);
                    part = 3;
                }
            }
        }
        None
    }
}

/// Rows with the types of the description; without one it was a statement that has no rows.
fn answer_of(described: &str, rows: &str, count: u64) -> Output {
    let described = described.strip_suffix('\n').unwrap_or(described);
    let columns: Option<Vec<(&str, &str)>> =
        described.split(ROW).map(|column| column.split_once(CELL)).collect();
    let Some(columns) = columns else { return Output::done(Some(count)) };
    let rows = rows.strip_suffix('\n').unwrap_or(rows);
    let of_row = |row: &str| {
        row.split(CELL).zip(&columns).map(|(cell, (_, kind))| value(cell, kind)).collect()
    };
    let rows = if count == 0 { Vec::new() } else { rows.split(ROW).map(of_row).collect() };
    Output::result(columns.iter().map(|(name, _)| (*name).to_owned()).collect(), rows)
}

fn value(cell: &str, kind: &str) -> Value {
    let text = || Value::Text(cell.to_owned());
    if cell == NULL {
        return Value::Null;
    }
    match kind.split('(').next().unwrap_or_default() {
        "boolean" => Value::Boolean(cell == "t"),
        "smallint" | "integer" | "bigint" | "numeric" => Value::number(cell).unwrap_or_else(text),
        "real" | "double precision" => cell.parse().map_or_else(|_| text(), Value::Double),
        _ => text(),
    }
}

/// One statement outside of the file's database.
async fn administer(sql: &str) -> Result<(), EngineError> {
    let output = Command::new("psql")
        .args(["-X", "-q", "-d", "postgres", "-c", sql])
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|e| failed(&e))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(failed(&said.trim())) }
}

fn failed(why: &dyn std::fmt::Display) -> EngineError {
    EngineError::new(sqlstate::INTERNAL_ERROR, format!("psql: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_types_of_their_description() {
        let described =
            "a\u{1f}integer\u{1e}b\u{1f}numeric(5,2)\u{1e}c\u{1f}text\u{1e}d\u{1f}boolean\n";
        let rows = "1\u{1f}2.50\u{1f}x y\u{1f}t\u{1e}\u{1d}\u{1f}NaN\u{1f}\u{1f}f\n";
        let output = answer_of(described, rows, 2);
        assert_eq!(output.columns, ["a", "b", "c", "d"]);
        let text = |t: &str| Value::Text(t.to_owned());
        let first = [
            Value::Integer(1),
            Value::Decimal { digits: 250, scale: 2 },
            text("x y"),
            Value::Boolean(true),
        ];
        assert_eq!(output.rows[0], first);
        assert_eq!(output.rows[1], [Value::Null, text("NaN"), text(""), Value::Boolean(false)]);
        assert!(answer_of(described, "\n", 0).rows.is_empty());
        let done = answer_of("The command has no result, or the result has no columns.\n", "", 3);
        assert_eq!(done, Output::done(Some(3)));
    }
}
