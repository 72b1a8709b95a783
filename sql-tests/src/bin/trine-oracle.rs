//! `trine-oracle --schema FILE.sql… --csv TABLE=FILE.csv… QUERY.sql`: the plaintext answer of a query
//! over CSV files, as CSV. With `--against ANSWER.csv` it compares that answer instead and says OK
//! or DIFFERENT (exit code 1).

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use trine_sql_tests::answers::{read_csv, same_within, write_csv};
use trine_sql_tests::oracle::Oracle;
use trine_sql_tests::value::Output;

/// Relative distance up to which numbers of two answers count as equal.
const TOLERANCE: f64 = 1e-6;

/// Plaintext answers by DataFusion.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// SQL files with the CREATE TABLE statements.
    #[arg(long, required = true)]
    schema: Vec<PathBuf>,
    /// Table and the CSV file (with a header) of its rows.
    #[arg(long = "csv", value_name = "TABLE=FILE")]
    tables: Vec<String>,
    /// An answer in CSV to hold against the plaintext one.
    #[arg(long)]
    against: Option<PathBuf>,
    /// File with one query.
    query: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(same) => {
            if same {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(message) => {
            eprintln!("trine-oracle: {message}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<bool, String> {
    let plain = answer(arguments).await?;
    let Some(path) = &arguments.against else {
        print!("{}", write_csv(&plain));
        return Ok(true);
    };
    let text = read(path)?;
    let other = read_csv(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let same = same_within(&plain, &other, TOLERANCE);
    if same {
        println!("OK: {} rows, equal to the plaintext answer", plain.rows.len());
    } else {
        println!("DIFFERENT from the plaintext answer, which is\n{}", write_csv(&plain));
    }
    Ok(same)
}

async fn answer(arguments: &Arguments) -> Result<Output, String> {
    let oracle = Oracle::new();
    for path in &arguments.schema {
        let sql = read(path)?;
        oracle.run(&sql).await.map_err(|e| format!("{}: {e}", path.display()))?;
    }
    for table in &arguments.tables {
        let (name, file) =
            table.split_once('=').ok_or_else(|| format!("--csv {table}: write TABLE=FILE"))?;
        oracle.load_csv(name, file.as_ref()).await.map_err(|e| format!("{file}: {e}"))?;
    }
    let sql = read(&arguments.query)?;
    oracle.run(&sql).await.map_err(|e| format!("{}: {e}", arguments.query.display()))
}

fn read(path: &PathBuf) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
