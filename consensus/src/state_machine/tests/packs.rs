//! Packing: what is packed, when, and that nothing else changes.

use super::*;
use crate::limits::{PACK_ROWS_EACH, PACK_SEGMENTS_MIN};
use crate::state_machine::packable;
use trine_proto::catalog::{Subject, Verdict};
use trine_proto::ids::TableId;
use trine_proto::status::sqlstate;

const MANY: u8 = 32;

impl World {
    /// So many batches of so many rows.
    fn load_many(&mut self, ids: std::ops::Range<u8>, table: &TableSchema, rows: u64) {
        for id in ids {
            let outcome = self.load(id, table, rows);
            assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
        }
    }
    fn pack(&mut self) -> Outcome {
        let table = self.entry("t").id;
        self.node(0, NodeCommandKind::Pack(table))
    }
    /// The packing under way: its transaction, attempt and rows.
    fn packing(&self) -> Option<(TransactionId, u32, u64)> {
        self.catalog.transactions.iter().find_map(|(id, state)| match state {
            TransactionState::Validating(v) => match &v.subject {
                Subject::Pack(entry) => Some((*id, v.attempt, entry.rows)),
                _ => None,
            },
            _ => None,
        })
    }
    fn all_packed(&mut self, verdict: impl Fn(usize, u64) -> Verdict) -> (TransactionId, Outcome) {
        let (id, attempt, rows) = self.packing().unwrap();
        let report = |world: &mut Self, party| {
            let verdict = verdict(party, rows);
            world.node(party, NodeCommandKind::Verdict { transaction: id, attempt, verdict })
        };
        applied(&report(self, 2));
        applied(&report(self, 0));
        (id, report(self, 1))
    }
    fn segments(&self, at: LogIndex) -> Vec<(u64, bool)> {
        self.entry("t").visible(at).map(|s| (s.rows, s.has_valid)).collect()
    }
}

fn good(party: usize, rows: u64) -> Verdict {
    writes::staged(party, rows, [7, 8, 9])
}

#[test]
fn many_small_segments_become_one_from_one_position_on() {
    assert_eq!(usize::from(MANY), PACK_SEGMENTS_MIN);
    let mut world = World::new();
    let table = world.table("t", false);
    world.load_many(1..MANY, &table, 3);
    assert_eq!(packable(&world.catalog), []);
    assert_eq!(nothing(&world.pack()), "nothing of the table is to be packed");
    world.load_many(MANY..MANY + 1, &table, 5);
    // Not small, and so it stays where it is.
    world.load(200, &table, PACK_ROWS_EACH);
    let id = world.entry("t").id;
    assert_eq!(packable(&world.catalog), [id]);
    let asked = world.ann(query("SELECT 1")).index();
    assert!(matches!(world.pack(), Outcome::Validating(_)));
    // One at a time.
    assert_eq!(packable(&world.catalog), []);
    nothing(&world.pack());
    // What comes meanwhile is not touched.
    world.load(201, &table, 2);
    let before = world.catalog.applied;
    let rows = world.entry("t").rows(before);
    let (packed, outcome) = world.all_packed(good);
    assert_eq!(outcome, Outcome::Committed(world.catalog.applied));
    let now = world.catalog.applied;
    let sum = 3 * u64::from(MANY - 1) + 5;
    assert_eq!(world.segments(now), [(PACK_ROWS_EACH, false), (2, false), (sum, false)]);
    assert_eq!(world.entry("t").rows(now), rows);
    let made = world.entry("t").visible(now).last().unwrap();
    assert_eq!(made.id, packed.segment_of_attempt(1));
    assert_eq!(made.component_digests, [[7; 32], [8; 32], [9; 32]]);
    // An older query reads the old ones, for as long as it runs.
    assert_eq!(world.segments(asked).len(), usize::from(MANY) + 1);
    assert_eq!(world.entry("t").rows(asked), rows - 2);
    assert!(!world.catalog.aborted_segments.contains(&transaction(1).into()));
    assert_eq!(packable(&world.catalog), []);
}

#[test]
fn only_segments_of_about_one_size_and_one_shape_are_packed_together() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load_many(1..MANY, &table, 1);
    world.load_many(100..100 + MANY - 1, &table, 20);
    nothing(&world.pack());
    world.load(99, &table, 15);
    assert!(matches!(world.pack(), Outcome::Validating(_)));
    let (_, _, rows) = world.packing().unwrap();
    assert_eq!(rows, u64::from(MANY) - 1 + 15);
    // Nobody reads the old ones: they are forgotten, and given up for good.
    world.all_packed(good);
    assert!(world.catalog.aborted_segments.contains(&transaction(99).into()));
    assert_eq!(world.segments(world.catalog.applied).len(), usize::from(MANY));
}

