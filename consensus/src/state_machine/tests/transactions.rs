//! BEGIN, statements inside, COMMIT, ROLLBACK.

use super::*;
use trine_proto::catalog::{JobStatus, Verdict};
use trine_proto::ids::{JobId, SegmentId};
use trine_proto::status::sqlstate;
use trine_proto::transaction::OpenTransaction;

/// A client's side of an open transaction.
pub(super) struct Open {
    pub(super) id: TransactionId,
    sequence: u32,
}

impl Open {
    fn within(&self) -> Option<wire::Within> {
        Some(wire::Within { transaction_id: self.id.0.to_vec(), sequence: self.sequence })
    }
}

fn staged(party: usize, rows: u64) -> Verdict {
    writes::staged(party, rows, [0, 1, 2])
}

impl World {
    pub(super) fn begin(&mut self) -> Open {
        applied(&self.ann(Asked::Begin(wire::Begin {})));
        Open { id: TransactionId(u128::from(self.commands).to_be_bytes()), sequence: 0 }
    }
    /// A batch inside a transaction.
    pub(super) fn load_in(
        &mut self,
        open: &mut Open,
        id: u8,
        table: &TableSchema,
        rows: u64,
    ) -> Outcome {
        let mut commit = self.cluster.commit(&self.receipts(id, table, rows));
        if let Asked::Commit(c) = &mut commit {
            c.within = open.within();
        }
        open.sequence += 1;
        self.ann(commit)
    }
    pub(super) fn submit_in(
        &mut self,
        open: &mut Open,
        table: &str,
        kind: wire::WriteKind,
    ) -> Outcome {
        let mut write = writes::write(table, kind);
        if let Asked::SubmitWrite(write) = &mut write {
            write.within = open.within();
        }
        open.sequence += 1;
        self.ann(write)
    }
    /// A statement inside a transaction that all three parties staged with so many rows.
    fn write_in(
        &mut self,
        open: &mut Open,
        table: &str,
        kind: wire::WriteKind,
        rows: u64,
    ) -> SegmentId {
        let outcome = self.submit_in(open, table, kind);
        assert!(matches!(outcome, Outcome::Validating(_)), "{outcome:?}");
        let id = TransactionId(u128::from(self.commands).to_be_bytes());
        self.report(id, 1, |party| staged(party, rows));
        assert!(matches!(self.catalog.transactions[&id], TransactionState::Joined(..)));
        id.segment_of_attempt(1)
    }
    fn report(&mut self, id: TransactionId, attempt: u32, verdict: impl Fn(usize) -> Verdict) {
        for party in 0..3 {
            let verdict = verdict(party);
            let kind = NodeCommandKind::Verdict { transaction: id, attempt, verdict };
            let outcome = self.node(party, kind);
            assert!(matches!(outcome, Outcome::Applied(_) | Outcome::Committed(_)), "{outcome:?}");
        }
    }
    pub(super) fn commit_open(&mut self, open: &Open) -> Outcome {
        let transaction_id = open.id.0.to_vec();
        self.ann(Asked::CommitTransaction(wire::CommitTransaction { transaction_id }))
    }
    fn rollback(&mut self, open: &Open) -> Outcome {
        self.ann(Asked::Abort(wire::Abort { transaction_id: open.id.0.to_vec() }))
    }
    fn open_state(&self, open: &Open) -> &OpenTransaction {
        match &self.catalog.transactions[&open.id] {
            TransactionState::Open(open) => open,
            other => panic!("{other:?}"),
        }
    }
    fn visible(&self, table: &str) -> Vec<SegmentId> {
        self.entry(table).visible(self.catalog.applied).map(|s| s.id).collect()
    }
    /// What a query inside the transaction would scan.
    fn seen(&mut self, open: &Open, table: &str) -> Vec<SegmentId> {
        let sql = "SELECT 1".into();
        let query = wire::SubmitQuery { sql, within: open.within(), ..Default::default() };
        let outcome = self.ann(Asked::SubmitQuery(query));
        let Outcome::JobAccepted(_, job) = outcome else { panic!("{outcome:?}") };
        let within = self.catalog.jobs[&job].within.clone().unwrap();
        for party in 0..3 {
            applied(&self.node(party, NodeCommandKind::JobDone { job, attempt: 1 }));
        }
        assert_eq!(self.catalog.jobs[&job].within, None);
        let seen = self.catalog.within(within.snapshot, &within.written);
        let entry = seen.table(table, within.snapshot).unwrap();
        entry.visible(within.snapshot).map(|s| s.id).collect()
    }
}

