//! The party network inside one process: three ends over queues, for tests, benches and engines
//! that run all three parties at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::net::Net;
use crate::{MpcError, Result};

/// What lies between the parties: messages by (from, to, lane), and who is gone.
#[derive(Default)]
struct State {
    queues: BTreeMap<(usize, usize, u32), VecDeque<Vec<u8>>>,
    closed: [bool; 3],
    /// Buffers of messages that were taken out: fresh memory would cost more than the copy.
    spare: Vec<Vec<u8>>,
}

/// Buffers kept.
const SPARE_MAX: usize = 12;

#[derive(Default)]
struct Hub {
    state: Mutex<State>,
    /// One bell a party.
    arrived: [Condvar; 3],
}

/// One party's end. Closing it (or dropping it) makes the others' next receive fail once they
/// have read what was sent before.
pub struct MemoryNet {
    party: usize,
    hub: Arc<Hub>,
}

impl std::fmt::Debug for MemoryNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryNet(party {})", self.party)
    }
}

impl MemoryNet {
    /// The three ends of a fresh mesh, by party index.
    #[must_use]
    pub fn mesh() -> [Arc<Self>; 3] {
        let hub = Arc::new(Hub::default());
        [0, 1, 2].map(|party| Arc::new(Self { party, hub: Arc::clone(&hub) }))
    }

    /// Cuts this party off: its own calls end with [`MpcError::Cancelled`], the others' with
    /// [`MpcError::PeerLost`] instead of waiting for ever. Closing twice is harmless.
    pub fn close(&self) {
        self.lock().closed[self.party] = true;
        for bell in &self.hub.arrived {
            bell.notify_all();
        }
    }

    /// A panicking party must not take the others' error away from them.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.hub.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MemoryNet {
    fn drop(&mut self) {
        self.close();
    }
}

impl Net for MemoryNet {
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> Result<()> {
        let mut spare = self.lock().spare.pop().unwrap_or_default();
        spare.clear();
        spare.extend_from_slice(bytes);
        let bytes = spare;
        let mut state = self.lock();
        if state.closed[self.party] {
            return Err(MpcError::Cancelled);
        }
        if state.closed[party] {
            return Err(MpcError::PeerLost { party });
        }
        state.queues.entry((self.party, party, lane)).or_default().push_back(bytes);
        drop(state);
        self.hub.arrived[party].notify_all();
        Ok(())
    }

    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> Result<()> {
        let mut state = self.lock();
        loop {
            if state.closed[self.party] {
                return Err(MpcError::Cancelled);
            }
            let queue = state.queues.get_mut(&(party, self.party, lane));
            if let Some(bytes) = queue.and_then(VecDeque::pop_front) {
                drop(state);
                if bytes.len() != into.len() {
                    let (expected, got) = (into.len(), bytes.len());
                    return Err(MpcError::WrongLength { party, expected, got });
                }
                into.copy_from_slice(&bytes);
                let mut state = self.lock();
                if state.spare.len() < SPARE_MAX {
                    state.spare.push(bytes);
                }
                return Ok(());
            }
            if state.closed[party] {
                return Err(MpcError::PeerLost { party });
            }
            let bell = &self.hub.arrived[self.party];
            state = bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn check(&self) -> Result<()> {
        let state = self.lock();
        if state.closed[self.party] {
            return Err(MpcError::Cancelled);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(net: &MemoryNet, party: usize, lane: u32, length: usize) -> Result<Vec<u8>> {
        let mut into = vec![0; length];
        net.receive(party, lane, &mut into).map(|()| into)
    }

    #[test]
    fn keeps_order_within_peer_and_lane() {
        let [a, b, _c] = MemoryNet::mesh();
        a.send(1, 0, &[1]).unwrap();
        a.send(1, 7, &[9, 9]).unwrap();
        a.send(1, 0, &[2]).unwrap();
        assert_eq!(take(&b, 0, 7, 2).unwrap(), [9, 9]);
        assert_eq!(take(&b, 0, 0, 1).unwrap(), [1]);
        assert_eq!(take(&b, 0, 0, 1).unwrap(), [2]);
    }

    #[test]
    fn a_wrong_length_names_the_sender() {
        let [a, b, _c] = MemoryNet::mesh();
        a.send(1, 0, &[1]).unwrap();
        let error = take(&b, 0, 0, 4).unwrap_err();
        assert_eq!(error, MpcError::WrongLength { party: 0, expected: 4, got: 1 });
    }

    #[test]
    fn a_closed_party_is_lost_after_its_last_message() {
        let [a, b, c] = MemoryNet::mesh();
        a.send(1, 0, &[5]).unwrap();
        drop(a);
        assert_eq!(take(&b, 0, 0, 1).unwrap(), [5]);
        assert_eq!(take(&b, 0, 0, 1).unwrap_err(), MpcError::PeerLost { party: 0 });
        assert_eq!(b.send(0, 0, &[1]).unwrap_err(), MpcError::PeerLost { party: 0 });
        c.close();
        assert_eq!(c.check().unwrap_err(), MpcError::Cancelled);
        assert_eq!(take(&c, 1, 0, 1).unwrap_err(), MpcError::Cancelled);
    }

    #[test]
    fn closing_wakes_who_waits() {
        let [a, b, _c] = MemoryNet::mesh();
        let waiting = std::thread::spawn(move || take(&b, 0, 0, 1));
        a.close();
        assert_eq!(waiting.join().unwrap().unwrap_err(), MpcError::PeerLost { party: 0 });
    }
}
