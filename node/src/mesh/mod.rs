//! The mesh: authenticated connections between the three nodes, one listening port a node.
//!
//! ```text
//!       protocols: party i dials i+1            Raft: every node dials both others
//!   node 0 ───────────────────► node 1          requests of the dialling node, answers back
//!      ▲                          │
//!      └──────── node 2 ◄─────────┘
//! ```
//!
//! A connection begins with TLS 1.3 by pinned key and one greeting each way that names party,
//! version and the digest of the `[cluster]` block (`connect`). Whoever else calls is refused and
//! harms nobody.
//!
//! A pair has one control connection. It is a secret of its two ends for as long as it stands, and
//! carries hellos and aborts of attempts, and beats (`link`, `outbox`, `wire`). When it ends, every
//! open attempt of the node ends with it (`plane`).
//!
//! A party that lost a segment dials either peer once more for its components; what is said there is
//! the business of `crate::repair`.
//!
//! Protocol messages go over data streams (`stream`), more connections of the same pair that prove
//! at their greeting to belong to its control connection. Idle ones are kept (`pool`); an attempt has
//! one with each peer for every lane (`lane`, `attempts`). The thread that runs the protocol does all
//! the work of a stream by itself, encryption included (`record`): no other thread has to be woken
//! for a message to leave or to arrive.

mod attempts;
mod connect;
mod lane;
mod link;
mod measure;
mod outbox;
mod plane;
mod pool;
mod raft;
mod record;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use attempts::AttemptNet;
pub(crate) use raft::Handler;
pub(crate) use wire::{AttemptId, AttemptKind, Hello, HelloDigest};

use crate::config::Cluster;
use crate::error::NodeError;
use crate::handshakes::Handshakes;
use crate::limits::RECONNECT_MS;
use connect::{Accepted, Connection, Connector};
use futures::future::BoxFuture;
use plane::Plane;
use pool::{Dialler, Pool};
use std::fmt;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_rustls::TlsStream;
use trine_consensus::RaftTransport;
use trine_mpc::MpcError;
use trine_proto::identity::Identity;
use trine_proto::ids::Party;
use wire::Kind;

/// A connection that carries segments back to a party that lost them.
pub(crate) type RepairStream = TlsStream<TcpStream>;

/// Answers a peer that repairs its store; the party is that of the connection's key.
pub(crate) type RepairHandler =
    Arc<dyn Fn(Party, RepairStream) -> BoxFuture<'static, ()> + Send + Sync>;

/// Threads that move bytes. Computation has its own.
const THREADS: usize = 2;

/// One node's side of the mesh. A clone is another handle on the same.
#[derive(Clone)]
pub(crate) struct Mesh(Arc<Inner>);

