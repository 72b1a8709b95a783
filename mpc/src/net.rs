//! The party network as protocols see it: the one side effect of this crate.

use crate::Result;

/// Messages between this party and the two others, for one attempt of one job. Lane = independent
/// ordered stream between the same two parties (0 for the main line of a job; a fork gets its own).
///
/// Order within (peer, lane) is kept. Lengths are public: a message has the length of the buffer that
/// its receiver waits with, and anything else is an error. One thread at a time uses a lane. While a
/// `send` waits for room it takes in what the peers send on the same lane, so that three parties that
/// all send before they receive never stand still.
pub trait Net: Send + Sync {
    /// Sends a message to `party`. `bytes` may be used again at once.
    ///
    /// # Errors
    /// [`crate::MpcError::PeerLost`], [`crate::MpcError::Cancelled`].
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> Result<()>;
    /// Waits for the next message of `party`, which must have exactly the length of `into`.
    ///
    /// # Errors
    /// [`crate::MpcError::PeerLost`], [`crate::MpcError::WrongLength`], [`crate::MpcError::Cancelled`];
    /// the contents of `into` are then unspecified.
    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> Result<()>;
    /// A send and a receive side by side: what comes in is put into `into` while `bytes` is on its way.
    ///
    /// # Errors
    /// As `send` and `receive`.
    fn exchange(
        &self,
        lane: u32,
        to: usize,
        bytes: &[u8],
        from: usize,
        into: &mut [u8],
    ) -> Result<()> {
        self.send(to, lane, bytes)?;
        self.receive(from, lane, into)
    }
    /// Whether to go on: asked between operators, where no message is waited for.
    ///
    /// # Errors
    /// [`crate::MpcError::PeerLost`], [`crate::MpcError::Cancelled`].
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
