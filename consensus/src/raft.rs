//! What openraft is instantiated with.

use std::io::Cursor;

use openraft::{Config, SnapshotPolicy};
use serde::{Deserialize, Serialize};
use trine_proto::command::{Command, Outcome};
use trine_proto::ids::Party;

use crate::error::ConsensusError;
use crate::limits::{
    ELECTION, ENTRIES_KEPT, ENTRIES_PER_MESSAGE_MAX, HEARTBEAT, SNAPSHOT_ENTRIES,
    SNAPSHOT_PIECE_BYTES, SNAPSHOT_PIECE_TIMEOUT,
};

openraft::declare_raft_types!(
    /// Types of our Raft. An entry without a command (a new leader's blank, a membership) has no
    /// outcome.
    pub(crate) Types:
        D = Command,
        R = Option<Outcome>,
        NodeId = RaftId,
        Node = Member,
        Entry = openraft::Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);

/// Name of one disk's copy of the log. Not the party index: a party whose disk is lost comes back
/// under a new one, because a voter that forgot its votes could vote twice.
pub(crate) type RaftId = u64;

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<RaftId>;
pub(crate) type Vote = openraft::Vote<RaftId>;
pub(crate) type StorageError = openraft::StorageError<RaftId>;
pub(crate) type StorageIOError = openraft::StorageIOError<RaftId>;
pub(crate) type StoredMembership = openraft::StoredMembership<RaftId, Member>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<RaftId, Member>;

/// A member of the Raft group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Index of the party that runs it.
    pub(crate) party: u8,
}

impl Member {
    pub(crate) fn party(self) -> Option<Party> {
        Party::new(usize::from(self.party))
    }
}

/// Raft ids of the three parties when a cluster is made: party + 1.
pub(crate) fn founders() -> [(RaftId, Member); 3] {
    [0, 1, 2].map(|party| (RaftId::from(party) + 1, Member { party }))
}

/// Timing and sizes, see `limits`.
pub(crate) fn config() -> Result<Config, ConsensusError> {
    let milliseconds = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "trine".into(),
        heartbeat_interval: milliseconds(HEARTBEAT),
        election_timeout_min: milliseconds(ELECTION.0),
        election_timeout_max: milliseconds(ELECTION.1),
        max_payload_entries: ENTRIES_PER_MESSAGE_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        snapshot_max_chunk_size: SNAPSHOT_PIECE_BYTES,
        install_snapshot_timeout: milliseconds(SNAPSHOT_PIECE_TIMEOUT),
        ..Config::default()
    };
    config.validate().map_err(|e| ConsensusError::Stopped(e.to_string()))
}
