//! The node's handle on the replicated state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use openraft::error::{InitializeError, RaftError};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use trine_proto::catalog::{Catalog, ClusterInfo};
use trine_proto::command::{Command, Outcome};
use trine_proto::ids::{LogIndex, Party};

use crate::database::{Database, Family, decode, encode};
use crate::error::ConsensusError;
use crate::image::{self, StateImage};
use crate::join::{self, Lineage};
use crate::limits::{PROPOSE_PAUSE, RUNTIME_END};
use crate::log_store::LogStore;
use crate::network::{Link, RaftTransport, Response};
use crate::published::Published;
use crate::raft::{self, Raft, RaftId};
use crate::records;
use crate::serve::Receiving;
use crate::state_store::StateStore;

#[cfg(test)]
mod tests;

/// What a node needs to know to take part.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's data folder; the log lies in its subfolder `raft`.
    pub dir: PathBuf,
    /// This node's party.
    pub party: Party,
    /// Name of this disk's copy of the log, as [`crate::member_id`] tells: party + 1 when the cluster is
    /// made, and a new number after the disk was lost.
    pub raft_id: u64,
    /// The cluster's identity, the same in every party's configuration.
    pub cluster: ClusterInfo,
    /// Called around the writes that promises rest on, for tests that kill the node there: "log.append",
    /// "log.appended", "state.apply", "state.applied".
    pub probe: fn(&str),
}

/// A running member of the Raft group. Raft has threads of its own, so that computation elsewhere
/// in the process never makes it late.
///
/// Dropping it ends those threads and waits for that (briefly); the folder is free afterwards.
#[derive(Debug)]
pub struct Consensus {
    pub(crate) inner: Arc<Inner>,
    runtime: Mutex<Option<Runtime>>,
}

/// Positions of a node's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogExtent {
    /// Of the oldest entry that is kept; 0: none is.
    pub first: u64,
    /// Of the newest entry.
    pub last: u64,
    /// Of the last snapshot that this process has made or got; 0: none.
    pub snapshot: u64,
}

/// Shared with the tasks on the Raft threads.
pub(crate) struct Inner {
    pub(crate) raft: Raft,
    pub(crate) published: Arc<Published>,
    pub(crate) link: Link,
    pub(crate) party: Party,
    pub(crate) raft_id: RaftId,
    pub(crate) cluster: ClusterInfo,
    pub(crate) receiving: Mutex<Option<Receiving>>,
    /// Which restore the cluster began with, if it was one.
    pub(crate) lineage: Option<Lineage>,
    /// Raft holds the store; once that has stopped, the folder is free.
    database: Weak<Database>,
}

/// Whose folder it is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Layout of the store; first, so that every version can read it.
    format: u32,
    pub(crate) raft_id: RaftId,
    party: Party,
    /// BLAKE3 of the cluster's identity.
    cluster: [u8; 32],
}

impl Identity {
    pub(crate) fn new(
        raft_id: RaftId,
        party: Party,
        cluster: &ClusterInfo,
    ) -> Result<Self, ConsensusError> {
        let cluster = *blake3::hash(&encode(cluster)?).as_bytes();
        Ok(Self { format: FORMAT, raft_id, party, cluster })
    }
}

pub(crate) const IDENTITY: &[u8] = b"identity";
/// Format version of the store: of the log's entries, the state's records and what is beside them.
const FORMAT: u32 = 3;
/// The log's and the state machine's writes block a thread each; the others keep talking.
const THREADS: usize = 4;

