//! ALTER TABLE: all actions of a statement at one position, or none.
//!
//! * It takes its turn among the work on its table. What it demands of the rows there are (NOT NULL, a
//!   new constraint) the nodes check first; else it is in force with its turn.
//! * The draft is made of the table as it is when it comes into force: what changed meanwhile stays.
//! * A table whose columns change gets a new entry, and work at older positions goes on with the old one
//!   (see `trine_proto::alter`). Rules alone change in place.
//! * What was cut or staged for the old columns and is not committed yet is refused with 40001.

mod draft;

use prost::Message as _;
use trine_proto::alter::AlterEntry;
use trine_proto::catalog::{Catalog, Principal, Subject, TransactionState};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, TableId, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

use super::commit::end;
use super::{Request, ddl, malformed, names, retention, transactions, validation};
use crate::limits::STATEMENT_BYTES_MAX;
use draft::Draft;

/// Changes a table of the caller's.
pub(super) fn alter(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::AlterTable,
) -> Result<Outcome, SqlError> {
    let at = request.index;
    let Some(table) = catalog.table(&command.table, at) else {
        let error = names::undefined(catalog, "table", &command.table, at);
        if command.if_exists && error.sqlstate == sqlstate::UNDEFINED_TABLE {
            return Ok(Outcome::Nothing(at, format!("{}, skipping", error.message)));
        }
        return Err(error);
    };
    let encoded = command.encode_to_vec();
    if encoded.len() > STATEMENT_BYTES_MAX {
        return Err(malformed("the statement is too long"));
    }
    let (id, empty) = (table.id, table.rows(at) == 0);
    let draft = Draft::of(catalog, request, command)?;
    let waits = !(empty || draft.change.demands.is_empty());
    if !waits && !validation::meets_work(catalog, id) {
        let notice = draft.notice();
        put_into_force(catalog, at, id, draft);
        return Ok(notice.map_or(Outcome::Applied(at), |n| Outcome::Nothing(at, n)));
    }
    let entry = AlterEntry {
        principal: request.principal.name.clone(),
        command: encoded,
        change: draft.change,
    };
    let transaction = TransactionId(request.command_id);
    validation::enqueue(catalog, at, transaction, id, Subject::Alter(Box::new(entry)))
}

/// Its turn has come: whether that was all, because it demands nothing of rows or cannot be any more.
pub(super) fn over_with_its_turn(
    catalog: &mut Catalog,
    at: LogIndex,
    id: TransactionId,
    (table, entry): (TableId, &AlterEntry),
) -> bool {
    let draft = match redrawn(catalog, at, entry) {
        Ok(draft) => draft,
        Err(error) => {
            end(catalog, id, TransactionState::Aborted(at, error));
            return true;
        }
    };
    let empty = catalog.tables.get(&table).is_none_or(|t| t.rows(at) == 0);
    if empty || draft.change.demands.is_empty() {
        end(catalog, id, TransactionState::Committed(at));
        put_into_force(catalog, at, table, draft);
        return true;
    }
    if let Some(TransactionState::Validating(v)) = catalog.transactions.get_mut(&id)
        && let Subject::Alter(entry) = &mut v.subject
    {
        entry.change = draft.change;
    }
    false
}

/// The rows keep what it demands.
pub(super) fn publish(
    catalog: &mut Catalog,
    at: LogIndex,
    id: TransactionId,
    (table, entry): (TableId, &AlterEntry),
) {
    match redrawn(catalog, at, entry) {
        // Nothing but names can have changed since; then the check was of something else.
        Ok(draft) if draft.change.demands == entry.change.demands => {
            end(catalog, id, TransactionState::Committed(at));
            put_into_force(catalog, at, table, draft);
        }
        Ok(_) => end(catalog, id, TransactionState::Aborted(at, changed_meanwhile())),
        Err(error) => end(catalog, id, TransactionState::Aborted(at, error)),
    }
}

fn redrawn(catalog: &Catalog, at: LogIndex, entry: &AlterEntry) -> Result<Draft, SqlError> {
    let command = wire::AlterTable::decode(entry.command.as_slice())
        .map_err(|_| malformed("the statement does not decode"))?;
    let unknown =
        || Principal { name: entry.principal.clone(), key: [0; 32], administrator: false };
    let principal = catalog.principals.get(&entry.principal).cloned().unwrap_or_else(unknown);
    let request =
        Request { index: at, command_id: [0; 16], signed_at_ms: 0, principal, digest: [0; 32] };
    Draft::of(catalog, &request, &command)
}

