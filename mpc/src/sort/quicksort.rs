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
use crate::bits::{chunk_rows, transpose64, words, write_planes};
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
    /// Places to compare, each with its pivot's: all with the first, or all pairs of few.
    fn list_pairs(self, pairs: &mut Vec<(u32, u32)>) {
        let pivots = if self.len() <= SMALL_SEGMENT { self.len() } else { 1 };
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        for pivot in self.from..self.from + pivots {
            pairs.extend((pivot + 1..self.to).map(|at| (place(at), place(pivot))));
        }
    }
}

/// Opens comparisons until the order is known; also what that cost by the segments' sizes.
fn open_order(s: &mut Session, key: Shuffled<Planes>) -> Result<(Vec<u32>, Cost)> {
    let Shuffled(key) = key;
    let (rows, width) = (key.len(), key.width());
    let mut arrangement = Arrangement::new(&key)?;
    drop(key);
    let mut segments = vec![Segment { from: 0, to: rows }];
    let mut recomputed = Cost::default();
    let mut pairs = Vec::with_capacity(rows);
    while !segments.is_empty() {
        pairs.clear();
        for segment in &segments {
            segment.list_pairs(&mut pairs);
        }
        let sizes = segments.iter().map(|segment| segment.comparisons()).sum();
        let (form, cost) = cost_level(s.profile(), sizes, width);
        recomputed += cost;
        let less = compare(s, form, &arrangement, &pairs)?;
        let mut next = Vec::new();
        let mut from = 0;
        for segment in segments {
            let bits = Verdicts { words: &less, from };
            from += segment.comparisons();
            if segment.len() <= SMALL_SEGMENT {
                place_by_rank(&mut arrangement.order[segment.from..segment.to], bits)?;
                continue;
            }
            let pivot = arrangement.split(segment, bits);
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
    Ok((arrangement.order, recomputed))
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

/// Puts few rows where their number of smaller ones says.
fn place_by_rank(rows: &mut [u32], bits: Verdicts<'_>) -> Result<()> {
    let mut ranks = [0; SMALL_SEGMENT];
    let mut i = 0;
    for low in 0..rows.len() {
        for high in low + 1..rows.len() {
            ranks[if bits.less(i) { low } else { high }] += 1;
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

/// Shuffled keys in the order found so far, row-major: for every 64 bits of the key one word of
/// each component. Rows move with their keys, so that a level reads them in sequence.
struct Arrangement {
    width: usize,
    groups: usize,
    /// Shuffled row at each place.
    order: Vec<u32>,
    /// `2 * groups` words a place.
    keys: Vec<u64>,
    spare_order: Vec<u32>,
    spare_keys: Vec<u64>,
}

impl Arrangement {
    fn new(key: &Planes) -> Result<Self> {
        let (len, width) = (key.len(), key.width());
        let Ok(count) = u32::try_from(len) else {
            return Err(MpcError::Shape("fewer than 2^32 rows"));
        };
        let groups = width.div_ceil(64);
        let mut keys = vec![0; words(len) * 64 * groups * 2];
        let (a, b) = key.components();
        for group in 0..groups {
            chunk_rows(a, len, width, group * 64, &mut keys, groups * 2, group);
            chunk_rows(b, len, width, group * 64, &mut keys, groups * 2, groups + group);
        }
        let order = (0..count).collect();
        Ok(Self { width, groups, order, keys, spare_order: Vec::new(), spare_keys: Vec::new() })
    }

    /// Rows less than the pivot (the first row), the pivot, the others. Returns the pivot's place.
    fn split(&mut self, segment: Segment, bits: Verdicts<'_>) -> usize {
        let stride = self.groups * 2;
        let keys_at = |place: usize| place * stride..(place + 1) * stride;
        self.spare_order.clear();
        self.spare_keys.clear();
        self.spare_order.push(self.order[segment.from]);
        self.spare_keys.extend_from_slice(&self.keys[keys_at(segment.from)]);
        let mut place = segment.from;
        for (i, at) in (segment.from + 1..segment.to).enumerate() {
            if bits.less(i) {
                self.order[place] = self.order[at];
                self.keys.copy_within(keys_at(at), place * stride);
                place += 1;
            } else {
                self.spare_order.push(self.order[at]);
                self.spare_keys.extend_from_slice(&self.keys[keys_at(at)]);
            }
        }
        self.order[place..segment.to].copy_from_slice(&self.spare_order);
        self.keys[place * stride..segment.to * stride].copy_from_slice(&self.spare_keys);
        place
    }

    /// Planes of one component of the rows in `pairs`, or of their pivots.
    fn planes(&self, own: bool, pivots: bool, pairs: &[(u32, u32)]) -> Vec<u64> {
        let pick = |pair: &(u32, u32)| if pivots { pair.1 } else { pair.0 };
        let words = words(pairs.len());
        let mut planes = vec![0; self.width * words];
        for group in 0..self.groups {
            let part = if own { group } else { self.groups + group };
            let word_of = |place: u32| self.keys[place as usize * self.groups * 2 + part];
            write_planes(&mut planes, words, self.width, group * 64, |word| {
                let pairs = &pairs[word * 64..pairs.len().min(word * 64 + 64)];
                let (first, last) = (pick(&pairs[0]), pick(&pairs[pairs.len() - 1]));
                if pivots && first == last {
                    // Pivots never go back from pair to pair: this is one for all 64.
                    let value = word_of(first);
                    return std::array::from_fn(|bit| 0_u64.wrapping_sub(value >> bit & 1));
                }
                let mut block = [0; 64];
                for (slot, pair) in block.iter_mut().zip(pairs) {
                    *slot = word_of(pick(pair));
                }
                transpose64(&mut block);
                block
            });
        }
        planes
    }
}

/// For every (place, pivot's place) whether the row is less than the pivot, opened.
fn compare(
    s: &mut Session,
    form: Circuit,
    arrangement: &Arrangement,
    pairs: &[(u32, u32)],
) -> Result<Vec<u64>> {
    let column = |pivots| {
        let own = arrangement.planes(true, pivots, pairs);
        let other = arrangement.planes(false, pivots, pairs);
        Planes::from_components(pairs.len(), arrangement.width, own, other)
    };
    let (x, y) = (column(false), column(true));
    let less = less_than_distinct(s, form, &x, y)?;
    open_words(s, &less)
}
