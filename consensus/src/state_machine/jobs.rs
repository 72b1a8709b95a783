//! Queries: ordered by their entry, which is their snapshot and their turn; run by the nodes in
//! attempts; ended by three reports, an error, or their owner.

use trine_proto::catalog::{
    Catalog, JobEntry, JobStatus, Parameters, Subject, TransactionState, WriteEntry,
};
use trine_proto::command::Outcome;
use trine_proto::ids::{JobId, LogIndex, Party, SegmentId, TransactionId};
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::transaction::Within;
use trine_proto::wire;

use super::validation::given_up;
use super::{Request, ddl, job_id, malformed, retention, transactions, validation};
use crate::limits::{ATTEMPTS_MAX, JOBS_ACTIVE_MAX, STATEMENT_BYTES_MAX};

/// Orders a query. Whether it may run is decided by every node when it plans. Inside a transaction it
/// reads that one's snapshot and what it has written.
pub(super) fn submit(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::SubmitQuery,
) -> Result<Outcome, SqlError> {
    let id = JobId(request.command_id);
    check_text(&command.sql)?;
    let parameters = parameters(command.parameters.as_ref())?;
    if let Some(known) = catalog.jobs.get(&id) {
        // The outcome of this command id is forgotten, the job is not.
        return if known.statement_digest == request.digest {
            Ok(Outcome::JobAccepted(known.position, id))
        } else {
            Err(malformed("the command id names another query"))
        };
    }
    if catalog.jobs.values().filter(|j| j.status == JobStatus::Active).count() >= JOBS_ACTIVE_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("{JOBS_ACTIVE_MAX} queries are already waiting"),
        )
        .hint("try again later"));
    }
    let within = command.within.as_ref();
    let within = within.map(|w| transactions::enter(catalog, request, w)).transpose()?;
    let signed_at_ms = match &within {
        Some(within) => transactions::clock(catalog, within.transaction),
        None => request.signed_at_ms,
    };
    let job = JobEntry {
        id,
        principal: request.principal.name.clone(),
        sql: command.sql.clone(),
        statement_digest: request.digest,
        position: request.index,
        log_digest: catalog.log_digest,
        attempt: 1,
        status: JobStatus::Active,
        done: [false; 3],
        signed_at_ms,
        net_profile: catalog.net_profile,
        parameters,
        memory_max: catalog.job_memory_max(),
        within,
    };
    catalog.jobs.insert(id, job);
    retention::jobs(catalog);
    Ok(Outcome::JobAccepted(request.index, id))
}

fn check_text(sql: &str) -> Result<(), SqlError> {
    if sql.is_empty() || sql.len() > STATEMENT_BYTES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a statement has 1 to {STATEMENT_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

fn parameters(set: Option<&wire::ParameterSet>) -> Result<Option<Parameters>, SqlError> {
    let Some(set) = set else { return Ok(None) };
    let segment = SegmentId::from_slice(&set.id)
        .ok_or_else(|| malformed("the id of a parameter set has 16 bytes"))?;
    let schema = set.schema.as_ref().ok_or_else(|| malformed("parameters have types"))?;
    Ok(Some(Parameters { segment, schema: TableSchema::try_from(schema)? }))
}

/// Orders a statement that writes: it takes its turn among the work on its table. Whether the text is
/// what it is said to be is decided by every node when it plans.
pub(super) fn submit_write(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::SubmitWrite,
) -> Result<Outcome, SqlError> {
    check_text(&command.sql)?;
    let transaction = TransactionId(request.command_id);
    if let Some(state) = catalog.transactions.get(&transaction) {
        // The outcome of this command id is forgotten, the transaction is not.
        return match state {
            TransactionState::Committed(at) => Ok(Outcome::Committed(*at)),
            TransactionState::Aborted(_, error) => Err(error.clone()),
            TransactionState::Validating(v) => Ok(Outcome::Validating(v.queued)),
            TransactionState::Joined(at, _) => Ok(Outcome::Applied(*at)),
            TransactionState::Open(_) => Err(malformed("the command id names a transaction")),
        };
    }
    let Some(within) = &command.within else {
        return order_write(catalog, request, command, None);
    };
    let within = transactions::enter(catalog, request, within)?;
    let open = within.transaction;
    let outcome = order_write(catalog, request, command, Some(within));
    outcome.inspect_err(|error| transactions::fail(catalog, request.index, open, error))
}

fn order_write(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::SubmitWrite,
    within: Option<Within>,
) -> Result<Outcome, SqlError> {
    let transaction = TransactionId(request.command_id);
    let refreshes = command.kind() == wire::WriteKind::Refresh;
    let rewrites = match command.kind() {
        wire::WriteKind::Insert => false,
        wire::WriteKind::Rewrite | wire::WriteKind::Refresh => true,
        wire::WriteKind::Unspecified => return Err(malformed("what does the statement write?")),
    };
    let table = ddl::existing(catalog, &command.table, request.index)?;
    if table.owner != request.principal.name && !request.principal.administrator {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for table {}", command.table),
        )
        .hint(format!("only its owner \"{}\" may write", table.owner)));
    }
    if refreshes && within.is_some() {
        return Err(SqlError::new(
            sqlstate::ACTIVE_TRANSACTION,
            "REFRESH SHARES cannot run inside a transaction block",
        ));
    }
    if let Some(within) = &within {
        transactions::refuse_newer(catalog, request.index, table, within.snapshot)?;
    }
    let id = table.id;
    let write = WriteEntry {
        principal: request.principal.name.clone(),
        sql: command.sql.clone(),
        rewrites,
        refreshes,
        parameters: parameters(command.parameters.as_ref())?,
        statement_digest: request.digest,
        signed_at_ms: match &within {
            Some(within) => transactions::clock(catalog, within.transaction),
            None => request.signed_at_ms,
        },
    };
    let subject = Subject::Write(Box::new(write));
    match within {
        Some(within) => transactions::run(catalog, request.index, transaction, id, subject, within),
        None => validation::enqueue(catalog, request.index, transaction, id, subject),
    }
}

