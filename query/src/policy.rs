//! What may be opened to the nodes: the only place that makes a [`Disclosure`].

use crate::plan::Plan;
use trine_mpc::Disclosure;

/// Opening the next power of two of the number of result rows of a plan whose root asks for it.
#[allow(clippy::disallowed_methods)] // the one site that may decide this
pub(crate) fn permit_result_size(_plan: &Plan) -> Disclosure {
    Disclosure::permit_after_policy_check("number of result rows, next power of two")
}

/// Opening whether the keys of a staged batch are unique in its table.
#[allow(clippy::disallowed_methods)] // the one site that may decide this
pub(crate) fn permit_uniqueness_verdict() -> Disclosure {
    Disclosure::permit_after_policy_check("whether the primary key of a batch is unique")
}
