//! The replicated catalog as pure data with look-ups. The rules that change it are in
//! trine-consensus (`state_machine`). Ordered maps only: every node iterates alike.
//!
//! Objects carry the log indices between which they exist, so that a job plans against the
//! catalog *at its own position* however late it runs.

use crate::alter::{AlterEntry, Layout};
use crate::ids::{ClusterId, JobId, LogIndex, SegmentId, TableId, TransactionId};
use crate::schema::{self, TableSchema};
use crate::status::SqlError;
use crate::transaction::{OpenTransaction, Overlay, Within};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// Whether it holds a shared *valid* column behind the stored columns of the schema: rows whose
    /// bit is 0 do not exist. Batches of the nodes' own making have it.
    pub has_valid: bool,
    /// Set if it was stored before the table was altered: where, and how its columns are found.
    #[serde(with = "crate::alter::shared")]
    pub layout: Option<Arc<Layout>>,
}

impl SegmentEntry {
    /// The table version under which its file lies; `listed` is the one that lists it.
    #[must_use]
    pub fn home(&self, listed: TableId) -> TableId {
        self.layout.as_ref().map_or(listed, |layout| layout.table)
    }
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
    pub grants: Grants,
    /// Defaults, constraints, indexes.
    pub rules: TableRules,
    /// The version of the table that ALTER TABLE put this one in the place of.
    pub replaces: Option<TableId>,
}

/// Principal name (or "public") to the positions at which SELECT was granted (true) and revoked
/// (false), ascending.
pub type Grants = BTreeMap<String, Vec<(LogIndex, bool)>>;

/// One stored SELECT under a name. It is put in the place of its name when a query is planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewEntry {
    /// From the same numbers as tables.
    pub id: TableId,
    /// Name, in one name space with tables and indexes.
    pub name: String,
    /// Names of its first columns; the others are called as the SELECT calls them.
    pub columns: Vec<String>,
    /// The SELECT.
    pub sql: String,
    /// Tables and views that it names, at its creation.
    pub depends: BTreeSet<TableId>,
    /// Who created it.
    pub owner: String,
    /// Exists from this position on.
    pub created: LogIndex,
    /// Does not exist from this position on.
    pub dropped: Option<LogIndex>,
    /// Who may SELECT beside the owner.
    pub grants: Grants,
}

/// What a table demands of its rows beside their types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRules {
    /// DEFAULT by column position: the SQL text of a constant.
    pub defaults: BTreeMap<usize, String>,
    /// CHECK.
    pub checks: Vec<CheckRule>,
    /// REFERENCES.
    pub references: Vec<ReferenceRule>,
    /// Indexes and UNIQUE constraints, ended ones included while a job may plan with them.
    pub indexes: Vec<IndexEntry>,
}

/// CHECK: must not be FALSE for any row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRule {
    /// Name of the constraint.
    pub name: String,
    /// Condition over the columns of one row.
    pub sql: String,
}

/// REFERENCES: rows without NULL in the columns have a partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceRule {
    /// Name of the constraint.
    pub name: String,
    /// Positions of the columns.
    pub columns: Vec<usize>,
    /// The table referred to.
    pub table: TableId,
    /// Positions of the columns there, a key of that table.
    pub targets: Vec<usize>,
}

/// An index. It speeds up nothing, because every operator is oblivious; UNIQUE is a constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Name, in one name space with tables and views.
    pub name: String,
    /// Positions of the columns.
    pub columns: Vec<usize>,
    /// Rows without NULL in the columns differ in them.
    pub unique: bool,
    /// Declared as a constraint: DROP INDEX does not remove it.
    pub constraint: bool,
    /// In force from this position on.
    pub created: LogIndex,
    /// Not in force from this position on.
    pub dropped: Option<LogIndex>,
}

/// Whether something that begins and may have ended exists at a position.
fn exists(created: LogIndex, dropped: Option<LogIndex>, at: LogIndex) -> bool {
    created <= at && dropped.is_none_or(|end| at < end)
}

