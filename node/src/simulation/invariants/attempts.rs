//! A node begins an attempt once: its keys belong to one run of it, in one life of the node.

use super::{Broken, World};

pub(super) fn always(world: &World) -> Result<(), Broken> {
    match world.begun.iter().find(|(_, times)| **times > 1) {
        None => Ok(()),
        Some(((task, node), _)) => Err(format!("node {node} has begun {task:?} twice")),
    }
}
