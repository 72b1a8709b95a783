//! The data plane of one node: which control connections stand, which attempts are open, and what
//! a reader does with a frame. No sockets here; data streams are kept by the pool.

use super::attempts::{Attempt, AttemptNet, Early, Peer};
use super::connect::{LinkKey, Links};
use super::measure::Probe;
use super::outbox::Outbox;
use super::pool::Pool;
use super::stream::Stream;
use super::wire::{Abort, AttemptId, FrameHeader, FrameKind, Hello, Returned};
use crate::limits::EARLY_MAX;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use trine_mpc::{MpcError, Result};
use trine_proto::ids::Party;

/// One standing control connection.
#[derive(Clone)]
struct Link {
    key: LinkKey,
    outbox: Arc<Outbox>,
    /// The peer has answered a probe.
    pongs: Arc<Notify>,
}

#[derive(Default)]
struct State {
    links: [Option<Link>; 3],
    epochs: u64,
    attempts: BTreeMap<AttemptId, Arc<Attempt>>,
    early: BTreeMap<AttemptId, Early>,
    early_order: VecDeque<AttemptId>,
    closed: bool,
}

/// See the module.
pub(crate) struct Plane {
    party: Party,
    state: Mutex<State>,
    changed: Condvar,
    up: watch::Sender<[bool; 3]>,
    /// The same with keys, for data streams that are being accepted.
    links: watch::Sender<Links>,
    pool: Pool,
}

impl Plane {
    pub(super) fn new(party: Party, links: watch::Sender<Links>, pool: Pool) -> Self {
        let mut up = [false; 3];
        up[party.index()] = true;
        let up = watch::Sender::new(up);
        Self { party, state: Mutex::default(), changed: Condvar::new(), up, links, pool }
    }

    /// The data streams that no attempt uses.
    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Makes data streams ahead of time if this side dials them.
    pub(super) async fn fill(&self, peer: Party, epoch: u64) {
        if peer == self.party.next() {
            self.pool.fill(peer, epoch).await;
        }
    }

