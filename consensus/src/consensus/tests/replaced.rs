//! Members whose disk is lost.

use super::harness::{Harness, names};
use crate::database::{decode, encode};
use crate::network::{Request, Response};
use crate::{ConsensusError, RaftTransport};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use trine_proto::ids::Party;

#[test]
fn a_lost_disk_comes_back_as_a_new_member_while_the_others_go_on() {
    Runtime::new().unwrap().block_on(async {
        let mut harness = Harness::started().await;
        harness.create(Party::ALL[0], "a").await;
        let leader = harness.leader().await;
        // A follower, the leader, and the first one again.
        for (round, party) in [leader.next(), leader, leader.next()].into_iter().enumerate() {
            harness.kill(party);
            harness.lose_disk(party);
            let name = format!("without{round}");
            harness.create(party.next(), &name).await;
            harness.start_anew(party).await;
            let index = harness.create(party.previous(), &format!("with{round}")).await;
            let state = harness.agreed(index).await;
            assert!(names(&state).contains(&name.as_str()), "{:?}", names(&state));
            harness.wait_voter(party).await;
            // It counts: with it and one other the cluster orders on.
            harness.kill(party.next());
            harness.create(party, &format!("counts{round}")).await;
            harness.start(party.next()).await;
            let index = harness.create(party.next(), &format!("whole{round}")).await;
            harness.agreed(index).await;
        }
    });
}

/// What the two others answer to an empty disk; none: they are not there.
struct Others([Option<bool>; 2]);

impl RaftTransport for Others {
    fn call(
        &self,
        party: Party,
        request: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, ConsensusError>> {
        // They are asked by party 0.
        let formed = self.0[party.index() - 1];
        let answer = match (decode::<Request>(&request).unwrap(), formed) {
            (_, None) => Err(ConsensusError::Peer { party, reason: "not there".into() }),
            (Request::Formed, Some(false)) => {
                Ok(crate::answer_waiting(&crate::Standing::Empty, &request))
            }
            (Request::Formed, Some(true)) => Ok(encode(&Response::Formed(true)).unwrap()),
            (Request::Admit, Some(true)) => Ok(encode(&Response::Member(7)).unwrap()),
            (Request::Admit, Some(false)) => {
                Ok(crate::answer_waiting(&crate::Standing::Empty, &request))
            }
            (other, _) => panic!("{other:?}"),
        };
        Box::pin(async move { answer })
    }
}

#[test]
fn an_empty_disk_is_a_founder_only_if_nobody_knows_of_a_cluster() {
    Runtime::new().unwrap().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let ask = async |others| {
            let id = crate::member_id(dir.path(), Party::ALL[0], Arc::new(Others(others)));
            tokio::time::timeout(Duration::from_millis(500), id).await.ok().map(Result::unwrap)
        };
        assert_eq!(ask([Some(false), Some(false)]).await, Some(1));
        assert_eq!(ask([Some(true), Some(true)]).await, Some(7));
        assert_eq!(ask([Some(false), Some(true)]).await, Some(7));
        assert_eq!(ask([None, Some(true)]).await, Some(7));
        // One that knows of none is not enough: the other may.
        assert_eq!(ask([Some(false), None]).await, None);
        assert_eq!(ask([None, None]).await, None);
    });
}
