//! All segments of one party.

use crate::backend::{Backend, BackendFile, BackendRead};
use crate::digest::Digests;
use crate::error::{Result, StorageError, corrupt, io_error};
use crate::header::SegmentHeader;
use crate::held::{Content, Held};
use crate::limits::HELD_FILE_BYTES_MAX;
use crate::reader::{SegmentReader, Verified};
use crate::writer::StageWriter;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use trine_proto::ids::{SegmentId, TableId};

/// Folder of all segments, below the data folder.
const FOLDER: &str = "segments";
const COMPLETE: &str = ".parquet";
const PARTIAL: &str = ".parquet.partial";

type Key = (TableId, SegmentId);

/// The segments of one party. A clone is another handle on the same store.
///
/// One store at a time may own a folder: it deletes partial files when it is opened.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    /// Segments that are being written; true: removed meanwhile, must not be published.
    staging: Mutex<BTreeMap<Key, bool>>,
    /// Segments whose every byte was checked since the store was opened, and what they held.
    verified: Mutex<BTreeMap<Key, Arc<Verified>>>,
    /// Small segments that were read before.
    held: Mutex<Held>,
    removed_files: AtomicU64,
    removed_bytes: AtomicU64,
}

/// What a store has deleted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Segment files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// What [`Store::reconcile`] found and did. Ascending by table and segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Listed, but no file is here: to be repaired.
    pub missing: Vec<(TableId, SegmentId)>,
    /// Not listed and resolved: deleted.
    pub deleted: Vec<(TableId, SegmentId)>,
    /// Not listed and unresolved: staged, kept.
    pub staged: Vec<(TableId, SegmentId)>,
}

impl Store {
    /// Opens the store: deletes what unfinished writers left behind and makes the rest durable.
    ///
    /// # Errors
    /// `Io` if the backend fails.
    pub fn open(backend: Arc<dyn Backend>) -> Result<Self> {
        backend.settle(FOLDER).map_err(io_error(FOLDER, "sync"))?;
        for name in backend.list(FOLDER).map_err(io_error(FOLDER, "list"))? {
            if name.ends_with(PARTIAL) {
                backend.remove(&name).map_err(io_error(&name, "remove"))?;
                tracing::info!(file = name, "removed an unfinished segment");
            }
        }
        let (staging, verified, held) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (removed_files, removed_bytes) = Default::default();
        let shared = Shared { backend, staging, verified, held, removed_files, removed_bytes };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Begins to write a segment.
    ///
    /// # Errors
    /// `AlreadyStaged` if it is complete here, `Busy` if another writer is at work on it, `Rejected`
    /// if the header is inconsistent or beyond the limits, `Full` or `Io`.
    pub fn stage(&self, header: SegmentHeader) -> Result<StageWriter> {
        let (table, segment) = (header.table, header.segment);
        let mut active = lock(&self.shared.staging);
        if active.contains_key(&(table, segment)) {
            return Err(StorageError::Busy { table, segment });
        }
        if self.exists((table, segment))? {
            return Err(StorageError::AlreadyStaged { table, segment });
        }
        active.insert((table, segment), false);
        drop(active);
        let staging = Staging::new(Arc::clone(&self.shared), (table, segment));
        StageWriter::new(staging, header, None)
    }

    /// Begins to write a segment anew, in the place of a file that is damaged or missing. Until
    /// [`StageWriter::finish`] has found the digests equal to `expected` nothing is replaced; what
    /// reads the old file meanwhile goes on with it.
    ///
    /// # Errors
    /// `Busy` if another writer is at work on it, `Rejected` if the header is inconsistent or beyond
    /// the limits, `Full` or `Io`.
    pub fn rebuild(&self, header: SegmentHeader, expected: Digests) -> Result<StageWriter> {
        let (table, segment) = (header.table, header.segment);
        let mut active = lock(&self.shared.staging);
        if active.contains_key(&(table, segment)) {
            return Err(StorageError::Busy { table, segment });
        }
        active.insert((table, segment), false);
        drop(active);
        let staging = Staging::new(Arc::clone(&self.shared), (table, segment));
        StageWriter::new(staging, header, Some(expected))
    }

    /// Reads a segment's whole file and checks every byte of it, whatever was checked before.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn check(&self, table: TableId, segment: SegmentId) -> Result<SegmentReader> {
        lock(&self.shared.verified).remove(&(table, segment));
        lock(&self.shared.held).forget((table, segment));
        self.read(table, segment)
    }

