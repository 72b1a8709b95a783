//! What can go wrong in a protocol.

/// Named by what the caller does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MpcError {
    /// The connection to a party ended or was cut during this exchange: the attempt is lost.
    #[error("party {party} went away")]
    PeerLost {
        /// Party index.
        party: usize,
    },
    /// A party sent a message of the wrong length or label: a defect or a dishonest party.
    #[error("party {party} sent {got} bytes where {expected} were due")]
    WrongLength {
        /// Party index.
        party: usize,
        /// Bytes due.
        expected: usize,
        /// Bytes received.
        got: usize,
    },
    /// The job was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A thread of this party came to an end that nobody provided for: a defect. The attempt is lost.
    #[error("a thread of this party panicked")]
    Panicked,
    /// No randomness from the operating system.
    #[error("no randomness from the operating system")]
    Randomness,
    /// Shapes do not fit: a defect of the caller.
    #[error("shapes do not fit: {0}")]
    Shape(&'static str),
}
