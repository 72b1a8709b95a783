//! A commit that a client was told of is committed, at that position, at every node that has come so far.

use super::{Broken, World};
use trine_proto::catalog::TransactionState;

pub(super) fn always(world: &World) -> Result<(), Broken> {
    for (transaction, at) in &world.acknowledged {
        for (party, node) in world.nodes.iter().enumerate() {
            if node.catalog.applied < *at {
                continue;
            }
            let state = node.catalog.transactions.get(transaction);
            if state != Some(&TransactionState::Committed(*at)) {
                return Err(format!(
                    "transaction {transaction} was acknowledged at {at}, node {party} says {state:?}"
                ));
            }
        }
    }
    Ok(())
}
