//! Checking and repairing one party's segments.
//!
//! A segment that the log lists and whose file is missing or does not hold its digests is *damaged*.
//! Queries that need it are refused (`attempt`); everything else goes on. [`Repairer::check`] finds
//! what is damaged and, if asked, rebuilds it:
//!
//! 1. This party i dials both peers, over the mesh: both ends are known by their pinned keys, and the
//!    giving side looks the caller up in the replicated state (`serve`).
//! 2. Component i comes from party i-1, component i+1 from party i+1, each with its salt, and as a seed
//!    where it is one. The other component of either peer stays there: nobody learns anything new.
//! 3. Both peers and the log must say the same of rows, schema and PUBLIC columns (`fetch`).
//! 4. The new file takes the old one's place only if its keyed digests are those that the log lists.
//!
//! Jobs run all the while.

mod fetch;
mod serve;
mod wire;

pub(crate) use serve::Giver;

use crate::files::Files;
use crate::limits::PROPOSE_TIMEOUT;
use crate::mesh::Mesh;
use crate::runner::Runner;
use fetch::Fetcher;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use trine_consensus::Consensus;
use trine_proto::catalog::{Catalog, SegmentEntry};
use trine_proto::command::NodeCommandKind;
use trine_proto::ids::{JobId, Party, SegmentId, TableId};
use trine_proto::wire::{CheckProgress, SegmentReport};
use trine_storage::{StorageError, Store};

/// Checks and repairs the store of this node.
pub(crate) struct Repairer {
    pub(crate) party: Party,
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) store: Store,
    pub(crate) mesh: Mesh,
    pub(crate) runner: Arc<Runner>,
    /// One check at a time: two would fetch the same.
    pub(crate) turn: Mutex<()>,
}

/// One segment that the log lists.
pub(crate) struct Listed {
    pub(crate) table: TableId,
    pub(crate) name: String,
    pub(crate) entry: SegmentEntry,
}

/// The segments that the log lists, those of open transactions among them, with what it says of them.
pub(crate) fn listed(catalog: &Catalog) -> Vec<Listed> {
    let mut wanted = Files::of(catalog).listed;
    let mut found = Vec::with_capacity(wanted.len());
    for table in catalog.tables.values() {
        for entry in &table.segments {
            let home = entry.home(table.id);
            // Versions of a table list the same segments.
            if wanted.remove(&(home, entry.id)) {
                let name = table.schema.name.clone();
                found.push(Listed { table: home, name, entry: entry.clone() });
            }
        }
    }
    let uncommitted = catalog.uncommitted().filter(|(id, s)| wanted.contains(&(*id, s.id)));
    found.extend(uncommitted.map(|(table, entry)| Listed {
        table,
        name: catalog.tables.get(&table).map_or_else(String::new, |t| t.schema.name.clone()),
        entry: entry.clone(),
    }));
    found
}

/// Reads one segment's whole file: its rows, or what is wrong with it.
pub(crate) fn examine(
    store: &Store,
    party: Party,
    table: TableId,
    entry: &SegmentEntry,
) -> Result<u64, String> {
    let reader = store.check(table, entry.id).map_err(|e| match e {
        StorageError::NotFound { .. } => "the file is missing".to_owned(),
        e => e.to_string(),
    })?;
    let (header, digests) = (reader.header(), reader.digests());
    let due = [0, 1].map(|slot| entry.component_digests[header.component_index(slot)]);
    if header.party != party || header.rows != entry.rows || digests.components != due {
        return Err("the file is sound, but not what the log lists".into());
    }
    Ok(header.rows)
}

/// Files of batches that wait for the log, and of a statement's parameters.
pub(crate) fn unlisted(store: &Store, catalog: &Catalog) -> u64 {
    let wanted = Files::of(catalog).listed;
    let stored = store.list().unwrap_or_default();
    stored.iter().filter(|key| !wanted.contains(key)).count() as u64
}

impl Repairer {
    /// Checks every segment that the log lists, and rebuilds the damaged ones if `repair`. Tells its
    /// progress; the last message is complete and has `done`. Goes on until the end even if nobody
    /// listens.
    pub(crate) async fn check(&self, repair: bool, progress: &mpsc::Sender<CheckProgress>) {
        let _turn = self.turn.lock().await;
        self.catch_up().await;
        let segments = listed(&self.consensus.catalog());
        let mut so_far = CheckProgress { segments: segments.len() as u64, ..Default::default() };
        let mut fetcher = Fetcher::new(self.mesh.clone(), self.store.clone(), self.party);
        for segment in segments {
            let report = self.one(&segment, repair, &mut fetcher, &mut so_far).await;
            so_far.checked += 1;
            // Who asked may have gone.
            let _ = progress.send(CheckProgress { report, ..so_far.clone() }).await;
        }
        so_far.unlisted = unlisted(&self.store, &self.consensus.catalog());
        so_far.done = true;
        let _ = progress.send(so_far).await;
    }

    /// Waits until this node knows what the log lists. Without two nodes it goes on with what it knows.
    async fn catch_up(&self) {
        // The retry of an attempt that never was changes nothing; once it is applied here, so is all
        // that was ordered before.
        let nothing = NodeCommandKind::JobRetry { job: JobId([0; 16]), attempt: 0 };
        if tokio::time::timeout(PROPOSE_TIMEOUT, self.runner.propose(nothing)).await.is_err() {
            tracing::warn!("this node may not have caught up with the log");
        }
    }

    async fn one(
        &self,
        segment: &Listed,
        repair: bool,
        fetcher: &mut Fetcher,
        so_far: &mut CheckProgress,
    ) -> Option<SegmentReport> {
        let (store, party, table) = (self.store.clone(), self.party, segment.table);
        let entry = segment.entry.clone();
        let examined = move || examine(&store, party, table, &entry);
        let damage = match tokio::task::spawn_blocking(examined).await {
            Ok(Ok(rows)) => {
                so_far.rows += rows;
                return None;
            }
            Ok(Err(damage)) => damage,
            Err(_) => "reading it was interrupted".to_owned(),
        };
        if !self.still_listed(table, segment.entry.id) {
            return None;
        }
        so_far.damaged += 1;
        let (name, id) = (&segment.name, segment.entry.id);
        tracing::error!(party = %self.party, table = name, segment = %id, damage, "a segment is damaged");
        let mut report = SegmentReport {
            table_id: table.0,
            table: name.clone(),
            segment_id: id.0.to_vec(),
            damage,
            repaired: false,
            failure: String::new(),
        };
        if repair {
            match fetcher.rebuild(table, &segment.entry).await {
                Ok(bytes) => {
                    so_far.bytes_fetched += bytes;
                    so_far.repaired += 1;
                    so_far.rows += segment.entry.rows;
                    report.repaired = true;
                    tracing::info!(table = name, segment = %id, bytes, "a segment was rebuilt");
                }
                // It was dropped meanwhile.
                Err(_) if !self.still_listed(table, id) => {
                    so_far.damaged -= 1;
                    return None;
                }
                Err(failure) => {
                    tracing::error!(table = name, segment = %id, failure, "a segment was not rebuilt");
                    report.failure = failure;
                }
            }
        }
        Some(report)
    }

    fn still_listed(&self, table: TableId, segment: SegmentId) -> bool {
        Files::of(&self.consensus.catalog()).listed.contains(&(table, segment))
    }
}
