//! Transactions of several statements: BEGIN takes the snapshot, every statement adds to what the
//! transaction has written (the overlay, visible to it alone), COMMIT takes its turn among the work on
//! its tables and puts everything into force at one position, or nothing.
//!
//! * Snapshot isolation, the first committer wins: a table that the transaction has rewritten (UPDATE,
//!   DELETE) and that another changed since BEGIN gives 40001. Batches that are only added commute.
//! * The constraints of every statement are checked over what the transaction sees. COMMIT needs
//!   another check only if a table that they rely on was changed by others since BEGIN.
//! * A write skew is possible: what a transaction has merely read may have changed.

use trine_proto::catalog::{
    Catalog, JobStatus, SegmentEntry, Subject, TableEntry, TransactionState, Validation,
};
use trine_proto::command::Outcome;
use trine_proto::ids::{JobId, LogIndex, SegmentId, TableId, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::transaction::{OpenTransaction, Within};
use trine_proto::wire;

use super::commit::end;
use super::{Request, alter, jobs, malformed, retention, transaction_id, validation};
use crate::limits::{TRANSACTION_STATEMENTS_MAX, TRANSACTIONS_OPEN_MAX};

/// Opens a transaction under the command's id.
pub(super) fn begin(catalog: &mut Catalog, request: &Request) -> Result<Outcome, SqlError> {
    let id = TransactionId(request.command_id);
    match catalog.transactions.get(&id) {
        // The outcome of this command id is forgotten, the transaction is not.
        Some(TransactionState::Open(open)) => return Ok(Outcome::Applied(open.snapshot)),
        Some(_) => return Err(malformed("the command id names another transaction")),
        None => {}
    }
    let is_open = |state: &&TransactionState| matches!(state, TransactionState::Open(_));
    if catalog.transactions.values().filter(is_open).count() >= TRANSACTIONS_OPEN_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("{TRANSACTIONS_OPEN_MAX} transactions are already open"),
        )
        .hint("try again later"));
    }
    let open = OpenTransaction {
        principal: request.principal.name.clone(),
        snapshot: request.index,
        touched: request.index,
        signed_at_ms: request.signed_at_ms,
        sequence: 0,
        running: None,
        written: Default::default(),
        failed: None,
    };
    catalog.transactions.insert(id, TransactionState::Open(Box::new(open)));
    Ok(Outcome::Applied(request.index))
}

/// What a statement inside an open transaction sees, if it may run there now.
pub(super) fn enter(
    catalog: &mut Catalog,
    request: &Request,
    asked: &wire::Within,
) -> Result<Within, SqlError> {
    let transaction = transaction_id(&asked.transaction_id)?;
    let open = opened(catalog, request, transaction)?;
    if open.failed.is_some() {
        return Err(is_failed());
    }
    if open.running.is_some() {
        return Err(still_running());
    }
    if open.sequence != asked.sequence {
        return Err(malformed(format!(
            "statement {} of the transaction came where {} was due",
            asked.sequence, open.sequence
        )));
    }
    if open.sequence >= TRANSACTION_STATEMENTS_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a transaction has at most {TRANSACTION_STATEMENTS_MAX} statements that write"),
        )
        .hint("COMMIT, and begin another one"));
    }
    open.touched = request.index;
    Ok(Within { transaction, snapshot: open.snapshot, written: open.written.clone() })
}

/// The open transaction of this id.
fn opened<'a>(
    catalog: &'a mut Catalog,
    request: &Request,
    id: TransactionId,
) -> Result<&'a mut OpenTransaction, SqlError> {
    match catalog.transactions.get_mut(&id) {
        Some(TransactionState::Open(open)) if open.principal == request.principal.name => Ok(open),
        Some(TransactionState::Open(_)) => Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            "the transaction belongs to another principal",
        )),
        Some(TransactionState::Aborted(_, error)) => Err(error.clone()),
        Some(TransactionState::Committed(at)) => Err(SqlError::new(
            sqlstate::NO_ACTIVE_TRANSACTION,
            format!("the transaction was committed at log position {at}"),
        )),
        Some(TransactionState::Validating(_)) => Err(SqlError::new(
            sqlstate::NO_ACTIVE_TRANSACTION,
            "the transaction is being committed",
        )),
        Some(TransactionState::Joined(..)) | None => Err(SqlError::new(
            sqlstate::NO_ACTIVE_TRANSACTION,
            format!("there is no transaction {id}"),
        )),
    }
}

