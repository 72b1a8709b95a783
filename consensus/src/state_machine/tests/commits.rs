//! Receipts, commits and aborts of tables without a primary key.

use super::*;
use trine_proto::status::sqlstate;

/// What Ann's Commit with changed receipts is answered.
fn commit_changed(change: impl Fn(&mut Vec<wire::Receipt>)) -> Outcome {
    let mut world = World::new();
    let table = world.table("t", false);
    let mut receipts = world.receipts(1, &table, 5).to_vec();
    change(&mut receipts);
    let mut commit = world.cluster.commit(&receipts);
    if let Asked::Commit(c) = &mut commit {
        c.transaction_id = transaction(1).0.to_vec();
    }
    let outcome = world.ann(commit);
    assert!(world.entry("t").segments.is_empty());
    // Parts that do not belong together go; any other refusal changes nothing.
    let error = refused(&outcome);
    let given_up = error.sqlstate == sqlstate::DATA_CORRUPTED;
    assert_eq!(world.catalog.aborted_segments.contains(&transaction(1).into()), given_up);
    assert_eq!(world.catalog.transactions.is_empty(), !given_up);
    outcome
}

#[test]
fn three_agreeing_receipts_make_a_batch_visible() {
    let mut world = World::new();
    let table = world.table("t", false);
    let before = world.catalog.applied;
    let outcome = world.load(1, &table, 5);
    assert_eq!(outcome, Outcome::Committed(outcome.index()));
    let entry = world.entry("t");
    assert_eq!((entry.rows(before), entry.rows(outcome.index())), (0, 5));
    let receipts = world.receipts(1, &table, 5);
    let segment = &entry.segments[0];
    for (digest, receipt) in segment.component_digests.iter().zip(&receipts) {
        assert_eq!(digest.as_slice(), receipt.first_digest);
    }
    assert_eq!(world.state(1), &TransactionState::Committed(outcome.index()));
}

#[test]
fn an_empty_batch_is_a_batch() {
    let mut world = World::new();
    let table = world.table("t", false);
    assert!(matches!(world.load(1, &table, 0), Outcome::Committed(_)));
    assert_eq!(world.entry("t").segments.len(), 1);
}

#[test]
fn a_second_commit_of_a_transaction_gets_the_first_answer() {
    let mut world = World::new();
    let table = world.table("t", false);
    let first = world.load(1, &table, 5);
    assert_eq!(world.load(1, &table, 5), first);
    assert_eq!(world.entry("t").segments.len(), 1);
    // Also when its record and the outcome are forgotten.
    world.catalog.transactions.clear();
    world.catalog.outcomes.clear();
    assert_eq!(world.load(1, &table, 5), first);
    assert_eq!(world.entry("t").segments.len(), 1);
}

#[test]
fn a_disagreeing_component_is_named_with_its_holders() {
    // (receipt, whether its first digest) that is changed, and the component it makes differ.
    for (receipt, first, component, parties) in [
        (0, true, 0, (2, 0)),
        (2, false, 0, (2, 0)),
        (1, true, 1, (0, 1)),
        (0, false, 1, (0, 1)),
        (2, true, 2, (1, 2)),
        (1, false, 2, (1, 2)),
    ] {
        let outcome = commit_changed(|r| {
            let r = &mut r[receipt];
            let digest = if first { &mut r.first_digest } else { &mut r.second_digest };
            digest[0] ^= 1;
        });
        let error = refused(&outcome);
        assert_eq!(error.sqlstate, sqlstate::DATA_CORRUPTED);
        let (one, other) = parties;
        assert_eq!(
            error.message,
            format!("component {component} differs between party {one} and party {other}")
        );
    }
}

#[test]
fn public_facts_must_agree() {
    type Change = fn(&mut wire::Receipt);
    let changes: [(&str, Change); 4] = [
        ("row count", |r| r.rows += 1),
        ("table", |r| r.table.push('x')),
        ("schema", |r| r.schema_digest[0] ^= 1),
        ("PUBLIC columns", |r| r.public_digest[0] ^= 1),
    ];
    for (what, change) in changes {
        for party in [1, 2] {
            let outcome = commit_changed(|r| change(&mut r[party]));
            let error = refused(&outcome);
            assert_eq!(error.sqlstate, sqlstate::DATA_CORRUPTED);
            assert_eq!(error.message, format!("{what} differs between party 0 and party {party}"));
        }
    }
}

#[test]
fn three_receipts_of_three_parties() {
    let outcome = commit_changed(|r| {
        r.pop();
    });
    refused_with(&outcome, sqlstate::PROTOCOL_VIOLATION);
    refused_with(&commit_changed(Vec::clear), sqlstate::PROTOCOL_VIOLATION);
    refused_with(&commit_changed(|r| r[1] = r[0].clone()), sqlstate::PROTOCOL_VIOLATION);
    refused_with(&commit_changed(|r| r.push(r[0].clone())), sqlstate::PROTOCOL_VIOLATION);
    refused_with(&commit_changed(|r| r[2].party = 3), sqlstate::PROTOCOL_VIOLATION);
}

