//! `trined check`: configuration, and every segment against its digests.

use crate::config::Config;
use crate::error::NodeError;
use std::path::PathBuf;
use std::sync::Arc;
use trine_storage::{Disk, Store};

/// Arguments of `trined check`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file of the party. The node must not be running.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Reads the configuration and opens every segment, which verifies its digests.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    let config = Config::read(&arguments.config)?;
    println!(
        "configuration: party {} of cluster {}, key {}",
        config.party,
        config.cluster.id,
        hex::encode(config.identity.public())
    );
    let _lock = crate::data_lock(&config.data_dir)?;
    let store = Store::open(Arc::new(Disk::new(&config.data_dir)))?;
    let (mut segments, mut rows, mut bad) = (0_u64, 0_u64, 0_u64);
    for (table, segment) in store.list()? {
        segments += 1;
        match store.read(table, segment) {
            Ok(reader) => rows += reader.header().rows,
            Err(e) => {
                bad += 1;
                println!("table {table}, segment {segment}: {e}");
            }
        }
    }
    println!("segments: {segments}, rows: {rows}, unreadable: {bad}");
    if bad > 0 {
        return Err(NodeError::Config(format!("{bad} of {segments} segments cannot be read")));
    }
    Ok(())
}