fn segment(id: u8) -> SegmentId {
    transaction(id).into()
}

#[test]
fn several_batches_become_visible_together_or_not_at_all() {
    let mut world = World::new();
    let (t, u) = (world.table("t", false), world.table("u", false));
    let mut open = world.begin();
    applied(&world.load_in(&mut open, 1, &t, 5));
    applied(&world.load_in(&mut open, 2, &u, 3));
    assert!(world.visible("t").is_empty() && world.visible("u").is_empty());
    assert_eq!(world.seen(&open, "t"), [segment(1)]);
    let outcome = world.commit_open(&open);
    let at = outcome.index();
    assert_eq!(outcome, Outcome::Committed(at));
    for table in ["t", "u"] {
        assert!(world.entry(table).segments.iter().all(|s| s.valid_from == at));
        assert_eq!(world.entry(table).segments.len(), 1);
    }
    // Asked again, by whatever command: the same answer.
    assert_eq!(world.commit_open(&open), outcome);
    refused_with(&world.rollback(&open), "55000");

    let mut open = world.begin();
    applied(&world.load_in(&mut open, 3, &t, 5));
    applied(&world.rollback(&open));
    nothing(&world.rollback(&open));
    assert_eq!(world.visible("t"), [segment(1)]);
    assert!(world.catalog.aborted_segments.contains(&segment(3)));
    refused_with(&world.commit_open(&open), sqlstate::QUERY_CANCELED);
    refused_with(&world.load_in(&mut open, 4, &t, 5), sqlstate::QUERY_CANCELED);
}

#[test]
fn a_transaction_sees_the_snapshot_of_its_begin_and_its_own_writes() {
    let mut world = World::new();
    let t = world.table("t", false);
    world.load(1, &t, 5);
    let mut open = world.begin();
    world.load(2, &t, 5);
    assert_eq!(world.seen(&open, "t"), [segment(1)]);
    applied(&world.load_in(&mut open, 3, &t, 5));
    assert_eq!(world.seen(&open, "t"), [segment(1), segment(3)]);
    let added = world.write_in(&mut open, "t", wire::WriteKind::Insert, 2);
    assert_eq!(world.seen(&open, "t"), [segment(1), segment(3), added]);
    let made = world.write_in(&mut open, "t", wire::WriteKind::Rewrite, 12);
    assert_eq!(world.seen(&open, "t"), [made]);
    // What it replaced itself stays until it ends: a query of its own might still read it.
    assert!(!world.catalog.aborted_segments.contains(&segment(3)));
    let uncommitted: Vec<_> = world.catalog.uncommitted().map(|(_, s)| s.id).collect();
    assert_eq!(uncommitted, [made, segment(3), added]);
    // Others see nothing of it.
    assert_eq!(world.visible("t"), [segment(1), segment(2)]);
    applied(&world.rollback(&open));
    for id in [segment(3), added, made] {
        assert!(world.catalog.aborted_segments.contains(&id));
    }
}

#[test]
fn the_snapshot_outlives_what_others_replace() {
    let mut world = World::new();
    let t = world.table("t", false);
    world.load(1, &t, 5);
    let open = world.begin();
    let id = world.submit_write("t", wire::WriteKind::Rewrite);
    for party in 0..3 {
        let verdict = staged(party, 5);
        world.node(party, NodeCommandKind::Verdict { transaction: id, attempt: 1, verdict });
    }
    assert_eq!(world.visible("t"), [id.segment_of_attempt(1)]);
    assert_eq!(world.seen(&open, "t"), [segment(1)]);
    assert!(!world.catalog.aborted_segments.contains(&segment(1)));
    assert_eq!(world.catalog.oldest_unfinished(), Some(world.open_state(&open).snapshot));
}