/// Refuses to write to a table that the snapshot of a transaction does not have, or has otherwise.
pub(super) fn refuse_newer(
    catalog: &Catalog,
    at: LogIndex,
    table: &TableEntry,
    snapshot: LogIndex,
) -> Result<(), SqlError> {
    alter::refuse_older(catalog, at, table.id, snapshot)?;
    if table.created <= snapshot {
        return Ok(());
    }
    let name = &table.schema.name;
    Err(SqlError::new(
        sqlstate::UNDEFINED_TABLE,
        format!("table \"{name}\" was created after BEGIN: the transaction does not see it"),
    )
    .hint("ROLLBACK, and begin again"))
}

fn is_failed() -> SqlError {
    SqlError::new(
        sqlstate::IN_FAILED_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
    .hint("write ROLLBACK")
}

fn still_running() -> SqlError {
    SqlError::new(sqlstate::OBJECT_IN_USE, "a statement of the transaction is still running")
        .hint("statements of one transaction run one after the other")
}

/// The signed time of BEGIN.
pub(super) fn clock(catalog: &Catalog, id: TransactionId) -> u64 {
    match catalog.transactions.get(&id) {
        Some(TransactionState::Open(open)) => open.signed_at_ms,
        _ => 0,
    }
}

/// Starts a statement that writes, or the check of a batch, inside an open transaction.
pub(super) fn run(
    catalog: &mut Catalog,
    index: LogIndex,
    statement: TransactionId,
    table: TableId,
    subject: Subject,
    within: Within,
) -> Result<Outcome, SqlError> {
    let transaction = within.transaction;
    validation::insert(catalog, index, statement, table, subject, Some(within))?;
    if let Some(TransactionState::Open(open)) = catalog.transactions.get_mut(&transaction) {
        open.running = Some(statement);
        open.sequence += 1;
    }
    Ok(Outcome::Validating(index))
}

/// Adds a batch to what a transaction has written; counts it as a statement.
pub(super) fn add(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    table: TableId,
    segment: Option<SegmentEntry>,
    replaces: bool,
) {
    if let Some(TransactionState::Open(open)) = catalog.transactions.get_mut(&transaction) {
        open.sequence += 1;
        write(open, index, table, segment, replaces);
    }
}

fn write(
    open: &mut OpenTransaction,
    index: LogIndex,
    table: TableId,
    segment: Option<SegmentEntry>,
    replaces: bool,
) {
    open.touched = index;
    let written = open.written.entry(table).or_default();
    if replaces {
        written.replaces = true;
        let before = std::mem::take(&mut written.segments);
        written.spent.extend(before);
    }
    written.segments.extend(segment.map(|s| SegmentEntry { valid_from: index, ..s }));
}

/// A statement that ran is part of its transaction now.
pub(super) fn join(
    catalog: &mut Catalog,
    index: LogIndex,
    statement: TransactionId,
    within: &Within,
    (validation, made): (&Validation, Option<SegmentEntry>),
) {
    let id = statement.segment_of_attempt(validation.attempt);
    let (segment, replaces) = match (&validation.subject, made) {
        (Subject::Batch(segment), _) => (Some(segment.clone()), false),
        (Subject::Write(write), Some(made)) if made.rows > 0 => {
            (Some(SegmentEntry { id, ..made }), write.rewrites)
        }
        (Subject::Write(write), _) => {
            catalog.aborted_segments.insert(id);
            (None, write.rewrites)
        }
        (Subject::Index(_) | Subject::Transaction(_) | Subject::Pack(_) | Subject::Alter(_), _) => {
            (None, false)
        }
    };
    if let Some(TransactionState::Open(open)) = catalog.transactions.get_mut(&within.transaction) {
        write(open, index, validation.table, segment, replaces);
    }
    end(catalog, statement, TransactionState::Joined(index, within.transaction));
}

/// A statement of the transaction has ended; an error leaves ROLLBACK only.
pub(super) fn statement_over(
    catalog: &mut Catalog,
    transaction: TransactionId,
    error: Option<SqlError>,
) {
    if let Some(TransactionState::Open(open)) = catalog.transactions.get_mut(&transaction) {
        open.running = None;
        open.failed = open.failed.take().or(error);
    }
}

/// Marks an open transaction as failed.
pub(super) fn fail(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    error: &SqlError,
) {
    if let Some(TransactionState::Open(open)) = catalog.transactions.get_mut(&transaction) {
        open.touched = index;
        open.failed.get_or_insert_with(|| error.clone());
    }
}

/// COMMIT. A failed transaction is rolled back.
pub(super) fn commit(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::CommitTransaction,
) -> Result<Outcome, SqlError> {
    let id = transaction_id(&command.transaction_id)?;
    let index = request.index;
    match catalog.transactions.get(&id) {
        Some(TransactionState::Committed(at)) => return Ok(Outcome::Committed(*at)),
        Some(TransactionState::Validating(v)) if matches!(v.subject, Subject::Transaction(_)) => {
            return Ok(Outcome::Validating(v.queued));
        }
        _ => {}
    }
    let open = opened(catalog, request, id)?.clone();
    if open.running.is_some() {
        return Err(still_running());
    }
    if let Some(error) = open.failed {
        abort(catalog, index, id, error);
        return Err(SqlError::new(
            sqlstate::IN_FAILED_TRANSACTION,
            "the transaction had failed and was rolled back",
        ));
    }
    let waits = open.written.iter().any(|(table, written)| {
        written.replaces
            || validation::constrains(catalog, *table)
            || catalog.tables.get(table).is_none_or(|t| t.is_constrained(index))
    });
    match open.written.keys().next() {
        Some(first) if waits => {
            let first = *first;
            let subject = Subject::Transaction(Box::new(open));
            validation::enqueue(catalog, index, id, first, subject)
        }
        _ => {
            publish(catalog, index, id, &open);
            match catalog.transactions.get(&id) {
                Some(TransactionState::Aborted(_, error)) => Err(error.clone()),
                _ => Ok(Outcome::Committed(index)),
            }
        }
    }
}

/// A transaction has its turn: whether that is all, because it conflicts or needs no check.
pub(super) fn over_with_its_turn(
    catalog: &mut Catalog,
    index: LogIndex,
    id: TransactionId,
    open: &OpenTransaction,
) -> bool {
    if conflict(catalog, index, open).is_none() && needs_check(catalog, index, open) {
        return false;
    }
    publish(catalog, index, id, open);
    true
}

/// Puts all that a transaction wrote into force, unless another was first.
pub(super) fn publish(
    catalog: &mut Catalog,
    index: LogIndex,
    id: TransactionId,
    open: &OpenTransaction,
) {
    if let Some(error) = conflict(catalog, index, open) {
        return end(catalog, id, TransactionState::Aborted(index, error));
    }
    for (table, written) in &open.written {
        let Some(table) = catalog.tables.get_mut(table) else { continue };
        if written.replaces {
            for old in table.segments.iter_mut().filter(|s| s.valid_to.is_none()) {
                old.valid_to = Some(index);
            }
        }
        let own = written.segments.iter();
        table.segments.extend(own.map(|s| SegmentEntry { valid_from: index, ..s.clone() }));
    }
    end(catalog, id, TransactionState::Committed(index));
    for (table, _) in open.written.iter().filter(|(_, w)| w.replaces) {
        retention::segments(catalog, *table);
    }
}

/// A table was altered: what statements of open transactions write there, or to tables that are tied to
/// it, would be checked against columns of two times.
pub(super) fn table_altered(catalog: &mut Catalog, index: LogIndex, new: TableId, name: &str) {
    let old = catalog.tables.get(&new).and_then(|t| t.replaces);
    let running: Vec<TransactionId> = catalog
        .transactions
        .iter()
        .filter_map(|(id, state)| match state {
            TransactionState::Validating(v) if v.within.is_some() => Some((*id, v.table)),
            _ => None,
        })
        .filter(|(_, table)| Some(*table) == old || validation::linked(catalog, *table, new))
        .map(|(id, _)| id)
        .collect();
    for id in running {
        end(catalog, id, TransactionState::Aborted(index, alter::altered_since(name)));
    }
}

/// Why a transaction cannot be committed any more.
fn conflict(catalog: &Catalog, index: LogIndex, open: &OpenTransaction) -> Option<SqlError> {
    open.written.iter().find_map(|(id, written)| {
        let Some(table) = catalog.tables.get(id).filter(|t| t.exists(index)) else {
            if catalog.is_altered(*id) {
                let name = catalog.tables.get(id).map_or("", |t| t.schema.name.as_str());
                return Some(alter::altered_since(name));
            }
            return Some(SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                "a table was dropped before the transaction that writes to it was committed",
            ));
        };
        (written.replaces && changed_since(table, open.snapshot)).then(|| {
            SqlError::new(
                sqlstate::SERIALIZATION_FAILURE,
                format!(
                    "could not serialize access: table \"{}\" was changed by another transaction \
                     since BEGIN",
                    table.schema.name
                ),
            )
            .hint("nothing was committed: run the transaction again from its BEGIN")
        })
    })
}

