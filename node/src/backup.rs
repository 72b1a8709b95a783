//! Backups of one party: its part of everything visible at one log position, in a folder of its own.
//!
//! ```text
//! FOLDER/manifest.toml            what the backup is of, and a digest of every file; written last
//! FOLDER/state                    the replicated state at the position
//! FOLDER/segments/<table>/<segment>.parquet
//! FOLDER/unfinished               until the manifest is there
//! ```
//!
//! 1. A node that runs marks a position in the log ([`Backups::run`]): every node keeps a copy of the
//!    state there, and nobody deletes what is visible at it, until all three have their backup or a day
//!    is over. The position is printed; the two others copy the same one.
//! 2. [`write`] copies each segment under another name, syncs and renames it, and checks the copy
//!    against the digests in the log. The manifest comes last: without it there is no backup.
//! 3. [`restore::restore`] checks and copies it all into an empty data folder.
//!
//! A backup holds this party's parts in the clear, like the data folder. All digests in the manifest are
//! keyed by the party's secret key: whoever sees the manifest alone learns nothing of a part, and whoever
//! changes a file cannot change the manifest to fit.

mod manifest;
pub(crate) mod restore;

use crate::config::Config;
use crate::error::NodeError;
use crate::fail_point;
use crate::files::Files;
use crate::limits::{BACKUP_MARK_WAIT, COPY_BYTES};
use crate::repair::{Listed, examine, listed};
use crate::runner::Runner;
use manifest::{Entry, Keys, MANIFEST, Manifest, STATE};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use trine_consensus::{Consensus, StateImage};
use trine_proto::catalog::{Catalog, JobStatus, SegmentEntry, Subject, TransactionState};
use trine_proto::command::NodeCommandKind;
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, LogIndex, Party, SegmentId, TableId};
use trine_proto::wire::BackupProgress;
use trine_storage::{Backend as _, BackendRead, Disk, StorageError, Store};

/// Name of the file that says that a backup is being written.
const UNFINISHED: &str = "unfinished";
const PARTIAL: &str = ".partial";

/// Whose backup it is.
pub(crate) struct Owner {
    pub(crate) party: Party,
    pub(crate) cluster: ClusterId,
    pub(crate) identity: Identity,
}

impl Owner {
    pub(crate) fn of(config: &Config) -> Self {
        let (party, cluster) = (config.party, config.cluster.id);
        Self { party, cluster, identity: config.identity.clone() }
    }
}

/// Makes backups of a node that runs.
pub(crate) struct Backups {
    pub(crate) owner: Owner,
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) store: Store,
    pub(crate) runner: Arc<Runner>,
    /// One at a time.
    pub(crate) turn: Mutex<()>,
}

impl Backups {
    /// Copies the position `at`, or marks a new one first. Tells its progress; the last message has
    /// `done`.
    pub(crate) async fn run(
        self: Arc<Self>,
        folder: String,
        at: Option<LogIndex>,
        progress: &mpsc::Sender<BackupProgress>,
    ) {
        let _turn = self.turn.lock().await;
        let mut last = match Arc::clone(&self).try_run(folder, at, progress).await {
            Ok(complete) => complete,
            Err(e) => BackupProgress { failure: e.to_string(), ..Default::default() },
        };
        last.done = true;
        // Who asked may have gone.
        let _ = progress.send(last).await;
    }

    async fn try_run(
        self: Arc<Self>,
        folder: String,
        at: Option<LogIndex>,
        progress: &mpsc::Sender<BackupProgress>,
    ) -> Result<BackupProgress, NodeError> {
        let position = match at {
            Some(position) => position,
            None => {
                let mark = self.runner.order(NodeCommandKind::BackupMark, BACKUP_MARK_WAIT).await?;
                mark.index()
            }
        };
        self.consensus.wait_applied(position, BACKUP_MARK_WAIT).await?;
        let (own, tell) = (Arc::clone(&self), progress.clone());
        let copying = tokio::task::spawn_blocking(move || {
            let image = own.consensus.image(position)?.ok_or_else(|| not_here(position))?;
            write(&own.owner, &own.store, &image, Path::new(&folder), &mut |so_far| {
                // Nobody needs to listen.
                let _ = tell.blocking_send(so_far.clone());
            })
        });
        let complete = copying
            .await
            .map_err(|_| NodeError::Backup("the copying was interrupted".into()))??;
        self.runner.propose(NodeCommandKind::BackupDone(position)).await;
        tracing::info!(%position, files = complete.files, bytes = complete.bytes, "a backup was written");
        Ok(complete)
    }
}

