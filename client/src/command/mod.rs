//! The subcommands of `trine`, one file each, and what they share: arguments, failures, Ctrl-C.

mod admin;
mod interrupt;
mod jobs;
mod load;
mod meta;
mod session;
mod shell;
mod sql;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use trine_client::output::{Format, render_error};
use trine_client::{Client, Config, SqlError};

/// Ask a Trine cluster, load tables into it, administer it.
#[derive(Debug, Parser)]
#[command(name = "trine", version)]
pub(crate) struct Arguments {
    /// Client configuration (default: $TRINE_CONFIG, ./client.toml, ~/.config/trine/client.toml)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run SQL: a shell on a terminal, else -c, -f or standard input
    Sql(sql::Sql),
    /// Cut CSV files on this machine and load them into a table, all rows or none
    Load(load::Load),
    /// Your queries: list, watch, fetch a result, cancel
    Jobs(jobs::Jobs),
    /// Principals and the state of the nodes
    Admin(admin::Admin),
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum FormatName {
    /// Aligned columns
    #[default]
    Table,
    /// RFC 4180 with a header
    Csv,
    /// An array of objects
    Json,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Table => Self::Table,
            FormatName::Csv => Self::Csv,
            FormatName::Json => Self::Json,
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error, with the text that its position counts in.
    Sql(SqlError, String),
    /// Already said all that there is to say.
    Reported,
    /// Ctrl-C.
    Interrupted,
    /// Output or input failed.
    Io(io::Error),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Sql(error, String::new())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// Tells the user on standard error; the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Sql(error, text) => eprintln!("{}", render_error(&error, &text)),
            Self::Reported => {}
            Self::Interrupted => return ExitCode::from(130),
            // Whoever reads our output has enough of it.
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Self::Io(error) => eprintln!("ERROR:  {error}"),
        }
        ExitCode::FAILURE
    }
}

/// Runs the command to its end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let config = Config::find(arguments.config.as_deref())?;
    let client = runtime.block_on(Client::connect(config))?;
    match arguments.command {
        Command::Sql(sql) => sql.run(&runtime, client),
        Command::Load(load) => runtime.block_on(load.run(client)),
        Command::Jobs(jobs) => runtime.block_on(jobs.run(client)),
        Command::Admin(admin) => runtime.block_on(admin.run(&client)),
    }
}
