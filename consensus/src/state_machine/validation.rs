//! Work on a table that takes its turn: checks of batches and of unique indexes, packing, and statements
//! that write. One at a time per table, in log order. The nodes work over everything visible at the
//! attempt's position and report a verdict each; the third equal one decides.

use trine_proto::alter::{Change, Demand};
use trine_proto::catalog::{
    Catalog, SegmentEntry, Staged, Subject, TableEntry, TransactionState, Validation, Verdict,
};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, Party, TableId, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::transaction::Within;

use super::commit::end;
use super::{alter, indexes, packing, retention, transactions};
use crate::limits::{ATTEMPTS_MAX, VALIDATIONS_MAX};

/// Puts work into the queue of its tables; it starts at once when nothing older is in its way.
pub(super) fn enqueue(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    table: TableId,
    subject: Subject,
) -> Result<Outcome, SqlError> {
    insert(catalog, index, transaction, table, subject, None)?;
    start_next(catalog, index);
    match catalog.transactions.get(&transaction) {
        // A transaction may be over as soon as it has its turn.
        Some(TransactionState::Committed(at)) => Ok(Outcome::Committed(*at)),
        Some(TransactionState::Aborted(_, error)) => Err(error.clone()),
        _ => Ok(Outcome::Validating(index)),
    }
}

/// Adds work without a turn yet; a statement inside a transaction starts at once.
pub(super) fn insert(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    table: TableId,
    subject: Subject,
    within: Option<Within>,
) -> Result<(), SqlError> {
    if unfinished(catalog).count() >= VALIDATIONS_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("{VALIDATIONS_MAX} batches and statements already wait for their turn"),
        )
        .hint("try again later"));
    }
    let validation = Validation {
        table,
        subject,
        queued: index,
        attempt: u32::from(within.is_some()),
        position: index,
        verdicts: [None; 3],
        net_profile: catalog.net_profile,
        memory_max: catalog.job_memory_max(),
        within,
    };
    catalog.transactions.insert(transaction, TransactionState::Validating(Box::new(validation)));
    Ok(())
}

/// Whether work on a table waits or runs.
pub(super) fn is_busy(catalog: &Catalog, table: TableId) -> bool {
    queue(catalog).any(|(_, v)| v.tables().contains(&table))
}

/// Whether work that may replace the rows of a table, or its columns, waits or runs.
pub(super) fn may_change(catalog: &Catalog, table: TableId) -> bool {
    let adds = |subject: &Subject| match subject {
        Subject::Batch(_) => true,
        Subject::Write(write) => !write.rewrites,
        _ => false,
    };
    queue(catalog).any(|(_, v)| v.tables().contains(&table) && !adds(&v.subject))
}

/// Whether work waits or runs on a table or on one tied to it.
pub(super) fn meets_work(catalog: &Catalog, table: TableId) -> bool {
    queue(catalog).any(|(_, v)| v.tables().into_iter().any(|other| linked(catalog, table, other)))
}

/// Whether a unique index or an ALTER of the table waits for its check.
pub(super) fn constrains(catalog: &Catalog, table: TableId) -> bool {
    let rules = |subject: &Subject| matches!(subject, Subject::Index(_) | Subject::Alter(_));
    queue(catalog).any(|(_, v)| v.table == table && rules(&v.subject))
}

/// One party's verdict on the current attempt.
pub(super) fn verdict(
    catalog: &mut Catalog,
    index: LogIndex,
    party: Party,
    transaction: TransactionId,
    attempt: u32,
    verdict: Verdict,
) -> Result<Outcome, SqlError> {
    let Some(validation) = running(catalog, transaction, attempt) else {
        return Ok(stale(index));
    };
    let slot = &mut validation.verdicts[party.index()];
    if slot.is_some() {
        return Ok(Outcome::Nothing(index, format!("party {party} has already given its verdict")));
    }
    *slot = Some(verdict);
    let [Some(zero), Some(one), Some(two)] = validation.verdicts else {
        return Ok(Outcome::Applied(index));
    };
    let validation = Validation::clone(validation);
    let stages = matches!(validation.subject, Subject::Write(_) | Subject::Pack(_));
    let error = match [zero, one, two] {
        [Verdict::Holds, Verdict::Holds, Verdict::Holds] if !stages => {
            return Ok(publish(catalog, index, transaction, &validation, None));
        }
        [Verdict::Staged(a), Verdict::Staged(b), Verdict::Staged(c)] if stages => {
            match agreed(&[a, b, c]) {
                Ok(segment) => {
                    return Ok(publish(catalog, index, transaction, &validation, Some(segment)));
                }
                Err(error) => error,
            }
        }
        [Verdict::Violated, Verdict::Violated, Verdict::Violated] => {
            violation(catalog.tables.get(&validation.table), index, &validation.subject)
        }
        _ => inconsistent("the parties disagree on whether the constraints hold".into()),
    };
    abort(catalog, index, transaction, error);
    Ok(Outcome::Applied(index))
}