impl Consensus {
    /// Starts this node's member, from its folder if there is something in it. When the cluster is
    /// new, party 0 forms the group of the three; the first leader orders the Genesis. Returns
    /// at once: whether there is a leader shows in [`Self::leader`] and [`Self::propose`].
    ///
    /// # Errors
    /// `Io`, `Corrupt`; `WrongCluster` when folder and configuration do not belong together.
    pub async fn start(
        config: Config,
        transport: Arc<dyn RaftTransport>,
    ) -> Result<Self, ConsensusError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("raft")
            .enable_all()
            .build()
            .map_err(|e| ConsensusError::Io(e.to_string()))?;
        // Held by a value whose Drop may happen anywhere: also when starting fails.
        let guard = RuntimeGuard(Some(runtime));
        let Some(runtime) = &guard.0 else {
            return Err(ConsensusError::Stopped("no runtime".into()));
        };
        let started = runtime.spawn(Inner::start(config, Link::new(transport))).await;
        let inner = started.map_err(|e| ConsensusError::Stopped(e.to_string()))??;
        Ok(Self { inner, runtime: Mutex::new(guard.release()) })
    }

    /// Orders a command, wherever the leader is, and waits until it is applied at this node: the
    /// outcome is what *this* node made of the entry. Tries again when leaders change; an entry
    /// that was ordered twice that way is answered with its first outcome (commands of clients)
    /// or a notice (commands of nodes).
    ///
    /// # Errors
    /// `TooLarge`; `Unavailable` when the time is over: there is no quorum, no leader, or no
    /// formed cluster yet. The command may still be applied later. `Stopped`.
    pub async fn propose(
        &self,
        command: Command,
        timeout: Duration,
    ) -> Result<Outcome, ConsensusError> {
        self.inner.propose(command, timeout).await
    }

    /// The state as applied at this node. Cheap: a shared pointer.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.inner.published.catalog()
    }

    /// Changes after every applied batch of entries; `catalog()` is at least as new as the value
    /// seen.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<LogIndex> {
        self.inner.published.subscribe()
    }

    /// Waits until the command at a position is applied at this node.
    ///
    /// # Errors
    /// `Unavailable` when the time is over.
    pub async fn wait_applied(
        &self,
        index: LogIndex,
        timeout: Duration,
    ) -> Result<Arc<Catalog>, ConsensusError> {
        self.inner.wait_applied(index, timeout).await
    }

    /// Answers a request that another node's [`RaftTransport`] brought. `from`: the party that the
    /// connection belongs to. Whatever the bytes are, there is an answer and no panic.
    pub async fn handle(&self, from: Party, request: Vec<u8>) -> Vec<u8> {
        let response = self.inner.answer(from, &request).await;
        encode(&response).or_else(|e| encode(&Response::Failed(e.to_string()))).unwrap_or_default()
    }

    /// The party that leads, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> Option<Party> {
        let leader = self.inner.raft.metrics().borrow().current_leader;
        leader.and_then(|id| self.inner.party_of(id))
    }

    /// The state at a position that was marked for a backup, or at the last one applied; none if this
    /// node does not have it (any more). Blocks on the disk.
    ///
    /// # Errors
    /// `Stopped`, `Io`, `Corrupt`.
    pub fn image(&self, at: LogIndex) -> Result<Option<StateImage>, ConsensusError> {
        let gone = || ConsensusError::Stopped("its store is closed".into());
        let database = self.inner.database.upgrade().ok_or_else(gone)?;
        image::load(&database, Some(at))
    }

    /// How long the log is, and what it is compacted to.
    #[must_use]
    pub fn log_extent(&self) -> LogExtent {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow();
        let last = metrics.last_log_index.unwrap_or(0);
        let purged = metrics.purged.map_or(0, |id| id.index);
        let snapshot = metrics.snapshot.map_or(0, |id| id.index);
        LogExtent { first: if last > purged { purged + 1 } else { 0 }, last, snapshot }
    }

    /// Stops taking part and frees the folder. Whatever is called afterwards finds `Stopped`.
    pub async fn shutdown(&self) {
        if let Err(e) = self.inner.raft.shutdown().await {
            tracing::warn!(error = %e, "Raft did not end in order");
        }
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            // Waiting for threads is not for an async task.
            let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(RUNTIME_END));
            if ended.await.is_err() {
                tracing::warn!("the Raft threads did not end in order");
            }
        }
    }
}

impl Drop for Consensus {
    fn drop(&mut self) {
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        drop(RuntimeGuard(runtime));
    }
}

/// A runtime may not be dropped inside an async task: it is handed to a thread of its own.
struct RuntimeGuard(Option<Runtime>);

impl RuntimeGuard {
    fn release(mut self) -> Option<Runtime> {
        self.0.take()
    }
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            let end = std::thread::spawn(move || runtime.shutdown_timeout(RUNTIME_END));
            if end.join().is_err() {
                tracing::warn!("the Raft threads did not end in order");
            }
        }
    }
}

