//! Which attempts run at this node now: a pure state machine.
//!
//! Events go in (the catalog after an apply, the end of an attempt), actions come out (start, stop).
//! Jobs and key checks are admitted strictly in log order up to a limit that is equal at all nodes,
//! so no node waits for a job that another has not admitted for lack of room. No clock, no
//! randomness, no socket here; [`crate::runner`] performs the actions.

use std::collections::{BTreeMap, BTreeSet};
use trine_proto::catalog::{Catalog, JobStatus, TransactionState};
use trine_proto::ids::{JobId, LogIndex, Party, TransactionId};

/// What an attempt works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A query job.
    Query(JobId),
    /// The check of a batch or an index, or a statement that writes.
    Validation(TransactionId),
}

/// One attempt at some work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Task {
    /// What.
    pub(crate) work: Work,
    /// Which attempt, from 1.
    pub(crate) attempt: u32,
}

/// What the runner is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Run the attempt.
    Start(Task),
    /// The attempt is over by the log (cancelled, failed, replaced): end it.
    Stop(Task),
    /// This process came up with the attempt under way elsewhere: ask the log for the next one.
    Recover(Task),
}

/// The state.
#[derive(Debug)]
pub(crate) struct Scheduler {
    party: Party,
    running_max: usize,
    running: BTreeSet<Task>,
    /// Ended here, while the log still says that the attempt is under way.
    ended: BTreeSet<Task>,
    /// Attempts that were under way when this process came up: not to be joined.
    lost: BTreeMap<Work, u32>,
    first: bool,
}

impl Scheduler {
    /// Nothing runs yet. `running_max` is the cluster-wide limit of attempts at one time.
    pub(crate) fn new(party: Party, running_max: usize) -> Self {
        Self {
            party,
            running_max: running_max.max(1),
            running: BTreeSet::new(),
            ended: BTreeSet::new(),
            lost: BTreeMap::new(),
            first: true,
        }
    }

    /// The catalog after an apply. The first one tells what this process missed.
    pub(crate) fn catalog(&mut self, catalog: &Catalog) -> Vec<Action> {
        let wanted = wanted(catalog, self.party);
        let mut actions = Vec::new();
        if self.first {
            self.first = false;
            for &(_, task) in &wanted {
                self.lost.insert(task.work, task.attempt);
                actions.push(Action::Recover(task));
            }
        }
        let current: BTreeSet<Task> = wanted.iter().map(|(_, task)| *task).collect();
        for task in self.running.difference(&current) {
            actions.push(Action::Stop(*task));
        }
        self.ended.retain(|task| current.contains(task));
        self.lost.retain(|work, _| current.iter().any(|task| task.work == *work));
        self.admit(&wanted, &mut actions);
        actions
    }

    /// An attempt has ended at this node, however it ended.
    pub(crate) fn ended(&mut self, task: Task, catalog: &Catalog) -> Vec<Action> {
        self.running.remove(&task);
        self.ended.insert(task);
        let wanted = wanted(catalog, self.party);
        self.ended.retain(|ended| wanted.iter().any(|(_, task)| task == ended));
        let mut actions = Vec::new();
        self.admit(&wanted, &mut actions);
        actions
    }

    /// Starts what is due, strictly in log order.
    ///
    /// The first `running_max` start whatever else runs: a job whose attempt was lost comes back
    /// before jobs that have taken its place here but not at the other nodes, and would else wait
    /// for them while they wait for it.
    fn admit(&mut self, wanted: &BTreeSet<(LogIndex, Task)>, actions: &mut Vec<Action>) {
        for (rank, &(_, task)) in wanted.iter().enumerate() {
            let lost = self.lost.get(&task.work).is_some_and(|last| task.attempt <= *last);
            if self.running.contains(&task) || self.ended.contains(&task) || lost {
                continue;
            }
            if rank >= self.running_max && self.running.len() >= self.running_max {
                return;
            }
            self.running.insert(task);
            actions.push(Action::Start(task));
        }
    }
}