    /// Header and digests of a segment that lies here complete, for the receipt of a repeated upload;
    /// `None` if it does not. Checks the segment like [`Store::read`].
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported` or `Io`.
    pub fn staged_digests(
        &self,
        table: TableId,
        segment: SegmentId,
    ) -> Result<Option<(SegmentHeader, Digests)>> {
        match self.read(table, segment) {
            Ok(reader) => Ok(Some((reader.header().clone(), *reader.digests()))),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Opens a segment, staged or committed. The first time since the store was opened, the whole
    /// file is read and checked; later its end, and every page when it is read. A small one is only
    /// compared while it is held.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` (it names file and component), `Unsupported` or `Io`.
    pub fn read(&self, table: TableId, segment: SegmentId) -> Result<SegmentReader> {
        let name = file_name((table, segment), COMPLETE);
        let file = match self.shared.backend.open(&name) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::NotFound { table, segment });
            }
            Err(e) => return Err(io_error(&name, "open")(e)),
        };
        let length = file.length().map_err(io_error(&name, "read"))?;
        let content = if length <= HELD_FILE_BYTES_MAX {
            Some(Content::of(&name, file.as_ref(), length)?)
        } else {
            None
        };
        if let Some(content) = &content
            && let Some(reader) = lock(&self.shared.held).get((table, segment), content)
        {
            return Ok(reader);
        }
        let file = content.clone().map_or(file, |content| Box::new(content));
        let mut reader = match SegmentReader::open(name.clone(), file) {
            Ok(reader) => reader,
            Err(e) => {
                lock(&self.shared.verified).remove(&(table, segment));
                return Err(e);
            }
        };
        if (reader.header().table, reader.header().segment) != (table, segment) {
            return Err(corrupt(&name, "it holds another segment"));
        }
        // A small file that is not held as it is now is checked whole again.
        let known = match &content {
            Some(_) => None,
            None => lock(&self.shared.verified).get(&(table, segment)).map(Arc::clone),
        };
        let verified = match known {
            Some(verified) => verified,
            None => {
                let verified = Arc::new(reader.verify()?);
                lock(&self.shared.verified).insert((table, segment), Arc::clone(&verified));
                verified
            }
        };
        reader.trust(verified)?;
        if let Some(content) = content {
            lock(&self.shared.held).put((table, segment), content, reader.clone());
        }
        Ok(reader)
    }

    /// The file of a segment as it lies there, unchecked, and its name below the data folder: for a copy
    /// that is checked itself.
    ///
    /// # Errors
    /// `NotFound` or `Io`.
    pub fn raw(
        &self,
        table: TableId,
        segment: SegmentId,
    ) -> Result<(String, Box<dyn BackendRead>)> {
        let name = file_name((table, segment), COMPLETE);
        match self.shared.backend.open(&name) {
            Ok(file) => Ok((name, file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(StorageError::NotFound { table, segment })
            }
            Err(e) => Err(io_error(&name, "open")(e)),
        }
    }

    /// What this store has deleted since it was opened.
    #[must_use]
    pub fn removed(&self) -> Removed {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Removed {
            files: count(&self.shared.removed_files),
            bytes: count(&self.shared.removed_bytes),
        }
    }

    /// Deletes a segment, durably; one that is being written will not be published. Nothing to
    /// delete is no error. Only for what the log has resolved.
    ///
    /// # Errors
    /// `Io` if the backend fails.
    pub fn remove(&self, table: TableId, segment: SegmentId) -> Result<()> {
        let name = file_name((table, segment), COMPLETE);
        // Held until the file is gone: no writer can publish in between.
        let mut active = lock(&self.shared.staging);
        if let Some(cancelled) = active.get_mut(&(table, segment)) {
            *cancelled = true;
        }
        lock(&self.shared.verified).remove(&(table, segment));
        lock(&self.shared.held).forget((table, segment));
        let bytes = self.shared.backend.open(&name).and_then(|file| file.length()).unwrap_or(0);
        match self.shared.backend.remove(&name) {
            Ok(()) => {
                self.shared.removed_files.fetch_add(1, Ordering::Relaxed);
                self.shared.removed_bytes.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(io_error(&name, "remove")(e)),
        }
    }

    /// All complete segments, staged or committed, ascending by table and segment.
    ///
    /// # Errors
    /// `Io` if the backend fails.
    pub fn list(&self) -> Result<Vec<(TableId, SegmentId)>> {
        let names = self.shared.backend.list(FOLDER).map_err(io_error(FOLDER, "list"))?;
        let keys: BTreeSet<Key> = names.iter().filter_map(|name| parse_name(name)).collect();
        Ok(keys.into_iter().collect())
    }

    /// How many complete segments are here, and their bytes. Cost: every file is opened.
    ///
    /// # Errors
    /// `Io` if the backend fails; a file that goes meanwhile is left out.
    pub fn extent(&self) -> Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0);
        for (table, segment) in self.list()? {
            match self.raw(table, segment) {
                Ok((name, file)) => {
                    files += 1;
                    bytes += file.length().map_err(io_error(&name, "read"))?;
                }
                Err(StorageError::NotFound { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok((files, bytes))
    }

    /// Brings files and catalog together: `listed` are the segments that the catalog lists,
    /// `resolved_gone` those that the log has aborted or dropped. What is listed is never deleted.
    ///
    /// # Errors
    /// `Io` if the backend fails; what was done until then stays done.
    pub fn reconcile(
        &self,
        listed: &BTreeSet<(TableId, SegmentId)>,
        resolved_gone: &BTreeSet<SegmentId>,
    ) -> Result<Reconciled> {
        let doomed = |key: &Key| !listed.contains(key) && resolved_gone.contains(&key.1);
        for (key, cancelled) in lock(&self.shared.staging).iter_mut() {
            *cancelled |= doomed(key);
        }
        let present: BTreeSet<Key> = self.list()?.into_iter().collect();
        let mut found = Reconciled {
            missing: listed.difference(&present).copied().collect(),
            ..Default::default()
        };
        for key in present {
            if doomed(&key) {
                self.remove(key.0, key.1)?;
                tracing::info!(table = %key.0, segment = %key.1, "removed a resolved segment");
                found.deleted.push(key);
            } else if !listed.contains(&key) {
                found.staged.push(key);
            }
        }
        Ok(found)
    }

    fn exists(&self, key: Key) -> Result<bool> {
        let name = file_name(key, COMPLETE);
        match self.shared.backend.open(&name) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(io_error(&name, "open")(e)),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// The claim of one writer on one segment, and its partial file; given up when dropped.
pub(crate) struct Staging {
    shared: Arc<Shared>,
    key: Key,
    partial: String,
    published: bool,
}

impl Staging {
    fn new(shared: Arc<Shared>, key: Key) -> Self {
        Self { shared, key, partial: file_name(key, PARTIAL), published: false }
    }

    /// Name of the partial file.
    pub(crate) fn partial(&self) -> &str {
        &self.partial
    }

    /// Creates the partial file.
    pub(crate) fn create(&self) -> Result<Box<dyn BackendFile>> {
        self.shared.backend.create(&self.partial).map_err(io_error(&self.partial, "create"))
    }

    /// Puts the synced partial file into its place, durably, unless the segment was removed.
    pub(crate) fn publish(&mut self) -> Result<()> {
        let (table, segment) = self.key;
        let name = file_name(self.key, COMPLETE);
        let active = lock(&self.shared.staging);
        if active.get(&self.key).is_none_or(|cancelled| *cancelled) {
            return Err(StorageError::Cancelled { table, segment });
        }
        lock(&self.shared.verified).remove(&self.key);
        lock(&self.shared.held).forget(self.key);
        if let Err(e) = self.shared.backend.rename(&self.partial, &name) {
            // It may lie there, but not durably: a repeated upload must not find it.
            let _ = self.shared.backend.remove(&name);
            return Err(io_error(&name, "create")(e));
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            match self.shared.backend.remove(&self.partial) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = self.partial, error = %e, "an unfinished segment stays until restart");
                }
                _ => {}
            }
        }
        lock(&self.shared.staging).remove(&self.key);
    }
}

/// A panic elsewhere leaves these maps whole: every change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn file_name((table, segment): Key, ending: &str) -> String {
    format!("{FOLDER}/{table}/{segment}{ending}")
}

/// Table and segment of a file's name.
pub(crate) fn parse_name(name: &str) -> Option<Key> {
    let (table, segment) =
        name.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(COMPLETE)?.split_once('/')?;
    let key = (TableId(table.parse().ok()?), SegmentId::from_hex(segment)?);
    // Another spelling of the same ids is not our file.
    (file_name(key, COMPLETE) == name).then_some(key)
}
