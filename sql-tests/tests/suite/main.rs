//! One binary for all tests that link the whole system: a second one would cost a quarter of a
//! gigabyte and half a minute of linking.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]

mod cluster;
mod corpus;
mod ladder;
mod plans;
mod random;
mod sentinels;
mod tpch;
mod transactions;
