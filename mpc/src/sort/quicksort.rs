//! Sort by shuffle and quicksort with opened comparisons (Hamada, Kikuchi, Ikarashi, Chida,
//! Takahashi, ICISC 2012), with ranked samples as pivots.
//!
//! The row index from before the shuffle is appended below the key: keys become distinct (equal keys
//! stay hidden) and the sort stable. Then a secret shuffle; after it the order of the keys is a
//! uniformly random one. A level compares rows of every segment with pivots of that segment, all in
//! one batch, and opens the verdicts.
//!
//! # Why the openings tell nothing
//!
//! What is opened are facts "shuffled row i is less than shuffled row j" for i and j different, so
//! distinct keys. Which pairs are asked about follows from earlier answers and public sizes alone
//! (pivots are the first rows of a segment; a pivot never meets itself, and bits that belong to no
//! comparison are zero shares of zero). So everything opened is a function of the relative order of
//! the shuffled rows. That order is a uniformly random permutation, independent of the keys and of all that a party
//! holds, because the shuffle is fresh and its permutation unknown to every single party. All that is
//! ever learned is that permutation, which the sort reveals in full anyway.

use super::expected::{Plan, cost_level};
use super::keys::Keys;
use super::order::SortOrder;
use super::segments::Segments;
use super::shuffle::{Shuffle, Shuffled};
use crate::cost::{ceil_log2, cost_shuffle};
use crate::protocol::{less_than_distinct, open_words};
use crate::{Cost, MpcError, Planes, Result, Session};

/// Stable ascending sort by `key` as unsigned numbers, of which the first `wanted` places are found out
/// and kept. Two rows or more.
///
/// Cost: the shuffle of key and row index, then as planned. Reveals the relative order of distinct keys in a
/// secret random arrangement, as far as it was asked for.
///
/// # Errors
/// Network; [`MpcError::Shape`] where what a peer opened is no order, and for 2^32 rows or more.
pub(super) fn quicksort(
    s: &mut Session,
    key: &Planes,
    plan: &Plan,
    wanted: usize,
) -> Result<SortOrder> {
    let (rows, width) = (key.len(), key.width());
    if key.is_ghost() && !s.is_dry() {
        return Err(MpcError::Shape("a ghost column in a real session"));
    }
    let shuffle = Shuffle::draw(s, rows);
    let index_bits = ceil_log2(rows);
    if s.is_dry() {
        s.charge(cost_shuffle(rows, width + index_bits, 0));
        s.charge(plan.expected);
        s.note_sort(plan.expected, Cost::default());
        return Ok(SortOrder::still(shuffle, wanted));
    }
    let distinct = Planes::row_index(s.party(), rows, index_bits).stack(key);
    let moved = shuffle.apply_key(s, distinct)?;
    let before = s.cost();
    let (public, recomputed) = open_order(s, moved, plan, wanted)?;
    let party = s.party();
    let counted = s.cost();
    assert_eq!(
        (counted.rounds - before.rounds, counted.bytes[party] - before.bytes[party]),
        (recomputed.rounds, recomputed.bytes[party]),
        "a sort costs what its opened segments say"
    );
    s.note_sort(plan.expected, recomputed);
    Ok(SortOrder::new(s, shuffle, &public))
}

/// Opens comparisons until the order is known; also what that cost by the segments' sizes.
fn open_order(
    s: &mut Session,
    key: Shuffled<Planes>,
    plan: &Plan,
    wanted: usize,
) -> Result<(Vec<u32>, Cost)> {
    let Shuffled(key) = key;
    let width = key.width();
    let Ok(rows) = u32::try_from(key.len()) else {
        return Err(MpcError::Shape("fewer than 2^32 rows"));
    };
    let threads = usize::try_from(s.profile().lanes).map_or(1, |lanes| lanes.max(1));
    let mut keys = Keys::new(key, threads);
    let (mut segments, moves, lengths) = Segments::new(plan.shape, rows, wanted);
    let mut level = segments.level();
    keys.follow(&moves, lengths, &[], &level);
    let mut recomputed = Cost::default();
    while !segments.is_done() {
        let (form, cost) = cost_level(s.profile(), level.comparisons(), width);
        recomputed += cost;
        let (x, y) = keys.operands(&level);
        let less = less_than_distinct(s, form, &x, &y)?;
        let less = open_words(s, &less)?;
        keys.give_back(x, y);
        let (moves, lengths) = segments.advance(&level, &less)?;
        level = segments.level();
        keys.follow(&moves, lengths, &less, &level);
    }
    Ok((segments.into_order()?, recomputed))
}