#[test]
fn the_first_committer_wins() {
    let mut world = World::new();
    let t = world.table("t", false);
    world.load(1, &t, 5);
    let (mut first, mut second, mut third) = (world.begin(), world.begin(), world.begin());
    let made = world.write_in(&mut first, "t", wire::WriteKind::Rewrite, 5);
    let lost = world.write_in(&mut second, "t", wire::WriteKind::Rewrite, 5);
    applied(&world.load_in(&mut third, 2, &t, 1));
    assert!(matches!(world.commit_open(&first), Outcome::Committed(_)));
    let outcome = world.commit_open(&second);
    let error = refused(&outcome);
    assert_eq!(error.sqlstate, sqlstate::SERIALIZATION_FAILURE);
    assert_eq!(
        error.message,
        "could not serialize access: table \"t\" was changed by another transaction since BEGIN"
    );
    assert_eq!(error.hint, "nothing was committed: run the transaction again from its BEGIN");
    assert!(world.catalog.aborted_segments.contains(&lost));
    // Asked again: the same.
    refused_with(&world.commit_open(&second), sqlstate::SERIALIZATION_FAILURE);
    // A batch that is only added commutes with both.
    assert!(matches!(world.commit_open(&third), Outcome::Committed(_)));
    assert_eq!(world.visible("t"), [made, segment(2)]);
}

#[test]
fn an_append_by_another_conflicts_with_a_rewrite() {
    let mut world = World::new();
    let t = world.table("t", false);
    world.load(1, &t, 5);
    let mut open = world.begin();
    world.write_in(&mut open, "t", wire::WriteKind::Rewrite, 5);
    world.load(2, &t, 1);
    refused_with(&world.commit_open(&open), sqlstate::SERIALIZATION_FAILURE);
    assert_eq!(world.visible("t"), [segment(1), segment(2)]);
}

#[test]
fn a_keyed_table_is_checked_again_only_if_it_changed() {
    let mut world = World::new();
    let t = world.table("t", true);
    let add = |world: &mut World, open: &mut Open, id: u8| {
        assert!(matches!(world.load_in(open, id, &t, 5), Outcome::Validating(_)));
        world.report(transaction(id), 1, |_| Verdict::Holds);
    };
    let (mut first, mut second) = (world.begin(), world.begin());
    add(&mut world, &mut first, 1);
    add(&mut world, &mut second, 2);
    // Nobody else has changed the table: what held for the statements holds.
    assert!(matches!(world.commit_open(&first), Outcome::Committed(_)));
    // The second was checked over its own snapshot, where the first one's rows were not.
    let Outcome::Validating(at) = world.commit_open(&second) else { panic!("a check is due") };
    assert_eq!(world.commit_open(&second), Outcome::Validating(at));
    assert_eq!(world.visible("t"), [segment(1)]);
    // Work that comes now waits for it.
    assert!(matches!(world.load(3, &t, 5), Outcome::Validating(_)));
    let attempt_of = |world: &World, id: TransactionId| match &world.catalog.transactions[&id] {
        TransactionState::Validating(v) => v.attempt,
        other => panic!("{other:?}"),
    };
    assert_eq!(attempt_of(&world, transaction(3)), 0);
    world.report(second.id, 1, |_| Verdict::Holds);
    assert_eq!(world.visible("t"), [segment(1), segment(2)]);
    assert_eq!(attempt_of(&world, transaction(3)), 1);

    // The same with a violation: nothing comes, and the parts go.
    let mut open = world.begin();
    add(&mut world, &mut open, 4);
    world.report(transaction(3), 1, |_| Verdict::Holds);
    assert!(matches!(world.commit_open(&open), Outcome::Validating(_)));
    world.report(open.id, 1, |_| Verdict::Violated);
    refused_with(&world.commit_open(&open), sqlstate::INTEGRITY_VIOLATION);
    assert!(world.catalog.aborted_segments.contains(&segment(4)));
    assert_eq!(world.visible("t"), [segment(1), segment(2), segment(3)]);
}

