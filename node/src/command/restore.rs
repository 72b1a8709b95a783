//! `trined restore`: a backup into an empty data folder.

use crate::backup::Owner;
use crate::backup::restore::restore;
use crate::config::Config;
use crate::error::NodeError;
use std::path::PathBuf;

/// Arguments of `trined restore`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file of the party. Its node must not run, and its data folder must be empty.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The folder of a backup of this party.
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
}

/// Checks and copies the backup.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    crate::fail_point::check()?;
    let config = Config::read(&arguments.config)?;
    let _lock = crate::data_lock(&config.data_dir)?;
    let cluster = config.cluster.info();
    let done = restore(&Owner::of(&config), &cluster, &arguments.from, &config.data_dir)?;
    println!(
        "restored party {} to log position {}: share generation {}, {} segments, {} bytes",
        config.party, done.position, done.share_generation, done.segments, done.bytes
    );
    Ok(())
}