/// Whether batches came to a table or went since a position. What ended since then is still listed,
/// because an open transaction reads there.
fn changed_since(table: &TableEntry, snapshot: LogIndex) -> bool {
    let after = |at: LogIndex| at > snapshot;
    table.segments.iter().any(|s| after(s.valid_from) || s.valid_to.is_some_and(after))
}

/// Whether the constraints that held for each statement may not hold over what is there now.
fn needs_check(catalog: &Catalog, index: LogIndex, open: &OpenTransaction) -> bool {
    let is_new = |table: &TableEntry| {
        let mut unique = table.rules.indexes.iter().filter(|i| i.unique && i.exists(index));
        unique.any(|i| i.created > open.snapshot)
    };
    open.written.keys().any(|written| {
        let Some(table) = catalog.tables.get(written) else { return false };
        let related = |id: TableId| id != *written && validation::linked(catalog, *written, id);
        let rules = table.is_constrained(index);
        (rules && (is_new(table) || changed_since(table, open.snapshot)))
            || catalog.tables.values().any(|other| {
                related(other.id) && other.exists(index) && changed_since(other, open.snapshot)
            })
    })
}

/// Gives an open transaction up, with the statement and the queries of it that run.
pub(super) fn abort(catalog: &mut Catalog, index: LogIndex, id: TransactionId, error: SqlError) {
    let Some(TransactionState::Open(open)) = catalog.transactions.get(&id) else { return };
    if let Some(statement) = open.running {
        end(catalog, statement, TransactionState::Aborted(index, error.clone()));
    }
    let queries: Vec<JobId> = catalog
        .jobs
        .values()
        .filter(|job| job.status == JobStatus::Active)
        .filter(|job| job.within.as_ref().is_some_and(|w| w.transaction == id))
        .map(|job| job.id)
        .collect();
    for query in queries {
        jobs::over(catalog, index, query, JobStatus::Cancelled);
    }
    end(catalog, id, TransactionState::Aborted(index, error));
}

/// Segments of a transaction that nobody will read: all if it is aborted, else what it replaced itself.
pub(super) fn leftovers(open: &OpenTransaction, aborted: bool) -> Vec<SegmentId> {
    let own = |w: &trine_proto::transaction::Written| {
        let kept = if aborted { w.segments.as_slice() } else { &[] };
        w.spent.iter().chain(kept).map(|s| s.id).collect::<Vec<_>>()
    };
    open.written.values().flat_map(own).collect()
}
