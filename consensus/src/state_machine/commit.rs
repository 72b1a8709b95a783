//! How three receipts become one visible batch, and how a transaction is given up. Whichever of
//! Commit and Abort comes first in the log wins.

use prost::Message as _;
use trine_proto::catalog::{Catalog, SegmentEntry, Subject, TransactionState, Validation};
use trine_proto::command::{Outcome, RECEIPT_DOMAIN, SignedBytes};
use trine_proto::ids::{ClusterId, LogIndex, Party, SegmentId, TableId, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::transaction::{OpenTransaction, Within};
use trine_proto::wire;

use super::{Request, ddl, forged, malformed, retention, transaction_id, transactions, validation};

/// SQLSTATE of a change that comes too late: object not in prerequisite state.
const TOO_LATE: &str = "55000";

/// What all three parties say of a batch.
struct Batch {
    table: String,
    /// The version of the table that the parts were staged for.
    table_id: TableId,
    schema_digest: [u8; 32],
    rows: u64,
    component_digests: [[u8; 32]; 3],
}

/// One party's verified receipt.
struct Prepared {
    receipt: wire::Receipt,
    /// Keyed digest of component i of party i.
    first: [u8; 32],
    /// Keyed digest of component i+1.
    second: [u8; 32],
}

/// Makes a staged batch visible, or queues it for the check of its constraints. Inside an open
/// transaction it joins what that has written, after the check.
pub(super) fn commit(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::Commit,
) -> Result<Outcome, SqlError> {
    let transaction = transaction_id(&command.transaction_id)?;
    if let Some(first) = already_known(catalog, transaction) {
        return first;
    }
    let Some(within) = &command.within else {
        return commit_batch(catalog, request, transaction, &command.receipts, None);
    };
    let within = transactions::enter(catalog, request, within)?;
    let open = within.transaction;
    let outcome = commit_batch(catalog, request, transaction, &command.receipts, Some(within));
    outcome.inspect_err(|error| transactions::fail(catalog, request.index, open, error))
}

fn commit_batch(
    catalog: &mut Catalog,
    request: &Request,
    transaction: TransactionId,
    receipts: &[wire::SignedReceipt],
    within: Option<Within>,
) -> Result<Outcome, SqlError> {
    let batch = match agreed_batch(catalog, request, transaction, receipts) {
        Err(error) if error.sqlstate == sqlstate::DATA_CORRUPTED => {
            // No other receipts will ever agree: the parts go, by the log.
            end(catalog, transaction, TransactionState::Aborted(request.index, error.clone()));
            return Err(error);
        }
        batch => batch?,
    };
    let table = ddl::existing(catalog, &batch.table, request.index)?;
    if table.owner != request.principal.name && !request.principal.administrator {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!(
                "only its owner, \"{}\", may insert into table \"{}\"",
                table.owner, batch.table
            ),
        ));
    }
    if table.schema.digest() != batch.schema_digest || table.id != batch.table_id {
        return Err(SqlError::new(
            TOO_LATE,
            format!("the batch was cut for another schema of table \"{}\"", batch.table),
        )
        .hint("cut and upload the batch again"));
    }
    let (id, checked) = (table.id, table.is_constrained(request.index));
    let segment = SegmentEntry {
        id: transaction.into(),
        rows: batch.rows,
        valid_from: request.index,
        valid_to: None,
        component_digests: batch.component_digests,
        has_valid: false,
        layout: None,
    };
    // A unique index that is being checked must see all that is loaded meanwhile.
    if let Some(within) = within {
        if let Some(table) = catalog.tables.get(&id) {
            transactions::refuse_newer(catalog, request.index, table, within.snapshot)?;
        }
        return if checked {
            let subject = Subject::Batch(segment);
            transactions::run(catalog, request.index, transaction, id, subject, within)
        } else {
            let open = within.transaction;
            transactions::add(catalog, request.index, open, id, Some(segment), false);
            end(catalog, transaction, TransactionState::Joined(request.index, open));
            Ok(Outcome::Applied(request.index))
        };
    }
    if checked || validation::constrains(catalog, id) {
        let subject = Subject::Batch(segment);
        return validation::enqueue(catalog, request.index, transaction, id, subject);
    }
    if let Some(table) = catalog.tables.get_mut(&id) {
        table.segments.push(segment);
    }
    end(catalog, transaction, TransactionState::Committed(request.index));
    Ok(Outcome::Committed(request.index))
}

