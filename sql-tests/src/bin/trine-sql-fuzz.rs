//! `trine-sql-fuzz [--seed N] [--count K] [--queries Q] [--engine inprocess|cluster] [--oracle oracle|postgres]`:
//! random cases against plain DataFusion or PostgreSQL (`scripts/with-postgres.sh trine-sql-fuzz …`). Without
//! --count it goes on for ever. Exit code 1 after a finding.

use clap::Parser;
use std::process::ExitCode;
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::fuzz::{Tally, run_seed};

/// Random tables and queries, compared with the plaintext answers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Seeds; no end without it.
    #[arg(long)]
    count: Option<u64>,
    /// Queries per seed.
    #[arg(long, default_value_t = 8)]
    queries: usize,
    /// What is tested.
    #[arg(long, value_enum, default_value = "inprocess")]
    engine: EngineKind,
    /// Who knows the right answers.
    #[arg(long, value_enum, default_value = "oracle")]
    oracle: EngineKind,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(tally) if tally.findings.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("trine-sql-fuzz: {message}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<Tally, String> {
    let mut engine = Engine::start(arguments.engine).await.map_err(|e| e.to_string())?;
    let mut oracle = Engine::start(arguments.oracle).await.map_err(|e| e.to_string())?;
    let mut tally = Tally::default();
    let last = arguments.count.map_or(u64::MAX, |count| arguments.seed.saturating_add(count));
    for seed in arguments.seed..last {
        let before = tally.findings.len();
        run_seed(&mut engine, &mut oracle, seed, arguments.queries, &mut tally).await?;
        for finding in &tally.findings[before..] {
            println!("{finding}\n");
        }
    }
    let mut refused: Vec<(&String, &usize)> = tally.refused.iter().collect();
    refused.sort_by_key(|(_, count)| usize::MAX - **count);
    for (reason, count) in &refused {
        println!("{count:6} refused: {reason}");
    }
    let refused: usize = tally.refused.values().sum();
    let (asked, equal, unknown) = (tally.asked(), tally.equal, tally.unknown);
    let wrong = tally.findings.len();
    println!(
        "{asked} queries: {equal} equal, {refused} refused, {unknown} not answered by the oracle, {wrong} wrong"
    );
    Ok(tally)
}
