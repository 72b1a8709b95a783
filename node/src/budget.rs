//! Tells the log how much memory this node gives one job. Every job is bound to the least of what the
//! three have announced at its position, so that all three refuse it or none.

use crate::limits::LEADER_LOOK;
use crate::runner::Runner;
use std::sync::Arc;
use tokio::sync::watch;
use trine_consensus::Consensus;
use trine_proto::command::NodeCommandKind;
use trine_proto::ids::Party;

/// Announces once, if the log knows another number or none. `bytes` 0: the memory of this machine.
pub(crate) async fn announce(
    runner: Arc<Runner>,
    consensus: Arc<Consensus>,
    party: Party,
    bytes: u64,
    mut stop: watch::Receiver<bool>,
) {
    let bytes = if bytes > 0 { Some(bytes) } else { machine_bytes() };
    let Some(bytes) = bytes else { return };
    let announced = async {
        // Entry 1 comes first.
        while consensus.catalog().cluster.is_none() {
            tokio::time::sleep(LEADER_LOOK).await;
        }
        if consensus.catalog().job_memory[party.index()] != Some(bytes) {
            runner.propose(NodeCommandKind::JobMemory(bytes)).await;
        }
    };
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = announced => {}
    }
}

/// Physical memory; none where the system does not say.
fn machine_bytes() -> Option<u64> {
    total_of(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::total_of;

    #[test]
    fn the_memory_of_a_machine_is_read() {
        let text = "MemTotal:        8027336 kB\nMemFree:          123 kB\n";
        assert_eq!(total_of(text), Some(8_027_336 << 10));
        assert_eq!(total_of("MemFree: 1 kB"), None);
    }
}
