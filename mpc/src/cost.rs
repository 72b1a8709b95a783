//! Bytes and rounds, predicted and counted in the same unit.
//!
//! Every protocol has a `cost_*` here (sorts: [`crate::sort::cost_sort`]): a dry session charges it, a test holds it equal to what a
//! real session counts. Bytes are payload: planes in whole 64-bit words, ring elements as they
//! are. A protocol over no rows (or no bits) sends nothing and has no round.

use std::ops::{Add, AddAssign, Range};

use crate::bits::words;

/// Payload bytes sent by each party, and rounds. Planes count in whole 64-bit words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rounds: messages sent, then waited for.
    pub rounds: u64,
    /// Payload bytes sent by party 0, 1, 2.
    pub bytes: [u64; 3],
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        for (a, b) in self.bytes.iter_mut().zip(other.bytes) {
            *a += b;
        }
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Cost {
    /// Every party sends `bytes` in all over `rounds`; nothing at all if there are no bytes.
    #[must_use]
    pub fn each(rounds: u64, bytes: u64) -> Self {
        if bytes == 0 {
            return Self::default();
        }
        Self { rounds, bytes: [bytes; 3] }
    }
    /// `count` times in sequence.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { rounds: self.rounds * count, bytes: self.bytes.map(|b| b * count) }
    }
    /// The same where `party` does what party 0 does in this one, the parties after it in turn.
    #[must_use]
    pub fn led_by(self, party: usize) -> Self {
        let mut bytes = self.bytes;
        bytes.rotate_right(party % 3);
        Self { bytes, ..self }
    }
    /// The party that sends most.
    #[must_use]
    pub fn bytes_max(self) -> u64 {
        self.bytes.into_iter().fold(0, u64::max)
    }
}

/// Circuit form: deep and cheap, or shallow and dear. Bits are worked through in blocks, side by side
/// from the lowest to the highest bit of each; a tree joins the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// One block: k rounds, fewest bits.
    Ripple,
    /// So many blocks, at least two bits each (with more it is the tree): about k/b + log2 b rounds
    /// and twice the bits.
    Blocks(u8),
    /// A block for every bit: ceil(log2 k) rounds, most bits.
    Tree,
}

impl Circuit {
    /// All forms, cheapest in bits first.
    pub const ALL: [Self; 8] = [
        Self::Ripple,
        Self::Blocks(2),
        Self::Blocks(4),
        Self::Blocks(8),
        Self::Blocks(16),
        Self::Blocks(32),
        Self::Blocks(64),
        Self::Tree,
    ];
}

impl std::fmt::Display for Circuit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ripple => f.write_str("ripple"),
            Self::Blocks(blocks) => write!(f, "{blocks} blocks"),
            Self::Tree => f.write_str("tree"),
        }
    }
}

/// How many blocks a circuit over so many bits has, and where they lie. Lower blocks are longer by one
/// bit where the bits do not divide evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    bits: usize,
    /// At least one; no more than bits, unless there are none.
    pub(crate) blocks: usize,
}

impl Layout {
    pub(crate) fn of(form: Circuit, bits: usize) -> Self {
        let blocks = match form {
            Circuit::Ripple => 1,
            Circuit::Blocks(blocks) if usize::from(blocks) * 2 <= bits => usize::from(blocks),
            Circuit::Blocks(_) | Circuit::Tree => bits,
        };
        Self { bits, blocks: blocks.max(1) }
    }
    /// Bits of the longest block, which is the lowest.
    pub(crate) const fn longest(self) -> usize {
        self.bits.div_ceil(self.blocks)
    }
    /// Bits of block i, lowest block first.
    pub(crate) fn block(self, i: usize) -> Range<usize> {
        let (each, longer) = (self.bits / self.blocks, self.bits % self.blocks);
        let start = i * each + i.min(longer);
        start..start + each + usize::from(i < longer)
    }
    pub(crate) fn all(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.blocks).map(move |i| self.block(i))
    }
    /// Bits of all blocks but the lowest that are not the lowest (or highest) of their block.
    const fn inner(self) -> usize {
        self.bits - self.longest() - (self.blocks - 1)
    }
    /// Rounds of a tree over the blocks.
    const fn depth(self) -> usize {
        ceil_log2(self.blocks)
    }
}

