//! The control plane under seeded faults: the replicated state machine, the scheduler, the rules for
//! files and the commit protocol, as they are, over a model of everything else.
//!
//! The log is a list: an entry is in it once and for ever, and a node may append or read while it reaches
//! one other node. Nodes apply it at their own pace, crash (what is in memory is lost; catalog and files
//! are not), come back; links are cut and healed; clocks jump; answers are lost and asked for again.
//! Protocols are a meeting of three that may break at any moment (`session`); clients upload, commit,
//! query and write, and sometimes go away (`client`). Time is a number: a run of minutes takes a second.
//!
//! What must hold is one file each in `invariants`; what must hold always is looked at after every event,
//! the rest when all faults have been healed for a while. A seed repeats a run exactly:
//! `TRINE_SIMULATION_SEED=N`, and `TRINE_SIMULATION_RUNS=M` for M seeds from there on (0: without end).
//!
//! That it would notice is tested too: `broken` breaks one rule at a time.
//!
//! It lives in this crate because only here state machine, scheduler and files meet. openraft itself is
//! covered by its own suite and by the kill tests.

mod broken;
mod client;
mod invariants;
mod session;
mod world;

use world::World;

/// Seeds of a usual test run.
const SEEDS: u64 = 4;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

#[test]
fn the_control_plane_keeps_its_promises_whatever_fails() {
    let first = number("TRINE_SIMULATION_SEED").unwrap_or(1);
    let runs = match number("TRINE_SIMULATION_RUNS").unwrap_or(SEEDS) {
        0 => u64::MAX,
        runs => runs,
    };
    let mut committed = 0;
    for seed in (first..).take(usize::try_from(runs).unwrap_or(usize::MAX)) {
        let mut world = World::new(seed);
        world.run();
        committed += world.acknowledged.len();
    }
    assert!(committed > 0, "nothing was ever committed: nothing was tested");
}

#[test]
fn a_seed_repeats_a_run() {
    let digest = || {
        let mut world = World::new(42);
        world.run();
        world.nodes[0].catalog.log_digest
    };
    assert_eq!(digest(), digest());
}
