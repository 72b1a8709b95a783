//! What `trined` does from the command line, a file each.

mod backup;
mod bench;
mod check;
mod dev;
mod init;
mod logging;
mod operator;
mod repair;
mod restore;
mod run;

use crate::error::NodeError;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit code of `check` and `repair` when damaged segments remain; 1 is every other failure.
const DAMAGED: u8 = 3;

/// The daemon of one party of a Trine cluster.
#[derive(Debug, Parser)]
#[command(name = "trined", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Three parties on loopback, with keys and data under one folder; prints READY.
    Dev(dev::Arguments),
    /// Keys and configuration of one party, or the common block of a new cluster.
    Init(init::Arguments),
    /// Runs one party's node.
    Run(run::Arguments),
    /// Checks the configuration and every stored segment of one party.
    Check(check::Arguments),
    /// Rebuilds what is damaged or missing of one party's segments from the two other nodes.
    Repair(repair::Arguments),
    /// Copies one party's part of everything at one log position into a folder.
    Backup(backup::Arguments),
    /// Puts a backup into an empty data folder.
    Restore(restore::Arguments),
    /// Measures an operation between three parties on this machine, and verifies its result.
    Bench(bench::Arguments),
    /// One party of a benchmark.
    #[command(hide = true)]
    BenchParty(bench::PartyArguments),
}

/// Runs `trined` with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Repair(arguments) => repair::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::BenchParty(arguments) => bench::run_party(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e @ NodeError::Damaged(_)) => {
            eprintln!("trined: {e}");
            ExitCode::from(DAMAGED)
        }
        Err(e) => {
            eprintln!("trined: {e}");
            ExitCode::FAILURE
        }
    }
}

/// A runtime for network and disk; protocols run on threads of their own.
fn runtime() -> Result<tokio::runtime::Runtime, NodeError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(NodeError::System)
}

/// Takes over the signals that ask the process to end, at once; the future resolves at the first.
fn stop_signals() -> Result<impl Future<Output = ()>, NodeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::System)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