#[test]
fn intents_are_granted_in_log_order() {
    let mut world = World::new();
    let t = world.table("t", false);
    world.load(1, &t, 5);
    let mut open = world.begin();
    world.write_in(&mut open, "t", wire::WriteKind::Rewrite, 5);
    // A statement of its own has the table before COMMIT comes.
    let statement = world.submit_write("t", wire::WriteKind::Rewrite);
    assert!(matches!(world.commit_open(&open), Outcome::Validating(_)));
    // It fails: the transaction has its turn in the same entry, and nothing has changed.
    world.report(statement, 1, |_| Verdict::Violated);
    assert!(matches!(world.commit_open(&open), Outcome::Committed(_)));
    assert_eq!(world.visible("t").len(), 1);
    assert_ne!(world.visible("t"), [segment(1)]);
}

#[test]
fn an_error_leaves_rollback_only() {
    let mut world = World::new();
    let t = world.table("t", false);
    let mut open = world.begin();
    applied(&world.load_in(&mut open, 1, &t, 5));
    // A statement that the nodes refuse after it ran.
    world.submit_in(&mut open, "t", wire::WriteKind::Insert);
    let statement = TransactionId(u128::from(world.commands).to_be_bytes());
    refused_with(&world.load_in(&mut open, 2, &t, 5), sqlstate::OBJECT_IN_USE);
    refused_with(&world.commit_open(&open), sqlstate::OBJECT_IN_USE);
    world.report(statement, 1, |_| Verdict::Violated);
    assert!(world.open_state(&open).failed.is_some());
    open.sequence = 2;
    refused_with(&world.load_in(&mut open, 2, &t, 5), sqlstate::IN_FAILED_TRANSACTION);
    let query = wire::SubmitQuery { sql: "x".into(), within: open.within(), ..Default::default() };
    refused_with(&world.ann(Asked::SubmitQuery(query)), sqlstate::IN_FAILED_TRANSACTION);
    // COMMIT of a failed transaction rolls back.
    refused_with(&world.commit_open(&open), sqlstate::IN_FAILED_TRANSACTION);
    assert!(world.catalog.aborted_segments.contains(&segment(1)));
    assert!(world.visible("t").is_empty());
}

#[test]
fn a_failed_query_fails_its_transaction() {
    let mut world = World::new();
    world.table("t", false);
    let open = world.begin();
    let query = wire::SubmitQuery { sql: "x".into(), within: open.within(), ..Default::default() };
    let outcome = world.ann(Asked::SubmitQuery(query));
    let Outcome::JobAccepted(_, job) = outcome else { panic!("{outcome:?}") };
    let error = SqlError::new(sqlstate::LIMIT_EXCEEDED, "too many");
    applied(&world.node(0, NodeCommandKind::JobFailed { job, attempt: 1, error: error.clone() }));
    assert_eq!(world.open_state(&open).failed, Some(error));
}

#[test]
fn rollback_ends_what_runs_inside() {
    let mut world = World::new();
    let t = world.table("t", false);
    world.load(1, &t, 5);
    let mut open = world.begin();
    let query = wire::SubmitQuery { sql: "x".into(), within: open.within(), ..Default::default() };
    world.ann(Asked::SubmitQuery(query));
    let job = JobId(u128::from(world.commands).to_be_bytes());
    world.submit_in(&mut open, "t", wire::WriteKind::Rewrite);
    let statement = TransactionId(u128::from(world.commands).to_be_bytes());
    applied(&world.rollback(&open));
    assert_eq!(world.catalog.jobs[&job].status, JobStatus::Cancelled);
    assert!(matches!(world.catalog.transactions[&statement], TransactionState::Aborted(..)));
    assert!(world.catalog.aborted_segments.contains(&statement.segment_of_attempt(1)));
    assert_eq!(world.catalog.oldest_unfinished(), None);
    // Late reports change nothing.
    let verdict = staged(0, 5);
    let late = NodeCommandKind::Verdict { transaction: statement, attempt: 1, verdict };
    nothing(&world.node(0, late));
}

