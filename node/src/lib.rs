//! The daemon of one party: `trined`.
//!
//! What it guarantees: a client's command is verified here whoever sent it; nothing is computed
//! before all three nodes agree on statement, snapshot and plan; every attempt has fresh keys; what
//! leaves is shares. What it does not: it trusts its own disk and operating system, and follows the
//! protocols honestly.
//!
//! ```text
//!  clients ── gRPC ── services ──► consensus (log) ──► runner ◄── scheduler (pure)
//!                        │                               │
//!                        └──► storage (stage)            └──► attempt: handshake, keys, query
//!                                                                 │
//!                                                  mesh ◄─────────┘
//! ```
//!
//! A load: `services::upload` stages this party's part and signs a receipt; the client's signed
//! Commit goes through `services::transaction` into the log; a table with a primary key is checked
//! by `runner` first (`Context::validation`).
//!
//! A query: `services::query` verifies and plans it once, the log orders it, `Scheduler::catalog`
//! admits it, `Context::query` compares digests with the peers, derives fresh keys and runs it,
//! `Results` keeps the shares until the client has fetched them.

mod attempt;
mod backup;
mod bench;
mod budget;
mod clock;
pub mod command;
pub mod config;
mod counters;
mod error;
mod fail_point;
mod files;
mod handshakes;
mod janitor;
mod limits;
mod local;
mod mesh;
mod metrics;
mod network;
mod node;
mod packing;
mod repair;
mod results;
mod runner;
mod scheduler;
mod services;
#[cfg(test)]
mod simulation;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::NodeError;
pub use fail_point::FAIL_POINTS;
pub use node::Node;

pub(crate) use node::data_lock;
