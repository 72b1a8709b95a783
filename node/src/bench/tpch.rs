//! `trined bench tpch`: the 22 queries on a cluster. Generator, oracle and comparison are those of the
//! test crate, which this one must not depend on: its program `trine-tpch` stands beside this one.

use super::load::sibling;
use crate::error::NodeError;
use std::path::PathBuf;
use std::process::Command;

/// What to ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tpch {
    /// Scale factor.
    pub(crate) scale: String,
    /// Numbers of queries; none: all.
    pub(crate) queries: Vec<u8>,
    /// Folder with q01.sql to q22.sql.
    pub(crate) query_folder: Option<PathBuf>,
    /// Folder with q01.csv to q22.csv.
    pub(crate) answer_folder: Option<PathBuf>,
    /// JSON lines instead of text.
    pub(crate) json: bool,
}

/// Runs and prints; every answer is held against the reference answer or a plaintext engine.
///
/// # Errors
/// [`NodeError::Bench`] when any query asked for is refused, fails or differs.
pub(crate) fn run(tpch: &Tpch) -> Result<(), NodeError> {
    let mut command = Command::new(sibling("trine-tpch")?);
    command.args(["--engine", "cluster", "--sf", &tpch.scale]);
    for query in &tpch.queries {
        command.args(["--query", &query.to_string()]);
    }
    for (name, folder) in [("--queries", &tpch.query_folder), ("--answers", &tpch.answer_folder)] {
        if let Some(folder) = folder {
            command.arg(name).arg(folder);
        }
    }
    if tpch.json {
        command.arg("--json");
    }
    let status = command.status().map_err(NodeError::System)?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(NodeError::Bench("tpch: not every query was answered rightly".into())),
        _ => Err(NodeError::Bench("tpch: the run did not come to an end".into())),
    }
}
