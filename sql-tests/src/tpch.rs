//! TPC-H: data, tables, and whether the 22 answers are right. Runs derived from TPC-H, not TPC results.
//!
//! The rows come from the `tpchgen` crate ([`data`]), the declarations from `tpch/schema.sql`
//! ([`SCHEMA`]); the queries and their answers are files that the caller has, none of them here.
//! [`run`] loads an engine and asks it; [`verdict`] holds an answer against the expected one.

pub mod data;
pub mod run;
pub mod usage;
pub mod verdict;

/// CREATE TABLE statements of all tables, with dictionaries and ranges, up to scale factor 1.
pub const SCHEMA: &str = include_str!("../tpch/schema.sql");

/// The tables, in an order in which their references point backwards.
pub const TABLES: [&str; 8] =
    ["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"];
