//! From what the nodes measure to the network profile in force. The log decides, so that three nodes
//! that have measured different things plan alike.
//!
//! A measurement is rounded to powers of two and swings between neighbours; plans change with the
//! profile, and the time they take hardly does within a factor of two. So another profile comes into
//! force only when several reports in a row speak for one that is further away.

use super::principals::invalid;
use crate::limits::{LANES_MAX, NET_REPORTS_IN_A_ROW};
use trine_proto::catalog::{Catalog, NetProfile};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, Party};
use trine_proto::status::SqlError;

/// One node's measurement.
pub(super) fn report(
    catalog: &mut Catalog,
    index: LogIndex,
    party: Party,
    seen: NetProfile,
) -> Result<Outcome, SqlError> {
    if !seen.round_trip_us.is_power_of_two() || !seen.megabits_per_s.is_power_of_two() {
        return Err(invalid("a network profile is rounded to powers of two"));
    }
    if !(1..=LANES_MAX).contains(&seen.lanes) {
        return Err(invalid(format!("a network profile has 1 to {LANES_MAX} lanes")));
    }
    let reports = &mut catalog.net_reports;
    reports.last[party.index()] = Some(seen);
    let [Some(a), Some(b), Some(c)] = reports.last else {
        return Ok(Outcome::Applied(index));
    };
    let worst = worse(worse(a, b), c);
    if near(worst, catalog.net_profile) {
        (reports.candidate, reports.times) = (None, 0);
        return Ok(Outcome::Applied(index));
    }
    match reports.candidate {
        Some(candidate) if near(candidate, worst) => reports.times += 1,
        _ => (reports.candidate, reports.times) = (Some(worst), 1),
    }
    if reports.times >= NET_REPORTS_IN_A_ROW {
        catalog.net_profile = reports.candidate.unwrap_or(worst);
        (reports.candidate, reports.times) = (None, 0);
    }
    Ok(Outcome::Applied(index))
}

/// The worst of both. Nothing is better than a local network, which is what a node of the same
/// machine and one in the next rack have in common.
fn worse(a: NetProfile, b: NetProfile) -> NetProfile {
    let local = NetProfile::default();
    NetProfile {
        round_trip_us: a.round_trip_us.max(b.round_trip_us).max(local.round_trip_us),
        megabits_per_s: a.megabits_per_s.min(b.megabits_per_s).min(local.megabits_per_s),
        lanes: a.lanes.min(b.lanes),
    }
}

/// Whether two profiles are no further apart than neighbouring powers of two.
const fn near(a: NetProfile, b: NetProfile) -> bool {
    a.round_trip_us.ilog2().abs_diff(b.round_trip_us.ilog2()) <= 1
        && a.megabits_per_s.ilog2().abs_diff(b.megabits_per_s.ilog2()) <= 1
        && a.lanes == b.lanes
}
