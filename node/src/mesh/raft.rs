//! Raft between the nodes: requests with numbers, answers in any order, on connections of their
//! own. Each node dials both others for its own requests.

use super::connect::{Connection, Connector};
use super::wire::Kind;
use super::{Peers, pause};
use crate::limits::{RAFT_IN_FLIGHT_MAX, RAFT_TIMEOUT};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf,
};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_rustls::TlsStream;
use trine_consensus::limits::MESSAGE_BYTES_MAX;
use trine_consensus::{ConsensusError, RaftTransport};
use trine_proto::ids::Party;

/// Answers the requests of peers.
pub(crate) type Handler = Arc<dyn Fn(Party, Vec<u8>) -> BoxFuture<'static, Vec<u8>> + Send + Sync>;

/// One request of this node.
pub(super) struct Call {
    request: Vec<u8>,
    answer: oneshot::Sender<Result<Vec<u8>, String>>,
}

/// The calling side, as trine-consensus sees it.
pub(super) struct Transport {
    pub(super) calls: [Option<mpsc::Sender<Call>>; 3],
}

/// Calls that wait for a connection's writer.
pub(super) const CALLS_QUEUED_MAX: usize = 256;

impl RaftTransport for Transport {
    fn call(
        &self,
        party: Party,
        request: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, ConsensusError>> {
        let (answer, answered) = oneshot::channel();
        let queued = match &self.calls[party.index()] {
            Some(calls) => calls.try_send(Call { request, answer }).is_ok(),
            None => false,
        };
        Box::pin(async move {
            let error = |reason: String| ConsensusError::Peer { party, reason };
            if !queued {
                return Err(error("too many requests wait for this party".into()));
            }
            match tokio::time::timeout(RAFT_TIMEOUT, answered).await {
                Ok(Ok(answer)) => answer.map_err(error),
                Ok(Err(_)) => Err(error("the connection was lost".into())),
                Err(_) => Err(error(format!("no answer within {} s", RAFT_TIMEOUT.as_secs()))),
            }
        })
    }
}

/// Keeps the connection for this node's requests to `peer`.
pub(super) async fn keep(
    connector: Arc<Connector>,
    peers: Arc<Peers>,
    peer: Party,
    mut calls: mpsc::Receiver<Call>,
) {
    let mut failures = 0;
    loop {
        let why = {
            let dialling = connector.dial(peer, Kind::Raft);
            tokio::pin!(dialling);
            let dialled = loop {
                tokio::select! {
                    dialled = &mut dialling => break dialled,
                    call = calls.recv() => match call {
                        Some(call) => refuse(call, &peers.why_down(peer)),
                        None => return,
                    }
                }
            };
            match dialled {
                Ok(connection) => {
                    failures = 0;
                    peers.reached(peer, Kind::Raft);
                    let Some(why) = converse(connection, &mut calls).await else { return };
                    why
                }
                Err(why) => why,
            }
        };
        peers.unreached(peer, Kind::Raft, &why);
        let wait = tokio::time::sleep(pause(failures));
        failures += 1;
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => break,
                call = calls.recv() => match call {
                    Some(call) => refuse(call, &why),
                    None => return,
                }
            }
        }
    }
}

fn refuse(call: Call, why: &str) {
    // Who asked may have given up.
    let _ = call.answer.send(Err(why.to_owned()));
}

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Result<Vec<u8>, String>>>>>;

/// Sends calls and hands out answers until the connection ends (why) or nobody calls any more
/// (none).
async fn converse(connection: Connection, calls: &mut mpsc::Receiver<Call>) -> Option<String> {
    let (read, mut write) = tokio::io::split(connection.stream);
    let waiting = Waiting::default();
    let mut reading = tokio::spawn(take_answers(BufReader::new(read), Arc::clone(&waiting)));
    let mut number = 0;
    let why = loop {
        tokio::select! {
            ended = &mut reading => break match ended {
                Ok(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => "the peer closed it".into(),
                Ok(Err(e)) => e.to_string(),
                Ok(Ok(())) => "closed".into(),
                Err(e) => e.to_string(),
            },
            call = calls.recv() => {
                let Some(call) = call else {
                    reading.abort();
                    return None;
                };
                number += 1;
                lock(&waiting).insert(number, call.answer);
                // A peer that does not read must not hold the other calls for ever.
                let sent = tokio::time::timeout(
                    RAFT_TIMEOUT,
                    write_message(&mut write, number, &call.request),
                );
                match sent.await {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => break e.to_string(),
                    Err(_) => break "the peer does not read".into(),
                }
            }
        }
    };
    reading.abort();
    lock(&waiting).clear();
    Some(why)
}

async fn take_answers(
    mut input: BufReader<ReadHalf<TlsStream<TcpStream>>>,
    waiting: Waiting,
) -> io::Result<()> {
    loop {
        // Waiting for the first byte may be given up without losing any.
        let first = tokio::time::timeout(RAFT_TIMEOUT, input.fill_buf()).await;
        match first {
            Ok(bytes) => {
                if bytes?.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(_) => {
                let mut waiting = lock(&waiting);
                // Who gave up waits no more.
                let before = waiting.len();
                waiting.retain(|_, answer| !answer.is_closed());
                if before > 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the peer does not answer",
                    ));
                }
                continue;
            }
        }
        let (number, answer) = read_message(&mut input).await?;
        if let Some(waiter) = lock(&waiting).remove(&number) {
            let _ = waiter.send(Ok(answer));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers a peer's requests until its connection ends.
pub(super) async fn serve(connection: Connection, handler: Handler) {
    let peer = connection.peer;
    let (read, mut write) = tokio::io::split(connection.stream);
    let mut input = BufReader::new(read);
    let (answers, mut to_write) = mpsc::channel::<(u64, Vec<u8>)>(RAFT_IN_FLIGHT_MAX);
    let writing = tokio::spawn(async move {
        while let Some((number, answer)) = to_write.recv().await {
            if write_message(&mut write, number, &answer).await.is_err() {
                return;
            }
        }
    });
    let in_flight = Arc::new(Semaphore::new(RAFT_IN_FLIGHT_MAX));
    while let Ok((number, request)) = read_message(&mut input).await {
        let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else { break };
        let (handler, answers) = (Arc::clone(&handler), answers.clone());
        tokio::spawn(async move {
            let answer = handler(peer, request).await;
            // The connection may have ended meanwhile: the caller knows.
            let _ = answers.send((number, answer)).await;
            drop(permit);
        });
    }
    writing.abort();
}

async fn read_message(
    input: &mut BufReader<ReadHalf<TlsStream<TcpStream>>>,
) -> io::Result<(u64, Vec<u8>)> {
    let number = input.read_u64_le().await?;
    let length = input.read_u32_le().await? as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message above the limit"));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).await?;
    Ok((number, body))
}

async fn write_message(
    output: &mut WriteHalf<TlsStream<TcpStream>>,
    number: u64,
    body: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if length as usize > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message above the limit"));
    }
    let mut head = Vec::with_capacity(12 + body.len());
    head.extend_from_slice(&number.to_le_bytes());
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(body);
    output.write_all(&head).await?;
    output.flush().await
}
