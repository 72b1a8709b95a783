//! The secret side of the quicksort: shuffled keys that follow the public moves.
//!
//! Keys of long segments stay in planes in the order found so far: a pivot is *filled* over the range
//! of its segment, and a segment is split by packing the bits of every plane by a mask. Nothing is
//! picked row by row and nothing transposed. Pivots and short segments are kept row by row.

use std::ops::Range;

use super::moves::{Lengths, Move, Stream};
use super::segment::Level;
use crate::Planes;
use crate::bits::{chunk_rows, words};
use crate::kernel::{TILE_WORDS, Tile, TileRows, compress, tile_of_rows};

/// Both components of the keys of a run of rows, in planes.
#[derive(Default)]
struct Run {
    /// Words from plane to plane; there may be more than the rows take.
    words: usize,
    parts: [Vec<u64>; 2],
}

/// Buffers that one level leaves to the next: fresh memory costs more than what is done with it.
#[derive(Default)]
struct Pool(Vec<Vec<u64>>);

impl Pool {
    /// So many words of anything.
    fn take(&mut self, words: usize) -> Vec<u64> {
        let mut buffer = self.0.pop().unwrap_or_default();
        if buffer.capacity() > 4 * words {
            buffer = Vec::new();
        }
        buffer.resize(words, 0);
        buffer
    }

    fn run(&mut self, words: usize, width: usize) -> Run {
        Run { words, parts: [(); 2].map(|()| self.take(words * width)) }
    }

    fn give(&mut self, run: Run) {
        self.0.extend(run.parts);
    }
}

/// Shuffled, distinct keys.
pub(super) struct Keys {
    width: usize,
    /// Behind the active rows there is room for the pairs of the level.
    active: Run,
    waiting: Run,
    kept: Kept,
    pool: Pool,
    /// Threads for what is local.
    threads: usize,
}

/// Words of planes that are worth a thread.
const WORDS_A_THREAD: usize = 1 << 16;

/// Keys row by row: for every 64 bits of the key one word of each component.
struct Kept {
    groups: usize,
    rows: usize,
    words: Vec<u64>,
}

impl Kept {
    /// Bits `64 * group ..` of one component of a row.
    fn word(&self, row: u32, part: usize, group: usize) -> u64 {
        self.words[(row as usize * 2 + part) * self.groups + group]
    }

    fn append(&mut self, run: &Run, rows: usize, width: usize) {
        let (stride, start) = (2 * self.groups, self.rows * 2 * self.groups);
        self.words.resize(start + run.words * 64 * stride, 0);
        for (part, planes) in run.parts.iter().enumerate() {
            for group in 0..self.groups {
                let rows_of = &mut self.words[start..];
                let offset = part * self.groups + group;
                chunk_rows(planes, rows, width, group * 64, rows_of, stride, offset);
            }
        }
        self.rows += rows;
        self.words.truncate(self.rows * stride);
    }
}

impl Keys {
    /// Shuffled planes; `rows` bits beyond the last row may be anything.
    pub(super) fn new(key: Planes, threads: usize) -> Self {
        let (width, words) = (key.width(), key.words());
        let (a, b) = key.into_components();
        let groups = width.div_ceil(64);
        let room = Vec::with_capacity((words + 1) * 64 * 2 * groups);
        let kept = Kept { groups, rows: 0, words: room };
        let pool = Pool::default();
        Self {
            width,
            active: Run { words, parts: [a, b] },
            waiting: Run::default(),
            kept,
            pool,
            threads,
        }
    }

