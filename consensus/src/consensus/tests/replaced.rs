//! Members whose disk is lost.

use super::harness::{Harness, names};
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

#[test]
fn a_new_cluster_is_formed_by_three_empty_disks_only() {
    Runtime::new().unwrap().block_on(async {
        let mut harness = Harness::empty();
        // Alone, nobody knows whether there is a cluster.
        let alone = harness.asked_id(Party::ALL[1]);
        assert!(tokio::time::timeout(Duration::from_millis(300), alone).await.is_err());
        for party in Party::ALL {
            harness.start(party).await;
        }
        harness.create(Party::ALL[0], "a").await;
        assert_eq!(harness.asked_id(Party::ALL[1]).await, 2);
    });
}
