//! `trine-sql-tests [--engine inprocess|cluster|oracle] PATH…`: runs sqllogictest files, prints one
//! line per file and ends with `N passed, N failed, N skipped`.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::fill::fill;
use trine_sql_tests::runner::{Report, run_script};
use trine_sql_tests::script;

/// Runs sqllogictest files.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where the statements run.
    #[arg(long, value_enum, default_value = "inprocess")]
    engine: EngineKind,
    /// Prints every failing record: place, SQL, reason.
    #[arg(short, long)]
    verbose: bool,
    /// Instead of checking, writes the engine's answers into queries that have none yet.
    #[arg(long)]
    fill: bool,
    /// Files, or folders that are searched for .slt, .test, .part and files without extension.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(total) => {
            println!("{}", total.summary());
            if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("trine-sql-tests: {message}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<Report, String> {
    let files = script::discover(&arguments.paths).map_err(|e| e.to_string())?;
    let mut engine = Engine::start(arguments.engine).await.map_err(|e| e.to_string())?;
    let mut total = Report::default();
    for file in files {
        if arguments.fill {
            let filled = fill(&mut engine, &file).await?;
            println!("{}: {filled} answers written", file.display());
            continue;
        }
        let report = match script::read(&file) {
            Ok(script) => run_script(&mut engine, &script).await,
            Err(message) => Report { failed: 1, failures: vec![message], ..Report::default() },
        };
        println!("{}: {}", file.display(), report.summary());
        if arguments.verbose {
            for failure in &report.failures {
                println!("{failure}\n");
            }
        }
        total += report;
    }
    Ok(total)
}
