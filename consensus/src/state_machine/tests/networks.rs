//! From reports to the network profile in force.

use super::*;
use crate::limits::NET_REPORTS_IN_A_ROW;
use trine_proto::catalog::NetProfile;
use trine_proto::status::sqlstate;

const LOCAL: NetProfile = NetProfile { round_trip_us: 64, megabits_per_s: 8192, lanes: 1 };
const WIDE: NetProfile = NetProfile { round_trip_us: 32_768, megabits_per_s: 128, lanes: 1 };

impl World {
    fn measured(&mut self, party: usize, seen: NetProfile) -> NetProfile {
        applied(&self.node(party, NodeCommandKind::NetReport(seen)));
        self.catalog.net_profile
    }

    /// What is in force after enough reports of all three.
    fn settle(&mut self, seen: [NetProfile; 3]) -> NetProfile {
        for _ in 0..=NET_REPORTS_IN_A_ROW {
            for (party, seen) in seen.into_iter().enumerate() {
                self.measured(party, seen);
            }
        }
        self.catalog.net_profile
    }
}

#[test]
fn the_worst_pair_of_three_reports_comes_into_force() {
    let mut world = World::new();
    assert_eq!(world.catalog.net_profile, LOCAL);
    let slow = NetProfile { round_trip_us: 4096, ..LOCAL };
    let thin = NetProfile { megabits_per_s: 256, ..LOCAL };
    let worst = NetProfile { round_trip_us: 4096, megabits_per_s: 256, lanes: 1 };
    assert_eq!(world.settle([LOCAL, slow, thin]), worst);
    assert_eq!(world.settle([WIDE; 3]), WIDE);
    assert_eq!(world.settle([LOCAL; 3]), LOCAL);
}

#[test]
fn nothing_changes_before_all_three_have_reported() {
    let mut world = World::new();
    for _ in 0..20 {
        assert_eq!(world.measured(0, WIDE), LOCAL);
        assert_eq!(world.measured(2, WIDE), LOCAL);
    }
    for _ in 1..NET_REPORTS_IN_A_ROW {
        assert_eq!(world.measured(1, WIDE), LOCAL);
    }
    assert_eq!(world.measured(1, WIDE), WIDE);
}

#[test]
fn a_busy_minute_and_a_neighbouring_power_change_nothing() {
    let mut world = World::new();
    world.settle([LOCAL; 3]);
    for _ in 0..10 {
        for _ in 1..NET_REPORTS_IN_A_ROW {
            assert_eq!(world.measured(1, WIDE), LOCAL);
        }
        assert_eq!(world.measured(1, LOCAL), LOCAL);
        assert!(world.catalog.net_reports.candidate.is_none());
    }
    let near = NetProfile { round_trip_us: 128, megabits_per_s: 4096, lanes: 1 };
    assert_eq!(world.settle([near; 3]), LOCAL);
    // What swings between neighbours far away is one candidate.
    let farther = NetProfile { round_trip_us: 65_536, ..WIDE };
    for n in 0..NET_REPORTS_IN_A_ROW {
        world.measured(0, if n % 2 == 0 { WIDE } else { farther });
    }
    assert_eq!(world.catalog.net_profile, WIDE);
}

#[test]
fn nothing_is_faster_than_local_and_all_must_grant_the_lanes() {
    let mut world = World::new();
    let fast = NetProfile { round_trip_us: 1, megabits_per_s: 1 << 20, lanes: 1 };
    assert_eq!(world.settle([fast; 3]), LOCAL);
    let lanes = |lanes| NetProfile { lanes, ..LOCAL };
    assert_eq!(world.settle([lanes(8), lanes(4), lanes(16)]), lanes(4));
}

#[test]
fn an_impossible_report_is_refused() {
    let mut world = World::new();
    for odd in [
        NetProfile { round_trip_us: 1000, ..LOCAL },
        NetProfile { round_trip_us: 0, ..LOCAL },
        NetProfile { megabits_per_s: 100, ..LOCAL },
        NetProfile { lanes: 0, ..LOCAL },
        NetProfile { lanes: 65, ..LOCAL },
    ] {
        let outcome = world.node(1, NodeCommandKind::NetReport(odd));
        refused_with(&outcome, sqlstate::INVALID_PARAMETER);
    }
    assert_eq!(world.catalog.net_reports, Default::default());
}

#[test]
fn a_query_keeps_the_profile_of_its_position() {
    let mut world = World::new();
    world.settle([WIDE; 3]);
    world.ann(query("SELECT 1"));
    world.settle([LOCAL; 3]);
    world.ann(query("SELECT 2"));
    let mut bound: Vec<_> =
        world.catalog.jobs.values().map(|job| (job.position, job.net_profile)).collect();
    bound.sort_by_key(|(position, _)| *position);
    assert_eq!(bound.iter().map(|(_, p)| *p).collect::<Vec<_>>(), [WIDE, LOCAL]);
}
