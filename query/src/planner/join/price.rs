//! What a join with a unique side costs, before its plan is built: the bytes of its sort, moves and
//! comparisons under the replicated network profile, in microseconds. Chooses between plans only;
//! EXPLAIN states what a dry run counts.

use crate::cost::{self, microseconds_of};
use trine_mpc::Cost;
use trine_mpc::sort::cost_sort;
use trine_proto::catalog::NetProfile;

/// Rounds of the moves of a sort join beside those of its sort and equality.
const MOVE_ROUNDS: u64 = 19;
/// Bits that a stable partition takes, a row.
const PARTITION_BITS: u64 = 416;

/// A join of `many` rows with `unique` rows over `key` bits that hands over `payload` bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) many: u64,
    pub(super) unique: u64,
    pub(super) key: u64,
    pub(super) payload: u64,
}

/// One sort of the union.
pub(super) fn sorted(shape: Shape, net: NetProfile) -> u64 {
    let rows = shape.many.saturating_add(shape.unique);
    let (key, payload) = (shape.key, shape.payload);
    let profile = cost::profile(net);
    let size = usize::try_from(rows).unwrap_or(usize::MAX >> 8);
    let width = usize::try_from(key).unwrap_or(usize::MAX >> 8);
    let sort = cost_sort(profile, size, width);
    let bits = 4 * (key + 1 + payload)
        + PARTITION_BITS
        + 8 * (key + payload)
        + 3 * key
        + 4 * (1 + payload);
    let moves = spread(rows.saturating_mul(bits), MOVE_ROUNDS + steps(key));
    microseconds_of(sort, profile).saturating_add(microseconds_of(moves, profile))
}

/// Every pair of rows compared.
pub(super) fn looked_up(shape: Shape, net: NetProfile) -> u64 {
    let pairs = shape.many.saturating_mul(shape.unique);
    let bits = 3 * (shape.key + 2 + shape.payload);
    let cost = spread(pairs.saturating_mul(bits), 3 + steps(shape.key));
    microseconds_of(cost, cost::profile(net))
}

fn steps(bits: u64) -> u64 {
    u64::from(64 - bits.max(1).leading_zeros())
}

fn spread(bits: u64, rounds: u64) -> Cost {
    Cost { rounds, bytes: [bits / 24; 3] }
}
