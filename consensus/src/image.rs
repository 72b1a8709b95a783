//! The replicated state at one position, apart from a running node: what a backup holds of it, and how
//! a folder is made from it.
//!
//! When an entry marks its position for a backup, every node that applies it puts a copy of the state
//! into its store, in the batch of that entry. The copy goes with the mark. A node that got past the
//! position by a snapshot has none.
//!
//! A restored folder stands as a member whose log begins behind the position: the state, the position
//! of its last entry as the end of what was purged, and a vote of that entry's term. Three that restore
//! the same position are a cluster that has compacted its logs there. It must not be used beside nodes
//! that went on: see `join`.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trine_proto::catalog::{Catalog, ClusterInfo};
use trine_proto::ids::{LogIndex, Party};

use crate::consensus::{self, Identity};
use crate::database::{Batch, Database, Family, decode, encode};
use crate::error::ConsensusError;
use crate::join::{RESTORED, Restored};
use crate::log_store::{PURGED, VOTE};
use crate::raft::{RaftId, Vote};
use crate::records::{self, Applied};

/// Format version of an encoded image, its first byte.
const IMAGE_FORMAT: u8 = 2;
/// Prefix of the keys of marked states in the family `meta`.
const MARKED: &[u8] = b"backup";
/// Where a folder is built before it takes its place.
const PARTIAL: &str = "restored.partial";

/// A marked state as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    applied: Applied,
    catalog: Catalog,
}

/// The replicated state at one position, with what one node needs to begin there.
pub struct StateImage {
    raft_id: RaftId,
    record: Record,
}

impl StateImage {
    /// The state.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.record.catalog
    }

    /// The last position in it.
    #[must_use]
    pub const fn position(&self) -> LogIndex {
        self.record.catalog.applied
    }

    /// As bytes, the format version first.
    ///
    /// # Errors
    /// Never in practice: the encoding goes into memory.
    pub fn encode(&self) -> Result<Vec<u8>, ConsensusError> {
        let mut bytes = vec![IMAGE_FORMAT];
        bytes.extend(encode(&(self.raft_id, &self.record))?);
        Ok(bytes)
    }

    /// From bytes.
    ///
    /// # Errors
    /// `Unsupported` for another format version, `Corrupt`.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConsensusError> {
        let (&format, body) =
            bytes.split_first().ok_or_else(|| ConsensusError::Corrupt("an empty image".into()))?;
        if format != IMAGE_FORMAT {
            return Err(ConsensusError::Unsupported {
                what: "the replicated state of the backup",
                found: u32::from(format),
                known: u32::from(IMAGE_FORMAT),
            });
        }
        let (raft_id, record) = decode(body)?;
        Ok(Self { raft_id, record })
    }

    /// Makes the subfolder `raft` of a data folder, whole or not at all. `nonce`: drawn for this
    /// restore; it tells it from every other.
    ///
    /// # Errors
    /// `WrongCluster` if the image is of another; `Io`, also if there is such a subfolder.
    pub fn install(
        &self,
        dir: &Path,
        party: Party,
        cluster: &ClusterInfo,
        nonce: [u8; 16],
    ) -> Result<(), ConsensusError> {
        let io = |e: std::io::Error| ConsensusError::Io(format!("{}: {e}", dir.display()));
        if self.record.catalog.cluster.as_ref() != Some(cluster) {
            let text = "the backup is of another cluster than this node's [cluster] block";
            return Err(ConsensusError::WrongCluster(text.into()));
        }
        let Some(last) = self.record.applied.last else {
            return Err(ConsensusError::Corrupt("an image of no position".into()));
        };
        let partial = dir.join(PARTIAL);
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(io)?;
        }
        std::fs::create_dir_all(&partial).map_err(io)?;
        let database = Database::open(&partial)?;
        let mut batch = database.batch();
        let identity = Identity::new(self.raft_id, party, cluster)?;
        batch.put(Family::Meta, consensus::IDENTITY, &identity)?;
        // Marks were for the nodes that have gone on.
        let mut catalog = self.record.catalog.clone();
        catalog.backups.clear();
        records::write_difference(&mut batch, &Catalog::default(), &catalog, &self.record.applied)?;
        batch.put(Family::Meta, PURGED, &last)?;
        let vote = Vote::new(last.leader_id.term, last.leader_id.node_id);
        batch.put(Family::Meta, VOTE, &vote)?;
        let restored = Restored::new(&catalog, nonce);
        batch.put(Family::Meta, RESTORED, &restored)?;
        batch.commit_synced()?;
        drop(database);
        std::fs::rename(partial.join("raft"), dir.join("raft")).map_err(io)?;
        std::fs::remove_dir(&partial).map_err(io)?;
        std::fs::File::open(dir).and_then(|folder| folder.sync_all()).map_err(io)
    }
}

impl fmt::Debug for StateImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateImage(position {}, Raft id {})", self.position(), self.raft_id)
    }
}

