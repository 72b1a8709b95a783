//! Primary key checks: one at a time per table, in log order. The nodes check the batch together
//! with everything visible at the attempt's position and report a verdict each; the third equal
//! one decides.

use trine_proto::catalog::{Catalog, SegmentEntry, TransactionState, Validation};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, Party, TableId, TransactionId};
use trine_proto::status::{SqlError, sqlstate};

use super::commit::end;
use crate::limits::{ATTEMPTS_MAX, VALIDATIONS_MAX};

/// Puts a batch into its table's queue; it starts at once when the queue is empty.
pub(super) fn enqueue(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    table: TableId,
    segment: SegmentEntry,
) -> Result<Outcome, SqlError> {
    if unfinished(catalog).count() >= VALIDATIONS_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("{VALIDATIONS_MAX} batches already wait for the check of their keys"),
        )
        .hint("try again later"));
    }
    let validation = Validation {
        table,
        segment,
        queued: index,
        attempt: 0,
        position: index,
        verdicts: [None; 3],
        net_profile: catalog.net_profile,
    };
    catalog.transactions.insert(transaction, TransactionState::Validating(validation));
    start_next(catalog, index, table);
    Ok(Outcome::Validating(index))
}

/// One party's verdict on the current attempt.
pub(super) fn verdict(
    catalog: &mut Catalog,
    index: LogIndex,
    party: Party,
    transaction: TransactionId,
    attempt: u32,
    unique: bool,
) -> Result<Outcome, SqlError> {
    let Some(validation) = running(catalog, transaction, attempt) else {
        return Ok(stale(index));
    };
    let slot = &mut validation.verdicts[party.index()];
    if slot.is_some() {
        return Ok(Outcome::Nothing(index, format!("party {party} has already given its verdict")));
    }
    *slot = Some(unique);
    let (verdicts, table) = (validation.verdicts, validation.table);
    let [Some(zero), Some(one), Some(two)] = verdicts else {
        return Ok(Outcome::Applied(index));
    };
    if zero != one || one != two {
        let error = SqlError::new(
            sqlstate::DATA_CORRUPTED,
            "the parties disagree on whether the batch's keys are unique",
        )
        .hint("nothing was loaded");
        abort(catalog, index, transaction, error);
    } else if zero {
        publish(catalog, index, transaction);
        return Ok(Outcome::Committed(index));
    } else {
        let name = catalog.tables.get(&table).map_or("", |t| t.schema.name.as_str());
        let error = SqlError::new(
            sqlstate::UNIQUE_VIOLATION,
            format!("duplicate key value violates primary key of table \"{name}\""),
        )
        .hint("the whole batch was refused; nothing was loaded");
        abort(catalog, index, transaction, error);
    }
    Ok(Outcome::Applied(index))
}

/// Starts the attempt after a lost one. The first proposal per attempt wins.
pub(super) fn retry(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    attempt: u32,
) -> Result<Outcome, SqlError> {
    let net_profile = catalog.net_profile;
    let Some(validation) = running(catalog, transaction, attempt) else {
        return Ok(stale(index));
    };
    if attempt >= ATTEMPTS_MAX {
        abort(catalog, index, transaction, given_up("the check of the batch's keys"));
    } else {
        validation.attempt += 1;
        validation.position = index;
        validation.net_profile = net_profile;
        validation.verdicts = [None; 3];
    }
    Ok(Outcome::Applied(index))
}

/// Ends a validation without its batch, and starts the next of the table.
pub(super) fn abort(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    error: SqlError,
) {
    let Some(TransactionState::Validating(validation)) = catalog.transactions.get(&transaction)
    else {
        return;
    };
    let table = validation.table;
    end(catalog, transaction, TransactionState::Aborted(index, error));
    start_next(catalog, index, table);
}

/// Aborts all that waits for a table that was dropped.
pub(super) fn table_dropped(catalog: &mut Catalog, index: LogIndex, table: TableId, name: &str) {
    let waiting: Vec<TransactionId> =
        unfinished(catalog).filter(|(_, v)| v.table == table).map(|(id, _)| id).collect();
    for transaction in waiting {
        let error = SqlError::new(
            sqlstate::UNDEFINED_TABLE,
            format!("table \"{name}\" was dropped before the batch was committed"),
        );
        end(catalog, transaction, TransactionState::Aborted(index, error));
    }
}

/// The error of work that was lost too often.
pub(super) fn given_up(what: &str) -> SqlError {
    SqlError::new(
        sqlstate::NODE_UNAVAILABLE,
        format!("{what} was given up after {ATTEMPTS_MAX} lost attempts"),
    )
    .hint("check that all three nodes are up and reach each other, then try again")
}

fn publish(catalog: &mut Catalog, index: LogIndex, transaction: TransactionId) {
    let Some(TransactionState::Validating(validation)) = catalog.transactions.get(&transaction)
    else {
        return;
    };
    let (id, mut segment) = (validation.table, validation.segment.clone());
    segment.valid_from = index;
    if let Some(table) = catalog.tables.get_mut(&id) {
        table.segments.push(segment);
    }
    end(catalog, transaction, TransactionState::Committed(index));
    start_next(catalog, index, id);
}

/// Starts the oldest waiting validation of a table unless one is running.
fn start_next(catalog: &mut Catalog, index: LogIndex, table: TableId) {
    let mut oldest: Option<(LogIndex, TransactionId)> = None;
    for (id, validation) in unfinished(catalog).filter(|(_, v)| v.table == table) {
        if validation.attempt > 0 {
            return;
        }
        if oldest.is_none_or(|(queued, _)| validation.queued < queued) {
            oldest = Some((validation.queued, id));
        }
    }
    let net_profile = catalog.net_profile;
    let next = oldest.and_then(|(_, id)| catalog.transactions.get_mut(&id));
    if let Some(TransactionState::Validating(validation)) = next {
        validation.attempt = 1;
        validation.position = index;
        validation.net_profile = net_profile;
    }
}

fn unfinished(catalog: &Catalog) -> impl Iterator<Item = (TransactionId, &Validation)> {
    catalog.transactions.iter().filter_map(|(id, state)| match state {
        TransactionState::Validating(validation) => Some((*id, validation)),
        TransactionState::Committed(_) | TransactionState::Aborted(..) => None,
    })
}

/// The validation if this is its running attempt (attempt 0 waits and does not run).
fn running(
    catalog: &mut Catalog,
    transaction: TransactionId,
    attempt: u32,
) -> Option<&mut Validation> {
    match catalog.transactions.get_mut(&transaction) {
        Some(TransactionState::Validating(v)) if attempt > 0 && v.attempt == attempt => Some(v),
        _ => None,
    }
}

fn stale(index: LogIndex) -> Outcome {
    Outcome::Nothing(index, "this attempt of the validation is not running".into())
}