    /// Which parties' control connections stand; the own index is true.
    pub(super) fn up(&self) -> [bool; 3] {
        *self.up.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<[bool; 3]> {
        self.up.subscribe()
    }

    /// Waits for both connections; the error names a party that is down.
    pub(super) fn wait_all_up(&self, timeout: Duration) -> std::result::Result<(), Party> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            let Some(down) = self.missing(&state) else { return Ok(()) };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                return Err(down);
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn missing(&self, state: &State) -> Option<Party> {
        Party::ALL.into_iter().find(|p| *p != self.party && state.links[p.index()].is_none())
    }

    /// Opens an attempt on the two connections that stand now, with `lanes` lanes. Waits while data
    /// streams are made.
    pub(super) fn begin(self: &Arc<Self>, id: AttemptId, lanes: usize) -> Result<AttemptNet> {
        let mut state = self.lock();
        let peer = |party: Party| {
            let link = state.links[party.index()].as_ref();
            let link = link.ok_or_else(|| MpcError::PeerLost { party: party.index() })?;
            let LinkKey { epoch, secret } = link.key;
            Ok(Peer { party, epoch, outbox: Arc::clone(&link.outbox), secret })
        };
        let peers = [peer(self.party.next())?, peer(self.party.previous())?];
        if state.attempts.contains_key(&id) {
            return Err(MpcError::Shape("the attempt is already open at this node"));
        }
        let early = state.early.remove(&id).unwrap_or_default();
        state.early_order.retain(|other| *other != id);
        let attempt = Arc::new(Attempt::new(early));
        state.attempts.insert(id, Arc::clone(&attempt));
        drop(state);
        let net = AttemptNet {
            id,
            party: self.party,
            attempt,
            peers,
            plane: Arc::clone(self),
            bytes_sent: AtomicU64::new(0),
            dialled: Mutex::default(),
            lanes: OnceLock::new(),
        };
        let [next, _] = &net.peers;
        let dialled = self.pool.lease(next.party, next.epoch, lanes);
        let Some(dialled) = dialled else {
            let lost = MpcError::PeerLost { party: next.party.index() };
            net.abort("no data stream can be made");
            return Err(lost);
        };
        net.dialled.lock().unwrap_or_else(PoisonError::into_inner).extend(dialled);
        Ok(net)
    }

    /// Takes the streams of an attempt back.
    pub(super) fn release(&self, peer: &Peer, dialled: bool, streams: Vec<(u64, Option<Stream>)>) {
        let returned = self.pool.release(peer.party, peer.epoch, dialled, streams);
        if returned != Returned::default()
            && let Ok(encoded) = postcard::to_stdvec(&returned)
        {
            let header = FrameHeader { kind: FrameKind::Returned, ..FrameHeader::BEAT };
            // On a closed connection the peer has forgotten the streams.
            let _ = peer.outbox.send(header, &encoded);
        }
    }

    /// The accepting peer is done with data streams.
    pub(super) fn returned(&self, peer: Party, epoch: u64, returned: &Returned) {
        self.pool.returned(peer, epoch, returned);
    }

    /// A peer has answered a probe.
    pub(super) fn pong(&self, peer: Party, epoch: u64) {
        let state = self.lock();
        if let Some(link) = state.links[peer.index()].as_ref().filter(|l| l.key.epoch == epoch) {
            link.pongs.notify_one();
        }
    }

    /// What a measurement of the connection with a peer needs: where to put probes, and how to learn
    /// of the answer.
    pub(super) fn probe(&self, peer: Party) -> Option<Probe> {
        let state = self.lock();
        let link = state.links[peer.index()].as_ref()?;
        Some(Probe { outbox: Arc::clone(&link.outbox), pongs: Arc::clone(&link.pongs) })
    }

    /// Closes an attempt.
    pub(super) fn forget(&self, id: AttemptId, attempt: &Arc<Attempt>) {
        let mut state = self.lock();
        if state.attempts.get(&id).is_some_and(|known| Arc::ptr_eq(known, attempt)) {
            state.attempts.remove(&id);
        }
    }

    /// A connection stands. One that stood before is given up first.
    pub(super) fn connected(&self, peer: Party, secret: [u8; 32]) -> (u64, Arc<Outbox>) {
        let old = self.lock().links[peer.index()].as_ref().map(|link| link.key.epoch);
        if let Some(epoch) = old {
            self.lost(peer, epoch);
        }
        let outbox = Arc::new(Outbox::default());
        let mut state = self.lock();
        state.epochs += 1;
        let epoch = state.epochs;
        if state.closed {
            outbox.close();
        } else {
            let key = LinkKey { epoch, secret };
            let link = Link { key, outbox: Arc::clone(&outbox), pongs: Arc::default() };
            state.links[peer.index()] = Some(link);
            self.pool.reset(peer, Some(key));
        }
        self.publish(&state);
        (epoch, outbox)
    }

    /// A connection ended: every attempt of this node ends with it, and the other peer is told so
    /// that it does not wait for ever.
    pub(super) fn lost(&self, peer: Party, epoch: u64) {
        let mut state = self.lock();
        let slot = &mut state.links[peer.index()];
        if slot.as_ref().is_none_or(|link| link.key.epoch != epoch) {
            return;
        }
        if let Some(link) = slot.take() {
            link.outbox.close();
        }
        self.pool.reset(peer, None);
        // Nonces belong to the connection whose secret they are mixed with.
        for early in state.early.values_mut() {
            early.hellos[peer.index()] = None;
        }
        let attempts: Vec<_> =
            state.attempts.iter().map(|(id, attempt)| (*id, Arc::clone(attempt))).collect();
        let other = Party::ALL.into_iter().find(|p| *p != peer && *p != self.party);
        let other = other.and_then(|p| state.links[p.index()].as_ref());
        let other = other.map(|link| Arc::clone(&link.outbox));
        self.publish(&state);
        drop(state);
        let reason = format!("node {} lost its connection to node {peer}", self.party);
        let abort = postcard::to_stdvec(&Abort { reason, error: None }).unwrap_or_default();
        for (id, attempt) in attempts {
            attempt.fail(MpcError::PeerLost { party: peer.index() }, None);
            self.pool.wake();
            if let Some(outbox) = &other {
                let header = FrameHeader { kind: FrameKind::Abort, attempt: id, length: 0 };
                // A closed connection has ended the attempt at that peer already.
                let _ = outbox.send(header, &abort);
            }
        }
    }

    /// A hello came in on the connection `epoch`.
    pub(super) fn hello(&self, peer: Party, epoch: u64, id: AttemptId, hello: Hello) {
        let mut state = self.lock();
        if state.links[peer.index()].as_ref().is_none_or(|link| link.key.epoch != epoch) {
            return;
        }
        if let Some(attempt) = state.attempts.get(&id) {
            attempt.hello(peer.index(), hello);
        } else {
            early(&mut state, id).hellos[peer.index()] = Some(hello);
        }
    }

    /// A peer ended an attempt.
    pub(super) fn abort(&self, peer: Party, id: AttemptId, abort: Abort) {
        let mut state = self.lock();
        if let Some(attempt) = state.attempts.get(&id) {
            let lost = MpcError::PeerLost { party: peer.index() };
            if attempt.fail(lost, abort.error) {
                self.pool.wake();
                tracing::info!(job = hex::encode(id.job), attempt = id.attempt, %peer,
                    reason = abort.reason, "a peer ended an attempt");
            }
        } else {
            early(&mut state, id).aborted = Some((peer.index(), abort));
        }
    }

    /// Ends everything: this node stops.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for link in state.links.iter_mut().filter_map(Option::take) {
            link.outbox.close();
        }
        for attempt in state.attempts.values() {
            attempt.fail(MpcError::Cancelled, None);
        }
        for peer in Party::ALL {
            self.pool.reset(peer, None);
        }
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let up = Party::ALL.map(|p| p == self.party || state.links[p.index()].is_some());
        self.up.send_replace(up);
        self.links.send_replace(state.links.each_ref().map(|l| l.as_ref().map(|link| link.key)));
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record of an attempt that is not open here; the oldest record goes when there are too many.
fn early(state: &mut State, id: AttemptId) -> &mut Early {
    if !state.early.contains_key(&id) {
        state.early_order.push_back(id);
        if state.early_order.len() > EARLY_MAX
            && let Some(oldest) = state.early_order.pop_front()
        {
            state.early.remove(&oldest);
        }
    }
    state.early.entry(id).or_default()
}

#[cfg(test)]
mod tests {
    use super::super::wire::AttemptKind;
    use super::*;
    use trine_mpc::Net as _;
    use trine_proto::status::SqlError;

