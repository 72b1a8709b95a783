//! The replicated catalog as pure data with look-ups. The rules that change it are in
//! trine-consensus (`state_machine`). Ordered maps only: every node iterates alike.
//!
//! Objects carry the log indices between which they exist, so that a job plans against the
//! catalog *at its own position* however late it runs.

use crate::ids::{ClusterId, JobId, LogIndex, SegmentId, TableId, TransactionId};
use crate::schema::TableSchema;
use crate::status::SqlError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Ed25519 public key, 32 bytes.
pub type PublicKey = [u8; 32];

/// The cluster's identity: an identical block in every party's configuration, and entry 1 of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// Drawn when the cluster is made.
    pub cluster_id: ClusterId,
    /// Key of each party's node, by party index.
    pub node_keys: [PublicKey; 3],
    /// Principals that may enrol others: (name, key).
    pub administrators: Vec<(String, PublicKey)>,
}

/// Round-trip time and bandwidth of the worst pair, rounded to powers of two. Replicated, because
/// it chooses circuit forms and so the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetProfile {
    /// Microseconds, a power of two.
    pub round_trip_us: u32,
    /// Megabits a second, a power of two.
    pub megabits_per_s: u32,
    /// Lanes of a protocol: the threads of one party that compute at the same time.
    pub lanes: u32,
}

impl Default for NetProfile {
    /// A local network: 64 µs, 8192 Mbit/s, one lane. Nothing faster is told apart.
    fn default() -> Self {
        Self { round_trip_us: 64, megabits_per_s: 8192, lanes: 1 }
    }
}

/// What the parties have measured, on its way to the profile in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetReports {
    /// Last report by party: the worse of its two connections.
    pub last: [Option<NetProfile>; 3],
    /// Another profile that the reports speak for.
    pub candidate: Option<NetProfile>,
    /// Reports in a row that spoke for the candidate.
    pub times: u32,
}

/// An enrolled identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Unique name.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
    /// May enrol others.
    pub administrator: bool,
}

/// One committed batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Id, also the name of the file at each node.
    pub id: SegmentId,
    /// Public row count.
    pub rows: u64,
    /// Visible from this position on.
    pub valid_from: LogIndex,
    /// Not visible from this position on.
    pub valid_to: Option<LogIndex>,
    /// Keyed digests of the three components, as all holders reported them.
    pub component_digests: [[u8; 32]; 3],
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Id.
    pub id: TableId,
    /// Columns and keys.
    pub schema: TableSchema,
    /// Name of the principal who created it.
    pub owner: String,
    /// Exists from this position on.
    pub created: LogIndex,
    /// Does not exist from this position on.
    pub dropped: Option<LogIndex>,
    /// Committed batches in commit order.
    pub segments: Vec<SegmentEntry>,
    /// Who may SELECT beside the owner: principal name (or "public") to the positions at which it
    /// was granted (true) and revoked (false), ascending.
    pub grants: BTreeMap<String, Vec<(LogIndex, bool)>>,
}

impl TableEntry {
    /// Segments visible at a position, in commit order.
    pub fn visible(&self, at: LogIndex) -> impl Iterator<Item = &SegmentEntry> {
        self.segments
            .iter()
            .filter(move |s| s.valid_from <= at && s.valid_to.is_none_or(|end| at < end))
    }
    /// Rows visible at a position.
    #[must_use]
    pub fn rows(&self, at: LogIndex) -> u64 {
        self.visible(at).map(|s| s.rows).sum()
    }
    /// Whether a principal may SELECT at a position.
    #[must_use]
    pub fn may_select(&self, principal: &str, at: LogIndex) -> bool {
        let granted = |who: &str| {
            self.grants
                .get(who)
                .and_then(|g| g.iter().rev().find(|(i, _)| *i <= at))
                .is_some_and(|(_, yes)| *yes)
        };
        self.owner == principal || granted(principal) || granted("public")
    }
}

/// What became of a transaction. Kept by id: the answer to a client that lost it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionState {
    /// Waits for the check of its constraints under MPC.
    Validating(Validation),
    /// Visible from this position on.
    Committed(LogIndex),
    /// Refused or given up at this position.
    Aborted(LogIndex, SqlError),
}

