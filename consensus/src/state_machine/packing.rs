//! Small segments of a table become one, with the same rows: a table that was filled row by row is else a
//! file and a footer a row at every node.
//!
//! The state alone decides what is packed: segments of about one size (a factor of 16), so that a row is
//! rewritten a few times in its life and no more. It is work on the table that takes its turn; each party
//! stages the new segment by itself, and the one entry with the third equal verdict puts it in the place of
//! the old ones. What reads at an older position goes on with those.

use trine_proto::catalog::{
    Catalog, PackEntry, SegmentEntry, Subject, TableEntry, TransactionState,
};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, SegmentId, TableId, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::transaction::OpenTransaction;

use std::collections::BTreeMap;

use super::commit::end;
use super::{retention, validation};
use crate::limits::{PACK_ROWS_EACH, PACK_SEGMENTS_MAX, PACK_SEGMENTS_MIN};

/// The tables whose small segments are to be packed now, ascending. Cost: one look at every segment.
#[must_use]
pub fn packable(catalog: &Catalog) -> Vec<TableId> {
    let at = catalog.applied;
    let tables = catalog.tables.values().filter(|t| t.exists(at));
    tables.filter(|t| due(catalog, t, at).is_some()).map(|t| t.id).collect()
}

/// Puts the packing of a table into the queue, if it is due.
pub(super) fn pack(
    catalog: &mut Catalog,
    index: LogIndex,
    table: TableId,
) -> Result<Outcome, SqlError> {
    let found = catalog.tables.get(&table).filter(|t| t.exists(index));
    let Some(entry) = found.and_then(|t| due(catalog, t, index)) else {
        return Ok(Outcome::Nothing(index, "nothing of the table is to be packed".into()));
    };
    // The rolling digest covers this entry: no other transaction has this id.
    let mut hasher = blake3::Hasher::new_derive_key("trine packing of small segments v1");
    hasher.update(&catalog.log_digest);
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    validation::enqueue(catalog, index, TransactionId(id), table, Subject::Pack(entry))
}

/// What of a table is packed at a position: nothing while work or a transaction is about to replace its rows.
fn due(catalog: &Catalog, table: &TableEntry, at: LogIndex) -> Option<PackEntry> {
    let entry = candidates(table, at)?;
    let free = !validation::may_change(catalog, table.id) && !is_rewritten(catalog, table.id);
    free.then_some(entry)
}

/// The largest set of small segments of one shape and about one size, in the order of the list.
fn candidates(table: &TableEntry, at: LogIndex) -> Option<PackEntry> {
    let mut sets: BTreeMap<(u32, bool), PackEntry> = BTreeMap::new();
    // Rows in the layout of a version before an ALTER TABLE lie with that version.
    let small = |s: &&SegmentEntry| (1..PACK_ROWS_EACH).contains(&s.rows) && s.layout.is_none();
    if table.visible(at).filter(small).count() < PACK_SEGMENTS_MIN {
        return None;
    }
    for segment in table.visible(at).filter(small) {
        let key = (segment.rows.ilog2() / 4, segment.has_valid);
        let set = sets.entry(key).or_insert_with(|| PackEntry {
            segments: Vec::new(),
            rows: 0,
            has_valid: segment.has_valid,
        });
        if set.segments.len() < PACK_SEGMENTS_MAX {
            set.segments.push(segment.id);
            set.rows += segment.rows;
        }
    }
    let enough = sets.into_values().filter(|set| set.segments.len() >= PACK_SEGMENTS_MIN);
    // Of equal ones the first: of the smallest rows.
    enough.min_by_key(|set| std::cmp::Reverse(set.segments.len()))
}

/// Whether a transaction under way replaces the rows of a table: it would find its table changed.
fn is_rewritten(catalog: &Catalog, table: TableId) -> bool {
    let replaces = |open: &OpenTransaction| open.written.get(&table).is_some_and(|w| w.replaces);
    catalog.transactions.values().any(|state| match state {
        TransactionState::Open(open) => replaces(open),
        TransactionState::Validating(v) => match &v.subject {
            Subject::Transaction(open) => replaces(open),
            Subject::Write(write) => v.within.is_some() && v.table == table && write.rewrites,
            _ => false,
        },
        _ => false,
    })
}

/// Three parties have made the same segment: it takes the place of those that it was made of, unless a
/// transaction has begun to replace the rows meanwhile. Then it goes, and nothing has changed.
pub(super) fn publish(
    catalog: &mut Catalog,
    index: LogIndex,
    (transaction, id): (TransactionId, SegmentId),
    (table, entry): (TableId, &PackEntry),
    made: &SegmentEntry,
) -> Outcome {
    if let Some(error) = hindrance(catalog, table, entry, made) {
        end(catalog, transaction, TransactionState::Aborted(index, error));
        return Outcome::Applied(index);
    }
    if let Some(table) = catalog.tables.get_mut(&table) {
        for old in table.segments.iter_mut().filter(|s| entry.segments.contains(&s.id)) {
            old.valid_to = Some(index);
        }
        let has_valid = entry.has_valid;
        let made = SegmentEntry { id, valid_from: index, has_valid, ..made.clone() };
        table.segments.push(made);
    }
    end(catalog, transaction, TransactionState::Committed(index));
    retention::segments(catalog, table);
    Outcome::Committed(index)
}

/// Why a packed segment is not put into its place.
fn hindrance(
    catalog: &Catalog,
    table: TableId,
    entry: &PackEntry,
    made: &SegmentEntry,
) -> Option<SqlError> {
    if made.rows != entry.rows {
        let message = "the packed segment has another number of rows than those it was made of";
        return Some(SqlError::new(sqlstate::DATA_CORRUPTED, message));
    }
    let listed = |id: &SegmentId| {
        let table = catalog.tables.get(&table).filter(|t| t.dropped.is_none());
        table.is_some_and(|t| t.segments.iter().any(|s| s.id == *id && s.valid_to.is_none()))
    };
    (is_rewritten(catalog, table) || !entry.segments.iter().all(listed)).then(|| {
        let message = "the segments were about to be replaced while they were packed";
        SqlError::new(sqlstate::SERIALIZATION_FAILURE, message)
    })
}
