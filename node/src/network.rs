//! Tells the log what this node measures of its connections. What comes of it the replicated state
//! decides; no node plans by its own measurement.

use crate::limits::{NET_LOOK, NET_LOOK_SOON, PROBE_OVERHEAD};
use crate::mesh::Mesh;
use crate::runner::Runner;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use trine_consensus::Consensus;
use trine_proto::catalog::NetProfile;
use trine_proto::command::NodeCommandKind;
use trine_proto::ids::Party;

/// Measures and reports until `stop` turns true.
pub(crate) async fn run(
    runner: Arc<Runner>,
    consensus: Arc<Consensus>,
    mesh: Mesh,
    party: Party,
    lanes: u32,
    mut stop: watch::Receiver<bool>,
) {
    let mut megabits = [None; 3];
    loop {
        let look = async {
            let mut up = mesh.watch();
            // The mesh lives as long as the node.
            let _ = up.wait_for(|up| up.iter().all(|up| *up)).await;
            let reports = consensus.catalog().net_reports.clone();
            if reports.candidate.is_some() {
                megabits = [None; 3];
            }
            if let Some(seen) = measure(&mesh, party, lanes, &mut megabits).await
                && (reports.candidate.is_some() || reports.last[party.index()] != Some(seen))
            {
                tracing::info!(?seen, "network measured");
                runner.propose(NodeCommandKind::NetReport(seen)).await;
            }
            let reports = consensus.catalog().net_reports.clone();
            let settled = reports.candidate.is_none() && reports.last.iter().all(Option::is_some);
            tokio::time::sleep(if settled { NET_LOOK } else { NET_LOOK_SOON }).await;
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = look => {}
        }
    }
}

/// The worse of both connections; none when one was lost meanwhile. Bandwidth is measured once and
/// remembered in `megabits`: a burst takes its time from the queries.
async fn measure(
    mesh: &Mesh,
    party: Party,
    lanes: u32,
    megabits: &mut [Option<f64>; 3],
) -> Option<NetProfile> {
    let (mut slowest, mut thinnest) = (Duration::ZERO, f64::MAX);
    for peer in [party.next(), party.previous()] {
        let probe = mesh.probe(peer)?;
        let round_trip = probe.round_trip().await?;
        let known = &mut megabits[peer.index()];
        if known.is_none() {
            *known = Some(probe.megabits_per_s(round_trip).await?);
        }
        slowest = slowest.max(round_trip);
        thinnest = thinnest.min(known.unwrap_or(f64::MAX));
    }
    Some(rounded(slowest, thinnest, lanes))
}

fn rounded(round_trip: Duration, megabits: f64, lanes: u32) -> NetProfile {
    let local = NetProfile::default();
    let micros = round_trip.saturating_sub(PROBE_OVERHEAD).as_secs_f64() * 1e6;
    NetProfile {
        round_trip_us: power_of_two(micros).max(local.round_trip_us),
        megabits_per_s: power_of_two(megabits).min(local.megabits_per_s),
        lanes,
    }
}

/// The nearest power of two, by ratio.
fn power_of_two(value: f64) -> u32 {
    let exponent = value.max(1.0).log2().round().min(31.0);
    // Between 0 and 31.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let exponent = exponent as u32;
    1 << exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_rounded_and_nothing_is_faster_than_local() {
        let of = |us, megabits| rounded(Duration::from_micros(us), megabits, 2);
        let profile =
            |round_trip_us, megabits_per_s| NetProfile { round_trip_us, megabits_per_s, lanes: 2 };
        assert_eq!(of(80, 20_000.0), profile(64, 8192));
        assert_eq!(of(0, f64::MAX), profile(64, 8192));
        assert_eq!(of(1_400, 900.0), profile(1024, 1024));
        assert_eq!(of(50_400, 100.0), profile(65_536, 128));
        assert_eq!(of(u64::MAX, 0.0), profile(1 << 31, 1));
    }
}
