//! The secret side of the quicksort: shuffled keys that follow the public moves.
//!
//! Keys of long segments stay in planes in the order found so far: a pivot is *filled* over the range
//! of its segment, and a segment is split by packing the bits of every plane by a mask. Nothing is
//! picked row by row and nothing transposed. Pivots and short segments are kept row by row.

use super::moves::{Lengths, Move, Stream};
use super::segment::Level;
use crate::Planes;
use crate::bits::{chunk_rows, words};
use crate::kernel::{TILE_WORDS, Tile, TileRows, compress, tile_of_rows};

/// Both components of the keys of a run of rows, in planes.
struct Run {
    /// Words from plane to plane; there may be more than the rows take.
    words: usize,
    parts: [Vec<u64>; 2],
}

impl Run {
    const EMPTY: Self = Self { words: 0, parts: [Vec::new(), Vec::new()] };
}

/// Shuffled, distinct keys.
pub(super) struct Keys {
    width: usize,
    /// Behind the active rows there is room for the pairs of the level.
    active: Run,
    waiting: Run,
    kept: Kept,
    /// Memory of the pivots that one level leaves to the next: fresh memory costs more than what is done
    /// with it.
    spare: [Vec<u64>; 2],
    /// Threads for what is local; two are of use.
    threads: usize,
}

/// Words of planes that are worth a thread.
const WORDS_A_THREAD: usize = 1 << 16;

/// Makes a vector so long; memory that was four times too much goes back.
fn resize(buffer: &mut Vec<u64>, words: usize) {
    if buffer.capacity() / 4 > words {
        buffer.truncate(words);
        buffer.shrink_to(words);
    }
    buffer.resize(words, 0);
}

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
        let active = Run { words, parts: [a, b] };
        Self { width, active, waiting: Run::EMPTY, kept, spare: [Vec::new(), Vec::new()], threads }
    }

    /// Follows the moves, to where `level` wants the rows. `less` are the opened bits of the active rows.
    pub(super) fn follow(&mut self, moves: &[Move], lengths: Lengths, less: &[u64], level: &Level) {
        let width = self.width;
        let (mut all_masks, mut masks) = (Vec::new(), Vec::new());
        for Move { range, .. } in moves {
            range.masks(less, &mut masks);
            all_masks.extend_from_slice(&masks);
        }
        let strides = Strides {
            width,
            before: [self.active.words, self.waiting.words],
            after: [words(level.comparisons()), words(lengths.waiting)],
            used: [words(lengths.active), words(lengths.waiting)],
            leaving: words(lengths.leaving),
        };
        let Self { active, waiting, .. } = self;
        let [active_a, active_b] = &mut active.parts;
        let [waiting_a, waiting_b] = &mut waiting.parts;
        let (masks, strides) = (&all_masks[..], &strides);
        let pack = |own: [&mut Vec<u64>; 2]| strides.pack(own, moves, masks);
        let parts = if self.threads > 1 && masks.len() * width >= WORDS_A_THREAD {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| pack([active_b, waiting_b]));
                let own = pack([active_a, waiting_a]);
                [own, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
            })
        } else {
            [pack([active_a, waiting_a]), pack([active_b, waiting_b])]
        };
        (self.active.words, self.waiting.words) = (strides.after[0], strides.after[1]);
        let leaving = Run { words: strides.leaving, parts };
        self.kept.append(&leaving, lengths.leaving, width);
    }

    /// The two sides of every comparison of a level, to be given back.
    pub(super) fn operands(&mut self, level: &Level) -> (Planes, Planes) {
        let total = level.comparisons();
        let mut xs = std::mem::take(&mut self.active.parts);
        let mut ys = std::mem::take(&mut self.spare);
        for y in &mut ys {
            resize(y, words(total) * self.width);
        }
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
        self.spare = [a, b];
    }

    /// Planes from `first` on of the rows of `order`, kept rows all of them. Frees everything else first.
    pub(super) fn into_sorted(self, order: &[u32], first: usize) -> Planes {
        let Self { width, kept, active, waiting, spare, .. } = self;
        drop((active, waiting, spare));
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

/// How the planes of one component lie before and behind a step: active, then waiting rows.
struct Strides {
    width: usize,
    /// Words from plane to plane before.
    before: [usize; 2],
    /// The same afterwards.
    after: [usize; 2],
    /// Words of a plane that rows take afterwards.
    used: [usize; 2],
    /// Words of a plane of leaving rows.
    leaving: usize,
}

impl Strides {
    /// Moves the rows of one component, plane by plane in the memory that they have if they do not need
    /// more. Returns the planes of the leaving rows.
    fn pack(&self, own: [&mut Vec<u64>; 2], moves: &[Move], masks: &[u64]) -> Vec<u64> {
        let [active, waiting] = own;
        let mut leaving = vec![0; self.leaving * self.width];
        let mut planes = self.used.map(|words| vec![0; words]);
        let fresh = |i: usize| {
            let grows = self.after[i] > self.before[i];
            grows.then(|| vec![0; self.after[i] * self.width])
        };
        let mut grown = [fresh(0), fresh(1)];
        for plane in 0..self.width {
            let leaving = &mut leaving[plane * self.leaving..(plane + 1) * self.leaving];
            let mut rest = masks;
            for Move { range, target, at } in moves {
                let (own, others) = rest.split_at(words_of(range.from, range.to));
                rest = others;
                let (source, stride) = match range.source {
                    Stream::Active => (&active[..], self.before[0]),
                    _ => (&waiting[..], self.before[1]),
                };
                let from = plane * stride + range.from / 64;
                let source = &source[from..from + own.len()];
                let target = match target {
                    Stream::Active => &mut planes[0][..],
                    Stream::Waiting => &mut planes[1][..],
                    Stream::Leaving => &mut leaving[..],
                };
                compress(source, own, target, *at);
            }
            let targets = [&mut *active, &mut *waiting];
            for (i, (target, plane_of)) in targets.into_iter().zip(&planes).enumerate() {
                let target = grown[i].as_mut().unwrap_or(target);
                let first = plane * self.after[i];
                target[first..first + self.used[i]].copy_from_slice(plane_of);
            }
        }
        for (i, target) in [active, waiting].into_iter().enumerate() {
            match grown[i].take() {
                Some(grown) => *target = grown,
                None => resize(target, self.after[i] * self.width),
            }
        }
        leaving
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
