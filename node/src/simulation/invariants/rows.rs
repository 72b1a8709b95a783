//! Packing changes no row: a table shows as many before and after it, at every node.

use super::{Broken, World};
use trine_proto::catalog::Subject;
use trine_proto::catalog::TransactionState;
use trine_proto::ids::LogIndex;

/// The position before a pack was put in place, and that position, show the same number of rows.
pub(super) fn always(world: &mut World) -> Result<(), Broken> {
    for (party, node) in world.nodes.iter().enumerate() {
        for (id, state) in &node.catalog.transactions {
            match state {
                TransactionState::Validating(v) if matches!(v.subject, Subject::Pack(_)) => {
                    world.packs.insert(*id, v.table);
                }
                TransactionState::Committed(at) => {
                    let Some(table) = world.packs.get(id) else { continue };
                    let Some(entry) = node.catalog.tables.get(table) else { continue };
                    if node.catalog.applied != *at {
                        continue;
                    }
                    let rows = entry.rows(*at);
                    let before = world.rows.get(&(*table, LogIndex(at.0 - 1)));
                    if before.is_some_and(|before| *before != rows) {
                        return Err(format!(
                            "node {party}: {rows} rows after packing, {before:?} before"
                        ));
                    }
                }
                _ => {}
            }
        }
    }
    for node in &world.nodes {
        for (id, table) in &node.catalog.tables {
            let at = node.catalog.applied;
            world.rows.insert((*id, at), table.rows(at));
        }
    }
    Ok(())
}
