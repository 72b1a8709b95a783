//! The planner: golden plans and errors, types and bounds, privileges, limits, one plan everywhere,
//! and the answers that compiled statements give when three parties run them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
// Sizes and values of tests are small.
#![allow(clippy::cast_possible_truncation)]

mod access;
mod answers;
mod determinism;
mod golden;
mod limits;
mod scalars;
mod schema;
mod statistics;
#[path = "../executor/support.rs"]
#[allow(dead_code)] // shared with the executor's tests
mod support;
mod types;