/// What chooses circuit forms: replicated, never measured by one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Round trip of the worst pair in microseconds.
    pub round_trip_us: u32,
    /// Bandwidth of the worst pair in megabits a second.
    pub megabits_per_s: u32,
    /// Parts into which long columns are cut, each with a thread and a lane of the network of its own;
    /// 0 is 1.
    pub lanes: u32,
}

impl Profile {
    /// Three machines in one rack.
    pub const LOCAL: Self = Self { round_trip_us: 64, megabits_per_s: 8192, lanes: 1 };
    /// Three organisations in different cities.
    pub const WIDE: Self = Self { round_trip_us: 65_536, megabits_per_s: 128, lanes: 1 };

    /// Predicted time in nanoseconds: a round waits for messages that all cross at the same time, half
    /// a round trip; every byte passes the wire once and costs the work of making masks and encrypting,
    /// which the lanes share.
    #[must_use]
    pub fn time_ns(self, cost: Cost) -> u64 {
        let bytes = cost.bytes_max();
        let waiting = cost.rounds.saturating_mul(u64::from(self.round_trip_us)).saturating_mul(500);
        let wire = bytes.saturating_mul(8000) / u64::from(self.megabits_per_s.max(1));
        let a_round = (bytes / cost.rounds.max(1)).min(CACHE_BYTES);
        let ps_per_byte = WORK_PS_PER_BYTE + MEMORY_PS_PER_BYTE * a_round / CACHE_BYTES;
        let work = bytes.saturating_mul(ps_per_byte) / 1000 / u64::from(self.lanes.max(1));
        waiting.saturating_add(wire).saturating_add(work)
    }
}

/// Processor time of one payload byte: masks, gates, transport encryption at both ends.
const WORK_PS_PER_BYTE: u64 = 1100;
/// What it costs more where the messages of a round fill the cache, so that the planes of a circuit go
/// to memory and come back. Both are fitted to runs of 2^10 to 2^22 rows (`examples/forms.rs`).
const MEMORY_PS_PER_BYTE: u64 = 1400;
/// Payload of a round from which on all of it goes to memory.
const CACHE_BYTES: u64 = 1 << 21;

/// ceil(log2 n); 0 for n <= 1.
#[must_use]
pub const fn ceil_log2(n: usize) -> usize {
    if n <= 1 { 0 } else { (usize::BITS - (n - 1).leading_zeros()) as usize }
}

/// floor(log2 n); 0 for n <= 1.
#[must_use]
pub const fn floor_log2(n: usize) -> usize {
    if n <= 1 { 0 } else { (usize::BITS - 1 - n.leading_zeros()) as usize }
}

/// `gates` ANDs of one plane of n rows in `rounds` rounds.
fn gates(n: usize, gates: usize, rounds: usize) -> Cost {
    Cost::each(rounds as u64, (words(n) * gates * 8) as u64)
}

/// The fastest form of a circuit, and what it costs; the first of those that are equal. Pure: the same
/// at all parties.
pub(crate) fn chosen(profile: Profile, of: impl Fn(Circuit) -> Cost) -> (Circuit, Cost) {
    let mut best = (Circuit::Ripple, of(Circuit::Ripple));
    for form in Circuit::ALL.into_iter().skip(1) {
        let cost = of(form);
        if profile.time_ns(cost) < profile.time_ns(best.1) {
            best = (form, cost);
        }
    }
    best
}

/// AND, OR or select of n rows, k planes: 3k bits a row, 1 round.
#[must_use]
pub fn cost_and(n: usize, k: usize) -> Cost {
    gates(n, k, 1)
}

