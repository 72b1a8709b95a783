//! Statements that write: their turn, their segment, and what they replace.

use super::*;
use crate::limits::ATTEMPTS_MAX;
use trine_proto::catalog::{Staged, Subject, Verdict};
use trine_proto::status::sqlstate;

/// A statement of its own.
pub(super) fn write(table: &str, kind: wire::WriteKind) -> Asked {
    let mut write = wire::SubmitWrite {
        sql: "DELETE FROM t".into(),
        table: table.into(),
        kind: 0,
        ..Default::default()
    };
    write.set_kind(kind);
    Asked::SubmitWrite(write)
}

/// What party p reports of a segment whose components have these digests.
pub(super) fn staged(party: usize, rows: u64, digests: [u8; 3]) -> Verdict {
    Verdict::Staged(Staged {
        rows,
        schema_digest: [1; 32],
        first_digest: [digests[party]; 32],
        second_digest: [digests[(party + 1) % 3]; 32],
        public_digest: [2; 32],
    })
}

impl World {
    /// Ann's statement; its transaction.
    pub(super) fn submit_write(&mut self, table: &str, kind: wire::WriteKind) -> TransactionId {
        let outcome = self.ann(write(table, kind));
        assert!(matches!(outcome, Outcome::Validating(_)), "{outcome:?}");
        TransactionId(u128::from(self.commands).to_be_bytes())
    }
    fn attempt(&self, id: TransactionId) -> u32 {
        match &self.catalog.transactions[&id] {
            TransactionState::Validating(v) => v.attempt,
            other => panic!("{other:?}"),
        }
    }
    fn all_report(&mut self, id: TransactionId, verdict: impl Fn(usize) -> Verdict) -> Outcome {
        let attempt = self.attempt(id);
        let mut last = None;
        for party in 0..3 {
            let verdict = verdict(party);
            let kind = NodeCommandKind::Verdict { transaction: id, attempt, verdict };
            last = Some(self.node(party, kind));
        }
        last.unwrap()
    }
    fn rows_at(&self, at: LogIndex) -> u64 {
        self.catalog.table("t", at).unwrap().rows(at)
    }
}

#[test]
fn a_rewrite_takes_the_place_of_what_it_read_and_of_nothing_else() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let id = world.submit_write("t", wire::WriteKind::Rewrite);
    assert_eq!(world.attempt(id), 1);
    // A batch that comes meanwhile is not read, and stays.
    let between = world.load(2, &table, 3).index();
    assert_eq!(world.rows_at(between), 8);
    let outcome = world.all_report(id, |p| staged(p, 5, [7, 8, 9]));
    assert_eq!(outcome, Outcome::Committed(outcome.index()));
    let at = outcome.index();
    let entry = world.entry("t");
    let visible: Vec<_> = entry.visible(at).map(|s| (s.id, s.rows, s.has_valid)).collect();
    assert_eq!(visible, [(transaction(2).into(), 3, false), (id.segment_of_attempt(1), 5, true)]);
    let made = entry.visible(at).last().unwrap();
    assert_eq!(made.component_digests, [[7; 32], [8; 32], [9; 32]]);
    // Nobody reads what was replaced: it is forgotten. Asked again, its commit is answered as before
    // and brings nothing back.
    assert!(world.catalog.aborted_segments.contains(&transaction(1).into()));
    assert!(world.load(1, &table, 5).index() < at);
    assert_eq!(world.entry("t").visible(at).count(), 2);
}

#[test]
fn a_refresh_begins_a_generation_when_it_is_published_and_never_inside_a_transaction() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let id = world.submit_write("t", wire::WriteKind::Refresh);
    assert_eq!(world.catalog.share_generation, 0);
    let at = world.all_report(id, |p| staged(p, 5, [7, 8, 9])).index();
    assert_eq!((world.catalog.share_generation, world.rows_at(at)), (1, 5));
    assert!(world.catalog.aborted_segments.contains(&transaction(1).into()));
    // One that the parties do not agree on leaves everything as it was.
    let id = world.submit_write("t", wire::WriteKind::Refresh);
    let at = world.all_report(id, |p| staged(p, 5, [if p == 0 { 1 } else { 7 }, 8, 9])).index();
    assert_eq!((world.catalog.share_generation, world.rows_at(at)), (1, 5));
    let begun = world.ann(Asked::Begin(wire::Begin::default()));
    assert!(matches!(begun, Outcome::Applied(_)), "{begun:?}");
    let open = u128::from(world.commands).to_be_bytes();
    let mut refresh = write("t", wire::WriteKind::Refresh);
    if let Asked::SubmitWrite(refresh) = &mut refresh {
        let within = wire::Within { transaction_id: open.to_vec(), sequence: 0 };
        refresh.within = Some(within);
    }
    let Outcome::Refused(_, error) = world.ann(refresh) else { panic!("a refresh inside") };
    assert_eq!(error.sqlstate, sqlstate::ACTIVE_TRANSACTION);
    assert_eq!(error.message, "REFRESH SHARES cannot run inside a transaction block");
}

#[test]
fn an_older_query_keeps_what_it_reads() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let query = wire::SubmitQuery { sql: "SELECT 1".into(), ..Default::default() };
    let asked = world.ann(Asked::SubmitQuery(query)).index();
    let id = world.submit_write("t", wire::WriteKind::Rewrite);
    world.all_report(id, |p| staged(p, 5, [7, 8, 9]));
    assert_eq!(world.rows_at(asked), 5);
    assert_eq!(world.entry("t").segments.len(), 2);
    assert!(!world.catalog.aborted_segments.contains(&transaction(1).into()));
}