    /// Follows the moves, to where `level` wants the rows. `less` are the opened bits of the active rows.
    pub(super) fn follow(&mut self, moves: &[Move], lengths: Lengths, less: &[u64], level: &Level) {
        let width = self.width;
        let (mut all_masks, mut masks) = (Vec::new(), Vec::new());
        for Move { range, .. } in moves {
            range.masks(less, &mut masks);
            all_masks.extend_from_slice(&masks);
        }
        let mut active = self.pool.run(words(level.comparisons()), width);
        let mut waiting = self.pool.run(words(lengths.waiting), width);
        let mut leaving = self.pool.run(words(lengths.leaving), width);
        let threads = if all_masks.len() * width < WORDS_A_THREAD { 1 } else { self.threads };
        let planes = width.div_ceil(threads).max(1);
        let own = &*self;
        let runs = [&mut active, &mut waiting, &mut leaving];
        let halves = runs.map(|run| {
            let [a, b] = &mut run.parts;
            [(run.words, &mut a[..]), (run.words, &mut b[..])]
        });
        let [[active_a, active_b], [waiting_a, waiting_b], [leaving_a, leaving_b]] = halves;
        std::thread::scope(|scope| {
            let parts = [[active_a, waiting_a, leaving_a], [active_b, waiting_b, leaving_b]];
            for (part, mut rest) in parts.into_iter().enumerate() {
                for first in (0..width).step_by(planes) {
                    let count = planes.min(width - first);
                    let targets = rest.each_mut().map(|(words, rest)| {
                        let (now, later) = std::mem::take(rest).split_at_mut(count * *words);
                        *rest = later;
                        (*words, now)
                    });
                    let masks = &all_masks[..];
                    let range = first..first + count;
                    if threads == 1 {
                        own.pack(part, range, moves, masks, targets);
                    } else {
                        scope.spawn(move || own.pack(part, range, moves, masks, targets));
                    }
                }
            }
        });
        self.pool.give(std::mem::replace(&mut self.active, active));
        self.pool.give(std::mem::replace(&mut self.waiting, waiting));
        self.kept.append(&leaving, lengths.leaving, width);
        self.pool.give(leaving);
    }

    /// Moves some planes of one component to the active, waiting and leaving rows.
    fn pack(
        &self,
        part: usize,
        planes: Range<usize>,
        moves: &[Move],
        masks: &[u64],
        mut targets: [(usize, &mut [u64]); 3],
    ) {
        for (i, plane) in planes.enumerate() {
            let mut rest = masks;
            for Move { range, target, at } in moves {
                let first = range.from / 64;
                let (own, others) = rest.split_at(words_of(range.from, range.to));
                rest = others;
                let source = match range.source {
                    Stream::Active => &self.active,
                    _ => &self.waiting,
                };
                let from = plane * source.words + first;
                let source = &source.parts[part][from..from + own.len()];
                let (words, target) = match target {
                    Stream::Active => &mut targets[0],
                    Stream::Waiting => &mut targets[1],
                    Stream::Leaving => &mut targets[2],
                };
                compress(source, own, &mut target[i * *words..(i + 1) * *words], *at);
            }
        }
    }

    /// The two sides of every comparison of a level, to be given back.
    pub(super) fn operands(&mut self, level: &Level) -> (Planes, Planes) {
        let total = level.comparisons();
        let mut xs = std::mem::take(&mut self.active.parts);
        let mut ys = self.pool.run(words(total), self.width).parts;
        for (part, (x, y)) in xs.iter_mut().zip(&mut ys).enumerate() {
            self.fill_pivots(level, part, words(total), y);
            self.pick_pairs(level, part, words(total), x, y);
        }
        let planes = |[a, b]: [Vec<u64>; 2]| Planes::from_components(total, self.width, a, b);
        (planes(xs), planes(ys))
    }

    /// Takes back both sides, the first of which holds the active rows.
    pub(super) fn give_back(&mut self, x: Planes, y: Planes) {
        let (a, b) = x.into_components();
        self.active.parts = [a, b];
        let (a, b) = y.into_components();
        self.pool.0.extend([a, b]);
    }

    /// Planes from `first` on of the rows of `order`, kept rows all of them. Frees everything else first.
    pub(super) fn into_sorted(self, order: &[u32], first: usize) -> Planes {
        let Self { width, kept, active, waiting, pool, .. } = self;
        drop((active, waiting, pool));
        let stride = words(order.len());
        let (mut rows, mut tile): (TileRows, Tile) = ([[0; 64]; TILE_WORDS], [[0; TILE_WORDS]; 64]);
        let [a, b] = [0, 1].map(|part| {
            let mut out = vec![0; stride * (width - first)];
            for group in first / 64..kept.groups {
                let planes = first.max(group * 64)..width.min(group * 64 + 64);
                for (number, order) in order.chunks(64 * TILE_WORDS).enumerate() {
                    for (slot, &row) in rows.as_flattened_mut().iter_mut().zip(order) {
                        *slot = kept.word(row, part, group);
                    }
                    rows.as_flattened_mut()[order.len()..].fill(0);
                    tile_of_rows(&rows, &mut tile);
                    let used = words(order.len());
                    for plane in planes.clone() {
                        let at = (plane - first) * stride + number * TILE_WORDS;
                        out[at..at + used].copy_from_slice(&tile[plane % 64][..used]);
                    }
                }
            }
            out
        });
        Planes::from_components(order.len(), width - first, a, b)
    }