/// Several ANDs of (rows, planes) in one round.
#[must_use]
pub fn cost_and_many(shapes: &[(usize, usize)]) -> Cost {
    Cost::each(1, shapes.iter().map(|&(n, k)| (words(n) * k * 8) as u64).sum())
}

/// Product of n rows in a ring of l bits: 3l bits a row, 1 round. Also n inner products of any
/// length.
#[must_use]
pub fn cost_multiply(n: usize, l: usize) -> Cost {
    Cost::each(1, (n * l / 8) as u64)
}

/// Opening planes to all nodes: 3k bits a row, 1 round.
#[must_use]
pub fn cost_open_planes(n: usize, k: usize) -> Cost {
    gates(n, k, 1)
}

/// Opening ring elements of l bits to all nodes: 3l bits a row, 1 round.
#[must_use]
pub fn cost_open_arith(n: usize, l: usize) -> Cost {
    cost_multiply(n, l)
}

/// AND over all k planes, or equality of k bits: 3(k-1) bits a row, ceil(log2 k) rounds.
#[must_use]
pub fn cost_equal(n: usize, k: usize) -> Cost {
    gates(n, k.saturating_sub(1), ceil_log2(k))
}

/// OR over n rows of one plane: halving, ceil(log2 n) rounds.
#[must_use]
pub fn cost_or_all_rows(n: usize) -> Cost {
    let mut total = Cost::default();
    let mut rows = n;
    while rows > 1 {
        let half = halved(rows);
        total += cost_and(half, 1);
        rows = half;
    }
    total
}

/// Rows left after one halving: whole words while there is more than one.
pub(crate) const fn halved(rows: usize) -> usize {
    if rows > 64 { words(rows).div_ceil(2) * 64 } else { rows.div_ceil(2) }
}

/// x < y, unsigned, k bits, one form.
#[must_use]
pub fn cost_less_than_as(circuit: Circuit, n: usize, k: usize) -> Cost {
    if k == 0 {
        return Cost::default();
    }
    cost_less_than_short_as(circuit, n, k) + gates(n, 1, 1)
}

/// x < y where the lowest bit needs no AND (keys distinct, or y public), one form.
#[must_use]
pub fn cost_less_than_short_as(circuit: Circuit, n: usize, k: usize) -> Cost {
    if k == 0 {
        return Cost::default();
    }
    let layout = Layout::of(circuit, k);
    let within = k - layout.blocks + layout.inner();
    let between = 2 * (layout.blocks - 1) - floor_log2(layout.blocks);
    gates(n, within + between, layout.longest() - 1 + layout.depth())
}

/// x < y, unsigned, k bits, in the form that the profile chooses.
#[must_use]
pub fn cost_less_than(profile: Profile, n: usize, k: usize) -> Cost {
    chosen(profile, |form| cost_less_than_as(form, n, k)).1
}

/// x < constant, unsigned, k bits.
#[must_use]
pub fn cost_less_than_constant(profile: Profile, n: usize, k: usize) -> Cost {
    chosen(profile, |form| cost_less_than_short_as(form, n, k)).1
}

/// ANDs of a Sklansky tree over m positions, (those that carry a value, those of propagation).
fn prefix_gates(m: usize) -> (usize, usize) {
    let (mut values, mut propagations) = (0, 0);
    for level in 0..ceil_log2(m) {
        for j in (0..m).filter(|j| j >> level & 1 == 1) {
            values += 1;
            propagations += usize::from(j >> (level + 1) != 0);
        }
    }
    (values, propagations)
}

/// The carries out of the low m bits of a sum, one form.
#[must_use]
pub fn cost_carries_as(circuit: Circuit, n: usize, m: usize) -> Cost {
    let layout = Layout::of(circuit, m);
    if m == 0 {
        return Cost::default();
    }
    let (values, propagations) = prefix_gates(layout.blocks);
    let handed_out = layout.inner();
    let rounds = layout.longest() + layout.depth() + usize::from(handed_out > 0);
    gates(n, m + 2 * handed_out + values + propagations, rounds)
}

