//! Frames on their way to one peer: who has something to say puts them in and never waits, the
//! connection's writer takes them out. They are few and short: bulk goes over data streams.

use super::wire::FrameHeader;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The connection is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    ready: Notify,
}

impl Outbox {
    /// Queues a frame.
    pub(super) fn send(&self, header: FrameHeader, body: &[u8]) -> Result<(), Closed> {
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        let header = FrameHeader { length: body.len(), ..header };
        state.bytes.extend_from_slice(&header.encode());
        state.bytes.extend_from_slice(body);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Exchanges `batch` for all that waits; false when closed.
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        batch.clear();
        std::mem::swap(&mut state.bytes, batch);
        !state.closed
    }

    /// Waits until there may be something to take.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Nothing goes in or out any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.bytes = Vec::new();
        drop(state);
        self.ready.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{FrameKind, HEADER_BYTES};
    use super::*;

    #[test]
    fn frames_come_out_in_order_until_it_is_closed() {
        let outbox = Outbox::default();
        outbox.send(FrameHeader { kind: FrameKind::Abort, ..FrameHeader::BEAT }, &[7; 5]).unwrap();
        outbox.send(FrameHeader::BEAT, &[]).unwrap();
        let mut batch = vec![1];
        assert!(outbox.take(&mut batch));
        let (head, rest) = batch.split_first_chunk::<HEADER_BYTES>().unwrap();
        let first = FrameHeader::decode(head).unwrap();
        assert_eq!((first.kind, first.length, &rest[..5]), (FrameKind::Abort, 5, &[7; 5][..]));
        let second = FrameHeader::decode(rest[5..].first_chunk().unwrap());
        assert_eq!(second, Some(FrameHeader::BEAT));
        outbox.close();
        assert!(!outbox.take(&mut batch) && batch.is_empty());
        assert_eq!(outbox.send(FrameHeader::BEAT, &[]), Err(Closed));
    }
}
