//! RocksDB under `<dir>/raft`: the only place that knows it. Three column families:
//!
//! * `log`: Raft entries by index (8 bytes, big-endian);
//! * `meta`: vote, committed and purged positions, whose store this is, and states to be backed up;
//! * `state`: the applied catalog, record by record (see `records`).
//!
//! Values are postcard. Writes that Raft relies on are synced; an unsynced write lies in the same
//! write-ahead log, so a later synced one takes it along and a crash keeps a prefix.

use std::path::Path;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction, IteratorMode, Options,
    WriteBatch, WriteOptions,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ConsensusError;
use crate::limits::{WAL_BYTES_MAX, WRITE_BUFFER_BYTES};

/// A column family.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    Log,
    Meta,
    State,
}

impl Family {
    const ALL: [Self; 3] = [Self::Log, Self::Meta, Self::State];

    const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Meta => "meta",
            Self::State => "state",
        }
    }
}

/// Key and value as stored.
pub(crate) type Record = (Box<[u8]>, Box<[u8]>);

/// The open store; one process at a time.
#[derive(Debug)]
pub(crate) struct Database {
    db: DB,
}

impl Database {
    /// Opens or creates the store.
    pub(crate) fn open(dir: &Path) -> Result<Self, ConsensusError> {
        let path = dir.join("raft");
        std::fs::create_dir_all(&path)
            .map_err(|e| ConsensusError::Io(format!("{}: {e}", path.display())))?;
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_keep_log_file_num(2);
        // Small, so that memory stays flat: entries and state are a few kilobytes each, and read from memory
        // anyway.
        options.set_db_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        // A torn last record is what a crash leaves behind. Damage anywhere else must not be
        // taken for the end of the log: that would forget acknowledged entries and votes.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        let families =
            Family::ALL.map(|f| ColumnFamilyDescriptor::new(f.name(), Options::default()));
        let db = DB::open_cf_descriptors(&options, path, families).map_err(|e| failed(&e))?;
        Ok(Self { db })
    }

    /// The value of a key.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<T>, ConsensusError> {
        self.bytes(family, key)?.map(|b| decode(&b)).transpose()
    }

    /// The value of a key as stored.
    pub(crate) fn bytes(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, ConsensusError> {
        self.db.get_cf(self.handle(family)?, key).map_err(|e| failed(&e))
    }

    /// All records of a family from a key on, in key order.
    pub(crate) fn from(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<impl Iterator<Item = Result<Record, ConsensusError>>, ConsensusError> {
        let mode = IteratorMode::From(key, Direction::Forward);
        let records = self.db.iterator_cf(self.handle(family)?, mode);
        Ok(records.map(|r| r.map_err(|e| failed(&e))))
    }

    /// The record with the highest key of a family.
    pub(crate) fn last(&self, family: Family) -> Result<Option<Record>, ConsensusError> {
        let mut records = self.db.iterator_cf(self.handle(family)?, IteratorMode::End);
        records.next().transpose().map_err(|e| failed(&e))
    }

    /// Starts a batch: all or nothing.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { database: self, writes: WriteBatch::default() }
    }

    fn handle(&self, family: Family) -> Result<&ColumnFamily, ConsensusError> {
        let name = family.name();
        self.db
            .cf_handle(name)
            .ok_or_else(|| ConsensusError::Corrupt(format!("no column family \"{name}\"")))
    }
}

/// Writes that happen together.
pub(crate) struct Batch<'a> {
    database: &'a Database,
    writes: WriteBatch,
}

impl Batch<'_> {
    pub(crate) fn put<T: Serialize>(
        &mut self,
        family: Family,
        key: &[u8],
        value: &T,
    ) -> Result<(), ConsensusError> {
        let handle = self.database.handle(family)?;
        self.writes.put_cf(handle, key, encode(value)?);
        Ok(())
    }
    pub(crate) fn delete(&mut self, family: Family, key: &[u8]) -> Result<(), ConsensusError> {
        let handle = self.database.handle(family)?;
        self.writes.delete_cf(handle, key);
        Ok(())
    }
    /// Deletes the keys from `from` on, `to` excluded.
    pub(crate) fn delete_range(
        &mut self,
        family: Family,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), ConsensusError> {
        let handle = self.database.handle(family)?;
        self.writes.delete_range_cf(handle, from, to);
        Ok(())
    }
    /// Writes and waits until the disk has it. Cost: one fsync.
    pub(crate) fn commit_synced(self) -> Result<(), ConsensusError> {
        self.commit(true)
    }
    /// Writes; a crash of the machine may lose it, but nothing later without it.
    pub(crate) fn commit_unsynced(self) -> Result<(), ConsensusError> {
        self.commit(false)
    }
    fn commit(self, sync: bool) -> Result<(), ConsensusError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.database.db.write_opt(self.writes, &options).map_err(|e| failed(&e))
    }
}

/// Postcard bytes of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ConsensusError> {
    postcard::to_stdvec(value).map_err(|e| ConsensusError::Corrupt(format!("encoding: {e}")))
}

/// A value from its postcard bytes; nothing may follow them.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ConsensusError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => {
            Err(ConsensusError::Corrupt(format!("{} bytes behind a value", rest.len())))
        }
        Err(e) => Err(ConsensusError::Corrupt(format!("decoding: {e}"))),
    }
}

fn failed(error: &rocksdb::Error) -> ConsensusError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => ConsensusError::Corrupt(error.to_string()),
        _ => ConsensusError::Io(error.to_string()),
    }
}
