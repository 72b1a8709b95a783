//! The replicated catalog, the commit order and the jobs of a cluster, on Raft.
mod consensus;
mod database;
mod error;
pub mod limits;
mod log_store;
mod network;
mod propose;
mod published;
mod raft;
mod records;
mod serve;
pub mod state_machine;
mod state_store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use consensus::{Config, Consensus};
pub use error::ConsensusError;
pub use network::RaftTransport;