/// A client gives a transaction up.
pub(super) fn abort_by_client(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::Abort,
) -> Result<Outcome, SqlError> {
    let transaction = transaction_id(&command.transaction_id)?;
    // Before its Commit a transaction is known by nothing but its random id, which its client
    // alone drew; afterwards the log tells whose it is.
    let owner = match catalog.transactions.get(&transaction) {
        Some(TransactionState::Open(open)) => Some(open.principal.as_str()),
        Some(TransactionState::Validating(v)) => match &v.subject {
            Subject::Write(write) => Some(write.principal.as_str()),
            Subject::Transaction(open) => Some(open.principal.as_str()),
            _ => Some(catalog.tables.get(&v.table).map_or("", |t| t.owner.as_str())),
        },
        _ => None,
    };
    if owner.is_some_and(|owner| owner != request.principal.name)
        && !request.principal.administrator
    {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            "only its owner may abort a transaction",
        ));
    }
    let error =
        SqlError::new(sqlstate::QUERY_CANCELED, "the transaction was given up by its client");
    abort(catalog, request.index, transaction, error)
}

/// Gives a transaction up unless it is committed. One that is not known yet is recorded too, so
/// that a late Commit is refused.
pub(super) fn abort(
    catalog: &mut Catalog,
    index: LogIndex,
    transaction: TransactionId,
    error: SqlError,
) -> Result<Outcome, SqlError> {
    let nothing = || Outcome::Nothing(index, "the transaction is already aborted".into());
    match catalog.transactions.get(&transaction) {
        Some(TransactionState::Committed(at)) => return Err(too_late(*at)),
        Some(TransactionState::Aborted(..)) => return Ok(nothing()),
        Some(TransactionState::Joined(_, open)) => {
            return Err(SqlError::new(
                TOO_LATE,
                format!("the statement is part of transaction {open} already"),
            )
            .hint("roll that back"));
        }
        Some(TransactionState::Open(_)) => {
            transactions::abort(catalog, index, transaction, error);
            return Ok(Outcome::Applied(index));
        }
        Some(TransactionState::Validating(_)) => {
            validation::abort(catalog, index, transaction, error);
            return Ok(Outcome::Applied(index));
        }
        None => {}
    }
    if let Some(at) = listed_since(catalog, transaction.into()) {
        return Err(too_late(at));
    }
    if let Some((open, _)) = joined(catalog, transaction.into()) {
        return Err(SqlError::new(
            TOO_LATE,
            format!("the statement is part of transaction {open} already"),
        ));
    }
    if catalog.aborted_segments.contains(&transaction.into()) {
        return Ok(nothing());
    }
    end(catalog, transaction, TransactionState::Aborted(index, error));
    Ok(Outcome::Applied(index))
}

/// Records how a transaction ended. What it staged and did not commit may be deleted.
pub(super) fn end(catalog: &mut Catalog, transaction: TransactionId, state: TransactionState) {
    let error = match &state {
        TransactionState::Aborted(_, error) => Some(error.clone()),
        _ => None,
    };
    let before = catalog.transactions.insert(transaction, state);
    let aborted = error.is_some();
    let gone: Vec<SegmentId> = match &before {
        Some(TransactionState::Open(open)) => transactions::leftovers(open, aborted),
        Some(TransactionState::Validating(v)) => match &v.subject {
            Subject::Transaction(open) => transactions::leftovers(open, aborted),
            Subject::Write(_) | Subject::Pack(_) => attempts_over(transaction, v, aborted),
            _ if aborted => vec![transaction.into()],
            _ => Vec::new(),
        },
        _ if aborted => vec![transaction.into()],
        _ => Vec::new(),
    };
    catalog.aborted_segments.extend(gone);
    if let Some(TransactionState::Validating(v)) = before
        && let Some(within) = v.within
    {
        transactions::statement_over(catalog, within.transaction, error);
    }
    retention::transactions(catalog);
}

