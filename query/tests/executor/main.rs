//! The executor against a plain evaluation of the same plans: three parties in memory, tables cut
//! into shares and stored, results put together as a client would. Every run also holds counted and
//! predicted costs equal, operator by operator.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
// Sizes and values of tests are small.
#![allow(clippy::cast_possible_truncation)]

mod aggregates;
mod expressions;
mod joins;
mod leakage;
mod pairs;
mod plans;
mod reference;
mod sorts;
mod support;
mod unique;
mod windows;
mod writes;
