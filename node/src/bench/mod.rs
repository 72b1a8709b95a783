//! `trined bench`: what an operation costs on this machine, measured on the code that serves queries.
//!
//! 1. A [`Job`] says what to run: operation, rows, bits, network, repetitions. It is refused here if
//!    it makes no sense.
//! 2. Every party derives its own two components of the input columns from the job's seed
//!    (`input`), outside of what is timed.
//! 3. Three processes that form a real mesh over mutual TLS (`processes`, `party`), or three threads
//!    over memory (`in_memory`), wait for each other and run the operation (`primitive`,
//!    `relational`) as often as asked. `measure` takes time, processor time, memory, bytes, rounds.
//! 4. The result shares of the last run are put together and compared with the same computation in
//!    the clear (`expected`). A wrong result is an error and gives no figure.
//! 5. `report` holds what was counted against what a dry session predicts, and prints.
//!
//! The seed is public and the plaintext is known to everyone here: this is no place for real data.

mod expected;
mod in_memory;
mod input;
mod job;
mod load;
mod measure;
mod operation;
mod party;
mod primitive;
mod processes;
mod relational;
mod report;
mod tpch;
mod vector;

pub(crate) use job::{Form, Job, Network};
pub(crate) use operation::Operation;
pub(crate) use party::run as run_party;
pub(crate) use report::Report;
pub(crate) use tpch::{Tpch, run as run_tpch};

use crate::error::NodeError;
use measure::Measured;
use vector::Part;

/// What the three parties hand back: their measurements and result shares, by party index.
struct Run {
    measured: [Measured; 3],
    parts: [Part; 3],
}

/// Runs a job, verifies its result, and reports.
///
/// # Errors
/// [`NodeError::Bench`] when a party fails or the result is wrong.
pub(crate) fn run(job: &Job) -> Result<Report, NodeError> {
    if job.operation == Operation::Load {
        return Report::new(job, &load::run(job)?);
    }
    let run = match job.network {
        Network::Memory => in_memory::run(job)?,
        Network::Tls => processes::run(job)?,
    };
    let opened = vector::open(&run.parts).map_err(NodeError::Bench)?;
    expected::verify(job, &opened).map_err(|why| {
        NodeError::Bench(format!("{}: WRONG RESULT: {why}", job.operation.name()))
    })?;
    Report::new(job, &run.measured)
}