    /// Every active row's pivot.
    fn fill_pivots(&self, level: &Level, part: usize, stride: usize, y: &mut [u64]) {
        let mut pivots = Vec::with_capacity(level.fills.len());
        for plane in 0..self.width {
            let (group, bit) = (plane / 64, plane % 64);
            if bit == 0 {
                pivots.clear();
                let words = level.fills.iter();
                pivots.extend(words.map(|fill| self.kept.word(fill.pivot, part, group)));
            }
            let target = &mut y[plane * stride..(plane + 1) * stride];
            let mut from = 0;
            for (fill, pivot) in level.fills.iter().zip(&pivots) {
                let value = 0_u64.wrapping_sub(pivot >> bit & 1);
                fill_bits(target, from, from + fill.len, value);
                from += fill.len;
            }
        }
    }

    /// The pairs of kept rows, behind the words of the active ones.
    fn pick_pairs(&self, level: &Level, part: usize, stride: usize, x: &mut [u64], y: &mut [u64]) {
        let (mut xs, mut ys): (TileRows, TileRows) = ([[0; 64]; TILE_WORDS], [[0; 64]; TILE_WORDS]);
        let mut tile: Tile = [[0; TILE_WORDS]; 64];
        for (number, pairs) in level.pairs.chunks(64 * TILE_WORDS).enumerate() {
            let first = words(level.active) + number * TILE_WORDS;
            let used = words(pairs.len());
            for group in 0..self.kept.groups {
                let slots = xs.as_flattened_mut().iter_mut().zip(ys.as_flattened_mut());
                for ((x, y), &(row, pivot)) in slots.zip(pairs) {
                    *y = self.kept.word(pivot, part, group);
                    *x = self.kept.word(row, part, group);
                }
                xs.as_flattened_mut()[pairs.len()..].fill(0);
                ys.as_flattened_mut()[pairs.len()..].fill(0);
                for (rows, out) in [(&xs, &mut *x), (&ys, &mut *y)] {
                    tile_of_rows(rows, &mut tile);
                    let planes = group * 64..self.width.min(group * 64 + 64);
                    for (plane, line) in planes.zip(&tile) {
                        let at = plane * stride + first;
                        out[at..at + used].copy_from_slice(&line[..used]);
                    }
                }
            }
        }
    }
}

/// Words that hold bits `from..to`.
const fn words_of(from: usize, to: usize) -> usize {
    if from >= to { 0 } else { (to - 1) / 64 - from / 64 + 1 }
}

/// Writes `value` (zeros or ones) to bits `from..to`, behind bits that stand already; what follows in the
/// last word becomes zero.
fn fill_bits(target: &mut [u64], from: usize, to: usize, value: u64) {
    if from >= to {
        return;
    }
    let (first, last) = (from / 64, (to - 1) / 64);
    let high = crate::bits::tail_mask(to);
    let below = if from.is_multiple_of(64) { 0 } else { target[first] };
    let start = below | (value << (from % 64));
    if first == last {
        target[first] = start & high;
        return;
    }
    target[first] = start;
    target[first + 1..last].fill(value);
    target[last] = value & high;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_follow_each_other() {
        let lengths = [1, 62, 1, 64, 5, 130, 59, 200, 3];
        let mut target = vec![u64::MAX; 9];
        let (mut from, mut expected) = (0, Vec::new());
        for (i, length) in lengths.into_iter().enumerate() {
            let set = i % 2 == 0;
            fill_bits(&mut target, from, from + length, 0_u64.wrapping_sub(u64::from(set)));
            from += length;
            expected.resize(from, set);
        }
        expected.resize(target.len() * 64, false);
        let bit = |i: usize| target[i / 64] >> (i % 64) & 1 == 1;
        assert!(
            expected
                .into_iter()
                .enumerate()
                .take(from.next_multiple_of(64))
                .all(|(i, e)| bit(i) == e)
        );
    }
}