struct Inner {
    cluster: Arc<Cluster>,
    plane: Arc<Plane>,
    peers: Arc<Peers>,
    transport: Arc<raft::Transport>,
    handler: watch::Sender<Option<Handler>>,
    connector: Arc<Connector>,
    repairs: watch::Sender<Option<RepairHandler>>,
    runtime: Mutex<Option<Runtime>>,
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mesh(up {:?})", self.up())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn stop(&self) {
        self.plane.close();
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Mesh {
    /// Starts listening and dialling, on threads of its own.
    ///
    /// # Errors
    /// [`NodeError::Identity`], [`NodeError::System`].
    pub(crate) fn start(
        party: Party,
        cluster: Arc<Cluster>,
        identity: &Identity,
        listener: TcpListener,
    ) -> Result<Self, NodeError> {
        let links = watch::Sender::new([None; 3]);
        let connector = Connector::new(party, Arc::clone(&cluster), identity, links.subscribe())?;
        let connector = Arc::new(connector);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("mesh")
            .enable_all()
            .build()
            .map_err(NodeError::System)?;
        let dialler =
            Dialler { connector: Arc::clone(&connector), runtime: runtime.handle().clone() };
        let plane = Arc::new(Plane::new(party, links, Pool::new(Some(dialler))));
        let peers = Arc::new(Peers::new(Arc::clone(&cluster)));
        let handler = watch::Sender::new(None);
        let repairs = watch::Sender::new(None);
        let guard = runtime.enter();
        listener.set_nonblocking(true).map_err(NodeError::System)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(NodeError::System)?;
        drop(guard);
        let accepting = Accepting {
            connector: Arc::clone(&connector),
            plane: Arc::clone(&plane),
            handler: handler.subscribe(),
            repairs: repairs.subscribe(),
            current: Arc::default(),
        };
        runtime.spawn(accepting.run(listener));
        let (for_plane, for_peers) = (Arc::clone(&plane), Arc::clone(&peers));
        runtime.spawn(keep_control(Arc::clone(&connector), for_plane, for_peers, party.next()));
        let mut calls = [None, None, None];
        for peer in [party.next(), party.previous()] {
            let (call, receiver) = mpsc::channel(raft::CALLS_QUEUED_MAX);
            calls[peer.index()] = Some(call);
            let keep = raft::keep(Arc::clone(&connector), Arc::clone(&peers), peer, receiver);
            runtime.spawn(keep);
        }
        let transport = Arc::new(raft::Transport { calls });
        let runtime = Mutex::new(Some(runtime));
        Ok(Self(Arc::new(Inner {
            cluster,
            plane,
            peers,
            transport,
            handler,
            connector,
            repairs,
            runtime,
        })))
    }

    /// What carries Raft's requests.
    pub(crate) fn transport(&self) -> Arc<dyn RaftTransport> {
        Arc::<raft::Transport>::clone(&self.0.transport)
    }

    /// Who answers Raft requests of the peers; until this is called they wait.
    pub(crate) fn answer_with(&self, handler: Handler) {
        self.0.handler.send_replace(Some(handler));
    }

    /// Who answers peers that repair their store; until this is called they are turned away.
    pub(crate) fn repair_with(&self, handler: RepairHandler) {
        self.0.repairs.send_replace(Some(handler));
    }

    /// Connects to a peer for a repair of this party's store.
    ///
    /// # Errors
    /// A sentence that says why there is no connection.
    pub(crate) async fn dial_repair(&self, peer: Party) -> Result<RepairStream, String> {
        Ok(self.0.connector.dial(peer, Kind::Repair).await?.stream)
    }

    /// Which parties' control connections stand; the own index is true.
    pub(crate) fn up(&self) -> [bool; 3] {
        self.0.plane.up()
    }

    /// [`Self::up`] as it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<[bool; 3]> {
        self.0.plane.watch()
    }

    /// Waits (blocking) until both control connections stand.
    ///
    /// # Errors
    /// A party whose connection does not.
    pub(crate) fn wait_all_up(&self, timeout: Duration) -> Result<(), Party> {
        self.0.plane.wait_all_up(timeout)
    }

    /// Opens an attempt with so many lanes on the control connections that stand now; after the
    /// hellos [`AttemptNet::open`] makes the lanes usable. Waits while data streams are made.
    ///
    /// # Errors
    /// `PeerLost` when one is down; `Shape` when the attempt is open already.
    pub(crate) fn begin(&self, id: AttemptId, lanes: usize) -> Result<Arc<AttemptNet>, MpcError> {
        self.0.plane.begin(id, lanes).map(Arc::new)
    }

    /// What measures the connection with a peer; none when it is down.
    pub(crate) fn probe(&self, peer: Party) -> Option<measure::Probe> {
        self.0.plane.probe(peer)
    }

    /// Where clients reach a party's node, for messages.
    pub(crate) fn address(&self, party: Party) -> String {
        self.0.cluster.nodes[party.index()].client.clone()
    }

    /// Why a party was not reached the last time it was tried; empty when it was.
    pub(crate) fn why_down(&self, party: Party) -> String {
        self.0.peers.why_down(party)
    }

    /// Closes all connections; open attempts end as cancelled.
    pub(crate) fn stop(&self) {
        self.0.stop();
    }
}

/// How long to wait before the next attempt to connect.
fn pause(failures: usize) -> Duration {
    let last = RECONNECT_MS.len() - 1;
    Duration::from_millis(RECONNECT_MS[failures.min(last)])
}

/// What is known of reaching the peers: for messages and the log, where a failure that lasts is
/// written once.
pub(crate) struct Peers {
    cluster: Arc<Cluster>,
    /// Last failure by party, of connections that this node dials: Raft, control.
    failures: Mutex<[[String; 3]; 3]>,
}