fn granted(grants: &Grants, owner: &str, principal: &str, at: LogIndex) -> bool {
    let granted = |who: &str| {
        grants
            .get(who)
            .and_then(|g| g.iter().rev().find(|(i, _)| *i <= at))
            .is_some_and(|(_, yes)| *yes)
    };
    owner == principal || granted(principal) || granted("public")
}

impl ViewEntry {
    /// Whether it exists at a position.
    #[must_use]
    pub fn exists(&self, at: LogIndex) -> bool {
        exists(self.created, self.dropped, at)
    }
    /// Whether a principal may SELECT at a position.
    #[must_use]
    pub fn may_select(&self, principal: &str, at: LogIndex) -> bool {
        granted(&self.grants, &self.owner, principal, at)
    }
}

impl IndexEntry {
    /// Whether it is in force at a position.
    #[must_use]
    pub fn exists(&self, at: LogIndex) -> bool {
        exists(self.created, self.dropped, at)
    }
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
    /// Whether it exists at a position.
    #[must_use]
    pub fn exists(&self, at: LogIndex) -> bool {
        exists(self.created, self.dropped, at)
    }
    /// Whether a principal may SELECT at a position.
    #[must_use]
    pub fn may_select(&self, principal: &str, at: LogIndex) -> bool {
        granted(&self.grants, &self.owner, principal, at)
    }
    /// Sets of columns in which rows without NULL in them differ, at a position: the primary key
    /// first, then unique indexes.
    pub fn unique_keys(&self, at: LogIndex) -> impl Iterator<Item = &[usize]> {
        let primary = Some(self.schema.primary_key.as_slice()).filter(|k| !k.is_empty());
        let unique = self.rules.indexes.iter().filter(move |i| i.unique && i.exists(at));
        primary.into_iter().chain(unique.map(|i| i.columns.as_slice()))
    }
    /// Whether a batch must be checked under MPC before it is visible, at a position.
    #[must_use]
    pub fn is_constrained(&self, at: LogIndex) -> bool {
        self.unique_keys(at).next().is_some()
            || !self.rules.checks.is_empty()
            || !self.rules.references.is_empty()
            || self.schema.columns.iter().any(schema::Column::may_leave_range)
    }
}

/// What became of a transaction. Kept by id: the answer to a client that lost it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionState {
    /// Between BEGIN and COMMIT.
    Open(Box<OpenTransaction>),
    /// A statement whose work is part of an open transaction since this position.
    Joined(LogIndex, TransactionId),
    /// Waits for its turn, for the check of its constraints under MPC, or for its statement.
    Validating(Box<Validation>),
    /// Visible from this position on.
    Committed(LogIndex),
    /// Refused or given up at this position.
    Aborted(LogIndex, SqlError),
}

/// Work on a table that waits for its turn or runs: one at a time per table, in log order, over the
/// segments visible when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// The table.
    pub table: TableId,
    /// What is checked or written.
    pub subject: Subject,
    /// Position of the entry that asked for it; the turn among the work on the table.
    pub queued: LogIndex,
    /// Current attempt, from 1; 0 while other work on the table is running.
    pub attempt: u32,
    /// Position at which the current attempt started: its snapshot.
    pub position: LogIndex,
    /// Verdicts of the parties for the current attempt.
    pub verdicts: [Option<Verdict>; 3],
    /// Network profile in force at the position.
    pub net_profile: NetProfile,
    /// Bytes of memory that the work may need at one party; none: no bound.
    pub memory_max: Option<u64>,
    /// Set for a statement of an open transaction: what it sees. It takes no turn, because nobody else
    /// sees what it writes.
    pub within: Option<Within>,
}

impl Validation {
    /// The tables that it writes to, in order.
    #[must_use]
    pub fn tables(&self) -> Vec<TableId> {
        match &self.subject {
            Subject::Transaction(transaction) => transaction.written.keys().copied().collect(),
            _ => vec![self.table],
        }
    }

    /// The oldest position that it reads at; none while it waits and has no snapshot yet.
    #[must_use]
    pub fn reads_from(&self) -> Option<LogIndex> {
        match (&self.within, &self.subject) {
            (Some(within), _) => Some(within.snapshot),
            (None, Subject::Transaction(transaction)) => Some(transaction.snapshot),
            (None, _) => (self.attempt > 0).then_some(self.position),
        }
    }
}