/// A staged batch whose table has a PRIMARY KEY: a job of its own, one at a time per table, in log
/// order; it checks uniqueness over the segments visible *now* plus the batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// The table.
    pub table: TableId,
    /// The batch, as it will be listed (`valid_from` is set at commit).
    pub segment: SegmentEntry,
    /// Position of the Commit entry; the turn among the validations of the table.
    pub queued: LogIndex,
    /// Current attempt, from 1; 0 while another validation of the table is running.
    pub attempt: u32,
    /// Position at which the current attempt started: snapshot of the check.
    pub position: LogIndex,
    /// Verdicts of the parties for the current attempt: whether the keys are unique.
    pub verdicts: [Option<bool>; 3],
    /// Network profile in force at the position.
    pub net_profile: NetProfile,
}

/// State of a query job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    /// Ordered; every node runs it when its turn comes. Attempt from 1.
    Active,
    /// All three parties hold their part of the result.
    Done,
    /// Ended with an error.
    Failed(SqlError),
    /// Ended by its owner.
    Cancelled,
}

/// One query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEntry {
    /// Drawn by the client.
    pub id: JobId,
    /// Name of the principal who asked.
    pub principal: String,
    /// Statement text; its literals are public.
    pub sql: String,
    /// BLAKE3 of the signed command.
    pub statement_digest: [u8; 32],
    /// Position in the log = snapshot = turn.
    pub position: LogIndex,
    /// Rolling digest of the log at the position.
    pub log_digest: [u8; 32],
    /// Current attempt, from 1.
    pub attempt: u32,
    /// State.
    pub status: JobStatus,
    /// Parties that reported the current attempt done.
    pub done: [bool; 3],
    /// The client's signed time, Unix milliseconds: now() of the statement.
    pub signed_at_ms: u64,
    /// Network profile in force at the position: a later one changes no plan.
    pub net_profile: NetProfile,
}

/// The whole replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Catalog {
    /// Identity of the cluster; none before entry 1.
    pub cluster: Option<ClusterInfo>,
    /// Principals by name.
    pub principals: BTreeMap<String, Principal>,
    /// Tables by id, dropped ones included while a job may need them.
    pub tables: BTreeMap<TableId, TableEntry>,
    /// Next table id.
    pub next_table: u64,
    /// Transactions by id.
    pub transactions: BTreeMap<TransactionId, TransactionState>,
    /// Jobs by id.
    pub jobs: BTreeMap<JobId, JobEntry>,
    /// Outcomes of commands by command id: repeated ids get the first outcome.
    pub outcomes: BTreeMap<[u8; 16], crate::command::Outcome>,
    /// Network profile in force.
    pub net_profile: NetProfile,
    /// What it is made from.
    pub net_reports: NetReports,
    /// Position of the last applied entry.
    pub applied: LogIndex,
    /// Rolling BLAKE3 digest of all applied entries.
    pub log_digest: [u8; 32],
    /// Segments that were staged but ended in an Abort: a node may delete their files.
    pub aborted_segments: BTreeSet<SegmentId>,
}

impl Catalog {
    /// The table of this name that exists at a position.
    #[must_use]
    pub fn table(&self, name: &str, at: LogIndex) -> Option<&TableEntry> {
        self.tables.values().find(|t| {
            t.schema.name == name && t.created <= at && t.dropped.is_none_or(|end| at < end)
        })
    }
    /// The principal with this key.
    #[must_use]
    pub fn principal_by_key(&self, key: &PublicKey) -> Option<&Principal> {
        self.principals.values().find(|p| &p.key == key)
    }
    /// Tables that exist at a position and that a principal may SELECT from.
    pub fn tables_for<'a>(
        &'a self,
        principal: &'a str,
        at: LogIndex,
    ) -> impl Iterator<Item = &'a TableEntry> {
        self.tables.values().filter(move |t| {
            t.created <= at && t.dropped.is_none_or(|end| at < end) && t.may_select(principal, at)
        })
    }
}