/// The error when a node does not hold the state of a position.
pub(crate) fn not_here(position: LogIndex) -> NodeError {
    NodeError::Backup(format!(
        "this node does not hold the state of log position {position}: it is not marked for a backup any \
         more, or never was; run trined backup without --at for a new one"
    ))
}

/// Writes the backup of one position; `tell` hears of every file.
pub(crate) fn write(
    owner: &Owner,
    store: &Store,
    image: &StateImage,
    folder: &Path,
    tell: &mut dyn FnMut(&BackupProgress),
) -> Result<BackupProgress, NodeError> {
    let disk = begin(folder)?;
    let keys = Keys::of(&owner.identity);
    let (required, optional) = wanted(image.catalog());
    let mut so_far = BackupProgress {
        position: image.position().0,
        share_generation: image.catalog().share_generation,
        files: (required.len() + optional.len()) as u64,
        ..BackupProgress::default()
    };
    let mut files = Vec::with_capacity(required.len() + optional.len());
    for segment in &required {
        let (name, file) =
            store.raw(segment.table, segment.entry.id).map_err(|e| unsound(segment, &e))?;
        files.push(copy(file.as_ref(), &disk, &name, &keys)?);
        so_far.copied += 1;
        so_far.bytes += files.last().map_or(0, |f| f.bytes);
        tell(&so_far);
    }
    for (table, segment) in optional {
        // What was under way at the position may be over by now.
        match store.raw(table, segment) {
            Ok((name, file)) => files.push(copy(file.as_ref(), &disk, &name, &keys)?),
            Err(StorageError::NotFound { .. }) => so_far.files -= 1,
            Err(e) => return Err(e.into()),
        }
    }
    so_far.copied = so_far.files;
    let copies = Store::open(Arc::new(disk.clone()))?;
    for segment in &required {
        examine(&copies, owner.party, segment.table, &segment.entry)
            .map_err(|damage| unsound(segment, &damage))?;
    }
    files.push(put(&disk, STATE, &image.encode()?, &keys)?);
    let manifest = Manifest {
        software: env!("CARGO_PKG_VERSION").into(),
        cluster: hex::encode(owner.cluster.0),
        party: owner.party.index(),
        position: image.position().0,
        log_digest: hex::encode(image.catalog().log_digest),
        share_generation: image.catalog().share_generation,
        files,
    };
    fail_point::reach("backup.manifest");
    put(&disk, MANIFEST, manifest.seal(&keys)?.as_bytes(), &keys)?;
    so_far.bytes = manifest.files.iter().map(|f| f.bytes).sum();
    disk.remove(UNFINISHED).map_err(NodeError::file("remove", folder.join(UNFINISHED)))?;
    Ok(so_far)
}

/// An empty folder with the sign of an unfinished backup.
fn begin(folder: &Path) -> Result<Disk, NodeError> {
    let refused = |what: &str| Err(NodeError::Backup(format!("{} {what}", folder.display())));
    if !folder.is_absolute() {
        return refused("is not an absolute path");
    }
    if folder.join(MANIFEST).exists() {
        return refused("holds a complete backup already: name another folder");
    }
    let unfinished = folder.join(UNFINISHED).exists();
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => Some(entries),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(NodeError::file("read", folder)(e)),
    };
    if !unfinished && entries.as_mut().is_some_and(|e| e.next().is_some()) {
        return refused("is not empty, and holds no unfinished backup: name another folder");
    }
    // What an unfinished one has left may be of another position.
    let segments = folder.join("segments");
    if segments.exists() {
        std::fs::remove_dir_all(&segments).map_err(NodeError::file("remove", &segments))?;
    }
    let disk = Disk::new(folder);
    let marked = disk.create(UNFINISHED).and_then(|mut file| file.sync());
    marked.map_err(NodeError::file("write", folder.join(UNFINISHED)))?;
    Ok(disk)
}

