//! Raft's log and vote in RocksDB. Proved by openraft's own suite (tests at the end of
//! `state_store`).

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, OptionalSend, RaftLogId as _, RaftLogReader};

use crate::database::{Database, Family, decode};
use crate::error::ConsensusError;
use crate::limits::ENTRIES_BYTES_PER_MESSAGE_MAX;
use crate::raft::{Entry, LogId, StorageError, StorageIOError, Types, Vote};

pub(crate) const VOTE: &[u8] = b"vote";
const COMMITTED: &[u8] = b"committed";
pub(crate) const PURGED: &[u8] = b"purged";

/// The log of one node. Writes are serialised by `&mut`; clones only read.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    database: Arc<Database>,
    /// See `Config::probe`.
    probe: fn(&str),
}

impl LogStore {
    pub(crate) const fn new(database: Arc<Database>, probe: fn(&str)) -> Self {
        Self { database, probe }
    }

    /// Entries with `from <= index < to`, in order; stops early once `bytes_max` is reached, but
    /// not before the first.
    fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, ConsensusError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for record in self.database.from(Family::Log, &key(from))? {
            let (index, value) = record?;
            if index_of(&index)? >= to || (bytes > 0 && bytes + value.len() > bytes_max) {
                break;
            }
            bytes += value.len();
            entries.push(decode(&value)?);
        }
        Ok(entries)
    }

    fn state(&self) -> Result<LogState<Types>, ConsensusError> {
        let last_purged_log_id: Option<LogId> = self.database.get(Family::Meta, PURGED)?;
        let last = self.database.last(Family::Log)?;
        let last: Option<Entry> = last.map(|(_, value)| decode(&value)).transpose()?;
        let last_log_id = last.map(|e| *e.get_log_id()).or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    fn write(&self, entries: impl IntoIterator<Item = Entry>) -> Result<(), ConsensusError> {
        let mut batch = self.database.batch();
        for entry in entries {
            batch.put(Family::Log, &key(entry.get_log_id().index), &entry)?;
        }
        (self.probe)("log.append");
        batch.commit_synced()?;
        (self.probe)("log.appended");
        Ok(())
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(&i) => i,
            Bound::Excluded(&i) => i.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&i) => i.saturating_add(1),
            Bound::Excluded(&i) => i,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to, usize::MAX).map_err(|e| cannot_read_logs(&e))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.read(start, end, ENTRIES_BYTES_PER_MESSAGE_MAX).map_err(|e| cannot_read_logs(&e))
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        self.state().map_err(|e| cannot_read_logs(&e))
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let mut batch = self.database.batch();
        batch
            .put(Family::Meta, VOTE, vote)
            .and_then(|()| batch.commit_synced())
            .map_err(|e| StorageIOError::write_vote(AnyError::new(&e)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.database
            .get(Family::Meta, VOTE)
            .map_err(|e| StorageIOError::read_vote(AnyError::new(&e)).into())
    }

    /// Not synced: it only spares a restarted node the wait for a leader's word.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let mut batch = self.database.batch();
        batch
            .put(Family::Meta, COMMITTED, &committed)
            .and_then(|()| batch.commit_unsynced())
            .map_err(|e| StorageIOError::write(AnyError::new(&e)).into())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let committed: Option<Option<LogId>> = self
            .database
            .get(Family::Meta, COMMITTED)
            .map_err(|e| StorageError::from(StorageIOError::read(AnyError::new(&e))))?;
        Ok(committed.flatten())
    }

    /// Blocks its thread for one fsync: the Raft runtime has threads of its own for that.
    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        match self.write(entries) {
            Ok(()) => {
                callback.log_io_completed(Ok(()));
                Ok(())
            }
            Err(e) => {
                callback.log_io_completed(Err(io::Error::other(e.to_string())));
                Err(StorageIOError::write_logs(AnyError::new(&e)).into())
            }
        }
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let mut batch = self.database.batch();
        batch
            .delete_range(Family::Log, &key(log_id.index), &key(u64::MAX))
            .and_then(|()| batch.commit_synced())
            .map_err(|e| StorageIOError::write_logs(AnyError::new(&e)).into())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let mut batch = self.database.batch();
        batch
            .put(Family::Meta, PURGED, &log_id)
            .and_then(|()| {
                batch.delete_range(Family::Log, &key(0), &key(log_id.index.saturating_add(1)))
            })
            .and_then(|()| batch.commit_synced())
            .map_err(|e| StorageIOError::write_logs(AnyError::new(&e)).into())
    }
}

/// Big-endian, so that key order is log order.
const fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn index_of(key: &[u8]) -> Result<u64, ConsensusError> {
    let bytes = key.try_into().map_err(|_| ConsensusError::Corrupt("a log key".into()))?;
    Ok(u64::from_be_bytes(bytes))
}

fn cannot_read_logs(error: &ConsensusError) -> StorageError {
    StorageIOError::read_logs(AnyError::new(error)).into()
}
