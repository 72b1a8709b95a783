//! The engines that files run on: a closed set, so an enum.

use crate::cluster::Cluster;
use crate::inprocess::InProcess;
use crate::oracle::Oracle;
use crate::postgres::Postgres;
use crate::value::Output;
use futures::FutureExt as _;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use trine_proto::status::{SqlError, sqlstate};

/// Which engine to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// Three parties in this process over an in-memory transport.
    Inprocess,
    /// A `trined dev` cluster of three processes over mutual TLS.
    Cluster,
    /// Plain DataFusion in the clear.
    Oracle,
    /// The PostgreSQL behind `PGHOST`: an oracle for plain SQL.
    Postgres,
}

/// A running engine.
pub enum Engine {
    /// See [`EngineKind::Oracle`].
    Oracle(Box<Oracle>),
    /// See [`EngineKind::Inprocess`].
    InProcess(Box<InProcess>),
    /// See [`EngineKind::Cluster`].
    Cluster(Box<Cluster>),
    /// See [`EngineKind::Postgres`].
    Postgres(Box<Postgres>),
}

/// What a query cost the three parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Rounds, the same at all parties.
    pub rounds: u64,
    /// Payload bytes that each party sent.
    pub bytes: [u64; 3],
}

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError {
    /// Five characters.
    pub sqlstate: String,
    /// The sentence a user would read.
    pub message: String,
}

impl EngineError {
    /// From its parts.
    #[must_use]
    pub fn new(sqlstate: &str, message: impl Into<String>) -> Self {
        Self { sqlstate: sqlstate.to_owned(), message: message.into() }
    }
    /// Whether the engine does not do this kind of SQL.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.sqlstate == sqlstate::FEATURE_NOT_SUPPORTED
    }
    /// Whether a table is not there.
    #[must_use]
    pub fn is_missing_table(&self) -> bool {
        self.sqlstate == sqlstate::UNDEFINED_TABLE
    }
    /// Whether the engine itself broke.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        ["XX", "08", "57"].iter().any(|class| self.sqlstate.starts_with(class))
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.sqlstate)
    }
}

impl std::error::Error for EngineError {}

impl From<SqlError> for EngineError {
    fn from(e: SqlError) -> Self {
        Self { sqlstate: e.sqlstate, message: e.message }
    }
}

impl Engine {
    /// Starts an engine with an empty database.
    ///
    /// # Errors
    /// The cluster or the parties do not start.
    pub async fn start(kind: EngineKind) -> Result<Self, EngineError> {
        match kind {
            EngineKind::Oracle => Ok(Self::Oracle(Box::default())),
            EngineKind::Inprocess => Ok(Self::InProcess(Box::new(InProcess::new()?))),
            EngineKind::Cluster => Ok(Self::Cluster(Box::new(Cluster::start().await?))),
            EngineKind::Postgres => Ok(Self::Postgres(Box::new(Postgres::start().await?))),
        }
    }

    /// Label of the engine in `skipif` and `onlyif`, beside those of every engine.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Oracle(_) => "datafusion",
            Self::InProcess(_) | Self::Cluster(_) => "trine",
            Self::Postgres(_) => "postgresql",
        }
    }

    /// Drops every table.
    ///
    /// # Errors
    /// A table cannot be dropped.
    pub async fn reset(&mut self) -> Result<(), EngineError> {
        match self {
            Self::Oracle(oracle) => **oracle = Oracle::new(),
            Self::InProcess(parties) => **parties = InProcess::new()?,
            Self::Cluster(cluster) => cluster.reset().await?,
            Self::Postgres(postgres) => postgres.reset().await?,
        }
        Ok(())
    }

    /// Runs the statements of a text; the answer is that of the last one.
    ///
    /// # Errors
    /// The first statement that fails.
    pub async fn run(&mut self, sql: &str) -> Result<Output, EngineError> {
        // A panic is one failed record, not the end of the run.
        let outcome = AssertUnwindSafe(self.answer(sql)).catch_unwind().await;
        outcome.unwrap_or_else(|_| {
            Err(EngineError::new(sqlstate::INTERNAL_ERROR, "the engine panicked"))
        })
    }

    /// [`Engine::run`] of one query, with what the three parties counted where they are a cluster.
    ///
    /// # Errors
    /// The query fails.
    pub async fn run_counted(
        &mut self,
        sql: &str,
    ) -> Result<(Output, Option<Traffic>), EngineError> {
        if let Self::Cluster(cluster) = self {
            let sql = sql.trim().trim_end_matches(';');
            let (table, counted) = cluster.client().query_counted(sql).await?;
            let traffic =
                Traffic { rounds: counted[0].rounds, bytes: counted.map(|party| party.bytes_sent) };
            return Ok((table.into(), Some(traffic)));
        }
        self.run(sql).await.map(|output| (output, None))
    }

    /// Appends the rows of a CSV file with a header to a table, as one batch.
    ///
    /// # Errors
    /// No such table or file, or a cell that does not fit.
    pub async fn load_csv(&mut self, table: &str, path: &Path) -> Result<u64, EngineError> {
        match self {
            Self::Oracle(oracle) => oracle.load_csv(table, path).await,
            Self::InProcess(parties) => parties.load_csv(table, path),
            Self::Cluster(cluster) => cluster.load(table, path).await,
            Self::Postgres(_) => Err(EngineError::new(
                sqlstate::FEATURE_NOT_SUPPORTED,
                "files are not loaded into PostgreSQL",
            )),
        }
    }

    async fn answer(&mut self, sql: &str) -> Result<Output, EngineError> {
        match self {
            Self::Oracle(oracle) => oracle.run(sql).await,
            Self::InProcess(parties) => parties.run(sql),
            Self::Cluster(cluster) => cluster.run(sql).await,
            Self::Postgres(postgres) => postgres.run(sql).await,
        }
    }
}
