//! SQL to oblivious plans to shares.
//!
//! # Life of a query
//!
//! 1. [`compile`] parses a statement, binds its names against the catalog at a log index for one
//!    principal, lets DataFusion coerce types and optimise (`frontend`), and compiles the logical
//!    plan into a [`plan::Plan`]: a closed set of operators with public shapes: rows, types, bounds
//!    (`planner`). What cannot be computed obliviously is refused here, before any node starts.
//! 2. [`Statement::digest`] goes into the start handshake: same plan at all nodes, or nothing.
//! 3. [`dry_run`] predicts what every operator costs, [`run`] runs it as one of three parties: the
//!    same code, on ghosts or on shares. [`Statement::explain_rows`] shows the former.
//! 4. A relation at run time has a public row count, columns of shares and one shared *valid* bit
//!    per row. Filters and joins clear bits and move nothing; sorts hide where rows came from.
//! 5. The root, Reveal, zeroes what does not exist and hands out share vectors: only the client
//!    opens them ([`execute`] puts the header in front). What the nodes themselves learn is decided
//!    in `policy` alone.
//! 6. What PUBLIC columns alone decide is computed by each node in the clear while it plans (`clear`).
//! 7. [`compile_work`] and [`run_work`] check the constraints of what is written.

mod arith;
mod bits;
mod clear;
mod column;
mod cost;
mod error;
mod executor;
mod explain;
mod expr;
mod frontend;
mod ops;
mod output;
pub mod plan;
mod planner;
mod policy;
mod relation;
mod rules;
mod statement;
mod stored;
pub mod types;
mod want;
mod work;

pub use cost::profile;
pub use error::QueryError;
pub use executor::{Executed, Memory, Observer, OperatorCost, dry_run, inputs, operator_name, run};
pub use frontend::Explain;
pub use output::{ShareVector, sql_type};
pub use statement::{
    ResultShares, Statement, check_view, compile, compile_over, compile_with, execute,
};
pub use work::{Done, Work, check_alteration, check_conditions, compile_work, run_work};
