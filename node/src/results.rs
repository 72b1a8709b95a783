//! Result shares of finished jobs, in memory until they are fetched or expire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trine_proto::ids::JobId;
use trine_query::ResultShares;

/// This node's part of one result.
pub(crate) struct StoredResult {
    /// The attempt that made it; a client combines parts of equal attempts only.
    pub(crate) attempt: u32,
    /// Report of a transaction: whose it is. None: the log knows who asked the query.
    pub(crate) owner: Option<String>,
    /// Header and shares.
    pub(crate) shares: ResultShares,
}

struct Kept {
    result: Arc<StoredResult>,
    bytes: usize,
    since: Instant,
    /// Order of arrival.
    turn: u64,
}

#[derive(Default)]
struct Shelf {
    kept: BTreeMap<JobId, Kept>,
    bytes: usize,
    turn: u64,
}

/// All finished results of this node; bounded in bytes and age, the oldest go first.
pub(crate) struct Results {
    shelf: Mutex<Shelf>,
    bytes_max: usize,
    keep: Duration,
}

impl Results {
    /// Nothing kept yet.
    pub(crate) fn new(bytes_max: usize, keep: Duration) -> Self {
        Self { shelf: Mutex::new(Shelf::default()), bytes_max, keep }
    }

    /// Keeps a result, in place of one of an earlier attempt.
    pub(crate) fn put(&self, job: JobId, result: StoredResult) {
        let bytes = result.shares.vectors.iter().map(|v| v.own.len() + v.next.len()).sum::<usize>();
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.remove(&job);
        shelf.turn += 1;
        let turn = shelf.turn;
        let kept = Kept { result: Arc::new(result), bytes, since: Instant::now(), turn };
        shelf.bytes += bytes;
        shelf.kept.insert(job, kept);
        shelf.expire(self.keep);
        while shelf.bytes > self.bytes_max && shelf.kept.len() > 1 {
            let Some(oldest) = shelf.oldest() else { break };
            shelf.remove(&oldest);
        }
    }

    /// Forgets the results of jobs that are over without one.
    pub(crate) fn release(&self, over: impl Fn(JobId) -> bool) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<JobId> = shelf.kept.keys().filter(|job| over(**job)).copied().collect();
        for job in gone {
            shelf.remove(&job);
        }
    }

    /// The result of a job, if it is still here.
    pub(crate) fn get(&self, job: JobId) -> Option<Arc<StoredResult>> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.expire(self.keep);
        shelf.kept.get(&job).map(|kept| Arc::clone(&kept.result))
    }
}

impl Shelf {
    fn remove(&mut self, job: &JobId) {
        if let Some(kept) = self.kept.remove(job) {
            self.bytes -= kept.bytes;
        }
    }
    fn oldest(&self) -> Option<JobId> {
        self.kept.iter().min_by_key(|(_, kept)| kept.turn).map(|(job, _)| *job)
    }
    fn expire(&mut self, keep: Duration) {
        let old: Vec<JobId> =
            self.kept.iter().filter(|(_, k)| k.since.elapsed() > keep).map(|(j, _)| *j).collect();
        for job in old {
            self.remove(&job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::wire;
    use trine_query::ShareVector;

    fn result(attempt: u32, bytes: usize) -> StoredResult {
        let vectors = vec![ShareVector { own: vec![0; bytes], next: Vec::new() }];
        let header = wire::ResultHeader::default();
        StoredResult { attempt, owner: None, shares: ResultShares { header, vectors } }
    }

    #[test]
    fn the_oldest_results_go_first() {
        let results = Results::new(10, Duration::from_secs(3600));
        results.put(JobId([2; 16]), result(1, 6));
        results.put(JobId([1; 16]), result(1, 4));
        results.put(JobId([3; 16]), result(1, 1));
        assert!(results.get(JobId([2; 16])).is_none());
        assert_eq!(results.get(JobId([1; 16])).map(|r| r.attempt), Some(1));
        results.put(JobId([1; 16]), result(2, 4));
        assert_eq!(results.get(JobId([1; 16])).map(|r| r.attempt), Some(2));
    }

    #[test]
    fn what_is_over_without_a_result_keeps_none() {
        let results = Results::new(10, Duration::from_secs(3600));
        results.put(JobId([1; 16]), result(1, 4));
        results.put(JobId([2; 16]), result(1, 4));
        results.release(|job| job == JobId([1; 16]));
        assert!(results.get(JobId([1; 16])).is_none());
        assert!(results.get(JobId([2; 16])).is_some());
    }

    #[test]
    fn results_expire() {
        let results = Results::new(10, Duration::ZERO);
        results.put(JobId([1; 16]), result(1, 1));
        assert!(results.get(JobId([1; 16])).is_none());
    }
}
