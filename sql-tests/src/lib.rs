//! sqllogictest files on three engines.
//!
//! Guarantees: every record of a file is counted once, as passed, failed or skipped; a statement
//! that an engine refuses as unsupported is a failed record; a failing record never hides the next.
//!
//! The way of a file:
//! 1. [`script::discover`] finds it, [`script::read`] makes the dialects of five projects one;
//! 2. [`runner::run_script`] resets the engine and walks through the records;
//! 3. [`engine::Engine::run`] answers each: [`oracle`] is plain DataFusion, [`inprocess`] three
//!    parties in this process, [`cluster`] a `trined dev` of three processes over mutual TLS;
//! 4. [`judge`] holds the outcome against the record ([`compare`] rows, [`order`] ties);
//! 5. [`report`] counts, [`ladder`] runs many files and writes down what fails and why.
//!
//! [`generator`] makes random tables and queries, [`fuzz`] compares two engines on them; [`fill`] writes the oracle's
//! answers into new files; [`answers`] compares answers in CSV and [`peek`] shows what a node holds of a row, for the demo.
//! [`tpch`] makes the tables of TPC-H and judges the answers to its queries.

pub mod answers;
pub mod beside;
mod client_answer;
pub mod cluster;
pub mod compare;
pub mod engine;
pub mod fill;
pub mod fuzz;
pub mod generator;
pub mod inprocess;
pub mod judge;
pub mod ladder;
pub mod oracle;
pub mod order;
pub mod peek;
pub mod postgres;
pub mod report;
pub mod runner;
pub mod script;
pub mod tpch;
pub mod value;
pub mod words;
