//! Frames on their way to one peer: compute threads put them in, the connection's writer takes
//! them out. Bounded in bytes; who sends waits for the socket, never for the peer's protocol.

use super::wire::FrameHeader;
use crate::limits::{FRAME_BYTES_MAX, OUTBOX_BYTES_MAX, WRITE_BATCH_BYTES};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The connection is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

#[derive(Default)]
struct State {
    frames: VecDeque<(FrameHeader, Bytes)>,
    bytes: usize,
    closed: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    space: Condvar,
    ready: Notify,
}

impl Outbox {
    /// Queues a message, cut into frames; waits while too much is queued already.
    pub(super) fn send(&self, header: FrameHeader, message: Vec<u8>) -> Result<(), Closed> {
        let mut state = self.lock();
        while state.bytes > OUTBOX_BYTES_MAX && !state.closed {
            state = self.space.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        push(&mut state, header, message)?;
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Queues something short without ever waiting.
    pub(super) fn send_now(&self, header: FrameHeader, message: Vec<u8>) -> Result<(), Closed> {
        push(&mut self.lock(), header, message)?;
        self.ready.notify_one();
        Ok(())
    }

    /// Moves frames to the end of `batch` until it is long enough; false when closed.
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        while batch.len() < WRITE_BATCH_BYTES {
            let Some((header, payload)) = state.frames.pop_front() else { break };
            state.bytes -= payload.len();
            batch.extend_from_slice(&header.encode());
            batch.extend_from_slice(&payload);
        }
        let space = state.bytes <= OUTBOX_BYTES_MAX;
        drop(state);
        if space {
            self.space.notify_all();
        }
        true
    }

    /// Waits until there may be something to take.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Nothing goes in or out any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.frames.clear();
        state.bytes = 0;
        drop(state);
        self.space.notify_all();
        self.ready.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push(state: &mut State, header: FrameHeader, message: Vec<u8>) -> Result<(), Closed> {
    if state.closed {
        return Err(Closed);
    }
    let mut rest = Bytes::from(message);
    let total = rest.len();
    state.bytes += total;
    loop {
        let piece = rest.split_to(rest.len().min(FRAME_BYTES_MAX));
        state.frames.push_back((FrameHeader { length: piece.len(), total, ..header }, piece));
        if rest.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::HEADER_BYTES;
    use super::*;

    #[test]
    fn long_messages_are_cut_and_come_out_whole() {
        let outbox = Outbox::default();
        let message: Vec<u8> =
            (0..FRAME_BYTES_MAX * 2 + 5).map(|i| u8::try_from(i % 251).unwrap()).collect();
        outbox.send(FrameHeader::BEAT, message.clone()).unwrap();
        let mut batch = Vec::new();
        let mut out = Vec::new();
        while outbox.take(&mut batch) && !batch.is_empty() {
            out.append(&mut batch);
        }
        let mut got = Vec::new();
        let mut at = 0;
        while at < out.len() {
            let length = u32::from_le_bytes(out[at + 28..at + 32].try_into().unwrap()) as usize;
            got.extend_from_slice(&out[at + HEADER_BYTES..at + HEADER_BYTES + length]);
            at += HEADER_BYTES + length;
        }
        assert_eq!(got, message);
    }

    #[test]
    fn a_sender_that_waits_for_space_is_woken() {
        let outbox = std::sync::Arc::new(Outbox::default());
        outbox.send(FrameHeader::BEAT, vec![0; OUTBOX_BYTES_MAX + 1]).unwrap();
        let sender = std::sync::Arc::clone(&outbox);
        let waiting = std::thread::spawn(move || sender.send(FrameHeader::BEAT, vec![1]));
        let mut batch = Vec::new();
        while !waiting.is_finished() {
            assert!(outbox.take(&mut batch));
            batch.clear();
        }
        assert_eq!(waiting.join().unwrap(), Ok(()));
        outbox.send(FrameHeader::BEAT, vec![0; OUTBOX_BYTES_MAX + 1]).unwrap();
        let sender = std::sync::Arc::clone(&outbox);
        let waiting = std::thread::spawn(move || sender.send(FrameHeader::BEAT, vec![1]));
        outbox.close();
        assert_eq!(waiting.join().unwrap(), Err(Closed));
    }
}
