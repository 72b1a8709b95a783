//! The replicated catalog, the commit order and the jobs of a cluster, on Raft.
//!
//! Three nodes hold one log of [`Command`](trine_proto::command::Command)s. What the log means is
//! decided by one pure function, [`state_machine::apply`], at every node by itself: it verifies
//! every signature, so that a leader can delay an entry but not forge one. The state holds
//! schemas, segments, principals and jobs; no share, and no unkeyed digest of one.
//!
//! ```text
//!   propose ──► leader ──► log at two of three, synced ──► apply ──► catalog(), subscribe()
//!   (any node)  (openraft)     (RocksDB)                   (each node)   (this node)
//! ```
//!
//! # The life of a command
//!
//! 1. [`Consensus::propose`] at any node bounds its size and finds the leader (`propose`).
//! 2. The request travels as opaque bytes over the node's [`RaftTransport`] (`network`) and is
//!    checked before Raft sees it (`serve`).
//! 3. Raft writes it to the log, synced, at a majority (`log_store`, `database`).
//! 4. Every node applies it (`state_machine`) and stores what changed together with the position,
//!    synced, in one batch (`state_store`, `records`).
//! 5. The new catalog is shown, then signalled (`published`). The proposer gets the outcome that
//!    its *own* node computed, not the leader's word.
//!
//! # What is guaranteed, what is not
//!
//! * An outcome that was returned survives the loss of any one machine and a restart of all.
//! * A repeated command (same command id) changes nothing and gets the first outcome, for as long
//!   as the outcome is kept (the latest [`limits::OUTCOMES_MAX`] commands).
//! * Raft tolerates crashes, not lies: progress is at the leader's mercy, and so is the content
//!   of a snapshot that it sends to a node that fell far behind.
//!
//! A member whose disk is lost comes back under a new Raft id, because under its old one it could vote
//! twice in a term it has forgotten: [`member_id`] finds the id before the node starts (`join`). So does
//! one whose folder was restored from a backup, unless all three were ([`StateImage`], `image`).

mod consensus;
mod database;
mod error;
mod image;
mod join;
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

pub use consensus::{Config, Consensus, LogExtent, stored_catalog, stored_image};
pub use error::ConsensusError;
pub use image::StateImage;
pub use join::{Standing, answer_waiting, member_id, standing};
pub use network::RaftTransport;