/// The segment that three parties wrote, if they wrote one and the same: component c is the first of
/// party c and the second of party c-1.
fn agreed(staged: &[Staged; 3]) -> Result<SegmentEntry, SqlError> {
    let [zero, ..] = staged;
    for (party, other) in Party::ALL.into_iter().zip(staged) {
        let public = |s: &Staged| (s.rows, s.schema_digest, s.public_digest);
        if public(zero) != public(other) {
            let what = format!("the statement's rows differ between party 0 and party {party}");
            return Err(inconsistent(what));
        }
        let before = party.previous();
        if staged[before.index()].second_digest != other.first_digest {
            let what =
                format!("component {party} differs between party {before} and party {party}");
            return Err(inconsistent(what));
        }
    }
    Ok(SegmentEntry {
        id: trine_proto::ids::SegmentId([0; 16]),
        rows: zero.rows,
        valid_from: LogIndex(0),
        valid_to: None,
        component_digests: [staged[0], staged[1], staged[2]].map(|s| s.first_digest),
        has_valid: true,
        layout: None,
    })
}

fn inconsistent(message: String) -> SqlError {
    SqlError::new(sqlstate::DATA_CORRUPTED, message).hint("nothing was changed")
}

/// What is said of a violated constraint. Where there is but one, everybody knows which; where there
/// are more, only the client can find out.
fn violation(table: Option<&TableEntry>, at: LogIndex, subject: &Subject) -> SqlError {
    let Some(table) = table else {
        return SqlError::new(sqlstate::UNDEFINED_TABLE, "the table does not exist");
    };
    let name = &table.schema.name;
    if let Subject::Transaction(_) = subject {
        return SqlError::new(
            sqlstate::INTEGRITY_VIOLATION,
            "a constraint is violated together with what was committed since BEGIN",
        )
        .hint("nothing of the transaction was committed; which constraint it was the nodes do not know");
    }
    if let Subject::Index(index) = subject {
        return SqlError::new(
            sqlstate::UNIQUE_VIOLATION,
            format!(
                "could not create unique index \"{}\": table \"{name}\" contains duplicated values",
                index.name
            ),
        );
    }
    if let Subject::Alter(entry) = subject {
        return demand_not_met(name, &entry.change);
    }
    let refused = "the whole batch was refused; nothing was loaded";
    let rules = &table.rules;
    // Ranges do not count: every client of ours checks them before it cuts.
    let others = rules.checks.len() + rules.references.len();
    let unique = rules.indexes.iter().filter(|i| i.unique && i.exists(at)).collect::<Vec<_>>();
    let keyed = !table.schema.primary_key.is_empty();
    let write = matches!(subject, Subject::Write(_));
    match (keyed, unique.as_slice(), others, write) {
        (true, [], 0, false) => SqlError::new(
            sqlstate::UNIQUE_VIOLATION,
            format!("duplicate key value violates primary key of table \"{name}\""),
        )
        .hint(refused),
        (false, [one], 0, false) => SqlError::new(
            sqlstate::UNIQUE_VIOLATION,
            format!("duplicate key value violates unique constraint \"{}\"", one.name),
        )
        .hint(refused),
        (_, _, _, true) => SqlError::new(
            sqlstate::INTEGRITY_VIOLATION,
            format!(
                "a value does not fit its column, or a constraint of table \"{name}\" is violated"
            ),
        )
        .hint("the statement changed nothing; which constraint it was the nodes do not know"),
        _ => SqlError::new(
            sqlstate::INTEGRITY_VIOLATION,
            format!("a constraint of table \"{name}\" is violated"),
        )
        .hint(format!("{refused}; which constraint it was the nodes do not know")),
    }
}

