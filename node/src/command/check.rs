//! `trined check`: configuration, and every segment against its digests and the log's list.

use super::operator::{Printer, ask};
use super::runtime;
use crate::config::Config;
use crate::error::NodeError;
use crate::repair::{examine, listed, unlisted};
use std::path::PathBuf;
use std::sync::Arc;
use trine_proto::wire::{CheckProgress, SegmentReport};
use trine_storage::{Disk, Store};

/// Arguments of `trined check`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file of the party. The node may be running: it checks itself then. Exit code 3:
    /// segments are damaged.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Reads the configuration, and every segment that the log lists.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    let config = Config::read(&arguments.config)?;
    println!(
        "configuration: party {} of cluster {}, key {}",
        config.party,
        config.cluster.id,
        hex::encode(config.identity.public())
    );
    let _lock = match crate::data_lock(&config.data_dir) {
        Err(NodeError::InUse(_)) => return runtime()?.block_on(ask(&config, false)),
        lock => lock?,
    };
    let store = Store::open(Arc::new(Disk::new(&config.data_dir)))?;
    let catalog = trine_consensus::stored_catalog(&config.data_dir)?;
    let segments = listed(&catalog);
    let mut progress =
        CheckProgress { segments: segments.len() as u64, ..CheckProgress::default() };
    let mut printer = Printer::new();
    for segment in segments {
        let mut report = None;
        match examine(&store, config.party, segment.table, &segment.entry) {
            Ok(rows) => progress.rows += rows,
            Err(damage) => {
                progress.damaged += 1;
                report = Some(SegmentReport {
                    table_id: segment.table.0,
                    table: segment.name,
                    segment_id: segment.entry.id.0.to_vec(),
                    damage,
                    ..SegmentReport::default()
                });
            }
        }
        progress.checked += 1;
        printer.take(&CheckProgress { report, ..progress.clone() });
    }
    progress.unlisted = unlisted(&store, &catalog);
    progress.done = true;
    printer.take(&progress).unwrap_or(Ok(()))
}
