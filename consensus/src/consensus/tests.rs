//! Three members in one process over a transport in memory.

mod faults;
mod harness;
mod peers;
mod replaced;
