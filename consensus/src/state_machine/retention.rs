//! What the replicated state forgets: the oldest ended jobs, transactions, outcomes and dropped
//! tables beyond a bound. By position, so alike at every node. Each runs where its map grows, and
//! cuts a tenth below the bound so that the search is rare.
//!
//! A forgotten outcome means that the command's id no longer stops a replay: the nodes refuse to
//! propose commands whose time has passed. A replayed Commit is harmless at any time: the segment
//! lists and the set of aborted segments are never cut.

use trine_proto::catalog::{Catalog, JobStatus, SegmentEntry, TransactionState};
use trine_proto::ids::{LogIndex, TableId};

use crate::limits::{
    DROPPED_TABLES_MAX, JOBS_ENDED_MAX, JOBS_ENDED_TEXT_BYTES_MAX, OUTCOMES_MAX,
    TRANSACTIONS_ENDED_MAX,
};

/// Position of the oldest unfinished query or write.
pub(super) fn oldest_unfinished(catalog: &Catalog) -> Option<LogIndex> {
    catalog.oldest_unfinished()
}

/// Forgets the segments of a table that ended before the oldest unfinished work. Their ids stay known
/// as given up, so that no replayed Commit revives one.
pub(super) fn segments(catalog: &mut Catalog, table: TableId) {
    let oldest = oldest_unfinished(catalog);
    let Some(entry) = catalog.tables.get_mut(&table) else { return };
    let needed = |end: LogIndex| oldest.is_some_and(|oldest| oldest < end);
    let passed = |s: &SegmentEntry| s.valid_to.is_some_and(|end| !needed(end));
    catalog.aborted_segments.extend(entry.segments.iter().filter(|s| passed(s)).map(|s| s.id));
    entry.segments.retain(|s| !passed(s));
}

/// Bounds the dropped views, but keeps what an unfinished query may plan with.
pub(super) fn views(catalog: &mut Catalog) {
    let oldest = oldest_unfinished(catalog);
    let needed = |end: LogIndex| oldest.is_some_and(|oldest| oldest < end);
    catalog.views.retain(|_, v| v.dropped.is_none_or(needed));
}

/// Bounds the outcomes by command id.
pub(super) fn outcomes(catalog: &mut Catalog) {
    if catalog.outcomes.len() > OUTCOMES_MAX {
        let ids = catalog.outcomes.iter().map(|(id, o)| (o.index(), *id)).collect();
        for id in oldest(ids, OUTCOMES_MAX) {
            catalog.outcomes.remove(&id);
        }
    }
}

/// Bounds the ended transactions.
pub(super) fn transactions(catalog: &mut Catalog) {
    if catalog.transactions.len() <= TRANSACTIONS_ENDED_MAX {
        return;
    }
    let ended = catalog.transactions.iter().filter_map(|(id, state)| match state {
        TransactionState::Committed(at)
        | TransactionState::Joined(at, _)
        | TransactionState::Aborted(at, _) => Some((*at, *id)),
        TransactionState::Validating(_) | TransactionState::Open(_) => None,
    });
    for id in oldest(ended.collect(), TRANSACTIONS_ENDED_MAX) {
        catalog.transactions.remove(&id);
    }
}

/// Bounds the ended queries, by count and by the bytes of their statements.
pub(super) fn jobs(catalog: &mut Catalog) {
    let ended = || catalog.jobs.values().filter(|j| j.status != JobStatus::Active);
    let mut by_age: Vec<_> = ended().map(|j| (j.position, j.id, j.sql.len())).collect();
    by_age.sort_unstable();
    let mut bytes: usize = by_age.iter().map(|(.., len)| len).sum();
    let mut count = by_age.len();
    if count <= JOBS_ENDED_MAX && bytes <= JOBS_ENDED_TEXT_BYTES_MAX {
        return;
    }
    for (_, id, len) in by_age {
        if count <= below(JOBS_ENDED_MAX) && bytes <= below(JOBS_ENDED_TEXT_BYTES_MAX) {
            break;
        }
        catalog.jobs.remove(&id);
        count -= 1;
        bytes -= len;
    }
}

/// Bounds the dropped tables, but keeps what an unfinished query may read.
pub(super) fn tables(catalog: &mut Catalog) {
    let oldest_job = oldest_unfinished(catalog);
    let dropped: Vec<_> =
        catalog.tables.values().filter_map(|t| t.dropped.map(|at| (at, t.id))).collect();
    if dropped.len() > DROPPED_TABLES_MAX {
        let needed = |at: LogIndex| oldest_job.is_some_and(|job| job < at);
        for id in oldest(dropped, DROPPED_TABLES_MAX) {
            let at = catalog.tables.get(&id).and_then(|t| t.dropped);
            if !at.is_some_and(needed) {
                catalog.tables.remove(&id);
            }
        }
    }
}

