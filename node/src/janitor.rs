//! Staged parts that nobody commits, and open transactions whose clients have gone: after a long time
//! this node proposes to give them up. Nothing is deleted by a timer: the log decides, and a Commit
//! that comes first wins.

use crate::limits::{BACKUP_KEEP, MEMORY_RELEASE, PARAMETERS_KEEP, RESULTS_LOOK_MIN, STAGED_LOOK};
use crate::runner::Runner;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use trine_consensus::Consensus;
use trine_proto::catalog::{Catalog, JobStatus, Subject, TransactionState, WriteEntry};
use trine_proto::command::NodeCommandKind;
use trine_proto::ids::{LogIndex, SegmentId, TableId, TransactionId};
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

/// Deletes results that are too old until `stop` turns true.
pub(crate) async fn results(runner: Arc<Runner>, keep: Duration, mut stop: watch::Receiver<bool>) {
    let look = (keep / 4).clamp(RESULTS_LOOK_MIN, STAGED_LOOK);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(look) => {}
        }
        let runner = Arc::clone(&runner);
        let expiring = tokio::task::spawn_blocking(move || runner.results().expire());
        if let Err(e) = expiring.await {
            tracing::error!(error = %e, "expiring results");
        }
    }
}

/// Gives back, now and then until `stop` turns true, what statements have freed: in pieces it would stay
/// with the process for good.
pub(crate) async fn memory(mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(MEMORY_RELEASE) => {}
        }
        if tokio::task::spawn_blocking(trine_mpc::release_freed).await.is_err() {
            return;
        }
    }
}

/// Looks after the open transactions until `stop` turns true: proposes to roll back what has been idle
/// for longer than `idle`.
pub(crate) async fn abandoned(
    runner: Arc<Runner>,
    consensus: Arc<Consensus>,
    idle: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut seen = BTreeMap::new();
    let pause = (idle / 4).min(STAGED_LOOK);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
        let open = idle_transactions(&consensus.catalog());
        for (transaction, _) in overdue(&mut seen, &open, Instant::now(), idle) {
            tracing::warn!(%transaction, "an open transaction is idle; rolling it back");
            let error = SqlError::new(
                sqlstate::IDLE_IN_TRANSACTION,
                format!(
                    "the transaction was rolled back: nothing was asked of it for {} seconds",
                    idle.as_secs()
                ),
            )
            .hint("run it again from its BEGIN");
            runner.propose(NodeCommandKind::Abort { transaction, error }).await;
        }
    }
}

/// Looks after the positions that are marked for a backup until `stop` turns true: proposes to give up
/// what has stood for too long.
pub(crate) async fn backups(
    runner: Arc<Runner>,
    consensus: Arc<Consensus>,
    mut stop: watch::Receiver<bool>,
) {
    let mut seen = BTreeMap::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(STAGED_LOOK) => {}
        }
        let marked: BTreeSet<LogIndex> = consensus.catalog().backups.keys().copied().collect();
        for position in overdue(&mut seen, &marked, Instant::now(), BACKUP_KEEP) {
            tracing::warn!(%position, "not all three have backed up a marked position; giving it up");
            runner.propose(NodeCommandKind::BackupEnd(position)).await;
        }
    }
}

/// Open transactions of which nothing runs, with the position of what they were last asked.
fn idle_transactions(catalog: &Catalog) -> BTreeSet<(TransactionId, LogIndex)> {
    let asks = |id: TransactionId| {
        let mut jobs = catalog.jobs.values().filter(|j| j.status == JobStatus::Active);
        jobs.any(|j| j.within.as_ref().is_some_and(|w| w.transaction == id))
    };
    let open = catalog.transactions.iter().filter_map(|(id, state)| match state {
        TransactionState::Open(open) if open.running.is_none() && !asks(*id) => {
            Some((*id, open.touched))
        }
        _ => None,
    });
    open.collect()
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
    let packed = catalog.transactions.iter().filter_map(|(id, state)| match state {
        TransactionState::Validating(v) if matches!(v.subject, Subject::Pack(_)) => {
            Some((*id, v.attempt))
        }
        _ => None,
    });
    let packed: BTreeSet<SegmentId> = packed
        .flat_map(|(id, attempt)| (1..=attempt).map(move |a| id.segment_of_attempt(a)))
        .collect();
    let joined: BTreeSet<SegmentId> = catalog.uncommitted().map(|(_, s)| s.id).collect();
    let checked = |id: &SegmentId| {
        let state = catalog.transactions.get(&TransactionId(id.0));
        written.contains(id)
            || packed.contains(id)
            || matches!(state, Some(TransactionState::Validating(_)))
    };
    stored
        .into_iter()
        .filter(|id| !listed.contains(id) && !joined.contains(id))
        .filter(|id| !catalog.aborted_segments.contains(id) && !checked(id))
        .collect()
}

/// Those that have been staged for longer than `keep` since this process first saw them.
fn overdue<T: Copy + Ord>(
    seen: &mut BTreeMap<T, Instant>,
    staged: &BTreeSet<T>,
    now: Instant,
    keep: Duration,
) -> Vec<T> {
    seen.retain(|id, _| staged.contains(id));
    for id in staged {
        seen.entry(*id).or_insert(now);
    }
    seen.iter().filter(|(_, since)| now.duration_since(**since) > keep).map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
