//! When the faults have stopped everything comes to an end by itself: jobs, checks, statements, reports.

use super::{Broken, World};
use trine_proto::catalog::{JobStatus, TransactionState};

pub(super) fn healed(world: &World) -> Result<(), Broken> {
    for (party, node) in world.nodes.iter().enumerate() {
        if !node.reports.is_empty() {
            return Err(format!("node {party} still has {} reports", node.reports.len()));
        }
        if let Some(task) = node.running.first() {
            return Err(format!("node {party} still runs {task:?}"));
        }
        let active = node.catalog.jobs.values().find(|j| j.status == JobStatus::Active);
        if let Some(job) = active {
            return Err(format!("job {} does not end", job.id));
        }
        for (id, state) in &node.catalog.transactions {
            if let TransactionState::Validating(v) = state {
                return Err(format!("transaction {id} does not end (attempt {})", v.attempt));
            }
        }
    }
    Ok(())
}
