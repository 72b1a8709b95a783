//! SQL to oblivious plans to shares.
//!
//! # Running a plan
//!
//! 1. A [`plan::Plan`] is a closed set of operators with public shapes: rows, types, bounds.
//! 2. [`dry_run`] predicts what every operator costs, [`run`] runs it as one of three parties: the
//!    same code, on ghosts or on shares.
//! 3. A relation at run time has a public row count, columns of shares and one shared *valid* bit
//!    per row. Filters and joins clear bits and move nothing; sorts hide where rows came from.
//! 4. The root, Reveal, zeroes what does not exist and hands out share vectors: only the client
//!    opens them. What the nodes themselves learn is decided in `policy` alone.
//! 5. [`check_unique`] checks the PRIMARY KEY of a staged batch.

mod arith;
mod bits;
mod column;
mod error;
mod executor;
mod expr;
mod ops;
mod output;
pub mod plan;
mod policy;
mod relation;
pub mod types;
mod unique;
mod want;

pub use error::QueryError;
pub use executor::{Executed, Observer, OperatorCost, dry_run, inputs, operator_name, run};
pub use output::{ShareVector, sql_type};
pub use unique::check_unique;
