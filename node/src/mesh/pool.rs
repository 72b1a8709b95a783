//! The data streams of one node that no attempt uses at the moment.
//!
//! The dialling side of a pair makes streams and chooses which ones an attempt gets; it names them
//! in its hello, and the accepting side takes the same ones. An attempt that ends well gives its
//! streams back: the accepting side at once, the dialling side when the accepting one has said that
//! it is done with them too, so that an idle stream is idle at both ends.

use super::connect::{Connector, LinkKey};
use super::stream::Stream;
use super::wire::Returned;
use crate::limits::{STREAM_WAIT, STREAMS_AHEAD, STREAMS_MAX};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;
use tokio::runtime::Handle;
use trine_proto::ids::Party;

/// What makes new streams.
pub(super) struct Dialler {
    pub(super) connector: Arc<Connector>,
    pub(super) runtime: Handle,
}

/// A stream that the dialling side has given to an attempt.
enum Leased {
    /// Both ends use it.
    Both,
    /// Only this end does.
    Here,
    /// Only the peer does.
    There(Box<Stream>),
}

/// The streams of one peer's control connection.
struct Side {
    link: LinkKey,
    idle: BTreeMap<u64, Stream>,
    leased: BTreeMap<u64, Leased>,
    next_id: u64,
}

/// See the module.
pub(super) struct Pool {
    sides: Mutex<[Option<Side>; 3]>,
    changed: Condvar,
    /// None in tests without sockets.
    dialler: Option<Dialler>,
}

impl Pool {
    pub(super) fn new(dialler: Option<Dialler>) -> Self {
        Self { sides: Mutex::default(), changed: Condvar::new(), dialler }
    }

    /// A control connection stands, or none does: streams of an older one are closed.
    pub(super) fn reset(&self, peer: Party, link: Option<LinkKey>) {
        let side = |link| Side { link, idle: BTreeMap::new(), leased: BTreeMap::new(), next_id: 0 };
        let old = std::mem::replace(&mut self.lock()[peer.index()], link.map(side));
        self.changed.notify_all();
        drop(old);
    }

    /// Makes streams before they are asked for, on the dialling side.
    pub(super) async fn fill(&self, peer: Party, epoch: u64) {
        let Some(dialler) = &self.dialler else { return };
        for _ in 0..STREAMS_AHEAD {
            let Some((ids, secret)) = self.draw_ids(peer, epoch, 1) else { return };
            for id in ids {
                match dialler.connector.dial_stream(peer, &secret, id).await {
                    Ok(stream) => self.add(peer, epoch, stream),
                    Err(why) => tracing::info!(%peer, why, "no data stream ahead of time"),
                }
            }
        }
    }

    /// A stream that a peer dialled.
    pub(super) fn accepted(&self, peer: Party, epoch: u64, stream: Stream) {
        self.add(peer, epoch, stream);
    }

    fn add(&self, peer: Party, epoch: u64, stream: Stream) {
        let mut sides = self.lock();
        let Some(side) = current(&mut sides, peer, epoch) else { return };
        if side.idle.len() >= STREAMS_MAX {
            side.idle.retain(|_, stream| stream.is_alive());
        }
        if side.idle.len() < STREAMS_MAX {
            side.idle.insert(stream.id, stream);
            self.changed.notify_all();
        }
    }

    fn draw_ids(&self, peer: Party, epoch: u64, count: usize) -> Option<(Vec<u64>, [u8; 32])> {
        let mut sides = self.lock();
        let side = current(&mut sides, peer, epoch)?;
        if side.idle.len() + side.leased.len() + count > STREAMS_MAX {
            return None;
        }
        let first = side.next_id;
        side.next_id += count as u64;
        Some(((first..side.next_id).collect(), side.link.secret))
    }