/// The carries out of the low m bits of a sum.
pub(crate) fn cost_carries(profile: Profile, n: usize, m: usize) -> (Circuit, Cost) {
    chosen(profile, |form| cost_carries_as(form, n, m))
}

/// x + y or x - y modulo 2^k: ripple 3(k-1) bits a row and k-1 rounds, or a prefix tree.
#[must_use]
pub fn cost_add(profile: Profile, n: usize, k: usize) -> Cost {
    cost_carries(profile, n, k.saturating_sub(1)).1
}

/// AND over every prefix of m planes, one form.
#[must_use]
pub fn cost_prefix_and_as(circuit: Circuit, n: usize, m: usize) -> Cost {
    let layout = Layout::of(circuit, m);
    if m == 0 {
        return Cost::default();
    }
    let handed_out = layout.inner();
    let rounds = layout.longest() - 1 + layout.depth() + usize::from(handed_out > 0);
    gates(n, m - layout.blocks + prefix_gates(layout.blocks).0 + handed_out, rounds)
}

/// AND over every prefix of m planes.
pub(crate) fn cost_prefix_and(profile: Profile, n: usize, m: usize) -> (Circuit, Cost) {
    chosen(profile, |form| cost_prefix_and_as(form, n, m))
}

/// bit ? -x : x, or |x|, of k bits.
#[must_use]
pub fn cost_negate_if(profile: Profile, n: usize, k: usize) -> Cost {
    cost_prefix_and(profile, n, k).1
}

/// k planes to k arithmetic vectors in a ring of l bits: 3l bits a plane and row, 2 rounds.
#[must_use]
pub fn cost_bits_to_arith(n: usize, k: usize, l: usize) -> Cost {
    Cost::each(2, (n * k * l / 8) as u64)
}

/// How a number in planes becomes arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToArith {
    /// Every bit by itself, summed before the second round: l(k+2) bits a row, 2 rounds.
    Bits,
    /// A random number is subtracted in planes and the difference opened to two parties: l, an
    /// adder of l bits, and 2l; the rounds of the adder and 2 more.
    Adder,
}

/// The number in k planes as one arithmetic vector in a ring of l bits, one form. Planes from 2^l on
/// do not count.
#[must_use]
pub fn cost_planes_to_arith_as(
    profile: Profile,
    form: ToArith,
    n: usize,
    k: usize,
    l: usize,
) -> Cost {
    if n == 0 || k == 0 {
        return Cost::default();
    }
    match form {
        ToArith::Bits => {
            let element = (n * l / 8) as u64;
            Cost { rounds: 2, bytes: [k.min(l) as u64 * element, element, element] }
        }
        ToArith::Adder => {
            let planes = (words(n) * l * 8) as u64;
            let input = Cost { rounds: 1, bytes: [0, planes, 0] };
            let open = Cost { rounds: 1, bytes: [planes, planes, 0] };
            input + cost_add(profile, n, l) + open
        }
    }
}

/// The number in k planes as one arithmetic vector in a ring of l bits, in the form that the profile
/// chooses.
#[must_use]
pub fn cost_planes_to_arith(profile: Profile, n: usize, k: usize, l: usize) -> (ToArith, Cost) {
    let of = |form| (form, cost_planes_to_arith_as(profile, form, n, k, l));
    let (bits, adder) = (of(ToArith::Bits), of(ToArith::Adder));
    if profile.time_ns(adder.1) < profile.time_ns(bits.1) { adder } else { bits }
}

