//! Which sort runs: a pure function of profile, rows and width, so the same at all parties.

use super::column::Column;
use super::expected::{Plan, plan, plan_front};
use super::order::SortOrder;
use super::quicksort::{quicksort, quicksort_with_key};
use super::radix::{cost_radix, radix};
use super::shuffle::Shuffle;
use crate::cost::{ceil_log2, cost_shuffle};
use crate::{Cost, MpcError, Planes, Profile, Result, Session};

/// How a sort runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Shuffle, then opened comparisons with ranked pivots: so many of them with every row at a time.
    Quicksort {
        /// Pivots that a row is compared with in one level.
        pivots: usize,
    },
    /// The same for the first rows alone, a pivot at a time.
    Quickselect,
    /// Passes over digits of so many bits, with opened destinations.
    Radix {
        /// Bits of the widest digit.
        digit: usize,
    },
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Quicksort { pivots: 1 } => f.write_str("quicksort"),
            Self::Quicksort { pivots } => write!(f, "quicksort by {pivots} pivots"),
            Self::Quickselect => f.write_str("quickselect"),
            Self::Radix { digit } => write!(f, "radix {digit}"),
        }
    }
}

/// What comes of rows with equal keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// They stay in the order they had.
    Stable,
    /// They come out in a secret random order: what else would show where rows came from.
    Random,
}

/// A sort with what it is expected to cost.
enum Way {
    Quicksort(Plan),
    Radix { digit: usize, cost: Cost },
}

/// Keys of more bits are no case for digits.
const RADIX_WIDTH_MAX: usize = 24;

fn way(profile: Profile, n: usize, width: usize, ties: Ties) -> Way {
    let quick = plan(profile, n, width);
    let time = profile.time_ns(quick.expected + shuffled_key(n, width, ties));
    let mut best = (time, Way::Quicksort(quick));
    if (1..=RADIX_WIDTH_MAX).contains(&width) {
        for digit in 1..=width.min(3) {
            let cost = cost_radix(n, width, digit, ties);
            if profile.time_ns(cost) < best.0 {
                best = (profile.time_ns(cost), Way::Radix { digit, cost });
            }
        }
    }
    best.1
}

/// The shuffle of key and row index, which for random ties was shuffled by itself before.
fn shuffled_key(n: usize, width: usize, ties: Ties) -> Cost {
    let index = ceil_log2(n);
    let both = cost_shuffle(n, width + index, 0);
    if ties == Ties::Random { both + cost_shuffle(n, index, 0) } else { both }
}

/// How a sort of n rows by a key of `width` bits runs.
#[must_use]
pub fn choice(profile: Profile, n: usize, width: usize) -> Choice {
    way(profile, n, width, Ties::Stable).choice()
}

impl Way {
    fn choice(&self) -> Choice {
        match self {
            Self::Quicksort(plan) => {
                Choice::Quicksort { pivots: plan.shape.pivots_at_once(usize::MAX) }
            }
            Self::Radix { digit, .. } => Choice::Radix { digit: *digit },
        }
    }
}

/// All of a sort of n rows by a key of `width` bits.
#[must_use]
pub fn cost_sort(profile: Profile, n: usize, width: usize) -> Cost {
    cost_whole(profile, n, width, Ties::Stable)
}

fn cost_whole(profile: Profile, n: usize, width: usize, ties: Ties) -> Cost {
    match way(profile, n, width, ties) {
        Way::Quicksort(plan) => shuffled_key(n, width, ties) + plan.expected,
        Way::Radix { cost, .. } => cost,
    }
}

/// The part of it that depends on opened comparisons.
#[must_use]
pub fn cost_sort_opened_expected(profile: Profile, n: usize, width: usize) -> Cost {
    match way(profile, n, width, Ties::Stable) {
        Way::Quicksort(plan) => plan.expected,
        Way::Radix { .. } => Cost::default(),
    }
}

/// All of [`top_k`].
#[must_use]
pub fn cost_top_k(profile: Profile, n: usize, width: usize, k: usize) -> Cost {
    let front = shuffled_key(n, width, Ties::Stable) + plan_front(profile, n, width, k).expected;
    let whole = cost_sort(profile, n, width);
    if profile.time_ns(front) < profile.time_ns(whole) { front } else { whole }
}

