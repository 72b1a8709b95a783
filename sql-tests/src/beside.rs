//! A PostgreSQL beside the run of a file: asked about the records that fail, and told in between what
//! else has changed the tables. Reads that the engine answers rightly never reach it, so that a
//! suite of many thousands of them takes hardly longer than by itself, and a file without a failure
//! needs no server.

use crate::engine::EngineError;
use crate::postgres::Postgres;
use crate::value::Output;
use crate::words::words;

/// What PostgreSQL knows of a file so far.
#[derive(Default)]
pub struct Beside {
    /// Passed records that change something and that it has not run yet.
    pending: Vec<String>,
    postgres: Option<Postgres>,
    /// Why there is no server.
    lost: Option<EngineError>,
}

impl Beside {
    /// A record that the engine passed.
    pub fn passed(&mut self, sql: &str) {
        if !only_reads(sql) {
            self.pending.push(sql.to_owned());
        }
    }

    /// What PostgreSQL does with a record, behind all that came before it in the file.
    ///
    /// # Errors
    /// What it says; also that there is none, which [`Beside::finish`] repeats.
    pub async fn ask(&mut self, sql: &str) -> Result<Output, EngineError> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        let mut postgres = match self.postgres.take() {
            Some(postgres) => postgres,
            None => Postgres::start().await.inspect_err(|e| self.lost = Some(e.clone()))?,
        };
        for earlier in self.pending.drain(..) {
            // Its own refusal of an earlier record shows in the answers to later ones.
            let _ = postgres.run(&earlier).await;
        }
        let answer = postgres.run(sql).await;
        self.postgres = Some(postgres);
        answer
    }

    /// Drops the database.
    ///
    /// # Errors
    /// The server is gone, or never was there when it was asked.
    pub async fn finish(self) -> Result<(), EngineError> {
        match (self.lost, self.postgres) {
            (Some(lost), _) => Err(lost),
            (None, Some(postgres)) => postgres.finish().await,
            (None, None) => Ok(()),
        }
    }
}

/// Whether a text changes nothing, by its words alone: what is doubtful counts as a change.
fn only_reads(sql: &str) -> bool {
    let words = words(sql);
    let reads = ["select", "values", "with", "table", "explain", "show"];
    let changes = ["insert", "update", "delete", "create", "into", "nextval", "setval"];
    words.first().is_some_and(|first| reads.contains(&first.as_str()))
        && !words.iter().any(|word| changes.contains(&word.as_str()))
        && !sql.trim_end().trim_end_matches(';').contains(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_is_told_apart() {
        for sql in ["SELECT 1", "select a from t;", "VALUES (1)", "WITH x AS (SELECT 1) TABLE x"] {
            assert!(only_reads(sql), "{sql}");
        }
        for sql in [
            "CREATE TABLE t(a INT)",
            "INSERT INTO t SELECT 1",
            "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
            "SELECT 1 INTO t",
            "SELECT nextval('s')",
            "SELECT 1; DROP TABLE t",
            "BEGIN",
            "",
        ] {
            assert!(!only_reads(sql), "{sql}");
        }
    }

    #[tokio::test]
    async fn a_file_without_a_failure_needs_no_server() {
        let mut beside = Beside::default();
        beside.passed("CREATE TABLE t(a INT)");
        beside.passed("SELECT a FROM t");
        assert_eq!(beside.pending, ["CREATE TABLE t(a INT)"]);
        beside.finish().await.unwrap();
    }
}