/// The low k bits of ring elements as planes: k bits by party 0 in 1 round, then an adder.
#[must_use]
pub fn cost_arith_to_planes(profile: Profile, n: usize, k: usize) -> Cost {
    let bytes = (words(n) * k * 8) as u64;
    let input = Cost { rounds: u64::from(bytes > 0), bytes: [bytes, 0, 0] };
    input + cost_add(profile, n, k)
}

/// Widths of one step of a restoring division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DivideStep {
    /// Planes of the partial remainder that are compared with the low planes of the denominator.
    pub(crate) compared: usize,
    /// Whether the higher planes of the denominator join as one more plane, "not zero".
    pub(crate) saturated: bool,
    /// Whether the remainder has one plane more than the denominator.
    pub(crate) overflow: bool,
    /// Whether a remainder is needed afterwards.
    pub(crate) keeps: bool,
}

impl DivideStep {
    /// Planes of carries.
    pub(crate) fn carries(self) -> usize {
        self.compared + usize::from(self.saturated)
    }
}

/// The steps of a division, highest quotient bit first.
pub(crate) fn divide_steps(
    quotient: usize,
    denominator: usize,
) -> impl Iterator<Item = DivideStep> {
    (1..=quotient).map(move |bits| DivideStep {
        compared: bits.min(denominator),
        saturated: bits < denominator,
        overflow: bits > denominator,
        keeps: bits < quotient,
    })
}

/// floor(numerator 2^f / denominator), widths in bits.
#[must_use]
pub fn cost_divide(
    profile: Profile,
    n: usize,
    numerator: usize,
    denominator: usize,
    fraction_bits: usize,
) -> Cost {
    let quotient = numerator + fraction_bits;
    if quotient == 0 || denominator == 0 {
        return Cost::default();
    }
    let mut total = cost_prefix_and(profile, n, denominator).1;
    for step in divide_steps(quotient, denominator) {
        total += cost_carries(profile, n, step.carries()).1;
        if step.keeps {
            total += cost_and(n, step.compared);
        }
    }
    total + cost_and(n, quotient)
}

/// Width of the subtraction of every digit of a square root of `width` bits (an even number): the
/// remainder is at most twice the root, so that two more bits and a sign make `digits + 4`.
pub(crate) fn sqrt_widths(width: usize) -> impl Iterator<Item = usize> {
    (0..width / 2).map(|digits| digits + 4)
}

/// floor(sqrt(x)) of k bits.
#[must_use]
pub fn cost_sqrt(profile: Profile, n: usize, k: usize) -> Cost {
    let digits = k.div_ceil(2);
    let mut total = Cost::default();
    for (step, width) in sqrt_widths(2 * digits).enumerate() {
        total += cost_add(profile, n, width);
        if step + 1 < digits {
            total += cost_and(n, width - 1);
        }
    }
    total
}

/// Moving columns of n rows by a secret permutation: `planes` boolean planes and `ring_words`
/// 64-bit words a row of arithmetic. 4 elements an element, 3 rounds. No rounds for n <= 1. As party 0
/// leads it; the parties of a session take turns ([`Cost::led_by`]).
#[must_use]
pub fn cost_shuffle(n: usize, planes: usize, ring_words: usize) -> Cost {
    cost_shuffle_front(n, n, planes, ring_words)
}

/// The same where only the first `kept` rows are wanted: the last two of the four elements are sent
/// for them alone.
#[must_use]
pub fn cost_shuffle_front(n: usize, kept: usize, planes: usize, ring_words: usize) -> Cost {
    let bytes = |rows| ((words(rows) * planes + rows * ring_words) * 8) as u64;
    let (all, front) = (bytes(n), bytes(kept));
    if n <= 1 || all == 0 {
        return Cost::default();
    }
    Cost { rounds: 3, bytes: [all + front, all, front] }
}

