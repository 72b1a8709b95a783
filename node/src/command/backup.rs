//! `trined backup`: this party's part of everything at one log position, into a folder.

use super::operator::{BackupPrinter, ask_backup};
use super::runtime;
use crate::backup::{Owner, not_here, write};
use crate::config::Config;
use crate::error::NodeError;
use std::path::PathBuf;
use std::sync::Arc;
use trine_proto::ids::LogIndex;
use trine_storage::{Disk, Store};

/// Arguments of `trined backup`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file of the party. The node may be running.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the backup goes: a new or an empty folder.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// The log position that another party's backup has printed; else a new one is marked, or, if the
    /// node does not run, the last one is taken.
    #[arg(long, value_name = "POSITION")]
    at: Option<u64>,
}

/// Asks the node that runs on the folder, or copies the folder itself.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    crate::fail_point::check()?;
    let config = Config::read(&arguments.config)?;
    let to = std::path::absolute(&arguments.to).map_err(NodeError::file("find", &arguments.to))?;
    let _lock = match crate::data_lock(&config.data_dir) {
        Err(NodeError::InUse(_)) => {
            return runtime()?.block_on(ask_backup(&config, &to, arguments.at));
        }
        lock => lock?,
    };
    crate::backup::restore::check_complete(&config.data_dir)?;
    let at = arguments.at.map(LogIndex);
    let image = trine_consensus::stored_image(&config.data_dir, at)?;
    let image = image.ok_or_else(|| match at {
        Some(position) => not_here(position),
        None => NodeError::Backup(format!("{} holds no log", config.data_dir.display())),
    })?;
    let store = Store::open(Arc::new(Disk::new(&config.data_dir)))?;
    let mut printer = BackupPrinter::new(config.party);
    let owner = Owner::of(&config);
    let complete = write(&owner, &store, &image, &to, &mut |so_far| printer.draw(so_far))?;
    printer.end(&complete);
    Ok(())
}
