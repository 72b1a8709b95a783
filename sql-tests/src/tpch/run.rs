//! Loading an engine with TPC-H and asking it.

use crate::engine::{Engine, EngineError, Traffic};
use crate::tpch::verdict::{compare, shape};
use crate::tpch::{SCHEMA, TABLES, data};
use crate::value::Output;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a query came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The expected answer.
    Equal,
    /// Another answer: what differs first.
    Differs(String),
    /// The engine does not do this query.
    Refused(EngineError),
    /// The engine failed.
    Failed(EngineError),
}

/// One query's run.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How it came out.
    pub verdict: Verdict,
    /// From the text to the opened answer.
    pub took: Duration,
    /// Rows of the answer.
    pub rows: usize,
    /// What the parties counted, where they are a cluster.
    pub traffic: Option<Traffic>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => f.write_str("ok"),
            Self::Differs(what) => write!(f, "differs: {what}"),
            Self::Refused(e) => write!(f, "refused: {e}"),
            Self::Failed(e) => write!(f, "failed: {e}"),
        }
    }
}

/// Creates the eight tables on an empty engine and loads the generated files of a folder.
///
/// # Errors
/// A statement or a file is refused.
pub async fn load(engine: &mut Engine, folder: &Path) -> Result<(), EngineError> {
    engine.run(SCHEMA).await?;
    for table in TABLES {
        engine.load_csv(table, &data::file(folder, table)).await?;
    }
    Ok(())
}

/// Asks one query and holds the answer against the expected one.
///
/// # Errors
/// The text is not one query.
pub async fn ask(engine: &mut Engine, sql: &str, expected: &Output) -> Result<Asked, String> {
    let shape = shape(sql)?;
    let start = Instant::now();
    let answer = engine.run_counted(sql).await;
    let took = start.elapsed();
    let rows = answer.as_ref().map_or(0, |(answer, _)| answer.rows.len());
    let traffic = answer.as_ref().ok().and_then(|(_, traffic)| *traffic);
    let verdict = match answer {
        Ok((answer, _)) => match compare(&answer, expected, &shape) {
            Ok(()) => Verdict::Equal,
            Err(what) => Verdict::Differs(what),
        },
        Err(e) if e.is_internal() => Verdict::Failed(e),
        Err(e) => Verdict::Refused(e),
    };
    Ok(Asked { verdict, took, rows, traffic })
}
