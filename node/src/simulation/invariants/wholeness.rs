//! What one node shows, all three hold: a batch that any catalog lists has its file at every node, unless
//! that node's own catalog has ended it already.

use super::super::world::Node;
use super::{Broken, World};
use crate::files::Files;
use std::collections::BTreeSet;
use trine_proto::catalog::TransactionState;
use trine_proto::ids::{SegmentId, TableId};

/// Attempts that a statement may take at most.
const ATTEMPTS: u32 = trine_consensus::limits::ATTEMPTS_MAX;

pub(super) fn always(world: &World) -> Result<(), Broken> {
    let files: Vec<Files> = world.nodes.iter().map(|node| Files::of(&node.catalog)).collect();
    let listed: BTreeSet<_> = files.iter().flat_map(|f| &f.listed).copied().collect();
    for (party, node) in world.nodes.iter().enumerate() {
        for key in &listed {
            if node.disk.contains(key) || files[party].gone.contains(&key.1) {
                continue;
            }
            if !is_forgotten(node, *key) {
                return Err(format!(
                    "segment {} of table {} is listed, but node {party} has no file of it",
                    key.1, key.0
                ));
            }
        }
    }
    Ok(())
}

/// Whether a node that has seen the commit of a segment does not list it any more: replaced, and nobody
/// reads it. A node that is behind may still list it.
fn is_forgotten(node: &Node, (table, segment): (TableId, SegmentId)) -> bool {
    let lists = |t: &trine_proto::catalog::TableEntry| t.segments.iter().any(|s| s.id == segment);
    let committed = node.catalog.transactions.iter().any(|(id, state)| {
        let made = id.0 == segment.0
            || (1..=ATTEMPTS).any(|attempt| id.segment_of_attempt(attempt) == segment);
        made && matches!(state, TransactionState::Committed(_))
    });
    committed && !node.catalog.tables.get(&table).is_some_and(lists)
}
