//! A seeded sample of rounds. `TRINE_FAULT_SEED` and `TRINE_FAULT_ROUNDS` choose others.

use trine_faults::rounds::{Options, run};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap())
}

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed() {
    let seed = number("TRINE_FAULT_SEED", 20);
    let rounds = number("TRINE_FAULT_ROUNDS", 4);
    let options = Options { seed, rounds, writers: 3, only: None };
    let summary = run(&options, &mut |what| println!("{what}")).unwrap_or_else(|e| panic!("{e}"));
    println!("{summary}");
    assert_eq!(summary.rounds, rounds);
    assert!(summary.kills >= rounds && summary.acknowledged > 0, "{summary}");
}
