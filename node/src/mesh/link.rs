//! The two tasks of a data connection: one that always drains, one that writes what waits.

use super::connect::Connection;
use super::outbox::Outbox;
use super::plane::Plane;
use super::wire::{Abort, AttemptId, FrameHeader, FrameKind, HEADER_BYTES, Hello};
use crate::limits::{BEAT, SILENCE_MAX, WRITE_BATCH_BYTES};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use trine_proto::ids::Party;

/// Bytes of the read buffer: a few TLS records.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Runs a data connection until it ends; the sentence says why.
pub(super) async fn run(plane: &Arc<Plane>, connection: Connection) -> String {
    let peer = connection.peer;
    let (epoch, outbox) = plane.connected(peer, connection.secret);
    tracing::info!(%peer, "data connection stands");
    let (read, write) = tokio::io::split(connection.stream);
    let reader = Reader {
        plane: Arc::clone(plane),
        peer,
        epoch,
        input: BufReader::with_capacity(READ_BUFFER_BYTES, read),
        partial: BTreeMap::new(),
    };
    // Tasks of their own: a long read must not keep a write waiting, nor the other way round.
    let mut reading = tokio::spawn(reader.run());
    let mut writing = tokio::spawn(write_all(write, outbox));
    let ended = tokio::select! {
        ended = &mut reading => ended,
        ended = &mut writing => ended,
    };
    reading.abort();
    plane.lost(peer, epoch);
    writing.abort();
    match ended {
        Ok(Ok(())) => "closed".into(),
        Ok(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => "the peer closed it".into(),
        Ok(Err(e)) => e.to_string(),
        Err(e) => e.to_string(),
    }
}

async fn write_all(
    mut output: WriteHalf<TlsStream<TcpStream>>,
    outbox: Arc<Outbox>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(2 * WRITE_BATCH_BYTES);
    loop {
        if !outbox.take(&mut batch) {
            return output.shutdown().await;
        }
        if batch.is_empty() {
            output.flush().await?;
            if tokio::time::timeout(BEAT, outbox.ready()).await.is_err() {
                // A closed outbox shows at the next take.
                let _ = outbox.send_now(FrameHeader::BEAT, Vec::new());
            }
            continue;
        }
        output.write_all(&batch).await?;
        batch.clear();
    }
}

struct Reader {
    plane: Arc<Plane>,
    peer: Party,
    epoch: u64,
    input: BufReader<ReadHalf<TlsStream<TcpStream>>>,
    /// Messages of which pieces are missing.
    partial: BTreeMap<(AttemptId, u32), Vec<u8>>,
}

impl Reader {
    async fn run(mut self) -> io::Result<()> {
        loop {
            match tokio::time::timeout(SILENCE_MAX, self.frame()).await {
                Ok(frame) => frame?,
                Err(_) => {
                    let text = format!("silence for {} seconds", SILENCE_MAX.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
            }
        }
    }

    async fn frame(&mut self) -> io::Result<()> {
        let mut bytes = [0; HEADER_BYTES];
        self.input.read_exact(&mut bytes).await?;
        let header = FrameHeader::decode(&bytes).ok_or_else(|| nonsense("a frame"))?;
        match header.kind {
            FrameKind::Beat => Ok(()),
            FrameKind::Message => self.piece(header).await,
            FrameKind::Hello => {
                let body = self.control(header.length).await?;
                let hello: Hello = postcard::from_bytes(&body).map_err(|_| nonsense("a hello"))?;
                self.plane.hello(self.peer, self.epoch, header.attempt, hello);
                Ok(())
            }
            FrameKind::Abort => {
                let body = self.control(header.length).await?;
                let abort: Abort = postcard::from_bytes(&body).map_err(|_| nonsense("an abort"))?;
                self.plane.abort(self.peer, header.attempt, abort);
                Ok(())
            }
        }
    }

    async fn control(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut body = vec![0; length];
        self.input.read_exact(&mut body).await?;
        Ok(body)
    }

    /// One piece of a protocol message; delivers the message with the last one.
    async fn piece(&mut self, header: FrameHeader) -> io::Result<()> {
        let key = (header.attempt, header.lane);
        let attempt = self.plane.attempt(header.attempt);
        let Some(attempt) = attempt else {
            // Ended here: what still comes is read and dropped.
            self.partial.remove(&key);
            self.control(header.length).await?;
            return Ok(());
        };
        let mut message = match self.partial.remove(&key) {
            Some(message) => message,
            None => {
                if !attempt.reserve(self.peer.index(), header.total) {
                    self.control(header.length).await?;
                    return Ok(());
                }
                self.partial.retain(|(id, _), _| self.plane.attempt(*id).is_some());
                Vec::with_capacity(header.total)
            }
        };
        let start = message.len();
        let end = start + header.length;
        if end > header.total {
            return Err(nonsense("a message"));
        }
        message.resize(end, 0);
        self.input.read_exact(&mut message[start..]).await?;
        if end < header.total {
            self.partial.insert(key, message);
        } else {
            attempt.deliver(self.peer.index(), header.lane, message);
        }
        Ok(())
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the peer sent {what} that makes no sense"))
}