/// Every attempt at a statement that writes, or at packing, may have left a segment at some nodes; the last one's
/// counts if it was committed.
fn attempts_over(id: TransactionId, validation: &Validation, aborted: bool) -> Vec<SegmentId> {
    let lost = if aborted { validation.attempt } else { validation.attempt.saturating_sub(1) };
    (1..=lost).map(|attempt| id.segment_of_attempt(attempt)).collect()
}

/// The answer for a transaction that the log knows already. The segment lists and the set of
/// aborted segments outlive the records of transactions: a Commit replayed years later neither
/// shows a batch twice nor revives one.
fn already_known(
    catalog: &Catalog,
    transaction: TransactionId,
) -> Option<Result<Outcome, SqlError>> {
    match catalog.transactions.get(&transaction) {
        Some(TransactionState::Committed(at)) => return Some(Ok(Outcome::Committed(*at))),
        Some(TransactionState::Aborted(_, error)) => return Some(Err(error.clone())),
        Some(TransactionState::Validating(v)) => return Some(Ok(Outcome::Validating(v.queued))),
        Some(TransactionState::Joined(at, _)) => return Some(Ok(Outcome::Applied(*at))),
        Some(TransactionState::Open(_)) => {
            return Some(Err(malformed("the id names an open transaction, not a batch")));
        }
        None => {}
    }
    if let Some(at) = listed_since(catalog, transaction.into()) {
        return Some(Ok(Outcome::Committed(at)));
    }
    if let Some((_, at)) = joined(catalog, transaction.into()) {
        return Some(Ok(Outcome::Applied(at)));
    }
    catalog.aborted_segments.contains(&transaction.into()).then(|| {
        Err(SqlError::new(TOO_LATE, "the transaction was aborted").hint("upload the batch again"))
    })
}

fn listed_since(catalog: &Catalog, segment: SegmentId) -> Option<LogIndex> {
    let segments = catalog.tables.values().flat_map(|t| &t.segments);
    segments.into_iter().find(|s| s.id == segment).map(|s| s.valid_from)
}

/// The transaction under way that a segment is part of, and since when.
fn joined(catalog: &Catalog, segment: SegmentId) -> Option<(TransactionId, LogIndex)> {
    let found = |open: &OpenTransaction| {
        let mut all = open.written.values().flat_map(|w| w.segments.iter().chain(&w.spent));
        all.find(|s| s.id == segment).map(|s| s.valid_from)
    };
    catalog.transactions.iter().find_map(|(id, state)| match state {
        TransactionState::Open(open) => found(open).map(|at| (*id, at)),
        TransactionState::Validating(v) => match &v.subject {
            Subject::Transaction(open) => found(open).map(|at| (*id, at)),
            _ => None,
        },
        _ => None,
    })
}

fn too_late(at: LogIndex) -> SqlError {
    SqlError::new(TOO_LATE, format!("the transaction was committed at log position {at}"))
}