fn changed_meanwhile() -> SqlError {
    SqlError::new(
        sqlstate::SERIALIZATION_FAILURE,
        "the table was changed by another statement while its rows were checked",
    )
    .hint("nothing was changed: run the statement again")
}

/// The error of what was made for the table before.
pub(super) fn altered_since(table: &str) -> SqlError {
    SqlError::new(
        sqlstate::SERIALIZATION_FAILURE,
        format!("could not serialize access: table \"{table}\" was altered meanwhile"),
    )
    .hint("nothing was committed: read the table's definition again, and repeat")
}

fn put_into_force(catalog: &mut Catalog, at: LogIndex, id: TableId, draft: Draft) {
    for view in &draft.views {
        if let Some(view) = catalog.views.get_mut(view) {
            view.dropped = Some(at);
        }
    }
    for (other, name) in &draft.references {
        if let Some(other) = catalog.tables.get_mut(other) {
            other.rules.references.retain(|r| r.name != *name || r.table != id);
        }
    }
    let Some(old) = catalog.tables.get(&id) else { return };
    let mut new = old.changed(&draft.change, false);
    if draft.change.columns.is_none() {
        let segments = old.segments.clone();
        if let Some(table) = catalog.tables.get_mut(&id) {
            *table = trine_proto::catalog::TableEntry { segments, ..new };
        }
        retention::views(catalog);
        return;
    }
    let next = names::next_id(catalog);
    (new.id, new.created, new.replaces) = (next, at, Some(id));
    new.rules.indexes.retain(|i| i.dropped.is_none());
    catalog.tables.insert(next, new);
    if let Some(old) = catalog.tables.get_mut(&id) {
        old.dropped = Some(at);
    }
    // Who refers to the table refers to it as it is now.
    for other in catalog.tables.values_mut().filter(|t| t.exists(at)) {
        for rule in other.rules.references.iter_mut().filter(|r| r.table == id) {
            rule.table = next;
            if other.id != next {
                rule.targets = draft::moved(&rule.targets, &draft.targets);
            }
        }
    }
    for view in catalog.views.values_mut().filter(|v| v.exists(at)) {
        if view.depends.remove(&id) {
            view.depends.insert(next);
        }
    }
    let name = catalog.tables.get(&next).map_or_else(String::new, |t| t.schema.name.clone());
    move_queue(catalog, at, (id, next), &name);
    transactions::table_altered(catalog, at, next, &name);
    retention::tables(catalog);
    retention::views(catalog);
}

/// What waits for the table: statements run over it as it is now, what was made for the columns of
/// before is given up.
fn move_queue(catalog: &mut Catalog, at: LogIndex, (old, new): (TableId, TableId), name: &str) {
    let mut given_up = Vec::new();
    for (id, state) in &mut catalog.transactions {
        let TransactionState::Validating(v) = state else { continue };
        if v.table != old || v.within.is_some() {
            continue;
        }
        match v.subject {
            Subject::Write(_) | Subject::Alter(_) => v.table = new,
            Subject::Batch(_) | Subject::Index(_) | Subject::Pack(_) => given_up.push(*id),
            // It finds out by itself when its turn comes.
            Subject::Transaction(_) => {}
        }
    }
    for id in given_up {
        end(catalog, id, TransactionState::Aborted(at, altered_since(name)));
    }
}

/// Refuses what an open transaction would write to a table that was altered since its BEGIN, or that
/// is tied to one by REFERENCES: its snapshot shows the table as it was.
pub(super) fn refuse_older(
    catalog: &Catalog,
    at: LogIndex,
    table: TableId,
    snapshot: LogIndex,
) -> Result<(), SqlError> {
    let altered = |t: &&trine_proto::catalog::TableEntry| {
        t.replaces.is_some()
            && t.created > snapshot
            && t.exists(at)
            && validation::linked(catalog, table, t.id)
    };
    match catalog.tables.values().find(altered) {
        Some(altered) => Err(altered_since(&altered.schema.name)),
        None => Ok(()),
    }
}

/// The table of the caller that an action names.
fn owned<'a>(
    catalog: &'a Catalog,
    request: &Request,
    name: &str,
) -> Result<&'a trine_proto::catalog::TableEntry, SqlError> {
    ddl::owned(catalog, request, name, "alter")
}
