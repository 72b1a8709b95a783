//! Tests of the store through its public interface.

#![allow(clippy::unwrap_used, reason = "helpers of tests; the lint exempts test functions only")]

mod corruption;
mod crash;
mod round_trip;
mod sample;
mod staging;
