//! The client of a Trine cluster: it cuts what its user enters into shares and opens what the
//! cluster answers. No node ever sees a plaintext, because nothing but this crate makes shares of
//! one or puts shares together.
//!
//! What it guarantees: a literal of an INSERT and a cell of a loaded file leave the machine as
//! shares only; a statement that this crate cannot rewrite so is refused here, unsent; a result is
//! returned only if the three nodes' parts agree with each other's digests. What it does not: it
//! cannot see a wrong computation by a node that sends consistent shares of a wrong value.
//!
//! The life of a load:
//!
//! 1. [`Client::load`] reads the files once: every cell is typed and checked ([`encode`]), bad ones
//!    are reported, rows are counted;
//! 2. it reads them again and cuts chunk by chunk ([`cut`]): two components are made from seeds, the
//!    third is what no seed can make;
//! 3. three streams bring each node its part, each node answers with a signed receipt (`upload`);
//! 4. the signed Commit with the three receipts goes into the log: the batch is visible entirely.
//!
//! The life of a query:
//!
//! 1. [`statement`] splits and recognises the text ([`Client::execute`]);
//! 2. [`Client::submit`] signs it once and hands the same bytes to all three nodes;
//! 3. [`Client::wait`] watches the job at all three;
//! 4. [`Client::fetch`] gets the three parts, and [`open::open_result`] cross-checks and opens them.
//!
//! Statements between BEGIN and COMMIT go through a [`TransactionBlock`] ([`Client::run_in`]): each
//! carries the transaction's id and its number in it, and COMMIT may be asked again.
//!
//! ```text
//!  text, files ─► statement ─► encode ─► cut ─► upload ─► nodes
//!                     └──────────────► query ──────────► nodes ─► open ─► value, output
//! ```

mod admin;
mod block;
mod catalog;
mod client;
mod clock;
pub mod config;
pub mod connect;
pub mod cut;
pub mod encode;
pub mod explain;
pub mod load;
pub mod open;
pub mod output;
mod query;
mod random;
pub mod statement;
mod upload;
pub mod value;
mod write;

pub use block::{BlockStatus, TransactionBlock};
pub use catalog::{TableDefinition, describe_rules, describe_table};
pub use client::Client;
pub use config::Config;
pub use encode::Cell;
pub use query::JobProgress;
pub use random::random_id;
pub use trine_proto::status::SqlError;
pub use upload::{Committed, arrange};
pub use value::{Answer, OutputColumn, Table, Value};
pub use write::{
    ParameterRow, explained, named_result, parameter_row, query_parameters, rows_written,
};
