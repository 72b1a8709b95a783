//! What travels in the Raft log, and what the replicated state made of it.

use crate::catalog::{ClusterInfo, NetProfile, Verdict};
use crate::ids::{ClusterId, JobId, LogIndex, Party, TableId, TransactionId};
use crate::status::SqlError;
use serde::{Deserialize, Serialize};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Entry 1: the identity of the cluster. Later ones are refused.
    Genesis(ClusterInfo),
    /// A `wire::ClientCommand` signed by a client; every node verifies it on apply.
    Client(SignedBytes),
    /// A [`NodeCommand`] (postcard) signed by a node; every node verifies it on apply.
    Node(SignedBytes),
}

/// Bytes with a signature and the key that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBytes {
    /// What was signed (without the domain prefix).
    pub body: Vec<u8>,
    /// Ed25519 public key.
    pub public_key: [u8; 32],
    /// Ed25519 signature, 64 bytes.
    pub signature: Vec<u8>,
}

/// Domain prefix of a client's signature over a `wire::ClientCommand`.
pub const CLIENT_DOMAIN: &[u8] = b"trine/v1/client-command\0";
/// Domain prefix of a node's signature over a [`NodeCommand`].
pub const NODE_DOMAIN: &[u8] = b"trine/v1/node-command\0";
/// Domain prefix of a node's signature over a `wire::Receipt`.
pub const RECEIPT_DOMAIN: &[u8] = b"trine/v1/receipt\0";

/// The closed list of what a node may put into the log by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCommand {
    /// Guards against entries for another cluster.
    pub cluster_id: ClusterId,
    /// Who says so; its key must match the signature.
    pub party: Party,
    /// What.
    pub kind: NodeCommandKind,
}

/// See [`NodeCommand`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeCommandKind {
    /// This party holds its part of the result of the attempt.
    JobDone {
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: u32,
    },
    /// The attempt ended with an error that another attempt would meet too.
    JobFailed {
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: u32,
        /// What the client is told.
        error: SqlError,
    },
    /// The attempt was lost (a peer went away): start the next one. The first of the proposals for one attempt wins.
    JobRetry {
        /// The job.
        job: JobId,
        /// The lost attempt; the next is this + 1.
        attempt: u32,
    },
    /// What this party found in an attempt at the work of a transaction.
    Verdict {
        /// The transaction.
        transaction: TransactionId,
        /// The attempt.
        attempt: u32,
        /// What it found.
        verdict: Verdict,
    },
    /// The attempt of a validation was lost: start the next one.
    ValidationRetry {
        /// The transaction.
        transaction: TransactionId,
        /// The lost attempt.
        attempt: u32,
    },
    /// Give a transaction up (a staged part without a Commit for too long, or a validation that cannot run).
    Abort {
        /// The transaction.
        transaction: TransactionId,
        /// What the client is told.
        error: SqlError,
    },
    /// What this node has measured: the worse of its two connections, and the lanes it has processors
    /// for.
    NetReport(NetProfile),
    /// How many bytes of memory this node gives one job.
    JobMemory(u64),
    /// Mark this entry's position for a backup: every node keeps a copy of the state there.
    BackupMark,
    /// This party has its backup of a marked position.
    BackupDone(LogIndex),
    /// Give a mark up that has stood for too long.
    BackupEnd(LogIndex),
    /// Make one segment of the many small ones of a table. The state decides whether there are enough.
    Pack(TableId),
}

/// What `apply` made of an entry: identical on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done at this position, nothing more to say.
    Applied(LogIndex),
    /// Nothing to do (IF EXISTS, IF NOT EXISTS, a repeated proposal); the notice is for the user.
    Nothing(LogIndex, String),
    /// A table or a view was created.
    TableCreated(LogIndex, TableId),
    /// The query is ordered; the position is its snapshot.
    JobAccepted(LogIndex, JobId),
    /// The batch is visible from this position on.
    Committed(LogIndex),
    /// The batch waits for the check of its constraints; ask for the transaction's state.
    Validating(LogIndex),
    /// Refused: nothing changed.
    Refused(LogIndex, SqlError),
}

impl Outcome {
    /// Position of the entry.
    #[must_use]
    pub const fn index(&self) -> LogIndex {
        match self {
            Self::Applied(i)
            | Self::Nothing(i, _)
            | Self::TableCreated(i, _)
            | Self::JobAccepted(i, _)
            | Self::Committed(i)
            | Self::Validating(i)
            | Self::Refused(i, _) => *i,
        }
    }
}

impl From<Outcome> for crate::wire::CommandOutcome {
    fn from(outcome: Outcome) -> Self {
        let log_index = outcome.index().0;
        match outcome {
            Outcome::Nothing(_, note) => Self { log_index, error: None, note },
            Outcome::Refused(_, e) => {
                Self { log_index, error: Some(e.into()), note: String::new() }
            }
            Outcome::Validating(_) => Self { log_index, error: None, note: "validating".into() },
            _ => Self { log_index, error: None, note: String::new() },
        }
    }
}