/// Stable partition of n rows by one bit: bit to arithmetic, one product, a shuffle of the
/// destinations and their opening, all in the ring of 32 bits. 7 rounds. As party 0 leads it.
#[must_use]
pub fn cost_partition(n: usize) -> Cost {
    if n <= 1 {
        return Cost::default();
    }
    let moved = (n.div_ceil(2) * 8) as u64;
    let shuffle = Cost { rounds: 3, bytes: [2 * moved, moved, moved] };
    cost_bits_to_arith(n, 1, 32) + cost_multiply(n, 32) + shuffle + cost_open_arith(n, 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms() {
        let both = |n| (ceil_log2(n), floor_log2(n));
        assert_eq!([0, 1, 2, 3, 4, 5, 64, 65].map(both).map(|b| b.0), [0, 0, 1, 2, 2, 3, 6, 7]);
        assert_eq!([0, 1, 2, 3, 4, 5, 64, 65].map(both).map(|b| b.1), [0, 0, 1, 1, 2, 2, 6, 6]);
    }

    #[test]
    fn costs_of_the_design_for_64_rows_of_64_bits() {
        let bits = |cost: Cost| cost.bytes.iter().sum::<u64>() * 8 / 64;
        assert_eq!(bits(cost_and(64, 64)), 3 * 64);
        assert_eq!(bits(cost_equal(64, 64)), 3 * 63);
        assert_eq!(bits(cost_less_than_as(Circuit::Tree, 64, 64)), 3 * 121);
        assert_eq!(cost_less_than_as(Circuit::Tree, 64, 64).rounds, 7);
        assert_eq!(bits(cost_less_than_as(Circuit::Ripple, 64, 64)), 3 * 64);
        assert_eq!(cost_less_than_as(Circuit::Ripple, 64, 64).rounds, 64);
        assert_eq!(bits(cost_carries_as(Circuit::Ripple, 64, 63)), 3 * 63);
        assert_eq!(bits(cost_bits_to_arith(64, 1, 64)), 3 * 64);
        assert_eq!(cost_bits_to_arith(64, 5, 64).rounds, 2);
        assert_eq!(bits(cost_shuffle(64, 64, 0)), 4 * 64);
        assert_eq!(bits(cost_shuffle(64, 0, 2)), 4 * 128);
        assert_eq!(cost_shuffle(64, 9, 3).rounds, 3);
        assert_eq!(bits(cost_partition(64)), 3 * 32 + 3 * 32 + 4 * 32 + 3 * 32);
        assert_eq!(cost_partition(64).rounds, 7);
        assert_eq!(cost_or_all_rows(1000).rounds, 10);
    }

    #[test]
    fn nothing_costs_nothing() {
        let nothing = Cost::default();
        for profile in [Profile::LOCAL, Profile::WIDE] {
            assert_eq!(cost_less_than(profile, 0, 9), nothing);
            assert_eq!(cost_add(profile, 0, 9), nothing);
            assert_eq!(cost_divide(profile, 0, 9, 9, 9), nothing);
            assert_eq!(cost_arith_to_planes(profile, 0, 9), nothing);
        }
        assert_eq!(cost_shuffle(1, 9, 9), nothing);
        assert_eq!(cost_partition(1), nothing);
        assert_eq!(cost_open_planes(0, 5), nothing);
    }

    #[test]
    fn many_rows_nearby_want_ripple_and_few_far_away_want_trees() {
        let form = |profile: Profile, n| chosen(profile, |form| cost_less_than_as(form, n, 64));
        assert_eq!(form(Profile::LOCAL, 1 << 20).0, Circuit::Ripple);
        assert_eq!(form(Profile::LOCAL, 1000).1.rounds, 7);
        assert_eq!(form(Profile::WIDE, 1000).1.rounds, 7);
        let adder = chosen(Profile::LOCAL, |form| cost_carries_as(form, 1 << 14, 63));
        assert!(matches!(adder.0, Circuit::Blocks(_)), "{adder:?}");
        let free = Profile { round_trip_us: 0, megabits_per_s: 0, lanes: 1 };
        assert_eq!(form(free, 1).0, Circuit::Ripple);
    }
}
