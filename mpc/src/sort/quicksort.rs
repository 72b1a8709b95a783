//! Sort by shuffle and quicksort with opened comparisons (Hamada, Kikuchi, Ikarashi, Chida,
//! Takahashi, ICISC 2012).
//!
//! The row index from before the shuffle is appended below the key: keys become distinct (equal keys
//! stay hidden) and the sort stable. Then a secret shuffle; after it the order of the keys is a
//! uniformly random one, and so is everything that comparisons show of it. All segments of a level
//! are compared with their pivots, the first row of each, in one batch.

use super::expected::{cost_level, cost_sort_opened_expected};
use super::order::SortOrder;
use super::shuffle::{Shuffle, Shuffled};
use crate::bits::{chunk_rows, transpose64, words};
use crate::cost::{Circuit, ceil_log2, cost_shuffle};
use crate::protocol::{less_than_distinct, open_words};
use crate::{Cost, MpcError, Planes, Result, Session};

/// Segments up to this length are finished by comparing all pairs at once.
pub(super) const SMALL_SEGMENT: usize = 5;

/// Stable ascending sort by `key` as unsigned numbers (bit width-1 most significant). About 1.4 n
/// log2 n comparisons of width + log2 n bits and 3.4 log2 n levels ([`super::cost_sort`]); nothing
/// below two rows.
///
/// Reveals the order of distinct keys in a secret random arrangement: a uniformly random
/// permutation, whatever the keys. Message lengths and rounds depend on that permutation too.
///
/// # Errors
/// Network.
pub fn sort(s: &mut Session, key: &Planes) -> Result<SortOrder> {
    let (rows, width) = (key.len(), key.width());
    if key.is_ghost() && !s.is_dry() {
        return Err(MpcError::Shape("a ghost column in a real session"));
    }
    let expected = cost_sort_opened_expected(s.profile(), rows, width);
    let shuffle = Shuffle::draw(s, rows);
    let index_bits = ceil_log2(rows);
    if s.is_dry() {
        s.charge(cost_shuffle(rows, width + index_bits, 0));
        s.charge(expected);
        s.note_sort(expected, Cost::default());
        return Ok(SortOrder::new(shuffle, Vec::new()));
    }
    if rows <= 1 {
        return Ok(SortOrder::new(shuffle, Vec::new()));
    }
    let distinct = Planes::row_index(s.party(), rows, index_bits).stack(key);
    let moved = shuffle.apply_key(s, distinct)?;
    let before = s.cost();
    let (public, recomputed) = open_order(s, moved)?;
    let party = s.party();
    let counted = s.cost();
    assert_eq!(
        (counted.rounds - before.rounds, counted.bytes[party] - before.bytes[party]),
        (recomputed.rounds, recomputed.bytes[party]),
        "a sort costs what its opened segments say"
    );
    s.note_sort(expected, recomputed);
    Ok(SortOrder::new(shuffle, public))
}

/// Rows `from..to` of the arrangement, which belong there in some order.
#[derive(Clone, Copy)]
struct Segment {
    from: usize,
    to: usize,
}

impl Segment {
    fn len(self) -> usize {
        self.to - self.from
    }
    fn comparisons(self) -> usize {
        match self.len() {
            n if n <= SMALL_SEGMENT => n * n.saturating_sub(1) / 2,
            n => n - 1,
        }
    }
}

/// Opens comparisons until the order is known; also what that cost by the segments' sizes.
fn open_order(s: &mut Session, key: Shuffled<Planes>) -> Result<(Vec<u32>, Cost)> {
    let Shuffled(key) = key;
    let (rows, width) = (key.len(), key.width());
    let keys = RowKeys::new(&key);
    drop(key);
    let Ok(count) = u32::try_from(rows) else {
        return Err(MpcError::Shape("fewer than 2^32 rows"));
    };
    let mut order: Vec<u32> = (0..count).collect();
    let mut segments = vec![Segment { from: 0, to: rows }];
    let mut recomputed = Cost::default();
    let mut scratch = Vec::with_capacity(rows);
    let mut pairs = Vec::with_capacity(rows);
    while !segments.is_empty() {
        pairs.clear();
        for segment in &segments {
            list_pairs(&order[segment.from..segment.to], &mut pairs);
        }
        let sizes: usize = segments.iter().map(|segment| segment.comparisons()).sum();
        let (form, cost) = cost_level(s.profile(), sizes, width);
        recomputed += cost;
        let less = compare(s, form, &keys, &pairs)?;
        let mut next = Vec::new();
        let mut from = 0;
        for segment in segments {
            let bits = Verdicts { words: &less, from };
            from += segment.comparisons();
            let rows = &mut order[segment.from..segment.to];
            if rows.len() <= SMALL_SEGMENT {
                place_by_rank(rows, bits)?;
                continue;
            }
            let pivot = segment.from + split(rows, bits, &mut scratch);
            for part in [
                Segment { from: segment.from, to: pivot },
                Segment { from: pivot + 1, to: segment.to },
            ] {
                if part.len() > 1 {
                    next.push(part);
                }
            }
        }
        segments = next;
    }
    Ok((order, recomputed))
}

