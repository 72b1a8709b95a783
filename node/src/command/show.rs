//! `trined show`: what one party holds of a row. For people who want to see it with their own eyes;
//! it needs the party's data folder and shows noise.

use crate::config::Config;
use crate::error::NodeError;
use std::path::PathBuf;
use std::sync::Arc;
use trine_proto::CHUNK_ROWS;
use trine_proto::ids::{SegmentId, TableId};
use trine_proto::schema::{Form, Secrecy, StoredColumn};
use trine_storage::{ComponentSource, Disk, SegmentReader, Store};

/// Arguments of `trined show`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file of the party. The node may be running.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Number of the table, as its folder is called.
    #[arg(long, value_name = "N")]
    table: u64,
    /// Row of the table's first batch, from 0.
    #[arg(long, value_name = "K", default_value_t = 0)]
    row: usize,
}

/// Prints one line per stored column.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    let config = Config::read(&arguments.config)?;
    let store = Store::open_to_read(Arc::new(Disk::new(&config.data_dir)));
    let table = TableId(arguments.table);
    let segment = first_segment(&store, table)?;
    let reader = store.read(table, segment)?;
    let (chunk, row) = (arguments.row / CHUNK_ROWS, arguments.row % CHUNK_ROWS);
    if chunk >= reader.chunks() || row >= reader.chunk_rows(chunk) {
        return Err(NodeError::Config(format!("the batch has {} rows", reader.header().rows)));
    }
    println!("party {}, table {table}, batch {segment}, row {}:", config.party, arguments.row);
    for (index, stored) in reader.header().layout.iter().enumerate() {
        let form = match stored.form {
            Form::Boolean => "XOR share",
            Form::Arithmetic => "ring share",
        };
        print!("  column {:2}, {form:10} {:4} bits:", stored.column, stored.bits);
        match stored.secrecy {
            Secrecy::Public => {
                println!("  public {}", cell(&reader.public(chunk, index)?, stored, row));
            }
            Secrecy::Secret => {
                for slot in [0, 1] {
                    let bytes = component(&reader, stored, (chunk, index, slot))?;
                    let number = reader.header().component_index(slot);
                    print!("  x{number} = {}", cell(&bytes, stored, row));
                }
                println!();
            }
        }
    }
    Ok(())
}

fn first_segment(store: &Store, table: TableId) -> Result<SegmentId, NodeError> {
    let segments = store.list()?;
    let found = segments.into_iter().find(|(t, _)| *t == table);
    found
        .map(|(_, segment)| segment)
        .ok_or_else(|| NodeError::Config(format!("this party holds no batch of table {table}")))
}

/// One component of one stored column in one chunk, made from its seed where that is what is kept.
fn component(
    reader: &SegmentReader,
    stored: &StoredColumn,
    (chunk, column, slot): (usize, usize, usize),
) -> Result<Vec<u8>, NodeError> {
    if let Some(bytes) = reader.component(chunk, column, slot)? {
        return Ok(bytes);
    }
    let mut bytes = vec![0; reader.chunk_rows(chunk) * stored.row_bytes];
    if let ComponentSource::Seed(seed) = &reader.header().components[slot].source {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        trine_mpc::input::expand(seed, number(column), number(chunk), &mut bytes);
    }
    Ok(bytes)
}

/// Bytes of one row, highest first.
fn cell(bytes: &[u8], stored: &StoredColumn, row: usize) -> String {
    let from = row * stored.row_bytes;
    let mut cell = bytes.get(from..from + stored.row_bytes).unwrap_or_default().to_vec();
    cell.reverse();
    hex::encode(cell)
}
