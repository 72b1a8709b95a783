//! Queries: handed in, watched, fetched, cancelled.

use super::transaction::{propose, verify};
use super::{Shared, protocol};
use crate::limits::{PROGRESS_EVERY, STATEMENT_BYTES_MAX};
use crate::results::{Cursor, ResultReader, gone};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use trine_proto::catalog::{JobEntry, JobStatus, Principal, TransactionState};
use trine_proto::ids::{JobId, LogIndex, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::client_command::Command as Kind;
use trine_proto::wire::job_state::Kind as StateKind;
use trine_proto::wire::result_part::Part;
use trine_proto::wire::{self, CommandOutcome, JobState, ResultPart};
use trine_query::QueryError;
use trine_storage::StorageError;

/// Jobs that List names at most, the newest first.
const LISTED_MAX: usize = 200;
/// Messages that wait for a slow client.
const QUEUED: usize = 4;

/// See the contract.
pub(super) struct QueryService(pub(super) Arc<Shared>);

type Messages<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl wire::query_server::Query for QueryService {
    async fn submit(
        &self,
        request: Request<wire::Signed>,
    ) -> Result<Response<CommandOutcome>, Status> {
        let verified = verify(&self.0, request.into_inner())?;
        let signed_at_ms = verified.command.signed_at_ms;
        let Some(Kind::SubmitQuery(submit)) = verified.command.command else {
            return Err(protocol("Submit takes a SubmitQuery").into());
        };
        if submit.sql.len() > STATEMENT_BYTES_MAX {
            return Err(SqlError::new(
                sqlstate::LIMIT_EXCEEDED,
                format!("a statement has {STATEMENT_BYTES_MAX} bytes at most"),
            )
            .into());
        }
        let parameters = submit.parameters.is_some();
        // With parameters a statement is planned once they are known to the log.
        if !parameters {
            let within = submit.within.as_ref();
            self.plan_early(submit.sql, within, verified.signed.public_key, signed_at_ms).await?;
        }
        Ok(Response::new(propose(&self.0, verified.signed).await?.into()))
    }

    type WatchStream = Messages<JobState>;

    async fn watch(
        &self,
        request: Request<wire::JobRef>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = self.0.caller(&request).await?;
        let job = self.job(&request.into_inner(), &caller).await?.id;
        let (sender, receiver) = mpsc::channel(QUEUED);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut applied = shared.consensus.subscribe();
            let mut last = None;
            loop {
                applied.mark_unchanged();
                let Some(entry) = shared.consensus.catalog().jobs.get(&job).cloned() else {
                    return;
                };
                let state = state(&shared, &entry);
                let over = !matches!(state.kind(), StateKind::Queued | StateKind::Running);
                if last.as_ref() != Some(&state) {
                    last = Some(state.clone());
                    if sender.send(Ok(state)).await.is_err() {
                        return;
                    }
                }
                if over {
                    return;
                }
                tokio::select! {
                    changed = applied.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(PROGRESS_EVERY) => {}
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    type FetchStream = Messages<ResultPart>;

    async fn fetch(
        &self,
        request: Request<wire::JobRef>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let caller = self.0.caller(&request).await?;
        let asked = request.into_inner();
        if let Some((id, attempt)) = self.report(&asked, &caller).await {
            return Ok(Response::new(self.send_result(id, attempt).await?));
        }
        let job = self.job(&asked, &caller).await?.id;
        let entry = self
            .0
            .caught_up(|catalog| {
                catalog.jobs.get(&job).filter(|j| j.status != JobStatus::Active).cloned()
            })
            .await
            .ok_or_else(|| not_ready(job))?;
        match entry.status {
            JobStatus::Failed(e) => return Err(e.into()),
            JobStatus::Cancelled => return Err(cancelled().into()),
            JobStatus::Active => return Err(not_ready(job).into()),
            JobStatus::Done => {}
        }
        if self.0.runner.results().kept(job).is_none_or(|kept| kept.attempt != entry.attempt) {
            return Err(gone(job).into());
        }
        Ok(Response::new(self.send_result(job, entry.attempt).await?))
    }

    async fn cancel(
        &self,
        request: Request<wire::Signed>,
    ) -> Result<Response<CommandOutcome>, Status> {
        let verified = verify(&self.0, request.into_inner())?;
        if !matches!(verified.command.command, Some(Kind::CancelQuery(_))) {
            return Err(protocol("Cancel takes a CancelQuery").into());
        }
        Ok(Response::new(propose(&self.0, verified.signed).await?.into()))
    }

    async fn describe(
        &self,
        request: Request<wire::DescribeQuery>,
    ) -> Result<Response<wire::QueryDescription>, Status> {
        let caller = self.0.caller(&request).await?;
        let sql = request.into_inner().sql;
        let (shared, store) = (Arc::clone(&self.0), self.0.store.clone());
        let planning = tokio::task::spawn_blocking(move || {
            let who = (caller.name.as_str(), 0);
            let describe = || {
                let catalog = shared.consensus.catalog();
                let at: LogIndex = catalog.applied;
                let statement = trine_query::compile_over(&sql, None, &catalog, at, who, &store)?;
                Ok::<_, QueryError>((statement.result_schema("result")?, at))
            };
            // Nothing in the log keeps what it reads: it may be replaced meanwhile.
            describe().or_else(|e| match e {
                QueryError::Storage(StorageError::NotFound { .. }) => describe(),
                other => Err(other),
            })
        });
        let (described, at) = planning
            .await
            .map_err(|_| SqlError::new(sqlstate::INTERNAL_ERROR, "the query was not planned"))?
            .map_err(|e| match e {
                QueryError::Sql(e) => e,
                other => SqlError::new(sqlstate::DATA_CORRUPTED, other.to_string()),
            })?;
        let result = Some(wire::TableSchema::from(&described));
        Ok(Response::new(wire::QueryDescription { result, log_index: at.0 }))
    }

    async fn list(
        &self,
        request: Request<wire::ListJobs>,
    ) -> Result<Response<wire::JobList>, Status> {
        let caller = self.0.caller(&request).await?;
        let catalog = self.0.consensus.catalog();
        let mut jobs: Vec<&JobEntry> =
            catalog.jobs.values().filter(|job| job.principal == caller.name).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.position));
        let jobs = jobs.into_iter().take(LISTED_MAX).map(|job| wire::JobEntry {
            job_id: job.id.0.to_vec(),
            sql: job.sql.clone(),
            state: Some(state(&self.0, job)),
        });
        Ok(Response::new(wire::JobList { jobs: jobs.collect() }))
    }
}

impl QueryService {
    /// Plans once before the log is troubled, so that what cannot be planned is refused before any
    /// node starts. What this node may merely not have seen yet is left to the job.
    async fn plan_early(
        &self,
        sql: String,
        within: Option<&wire::Within>,
        key: [u8; 32],
        signed_at_ms: u64,
    ) -> Result<(), SqlError> {
        let seen = match within {
            None => None,
            Some(within) => match self.0.opened(within).await {
                Some(seen) => Some(seen),
                // Refused by the log, or unknown here yet.
                None => return Ok(()),
            },
        };
        let catalog = self.0.consensus.catalog();
        let Some(principal) = catalog.principal_by_key(&key).map(|p| p.name.clone()) else {
            return Ok(());
        };
        let store = self.0.store.clone();
        let planning = tokio::task::spawn_blocking(move || {
            let (catalog, at) = match seen {
                None => (Cow::Borrowed(&*catalog), catalog.applied),
                Some(seen) => (Cow::Owned(catalog.within(seen.0, &seen.1)), seen.0),
            };
            let who = (principal.as_str(), signed_at_ms);
            trine_query::compile_over(&sql, None, &catalog, at, who, &store).map(drop)
        });
        match planning.await {
            Ok(Err(QueryError::Sql(e))) if !may_be_late(&e) => Err(e),
            _ => Ok(()),
        }
    }

    /// Which attempt's result tells what a transaction of the caller's has to report, once it has ended.
    async fn report(&self, asked: &wire::JobRef, caller: &Principal) -> Option<(JobId, u32)> {
        let id = JobId::from_slice(&asked.job_id)?;
        let transaction = TransactionId(id.0);
        // Which of the two it is, a node that is late may not know yet.
        let is_transaction = self
            .0
            .caught_up(|catalog| match catalog.transactions.get(&transaction) {
                Some(TransactionState::Validating(_) | TransactionState::Open(_)) => None,
                Some(_) => Some(true),
                None => catalog.jobs.contains_key(&id).then_some(false),
            })
            .await?;
        let kept = self.0.runner.results().kept(id).filter(|_| is_transaction)?;
        let theirs = kept.owner.as_deref() == Some(caller.name.as_str()) || caller.administrator;
        theirs.then_some((id, kept.attempt))
    }

    /// Opens a kept result and begins to send it: header, then every vector in pieces. The disk is read
    /// as fast as the client takes the pieces, and no faster.
    async fn send_result(
        &self,
        job: JobId,
        attempt: u32,
    ) -> Result<Messages<ResultPart>, SqlError> {
        let shared = Arc::clone(&self.0);
        let opening = blocking(move || {
            let results = shared.runner.results();
            let reader = results.reader(job, attempt)?;
            let header = reader.header().map_err(|e| results.damaged(job, &e))?;
            Ok::<_, SqlError>((Arc::new(reader), header))
        });
        let (reader, header) = opening.await??;
        let (sender, receiver) = mpsc::channel(QUEUED);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            if !send(&sender, Part::Header(header)).await {
                return;
            }
            if let Err(error) = send_vectors(&shared, job, reader, &sender).await {
                let _ = sender.send(Err(error.into())).await;
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    /// The job, if it is the caller's.
    async fn job(&self, job: &wire::JobRef, caller: &Principal) -> Result<JobEntry, SqlError> {
        let id = JobId::from_slice(&job.job_id).ok_or_else(|| protocol("a job id has 16 bytes"))?;
        let found = self.0.caught_up(|catalog| catalog.jobs.get(&id).cloned()).await;
        found.filter(|job| job.principal == caller.name).ok_or_else(|| {
            SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("there is no job {id} of yours"))
        })
    }
}

/// Whether a later state of the log could cure the error.
pub(super) fn may_be_late(e: &SqlError) -> bool {
    [sqlstate::UNDEFINED_TABLE, sqlstate::UNDEFINED_COLUMN, sqlstate::INSUFFICIENT_PRIVILEGE]
        .contains(&e.sqlstate.as_str())
}

fn state(shared: &Shared, job: &JobEntry) -> JobState {
    let mut out =
        JobState { position: job.position.0, attempt: job.attempt, ..JobState::default() };
    match &job.status {
        JobStatus::Active => match shared.runner.progress(job.id) {
            Some(progress) => {
                out.set_kind(StateKind::Running);
                out.progress = Some(progress);
            }
            None => out.set_kind(StateKind::Queued),
        },
        JobStatus::Done => {
            let here = shared.runner.results().kept(job.id);
            let kept = here.is_some_and(|kept| kept.attempt == job.attempt);
            out.set_kind(if kept { StateKind::Done } else { StateKind::Expired });
        }
        JobStatus::Failed(e) => {
            out.set_kind(StateKind::Failed);
            out.error = Some(e.clone().into());
        }
        JobStatus::Cancelled => {
            out.set_kind(StateKind::Cancelled);
            out.error = Some(cancelled().into());
        }
    }
    out
}

/// False if the client has gone.
async fn send(sender: &mpsc::Sender<Result<ResultPart, Status>>, part: Part) -> bool {
    sender.send(Ok(ResultPart { part: Some(part) })).await.is_ok()
}

/// Every vector in pieces; the digest of the peer's component with the last one.
async fn send_vectors(
    shared: &Arc<Shared>,
    job: JobId,
    reader: Arc<ResultReader>,
    sender: &mpsc::Sender<Result<ResultPart, Status>>,
) -> Result<(), SqlError> {
    let mut next: Option<Cursor> = reader.first();
    while let Some(cursor) = next {
        let (reader, shared) = (Arc::clone(&reader), Arc::clone(shared));
        let read = blocking(move || {
            reader.read(cursor).map_err(|e| shared.runner.results().damaged(job, &e))
        });
        let (parts, more) = read.await??;
        for part in parts {
            if !send(sender, part).await {
                return Ok(());
            }
        }
        next = more;
    }
    Ok(())
}

/// Runs what blocks on the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SqlError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| SqlError::new(sqlstate::INTERNAL_ERROR, "the result was not read"))
}

fn not_ready(job: JobId) -> SqlError {
    SqlError::new(sqlstate::SERIALIZATION_FAILURE, format!("job {job} is not done yet"))
        .hint("watch the job until it is done")
}

fn cancelled() -> SqlError {
    SqlError::new(sqlstate::QUERY_CANCELED, "the query was cancelled")
}
