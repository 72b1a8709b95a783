//! Performs what the scheduler decides: the only place that ties query, storage and consensus.
//!
//! One task watches the replicated state; every attempt has a thread of its own, because protocol
//! code blocks. What an attempt ended with goes into the log as a command signed by this node.

use crate::attempt::{Context, End, Handle};
use crate::counters::Counters;
use crate::fail_point;
use crate::files::Files;
use crate::limits::{ATTEMPT_STACK_BYTES, PACK_PAUSE_ENTRIES, PROPOSE_PAUSE, PROPOSE_TIMEOUT};
use crate::results::{Kept, Results};
use crate::scheduler::{Action, Scheduler, Task, Work};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use trine_consensus::state_machine::packable;
use trine_consensus::{Consensus, ConsensusError};
use trine_proto::catalog::{Catalog, Subject, TransactionState, Verdict};
use trine_proto::command::{Command, NODE_DOMAIN, NodeCommand, NodeCommandKind, Outcome};
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, JobId, LogIndex, SegmentId, TableId};
use trine_proto::wire;

/// Runs jobs and key checks of this node and keeps their results.
pub(crate) struct Runner {
    consensus: Arc<Consensus>,
    identity: Identity,
    cluster: ClusterId,
    context: Context,
    results: Results,
    counters: Counters,
    attempts: Mutex<BTreeMap<Task, Arc<Handle>>>,
    ended: mpsc::UnboundedSender<Task>,
    stop: watch::Sender<bool>,
    runtime: tokio::runtime::Handle,
}

impl Runner {
    /// Starts watching the replicated state on the current tokio runtime.
    pub(crate) fn start(
        consensus: Arc<Consensus>,
        identity: Identity,
        cluster: ClusterId,
        context: Context,
        results: Results,
        jobs_running: usize,
    ) -> Arc<Self> {
        let (ended, on_ended) = mpsc::unbounded_channel();
        let (stop, _) = watch::channel(false);
        let scheduler = Scheduler::new(context.party, jobs_running);
        let runner = Arc::new(Self {
            consensus,
            identity,
            cluster,
            context,
            results,
            counters: Counters::default(),
            attempts: Mutex::default(),
            ended,
            stop,
            runtime: tokio::runtime::Handle::current(),
        });
        tokio::spawn(Arc::clone(&runner).watch(scheduler, on_ended));
        runner
    }

    /// Results of finished jobs.
    pub(crate) fn results(&self) -> &Results {
        &self.results
    }

    /// What this process has done.
    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Attempts under way at this node.
    pub(crate) fn running(&self) -> usize {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How far a running job is at this node.
    pub(crate) fn progress(&self, job: JobId) -> Option<wire::Progress> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let running = attempts.iter().find(|(task, _)| task.work == Work::Query(job));
        running.map(|(_, handle)| handle.progress())
    }