/// What is stored of the state behind a marking entry.
pub(crate) fn record(applied: &Applied, catalog: &Catalog) -> Result<Record, ConsensusError> {
    Ok(Record { applied: applied.clone(), catalog: catalog.clone() })
}

/// Adds marked states to a batch, and removes those whose mark has gone.
pub(crate) fn write_difference(
    batch: &mut Batch<'_>,
    old: &Catalog,
    new: &Catalog,
    marked: Vec<(LogIndex, Record)>,
) -> Result<(), ConsensusError> {
    for position in old.backups.keys().filter(|p| !new.backups.contains_key(p)) {
        batch.delete(Family::Meta, &key(*position))?;
    }
    for (position, record) in marked {
        // A later entry of the same batch may have ended it.
        if new.backups.contains_key(&position) {
            batch.put(Family::Meta, &key(position), &record)?;
        }
    }
    Ok(())
}

/// The image of a marked position, or of the last one; none if this store does not have it.
pub(crate) fn load(
    database: &Database,
    at: Option<LogIndex>,
) -> Result<Option<StateImage>, ConsensusError> {
    let Some(identity) = consensus::identity(database)? else { return Ok(None) };
    let marked = match at {
        Some(position) => database.get::<Record>(Family::Meta, &key(position))?,
        None => None,
    };
    let record = match marked {
        Some(record) => record,
        None => {
            let (catalog, applied) = records::load(database)?;
            Record { applied, catalog }
        }
    };
    let fits = at.is_none_or(|position| position == record.catalog.applied);
    Ok(fits.then_some(StateImage { raft_id: identity.raft_id, record }))
}

fn key(position: LogIndex) -> Vec<u8> {
    [MARKED, &position.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{LogId, StoredMembership};
    use crate::testing::TestCluster;
    use openraft::CommittedLeaderId;

    fn image(cluster: &ClusterInfo) -> StateImage {
        let catalog = Catalog {
            cluster: Some(cluster.clone()),
            applied: LogIndex(7),
            share_generation: 2,
            ..Catalog::default()
        };
        let last = Some(LogId::new(CommittedLeaderId::new(3, 2), 8));
        let applied = Applied { last, membership: StoredMembership::default() };
        StateImage { raft_id: 1, record: Record { applied, catalog } }
    }

    #[test]
    fn an_image_makes_a_folder_that_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = TestCluster::seeded(1).info;
        let bytes = image(&cluster).encode().unwrap();
        let image = StateImage::decode(&bytes).unwrap();
        image.install(dir.path(), Party::ALL[0], &cluster, [9; 16]).unwrap();
        let database = Database::open(dir.path()).unwrap();
        let (catalog, applied) = records::load(&database).unwrap();
        assert_eq!((&catalog, &applied), (image.catalog(), &image.record.applied));
        let vote: Vote = database.get(Family::Meta, VOTE).unwrap().unwrap();
        assert_eq!(vote, Vote::new(3, 2));
        let again = load(&database, Some(LogIndex(7))).unwrap().unwrap();
        assert_eq!(again.encode().unwrap(), bytes);
        assert!(load(&database, Some(LogIndex(6))).unwrap().is_none());
        drop(database);
        // What is there is never replaced.
        assert!(image.install(dir.path(), Party::ALL[0], &cluster, [8; 16]).is_err());
    }

    #[test]
    fn a_folder_of_another_version_is_refused_with_both() {
        for found in [2_u32, 4] {
            let dir = tempfile::tempdir().unwrap();
            let database = Database::open(dir.path()).unwrap();
            let mut batch = database.batch();
            // Whatever another version has behind its number.
            batch.put(Family::Meta, consensus::IDENTITY, &(found, 7_u64, [1_u8; 5])).unwrap();
            batch.commit_synced().unwrap();
            drop(database);
            let text = format!(
                "the replicated state in the data folder has format version {found}; this version \
                 reads 3"
            );
            let refusals = [
                crate::join::standing(dir.path()).map(drop).unwrap_err(),
                consensus::stored_catalog(dir.path()).map(drop).unwrap_err(),
                consensus::stored_image(dir.path(), None).map(drop).unwrap_err(),
            ];
            for refusal in refusals {
                assert_eq!(refusal.to_string(), text);
            }
        }
    }

    #[test]
    fn images_of_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = TestCluster::seeded(1).info;
        let image = image(&cluster);
        let other = TestCluster::seeded(2).info;
        let refused = image.install(dir.path(), Party::ALL[0], &other, [9; 16]).unwrap_err();
        assert!(matches!(refused, ConsensusError::WrongCluster(_)), "{refused}");
        let mut bytes = image.encode().unwrap();
        bytes[0] = IMAGE_FORMAT + 1;
        assert_eq!(
            StateImage::decode(&bytes).unwrap_err().to_string(),
            "the replicated state of the backup has format version 3; this version reads 2"
        );
        bytes[0] = IMAGE_FORMAT;
        bytes.pop();
        assert!(matches!(StateImage::decode(&bytes), Err(ConsensusError::Corrupt(_))));
    }
}
