//! The replicated state under Raft: applies committed entries, keeps the result on disk, builds
//! and installs snapshots.
//!
//! The state after a batch of entries and the position it stands for go to disk in one synced
//! batch before `apply` returns, so a snapshot need not be kept there: it is made from the state.

use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot};
use trine_proto::catalog::{Catalog, ClusterInfo};
use trine_proto::command::Outcome;
use trine_proto::ids::LogIndex;

use crate::database::{Database, decode, encode};
use crate::error::ConsensusError;
use crate::image;
use crate::published::{self, Published};
use crate::raft::{
    Entry, LogId, SnapshotMeta, StorageError, StorageIOError, StoredMembership, Types,
};
use crate::records::{self, Applied};
use crate::state_machine::apply;

/// Format version of a snapshot, its first byte.
const SNAPSHOT_FORMAT: u8 = 3;

/// The latest snapshot, encoded; shared with the builder.
type Latest = Arc<Mutex<Option<(SnapshotMeta, Arc<Vec<u8>>)>>>;

/// The replicated state of one node.
#[derive(Debug)]
pub(crate) struct StateStore {
    database: Arc<Database>,
    published: Arc<Published>,
    cluster: ClusterInfo,
    applied: Applied,
    latest: Latest,
    /// See `Config::probe`.
    probe: fn(&str),
}

impl StateStore {
    /// Loads the state. `cluster`: this node's configuration; a log that says otherwise stops it.
    pub(crate) fn open(
        database: Arc<Database>,
        cluster: ClusterInfo,
        probe: fn(&str),
    ) -> Result<Self, ConsensusError> {
        let (catalog, applied) = records::load(&database)?;
        same_cluster(&catalog, &cluster)?;
        let published = Arc::new(Published::new(catalog));
        Ok(Self { database, published, cluster, applied, latest: Latest::default(), probe })
    }

    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    fn apply_all(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<Vec<Option<Outcome>>, ConsensusError> {
        let old = self.published.catalog();
        let mut catalog = (*old).clone();
        let mut applied = self.applied.clone();
        let (mut answers, mut recent) = (Vec::new(), Vec::new());
        let mut marked = Vec::new();
        for entry in entries {
            applied.last = Some(entry.log_id);
            answers.push(match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Membership(membership) => {
                    applied.membership = StoredMembership::new(applied.last, membership);
                    None
                }
                EntryPayload::Normal(command) => {
                    let index = LogIndex(entry.log_id.index);
                    let command_digest = *blake3::hash(&encode(&command)?).as_bytes();
                    let outcome = apply(&mut catalog, index, &command);
                    let entry = published::Applied { command_digest, outcome: outcome.clone() };
                    recent.push((index, entry));
                    if catalog.backups.contains_key(&index) {
                        marked.push((index, image::record(&applied, &catalog)?));
                    }
                    Some(outcome)
                }
            });
        }
        same_cluster(&catalog, &self.cluster)?;
        self.store(&old, catalog, applied, recent, marked)?;
        Ok(answers)
    }

    /// Disk first, then everyone else. `marked`: the state at positions that are to be backed up.
    fn store(
        &mut self,
        old: &Catalog,
        new: Catalog,
        applied: Applied,
        recent: Vec<(LogIndex, published::Applied)>,
        marked: Vec<(LogIndex, image::Record)>,
    ) -> Result<(), ConsensusError> {
        let mut batch = self.database.batch();
        records::write_difference(&mut batch, old, &new, &applied)?;
        image::write_difference(&mut batch, old, &new, marked)?;
        (self.probe)("state.apply");
        batch.commit_synced()?;
        (self.probe)("state.applied");
        self.applied = applied;
        self.published.publish(new, recent);
        Ok(())
    }

    fn install(&mut self, meta: &SnapshotMeta, bytes: Vec<u8>) -> Result<(), ConsensusError> {
        let catalog = decode_snapshot(&bytes, meta, &self.cluster)?;
        let applied = Applied { last: meta.last_log_id, membership: meta.last_membership.clone() };
        let old = self.published.catalog();
        self.store(&old, catalog, applied, Vec::new(), Vec::new())?;
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some((meta.clone(), Arc::new(bytes)));
        Ok(())
    }
}

impl RaftStateMachine<Types> for StateStore {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.applied.last, self.applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Option<Outcome>>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.apply_all(entries).map_err(|e| {
            tracing::error!(error = %e, "the replicated state cannot go on: this node stops");
            StorageIOError::write_state_machine(AnyError::new(&e)).into()
        })
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            catalog: self.published.catalog(),
            applied: self.applied.clone(),
            latest: Arc::clone(&self.latest),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        self.install(meta, snapshot.into_inner()).map_err(|e| {
            tracing::error!(error = %e, "a snapshot cannot be installed: this node stops");
            StorageIOError::write_snapshot(Some(meta.signature()), AnyError::new(&e)).into()
        })
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(latest.as_ref().map(|(meta, bytes)| Snapshot {
            meta: meta.clone(),
            snapshot: Box::new(Cursor::new(bytes.to_vec())),
        }))
    }
}

