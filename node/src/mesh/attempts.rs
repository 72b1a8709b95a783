//! The party network of one attempt: what is said of it on the control connections, and
//! [`AttemptNet`], which runs its lanes on data streams.

use super::lane::{Broken, Lane};
use super::outbox::Outbox;
use super::plane::Plane;
use super::stream::{Posted, Stream};
use super::wire::{Abort, AttemptId, FrameHeader, FrameKind, Hello};
use crate::fail_point;
use crate::limits::{BREAK_WAIT, MESSAGE_BYTES_MAX};
use std::fmt;
use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use trine_mpc::{MpcError, Net, Result};
use trine_proto::ids::Party;
use trine_proto::status::SqlError;

#[derive(Default)]
struct State {
    hellos: [Option<Hello>; 3],
    /// First reason why the attempt cannot go on.
    failure: Option<MpcError>,
    /// What a peer said that every attempt would meet.
    peer_error: Option<SqlError>,
    /// What protocol threads may wait for; shut down when the attempt ends before its time.
    sockets: Vec<Arc<TcpStream>>,
}

/// What the control connections and the protocol's threads share.
#[derive(Default)]
pub(super) struct Attempt {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether there is a failure.
    over: AtomicBool,
    /// Bytes of messages that nobody has waited for yet.
    waiting: AtomicUsize,
}

impl Attempt {
    /// With what came before the attempt was opened here.
    pub(super) fn new(early: Early) -> Self {
        let attempt = Self::default();
        attempt.lock().hellos = early.hellos;
        if let Some((from, abort)) = early.aborted {
            attempt.fail(MpcError::PeerLost { party: from }, abort.error);
        }
        attempt
    }

    pub(super) fn hello(&self, party: usize, hello: Hello) {
        self.lock().hellos[party] = Some(hello);
        self.changed.notify_all();
    }

    /// Ends the attempt at this node. The first reason counts. Who waits on a data stream wakes
    /// because it is shut down.
    pub(super) fn fail(&self, failure: MpcError, peer_error: Option<SqlError>) -> bool {
        let mut state = self.lock();
        let first = state.failure.is_none();
        if first {
            state.failure = Some(failure);
            state.peer_error = peer_error;
            self.over.store(true, Ordering::Relaxed);
            for socket in state.sockets.drain(..) {
                // One that is closed already wakes its thread just as well.
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
        drop(state);
        self.changed.notify_all();
        first
    }

    /// A data stream with `party` has ended. It is no more than a symptom: the control connection
    /// says why, or ends too.
    fn broken(&self, party: usize) -> MpcError {
        let deadline = Instant::now() + BREAK_WAIT;
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return failure.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                tracing::warn!(party, "a data stream has ended by itself");
                self.fail(MpcError::PeerLost { party }, None);
                return MpcError::PeerLost { party };
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        if self.is_over() { self.lock().failure.clone().map_or(Ok(()), Err) } else { Ok(()) }
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

/// One peer of an attempt: the control connection as it was when the attempt began.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) party: Party,
    pub(super) epoch: u64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) secret: [u8; 32],
}

/// The network of one attempt. It lives and dies with the two control connections that it began on.
/// Dropping it forgets the attempt and gives its streams back.
pub(crate) struct AttemptNet {
    pub(super) id: AttemptId,
    pub(super) party: Party,
    pub(super) attempt: Arc<Attempt>,
    /// Next and previous party.
    pub(super) peers: [Peer; 2],
    pub(super) plane: Arc<Plane>,
    pub(super) bytes_sent: AtomicU64,
    /// Streams with the next party, which this side dials, until the lanes are open.
    pub(super) dialled: Mutex<Vec<Stream>>,
    pub(super) lanes: OnceLock<Vec<Mutex<Lane>>>,
}

impl fmt::Debug for AttemptNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptNet(party {}, {:?})", self.party, self.id)
    }
}

impl Drop for AttemptNet {
    fn drop(&mut self) {
        self.plane.forget(self.id, &self.attempt);
        let lanes = self.lanes.take().unwrap_or_default();
        let lanes =
            lanes.into_iter().map(|l| l.into_inner().unwrap_or_else(PoisonError::into_inner));
        let streams = lanes.map(Lane::into_streams).map(|s| s.map(|stream| self.ended(stream)));
        let (mut next, previous): (Vec<_>, Vec<_>) = streams.map(<(_, _)>::from).unzip();
        let unused = self.dialled.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..);
        // The peer may have taken them for this attempt.
        next.extend(unused.map(|stream| (stream.id, None)));
        let [to_next, to_previous] = &self.peers;
        self.plane.release(to_next, true, next);
        self.plane.release(to_previous, false, previous);
    }
}

impl AttemptNet {
    /// A stream of a lane as the pool wants it back.
    fn ended(&self, mut stream: Stream) -> (u64, Option<Stream>) {
        let id = stream.id;
        if self.attempt.is_over() || !stream.is_clean() || !stream.is_alive() {
            return (id, None);
        }
        stream.shrink();
        (id, Some(stream))
    }

