//! One party's side of one attempt of one job.

use crate::{Cost, Net, Result};
use std::sync::Arc;

/// Circuit form: deep and cheap, or shallow and dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// k rounds, fewest bits.
    Ripple,
    /// ceil(log2 k) rounds, more bits.
    Tree,
}

/// What chooses circuit forms: replicated, never measured by one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Round trip of the worst pair in microseconds.
    pub round_trip_us: u32,
    /// Bandwidth of the worst pair in megabits a second.
    pub megabits_per_s: u32,
}

/// The keys of one attempt that this party shares with the next and with the previous party, and its own.
/// Derive with [`AttemptKeys::derive`]; never reuse for a second attempt.
pub struct AttemptKeys {
    pub(crate) next: [u8; 32],
    pub(crate) previous: [u8; 32],
}

impl AttemptKeys {
    /// From the two pair secrets and the transcript (job, attempt, plan digest, both fresh nonces of each pair's start handshake in party order).
    #[must_use]
    pub fn derive(
        _pair_next: &[u8; 32],
        _pair_previous: &[u8; 32],
        _context_next: &[u8],
        _context_previous: &[u8],
    ) -> Self {
        todo!()
    }
}

/// One party's side of a protocol run. `Session::dry` has no network: every protocol charges its
/// predicted cost and returns *ghost* shares (right length and width, no data).
pub struct Session {
    _private: (),
}

impl Session {
    /// A real session of party `party`.
    #[must_use]
    pub fn new(_party: usize, _net: Arc<dyn Net>, _keys: AttemptKeys, _profile: Profile) -> Self {
        todo!()
    }
    /// A session that predicts costs (of all three parties) only.
    #[must_use]
    pub fn dry(_profile: Profile) -> Self {
        todo!()
    }
    /// Whether this session only predicts.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        todo!()
    }
    /// This party's index (0 in a dry session).
    #[must_use]
    pub fn party(&self) -> usize {
        todo!()
    }
    /// Profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        todo!()
    }
    /// So far: real session: own bytes counted at index `party()` (others 0); dry: predicted for all.
    #[must_use]
    pub fn cost(&self) -> Cost {
        todo!()
    }
    /// Cost recomputed from opened segment sizes for the sorts so far, minus what was predicted: real sessions only. Zero without sorts.
    /// (counted == predicted_without_sorts + sorts_recomputed is asserted inside sort.)
    #[must_use]
    pub fn sorts_recomputed(&self) -> Cost {
        todo!()
    }
    /// Checks for cancellation between operators.
    ///
    /// # Errors
    /// [`crate::MpcError::Cancelled`].
    pub fn check(&self) -> Result<()> {
        todo!()
    }
}