/// A view of the state at one position, to be encoded apart from the state machine.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    catalog: Arc<Catalog>,
    applied: Applied,
    latest: Latest,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let cannot = |e: &ConsensusError| -> StorageError {
            StorageIOError::write_snapshot(None, AnyError::new(e)).into()
        };
        let mut bytes = vec![SNAPSHOT_FORMAT];
        bytes.extend(encode(&*self.catalog).map_err(|e| cannot(&e))?);
        let meta = SnapshotMeta {
            last_log_id: self.applied.last,
            last_membership: self.applied.membership.clone(),
            // The same position always makes the same bytes.
            snapshot_id: self.applied.last.map_or_else(|| "empty".into(), |id| id.to_string()),
        };
        let snapshot = Box::new(Cursor::new(bytes.clone()));
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // One that a leader sent meanwhile may be newer.
        if latest.as_ref().is_none_or(|(known, _)| known.last_log_id <= meta.last_log_id) {
            *latest = Some((meta.clone(), Arc::new(bytes)));
        }
        Ok(Snapshot { meta, snapshot })
    }
}

/// The catalog in a snapshot, checked as far as one node can.
pub(crate) fn decode_snapshot(
    bytes: &[u8],
    meta: &SnapshotMeta,
    cluster: &ClusterInfo,
) -> Result<Catalog, ConsensusError> {
    let (&format, body) =
        bytes.split_first().ok_or_else(|| ConsensusError::Corrupt("an empty snapshot".into()))?;
    if format != SNAPSHOT_FORMAT {
        return Err(ConsensusError::Unsupported {
            what: "a snapshot of the replicated state",
            found: u32::from(format),
            known: u32::from(SNAPSHOT_FORMAT),
        });
    }
    let catalog: Catalog = decode(body)?;
    same_cluster(&catalog, cluster)?;
    if catalog.applied.0 > meta.last_log_id.map_or(0, |id| id.index) {
        return Err(ConsensusError::Corrupt("a snapshot from beyond its own position".into()));
    }
    Ok(catalog)
}

fn same_cluster(catalog: &Catalog, expected: &ClusterInfo) -> Result<(), ConsensusError> {
    match &catalog.cluster {
        Some(found) if found != expected => Err(ConsensusError::WrongCluster(
            "entry 1 of the log differs from the [cluster] block of this node's configuration"
                .into(),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_store::LogStore;
    use crate::testing::TestCluster;
    use openraft::testing::{StoreBuilder, Suite};
    use tempfile::TempDir;

    struct Builder;

    impl StoreBuilder<Types, LogStore, StateStore, TempDir> for Builder {
        async fn build(&self) -> Result<(TempDir, LogStore, StateStore), StorageError> {
            let dir = tempfile::tempdir().unwrap();
            let database = Arc::new(Database::open(dir.path()).unwrap());
            let cluster = TestCluster::seeded(1).info;
            let state = StateStore::open(Arc::clone(&database), cluster, |_| {}).unwrap();
            Ok((dir, LogStore::new(database, |_| {}), state))
        }
    }

    #[test]
    fn log_and_state_pass_the_suite_of_openraft() {
        Suite::test_all(Builder).unwrap();
    }

    #[test]
    fn snapshots_of_others_are_refused() {
        let cluster = TestCluster::seeded(1).info;
        let catalog =
            Catalog { cluster: Some(cluster.clone()), applied: LogIndex(0), ..Catalog::default() };
        let with = |catalog: &Catalog| {
            let mut bytes = vec![SNAPSHOT_FORMAT];
            bytes.extend(encode(catalog).unwrap());
            bytes
        };
        let meta = SnapshotMeta::default();
        let good = with(&catalog);
        assert_eq!(decode_snapshot(&good, &meta, &cluster).unwrap(), catalog);
        let other = TestCluster::seeded(2).info;
        assert!(matches!(
            decode_snapshot(&good, &meta, &other),
            Err(ConsensusError::WrongCluster(_))
        ));
        let future = with(&Catalog { applied: LogIndex(1), ..catalog });
        let longer = [&good[..], &[0]].concat();
        let newer = [&[SNAPSHOT_FORMAT + 1], &good[1..]].concat();
        let error = decode_snapshot(&newer, &meta, &cluster).unwrap_err();
        let text = "a snapshot of the replicated state has format version 4; this version reads 3";
        assert_eq!(error.to_string(), text);
        for bad in [&future, &longer, &good[..good.len() - 1].to_vec(), &Vec::new()] {
            let error = decode_snapshot(bad, &meta, &cluster).unwrap_err();
            assert!(matches!(error, ConsensusError::Corrupt(_)), "{error}");
        }
    }
}