    /// Says hello to both peers and waits for theirs: [from next, from previous].
    ///
    /// # Errors
    /// `PeerLost` on loss, abort or time-out; `Cancelled`.
    pub(crate) fn exchange_hello(&self, mine: &Hello, timeout: Duration) -> Result<[Hello; 2]> {
        let dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
        let named = dialled.iter().map(|stream| stream.id).collect();
        drop(dialled);
        for (peer, streams) in self.peers.iter().zip([named, Vec::new()]) {
            let encoded = postcard::to_stdvec(&Hello { streams, ..mine.clone() })
                .map_err(|_| MpcError::Shape("a hello does not encode"))?;
            peer.outbox
                .send(self.header(FrameKind::Hello), &encoded)
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
            let woken = self.attempt.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Opens the lanes, once the hellos have been found to agree; before it nothing can be sent. Waits
    /// for streams that are on their way.
    ///
    /// # Errors
    /// `PeerLost`, `Cancelled`; `Shape` when a peer counts other lanes.
    pub(crate) fn open(&self) -> Result<()> {
        let [_, previous] = &self.peers;
        let named =
            self.attempt.lock().hellos[previous.party.index()].as_ref().map(|h| h.streams.clone());
        let named = named.unwrap_or_default();
        let dialled =
            std::mem::take(&mut *self.dialled.lock().unwrap_or_else(PoisonError::into_inner));
        let count = dialled.len();
        let accepted = if named.len() == count {
            self.plane
                .pool()
                .take(previous.party, previous.epoch, &named, || self.attempt.is_over())
        } else {
            None
        };
        let Some(accepted) = accepted else {
            self.dialled.lock().unwrap_or_else(PoisonError::into_inner).extend(dialled);
            self.check()?;
            if named.len() != count {
                return Err(MpcError::Shape("a peer counts other lanes"));
            }
            return Err(MpcError::PeerLost { party: previous.party.index() });
        };
        let tag = self.tag();
        let mut lanes = Vec::with_capacity(count);
        let mut sockets = Vec::with_capacity(2 * count);
        for (mut next, mut previous) in dialled.into_iter().zip(accepted) {
            for stream in [&mut next, &mut previous] {
                stream.lease(tag);
                sockets.push(Arc::clone(stream.socket()));
            }
            let lane = Lane::new([next, previous]);
            lanes.push(Mutex::new(lane.map_err(|_| MpcError::Shape("no event queue is left"))?));
        }
        self.attempt.lock().sockets = sockets;
        self.lanes.set(lanes).map_err(|_| MpcError::Shape("the lanes are open already"))?;
        // A failure before the sockets were known has shut none of them down.
        self.check()
    }

    /// What marks the messages of this attempt.
    fn tag(&self) -> u32 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::from(self.id.kind == super::AttemptKind::Validation)]);
        hasher.update(&self.id.job);
        hasher.update(&self.id.attempt.to_le_bytes());
        let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// Secret of the control connection with a peer: drawn by both ends when it was made. All zero for
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
            let _ = peer.outbox.send(self.header(FrameKind::Abort), &encoded);
        }
    }

    const fn header(&self, kind: FrameKind) -> FrameHeader {
        FrameHeader { kind, attempt: self.id, length: 0 }
    }

    /// Which side of a lane leads to a party.
    fn side(&self, party: usize) -> Result<usize> {
        let side = self.peers.iter().position(|peer| peer.party.index() == party);
        side.ok_or(MpcError::Shape("a party speaks with the two others only"))
    }

    fn run(
        &self,
        lane: u32,
        out: Option<(usize, &[u8])>,
        into: Option<(usize, &mut [u8])>,
    ) -> Result<()> {
        self.attempt.check()?;
        if let Some((_, bytes)) = out {
            if bytes.len() > MESSAGE_BYTES_MAX {
                return Err(MpcError::Shape("a message is longer than the mesh carries"));
            }
            self.bytes_sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        let lanes = self.lanes.get().ok_or(MpcError::Shape("the lanes are not open yet"))?;
        let lane = usize::try_from(lane).ok().and_then(|at| lanes.get(at));
        let lane = lane.ok_or(MpcError::Shape("the attempt has no such lane"))?;
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        let mut posted = into.map(|(from, into)| (from, into.len(), Posted::new(into)));
        let waited = posted.as_mut().map(|(from, _, posted)| (*from, posted));
        let attempt = &self.attempt;
        let ran = lane.run(out, waited, &attempt.waiting, || attempt.is_over());
        drop(lane);
        // An attempt that has ended explains whatever came of this.
        attempt.check()?;
        ran.map_err(|broken| self.explain(&broken))?;
        match posted {
            Some((from, expected, Posted { wrong: Some(got), .. })) => {
                let party = self.peers[from].party.index();
                Err(MpcError::WrongLength { party, expected, got })
            }
            _ => Ok(()),
        }
    }

    fn explain(&self, broken: &Broken) -> MpcError {
        let party = self.peers[broken.side].party.index();
        match broken.error.kind() {
            ErrorKind::QuotaExceeded => {
                tracing::warn!(party, "a party runs too far ahead");
                MpcError::Shape("a party runs too far ahead of the others")
            }
            ErrorKind::InvalidData => {
                tracing::warn!(party, error = %broken.error, "a data stream makes no sense");
                MpcError::Shape("a peer sent what is no message of this attempt")
            }
            _ => self.attempt.broken(party),
        }
    }
}

impl Net for AttemptNet {
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> Result<()> {
        self.run(lane, Some((self.side(party)?, bytes)), None)
    }

    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> Result<()> {
        self.run(lane, None, Some((self.side(party)?, into)))
    }

    fn exchange(
        &self,
        lane: u32,
        to: usize,
        bytes: &[u8],
        from: usize,
        into: &mut [u8],
    ) -> Result<()> {
        fail_point::reach("attempt.message");
        self.run(lane, Some((self.side(to)?, bytes)), Some((self.side(from)?, into)))
    }

    fn check(&self) -> Result<()> {
        self.attempt.check()
    }
}
