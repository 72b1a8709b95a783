//! Nodes at one position have one state.

use super::{Broken, World};

/// The digest of the log at a position is the same whoever gets there, and whenever.
pub(super) fn always(world: &mut World) -> Result<(), Broken> {
    for (party, node) in world.nodes.iter().enumerate() {
        let digest = node.catalog.log_digest;
        let known = *world.digests.entry(node.catalog.applied).or_insert(digest);
        if known != digest {
            return Err(format!("node {party} differs at position {}", node.catalog.applied));
        }
    }
    Ok(())
}

/// In the end all have applied everything, and all catalogs are equal in every part.
pub(super) fn healed(world: &World) -> Result<(), Broken> {
    for (party, node) in world.nodes.iter().enumerate() {
        if node.catalog != world.nodes[0].catalog {
            return Err(format!(
                "node {party} at {} and node 0 at {} have different catalogs",
                node.catalog.applied, world.nodes[0].catalog.applied
            ));
        }
    }
    Ok(())
}