#[test]
fn parties_that_disagree_change_nothing() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load_many(1..MANY + 1, &table, 1);
    type Wrong = fn(usize, u64) -> Verdict;
    let wrong: [(Wrong, &str); 3] = [
        (
            |party, rows| writes::staged(party, rows, [if party == 0 { 1 } else { 7 }, 8, 9]),
            "component 0 differs between party 2 and party 0",
        ),
        (
            |party, rows| good(party, rows + 1),
            "the packed segment has another number of rows than those it was made of",
        ),
        (|_, _| Verdict::Holds, "the parties disagree on whether the constraints hold"),
    ];
    for (verdict, message) in wrong {
        assert!(matches!(world.pack(), Outcome::Validating(_)));
        let (id, outcome) = world.all_packed(verdict);
        applied(&outcome);
        let TransactionState::Aborted(_, error) = &world.catalog.transactions[&id] else {
            panic!("it was committed: {message}")
        };
        assert_eq!((error.message.as_str(), error.sqlstate.as_str()), (message, "XX001"));
        assert!(world.catalog.aborted_segments.contains(&id.segment_of_attempt(1)));
        assert_eq!(world.segments(world.catalog.applied).len(), usize::from(MANY));
    }
}

#[test]
fn a_lost_attempt_leaves_nothing_behind() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load_many(1..MANY + 1, &table, 1);
    world.pack();
    let (id, attempt, rows) = world.packing().unwrap();
    let verdict = good(0, rows);
    applied(&world.node(0, NodeCommandKind::Verdict { transaction: id, attempt, verdict }));
    applied(&world.node(1, NodeCommandKind::ValidationRetry { transaction: id, attempt }));
    let (_, outcome) = world.all_packed(good);
    assert!(matches!(outcome, Outcome::Committed(_)));
    assert!(world.catalog.aborted_segments.contains(&id.segment_of_attempt(1)));
    let made = world.entry("t").visible(world.catalog.applied).last().unwrap();
    assert_eq!(made.id, id.segment_of_attempt(2));
}

#[test]
fn a_transaction_that_rewrites_the_table_goes_first() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load_many(1..MANY + 1, &table, 1);
    // Begun while it was packed: the packing goes, the transaction finds its table as it was.
    assert!(matches!(world.pack(), Outcome::Validating(_)));
    applied(&world.ann(Asked::Begin(wire::Begin {})));
    let open = TransactionId(u128::from(world.commands).to_be_bytes());
    let within = wire::Within { transaction_id: open.0.to_vec(), sequence: 0 };
    let mut update = writes::write("t", wire::WriteKind::Rewrite);
    if let Asked::SubmitWrite(update) = &mut update {
        update.within = Some(within);
    }
    assert!(matches!(world.ann(update), Outcome::Validating(_)));
    let statement = TransactionId(u128::from(world.commands).to_be_bytes());
    let (id, outcome) = world.all_packed(good);
    applied(&outcome);
    let TransactionState::Aborted(_, error) = &world.catalog.transactions[&id] else {
        panic!("it was committed")
    };
    assert_eq!(error.sqlstate, sqlstate::SERIALIZATION_FAILURE);
    assert_eq!(error.message, "the segments were about to be replaced while they were packed");
    // Nor does another begin.
    assert_eq!(packable(&world.catalog), []);
    for party in 0..3 {
        let verdict = good(party, u64::from(MANY));
        let kind = NodeCommandKind::Verdict { transaction: statement, attempt: 1, verdict };
        applied(&world.node(party, kind));
    }
    assert_eq!(packable(&world.catalog), []);
    nothing(&world.pack());
    let commit = wire::CommitTransaction { transaction_id: open.0.to_vec() };
    let outcome = world.ann(Asked::CommitTransaction(commit));
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    assert_eq!(world.segments(world.catalog.applied), [(u64::from(MANY), true)]);
}

#[test]
fn rewriting_statements_wait_for_it_and_it_for_them() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load_many(1..MANY + 1, &table, 1);
    world.pack();
    let update = world.submit_write("t", wire::WriteKind::Rewrite);
    let attempt = |world: &World| match &world.catalog.transactions[&update] {
        TransactionState::Validating(v) => v.attempt,
        other => panic!("{other:?}"),
    };
    assert_eq!(attempt(&world), 0);
    world.all_packed(good);
    assert_eq!(attempt(&world), 1);
    world.load_many(100..100 + MANY, &table, 1);
    nothing(&world.pack());
}

#[test]
fn a_table_that_is_dropped_is_packed_no_more() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load_many(1..MANY + 1, &table, 1);
    let id = world.entry("t").id;
    world.pack();
    let (packing, attempt, rows) = world.packing().unwrap();
    applied(&world.ann(drop_table("t", false)));
    assert!(world.packing().is_none());
    let verdict = good(0, rows);
    let late = NodeCommandKind::Verdict { transaction: packing, attempt, verdict };
    nothing(&world.node(0, late));
    nothing(&world.node(0, NodeCommandKind::Pack(id)));
    nothing(&world.node(0, NodeCommandKind::Pack(TableId(77))));
}

#[test]
fn rows_stored_before_an_alter_stay_in_their_files() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load_many(0..MANY, &table, 3);
    let id = world.entry("t").id;
    assert_eq!(packable(&world.catalog), [id]);
    let layout = trine_proto::alter::Layout { table: id, schema: table, columns: Vec::new() };
    let layout = std::sync::Arc::new(layout);
    for segment in &mut world.catalog.tables.get_mut(&id).unwrap().segments {
        segment.layout = Some(std::sync::Arc::clone(&layout));
    }
    assert_eq!(packable(&world.catalog), []);
}