/// See [`Validation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A staged batch, as it will be listed (`valid_from` is set at commit).
    Batch(SegmentEntry),
    /// A unique index over the rows there are (`created` is set at commit).
    Index(IndexEntry),
    /// A statement that writes.
    Write(Box<WriteEntry>),
    /// All that a transaction wrote, once it is to be committed. `table` is its first one.
    Transaction(Box<OpenTransaction>),
    /// Small segments that become one.
    Pack(PackEntry),
    /// ALTER TABLE.
    Alter(Box<AlterEntry>),
}

/// A statement that writes: INSERT … SELECT, UPDATE, DELETE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteEntry {
    /// Name of the principal who asked.
    pub principal: String,
    /// Statement text; its literals are public.
    pub sql: String,
    /// Takes the place of all segments visible at the attempt's position; else adds one.
    pub rewrites: bool,
    /// REFRESH SHARES: rewrites rows as they are, and begins a new share generation.
    pub refreshes: bool,
    /// Its secret parameters.
    pub parameters: Option<Parameters>,
    /// BLAKE3 of the signed command.
    pub statement_digest: [u8; 32],
    /// The client's signed time, Unix milliseconds: now() of the statement.
    pub signed_at_ms: u64,
}

/// Small segments of a table that become one with the same rows. No protocol runs: each party puts its own
/// components of them one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    /// Which, in the order of the table's list.
    pub segments: Vec<SegmentId>,
    /// Rows of all of them.
    pub rows: u64,
    /// Whether each of them has a *valid* column, and so the new one.
    pub has_valid: bool,
}

/// A row of secret parameters that its client uploaded: where it lies and how it is encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The segment, of table [`TableId::PARAMETERS`].
    pub segment: SegmentId,
    /// Columns "1", "2", ….
    pub schema: TableSchema,
}

/// What a party found in an attempt. All three must say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Every constraint holds.
    Holds,
    /// Some constraint does not; which one is the client's to know.
    Violated,
    /// Every constraint holds for the rows of the statement, and they are staged.
    Staged(Staged),
}

/// One party's report of the segment that it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Public row bound.
    pub rows: u64,
    /// Digest of the schema that it was written for.
    pub schema_digest: [u8; 32],
    /// Keyed digest of component i of party i.
    pub first_digest: [u8; 32],
    /// Keyed digest of component i+1.
    pub second_digest: [u8; 32],
    /// Plain digest of the PUBLIC columns.
    pub public_digest: [u8; 32],
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
    /// Its secret parameters.
    pub parameters: Option<Parameters>,
    /// Bytes of memory that it may need at one party; none: no bound.
    pub memory_max: Option<u64>,
    /// Set for an unfinished query of an open transaction: what it sees instead of its position.
    pub within: Option<Within>,
}

impl JobEntry {
    /// Position of the snapshot that it reads.
    #[must_use]
    pub fn snapshot(&self) -> LogIndex {
        self.within.as_ref().map_or(self.position, |within| within.snapshot)
    }
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
    /// Schemas beside `public`, by name.
    pub schemas: BTreeMap<String, SchemaEntry>,
    /// Next table id; views have ids of the same row.
    pub next_table: u64,
    /// Views by id, dropped ones included while a job may need them.
    pub views: BTreeMap<TableId, ViewEntry>,
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
    /// Bytes of memory that one job may need, as each party last announced.
    pub job_memory: [Option<u64>; 3],
    /// Position of the last applied entry.
    pub applied: LogIndex,
    /// Rolling BLAKE3 digest of all applied entries.
    pub log_digest: [u8; 32],
    /// Segments that were staged but ended in an Abort: a node may delete their files.
    pub aborted_segments: BTreeSet<SegmentId>,
    /// Positions that are being backed up: what is visible there stays until all three parties have it.
    pub backups: BTreeMap<LogIndex, BackupMark>,
    /// How often shares were refreshed: parts of different generations do not fit together.
    pub share_generation: u64,
}

/// A name space of relations beside `public`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaEntry {
    /// Who created it, and alone creates relations in it.
    pub owner: String,
}