/// What is said of rows that do not keep what an ALTER TABLE demands.
fn demand_not_met(table: &str, change: &Change) -> SqlError {
    let column = |k: &usize| change.schema.columns.get(*k).map_or("", |c| c.name.as_str());
    let (state, message) = match change.demands.as_slice() {
        [Demand::NotNull(k)] => (
            sqlstate::NOT_NULL_VIOLATION,
            format!("column \"{}\" of relation \"{table}\" contains null values", column(k)),
        ),
        [Demand::PrimaryKey] => (
            sqlstate::UNIQUE_VIOLATION,
            format!(
                "could not create unique index \"{table}_pkey\": the table contains duplicated values"
            ),
        ),
        [Demand::Unique(name)] => (
            sqlstate::UNIQUE_VIOLATION,
            format!(
                "could not create unique index \"{name}\": the table contains duplicated values"
            ),
        ),
        [Demand::Check(name)] => (
            sqlstate::CHECK_VIOLATION,
            format!("check constraint \"{name}\" of relation \"{table}\" is violated by some row"),
        ),
        [Demand::Reference(name)] => (
            sqlstate::FOREIGN_KEY_VIOLATION,
            format!("table \"{table}\" violates foreign key constraint \"{name}\""),
        ),
        _ => {
            let message = format!("the rows of table \"{table}\" do not keep what is demanded");
            return SqlError::new(sqlstate::INTEGRITY_VIOLATION, message)
                .hint("nothing was changed; one action a statement tells which it is");
        }
    };
    SqlError::new(state, message).hint("nothing was changed")
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
        abort(catalog, index, transaction, given_up("the check of the batch or the statement"));
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
    if !matches!(catalog.transactions.get(&transaction), Some(TransactionState::Validating(_))) {
        return;
    }
    end(catalog, transaction, TransactionState::Aborted(index, error));
    start_next(catalog, index);
}

/// Aborts all that waits for a table that was dropped.
pub(super) fn table_dropped(catalog: &mut Catalog, index: LogIndex, table: TableId, name: &str) {
    let waiting: Vec<TransactionId> =
        queue(catalog).filter(|(_, v)| v.tables().contains(&table)).map(|(id, _)| id).collect();
    for transaction in waiting {
        let error = SqlError::new(
            sqlstate::UNDEFINED_TABLE,
            format!("table \"{name}\" was dropped before the batch was committed"),
        );
        end(catalog, transaction, TransactionState::Aborted(index, error));
    }
    start_next(catalog, index);
}

/// The error of work that was lost too often.
pub(super) fn given_up(what: &str) -> SqlError {
    SqlError::new(
        sqlstate::NODE_UNAVAILABLE,
        format!("{what} was given up after {ATTEMPTS_MAX} lost attempts"),
    )
    .hint("check that all three nodes are up and reach each other, then try again")
}

