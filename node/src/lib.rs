//! The server of one party.

pub mod clock;
pub mod config;
pub mod error;
mod limits;
mod mesh;
