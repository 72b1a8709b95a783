//! Sort by shuffle and quicksort with opened comparisons (Hamada, Kikuchi, Ikarashi, Chida,
//! Takahashi, ICISC 2012), with ranked samples as pivots.
//!
//! The row index from before the shuffle is appended below the key: keys become distinct (equal keys
//! stay hidden) and the sort stable. (Where rows of equal keys must come out in an order that tells
//! nothing, the index is shuffled by itself before.) Then a secret shuffle; after it the order of the keys is a
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

use super::choose::Ties;
use super::compare::open_verdicts;
use super::expected::{Plan, cost_level};
use super::keys::Keys;
use super::order::SortOrder;
use super::radix::row_index;
use super::segments::Segments;
use super::shuffle::{Shuffle, Shuffled};
use crate::cost::ceil_log2;
use crate::kernel::release_freed;
use crate::{Cost, MpcError, Planes, Result, Session};

/// Words of planes that are worth giving back what was freed on the way: what the shuffle took before the rows are
/// compared, and what moved rows have left behind.
const RELEASE_WORDS: usize = 1 << 16;

/// Ascending sort by `key` as unsigned numbers, of which the first `wanted` places are found out and kept.
/// Two rows or more.
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
    ties: Ties,
) -> Result<SortOrder> {
    let distinct = distinct(s, key, ties)?;
    Ok(sort_distinct(s, distinct, plan, wanted, None)?.0)
}

/// A sort of all rows that hands back the sorted key: it lies there in the order of the shuffle, and
/// the rest of the way is public.
///
/// # Errors
/// As [`quicksort`].
pub(super) fn quicksort_with_key(
    s: &mut Session,
    key: Planes,
    plan: &Plan,
    ties: Ties,
) -> Result<(SortOrder, Planes)> {
    let (rows, index_bits) = (key.len(), ceil_log2(key.len()));
    let distinct = distinct(s, &key, ties)?;
    drop(key);
    match sort_distinct(s, distinct, plan, rows, Some(index_bits))? {
        (order, Some(sorted)) => Ok((order, sorted)),
        _ => Err(MpcError::Shape("the key is asked for")),
    }
}

/// The key above the row index, which for random ties is in an order that nobody knows.
fn distinct(s: &mut Session, key: &Planes, ties: Ties) -> Result<Planes> {
    if key.is_ghost() && !s.is_dry() {
        return Err(MpcError::Shape("a ghost column in a real session"));
    }
    let mut index = row_index(s, key.len());
    if ties == Ties::Random {
        let Shuffled(mixed) = Shuffle::draw(s, key.len()).apply_key(s, index)?;
        index = mixed;
    }
    Ok(index.stack(key))
}

/// Sorts distinct keys; hands back their planes from `back` on.
fn sort_distinct(
    s: &mut Session,
    key: Planes,
    plan: &Plan,
    wanted: usize,
    back: Option<usize>,
) -> Result<(SortOrder, Option<Planes>)> {
    let (rows, width) = (key.len(), key.width());
    let shuffle = Shuffle::draw(s, rows);
    let moved = shuffle.apply_key(s, key)?;
    if rows * width / 64 >= RELEASE_WORDS {
        release_freed();
    }
    if s.is_dry() {
        s.charge(plan.expected);
        s.note_sort(plan.expected, Cost::default());
        let sorted = back.map(|from| Planes::ghost(rows, width - from));
        return Ok((SortOrder::still(shuffle, wanted), sorted));
    }
    let before = s.cost();
    let (public, sorted, recomputed) = open_order(s, moved, plan, wanted, back)?;
    let party = s.party();
    let counted = s.cost();
    assert_eq!(
        (counted.rounds - before.rounds, counted.bytes[party] - before.bytes[party]),
        (recomputed.rounds, recomputed.bytes[party]),
        "a sort costs what its opened segments say"
    );
    s.note_sort(plan.expected, recomputed);
    Ok((SortOrder::new(s, shuffle, &public), sorted))
}

/// Opens comparisons until the order is known; also the sorted keys from plane `back` on, and what it cost
/// by the segments' sizes.
fn open_order(
    s: &mut Session,
    key: Shuffled<Planes>,
    plan: &Plan,
    wanted: usize,
    back: Option<usize>,
) -> Result<(Vec<u32>, Option<Planes>, Cost)> {
    let Shuffled(key) = key;
    let width = key.width();
    let Ok(rows) = u32::try_from(key.len()) else {
        return Err(MpcError::Shape("fewer than 2^32 rows"));
    };
    let threads = usize::try_from(s.profile().lanes).map_or(1, |lanes| lanes.max(1));
    let mut keys = Keys::new(key, threads);
    let (mut segments, moves, lengths) = Segments::new(plan.shape, rows, wanted);
    keys.follow(&moves, lengths, &[]);
    let mut recomputed = Cost::default();
    let step = keys.plane_words() / 16;
    let mut held = keys.plane_words();
    while !segments.is_done() {
        let level = segments.level();
        let (form, cost) = cost_level(s.profile(), level.comparisons(), width);
        recomputed += cost;
        let sides = keys.sides(&segments, &level);
        let less = open_verdicts(s, form, &sides)?;
        let spare = sides.into_spare();
        keys.give_back(spare);
        let (moves, lengths) = segments.advance(&level, &less)?;
        keys.follow(&moves, lengths, &less);
        if step >= RELEASE_WORDS / 16 && held - keys.plane_words().min(held) >= step {
            release_freed();
            held = keys.plane_words();
        }
    }
    let order = segments.into_order()?;
    let sorted = back.map(|from| keys.into_sorted(&order.kept, from));
    Ok((order.into_shuffled(), sorted, recomputed))
}