    fn id(n: u8) -> AttemptId {
        AttemptId { kind: AttemptKind::Query, job: [n; 16], attempt: 1 }
    }

    fn hello() -> Hello {
        Hello { nonce: [1; 32], streams: vec![], verdict: Err(SqlError::new("XX000", "x")) }
    }

    fn plane() -> (Arc<Plane>, [u64; 2]) {
        let links = watch::Sender::new([None; 3]);
        let plane = Arc::new(Plane::new(Party::ALL[0], links, Pool::new(None)));
        let (one, _) = plane.connected(Party::ALL[1], [1; 32]);
        let (two, _) = plane.connected(Party::ALL[2], [2; 32]);
        (plane, [one, two])
    }

    #[test]
    fn a_hello_that_came_early_is_found() {
        let (plane, [one, two]) = plane();
        plane.hello(Party::ALL[1], one, id(1), hello());
        plane.hello(Party::ALL[2], two, id(1), hello());
        let net = plane.begin(id(1), 0).unwrap();
        assert!(net.exchange_hello(&hello(), Duration::ZERO).is_ok());
        assert_eq!(net.pair_secret(Party::ALL[2]), [2; 32]);
    }

    #[test]
    fn a_hello_of_a_lost_connection_is_not_used() {
        let (plane, [one, _]) = plane();
        plane.hello(Party::ALL[1], one, id(1), hello());
        plane.lost(Party::ALL[1], one);
        assert_eq!(plane.begin(id(1), 0).err(), Some(MpcError::PeerLost { party: 1 }));
        plane.connected(Party::ALL[1], [3; 32]);
        plane.hello(Party::ALL[1], one, id(1), hello());
        let net = plane.begin(id(1), 0).unwrap();
        let error = net.exchange_hello(&hello(), Duration::ZERO).unwrap_err();
        assert_eq!(error, MpcError::PeerLost { party: 1 });
    }

    #[test]
    fn an_abort_that_came_early_ends_the_attempt_at_once() {
        let (plane, _) = plane();
        let error = SqlError::new("XX001", "corrupt");
        let abort = Abort { reason: String::new(), error: Some(error.clone()) };
        plane.abort(Party::ALL[2], id(1), abort);
        let net = plane.begin(id(1), 0).unwrap();
        assert_eq!(net.check(), Err(MpcError::PeerLost { party: 2 }));
        assert_eq!(net.peer_error(), Some(error));
    }

    #[test]
    fn early_records_are_bounded() {
        let (plane, [one, _]) = plane();
        for n in 0..u32::try_from(EARLY_MAX).unwrap() + 10 {
            plane.hello(Party::ALL[1], one, AttemptId { attempt: n, ..id(1) }, hello());
        }
        let state = plane.lock();
        assert_eq!((state.early.len(), state.early_order.len()), (EARLY_MAX, EARLY_MAX));
    }

    #[test]
    fn a_lost_connection_ends_all_attempts() {
        let (plane, [one, _]) = plane();
        let net = Arc::new(plane.begin(id(1), 0).unwrap());
        let waiting = Arc::clone(&net);
        let long = Duration::from_secs(60);
        let thread = std::thread::spawn(move || waiting.exchange_hello(&hello(), long).map(|_| ()));
        plane.lost(Party::ALL[1], one);
        assert_eq!(thread.join().unwrap(), Err(MpcError::PeerLost { party: 1 }));
        assert_eq!(net.send(2, 0, &[1]), Err(MpcError::PeerLost { party: 1 }));
        assert_eq!(plane.up(), [true, false, true]);
        drop(net);
        assert!(plane.lock().attempts.is_empty());
    }
}
