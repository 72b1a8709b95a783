//! The party network of one attempt: queues that the connections' readers fill, and
//! [`AttemptNet`], the protocols' view of them.

use super::outbox::Outbox;
use super::plane::Plane;
use super::wire::{Abort, AttemptId, FrameHeader, FrameKind, Hello};
use crate::limits::{ATTEMPT_BYTES_MAX, MESSAGE_BYTES_MAX};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use trine_mpc::{MpcError, Net, Result};
use trine_proto::ids::Party;
use trine_proto::status::SqlError;

#[derive(Default)]
struct State {
    /// Whole messages by (party, lane).
    queues: BTreeMap<(usize, u32), VecDeque<Vec<u8>>>,
    /// Bytes in `queues`, and of messages that are being received.
    bytes: usize,
    hellos: [Option<Hello>; 3],
    /// First reason why the attempt cannot go on.
    failure: Option<MpcError>,
    /// What a peer said that every attempt would meet.
    peer_error: Option<SqlError>,
}

/// What readers and protocol threads share.
pub(super) struct Attempt {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Attempt {
    /// With what came before the attempt was opened here.
    pub(super) fn new(early: Early) -> Self {
        let state = State {
            hellos: early.hellos,
            failure: early.aborted.as_ref().map(|(from, _)| MpcError::PeerLost { party: *from }),
            peer_error: early.aborted.and_then(|(_, abort)| abort.error),
            ..State::default()
        };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Makes room for a message; false: the attempt is over or holds too much, drop the message.
    pub(super) fn reserve(&self, party: usize, bytes: usize) -> bool {
        let mut state = self.lock();
        if state.failure.is_some() {
            return false;
        }
        state.bytes += bytes;
        if state.bytes > ATTEMPT_BYTES_MAX {
            tracing::warn!(party, bytes = state.bytes, "a party runs too far ahead");
            state.failure = Some(MpcError::Shape("a party runs too far ahead of the others"));
            drop(state);
            self.arrived.notify_all();
            return false;
        }
        true
    }

    pub(super) fn deliver(&self, party: usize, lane: u32, message: Vec<u8>) {
        self.lock().queues.entry((party, lane)).or_default().push_back(message);
        self.arrived.notify_all();
    }

    pub(super) fn hello(&self, party: usize, hello: Hello) {
        self.lock().hellos[party] = Some(hello);
        self.arrived.notify_all();
    }

    /// Ends the attempt at this node. The first reason counts.
    pub(super) fn fail(&self, failure: MpcError, peer_error: Option<SqlError>) -> bool {
        let mut state = self.lock();
        let first = state.failure.is_none();
        if first {
            state.failure = Some(failure);
            state.peer_error = peer_error;
            state.queues.clear();
        }
        drop(state);
        self.arrived.notify_all();
        first
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What peers said of an attempt that is not open here yet.
#[derive(Default)]
pub(super) struct Early {
    pub(super) hellos: [Option<Hello>; 3],
    pub(super) aborted: Option<(usize, Abort)>,
}

/// One peer of an attempt: the connection as it was when the attempt began.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) party: Party,
    pub(super) outbox: Arc<Outbox>,
    pub(super) secret: [u8; 32],
}

/// The network of one attempt. It lives and dies with the two data connections that it began on.
/// Dropping it forgets the attempt; what still comes for it is discarded.
pub(crate) struct AttemptNet {
    pub(super) id: AttemptId,
    pub(super) party: Party,
    pub(super) attempt: Arc<Attempt>,
    /// Next and previous party.
    pub(super) peers: [Peer; 2],
    pub(super) plane: Arc<Plane>,
    pub(super) bytes_sent: AtomicU64,
}

impl fmt::Debug for AttemptNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptNet(party {}, {:?})", self.party, self.id)
    }
}

impl Drop for AttemptNet {
    fn drop(&mut self) {
        self.plane.forget(self.id, &self.attempt);
    }
}

impl AttemptNet {
    /// Says hello to both peers and waits for theirs: [from next, from previous].
    ///
    /// # Errors
    /// `PeerLost` on loss, abort or time-out; `Cancelled`.
    pub(crate) fn exchange_hello(&self, mine: &Hello, timeout: Duration) -> Result<[Hello; 2]> {
        let encoded =
            postcard::to_stdvec(mine).map_err(|_| MpcError::Shape("a hello does not encode"))?;
        for peer in &self.peers {
            let header = self.header(FrameKind::Hello, 0);
            peer.outbox
                .send_now(header, encoded.clone())
                .map_err(|_| MpcError::PeerLost { party: peer.party.index() })?;
        }
        let deadline = Instant::now() + timeout;
        let mut state = self.attempt.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            let [next, previous] = [0, 1].map(|i| self.peers[i].party.index());
            if let (Some(a), Some(b)) = (&state.hellos[next], &state.hellos[previous]) {
                return Ok([a.clone(), b.clone()]);
            }
            let missing = if state.hellos[next].is_none() { next } else { previous };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(MpcError::PeerLost { party: missing });
            }
            let woken = self.attempt.arrived.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Secret of the data connection with a peer: drawn by both ends when it was made. All zero for
    /// the own index, which nobody asks for.
    pub(crate) fn pair_secret(&self, peer: Party) -> [u8; 32] {
        self.peers.iter().find(|p| p.party == peer).map_or([0; 32], |p| p.secret)
    }

    /// Ends the attempt here and at both peers, where another attempt may follow.
    pub(crate) fn abort(&self, reason: &str) {
        self.end(&Abort { reason: reason.to_owned(), error: None });
    }

    /// Ends the attempt here and at both peers with an error that every attempt would meet.
    pub(crate) fn fail(&self, error: &SqlError) {
        self.end(&Abort { reason: error.message.clone(), error: Some(error.clone()) });
    }

    /// What a peer said that every attempt would meet, when it ended this one.
    pub(crate) fn peer_error(&self) -> Option<SqlError> {
        self.attempt.lock().peer_error.clone()
    }

    /// Payload bytes sent so far.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    fn end(&self, abort: &Abort) {
        self.attempt.fail(MpcError::Cancelled, None);
        let Ok(encoded) = postcard::to_stdvec(abort) else { return };
        for peer in &self.peers {
            // A closed connection has ended the attempt at that peer already.
            let _ = peer.outbox.send_now(self.header(FrameKind::Abort, 0), encoded.clone());
        }
    }

    const fn header(&self, kind: FrameKind, lane: u32) -> FrameHeader {
        FrameHeader { kind, attempt: self.id, lane, length: 0, total: 0 }
    }
}

impl Net for AttemptNet {
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> Result<()> {
        self.check()?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(MpcError::Shape("a message is longer than the mesh carries"));
        }
        let peer = self.peers.iter().find(|p| p.party.index() == party);
        let peer = peer.ok_or(MpcError::Shape("a party sends to the two others only"))?;
        self.bytes_sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let header = self.header(FrameKind::Message, lane);
        peer.outbox.send(header, bytes.to_vec()).map_err(|_| MpcError::PeerLost { party })
    }

    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> Result<()> {
        let mut state = self.attempt.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            let queue = state.queues.get_mut(&(party, lane));
            if let Some(message) = queue.and_then(VecDeque::pop_front) {
                state.bytes -= message.len();
                drop(state);
                if message.len() != into.len() {
                    let (expected, got) = (into.len(), message.len());
                    return Err(MpcError::WrongLength { party, expected, got });
                }
                into.copy_from_slice(&message);
                return Ok(());
            }
            state = self.attempt.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn check(&self) -> Result<()> {
        self.attempt.lock().failure.clone().map_or(Ok(()), Err)
    }
}
