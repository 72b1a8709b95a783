//! What can go wrong around the replicated state. What goes wrong *inside* it is an
//! `Outcome::Refused`, not an error.

use trine_proto::ids::Party;

/// Named by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum ConsensusError {
    /// Try again later: no leader or no quorum within the time given. A proposal may still be
    /// applied afterwards; its command id tells.
    #[error("the cluster cannot order commands now: {reason}")]
    Unavailable {
        /// What was missing.
        reason: String,
    },
    /// Refused before it was proposed: the command is too long.
    #[error("a command of {bytes} bytes is above the limit of {bytes_max}")]
    TooLarge {
        /// Encoded bytes.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A peer could not be reached or answered with something that is no answer. Transports
    /// report their failures so.
    #[error("party {party}: {reason}")]
    Peer {
        /// The peer.
        party: Party,
        /// What happened.
        reason: String,
    },
    /// The folder, the log or a peer belongs to another cluster: compare the configurations.
    #[error("another cluster: {0}")]
    WrongCluster(String),
    /// The state on disk is not what this program wrote.
    #[error("corrupt state on disk: {0}")]
    Corrupt(String),
    /// It was written by another version of this program: run that one, or one that reads both.
    #[error("{what} has format version {found}; this version reads {known}")]
    Unsupported {
        /// What has a format version.
        what: &'static str,
        /// Its version.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// A restored folder does not fit the other two nodes.
    #[error("the restored folder cannot be used: {0}")]
    Restored(String),
    /// The operating system or RocksDB failed.
    #[error("storage: {0}")]
    Io(String),
    /// This node's Raft has stopped, by `shutdown` or by an error that was logged.
    #[error("consensus has stopped at this node: {0}")]
    Stopped(String),
}
