//! SQL to oblivious plans to shares.

mod cost;
mod frontend;
mod planner;
mod policy;

pub mod plan;
pub mod types;
