//! Why a node does not start or stop as asked. What a *client* is told is a `SqlError`.

use std::path::PathBuf;
use trine_consensus::ConsensusError;
use trine_proto::identity::IdentityError;
use trine_storage::StorageError;

/// Named by what the operator does about it.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration does not hold together: change it.
    #[error("{0}")]
    Config(String),
    /// An address cannot be listened on: another program uses it, or it is not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// `host:port`.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another node runs on the same data folder.
    #[error("another trined already runs on {0}")]
    InUse(PathBuf),
    /// A key or certificate could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The replicated state does not start.
    #[error("replicated state: {0}")]
    Consensus(#[from] ConsensusError),
    /// The segments cannot be opened.
    #[error("segments: {0}")]
    Storage(#[from] StorageError),
    /// Segments are damaged and were not rebuilt: repair them, or see why that failed.
    #[error("{0}")]
    Damaged(String),
    /// There is no backup, or none was made of the folder: see why.
    #[error("{0}")]
    Backup(String),
    /// The running node does not answer its operator.
    #[error("the node that runs on this folder does not answer: {0}")]
    Unanswered(String),
    /// A benchmark did not come to an end, or its result is wrong.
    #[error("{0}")]
    Bench(String),
    /// The operating system refuses threads or timers.
    #[error("operating system: {0}")]
    System(std::io::Error),
}

impl NodeError {
    /// A failed file operation; for `map_err`.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