impl Peers {
    fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, failures: Mutex::default() }
    }

    fn why_down(&self, peer: Party) -> String {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures[peer.index()].iter().find(|f| !f.is_empty()).cloned().unwrap_or_default()
    }

    fn slot(kind: Kind) -> usize {
        match kind {
            Kind::Raft => 0,
            Kind::Control | Kind::Stream => 1,
            Kind::Repair => 2,
        }
    }

    fn reached(&self, peer: Party, kind: Kind) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures[peer.index()][Self::slot(kind)].clear();
    }

    fn unreached(&self, peer: Party, kind: Kind, why: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut failures[peer.index()][Self::slot(kind)];
        if known != why {
            why.clone_into(known);
            let address = &self.cluster.nodes[peer.index()].mesh;
            tracing::warn!(%peer, address, ?kind, why, "no connection; trying again");
        }
    }
}

/// Keeps the control connection that this node dials.
async fn keep_control(
    connector: Arc<Connector>,
    plane: Arc<Plane>,
    peers: Arc<Peers>,
    peer: Party,
) {
    let mut failures = 0;
    loop {
        let why = match connector.dial(peer, Kind::Control).await {
            Ok(connection) => {
                failures = 0;
                peers.reached(peer, Kind::Control);
                link::run(&plane, connection).await
            }
            Err(why) => why,
        };
        peers.unreached(peer, Kind::Control, &why);
        tokio::time::sleep(pause(failures)).await;
        failures += 1;
    }
}

struct Accepting {
    connector: Arc<Connector>,
    plane: Arc<Plane>,
    handler: watch::Receiver<Option<Handler>>,
    repairs: watch::Receiver<Option<RepairHandler>>,
    /// Connections that peers dialled, by party and kind: a newer one replaces an older.
    current: Arc<Mutex<[[Option<AbortHandle>; 3]; 3]>>,
}

impl Accepting {
    async fn run(self, listener: tokio::net::TcpListener) {
        let accepting = Arc::new(self);
        let mut handshakes = Handshakes::default();
        loop {
            let (tcp, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(e) => {
                    tracing::warn!(error = %e, "the mesh port cannot accept now");
                    tokio::time::sleep(pause(1)).await;
                    continue;
                }
            };
            let accepting = Arc::clone(&accepting);
            let task = tokio::spawn(async move {
                match accepting.connector.accept(tcp).await {
                    Ok(Accepted::Connection(connection)) => accepting.take(connection),
                    Ok(Accepted::Stream { peer, epoch, stream }) => {
                        accepting.plane.pool().accepted(peer, epoch, stream);
                    }
                    Err(why) => {
                        tracing::info!(%from, why, "a call to the mesh port came to nothing")
                    }
                }
            });
            handshakes.admit(task.abort_handle());
        }
    }

    fn take(&self, connection: Connection) {
        let (peer, kind) = (connection.peer, connection.kind);
        let task = match kind {
            Kind::Control | Kind::Stream => {
                let plane = Arc::clone(&self.plane);
                tokio::spawn(async move {
                    let why = link::run(&plane, connection).await;
                    tracing::warn!(%peer, why, "control connection ended");
                })
            }
            Kind::Repair => {
                let handler = self.repairs.borrow().clone();
                tokio::spawn(async move {
                    if let Some(handler) = handler {
                        handler(peer, connection.stream).await;
                    }
                })
            }
            Kind::Raft => {
                let mut handler = self.handler.clone();
                tokio::spawn(async move {
                    // A node that is just starting reads no request until it can answer.
                    let ready = handler.wait_for(Option::is_some).await.ok();
                    if let Some(handler) = ready.and_then(|h| h.clone()) {
                        raft::serve(connection, handler).await;
                    }
                })
            }
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut current[peer.index()][Peers::slot(kind)];
        if let Some(old) = slot.replace(task.abort_handle()) {
            // A control connection ends by itself once its successor stands, and says so.
            if matches!(kind, Kind::Raft | Kind::Repair) {
                old.abort();
            }
        }
    }
}