/// Verifies the three receipts and that they tell of one and the same batch of this client.
fn agreed_batch(
    catalog: &Catalog,
    request: &Request,
    transaction: TransactionId,
    receipts: &[wire::SignedReceipt],
) -> Result<Batch, SqlError> {
    let cluster = catalog.cluster.as_ref().ok_or_else(super::not_formed)?;
    let mut by_party: [Option<Prepared>; 3] = [None, None, None];
    for signed in receipts {
        let (party, prepared) = verify(signed, &cluster.node_keys)?;
        check_receipt(&prepared.receipt, request, transaction, cluster.cluster_id, party)?;
        if by_party[party.index()].replace(prepared).is_some() {
            return Err(malformed(format!("there are two receipts of party {party}")));
        }
    }
    let [Some(zero), Some(one), Some(two)] = by_party else {
        return Err(malformed("a Commit carries three receipts, one of every party"));
    };
    for (party, other) in [&one, &two].into_iter().enumerate() {
        same_batch(&zero.receipt, &other.receipt, party + 1)?;
    }
    let component_digests = agreed_components(&[&zero, &one, &two])?;
    let schema_digest = digest(&zero.receipt.schema_digest)?;
    Ok(Batch {
        table: zero.receipt.table,
        table_id: TableId(zero.receipt.table_id),
        schema_digest,
        rows: zero.receipt.rows,
        component_digests,
    })
}

fn verify(
    signed: &wire::SignedReceipt,
    node_keys: &[[u8; 32]; 3],
) -> Result<(Party, Prepared), SqlError> {
    let receipt = wire::Receipt::decode(signed.body.as_slice())
        .map_err(|_| malformed("a receipt does not decode"))?;
    let party = usize::try_from(receipt.party)
        .ok()
        .and_then(Party::new)
        .ok_or_else(|| malformed("there are parties 0, 1 and 2"))?;
    let bytes = SignedBytes {
        body: signed.body.clone(),
        public_key: node_keys[party.index()],
        signature: signed.signature.clone(),
    };
    bytes
        .verify(RECEIPT_DOMAIN)
        .map_err(|_| forged(format!("the receipt of party {party} is not signed by its node")))?;
    let (first, second) = (digest(&receipt.first_digest)?, digest(&receipt.second_digest)?);
    Ok((party, Prepared { receipt, first, second }))
}

fn check_receipt(
    receipt: &wire::Receipt,
    request: &Request,
    transaction: TransactionId,
    cluster: ClusterId,
    party: Party,
) -> Result<(), SqlError> {
    if receipt.cluster_id != cluster.0 {
        return Err(forged(format!("the receipt of party {party} is for another cluster")));
    }
    if receipt.transaction_id != transaction.0 {
        return Err(malformed(format!("the receipt of party {party} is for another transaction")));
    }
    if receipt.principal_key != request.principal.key {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("the batch at party {party} was uploaded by another principal"),
        ));
    }
    Ok(())
}

/// Equal public facts at party 0 and at another party.
fn same_batch(zero: &wire::Receipt, other: &wire::Receipt, party: usize) -> Result<(), SqlError> {
    let differs = [
        ("table", zero.table != other.table || zero.table_id != other.table_id),
        ("row count", zero.rows != other.rows),
        ("schema", zero.schema_digest != other.schema_digest),
        ("PUBLIC columns", zero.public_digest != other.public_digest),
    ];
    match differs.into_iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((what, _)) => {
            Err(inconsistent(format!("{what} differs between party 0 and party {party}")))
        }
    }
}

/// Component c is the first of party c and the second of party c-1.
fn agreed_components(prepared: &[&Prepared; 3]) -> Result<[[u8; 32]; 3], SqlError> {
    for holder in Party::ALL {
        let other = holder.previous();
        if prepared[holder.index()].first != prepared[other.index()].second {
            return Err(inconsistent(format!(
                "component {holder} differs between party {other} and party {holder}"
            )));
        }
    }
    Ok(Party::ALL.map(|p| prepared[p.index()].first))
}

fn inconsistent(message: String) -> SqlError {
    SqlError::new(sqlstate::DATA_CORRUPTED, message).hint(
        "nothing was loaded: the parts that reached the nodes do not belong together; upload the batch again",
    )
}

fn digest(bytes: &[u8]) -> Result<[u8; 32], SqlError> {
    bytes.try_into().map_err(|_| malformed("a digest has 32 bytes"))
}