/// What the log says is under way and not yet reported done by this party, in log order.
fn wanted(catalog: &Catalog, party: Party) -> BTreeSet<(LogIndex, Task)> {
    let jobs = catalog
        .jobs
        .values()
        .filter(|job| job.status == JobStatus::Active && !job.done[party.index()])
        .map(|job| (job.position, Task { work: Work::Query(job.id), attempt: job.attempt }));
    let checks = catalog.transactions.iter().filter_map(|(id, state)| match state {
        TransactionState::Validating(v) if v.attempt > 0 && v.verdicts[party.index()].is_none() => {
            Some((v.queued, Task { work: Work::Validation(*id), attempt: v.attempt }))
        }
        _ => None,
    });
    jobs.chain(checks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::catalog::{JobEntry, NetProfile};

    fn job(n: u8, position: u64) -> JobEntry {
        JobEntry {
            id: JobId([n; 16]),
            principal: "a".into(),
            sql: "SELECT 1".into(),
            statement_digest: [0; 32],
            position: LogIndex(position),
            log_digest: [0; 32],
            attempt: 1,
            status: JobStatus::Active,
            done: [false; 3],
            signed_at_ms: 0,
            net_profile: NetProfile::default(),
            parameters: None,
            memory_max: None,
            within: None,
        }
    }

    fn with(jobs: &[JobEntry]) -> Catalog {
        Catalog { jobs: jobs.iter().map(|j| (j.id, j.clone())).collect(), ..Catalog::default() }
    }

    fn task(n: u8, attempt: u32) -> Task {
        Task { work: Work::Query(JobId([n; 16])), attempt }
    }

    fn started() -> Scheduler {
        let mut s = Scheduler::new(Party::ALL[1], 2);
        assert!(s.catalog(&Catalog::default()).is_empty());
        s
    }

    #[test]
    fn jobs_start_in_log_order_up_to_the_limit() {
        let mut s = started();
        // Ids run against positions: the log decides.
        let catalog = with(&[job(1, 30), job(2, 20), job(3, 10)]);
        let first = s.catalog(&catalog);
        assert_eq!(first, [Action::Start(task(3, 1)), Action::Start(task(2, 1))]);
        assert!(s.catalog(&catalog).is_empty());
        assert_eq!(s.ended(task(2, 1), &catalog), [Action::Start(task(1, 1))]);
        assert!(s.catalog(&catalog).is_empty(), "an attempt that ended is not run again");
    }

    #[test]
    fn a_new_attempt_replaces_the_old_one() {
        let mut s = started();
        let mut j = job(1, 5);
        assert_eq!(s.catalog(&with(&[j.clone()])), [Action::Start(task(1, 1))]);
        j.attempt = 2;
        let actions = s.catalog(&with(&[j.clone()]));
        assert_eq!(actions, [Action::Stop(task(1, 1)), Action::Start(task(1, 2))]);
        j.status = JobStatus::Cancelled;
        let actions = s.catalog(&with(&[j]));
        assert!(actions.contains(&Action::Stop(task(1, 2))), "{actions:?}");
    }

    #[test]
    fn a_lost_job_comes_back_before_those_that_took_its_place() {
        let mut s = started();
        let mut jobs = [job(1, 10), job(2, 20), job(3, 30), job(4, 40)];
        s.catalog(&with(&jobs));
        for n in [0, 1] {
            jobs[n].done[1] = true;
            let catalog = with(&jobs);
            s.catalog(&catalog);
            s.ended(task(u8::try_from(n + 1).unwrap(), 1), &catalog);
        }
        // Both places are taken by 3 and 4 when the log starts job 1 again.
        jobs[0].attempt = 2;
        jobs[0].done = [false; 3];
        assert_eq!(s.catalog(&with(&jobs)), [Action::Start(task(1, 2))]);
    }

    #[test]
    fn a_restarted_node_asks_for_a_new_attempt_and_joins_only_that() {
        let mut s = Scheduler::new(Party::ALL[0], 2);
        let mut j = job(1, 5);
        assert_eq!(s.catalog(&with(&[j.clone()])), [Action::Recover(task(1, 1))]);
        assert!(s.catalog(&with(&[j.clone()])).is_empty());
        j.attempt = 2;
        assert_eq!(s.catalog(&with(&[j])), [Action::Start(task(1, 2))]);
    }

    #[test]
    fn work_that_this_party_reported_done_is_not_wanted() {
        let mut s = started();
        let mut j = job(1, 5);
        j.done[1] = true;
        assert!(s.catalog(&with(&[j])).is_empty());
    }
}
