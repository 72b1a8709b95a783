//! Members that end, come back, and fall behind.

use super::harness::{Harness, PATIENCE, names, table};
use crate::ConsensusError;
use crate::limits::{COMMAND_BYTES_MAX, ENTRIES_KEPT, SNAPSHOT_ENTRIES};
use std::time::Duration;
use tokio::runtime::Runtime;
use trine_proto::catalog::TransactionState;
use trine_proto::command::{Command, NodeCommandKind, Outcome, SignedBytes};
use trine_proto::ids::{LogIndex, Party};
use trine_proto::wire;
use trine_proto::wire::client_command::Command as Asked;

fn run(test: impl Future<Output = ()>) {
    Runtime::new().unwrap().block_on(test);
}

#[test]
fn every_member_orders_and_the_death_of_the_leader_is_survived() {
    run(async {
        let mut harness = Harness::started().await;
        for (party, name) in Party::ALL.into_iter().zip(["a", "b", "c"]) {
            let index = harness.create(party, name).await;
            // Applied where it was proposed, and told to whoever listens.
            assert!(names(&harness.member(party).catalog()).contains(&name));
            assert!(*harness.member(party).subscribe().borrow() >= index);
        }
        let leader = harness.leader().await;
        harness.kill(leader);
        let survivor = leader.next();
        let index = harness.create(survivor, "d").await;
        assert_ne!(harness.leader().await, leader);
        harness.start(leader).await;
        let state = harness.agreed(index).await;
        assert_eq!(names(&state), ["a", "b", "c", "d"]);
        let index = harness.create(leader, "e").await;
        harness.agreed(index).await;
    });
}

#[test]
fn a_restart_of_all_keeps_everything() {
    run(async {
        let mut harness = Harness::started().await;
        let create = harness.cluster.admin(table("a"));
        let created = harness.propose(Party::ALL[0], create.clone()).await;
        let before = harness.agreed(created.index()).await;
        for party in Party::ALL {
            harness.member(party).shutdown().await;
            harness.kill(party);
        }
        for party in Party::ALL {
            harness.start(party).await;
            // What was applied is there before any leader is.
            assert_eq!(harness.member(party).catalog(), before);
        }
        // The state still knows the command: the same answer, not a second table.
        assert_eq!(harness.propose(Party::ALL[2], create).await, created);
        let index = harness.create(Party::ALL[1], "b").await;
        let state = harness.agreed(index).await;
        assert_eq!(names(&state), ["a", "b"]);
    });
}

#[test]
fn a_member_that_fell_behind_gets_a_snapshot() {
    run(async {
        let mut harness = Harness::started().await;
        let leader = harness.leader().await;
        let absent = leader.next();
        let index = harness.create(leader, "a").await;
        harness.agreed(index).await;
        harness.kill(absent);
        let mut last = LogIndex(0);
        for name in ["b", "c", "d"] {
            last = harness.create(leader, name).await;
        }
        // The others forget the entries that it has not seen.
        for party in [leader, absent.next()] {
            harness.member(party).wait_applied(last, PATIENCE).await.unwrap();
            let raft = &harness.member(party).inner.raft;
            raft.trigger().snapshot().await.unwrap();
            let built =
                |m: &openraft::RaftMetrics<_, _>| m.snapshot.is_some_and(|id| id.index >= last.0);
            raft.wait(Some(PATIENCE)).metrics(built, "a snapshot").await.unwrap();
            raft.trigger().purge_log(last.0).await.unwrap();
            let purged =
                |m: &openraft::RaftMetrics<_, _>| m.purged.is_some_and(|id| id.index >= last.0);
            raft.wait(Some(PATIENCE)).metrics(purged, "a purged log").await.unwrap();
        }
        harness.start(absent).await;
        let state = harness.agreed(last).await;
        assert_eq!(names(&state), ["a", "b", "c", "d"]);
        // What was installed is on disk, too.
        harness.member(absent).shutdown().await;
        harness.kill(absent);
        harness.start(absent).await;
        assert_eq!(harness.member(absent).catalog(), state);
        let index = harness.create(absent, "e").await;
        harness.agreed(index).await;
    });
}

