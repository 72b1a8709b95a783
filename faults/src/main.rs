//! `trine-faults`: kills nodes for as long as one likes, and compares what is left with a model.

use clap::Parser;
use std::process::ExitCode;
use trine_faults::rounds::{Options, run};

/// Runs rounds of work under which nodes are killed; ends at the first thing that must not be.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Repeats all choices of a run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds; each takes a few seconds.
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// Clients that write at the same time.
    #[arg(long, default_value_t = 4)]
    writers: u64,
    /// Only this fail point (a build with debug assertions dies there, another is killed from outside).
    #[arg(long, value_name = "POINT")]
    only: Option<String>,
}

fn main() -> ExitCode {
    let Arguments { seed, rounds, writers, only } = Arguments::parse();
    let options = Options { seed, rounds, writers: writers.max(1), only };
    match run(&options, &mut |what| println!("{what}")) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
