//! Bytes and rounds, predicted and counted in the same unit.

use std::ops::AddAssign;

/// Payload bytes sent by each party, and rounds. Planes count in whole 64-bit words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rounds: messages sent, then waited for.
    pub rounds: u64,
    /// Payload bytes sent by party 0, 1, 2.
    pub bytes: [u64; 3],
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        for (a, b) in self.bytes.iter_mut().zip(other.bytes) {
            *a += b;
        }
    }
}