    /// Ends all attempts of this node; they run again after the next start.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        for handle in attempts.values() {
            handle.stop();
        }
    }

    async fn watch(
        self: Arc<Self>,
        mut scheduler: Scheduler,
        mut on_ended: mpsc::UnboundedReceiver<Task>,
    ) {
        let mut applied = self.consensus.subscribe();
        let mut stop = self.stop.subscribe();
        let (mut removed, mut packed) = (BTreeSet::new(), BTreeMap::new());
        loop {
            applied.mark_unchanged();
            let catalog = self.consensus.catalog();
            self.remove_resolved(&catalog, &mut removed).await;
            self.results.release(&catalog);
            for action in scheduler.catalog(&catalog) {
                self.perform(action, &catalog);
            }
            self.pack_small(&catalog, &mut packed);
            tokio::select! {
                changed = applied.changed() => if changed.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => return,
                task = on_ended.recv() => {
                    let Some(task) = task else { return };
                    self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
                    let catalog = self.consensus.catalog();
                    for action in scheduler.ended(task, &catalog) {
                        self.perform(action, &catalog);
                    }
                }
            }
        }
    }

    /// Deletes what the log has resolved: parts that were given up, tables that were dropped. Only
    /// the log ends a staged part.
    async fn remove_resolved(&self, catalog: &Catalog, removed: &mut BTreeSet<SegmentId>) {
        let Files { listed, gone } = Files::of(catalog);
        if gone.is_subset(removed) {
            return;
        }
        let store = self.context.store.clone();
        let wanted = gone.clone();
        match tokio::task::spawn_blocking(move || store.reconcile(&listed, &wanted)).await {
            Ok(Ok(_)) => *removed = gone,
            Ok(Err(e)) => tracing::warn!(error = %e, "resolved parts stay on disk for now"),
            Err(e) => tracing::error!(error = %e, "removing resolved parts"),
        }
    }

    /// Asks the log to pack what has become many small segments. Only the leader's node asks, so that not all
    /// three do; not again for a while if it could not be done. `asked`: when, by table.
    fn pack_small(self: &Arc<Self>, catalog: &Catalog, asked: &mut BTreeMap<TableId, LogIndex>) {
        let leads = self.consensus.leader() == Some(self.context.party);
        if !leads || self.context.mesh.up() != [true; 3] {
            return;
        }
        let (now, due) = (catalog.applied, packable(catalog));
        // What was done is forgotten: the next time is another.
        asked.retain(|table, _| due.contains(table));
        let due = due.into_iter().find(|table| {
            asked.get(table).is_none_or(|at| now.0 >= at.0.saturating_add(PACK_PAUSE_ENTRIES))
        });
        if let Some(table) = due {
            asked.insert(table, now);
            let runner = Arc::clone(self);
            tokio::spawn(async move { runner.propose(NodeCommandKind::Pack(table)).await });
        }
    }

    fn perform(self: &Arc<Self>, action: Action, catalog: &Arc<Catalog>) {
        match action {
            Action::Start(task) => self.spawn(task, Arc::clone(catalog)),
            Action::Stop(task) => {
                let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(handle) = attempts.get(&task) {
                    handle.stop();
                }
            }
            Action::Recover(task) => {
                let runner = Arc::clone(self);
                tokio::spawn(async move { runner.propose(retry(task)).await });
            }
        }
    }

    fn spawn(self: &Arc<Self>, task: Task, catalog: Arc<Catalog>) {
        let handle = Arc::new(Handle::default());
        self.attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(task, Arc::clone(&handle));
        let runner = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("attempt".into())
            .stack_size(ATTEMPT_STACK_BYTES)
            .spawn(move || {
                let end = runner.run(task, &catalog, &handle);
                handle.finish();
                runner.count(task, &catalog, &handle, &end);
                fail_point::reach("attempt.report");
                runner.report(task, end, &handle);
                // The watching task has ended when the node stops.
                let _ = runner.ended.send(task);
            });
        if let Err(e) = spawned {
            tracing::error!(error = %e, "no thread for an attempt");
            let _ = self.ended.send(task);
            let runner = Arc::clone(self);
            tokio::spawn(async move { runner.propose(retry(task)).await });
        }
    }

    fn run(&self, task: Task, catalog: &Catalog, handle: &Handle) -> End {
        let started = std::time::Instant::now();
        let (id, end) = match task.work {
            Work::Query(job) => {
                let Some(entry) = catalog.jobs.get(&job) else { return End::Stopped };
                (job.0, self.context.query(catalog, entry, handle))
            }
            Work::Validation(transaction) => {
                let Some(TransactionState::Validating(validation)) =
                    catalog.transactions.get(&transaction)
                else {
                    return End::Stopped;
                };
                let end = self.context.validation(catalog, transaction, validation, handle);
                (transaction.0, end)
            }
        };
        let how = match &end {
            End::Result(_) | End::Verdict(..) | End::Packed(_) => "done",
            End::Failed(_) => "failed",
            End::Lost(_) => "lost",
            End::Stopped => "stopped",
        };
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(job = hex::encode(id), attempt = task.attempt, how, ms, "attempt ended");
        end
    }

    fn count(&self, task: Task, catalog: &Catalog, handle: &Handle, end: &End) {
        let counters = &self.counters;
        counters.bytes_sent.add(handle.progress().bytes_sent);
        let header = match end {
            End::Result(shares) => Some(&shares.header),
            End::Verdict(done, _) => Some(&done.shares.header),
            _ => None,
        };
        counters.rounds.add(header.and_then(|h| h.total.as_ref()).map_or(0, |total| total.rounds));
        match end {
            End::Result(_) | End::Verdict(..) | End::Packed(_) => counters.done.add(1),
            End::Failed(_) => counters.failed.add(1),
            End::Lost(_) => counters.lost.add(1),
            End::Stopped => counters.stopped.add(1),
        }
        if let (End::Packed(_), Work::Validation(id)) = (end, task.work)
            && let Some(TransactionState::Validating(v)) = catalog.transactions.get(&id)
            && let Subject::Pack(entry) = &v.subject
        {
            counters.packs.add(1);
            counters.segments_packed.add(entry.segments.len() as u64);
        }
    }

    /// Tells the log how an attempt ended; blocks until the log has it or the node stops.
    fn report(&self, task: Task, end: End, handle: &Handle) {
        let attempt = task.attempt;
        let kind = match (task.work, end) {
            (Work::Query(job), End::Result(shares)) => {
                match self.results.put(job, Kept { attempt, owner: None }, &shares) {
                    Ok(()) => NodeCommandKind::JobDone { job, attempt },
                    Err(error) => NodeCommandKind::JobFailed { job, attempt, error },
                }
            }
            (Work::Query(job), End::Failed(error)) => {
                NodeCommandKind::JobFailed { job, attempt, error }
            }
            (Work::Validation(transaction), End::Verdict(done, owner)) => {
                let kept = Kept { attempt, owner: Some(owner) };
                match self.results.put(JobId(transaction.0), kept, &done.shares) {
                    Ok(()) => {
                        NodeCommandKind::Verdict { transaction, attempt, verdict: done.verdict }
                    }
                    Err(error) => NodeCommandKind::Abort { transaction, error },
                }
            }
            (Work::Validation(transaction), End::Packed(staged)) => {
                let verdict = Verdict::Staged(*staged);
                NodeCommandKind::Verdict { transaction, attempt, verdict }
            }
            (Work::Validation(transaction), End::Failed(error)) => {
                NodeCommandKind::Abort { transaction, error }
            }
            (_, End::Lost(operator)) => {
                // The others see the loss too; whoever finds the mesh whole again asks first.
                match (self.context.wait_all_up(handle, &operator), task.work) {
                    (Ok(()), _) => retry(task),
                    (Err(End::Failed(error)), Work::Query(job)) => {
                        NodeCommandKind::JobFailed { job, attempt, error }
                    }
                    (Err(End::Failed(error)), Work::Validation(transaction)) => {
                        NodeCommandKind::Abort { transaction, error }
                    }
                    (Err(_), _) => return,
                }
            }
            _ => return,
        };
        self.runtime.block_on(self.propose(kind));
    }

    /// Orders a command of this node's own; its outcome.
    pub(crate) async fn order(
        &self,
        kind: NodeCommandKind,
        timeout: Duration,
    ) -> Result<Outcome, ConsensusError> {
        match self.signed(kind) {
            Some(command) => self.consensus.propose(command, timeout).await,
            None => Err(ConsensusError::Corrupt("a command that does not encode".into())),
        }
    }

    fn signed(&self, kind: NodeCommandKind) -> Option<Command> {
        let command = NodeCommand { cluster_id: self.cluster, party: self.context.party, kind };
        let body = postcard::to_stdvec(&command).ok()?;
        Some(Command::Node(self.identity.sign(NODE_DOMAIN, body)))
    }

    /// Until the log has answered or the node stops: an outcome must not be lost to a passing lack
    /// of a leader.
    pub(crate) async fn propose(&self, kind: NodeCommandKind) {
        let Some(command) = self.signed(kind) else { return };
        let mut stop = self.stop.subscribe();
        loop {
            match self.consensus.propose(command.clone(), PROPOSE_TIMEOUT).await {
                Ok(_) => return,
                Err(e) => tracing::warn!(error = %e, "the log has not taken a report yet"),
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(PROPOSE_PAUSE) => {}
            }
        }
    }
}

/// The command that asks for the next attempt.
const fn retry(task: Task) -> NodeCommandKind {
    let attempt = task.attempt;
    match task.work {
        Work::Query(job) => NodeCommandKind::JobRetry { job, attempt },
        Work::Validation(transaction) => NodeCommandKind::ValidationRetry { transaction, attempt },
    }
}
