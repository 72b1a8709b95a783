//! The party network as protocols see it: the one side effect of this crate.

use crate::Result;

/// Messages between this party and the two others, for one attempt of one job. Lane = independent
/// ordered stream between the same two parties (0 for the main line of a job; a fork gets its own).
///
/// `send` never waits for the peer (an implementation always drains its sockets). Order within
/// (peer, lane) is kept. Lengths are public: the receiver names the length that is due.
pub trait Net: Send + Sync {
    /// Queues a message to `party`.
    ///
    /// # Errors
    /// [`crate::MpcError::PeerLost`], [`crate::MpcError::Cancelled`].
    fn send(&self, party: usize, lane: u32, bytes: Vec<u8>) -> Result<()>;
    /// Waits for the next message of `party`, which must have exactly `length` bytes.
    ///
    /// # Errors
    /// [`crate::MpcError::PeerLost`], [`crate::MpcError::WrongLength`], [`crate::MpcError::Cancelled`].
    fn receive(&self, party: usize, lane: u32, length: usize) -> Result<Vec<u8>>;
    /// Whether to go on: asked between operators, where no message is waited for.
    ///
    /// # Errors
    /// [`crate::MpcError::PeerLost`], [`crate::MpcError::Cancelled`].
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