/// Schema and own name of a relation: what has no dot is in `public`.
#[must_use]
pub fn in_schema(relation: &str) -> (&str, &str) {
    relation.split_once('.').unwrap_or(("public", relation))
}

/// A position that parties copy to a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupMark {
    /// Parties that have it.
    pub done: [bool; 3],
}

impl Catalog {
    /// The table of this name that exists at a position.
    #[must_use]
    pub fn table(&self, name: &str, at: LogIndex) -> Option<&TableEntry> {
        self.tables.values().find(|t| t.schema.name == name && t.exists(at))
    }
    /// Whether ALTER TABLE has put another version in the place of this one.
    #[must_use]
    pub fn is_altered(&self, table: TableId) -> bool {
        self.tables.values().any(|t| t.replaces == Some(table))
    }
    /// The view of this name that exists at a position.
    #[must_use]
    pub fn view(&self, name: &str, at: LogIndex) -> Option<&ViewEntry> {
        self.views.values().find(|v| v.name == name && v.exists(at))
    }
    /// The index of this name that exists at a position, and its table.
    #[must_use]
    pub fn index(&self, name: &str, at: LogIndex) -> Option<(&TableEntry, &IndexEntry)> {
        self.tables.values().filter(|t| t.exists(at)).find_map(|t| {
            let found = t.rules.indexes.iter().find(|i| i.name == name && i.exists(at));
            found.map(|index| (t, index))
        })
    }
    /// Position of the oldest work that is not finished, backups among it: what ended before it nobody
    /// reads any more.
    #[must_use]
    pub fn oldest_unfinished(&self) -> Option<LogIndex> {
        let jobs = self.jobs.values().filter(|j| j.status == JobStatus::Active);
        let jobs = jobs.map(JobEntry::snapshot);
        let work = self.transactions.values().filter_map(|state| match state {
            TransactionState::Validating(v) => v.reads_from(),
            TransactionState::Open(open) => Some(open.snapshot),
            _ => None,
        });
        jobs.chain(work).chain(self.backups.keys().copied()).min()
    }
    /// Segments that transactions wrote which are not committed yet: staged at all three nodes, listed
    /// nowhere else.
    pub fn uncommitted(&self) -> impl Iterator<Item = (TableId, &SegmentEntry)> {
        let open = self.transactions.values().filter_map(|state| match state {
            TransactionState::Open(open) => Some(&**open),
            TransactionState::Validating(v) => match &v.subject {
                Subject::Transaction(open) => Some(&**open),
                _ => None,
            },
            _ => None,
        });
        open.flat_map(|open| {
            open.written
                .iter()
                .flat_map(|(table, w)| w.segments.iter().chain(&w.spent).map(|s| (*table, s)))
        })
    }
    /// What planning reads of the catalog, as a transaction sees it: at the position `at`, and of the
    /// tables it has written to what it sees of them. Nothing of jobs and transactions is in it.
    #[must_use]
    pub fn within(&self, at: LogIndex, written: &Overlay) -> Self {
        let mut seen = Self {
            cluster: self.cluster.clone(),
            principals: self.principals.clone(),
            tables: self.tables.clone(),
            next_table: self.next_table,
            views: self.views.clone(),
            schemas: self.schemas.clone(),
            net_profile: self.net_profile,
            applied: self.applied,
            log_digest: self.log_digest,
            ..Self::default()
        };
        for (id, overlay) in written {
            let Some(table) = seen.tables.get_mut(id) else { continue };
            table.segments.retain(|s| {
                !overlay.replaces && s.valid_from <= at && s.valid_to.is_none_or(|end| at < end)
            });
            let own = overlay.segments.iter();
            table.segments.extend(own.map(|s| SegmentEntry { valid_from: at, ..s.clone() }));
        }
        seen
    }
    /// Bytes of memory that one job may need: the least that a party has announced.
    #[must_use]
    pub fn job_memory_max(&self) -> Option<u64> {
        self.job_memory.iter().flatten().copied().min()
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
        self.tables.values().filter(move |t| t.exists(at) && t.may_select(principal, at))
    }
}
