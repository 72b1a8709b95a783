//! `trined bench`: figures anyone can reproduce.

use crate::bench::{self, Form, Job, Network, Operation, Tpch};
use crate::error::NodeError;
use std::path::PathBuf;

/// Arguments of `trined bench`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Operations: round, and, mul, eq, lt, a2b, b2a, shuffle, sort, partition, groupby-sum, \
    groupby-small, join-unique, topk, load; and tpch. A wrong result is an error, not a figure."
)]
pub(super) struct Arguments {
    /// What to measure.
    operation: String,
    /// Rows of the (larger) input; 1048576 when absent. Of `round`: how many; 1000 when absent.
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// Width of the values; what exactly depends on the operation.
    #[arg(long, value_name = "W")]
    bits: Option<usize>,
    /// Three threads over memory, or three processes over mutual TLS on loopback.
    #[arg(long, value_name = "NET", default_value = "tls")]
    net: Network,
    /// Threads a party.
    #[arg(long, value_name = "T", default_value_t = 1)]
    threads: usize,
    /// Simulated round trip in milliseconds.
    #[arg(long, value_name = "R")]
    rtt_ms: Option<f64>,
    /// Simulated bandwidth of each pair and direction in megabits a second.
    #[arg(long, value_name = "B")]
    mbit: Option<u32>,
    /// Round trip in milliseconds that circuits are chosen for, instead of the simulated one.
    #[arg(long, value_name = "R")]
    profile_rtt_ms: Option<f64>,
    /// Forces one form of circuits.
    #[arg(long, value_name = "FORM")]
    form: Option<Form>,
    /// Distinct keys of a GROUP BY: 16 of a small domain, else one for 16 rows.
    #[arg(long, value_name = "G", default_value_t = 0, hide_default_value = true)]
    groups: usize,
    /// Columns of the table that is loaded; ten when absent.
    #[arg(long, value_name = "C", default_value_t = 0, hide_default_value = true)]
    columns: usize,
    /// Times to run; the best counts.
    #[arg(long, value_name = "K", default_value_t = 3)]
    repeat: usize,
    /// Seed of the data.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// tpch: scale factor.
    #[arg(long, value_name = "S", default_value = "0.01")]
    sf: String,
    /// tpch: number of a query; all 22 when absent.
    #[arg(long, value_name = "Q")]
    query: Vec<u8>,
    /// tpch: folder with q01.sql to q22.sql.
    #[arg(long, value_name = "DIR")]
    queries: Option<PathBuf>,
    /// tpch: folder with q01.csv to q22.csv; what it lacks is computed in the clear.
    #[arg(long, value_name = "DIR")]
    answers: Option<PathBuf>,
    /// One JSON object on the last line.
    #[arg(long)]
    json: bool,
    /// Breaks a result share: the run must fail.
    #[arg(long, hide = true)]
    corrupt: bool,
}

/// Runs one benchmark and prints it.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    if arguments.operation == "tpch" {
        return bench::run_tpch(&Tpch {
            scale: arguments.sf.clone(),
            queries: arguments.query.clone(),
            query_folder: arguments.queries.clone(),
            answer_folder: arguments.answers.clone(),
            json: arguments.json,
        });
    }
    let operation = Operation::parse(&arguments.operation).map_err(NodeError::Config)?;
    let job = Job {
        groups: arguments.groups,
        columns: arguments.columns,
        network: arguments.net,
        threads: arguments.threads,
        round_trip_us: microseconds("--rtt-ms", arguments.rtt_ms)?,
        megabits_per_s: arguments.mbit,
        believed_round_trip_us: microseconds("--profile-rtt-ms", arguments.profile_rtt_ms)?,
        form: arguments.form,
        repeat: arguments.repeat,
        seed: arguments.seed,
        corrupt: arguments.corrupt,
        ..Job::new(
            operation,
            arguments.rows.unwrap_or_else(|| operation.rows_default()),
            arguments.bits.unwrap_or_else(|| operation.bits_default()),
        )
    };
    let report = bench::run(&job.checked()?)?;
    if arguments.json {
        println!("{}", report.json()?);
    } else {
        print!("{}", report.text());
    }
    Ok(())
}

/// Milliseconds, at most ten seconds.
fn microseconds(name: &str, milliseconds: Option<f64>) -> Result<Option<u32>, NodeError> {
    let Some(milliseconds) = milliseconds else { return Ok(None) };
    if !(0.0..=10_000.0).contains(&milliseconds) {
        return Err(NodeError::Config(format!("{name} is 0 to 10000, not {milliseconds}")));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to ten million")]
    Ok(Some((milliseconds * 1000.0).round() as u32))
}

/// Arguments of one of the three processes.
#[derive(Debug, clap::Args)]
pub(super) struct PartyArguments {
    /// Folder with configurations and results.
    #[arg(long)]
    dir: PathBuf,
    /// 0, 1 or 2.
    #[arg(long)]
    party: usize,
    /// The job in JSON.
    #[arg(long)]
    job: String,
}

/// Runs one party of a benchmark.
pub(super) fn run_party(arguments: &PartyArguments) -> Result<(), NodeError> {
    bench::run_party(&arguments.dir, arguments.party, &arguments.job)
}
