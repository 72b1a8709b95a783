//! SQL to oblivious plans to shares.

pub mod plan;
pub mod types;
