//! `trine-sql-tests [--engine inprocess|cluster|oracle] PATH…`: runs sqllogictest files, prints one
//! line per file and ends with `N passed, N failed, N skipped`.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::fill::fill;
use trine_sql_tests::ladder::{document, run_files};
use trine_sql_tests::report::Report;
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
    /// Files that run at a time, each on an engine of its own.
    #[arg(short, long, default_value_t = 1)]
    jobs: usize,
    /// Writes a document of every failing record, grouped by reason.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Runs every record on the PostgreSQL behind `PGHOST` as well: a record that it fails too is
    /// not counted against the engine.
    #[arg(long)]
    postgres: bool,
    /// Instead of checking, writes the engine's answers into queries that have none yet.
    #[arg(long)]
    fill: bool,
    /// Files, or folders that are searched for .slt, .test, .part and files without extension.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Plans come and go by the thousand small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = if arguments.fill { fill_all(&arguments) } else { run(&arguments) };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("trine-sql-tests: {message}");
            ExitCode::from(2)
        }
    }
}

/// Runs the files; returns how many records failed.
fn run(arguments: &Arguments) -> Result<usize, String> {
    let start = Instant::now();
    let postgres = arguments.postgres && std::env::var_os("PGHOST").is_some();
    if arguments.postgres && !postgres {
        eprintln!("PGHOST is not set: rules decide what PostgreSQL would accept");
    }
    let reports =
        run_files(arguments.engine, &arguments.paths, arguments.jobs, postgres, |file| {
            let mut text = format!("{}: {}", file.file, file.report.summary());
            if arguments.verbose {
                let failures = file.report.failures.iter().map(|f| format!("\n{f}\n"));
                text.extend(failures);
            }
            // One call, or the lines of two threads mix.
            println!("{text}");
        })?;
    if let Some(path) = &arguments.report {
        std::fs::write(path, document(&reports)).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let mut total = Report::default();
    reports.into_iter().for_each(|file| total += file.report);
    let records = total.passed + total.failed;
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{records} records in {seconds:.1} s");
    println!("{}", total.summary());
    Ok(total.failed)
}

fn fill_all(arguments: &Arguments) -> Result<usize, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut engine = Engine::start(arguments.engine).await.map_err(|e| e.to_string())?;
        for file in script::discover(&arguments.paths).map_err(|e| e.to_string())? {
            let filled = fill(&mut engine, &file).await?;
            println!("{}: {filled} answers written", file.display());
        }
        Ok(0)
    })
}
