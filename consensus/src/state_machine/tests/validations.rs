//! Primary key checks.

use super::*;
use crate::limits::ATTEMPTS_MAX;
use trine_proto::catalog::{Validation, Verdict};
use trine_proto::status::sqlstate;

fn verdict(id: u8, attempt: u32, unique: bool) -> NodeCommandKind {
    let verdict = if unique { Verdict::Holds } else { Verdict::Violated };
    NodeCommandKind::Verdict { transaction: transaction(id), attempt, verdict }
}

fn lost(id: u8, attempt: u32) -> NodeCommandKind {
    NodeCommandKind::ValidationRetry { transaction: transaction(id), attempt }
}

impl World {
    fn validation(&self, id: u8) -> &Validation {
        match self.state(id) {
            TransactionState::Validating(v) => v,
            other => panic!("{other:?}"),
        }
    }
    fn queue(&mut self, id: u8, table: &TableSchema) -> LogIndex {
        match self.load(id, table, 5) {
            Outcome::Validating(at) => at,
            other => panic!("{other:?}"),
        }
    }
    /// All three parties say the same; the last outcome.
    fn all_say(&mut self, id: u8, attempt: u32, unique: bool) -> Outcome {
        applied(&self.node(0, verdict(id, attempt, unique)));
        applied(&self.node(1, verdict(id, attempt, unique)));
        self.node(2, verdict(id, attempt, unique))
    }
    fn aborted(&self, id: u8) -> &SqlError {
        assert!(self.catalog.aborted_segments.contains(&transaction(id).into()));
        match self.state(id) {
            TransactionState::Aborted(_, error) => error,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_batch_becomes_visible_with_the_third_verdict() {
    let mut world = World::new();
    let table = world.table("t", true);
    let queued = world.queue(1, &table);
    let v = world.validation(1);
    assert_eq!((v.attempt, v.position, v.queued), (1, queued, queued));
    assert!(world.entry("t").segments.is_empty());
    let outcome = world.all_say(1, 1, true);
    assert_eq!(outcome, Outcome::Committed(outcome.index()));
    assert_eq!(world.state(1), &TransactionState::Committed(outcome.index()));
    assert_eq!(world.entry("t").rows(outcome.index()), 5);
    assert_eq!(world.entry("t").rows(LogIndex(outcome.index().0 - 1)), 0);
    // Asking again by another Commit: the same.
    assert_eq!(world.load(1, &table, 5), outcome);
}

#[test]
fn verdicts_may_come_in_any_order() {
    let run = |order: [usize; 3]| {
        let mut world = World::new();
        let table = world.table("t", true);
        world.queue(1, &table);
        for party in order {
            world.node(party, verdict(1, 1, true));
        }
        content(&world.catalog)
    };
    let first = run([0, 1, 2]);
    assert_eq!(first.tables.values().next().unwrap().segments.len(), 1);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(run(order), first);
    }
}

#[test]
fn duplicate_keys_abort_the_batch() {
    let mut world = World::new();
    let table = world.table("t", true);
    world.queue(1, &table);
    world.all_say(1, 1, false);
    let error = world.aborted(1);
    assert_eq!(error.sqlstate, sqlstate::UNIQUE_VIOLATION);
    assert_eq!(error.message, "duplicate key value violates primary key of table \"t\"");
    assert!(!error.hint.is_empty());
    assert!(world.entry("t").segments.is_empty());
    refused_with(&world.load(1, &table, 5), sqlstate::UNIQUE_VIOLATION);
}

#[test]
fn parties_that_disagree_abort_the_batch() {
    for liar in 0..3 {
        let mut world = World::new();
        let table = world.table("t", true);
        world.queue(1, &table);
        for party in 0..3 {
            world.node(party, verdict(1, 1, party != liar));
        }
        assert_eq!(world.aborted(1).sqlstate, sqlstate::DATA_CORRUPTED);
    }
}

#[test]
fn a_party_gives_one_verdict_per_attempt() {
    let mut world = World::new();
    let table = world.table("t", true);
    world.queue(1, &table);
    applied(&world.node(0, verdict(1, 1, true)));
    nothing(&world.node(0, verdict(1, 1, false)));
    nothing(&world.node(1, verdict(1, 0, true)));
    nothing(&world.node(1, verdict(1, 2, true)));
    nothing(&world.node(1, verdict(9, 1, true)));
    assert_eq!(world.validation(1).verdicts, [Some(Verdict::Holds), None, None]);
}

#[test]
fn one_validation_at_a_time_in_log_order() {
    let mut world = World::new();
    let table = world.table("t", true);
    let other = world.table("u", true);
    // Ids against the order of the log: the log counts.
    world.queue(3, &table);
    world.queue(2, &table);
    world.queue(1, &table);
    world.queue(4, &other);
    let attempts = |w: &World| [3, 2, 1, 4].map(|id| w.validation(id).attempt);
    assert_eq!(attempts(&world), [1, 0, 0, 1]);
    nothing(&world.node(0, verdict(2, 0, true)));
    let first = world.all_say(3, 1, true).index();
    assert_eq!((world.validation(2).attempt, world.validation(2).position), (1, first));
    assert_eq!(world.validation(1).attempt, 0);
    world.all_say(2, 1, false);
    assert_eq!(world.validation(1).attempt, 1);
    world.all_say(1, 1, true);
    assert_eq!(world.entry("t").rows(world.catalog.applied), 10);
    assert_eq!(world.validation(4).attempt, 1);
}

#[test]
fn a_lost_attempt_starts_over_once() {
    let mut world = World::new();
    let table = world.table("t", true);
    world.queue(1, &table);
    applied(&world.node(0, verdict(1, 1, true)));
    let retry = world.node(1, lost(1, 1));
    applied(&retry);
    nothing(&world.node(2, lost(1, 1)));
    let v = world.validation(1);
    assert_eq!((v.attempt, v.position, v.verdicts), (2, retry.index(), [None; 3]));
    nothing(&world.node(0, verdict(1, 1, true)));
    assert!(matches!(world.all_say(1, 2, true), Outcome::Committed(_)));
}

#[test]
fn too_many_lost_attempts_end_it_and_free_the_turn() {
    let mut world = World::new();
    let table = world.table("t", true);
    world.queue(1, &table);
    world.queue(2, &table);
    for attempt in 1..=ATTEMPTS_MAX {
        assert_eq!(world.validation(1).attempt, attempt);
        applied(&world.node(0, lost(1, attempt)));
    }
    assert_eq!(world.aborted(1).sqlstate, sqlstate::NODE_UNAVAILABLE);
    assert_eq!(world.validation(2).attempt, 1);
}

#[test]
fn an_abort_frees_the_turn() {
    let mut world = World::new();
    let table = world.table("t", true);
    world.queue(1, &table);
    world.queue(2, &table);
    world.queue(3, &table);
    refused_with(&world.bob(abort(1)), sqlstate::INSUFFICIENT_PRIVILEGE);
    applied(&world.ann(abort(2)));
    assert_eq!(world.validation(1).attempt, 1);
    applied(&world.ann(abort(1)));
    assert_eq!(world.validation(3).attempt, 1);
    nothing(&world.node(0, verdict(1, 1, true)));
    assert_eq!(world.aborted(1).sqlstate, sqlstate::QUERY_CANCELED);
}

#[test]
fn dropping_the_table_aborts_what_waits_for_it() {
    let mut world = World::new();
    let table = world.table("t", true);
    world.queue(1, &table);
    world.queue(2, &table);
    applied(&world.ann(drop_table("t", false)));
    for id in [1, 2] {
        assert_eq!(world.aborted(id).sqlstate, sqlstate::UNDEFINED_TABLE);
    }
    nothing(&world.node(0, verdict(1, 1, true)));
}
