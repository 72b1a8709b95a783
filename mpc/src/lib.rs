//! Three-party replicated secret sharing and vectorised protocols.

mod bits;
pub mod cost;
pub mod disclosure;
pub mod error;
pub mod input;
pub mod net;
pub mod net_memory;
mod prg;
pub mod protocol;
pub mod ring;
pub mod session;
pub mod shares;
pub mod sort;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use cost::Cost;
pub use disclosure::Disclosure;
pub use error::MpcError;
pub use net::Net;
pub use net_memory::MemoryNet;
pub use session::{AttemptKeys, Circuit, Profile, Session};
pub use shares::{Arith, Planes, Ring};

/// Result of a protocol.
pub type Result<T> = std::result::Result<T, MpcError>;
