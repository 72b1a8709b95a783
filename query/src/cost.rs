//! Which of two plans for the same relation is cheaper: by what a dry run predicts and the
//! replicated network profile, never by what one node measures.

use crate::executor::{OperatorCost, dry_run};
use crate::plan::{Operator, Plan, ResultSize};
use trine_mpc::{Cost, Profile};
use trine_proto::catalog::NetProfile;

/// The replicated profile as protocols take it.
#[must_use]
pub const fn profile(net: NetProfile) -> Profile {
    let NetProfile { round_trip_us, megabits_per_s, lanes } = net;
    Profile { round_trip_us, megabits_per_s, lanes }
}

/// Predicted microseconds; none for a plan that cannot run.
fn estimate(plan: &Plan, profile: Profile) -> Option<u64> {
    let root = Plan {
        op: Operator::Reveal {
            input: Box::new(plan.clone()),
            size: ResultSize::Hidden,
            ordered: true,
        },
        fields: plan.fields.clone(),
        rows: plan.rows,
    };
    let costs = dry_run(&root, profile).ok()?;
    Some(costs.iter().map(|c| microseconds(c, profile)).sum())
}

fn microseconds(cost: &OperatorCost, profile: Profile) -> u64 {
    microseconds_of(cost.cost, profile)
}

/// Microseconds that rounds and bytes take, as protocols reckon too when they choose a form.
pub(crate) fn microseconds_of(cost: Cost, profile: Profile) -> u64 {
    profile.time_ns(cost) / 1000
}

/// The cheaper plan; the first one on a tie.
pub(crate) fn cheaper(a: Plan, b: Plan, net: NetProfile) -> Plan {
    let profile = profile(net);
    match (estimate(&a, profile), estimate(&b, profile)) {
        (Some(x), Some(y)) if y < x => b,
        (None, Some(_)) => b,
        _ => a,
    }
}