#[test]
fn receipts_are_for_this_transaction_cluster_and_uploader() {
    let outcome = commit_changed(|r| r[1].transaction_id = vec![9; 16]);
    refused_with(&outcome, sqlstate::PROTOCOL_VIOLATION);
    let outcome = commit_changed(|r| r[1].cluster_id = vec![9; 16]);
    refused_with(&outcome, sqlstate::INVALID_AUTHORIZATION);
    let outcome = commit_changed(|r| r[1].principal_key = vec![9; 32]);
    refused_with(&outcome, sqlstate::INSUFFICIENT_PRIVILEGE);
    let outcome = commit_changed(|r| r[1].first_digest = vec![9; 31]);
    refused_with(&outcome, sqlstate::PROTOCOL_VIOLATION);
    let outcome = commit_changed(|r| r.iter_mut().for_each(|r| r.table = "u".into()));
    refused_with(&outcome, sqlstate::UNDEFINED_TABLE);
    let outcome = commit_changed(|r| r.iter_mut().for_each(|r| r.schema_digest = vec![9; 32]));
    assert!(refused(&outcome).message.contains("another schema"), "{outcome:?}");
}

#[test]
fn a_receipt_signed_by_anyone_else_is_forged() {
    let mut world = World::new();
    let table = world.table("t", false);
    let receipts = world.receipts(1, &table, 5);
    for party in 0..3 {
        let mut commit = world.cluster.commit(&receipts);
        if let Asked::Commit(c) = &mut commit {
            // Signed by the node of another party.
            let mut other = receipts[party].clone();
            other.party = (other.party + 1) % 3;
            c.receipts[party].signature = world.cluster.sign_receipt(&other).signature;
        }
        refused_with(&world.ann(commit), sqlstate::INVALID_AUTHORIZATION);
    }
    assert!(world.entry("t").segments.is_empty());
}

#[test]
fn the_owner_or_an_administrator_inserts() {
    let mut world = World::new();
    let table = world.table("t", false);
    let (bob, admin) = (world.bob.clone(), world.cluster.administrator.clone());
    let receipts = world.cluster.receipts(&bob, transaction(1), world.now(&table), 1);
    let commit = world.cluster.commit(&receipts);
    refused_with(&world.bob(commit), sqlstate::INSUFFICIENT_PRIVILEGE);
    let receipts = world.cluster.receipts(&admin, transaction(2), world.now(&table), 1);
    let commit = world.cluster.commit(&receipts);
    assert!(matches!(world.admin(commit), Outcome::Committed(_)));
}

#[test]
fn appends_commute() {
    let load = |order: [u8; 3]| {
        let mut world = World::new();
        let table = world.table("t", false);
        for id in order {
            assert!(matches!(world.load(id, &table, u64::from(id)), Outcome::Committed(_)));
        }
        let mut segments: Vec<_> =
            world.entry("t").segments.iter().map(|s| (s.id, s.rows, s.component_digests)).collect();
        segments.sort_unstable();
        (segments, world.entry("t").rows(world.catalog.applied))
    };
    let first = load([1, 2, 3]);
    assert_eq!(first.1, 6);
    for order in [[1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
        assert_eq!(load(order), first);
    }
}

#[test]
fn the_first_of_commit_and_abort_wins() {
    let mut world = World::new();
    let table = world.table("t", false);
    world.load(1, &table, 5);
    refused_with(&world.ann(abort(1)), "55000");
    assert_eq!(world.entry("t").segments.len(), 1);

    applied(&world.ann(abort(2)));
    nothing(&world.ann(abort(2)));
    refused_with(&world.load(2, &table, 5), sqlstate::QUERY_CANCELED);
    assert!(world.catalog.aborted_segments.contains(&transaction(2).into()));
    assert_eq!(world.entry("t").segments.len(), 1);

    let error = SqlError::new(sqlstate::NODE_UNAVAILABLE, "staged for too long");
    let given_up = NodeCommandKind::Abort { transaction: transaction(3), error: error.clone() };
    applied(&world.node(2, given_up));
    assert_eq!(refused(&world.load(3, &table, 5)), &error);

    // The refusal outlives the record of the transaction, and so does the commit.
    world.catalog.transactions.clear();
    refused_with(&world.load(2, &table, 5), "55000");
    refused_with(&world.ann(abort(1)), "55000");
    nothing(&world.ann(abort(2)));
    assert_eq!(world.entry("t").segments.len(), 1);
}

#[test]
fn a_new_upload_after_an_inconsistent_one_is_welcome() {
    let mut world = World::new();
    let table = world.table("t", false);
    let mut receipts = world.receipts(1, &table, 5);
    receipts[0].first_digest[0] ^= 1;
    let commit = world.cluster.commit(&receipts);
    refused_with(&world.ann(commit), sqlstate::DATA_CORRUPTED);
    assert!(matches!(world.load(2, &table, 5), Outcome::Committed(_)));
}