    /// Chooses `count` streams for an attempt, on the dialling side; makes those that are missing.
    /// Blocks. `None`: the connection is lost, or the peer takes no more streams.
    pub(super) fn lease(&self, peer: Party, epoch: u64, count: usize) -> Option<Vec<Stream>> {
        let mut streams = Vec::with_capacity(count);
        {
            let mut sides = self.lock();
            let side = current(&mut sides, peer, epoch)?;
            while streams.len() < count
                && let Some((_, stream)) = side.idle.pop_first()
            {
                if stream.is_alive() {
                    streams.push(stream);
                }
            }
        }
        let missing = count - streams.len();
        if missing > 0 {
            let dialler = self.dialler.as_ref()?;
            let (ids, secret) = self.draw_ids(peer, epoch, missing)?;
            let (sender, receiver) = mpsc::channel();
            for id in ids {
                let (connector, sender) = (Arc::clone(&dialler.connector), sender.clone());
                dialler.runtime.spawn(async move {
                    // Nobody listens any more when the attempt has ended meanwhile.
                    let _ = sender.send(connector.dial_stream(peer, &secret, id).await);
                });
            }
            drop(sender);
            for made in receiver {
                match made {
                    Ok(stream) => streams.push(stream),
                    Err(why) => tracing::warn!(%peer, why, "no data stream"),
                }
            }
        }
        let mut sides = self.lock();
        let side = current(&mut sides, peer, epoch)?;
        if streams.len() < count {
            side.idle.extend(streams.into_iter().map(|stream| (stream.id, stream)));
            return None;
        }
        side.leased.extend(streams.iter().map(|stream| (stream.id, Leased::Both)));
        Some(streams)
    }

    /// The streams that the dialling peer has named, in its order. Blocks while they are on their
    /// way. `None`: they do not come, the connection is lost or the attempt is `over`.
    pub(super) fn take(
        &self,
        peer: Party,
        epoch: u64,
        ids: &[u64],
        over: impl Fn() -> bool,
    ) -> Option<Vec<Stream>> {
        let deadline = Instant::now() + STREAM_WAIT;
        let mut sides = self.lock();
        loop {
            let side = current(&mut sides, peer, epoch)?;
            let distinct = ids.iter().enumerate().all(|(at, id)| !ids[..at].contains(id));
            if distinct && ids.iter().all(|id| side.idle.contains_key(id)) {
                return Some(ids.iter().filter_map(|id| side.idle.remove(id)).collect());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || over() {
                return None;
            }
            let woken = self.changed.wait_timeout(sides, left);
            sides = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// An attempt of this node is over: streams by id, closed ones as `None`. For the accepting
    /// side what to tell the peer.
    pub(super) fn release(
        &self,
        peer: Party,
        epoch: u64,
        dialled: bool,
        streams: Vec<(u64, Option<Stream>)>,
    ) -> Returned {
        let mut returned = Returned::default();
        let mut sides = self.lock();
        let Some(side) = current(&mut sides, peer, epoch) else { return returned };
        for (id, stream) in streams {
            if !dialled {
                let list = if stream.is_some() { &mut returned.idle } else { &mut returned.gone };
                list.push(id);
                side.idle.extend(stream.map(|stream| (id, stream)));
                continue;
            }
            match (side.leased.remove(&id), stream) {
                (Some(Leased::Here), Some(stream)) => {
                    side.idle.insert(id, stream);
                }
                (Some(Leased::Both), Some(stream)) => {
                    side.leased.insert(id, Leased::There(Box::new(stream)));
                }
                _ => {}
            }
        }
        self.changed.notify_all();
        returned
    }

    /// The accepting peer is done with streams.
    pub(super) fn returned(&self, peer: Party, epoch: u64, returned: &Returned) {
        let mut sides = self.lock();
        let Some(side) = current(&mut sides, peer, epoch) else { return };
        for id in &returned.gone {
            side.leased.remove(id);
        }
        for id in &returned.idle {
            match side.leased.remove(id) {
                Some(Leased::There(stream)) => {
                    side.idle.insert(*id, *stream);
                }
                Some(_) => {
                    side.leased.insert(*id, Leased::Here);
                }
                None => {}
            }
        }
    }

    /// Wakes whoever waits in [`Self::take`], to look at `over` again.
    pub(super) fn wake(&self) {
        // The lock orders this after a waiter's look.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Idle streams with a peer.
    #[cfg(test)]
    pub(super) fn idle(&self, peer: Party) -> usize {
        self.lock()[peer.index()].as_ref().map_or(0, |side| side.idle.len())
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Side>; 3]> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn current(sides: &mut [Option<Side>; 3], peer: Party, epoch: u64) -> Option<&mut Side> {
    sides[peer.index()].as_mut().filter(|side| side.link.epoch == epoch)
}
