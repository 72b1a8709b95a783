//! The replicated catalog, the commit order and the jobs of a cluster, on Raft.
pub mod error;
pub mod limits;
pub mod state_machine;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::ConsensusError;
