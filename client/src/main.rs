//! `trine`: shell, loader and administration of a Trine cluster, for analysts, data owners and
//! administrators. What it enters is cut here, what it shows was opened here.

mod command;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    match command::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