#[test]
fn the_log_is_cut_back_behind_snapshots_whoever_is_killed() {
    run(async {
        let mut harness = Harness::started().await;
        let leader = harness.leader().await;
        let mut last = harness.create(leader, "a").await;
        let absent = leader.next();
        let batches = (SNAPSHOT_ENTRIES + 2 * ENTRIES_KEPT) / 64 + 1;
        for batch in 0..batches {
            if batch == batches / 2 {
                harness.kill(absent);
            }
            // Commands that change nothing, 64 at a time.
            let commands = (0..64).map(|n| {
                let kind = NodeCommandKind::BackupEnd(LogIndex(1_000_000 + 64 * batch + n));
                let command = harness.cluster.node(Party::ALL[0], kind);
                harness.member(leader).propose(command, PATIENCE)
            });
            for outcome in futures::future::join_all(commands).await {
                last = last.max(outcome.unwrap().index());
            }
        }
        assert!(last.0 > SNAPSHOT_ENTRIES + ENTRIES_KEPT);
        harness.start(absent).await;
        let before = harness.agreed(last).await;
        for party in Party::ALL {
            let raft = &harness.member(party).inner.raft;
            let cut = |m: &openraft::RaftMetrics<_, _>| m.purged.is_some();
            raft.wait(Some(PATIENCE)).metrics(cut, "a log that was cut back").await.unwrap();
            let extent = harness.member(party).log_extent();
            assert!(extent.last >= last.0 && extent.snapshot >= SNAPSHOT_ENTRIES, "{extent:?}");
            assert!(extent.first > 1 && extent.first <= extent.last, "{extent:?}");
            let kept = extent.last - extent.first;
            assert!(kept <= SNAPSHOT_ENTRIES + 2 * ENTRIES_KEPT, "{extent:?}");
        }
        // What was cut away is missed by nobody after a restart.
        for party in Party::ALL {
            harness.kill(party);
        }
        for party in Party::ALL {
            harness.start(party).await;
        }
        let index = harness.create(Party::ALL[1], "b").await;
        let state = harness.agreed(index).await;
        assert_eq!((names(&before), names(&state)), (vec!["a"], vec!["a", "b"]));
    });
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_catches_up() {
    run(async {
        let harness = Harness::started().await;
        harness.create(Party::ALL[0], "a").await;
        let leader = harness.leader().await;
        harness.cut(leader);
        let lost = harness
            .member(leader)
            .propose(harness.cluster.admin(table("lost")), Duration::from_millis(300))
            .await;
        let text = lost.unwrap_err().to_string();
        assert!(text.contains(&format!("do not answer node {leader}")), "{text}");
        harness.create(leader.next(), "b").await;
        harness.heal();
        let index = harness.create(leader, "c").await;
        let state = harness.agreed(index).await;
        for name in ["a", "b", "c"] {
            assert!(names(&state).contains(&name));
        }
    });
}

#[test]
fn a_long_entry_arrives_however_long_it_takes() {
    run(async {
        let harness = Harness::started().await;
        harness.create(Party::ALL[0], "short").await;
        let leader = harness.leader().await;
        let Asked::CreateTable(mut create) = table("long") else { unreachable!() };
        let column = &mut create.schema.as_mut().unwrap().columns[0];
        column.set_kind(wire::TypeKind::Enum);
        column.labels = (0..10_000).map(|n| format!("{n:0150}")).collect();
        let outcome =
            harness.propose(Party::ALL[1], harness.cluster.admin(Asked::CreateTable(create))).await;
        assert!(matches!(outcome, Outcome::TableCreated(..)), "{outcome:?}");
        harness.agreed(outcome.index()).await;
        // Meanwhile the followers heard enough of their leader not to look for another.
        assert_eq!(harness.leader().await, leader);
    });
}

#[test]
fn a_slow_member_follows_while_the_log_grows() {
    run(async {
        let harness = Harness::started().await;
        let leader = harness.leader().await;
        let slow = leader.next();
        harness.slow_down(slow);
        let first = harness.create(leader, "t0").await;
        // Entries come faster than they reach it; it must not hear all of them from the beginning each time.
        for number in 1..400 {
            if harness.member(slow).catalog().applied >= first {
                assert_eq!(harness.leader().await, leader);
                return;
            }
            harness.create(leader, &format!("t{number}")).await;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the slow member has not got the first of 400 entries");
    });
}

#[test]
fn three_members_settle_one_transaction_once() {
    run(async {
        let harness = Harness::started().await;
        harness.create(Party::ALL[0], "t").await;
        let catalog = harness.member(Party::ALL[0]).catalog();
        let table = catalog.tables.values().next().unwrap();
        let schema = (table.id, &table.schema);
        let admin = &harness.cluster.administrator;
        let transaction = trine_proto::ids::TransactionId([1; 16]);
        let commit = || {
            let receipts = harness.cluster.receipts(admin, transaction, schema, 7);
            harness.cluster.admin(harness.cluster.commit(&receipts))
        };
        let [zero, one, two] = Party::ALL;
        let (a, b, c) = tokio::join!(
            harness.propose(zero, commit()),
            harness.propose(one, commit()),
            harness.propose(two, commit())
        );
        assert!(matches!(a, Outcome::Committed(_)), "{a:?}");
        assert_eq!((&a, &a), (&b, &c));
        let mut last = LogIndex(0);
        for party in Party::ALL {
            last = last.max(*harness.member(party).subscribe().borrow());
        }
        let state = harness.agreed(last).await;
        assert_eq!(state.tables.values().next().unwrap().segments.len(), 1);
        assert_eq!(state.transactions[&transaction], TransactionState::Committed(a.index()));
    });
}

#[test]
fn a_member_alone_says_what_is_missing() {
    run(async {
        let mut harness = Harness::empty();
        let [zero, _, two] = Party::ALL;
        harness.start(two).await;
        let patience = Duration::from_millis(100);
        let command = harness.cluster.admin(table("a"));
        let alone = harness.member(two).propose(command, patience).await;
        let text = alone.unwrap_err().to_string();
        assert!(text.contains("node 0 and node 1 do not answer node 2"), "{text}");
        let wait = harness.member(two).wait_applied(LogIndex(1), patience).await;
        assert!(matches!(wait, Err(ConsensusError::Unavailable { .. })), "{wait:?}");
        // Two of three are enough, whichever came first.
        harness.start(zero).await;
        harness.create(two, "a").await;
    });
}

#[test]
fn what_is_too_long_is_not_proposed() {
    run(async {
        let mut harness = Harness::empty();
        harness.start(Party::ALL[0]).await;
        let body = vec![0; COMMAND_BYTES_MAX];
        let command =
            Command::Client(SignedBytes { body, public_key: [0; 32], signature: vec![0; 64] });
        let refused = harness.member(Party::ALL[0]).propose(command, PATIENCE).await;
        assert!(matches!(refused, Err(ConsensusError::TooLarge { .. })), "{refused:?}");
    });
}

#[test]
fn a_folder_belongs_to_one_member_of_one_cluster() {
    run(async {
        let mut harness = Harness::empty();
        let zero = Party::ALL[0];
        harness.start(zero).await;
        harness.member(zero).shutdown().await;
        harness.kill(zero);
        let mut other_id = harness.config(zero);
        other_id.raft_id = 4;
        let mut other_cluster = harness.config(zero);
        other_cluster.cluster = crate::testing::TestCluster::seeded(2).info;
        for config in [other_id, other_cluster] {
            let refused = crate::Consensus::start(config, harness.transport(zero)).await;
            assert!(matches!(refused, Err(ConsensusError::WrongCluster(_))), "{refused:?}");
        }
    });
}

#[test]
fn after_shutdown_there_is_only_the_last_state() {
    run(async {
        let harness = Harness::started().await;
        let zero = Party::ALL[0];
        let index = harness.create(zero, "a").await;
        let member = harness.member(zero);
        member.shutdown().await;
        let proposed = member.propose(harness.cluster.admin(table("b")), PATIENCE).await;
        assert!(matches!(proposed, Err(ConsensusError::Stopped(_))), "{proposed:?}");
        let wait = member.wait_applied(LogIndex(1_000), PATIENCE).await;
        assert!(matches!(wait, Err(ConsensusError::Stopped(_))), "{wait:?}");
        let state = member.wait_applied(index, PATIENCE).await.unwrap();
        assert_eq!(names(&state), ["a"]);
        assert_eq!(member.catalog(), state);
        member.shutdown().await;
    });
}
