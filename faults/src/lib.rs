//! Real nodes, treated badly.
//!
//! [`Cluster`] runs three `trined` processes that it may kill, pause, start again and corrupt;
//! [`model::Model`] knows what clients were told of their writes; [`rounds`] lets writers work while nodes
//! die at random moments or at named points, starts them again, and compares: no acknowledged write is
//! lost, none is half visible, jobs end, no file is left over. The tests of this crate run a seeded
//! sample; `trine-faults --rounds N --seed S` runs for as long as one likes.
//!
//! A seed repeats every choice (who is killed, where, after how long, what is written), not the timing
//! of three processes: a failure is repeated by running its seed a few times.
//!
//! The crate knows nodes from outside only: their program, their files, the client library.

pub mod cluster;
pub mod model;
mod ports;
pub mod random;
pub mod rounds;
pub mod switchboard;

pub use cluster::Cluster;
pub use random::Random;
pub use switchboard::Switchboard;

/// What went wrong, for people.
pub type Failure = String;