/// Its owner ends a query.
pub(super) fn cancel(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::CancelQuery,
) -> Result<Outcome, SqlError> {
    let id = job_id(&command.job_id)?;
    let transaction = TransactionId(id.0);
    if let Some(TransactionState::Validating(v)) = catalog.transactions.get(&transaction)
        && let Subject::Write(write) = &v.subject
        && write.principal == request.principal.name
    {
        let error = SqlError::new(sqlstate::QUERY_CANCELED, "the statement was cancelled");
        validation::abort(catalog, request.index, transaction, error);
        return Ok(Outcome::Applied(request.index));
    }
    let job = catalog.jobs.get_mut(&id).ok_or_else(|| {
        SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("there is no query {id}"))
    })?;
    if job.principal != request.principal.name {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            "only its owner may cancel a query",
        ));
    }
    if job.status != JobStatus::Active {
        return Ok(Outcome::Nothing(request.index, "the query has already ended".into()));
    }
    let index = request.index;
    over(catalog, index, id, JobStatus::Cancelled);
    Ok(Outcome::Applied(index))
}

/// A party holds its part of the result of the current attempt.
pub(super) fn done(
    catalog: &mut Catalog,
    index: LogIndex,
    party: Party,
    id: JobId,
    attempt: u32,
) -> Result<Outcome, SqlError> {
    let Some(job) = running(catalog, id, attempt) else {
        return Ok(stale(index));
    };
    if std::mem::replace(&mut job.done[party.index()], true) {
        return Ok(Outcome::Nothing(index, format!("party {party} has already reported")));
    }
    if job.done == [true; 3] {
        over(catalog, index, id, JobStatus::Done);
    }
    Ok(Outcome::Applied(index))
}

/// Ends a query. One inside a transaction takes it along unless it is done.
pub(super) fn over(catalog: &mut Catalog, index: LogIndex, id: JobId, status: JobStatus) {
    let Some(job) = catalog.jobs.get_mut(&id) else { return };
    let within = job.within.take();
    job.status = status.clone();
    let Some(Within { transaction, .. }) = within else { return };
    match status {
        JobStatus::Failed(error) => transactions::fail(catalog, index, transaction, &error),
        JobStatus::Cancelled => {
            let error = SqlError::new(sqlstate::QUERY_CANCELED, "a query of it was cancelled");
            transactions::fail(catalog, index, transaction, &error);
        }
        JobStatus::Done | JobStatus::Active => {}
    }
}

/// A party met an error that another attempt would meet too.
pub(super) fn failed(
    catalog: &mut Catalog,
    index: LogIndex,
    id: JobId,
    attempt: u32,
    error: SqlError,
) -> Result<Outcome, SqlError> {
    if running(catalog, id, attempt).is_none() {
        return Ok(stale(index));
    }
    over(catalog, index, id, JobStatus::Failed(error));
    Ok(Outcome::Applied(index))
}

/// Starts the attempt after a lost one, at the job's old position. The first proposal per attempt
/// wins.
pub(super) fn retry(
    catalog: &mut Catalog,
    index: LogIndex,
    id: JobId,
    attempt: u32,
) -> Result<Outcome, SqlError> {
    let Some(job) = running(catalog, id, attempt) else {
        return Ok(stale(index));
    };
    if attempt >= ATTEMPTS_MAX {
        over(catalog, index, id, JobStatus::Failed(given_up("the query")));
    } else {
        job.attempt += 1;
        job.done = [false; 3];
    }
    Ok(Outcome::Applied(index))
}

fn running(catalog: &mut Catalog, id: JobId, attempt: u32) -> Option<&mut JobEntry> {
    let job = catalog.jobs.get_mut(&id)?;
    (job.status == JobStatus::Active && job.attempt == attempt).then_some(job)
}

fn stale(index: LogIndex) -> Outcome {
    Outcome::Nothing(index, "this attempt of the query is not running".into())
}