/// Stable ascending sort by `key` as unsigned numbers (bit width-1 most significant), by the
/// algorithm that the session's profile makes the fastest ([`choice`]); cost [`cost_sort`]; nothing
/// below two rows.
///
/// Reveals a uniformly random permutation, whatever the keys (a few of them, independent, where digits
/// are sorted one by one). The length of messages and the number of rounds of a quicksort depend on
/// that permutation too.
///
/// # Errors
/// Network; [`MpcError::Shape`] where what a peer opened is no order, and for 2^32 rows or more.
pub fn sort(s: &mut Session, key: &Planes) -> Result<SortOrder> {
    sort_front(s, key, key.len(), Ties::Stable)
}

/// [`sort`], and the key and other columns in its order. Where the algorithm leaves the sorted key behind
/// (a quicksort does) it costs nothing to have it; else it moves with the columns, 4k an element. Random
/// ties cost a shuffle of the row index.
///
/// # Errors
/// As [`sort`], and columns of another length.
pub fn sort_columns(
    s: &mut Session,
    key: Planes,
    mut columns: Vec<Column>,
    ties: Ties,
) -> Result<(SortOrder, Planes, Vec<Column>)> {
    let (rows, width) = (key.len(), key.width());
    if rows > 1
        && let way = way(s.profile(), rows, width, ties)
        && let Way::Quicksort(plan) = &way
    {
        s.chosen().note_sort(way.choice());
        let (order, sorted) = quicksort_with_key(s, key, plan, ties)?;
        let columns = order.apply(s, columns)?;
        return Ok((order, sorted, columns));
    }
    let order = sort_front(s, &key, rows, ties)?;
    columns.push(Column::Planes(key));
    let mut columns = order.apply(s, columns)?;
    match columns.pop() {
        Some(Column::Planes(key)) => Ok((order, key, columns)),
        _ => Err(MpcError::Shape("planes stay planes")),
    }
}

/// The first k rows of the same order: columns that the order moves come out with k rows (or with all,
/// if there are no more). Where k is small against n about n comparisons altogether, by a quickselect;
/// cost [`cost_top_k`].
///
/// Reveals which shuffled rows are the first k and their order, and of the others how they compare with
/// a few pivots: facts about the relative order of shuffled, distinct keys, as in [`sort`].
///
/// # Errors
/// As [`sort`].
pub fn top_k(s: &mut Session, key: &Planes, k: usize) -> Result<SortOrder> {
    first(s, key, k, Ties::Stable)
}

/// The first k rows as [`top_k`] has them, but rows with equal keys in a secret random order: which of them
/// are among the first, and in what order, tells nothing of where they were. A shuffle of the row index
/// more, 4 ceil(log2 n) bits a row.
///
/// # Errors
/// As [`sort`].
pub fn top_k_shuffled(s: &mut Session, key: &Planes, k: usize) -> Result<SortOrder> {
    first(s, key, k, Ties::Random)
}

fn first(s: &mut Session, key: &Planes, k: usize, ties: Ties) -> Result<SortOrder> {
    let (rows, width, profile) = (key.len(), key.width(), s.profile());
    if rows <= 1 || k >= rows {
        return sort_front(s, key, k, ties);
    }
    let front = plan_front(profile, rows, width, k);
    let time = profile.time_ns(shuffled_key(rows, width, ties) + front.expected);
    if time < profile.time_ns(cost_whole(profile, rows, width, ties)) {
        s.chosen().note_sort(Choice::Quickselect);
        return quicksort(s, key, &front, k, ties);
    }
    sort_front(s, key, k, ties)
}

/// A whole sort of which the first rows are kept.
fn sort_front(s: &mut Session, key: &Planes, kept: usize, ties: Ties) -> Result<SortOrder> {
    if key.is_ghost() && !s.is_dry() {
        return Err(MpcError::Shape("a ghost column in a real session"));
    }
    let rows = key.len();
    if rows <= 1 {
        let shuffle = Shuffle::draw(s, rows);
        return Ok(SortOrder::still(shuffle, kept.min(rows)));
    }
    let way = way(s.profile(), rows, key.width(), ties);
    s.chosen().note_sort(way.choice());
    let mut order = match way {
        Way::Quicksort(plan) => quicksort(s, key, &plan, rows, ties)?,
        Way::Radix { digit, .. } => radix(s, key, digit, ties)?,
    };
    order.keep(s, kept);
    Ok(order)
}