/// The oldest of the entries, so many that a tenth less than `max` remain; none up to `max`.
fn oldest<T: Ord>(mut entries: Vec<(LogIndex, T)>, max: usize) -> Vec<T> {
    if entries.len() <= max {
        return Vec::new();
    }
    entries.sort_unstable();
    let surplus = entries.len() - below(max);
    entries.truncate(surplus);
    entries.into_iter().map(|(_, id)| id).collect()
}

const fn below(max: usize) -> usize {
    max - max / 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::catalog::{JobEntry, NetProfile};
    use trine_proto::command::Outcome;
    use trine_proto::ids::{JobId, TransactionId};
    use trine_proto::status::SqlError;

    /// Ids in another order than positions.
    fn id(n: u64) -> [u8; 16] {
        let digest = blake3::hash(&n.to_le_bytes());
        digest.as_bytes()[..16].try_into().unwrap()
    }

    fn job(n: u64, text_bytes: usize, status: JobStatus) -> JobEntry {
        JobEntry {
            id: JobId(id(n)),
            principal: "ann".into(),
            sql: "x".repeat(text_bytes),
            statement_digest: [0; 32],
            position: LogIndex(n),
            log_digest: [0; 32],
            attempt: 1,
            status,
            done: [false; 3],
            signed_at_ms: 0,
            net_profile: NetProfile::default(),
            parameters: None,
            memory_max: None,
            within: None,
        }
    }

    #[test]
    fn the_oldest_outcomes_go_first() {
        let mut catalog = Catalog::default();
        let max = OUTCOMES_MAX as u64;
        for n in 1..=max {
            catalog.outcomes.insert(id(n), Outcome::Applied(LogIndex(n)));
        }
        outcomes(&mut catalog);
        assert_eq!(catalog.outcomes.len(), OUTCOMES_MAX);
        catalog.outcomes.insert(id(max + 1), Outcome::Applied(LogIndex(max + 1)));
        outcomes(&mut catalog);
        assert_eq!(catalog.outcomes.len(), OUTCOMES_MAX - OUTCOMES_MAX / 10);
        assert!(!catalog.outcomes.contains_key(&id(1)));
        assert!(catalog.outcomes.contains_key(&id(max + 1)));
    }

    #[test]
    fn unfinished_transactions_are_kept() {
        let mut catalog = Catalog::default();
        let waiting = trine_proto::catalog::Validation {
            table: TableId(0),
            subject: trine_proto::catalog::Subject::Batch(SegmentEntry {
                id: trine_proto::ids::SegmentId(id(0)),
                rows: 1,
                valid_from: LogIndex(0),
                valid_to: None,
                component_digests: [[0; 32]; 3],
                has_valid: false,
                layout: None,
            }),
            queued: LogIndex(0),
            attempt: 1,
            position: LogIndex(0),
            verdicts: [None; 3],
            net_profile: NetProfile::default(),
            memory_max: None,
            within: None,
        };
        catalog
            .transactions
            .insert(TransactionId(id(0)), TransactionState::Validating(Box::new(waiting)));
        for n in 1..=TRANSACTIONS_ENDED_MAX as u64 + 1 {
            let state = TransactionState::Aborted(LogIndex(n), SqlError::new("57014", "x"));
            catalog.transactions.insert(TransactionId(id(n)), state);
        }
        transactions(&mut catalog);
        assert!(catalog.transactions.contains_key(&TransactionId(id(0))));
        assert!(!catalog.transactions.contains_key(&TransactionId(id(1))));
        assert_eq!(catalog.transactions.len(), 1 + below(TRANSACTIONS_ENDED_MAX));
    }

    #[test]
    fn ended_jobs_are_bounded_by_the_bytes_of_their_text() {
        let mut catalog = Catalog::default();
        let long = JOBS_ENDED_TEXT_BYTES_MAX / 4;
        for n in 1..=5 {
            let status = if n == 1 { JobStatus::Active } else { JobStatus::Done };
            catalog.jobs.insert(JobId(id(n)), job(n, long, status));
        }
        jobs(&mut catalog);
        assert_eq!(catalog.jobs.len(), 5);
        catalog.jobs.insert(JobId(id(6)), job(6, 1, JobStatus::Cancelled));
        jobs(&mut catalog);
        let kept: Vec<bool> = (1..=6).map(|n| catalog.jobs.contains_key(&JobId(id(n)))).collect();
        assert_eq!(kept, [true, false, true, true, true, true]);
    }
}
