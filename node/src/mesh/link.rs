//! The two tasks of a control connection: one that always drains, one that writes what waits.

use super::connect::Connection;
use super::outbox::Outbox;
use super::plane::Plane;
use super::wire::{FrameHeader, FrameKind, HEADER_BYTES};
use crate::limits::{BEAT, SILENCE_MAX};
use serde::de::DeserializeOwned;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use trine_proto::ids::Party;

/// Bytes of the read buffer: a few TLS records.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Runs a control connection until it ends; the sentence says why.
pub(super) async fn run(plane: &Arc<Plane>, connection: Connection) -> String {
    let peer = connection.peer;
    let (epoch, outbox) = plane.connected(peer, connection.secret);
    tracing::info!(%peer, "control connection stands");
    let (read, write) = tokio::io::split(connection.stream);
    let reader = Reader {
        plane: Arc::clone(plane),
        peer,
        epoch,
        outbox: Arc::clone(&outbox),
        input: BufReader::with_capacity(READ_BUFFER_BYTES, read),
    };
    // Tasks of their own: a long read must not keep a write waiting, nor the other way round.
    let mut reading = tokio::spawn(reader.run());
    let mut writing = tokio::spawn(write_all(write, outbox));
    let filling = Arc::clone(plane);
    let filling = tokio::spawn(async move { filling.fill(peer, epoch).await });
    let ended = tokio::select! {
        ended = &mut reading => ended,
        ended = &mut writing => ended,
    };
    reading.abort();
    filling.abort();
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
    let mut batch = Vec::new();
    loop {
        if !outbox.take(&mut batch) {
            return output.shutdown().await;
        }
        if batch.is_empty() {
            output.flush().await?;
            if tokio::time::timeout(BEAT, outbox.ready()).await.is_err() {
                // A closed outbox shows at the next take.
                let _ = outbox.send(FrameHeader::BEAT, &[]);
            }
            continue;
        }
        output.write_all(&batch).await?;
    }
}

struct Reader {
    plane: Arc<Plane>,
    peer: Party,
    epoch: u64,
    outbox: Arc<Outbox>,
    input: BufReader<ReadHalf<TlsStream<TcpStream>>>,
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
        let mut body = vec![0; header.length];
        self.input.read_exact(&mut body).await?;
        match header.kind {
            FrameKind::Beat | FrameKind::Probe { last: false } => {}
            FrameKind::Probe { last: true } => {
                let pong = FrameHeader { kind: FrameKind::Pong, ..FrameHeader::BEAT };
                // A closed outbox ends this connection by itself.
                let _ = self.outbox.send(pong, &[]);
            }
            FrameKind::Pong => self.plane.pong(self.peer, self.epoch),
            FrameKind::Hello => {
                let hello = decode(&body, "a hello")?;
                self.plane.hello(self.peer, self.epoch, header.attempt, hello);
            }
            FrameKind::Abort => {
                let abort = decode(&body, "an abort")?;
                self.plane.abort(self.peer, header.attempt, abort);
            }
            FrameKind::Returned => {
                let returned = decode(&body, "a list of streams")?;
                self.plane.returned(self.peer, self.epoch, &returned);
            }
        }
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(body: &[u8], what: &str) -> io::Result<T> {
    postcard::from_bytes(body).map_err(|_| nonsense(what))
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the peer sent {what} that makes no sense"))
}
