//! Three parties in one thread: each runs on a stack of its own until it waits for a message, then the
//! next one runs. A round among small tables is some hundred instructions; waking a sleeping thread for
//! it takes longer than the round.
//!
//! Every message is still a copy that passes between the parties, and is checked for its length.

use generator::Gn;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use trine_mpc::{MpcError, Net};

/// Words of a party's stack: deep expressions recurse. Memory is taken as it is used.
const STACK_WORDS: usize = (64 << 20) / size_of::<usize>();

/// What lies between the parties.
#[derive(Default)]
struct Hub {
    /// By (from, to, lane).
    queues: BTreeMap<(usize, usize, u32), VecDeque<Vec<u8>>>,
    closed: [bool; 3],
}

/// One party's end.
struct FiberNet {
    party: usize,
    hub: Arc<Mutex<Hub>>,
    /// Messages taken, so that a standstill is noticed.
    taken: Arc<AtomicU64>,
}

impl FiberNet {
    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FiberNet {
    fn drop(&mut self) {
        self.lock().closed[self.party] = true;
    }
}

impl Net for FiberNet {
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> trine_mpc::Result<()> {
        let mut hub = self.lock();
        if hub.closed[self.party] {
            return Err(MpcError::Cancelled);
        }
        if hub.closed[party] {
            return Err(MpcError::PeerLost { party });
        }
        hub.queues.entry((self.party, party, lane)).or_default().push_back(bytes.to_vec());
        Ok(())
    }

    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> trine_mpc::Result<()> {
        loop {
            let mut hub = self.lock();
            let queue = hub.queues.get_mut(&(party, self.party, lane));
            if let Some(bytes) = queue.and_then(VecDeque::pop_front) {
                self.taken.fetch_add(1, Ordering::Relaxed);
                if bytes.len() != into.len() {
                    let (expected, got) = (into.len(), bytes.len());
                    return Err(MpcError::WrongLength { party, expected, got });
                }
                into.copy_from_slice(&bytes);
                return Ok(());
            }
            if hub.closed[self.party] {
                return Err(MpcError::Cancelled);
            }
            if hub.closed[party] {
                return Err(MpcError::PeerLost { party });
            }
            // The others run only while nothing is locked.
            drop(hub);
            suspend();
        }
    }
}

/// Lets the next party run.
#[allow(deprecated, reason = "a scope would have to pass through the protocols to get here")]
fn suspend() {
    generator::yield_with(());
}

/// Runs `work` as each of the three parties over a fresh network; results by party, none for one that
/// panicked. Work that forks lanes must not run here: a lane waits in a thread of its own.
pub(super) fn run<T: Send>(work: impl Fn(usize, Arc<dyn Net>) -> T + Sync) -> [Option<T>; 3] {
    let (hub, taken) = (Arc::<Mutex<Hub>>::default(), Arc::<AtomicU64>::default());
    let mut results = [None, None, None];
    let mut fibers: Vec<_> = results
        .iter_mut()
        .enumerate()
        .map(|(party, result)| {
            let net = FiberNet { party, hub: Arc::clone(&hub), taken: Arc::clone(&taken) };
            let work = &work;
            Gn::<()>::new_opt(STACK_WORDS, move || {
                let net: Arc<dyn Net> = Arc::new(net);
                *result = catch_unwind(AssertUnwindSafe(|| work(party, net))).ok();
            })
        })
        .collect();
    loop {
        let before = taken.load(Ordering::Relaxed);
        let mut ended = 0;
        for fiber in &mut fibers {
            if !fiber.is_done() {
                fiber.resume();
            }
            ended += u64::from(fiber.is_done());
        }
        if ended == 3 {
            break;
        }
        // Nobody took a message in a whole turn: whoever waits waits for ever, unless a party has just left.
        let still = taken.load(Ordering::Relaxed) == before;
        let mut hub = hub.lock().unwrap_or_else(PoisonError::into_inner);
        if still && hub.queues.values().all(VecDeque::is_empty) && hub.closed == [false; 3] {
            hub.closed = [true; 3];
        }
    }
    drop(fibers);
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_round_and_a_party_that_leaves_is_missed() {
        let sums = run(|party, net| {
            let mut sum = u8::try_from(party).unwrap();
            for _ in 0..3 {
                let mut from = [0];
                net.send((party + 2) % 3, 0, &[sum]).unwrap();
                net.receive((party + 1) % 3, 0, &mut from).unwrap();
                sum += from[0];
            }
            sum
        });
        assert_eq!(sums, [Some(9), Some(8), Some(7)]);
        let lost = run(|party, net| match party {
            0 => Ok(()),
            _ => net.receive(0, 0, &mut [0]),
        });
        assert_eq!(lost[1], Some(Err(MpcError::PeerLost { party: 0 })));
        assert_eq!(lost[2], Some(Err(MpcError::PeerLost { party: 0 })));
    }

    #[test]
    fn a_standstill_ends_and_a_panic_is_one_partys_own() {
        let stuck = run(|party, net| net.receive((party + 1) % 3, 0, &mut [0]));
        assert!(stuck.iter().all(|r| matches!(r, Some(Err(_)))));
        let alone = run(|party, net| {
            assert_ne!(party, 1, "on purpose");
            net.receive(1, 0, &mut [0])
        });
        assert_eq!(alone[1], None);
        assert_eq!(alone[0], Some(Err(MpcError::PeerLost { party: 1 })));
    }

    #[test]
    fn a_wrong_length_names_the_sender() {
        let got = run(|party, net| match party {
            0 => net.send(1, 0, &[1, 2]),
            1 => net.receive(0, 0, &mut [0]),
            _ => Ok(()),
        });
        assert_eq!(got[1], Some(Err(MpcError::WrongLength { party: 0, expected: 1, got: 2 })));
    }
}