/// Puts into force what was checked: a batch or an index, the segment that a statement made, or all
/// that a transaction wrote.
fn publish(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    validation: &Validation,
    written: Option<SegmentEntry>,
) -> Outcome {
    if let Some(within) = &validation.within {
        transactions::join(catalog, index, transaction, within, (validation, written));
        return Outcome::Applied(index);
    }
    if let (Subject::Pack(entry), Some(segment)) = (&validation.subject, &written) {
        let made = (transaction, transaction.segment_of_attempt(validation.attempt));
        let outcome = packing::publish(catalog, index, made, (validation.table, entry), segment);
        start_next(catalog, index);
        return outcome;
    }
    if let Subject::Transaction(open) = &validation.subject {
        transactions::publish(catalog, index, transaction, open);
        start_next(catalog, index);
        return match catalog.transactions.get(&transaction) {
            Some(TransactionState::Committed(at)) => Outcome::Committed(*at),
            _ => Outcome::Applied(index),
        };
    }
    if let Subject::Alter(entry) = &validation.subject {
        alter::publish(catalog, index, transaction, (validation.table, entry));
        start_next(catalog, index);
        return match catalog.transactions.get(&transaction) {
            Some(TransactionState::Committed(at)) => Outcome::Committed(*at),
            _ => Outcome::Applied(index),
        };
    }
    let id = validation.table;
    let mut ended = false;
    let Some(table) = catalog.tables.get_mut(&id) else { return stale(index) };
    match (&validation.subject, written) {
        (Subject::Batch(segment), _) => {
            table.segments.push(SegmentEntry { valid_from: index, ..segment.clone() });
        }
        (Subject::Index(entry), _) => {
            let entry = trine_proto::catalog::IndexEntry { created: index, ..entry.clone() };
            indexes::add(catalog, id, entry);
        }
        (Subject::Write(write), Some(segment)) => {
            if write.refreshes {
                catalog.share_generation += 1;
            }
            if write.rewrites {
                // What came after the attempt's position was not read and stays as it is.
                for old in &mut table.segments {
                    if old.valid_from <= validation.position && old.valid_to.is_none() {
                        old.valid_to = Some(index);
                        ended = true;
                    }
                }
            }
            let id = transaction.segment_of_attempt(validation.attempt);
            if segment.rows > 0 {
                table.segments.push(SegmentEntry { id, valid_from: index, ..segment });
            } else {
                catalog.aborted_segments.insert(id);
            }
        }
        (Subject::Write(_) | Subject::Transaction(_) | Subject::Pack(_) | Subject::Alter(_), _) => {
        }
    }
    end(catalog, transaction, TransactionState::Committed(index));
    if ended {
        retention::segments(catalog, id);
    }
    start_next(catalog, index);
    Outcome::Committed(index)
}

/// Starts what waits and meets no older work: of the same table, or of one that refers to it or that
/// it refers to, because such work reads both. A transaction that needs no check is over with its
/// turn, and others may follow.
fn start_next(catalog: &mut Catalog, index: LogIndex) {
    loop {
        let mut over = false;
        for id in due(catalog) {
            let Some(TransactionState::Validating(v)) = catalog.transactions.get(&id) else {
                continue;
            };
            let table = v.table;
            let ended = match v.subject.clone() {
                Subject::Transaction(open) => {
                    transactions::over_with_its_turn(catalog, index, id, &open)
                }
                Subject::Alter(entry) => {
                    alter::over_with_its_turn(catalog, index, id, (table, &entry))
                }
                _ => false,
            };
            if ended {
                // Others may have been given up with it, or have their turn now.
                over = true;
                break;
            }
            let net_profile = catalog.net_profile;
            if let Some(TransactionState::Validating(v)) = catalog.transactions.get_mut(&id) {
                v.attempt = 1;
                v.position = index;
                v.net_profile = net_profile;
            }
        }
        if !over {
            return;
        }
    }
}

/// What waits and has its turn, in order.
fn due(catalog: &Catalog) -> Vec<TransactionId> {
    let mut queue: Vec<(LogIndex, TransactionId, Vec<TableId>, bool)> =
        queue(catalog).map(|(id, v)| (v.queued, id, v.tables(), v.attempt > 0)).collect();
    queue.sort_unstable();
    let mut due = Vec::new();
    for (position, (_, id, tables, runs)) in queue.iter().enumerate() {
        let meets = |others: &[TableId]| {
            tables.iter().any(|a| others.iter().any(|b| linked(catalog, *a, *b)))
        };
        if !runs && !queue[..position].iter().any(|(_, _, others, _)| meets(others)) {
            due.push(*id);
        }
    }
    due
}

/// Whether work on one table reads or changes what work on the other relies on.
pub(super) fn linked(catalog: &Catalog, a: TableId, b: TableId) -> bool {
    let refers = |from: TableId, to: TableId| {
        let rules = catalog.tables.get(&from).map(|t| &t.rules);
        rules.is_some_and(|r| r.references.iter().any(|r| r.table == to))
    };
    a == b || refers(a, b) || refers(b, a)
}

fn unfinished(catalog: &Catalog) -> impl Iterator<Item = (TransactionId, &Validation)> {
    catalog.transactions.iter().filter_map(|(id, state)| match state {
        TransactionState::Validating(validation) => Some((*id, &**validation)),
        _ => None,
    })
}

/// What takes turns: all but statements inside open transactions.
fn queue(catalog: &Catalog) -> impl Iterator<Item = (TransactionId, &Validation)> {
    unfinished(catalog).filter(|(_, v)| v.within.is_none())
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