impl Inner {
    async fn start(config: Config, link: Link) -> Result<Arc<Self>, ConsensusError> {
        let Config { dir, party, raft_id, cluster, probe } = config;
        let identity = Identity::new(raft_id, party, &cluster)?;
        let database = Arc::new(Database::open(&dir)?);
        claim(&database, &identity)?;
        let lineage = join::stored_lineage(&database)?;
        let weak = Arc::downgrade(&database);
        let state = StateStore::open(Arc::clone(&database), cluster.clone(), probe)?;
        let published = state.published();
        let log = LogStore::new(database, probe);
        let raft = Raft::new(raft_id, Arc::new(raft::config()?), link.clone(), log, state)
            .await
            .map_err(|e| ConsensusError::Stopped(e.to_string()))?;
        let receiving = Mutex::new(None);
        let inner = Arc::new(Self {
            raft,
            published,
            link,
            party,
            raft_id,
            cluster,
            receiving,
            lineage,
            database: weak,
        });
        inner.found_group().await?;
        tokio::spawn(Arc::clone(&inner).order_genesis());
        tokio::spawn(Arc::clone(&inner).become_voter());
        Ok(inner)
    }

    /// Party 0 makes the group, once. A node under a later Raft id is taken in by the others.
    async fn found_group(&self) -> Result<(), ConsensusError> {
        let founders = raft::founders();
        let (first, member) = founders[0];
        if self.raft_id != first || Some(self.party) != member.party() {
            return Ok(());
        }
        match self.raft.initialize(BTreeMap::from(founders)).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(e) => Err(ConsensusError::Stopped(e.to_string())),
        }
    }

    /// Whoever leads a cluster that is not formed orders the Genesis.
    async fn order_genesis(self: Arc<Self>) {
        let mut metrics = self.raft.metrics();
        while self.published.catalog().cluster.is_none() {
            let leads = metrics.borrow_and_update().current_leader == Some(self.raft_id);
            if leads {
                let genesis = Command::Genesis(self.cluster.clone());
                if let Err(e) = self.raft.client_write(genesis).await {
                    tracing::info!(error = %e, "the Genesis was not ordered yet");
                    tokio::time::sleep(PROPOSE_PAUSE).await;
                }
            } else if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// Which party runs a member.
    pub(crate) fn party_of(&self, id: RaftId) -> Option<Party> {
        let metrics = self.raft.metrics();
        let member = metrics.borrow().membership_config.membership().get_node(&id).copied();
        let founder = || raft::founders().into_iter().find(|(f, _)| *f == id).map(|(_, m)| m);
        member.or_else(founder).and_then(raft::Member::party)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consensus(party {}, raft id {})", self.party, self.raft_id)
    }
}

/// The replicated state as a node that does not run has left it in its folder; an empty one if there is
/// none. The other nodes may be ahead.
///
/// # Errors
/// `Io` (also while the node runs), `Corrupt`.
pub fn stored_catalog(dir: &Path) -> Result<Catalog, ConsensusError> {
    if !dir.join("raft").exists() {
        return Ok(Catalog::default());
    }
    let database = Database::open(dir)?;
    identity(&database)?;
    Ok(records::load(&database)?.0)
}

/// The state in the folder of a node that does not run, at a marked position or at the last one; none if
/// it does not have it.
///
/// # Errors
/// `Io` (also while the node runs), `Corrupt`, `Unsupported`.
pub fn stored_image(
    dir: &Path,
    at: Option<LogIndex>,
) -> Result<Option<StateImage>, ConsensusError> {
    if !dir.join("raft").exists() {
        return Ok(None);
    }
    image::load(&Database::open(dir)?, at)
}

/// Whose folder a store is, if it was claimed.
pub(crate) fn identity(database: &Database) -> Result<Option<Identity>, ConsensusError> {
    let Some(bytes) = database.bytes(Family::Meta, IDENTITY)? else { return Ok(None) };
    let (found, _) = postcard::take_from_bytes::<u32>(&bytes)
        .map_err(|e| ConsensusError::Corrupt(format!("decoding: {e}")))?;
    if found != FORMAT {
        let what = "the replicated state in the data folder";
        return Err(ConsensusError::Unsupported { what, found, known: FORMAT });
    }
    decode(&bytes).map(Some)
}

/// Writes whose folder it is, or compares.
fn claim(database: &Database, own: &Identity) -> Result<(), ConsensusError> {
    match identity(database)? {
        Some(found) if found == *own => Ok(()),
        Some(found) => Err(ConsensusError::WrongCluster(format!(
            "the folder holds the log of party {} under Raft id {}, or another cluster's",
            found.party, found.raft_id
        ))),
        None => {
            let mut batch = database.batch();
            batch.put(Family::Meta, IDENTITY, own)?;
            batch.commit_synced()
        }
    }
}