#[test]
fn writes_of_one_table_take_turns_over_what_is_there_then() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.table("u", false);
    world.load(1, &table, 5);
    let first = world.submit_write("t", wire::WriteKind::Rewrite);
    let second = world.submit_write("t", wire::WriteKind::Insert);
    let elsewhere = world.submit_write("u", wire::WriteKind::Insert);
    let attempts = [first, second, elsewhere].map(|id| world.attempt(id));
    assert_eq!(attempts, [1, 0, 1]);
    let done = world.all_report(first, |p| staged(p, 5, [7, 8, 9])).index();
    let TransactionState::Validating(v) = &world.catalog.transactions[&second] else {
        panic!("a write")
    };
    assert_eq!((v.attempt, v.position), (1, done));
    assert!(matches!(&v.subject, Subject::Write(w) if !w.rewrites && w.principal == "ann"));
    let done = world.all_report(second, |p| staged(p, 4, [1, 2, 3])).index();
    assert_eq!(world.rows_at(done), 9);
}

#[test]
fn a_segment_that_two_holders_saw_differently_is_refused() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let id = world.submit_write("t", wire::WriteKind::Rewrite);
    // Party 1 holds another component 2 than party 2.
    world.all_report(id, |p| staged(p, 5, if p == 2 { [7, 8, 9] } else { [7, 8, 6] }));
    let TransactionState::Aborted(at, error) = &world.catalog.transactions[&id] else {
        panic!("aborted")
    };
    assert_eq!(error.sqlstate, sqlstate::DATA_CORRUPTED);
    assert_eq!(error.message, "component 2 differs between party 1 and party 2");
    assert_eq!(world.rows_at(*at), 5);
    assert!(world.catalog.aborted_segments.contains(&id.segment_of_attempt(1)));
    // Parties that disagree on the verdict itself.
    let id = world.submit_write("t", wire::WriteKind::Rewrite);
    world.all_report(id, |p| if p == 0 { Verdict::Violated } else { staged(p, 5, [7, 8, 9]) });
    let TransactionState::Aborted(_, error) = &world.catalog.transactions[&id] else {
        panic!("aborted")
    };
    assert_eq!(error.message, "the parties disagree on whether the constraints hold");
}

#[test]
fn a_violation_changes_nothing_and_leaves_no_segment() {
    let mut world = World::new();
    let table = world.table("t", true);
    world.load(1, &table, 5);
    world.all_report(transaction(1), |_| Verdict::Holds);
    let id = world.submit_write("t", wire::WriteKind::Rewrite);
    let at = world.all_report(id, |_| Verdict::Violated).index();
    assert_eq!(world.rows_at(at), 5);
    let TransactionState::Aborted(_, error) = &world.catalog.transactions[&id] else {
        panic!("aborted")
    };
    assert_eq!(error.sqlstate, sqlstate::INTEGRITY_VIOLATION);
    assert!(world.catalog.aborted_segments.contains(&id.segment_of_attempt(1)));
}

#[test]
fn every_attempt_has_a_segment_of_its_own() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    let id = world.submit_write("t", wire::WriteKind::Insert);
    applied(&world.node(1, NodeCommandKind::ValidationRetry { transaction: id, attempt: 1 }));
    assert_eq!(world.attempt(id), 2);
    // Reports of the lost attempt come late.
    let late =
        NodeCommandKind::Verdict { transaction: id, attempt: 1, verdict: staged(0, 5, [7, 8, 9]) };
    nothing(&world.node(0, late));
    world.all_report(id, |p| staged(p, 2, [7, 8, 9]));
    let listed: Vec<_> = world.entry("t").segments.iter().map(|s| s.id).collect();
    assert_eq!(listed, [transaction(1).into(), id.segment_of_attempt(2)]);
    assert!(world.catalog.aborted_segments.contains(&id.segment_of_attempt(1)));
    assert!(!world.catalog.aborted_segments.contains(&id.segment_of_attempt(2)));
    // One that finds no rows makes no segment.
    let id = world.submit_write("t", wire::WriteKind::Insert);
    let outcome = world.all_report(id, |p| staged(p, 0, [0; 3]));
    assert!(matches!(outcome, Outcome::Committed(_)));
    assert_eq!(world.entry("t").segments.len(), 2);
    // Too many lost attempts.
    let id = world.submit_write("t", wire::WriteKind::Insert);
    for attempt in 1..=ATTEMPTS_MAX {
        world.node(0, NodeCommandKind::ValidationRetry { transaction: id, attempt });
    }
    assert!(matches!(world.catalog.transactions[&id], TransactionState::Aborted(..)));
}

#[test]
fn only_who_may_insert_may_write_and_only_who_asked_may_give_up() {
    let mut world = World::new();
    world.table("t", false);
    refused_with(&world.bob(write("t", wire::WriteKind::Insert)), sqlstate::INSUFFICIENT_PRIVILEGE);
    refused_with(&world.ann(write("nix", wire::WriteKind::Insert)), sqlstate::UNDEFINED_TABLE);
    let unspecified = write("t", wire::WriteKind::Unspecified);
    refused_with(&world.ann(unspecified), sqlstate::PROTOCOL_VIOLATION);
    let id = world.submit_write("t", wire::WriteKind::Insert);
    let abort = || Asked::Abort(wire::Abort { transaction_id: id.0.to_vec() });
    refused_with(&world.bob(abort()), sqlstate::INSUFFICIENT_PRIVILEGE);
    applied(&world.ann(abort()));
    assert!(matches!(world.catalog.transactions[&id], TransactionState::Aborted(..)));
    // A dropped table takes what waits with it.
    let id = world.submit_write("t", wire::WriteKind::Insert);
    applied(&world.ann(drop_table("t", false)));
    assert!(matches!(world.catalog.transactions[&id], TransactionState::Aborted(..)));
}