/// The comparisons of one segment: every row with the first, or all pairs.
fn list_pairs(rows: &[u32], pairs: &mut Vec<(u32, u32)>) {
    let pivots = if rows.len() <= SMALL_SEGMENT { rows.len() } else { 1 };
    for (place, &pivot) in rows.iter().enumerate().take(pivots) {
        pairs.extend(rows[place + 1..].iter().map(|&row| (row, pivot)));
    }
}

/// Opened bits, read from one place on.
#[derive(Clone, Copy)]
struct Verdicts<'a> {
    words: &'a [u64],
    from: usize,
}

impl Verdicts<'_> {
    /// Whether the row of comparison i is less than its pivot.
    fn less(self, i: usize) -> bool {
        let at = self.from + i;
        self.words[at / 64] >> (at % 64) & 1 == 1
    }
}

/// Rows less than the pivot (the first row), the pivot, the others. Returns the pivot's place.
fn split(rows: &mut [u32], bits: Verdicts<'_>, scratch: &mut Vec<u32>) -> usize {
    scratch.clear();
    let pivot = rows[0];
    let mut place = 0;
    for i in 1..rows.len() {
        let row = rows[i];
        if bits.less(i - 1) {
            rows[place] = row;
            place += 1;
        } else {
            scratch.push(row);
        }
    }
    rows[place] = pivot;
    rows[place + 1..].copy_from_slice(scratch);
    place
}

/// Puts few rows where their number of smaller ones says.
fn place_by_rank(rows: &mut [u32], bits: Verdicts<'_>) -> Result<()> {
    let mut ranks = [0; SMALL_SEGMENT];
    let mut i = 0;
    for low in 0..rows.len() {
        for high in low + 1..rows.len() {
            let smaller = bits.less(i);
            ranks[if smaller { low } else { high }] += 1;
            i += 1;
        }
    }
    let mut placed = [None; SMALL_SEGMENT];
    for (&row, &rank) in rows.iter().zip(&ranks) {
        placed[rank] = Some(row);
    }
    for (slot, row) in rows.iter_mut().zip(placed) {
        *slot = row.ok_or(MpcError::Shape("opened comparisons are no order"))?;
    }
    Ok(())
}

/// Shuffled keys row by row, so that a comparison fetches few cache lines: for every 64 bits of the
/// key one word of each component.
struct RowKeys {
    width: usize,
    groups: usize,
    rows: Vec<u64>,
}

impl RowKeys {
    fn new(key: &Planes) -> Self {
        let (len, width) = (key.len(), key.width());
        let groups = width.div_ceil(64);
        let mut rows = vec![0; words(len) * 64 * groups * 2];
        let (a, b) = key.components();
        for group in 0..groups {
            chunk_rows(a, len, width, group * 64, &mut rows, groups * 2, group);
            chunk_rows(b, len, width, group * 64, &mut rows, groups * 2, groups + group);
        }
        Self { width, groups, rows }
    }

    fn word(&self, row: u32, part: usize) -> u64 {
        self.rows[row as usize * self.groups * 2 + part]
    }

    /// Planes of one component of the rows picked from `pairs`.
    fn planes(
        &self,
        own: bool,
        pairs: &[(u32, u32)],
        pick: impl Fn(&(u32, u32)) -> u32,
    ) -> Vec<u64> {
        let words = words(pairs.len());
        let mut planes = vec![0; self.width * words];
        for group in 0..self.groups {
            let part = if own { group } else { self.groups + group };
            for (word, block_pairs) in pairs.chunks(64).enumerate() {
                let mut block = [0; 64];
                let first = pick(&block_pairs[0]);
                if block_pairs.iter().all(|pair| pick(pair) == first) {
                    // One row for the whole block, as pivots of long segments are: no transpose.
                    let value = self.word(first, part);
                    for (bit, slot) in block.iter_mut().enumerate() {
                        *slot = 0_u64.wrapping_sub(value >> bit & 1);
                    }
                } else {
                    for (slot, pair) in block.iter_mut().zip(block_pairs) {
                        *slot = self.word(pick(pair), part);
                    }
                    transpose64(&mut block);
                }
                for (plane, value) in (group * 64..self.width).zip(block) {
                    planes[plane * words + word] = value;
                }
            }
        }
        planes
    }
}

/// For every (row, pivot) whether row < pivot, opened.
fn compare(
    s: &mut Session,
    form: Circuit,
    keys: &RowKeys,
    pairs: &[(u32, u32)],
) -> Result<Vec<u64>> {
    let column = |pick: fn(&(u32, u32)) -> u32| {
        let (a, b) = (keys.planes(true, pairs, pick), keys.planes(false, pairs, pick));
        Planes::from_components(pairs.len(), keys.width, a, b)
    };
    let (x, y) = (column(|pair| pair.0), column(|pair| pair.1));
    let less = less_than_distinct(s, form, &x, y)?;
    open_words(s, &less)
}
