//! A backup into an empty data folder. A folder that is being restored says so until it is complete;
//! no node starts on it. The replicated state comes last.

use super::manifest::{Entry, Keys, MANIFEST, Manifest, STATE};
use super::{Owner, copy};
use crate::error::NodeError;
use crate::fail_point;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::repair::{examine, listed};
use std::path::Path;
use std::sync::Arc;
use trine_consensus::StateImage;
use trine_proto::catalog::ClusterInfo;
use trine_storage::{Backend as _, Disk, Store};

/// The file in a data folder that is being restored.
const RESTORING: &str = "restoring";

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) position: u64,
    pub(crate) share_generation: u64,
    pub(crate) segments: usize,
    pub(crate) bytes: u64,
}

/// Refuses a data folder whose restore was interrupted.
pub(crate) fn check_complete(data: &Path) -> Result<(), NodeError> {
    if data.join(RESTORING).exists() {
        return Err(NodeError::Backup(format!(
            "the restore into {} was not finished: run trined restore again",
            data.display()
        )));
    }
    Ok(())
}

/// Restores a party's data folder; the caller holds its lock.
pub(crate) fn restore(
    owner: &Owner,
    cluster: &ClusterInfo,
    from: &Path,
    data: &Path,
) -> Result<Restored, NodeError> {
    let keys = Keys::of(&owner.identity);
    let manifest = read_manifest(owner, from, &keys)?;
    let source = Disk::new(from);
    let disk = begin(data)?;
    for entry in &manifest.files {
        fail_point::reach("restore.file");
        // The state is not a file of the data folder.
        if entry.name != STATE {
            copied(&source, &disk, entry, &keys)?;
        }
    }
    let image = state(&source, &manifest, &keys)?;
    let store = Store::open(Arc::new(disk.clone()))?;
    let segments = listed(image.catalog());
    for segment in &segments {
        examine(&store, owner.party, segment.table, &segment.entry).map_err(|damage| {
            refused(
                from,
                &format!("table {}, segment {}: {damage}", segment.name, segment.entry.id),
            )
        })?;
    }
    fail_point::reach("restore.state");
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|e| NodeError::System(std::io::Error::other(e)))?;
    image.install(data, owner.party, cluster, nonce)?;
    fail_point::reach("restore.end");
    disk.remove(RESTORING).map_err(NodeError::file("remove", data.join(RESTORING)))?;
    Ok(Restored {
        position: manifest.position,
        share_generation: manifest.share_generation,
        segments: segments.len(),
        bytes: manifest.files.iter().map(|f| f.bytes).sum(),
    })
}

fn refused(from: &Path, what: &str) -> NodeError {
    NodeError::Backup(format!("{}: {what}", from.display()))
}

fn read_manifest(owner: &Owner, from: &Path, keys: &Keys) -> Result<Manifest, NodeError> {
    let path = from.join(MANIFEST);
    let text = match std::fs::metadata(&path).map(|m| m.len()) {
        Ok(length) if length > MANIFEST_BYTES_MAX => {
            return Err(refused(from, &format!("{MANIFEST} is not that of a backup")));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(refused(from, &format!("holds no complete backup: {MANIFEST} is missing")));
        }
        _ => std::fs::read_to_string(&path).map_err(NodeError::file("read", &path))?,
    };
    let manifest = Manifest::open(from, &text, keys)?;
    if manifest.cluster != hex::encode(owner.cluster.0) {
        return Err(refused(from, "the backup is of another cluster"));
    }
    if manifest.party != owner.party.index() {
        let what =
            format!("the backup is of party {}, and this is party {}", manifest.party, owner.party);
        return Err(refused(from, &what));
    }
    Ok(manifest)
}

/// An empty data folder, marked as being restored. What an interrupted restore has left goes.
fn begin(data: &Path) -> Result<Disk, NodeError> {
    let again = data.join(RESTORING).exists();
    for part in ["segments", "raft"] {
        let path = data.join(part);
        if !path.exists() {
            continue;
        }
        if !again {
            return Err(NodeError::Backup(format!(
                "{} is not empty: move {part} away, and restore into an empty data folder",
                data.display()
            )));
        }
        std::fs::remove_dir_all(&path).map_err(NodeError::file("remove", &path))?;
    }
    let disk = Disk::new(data);
    let marked = disk.create(RESTORING).and_then(|mut file| file.sync());
    marked
        .and_then(|()| disk.settle("."))
        .map_err(NodeError::file("write", data.join(RESTORING)))?;
    Ok(disk)
}

fn copied(source: &Disk, disk: &Disk, entry: &Entry, keys: &Keys) -> Result<(), NodeError> {
    let file = opened(source, entry)?;
    // A name from a manifest under this party's own key: it leads nowhere else.
    let found = copy(file.as_ref(), disk, &entry.name, keys)?;
    if found == *entry { Ok(()) } else { Err(corrupt(entry)) }
}

fn state(source: &Disk, manifest: &Manifest, keys: &Keys) -> Result<StateImage, NodeError> {
    let entry = manifest.files.iter().find(|entry| entry.name == STATE);
    let entry = entry.ok_or_else(|| NodeError::Backup("the backup lists no state".into()))?;
    let file = opened(source, entry)?;
    let length = usize::try_from(entry.bytes).map_err(|_| corrupt(entry))?;
    if file.length().map_err(NodeError::file("read", STATE))? != entry.bytes {
        return Err(corrupt(entry));
    }
    let bytes = file.read_at(0, length).map_err(NodeError::file("read", STATE))?;
    let mut digest = keys.file(STATE);
    digest.update(&bytes);
    if digest.finish() != entry.digest {
        return Err(corrupt(entry));
    }
    let image = StateImage::decode(&bytes)?;
    if image.position().0 != manifest.position {
        return Err(corrupt(entry));
    }
    Ok(image)
}

fn opened(source: &Disk, entry: &Entry) -> Result<Box<dyn trine_storage::BackendRead>, NodeError> {
    source.open(&entry.name).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            NodeError::Backup(format!("{} is missing from the backup", entry.name))
        }
        _ => NodeError::file("read", &entry.name)(e),
    })
}

fn corrupt(entry: &Entry) -> NodeError {
    NodeError::Backup(format!(
        "{} of the backup is corrupt: it is not what the manifest lists",
        entry.name
    ))
}
