//! What this process has done since it started, as numbers that only grow. Public facts only: how often,
//! how long a message, never of what.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of the attempts at jobs, statements, checks and packing.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) done: Counter,
    pub(crate) failed: Counter,
    /// A peer went away, or this node's start met them under way.
    pub(crate) lost: Counter,
    /// Ended by the log.
    pub(crate) stopped: Counter,
    /// Rounds of protocols that came to their end.
    pub(crate) rounds: Counter,
    /// Payload that protocols have sent to the two peers.
    pub(crate) bytes_sent: Counter,
    /// Segments that small ones were packed into.
    pub(crate) packs: Counter,
    /// Small segments that were packed.
    pub(crate) segments_packed: Counter,
}
