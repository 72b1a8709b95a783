//! Handshakes under way on one port. Strangers may open connections and say nothing: each costs one
//! slot for a limited time, and when all are taken the oldest goes, so that a newcomer who does speak is
//! always heard.

use crate::limits::HANDSHAKES_MAX;
use std::collections::VecDeque;
use tokio::task::AbortHandle;

/// The tasks of one port's handshakes, oldest first.
#[derive(Default)]
pub(crate) struct Handshakes(VecDeque<AbortHandle>);

impl Handshakes {
    /// Takes in a new one; ends the oldest if there are too many.
    pub(crate) fn admit(&mut self, task: AbortHandle) {
        self.0.retain(|task| !task.is_finished());
        if self.0.len() >= HANDSHAKES_MAX
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_silent_caller_makes_room() {
        let mut handshakes = Handshakes::default();
        let silent = || tokio::spawn(std::future::pending::<()>());
        let first = silent();
        handshakes.admit(first.abort_handle());
        for _ in 1..HANDSHAKES_MAX {
            handshakes.admit(silent().abort_handle());
        }
        assert!(!first.is_finished());
        handshakes.admit(silent().abort_handle());
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(handshakes.0.len(), HANDSHAKES_MAX);
    }
}
