//! In the end every node has the files that the log lists, and no other.

use super::{Broken, World};
use crate::files::Files;

pub(super) fn healed(world: &World) -> Result<(), Broken> {
    for (party, node) in world.nodes.iter().enumerate() {
        let listed = Files::of(&node.catalog).listed;
        if let Some(left) = node.disk.difference(&listed).next() {
            return Err(format!("node {party} keeps segment {} of table {}", left.1, left.0));
        }
        if let Some(lost) = listed.difference(&node.disk).next() {
            return Err(format!("node {party} lacks segment {} of table {}", lost.1, lost.0));
        }
    }
    Ok(())
}
