//! Requests that no honest node sends.

use super::harness::{Harness, table};
use crate::database::{decode, encode};
use crate::network::{Request, Response};
use crate::raft::{Entry, Member, SnapshotMeta, Vote};
use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, VoteRequest};
use openraft::{CommittedLeaderId, EntryPayload, LogId};
use tokio::runtime::Runtime;
use trine_proto::command::Command;
use trine_proto::ids::Party;

async fn ask(harness: &Harness, at: Party, from: Party, request: &Request) -> Response {
    let answer = harness.member(at).handle(from, encode(request).unwrap()).await;
    decode(&answer).unwrap()
}

fn append(vote: Vote, indices: &[u64]) -> Request {
    let entry = |index: u64| Entry {
        log_id: LogId::new(CommittedLeaderId::new(1, 1), index),
        payload: EntryPayload::Blank,
    };
    let request = AppendEntriesRequest {
        vote,
        prev_log_id: None,
        entries: indices.iter().map(|i| entry(*i)).collect(),
        leader_commit: None,
    };
    Request::Append(3, request)
}

#[test]
fn garbage_is_answered_and_changes_nothing() {
    Runtime::new().unwrap().block_on(async {
        let mut harness = Harness::empty();
        let [zero, one, two] = Party::ALL;
        harness.start(two).await;
        let vote = Request::Vote(3, VoteRequest::new(Vote::new(7, 1), None));
        let good = encode(&vote).unwrap();
        let mut garbage: Vec<Vec<u8>> = (0..good.len()).map(|n| good[..n].to_vec()).collect();
        garbage.push([&good[..], &[0]].concat());
        for seed in 0_u64..200 {
            let mut bytes = vec![0; usize::try_from(seed).unwrap()];
            blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
            garbage.push(bytes);
        }
        for bytes in garbage {
            let answer = harness.member(two).handle(one, bytes).await;
            assert!(matches!(decode(&answer), Ok(Response::Failed(_))));
        }
        // Who speaks for a member of another party, or claims an election that was none.
        let forged = [
            (one, vote),
            (zero, Request::Vote(3, VoteRequest::new(Vote::new_committed(7, 1), None))),
            // For a disk that this node does not have any more.
            (zero, Request::Vote(6, VoteRequest::new(Vote::new(7, 1), None))),
            (zero, Request::Vote(3, VoteRequest::new(Vote::new(7, 3), None))),
            (zero, append(Vote::new(7, 1), &[0])),
            (one, append(Vote::new_committed(7, 1), &[0])),
            (zero, append(Vote::new_committed(7, 1), &[1])),
            (zero, append(Vote::new_committed(7, 1), &[0, 2])),
            (zero, append(Vote::new_committed(0, 1), &[0])),
        ];
        for (from, request) in &forged {
            let answer = ask(&harness, two, *from, request).await;
            assert!(matches!(answer, Response::Failed(_)), "{request:?}: {answer:?}");
        }
        assert_eq!(harness.member(two).leader(), None);
        // It still takes part.
        harness.start(zero).await;
        harness.create(two, "a").await;
    });
}

#[test]
fn a_snapshot_that_does_not_decode_is_refused() {
    Runtime::new().unwrap().block_on(async {
        let mut harness = Harness::empty();
        let [zero, one, two] = Party::ALL;
        harness.start(two).await;
        let piece = |offset: u64, data: &[u8], done| {
            let last_log_id = Some(LogId::new(CommittedLeaderId::new(1, 1), 9));
            let request = InstallSnapshotRequest {
                vote: Vote::new_committed(7, 1),
                meta: SnapshotMeta {
                    last_log_id,
                    last_membership: openraft::StoredMembership::<u64, Member>::default(),
                    snapshot_id: "s".into(),
                },
                offset,
                data: data.to_vec(),
                done,
            };
            Request::Snapshot(3, request)
        };
        let first = ask(&harness, two, zero, &piece(0, &[1, 2], false)).await;
        assert!(matches!(first, Response::Snapshot(_)), "{first:?}");
        let gap = ask(&harness, two, zero, &piece(5, &[3], false)).await;
        assert!(matches!(gap, Response::SnapshotMismatch(_)), "{gap:?}");
        let last = ask(&harness, two, zero, &piece(2, &[3], true)).await;
        assert!(matches!(last, Response::Failed(_)), "{last:?}");
        let other = ask(&harness, two, one, &piece(0, &[3], true)).await;
        assert!(matches!(other, Response::Failed(_)), "{other:?}");
        harness.start(zero).await;
        harness.create(two, "a").await;
    });
}

#[test]
fn only_the_leader_orders_and_no_foreign_genesis() {
    Runtime::new().unwrap().block_on(async {
        let harness = Harness::started().await;
        harness.create(Party::ALL[0], "a").await;
        let leader = harness.leader().await;
        let propose = Request::Propose(harness.cluster.admin(table("b")));
        let answer = ask(&harness, leader.next(), leader, &propose).await;
        assert!(matches!(answer, Response::NotLeader), "{answer:?}");
        let other = Command::Genesis(crate::testing::TestCluster::seeded(2).info);
        let answer = ask(&harness, leader, leader.next(), &Request::Propose(other)).await;
        assert!(matches!(answer, Response::Failed(_)), "{answer:?}");
    });
}
