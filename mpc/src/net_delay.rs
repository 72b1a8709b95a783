//! A far network on one machine: messages arrive later than they were sent.
//!
//! [`DelayNet`] wraps any [`Net`] and gives it a round-trip time and a bandwidth. The sender stamps a
//! message with the moment at which it is due and goes on; the receiver waits until then. Nothing
//! sleeps in a sender, so what a protocol overlaps stays overlapped. For benches of wide-area
//! behaviour; the stamp of 8 bytes a message is no payload and is not counted.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;
use crate::error::MpcError;
use crate::net::Net;

/// A clock that all three ends share, in nanoseconds since any common moment.
pub trait Clock: Send + Sync {
    /// Now.
    fn now_ns(&self) -> u64;
    /// Returns when it is `at` or later.
    fn wait_until(&self, at: u64);
}

/// What the simulated connection of any two parties is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Round-trip time in microseconds; a message takes half of it.
    pub round_trip_us: u32,
    /// Megabits a second in each direction of each pair; none: as fast as the wrapped network.
    pub megabits_per_s: Option<u32>,
}

impl Link {
    /// Nanoseconds for which `bytes` occupy the wire.
    fn transfer_ns(self, bytes: usize) -> u64 {
        let rate = self.megabits_per_s.map_or(0, |rate| u64::from(rate.max(1)));
        (bytes as u64 * 8000).checked_div(rate).unwrap_or(0)
    }
}

/// Bytes in front of a message: when it is due.
const STAMP: usize = 8;

/// One party's end of a delayed network. All lanes to the same party share one wire.
pub struct DelayNet {
    inner: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    link: Link,
    /// By receiver: until when the wire is taken by what was sent before.
    busy_until_ns: [Mutex<u64>; 3],
}

impl std::fmt::Debug for DelayNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DelayNet({:?})", self.link)
    }
}

impl DelayNet {
    /// Wraps one end; the two others need the same link and a clock that shows the same.
    #[must_use]
    pub fn new(inner: Arc<dyn Net>, clock: Arc<dyn Clock>, link: Link) -> Self {
        Self { inner, clock, link, busy_until_ns: Default::default() }
    }

    /// The message with its stamp in front.
    fn stamped(&self, party: usize, bytes: &[u8]) -> Result<Vec<u8>> {
        let wire = self.busy_until_ns.get(party).ok_or(MpcError::Shape("a party index"))?;
        let sent = {
            let mut busy = wire.lock().unwrap_or_else(PoisonError::into_inner);
            *busy = self.clock.now_ns().max(*busy) + self.link.transfer_ns(bytes.len());
            *busy
        };
        let due = sent + u64::from(self.link.round_trip_us) * 500;
        Ok([&due.to_le_bytes()[..], bytes].concat())
    }

    /// Waits until a message is due and takes it out of its envelope.
    fn arrive(&self, stamped: &[u8], into: &mut [u8]) {
        let (stamp, bytes) = stamped.split_at(STAMP);
        let mut due = [0; STAMP];
        due.copy_from_slice(stamp);
        self.clock.wait_until(u64::from_le_bytes(due));
        into.copy_from_slice(bytes);
    }
}

/// Lengths as the protocol knows them.
fn without_stamp(error: MpcError) -> MpcError {
    match error {
        MpcError::WrongLength { party, expected, got } => MpcError::WrongLength {
            party,
            expected: expected.saturating_sub(STAMP),
            got: got.saturating_sub(STAMP),
        },
        other => other,
    }
}

impl Net for DelayNet {
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> Result<()> {
        self.inner.send(party, lane, &self.stamped(party, bytes)?)
    }
    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> Result<()> {
        let mut stamped = vec![0; into.len() + STAMP];
        self.inner.receive(party, lane, &mut stamped).map_err(without_stamp)?;
        self.arrive(&stamped, into);
        Ok(())
    }
    fn exchange(
        &self,
        lane: u32,
        to: usize,
        bytes: &[u8],
        from: usize,
        into: &mut [u8],
    ) -> Result<()> {
        let mut stamped = vec![0; into.len() + STAMP];
        let out = self.stamped(to, bytes)?;
        self.inner.exchange(lane, to, &out, from, &mut stamped).map_err(without_stamp)?;
        self.arrive(&stamped, into);
        Ok(())
    }
    fn check(&self) -> Result<()> {
        self.inner.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryNet;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Shows what it is told and jumps where it is asked to wait.
    #[derive(Default)]
    struct Manual(AtomicU64);

    impl Clock for Manual {
        fn now_ns(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
        fn wait_until(&self, at: u64) {
            self.0.fetch_max(at, Ordering::SeqCst);
        }
    }

    fn ends(link: Link) -> (Arc<Manual>, [DelayNet; 3]) {
        let clock = Arc::new(Manual::default());
        let end = |net: Arc<MemoryNet>| {
            DelayNet::new(net, Arc::<Manual>::clone(&clock) as Arc<dyn Clock>, link)
        };
        let ends = MemoryNet::mesh().map(end);
        (clock, ends)
    }

    #[test]
    fn a_message_arrives_half_a_round_trip_later_and_the_sender_does_not_wait() {
        let (clock, [a, b, _c]) = ends(Link { round_trip_us: 10_000, megabits_per_s: None });
        a.send(1, 0, &[1, 2, 3]).unwrap();
        a.send(1, 0, &[4]).unwrap();
        assert_eq!(clock.now_ns(), 0);
        let mut into = [0; 3];
        b.receive(0, 0, &mut into).unwrap();
        assert_eq!((into, clock.now_ns()), ([1, 2, 3], 5_000_000));
        // The second one travelled at the same time.
        let mut into = [0];
        b.exchange(0, 0, &[9], 0, &mut into).unwrap();
        assert_eq!((into, clock.now_ns()), ([4], 5_000_000));
        a.receive(1, 0, &mut into).unwrap();
        assert_eq!((into, clock.now_ns()), ([9], 10_000_000));
    }

    #[test]
    fn messages_of_one_pair_share_the_bandwidth_whatever_their_lane() {
        let (clock, [a, b, c]) = ends(Link { round_trip_us: 0, megabits_per_s: Some(8) });
        // 1,000 bytes take a millisecond.
        a.send(1, 0, &[0; 1000]).unwrap();
        a.send(1, 3, &[0; 1000]).unwrap();
        a.send(2, 0, &[0; 500]).unwrap();
        c.receive(0, 0, &mut [0; 500]).unwrap();
        assert_eq!(clock.now_ns(), 500_000);
        b.receive(0, 3, &mut [0; 1000]).unwrap();
        assert_eq!(clock.now_ns(), 2_000_000);
    }

    #[test]
    fn a_wrong_length_is_told_without_the_stamp() {
        let (_, [a, b, _c]) = ends(Link { round_trip_us: 1, megabits_per_s: None });
        a.send(1, 0, &[0; 5]).unwrap();
        let error = b.receive(0, 0, &mut [0; 4]).unwrap_err();
        assert_eq!(error, MpcError::WrongLength { party: 0, expected: 4, got: 5 });
    }
}