#[test]
fn a_lost_attempt_of_a_statement_runs_again_over_the_same_snapshot() {
    let mut world = World::new();
    let t = world.table("t", false);
    world.load(1, &t, 5);
    let mut open = world.begin();
    world.submit_in(&mut open, "t", wire::WriteKind::Rewrite);
    let id = TransactionId(u128::from(world.commands).to_be_bytes());
    applied(&world.node(1, NodeCommandKind::ValidationRetry { transaction: id, attempt: 1 }));
    let TransactionState::Validating(v) = &world.catalog.transactions[&id] else { panic!("runs") };
    assert_eq!(v.attempt, 2);
    let within = v.within.clone().unwrap();
    assert_eq!(within.snapshot, world.open_state(&open).snapshot);
    world.report(id, 2, |party| staged(party, 5));
    assert_eq!(world.seen(&open, "t"), [id.segment_of_attempt(2)]);
    assert!(world.catalog.aborted_segments.contains(&id.segment_of_attempt(1)));
}

#[test]
fn statements_come_in_order_and_from_who_began() {
    let mut world = World::new();
    let t = world.table("t", false);
    let mut open = world.begin();
    let mut other = Open { id: open.id, sequence: 1 };
    let outcome = world.load_in(&mut other, 1, &t, 5);
    assert_eq!(refused(&outcome).message, "statement 1 of the transaction came where 0 was due");
    applied(&world.load_in(&mut open, 2, &t, 5));
    let query = wire::SubmitQuery { sql: "x".into(), within: open.within(), ..Default::default() };
    refused_with(&world.bob(Asked::SubmitQuery(query)), sqlstate::INSUFFICIENT_PRIVILEGE);
    let id = || open.id.0.to_vec();
    let commit = wire::CommitTransaction { transaction_id: id() };
    refused_with(&world.bob(Asked::CommitTransaction(commit)), sqlstate::INSUFFICIENT_PRIVILEGE);
    let abort = wire::Abort { transaction_id: id() };
    refused_with(&world.bob(Asked::Abort(abort)), sqlstate::INSUFFICIENT_PRIVILEGE);
    let unknown = wire::CommitTransaction { transaction_id: vec![77; 16] };
    let outcome = world.ann(Asked::CommitTransaction(unknown));
    refused_with(&outcome, sqlstate::NO_ACTIVE_TRANSACTION);
    assert!(matches!(world.commit_open(&open), Outcome::Committed(_)));
}

#[test]
fn a_batch_of_a_transaction_joins_once() {
    let mut world = World::new();
    let t = world.table("t", false);
    let mut open = world.begin();
    let first = world.load_in(&mut open, 1, &t, 5);
    applied(&first);
    // Sent again, inside or outside, also when its record is forgotten.
    assert_eq!(world.load(1, &t, 5), first);
    world.catalog.transactions.remove(&transaction(1));
    assert_eq!(world.load(1, &t, 5), first);
    refused_with(&world.ann(abort(1)), "55000");
    assert_eq!(world.seen(&open, "t"), [segment(1)]);
    assert!(world.visible("t").is_empty());
}

#[test]
fn a_table_dropped_meanwhile_refuses_the_commit() {
    let mut world = World::new();
    let t = world.table("t", false);
    let mut open = world.begin();
    applied(&world.load_in(&mut open, 1, &t, 5));
    applied(&world.ann(drop_table("t", false)));
    let transaction_id = open.id.0.to_vec();
    world.ann(Asked::CommitTransaction(wire::CommitTransaction { transaction_id }));
    let TransactionState::Aborted(_, error) = &world.catalog.transactions[&open.id] else {
        panic!("aborted")
    };
    assert_eq!(error.sqlstate, sqlstate::UNDEFINED_TABLE);
}

#[test]
fn the_log_alone_ends_an_abandoned_transaction() {
    let mut world = World::new();
    let t = world.table("t", false);
    let mut open = world.begin();
    applied(&world.load_in(&mut open, 1, &t, 5));
    let error = SqlError::new(sqlstate::IDLE_IN_TRANSACTION, "idle");
    let give_up = || NodeCommandKind::Abort { transaction: open.id, error: error.clone() };
    applied(&world.node(0, give_up()));
    nothing(&world.node(1, give_up()));
    assert_eq!(refused(&world.commit_open(&open)), &error);
    // The first of COMMIT and Abort wins.
    let mut open = world.begin();
    applied(&world.load_in(&mut open, 2, &t, 5));
    let committed = world.commit_open(&open);
    let late = NodeCommandKind::Abort { transaction: open.id, error: error.clone() };
    refused_with(&world.node(2, late), "55000");
    assert_eq!(world.commit_open(&open), committed);
}
