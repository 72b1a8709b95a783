//! What nodes survive. Every file has a cluster of its own; they run side by side.
#![allow(clippy::unwrap_used, reason = "helpers of tests; the lint exempts test functions only")]

mod backup;
mod flood;
mod kill;
mod metrics;
mod pack;
mod partition;
mod refresh;
mod repair;
mod results;
