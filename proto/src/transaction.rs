//! Transactions of several statements, as the replicated state keeps them between BEGIN and COMMIT.
//!
//! A transaction reads the snapshot of its BEGIN and, on top of it, what it wrote itself: the
//! *overlay*. What it wrote is staged at all three nodes under segment ids of its own and is visible to
//! nobody else until its COMMIT is in the log.

use crate::catalog::SegmentEntry;
use crate::ids::{LogIndex, TableId, TransactionId};
use crate::status::SqlError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a transaction has written so far, by table.
pub type Overlay = BTreeMap<TableId, Written>;

/// What a transaction has written to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Takes the place of all segments visible at the snapshot (UPDATE, DELETE); else stands beside
    /// them.
    pub replaces: bool,
    /// The transaction's own segments that count, in the order of its statements.
    pub segments: Vec<SegmentEntry>,
    /// Its own segments that a later UPDATE or DELETE of it has replaced: they go when it ends.
    pub spent: Vec<SegmentEntry>,
}

/// A transaction between BEGIN and COMMIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// Name of the principal who began it.
    pub principal: String,
    /// Position of BEGIN.
    pub snapshot: LogIndex,
    /// Position of what it was last asked.
    pub touched: LogIndex,
    /// The client's signed time at BEGIN, Unix milliseconds: now() of all its statements.
    pub signed_at_ms: u64,
    /// Statements that wrote so far: the sequence number of the next.
    pub sequence: u32,
    /// A statement of it that writes and has not ended.
    pub running: Option<TransactionId>,
    /// What it has written.
    pub written: Overlay,
    /// Why it can only be rolled back.
    pub failed: Option<SqlError>,
}

/// What a statement of an open transaction sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// The transaction.
    pub transaction: TransactionId,
    /// Position of its BEGIN.
    pub snapshot: LogIndex,
    /// What it had written when the statement was ordered.
    pub written: Overlay,
}
