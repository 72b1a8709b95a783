//! `trine-peek --data FOLDER --schema FILE.sql --table T --row N`: what one node holds of a row, read
//! from its data folder: per stored column its two share components. For the demo.

use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trine_sql_tests::peek::{Peek, peek};

/// Shows a row as a node has it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Data folder of the node.
    #[arg(long)]
    data: PathBuf,
    /// SQL file with the CREATE TABLE of the table.
    #[arg(long)]
    schema: PathBuf,
    /// The table.
    #[arg(long)]
    table: String,
    /// Row of the first batch, from 1.
    #[arg(long, default_value_t = 1)]
    row: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(rows) => {
            println!("{:<18} {:<20} {:<24} component two", "column", "encoding", "component one");
            for row in rows {
                let [one, two] = &row.components;
                println!("{:<18} {:<20} {one:<24} {two}", row.column, row.encoding);
            }
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("trine-peek: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Vec<Peek>, String> {
    let text = std::fs::read_to_string(&arguments.schema)
        .map_err(|e| format!("{}: {e}", arguments.schema.display()))?;
    let row = arguments.row.checked_sub(1).ok_or("rows count from 1")?;
    peek(Path::new(&arguments.data), &text, &arguments.table, row)
}
