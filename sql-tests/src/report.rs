//! What came of the records of a file or of a whole run.

use crate::engine::EngineError;
use std::fmt;
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
    /// One per failed record.
    pub failures: Vec<Failure>,
}

/// A failed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// File as it was named to the runner.
    pub file: String,
    /// Line of the record, from 1.
    pub line: u32,
    /// The statement.
    pub sql: String,
    /// What went wrong.
    pub reason: Reason,
    /// The earlier failure of the same file that this one follows from, as far as it can be told:
    /// the table was not created, or not all of its rows were written.
    pub follows: Option<Cause>,
    /// What a real PostgreSQL did with the same record after the same file, if one was asked.
    pub postgres: Option<PostgresVerdict>,
}

/// What PostgreSQL did with a record that the engine failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresVerdict {
    /// It passed the record, or ran it to an answer that neither the file nor the engine has.
    Accepts,
    /// It refused the statement; its error.
    Refuses(EngineError),
    /// It ran a statement that the record wants to fail, as the engine did.
    AcceptsToo,
    /// It gave the engine's answer and not the file's.
    SameAnswer,
}

/// The statement that a later failure follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its text.
    pub sql: String,
    /// Why it failed.
    pub error: EngineError,
}

/// Why a record failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The engine refused or failed.
    Error(EngineError),
    /// Another answer than the expected one: both as text.
    Different {
        /// What the file says.
        expected: String,
        /// What the engine says.
        actual: String,
    },
    /// The statement did something else than the record wants, in words.
    Other(String),
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
    /// A file that could not be run at all.
    #[must_use]
    pub fn unreadable(file: &str, message: String) -> Self {
        let reason = Reason::Other(message);
        let failure = Failure {
            file: file.to_owned(),
            line: 0,
            sql: String::new(),
            reason,
            follows: None,
            postgres: None,
        };
        Self { failed: 1, failures: vec![failure], ..Self::default() }
    }

    /// `N passed, N failed, N skipped`.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }

    /// All failures as text, one paragraph each.
    #[must_use]
    pub fn failures_text(&self) -> String {
        self.failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}", self.file, self.line)?;
        writeln!(f, "{}", indent(&self.sql, "    "))?;
        f.write_str(&indent(&self.reason.to_string(), "  ! "))?;
        match &self.follows {
            Some(cause) => write!(f, "\n  ! follows from: {}", cause.error),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "{error}"),
            Self::Different { expected, actual } => {
                let (expected, actual) = (first_lines(expected), first_lines(actual));
                write!(f, "expected:\n{expected}\nactual:\n{actual}")
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}

fn indent(text: &str, with: &str) -> String {
    text.trim_end().lines().map(|l| format!("{with}{l}")).collect::<Vec<_>>().join("\n")
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