/// The segments that a backup must hold, and those that it holds if they are still here: of statements
/// and loads that were under way.
fn wanted(catalog: &Catalog) -> (Vec<Listed>, BTreeSet<(TableId, SegmentId)>) {
    let required = listed(catalog);
    let have: BTreeSet<SegmentId> = Files::of(catalog).listed.iter().map(|(_, id)| *id).collect();
    let mut optional = BTreeSet::new();
    let jobs = catalog.jobs.values().filter(|j| j.status == JobStatus::Active);
    optional.extend(jobs.filter_map(|j| j.parameters.as_ref()).map(parameters));
    for state in catalog.transactions.values() {
        let TransactionState::Validating(validation) = state else { continue };
        match &validation.subject {
            Subject::Batch(SegmentEntry { id, .. }) if !have.contains(id) => {
                optional.insert((validation.table, *id));
            }
            Subject::Write(write) => optional.extend(write.parameters.as_ref().map(parameters)),
            _ => {}
        }
    }
    (required, optional)
}

fn parameters(of: &trine_proto::catalog::Parameters) -> (TableId, SegmentId) {
    (TableId::PARAMETERS, of.segment)
}

fn unsound(segment: &Listed, damage: &dyn std::fmt::Display) -> NodeError {
    NodeError::Backup(format!(
        "table {}, segment {}: {damage}; there is no backup: run trined repair first",
        segment.name, segment.entry.id
    ))
}

/// Copies a file into a folder, whole or not at all, and digests it.
fn copy(from: &dyn BackendRead, to: &Disk, name: &str, keys: &Keys) -> Result<Entry, NodeError> {
    fail_point::reach("backup.file");
    let length = from.length().map_err(NodeError::file("read", name))?;
    let mut digest = keys.file(name);
    let partial = format!("{name}{PARTIAL}");
    let mut file = to.create(&partial).map_err(NodeError::file("create", &partial))?;
    let mut offset = 0;
    while offset < length {
        let step = usize::try_from(length - offset).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
        let bytes = from.read_at(offset, step).map_err(NodeError::file("read", name))?;
        digest.update(&bytes);
        file.write_all(&bytes).map_err(NodeError::file("write", &partial))?;
        offset += step as u64;
    }
    file.flush().map_err(NodeError::file("write", &partial))?;
    file.sync().map_err(NodeError::file("sync", &partial))?;
    drop(file);
    to.rename(&partial, name).map_err(NodeError::file("rename", &partial))?;
    Ok(Entry { name: name.into(), bytes: length, digest: digest.finish() })
}

/// Writes a small file, whole or not at all.
fn put(to: &Disk, name: &str, bytes: &[u8], keys: &Keys) -> Result<Entry, NodeError> {
    copy(&bytes, to, name, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_goes_into_an_empty_folder_or_one_of_an_unfinished_backup() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |folder: &Path| begin(folder).map(drop).unwrap_err().to_string();
        assert_eq!(refused(Path::new("here")), "here is not an absolute path");
        let new = dir.path().join("new");
        begin(&new).unwrap();
        // It was killed there; the next one begins again.
        std::fs::create_dir_all(new.join("segments/1")).unwrap();
        begin(&new).unwrap();
        assert!(!new.join("segments").exists());
        std::fs::write(new.join(MANIFEST), "").unwrap();
        assert!(refused(&new).ends_with("holds a complete backup already: name another folder"));
        std::fs::write(dir.path().join("other"), "").unwrap();
        let text = "is not empty, and holds no unfinished backup: name another folder";
        assert!(refused(dir.path()).ends_with(text));
    }
}
