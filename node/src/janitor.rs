//! Staged parts that nobody commits: after a long time this node proposes to give them up. Nothing is
//! deleted by a timer: the log decides, and a Commit that comes first wins.

use crate::limits::{PARAMETERS_KEEP, STAGED_LOOK};
use crate::runner::Runner;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use trine_consensus::Consensus;
use trine_proto::catalog::{Catalog, JobStatus, Subject, TransactionState, WriteEntry};
use trine_proto::command::NodeCommandKind;
use trine_proto::ids::{SegmentId, TableId, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::Store;

/// Looks after the staged parts until `stop` turns true. Those that wait for their Commit for longer
/// than `staged_keep` are given up.
pub(crate) async fn run(
    runner: Arc<Runner>,
    consensus: Arc<Consensus>,
    store: Store,
    staged_keep: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let (look, parameters_keep) =
        (STAGED_LOOK.min(staged_keep / 4), PARAMETERS_KEEP.min(staged_keep));
    let mut seen = BTreeMap::new();
    let mut parameters_seen = BTreeMap::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(look) => {}
        }
        let files = store.clone();
        let Ok(Ok(stored)) = tokio::task::spawn_blocking(move || files.list()).await else {
            continue;
        };
        let (parameters, stored): (Vec<_>, Vec<_>) =
            stored.into_iter().partition(|(table, _)| *table == TableId::PARAMETERS);
        let catalog = consensus.catalog();
        let unused = unused(parameters.into_iter().map(|(_, id)| id).collect(), &catalog);
        for segment in overdue(&mut parameters_seen, &unused, Instant::now(), parameters_keep) {
            // The log knows nothing of them: each node forgets its own part.
            if let Err(e) = store.remove(TableId::PARAMETERS, segment) {
                tracing::warn!(error = %e, "old parameters stay on disk for now");
            }
        }
        let stored = stored.into_iter().map(|(_, segment)| segment).collect();
        let staged = unresolved(stored, &catalog);
        for segment in overdue(&mut seen, &staged, Instant::now(), staged_keep) {
            tracing::warn!(%segment, "a staged part was never committed; giving it up");
            let error = SqlError::new(
                sqlstate::QUERY_CANCELED,
                "the batch was staged but never committed, and was given up",
            );
            let transaction = TransactionId(segment.0);
            runner.propose(NodeCommandKind::Abort { transaction, error }).await;
        }
    }
}

/// Rows of parameters that no unfinished statement names.
fn unused(stored: BTreeSet<SegmentId>, catalog: &Catalog) -> BTreeSet<SegmentId> {
    let jobs = catalog.jobs.values().filter(|j| j.status == JobStatus::Active);
    let queries = jobs.filter_map(|j| j.parameters.as_ref());
    let writes = writes(catalog).filter_map(|(_, _, write)| write.parameters.as_ref());
    let named: BTreeSet<SegmentId> = queries.chain(writes).map(|p| p.segment).collect();
    stored.difference(&named).copied().collect()
}

/// Unfinished statements that write, with their attempt.
fn writes(catalog: &Catalog) -> impl Iterator<Item = (TransactionId, u32, &WriteEntry)> {
    catalog.transactions.iter().filter_map(|(id, state)| match state {
        TransactionState::Validating(v) => match &v.subject {
            Subject::Write(write) => Some((*id, v.attempt, &**write)),
            _ => None,
        },
        _ => None,
    })
}

/// What is stored and neither listed nor given up nor under check.
pub(crate) fn unresolved(stored: BTreeSet<SegmentId>, catalog: &Catalog) -> BTreeSet<SegmentId> {
    let listed: BTreeSet<SegmentId> =
        catalog.tables.values().flat_map(|t| t.segments.iter().map(|s| s.id)).collect();
    let written: BTreeSet<SegmentId> = writes(catalog)
        .flat_map(|(id, attempt, _)| (1..=attempt).map(move |a| id.segment_of_attempt(a)))
        .collect();
    let checked = |id: &SegmentId| {
        let state = catalog.transactions.get(&TransactionId(id.0));
        written.contains(id) || matches!(state, Some(TransactionState::Validating(_)))
    };
    stored
        .into_iter()
        .filter(|id| !listed.contains(id) && !catalog.aborted_segments.contains(id) && !checked(id))
        .collect()
}

/// Those that have been staged for longer than `keep` since this process first saw them.
fn overdue(
    seen: &mut BTreeMap<SegmentId, Instant>,
    staged: &BTreeSet<SegmentId>,
    now: Instant,
    keep: Duration,
) -> Vec<SegmentId> {
    seen.retain(|id, _| staged.contains(id));
    for id in staged {
        seen.entry(*id).or_insert(now);
    }
    seen.iter().filter(|(_, since)| now.duration_since(**since) > keep).map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::ids::LogIndex;

    #[test]
    fn only_what_is_staged_for_long_is_overdue() {
        let (a, b) = (SegmentId([1; 16]), SegmentId([2; 16]));
        let keep = Duration::from_secs(100);
        let start = Instant::now();
        let mut seen = BTreeMap::new();
        assert!(overdue(&mut seen, &[a].into(), start, keep).is_empty());
        let later = start + Duration::from_secs(60);
        assert!(overdue(&mut seen, &[a, b].into(), later, keep).is_empty());
        let late = start + Duration::from_secs(101);
        assert_eq!(overdue(&mut seen, &[a, b].into(), late, keep), [a]);
        assert!(overdue(&mut seen, &[b].into(), late, keep).is_empty());
    }

    #[test]
    fn what_the_log_has_resolved_is_not_staged() {
        let (a, b) = (SegmentId([1; 16]), SegmentId([2; 16]));
        let mut catalog = Catalog::default();
        catalog.aborted_segments.insert(a);
        let state = TransactionState::Aborted(LogIndex(1), SqlError::new("57014", "x"));
        catalog.transactions.insert(TransactionId(a.0), state);
        assert_eq!(unresolved([a, b].into(), &catalog), [b].into());
    }
}
