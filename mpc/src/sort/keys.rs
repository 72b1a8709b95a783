//! The secret side of the quicksort: shuffled keys that follow the public moves.
//!
//! Keys of long segments stay in planes in the order found so far: a pivot is *filled* over the range
//! of its segment, plane by plane as they are compared, and a segment is split by packing the bits of every plane by a mask. Nothing is
//! picked row by row and nothing transposed. Pivots and short segments are kept row by row.

use super::moves::{Lengths, Move, Stream, hands_over};
use super::segment::Level;
use super::segments::Segments;
use super::sides::Sides;
use crate::Planes;
use crate::bits::{row_bytes, words, write_rows};
use crate::kernel::{TILE_WORDS, Tile, TileRows, compress, tile_of_rows};

/// Both components of the keys of a run of rows, in planes.
pub(super) struct Run {
    /// Words from plane to plane.
    pub(super) words: usize,
    pub(super) parts: [Vec<u64>; 2],
}

impl Run {
    const EMPTY: Self = Self { words: 0, parts: [Vec::new(), Vec::new()] };
}

/// Shuffled, distinct keys.
pub(super) struct Keys {
    width: usize,
    active: Run,
    waiting: Run,
    waiting_rows: usize,
    kept: Kept,
    /// Memory of both sides of the pairs that one level leaves to the next: fresh memory costs more than
    /// what is done with it.
    spare: [[Vec<u64>; 2]; 2],
    /// Threads for what is local; two are of use.
    threads: usize,
}

/// Words of planes that are worth a thread.
const WORDS_A_THREAD: usize = 1 << 16;

/// Makes a vector shorter; where that is by a good part its memory goes back.
fn shorten(buffer: &mut Vec<u64>, words: usize) {
    buffer.truncate(words);
    if buffer.capacity() / 8 * 7 > words {
        buffer.shrink_to(words);
    }
}

/// A vector of so many words of anything, in the memory of another if it is large enough and not much
/// larger.
fn reuse(mut buffer: Vec<u64>, words: usize) -> Vec<u64> {
    if buffer.capacity() < words {
        drop(buffer);
        return vec![0; words];
    }
    if buffer.capacity() / 2 > words {
        buffer.truncate(words);
        buffer.shrink_to(words);
    }
    buffer.resize(words, 0);
    buffer
}

/// Keys row by row, as many bytes as they need: one component, then the other.
struct Kept {
    /// Bytes of one component of a row.
    bytes: usize,
    rows: usize,
    /// Behind the last row there are [`Kept::BEHIND`] bytes of anything.
    data: Vec<u8>,
}

impl Kept {
    /// A word may be read from the last byte of a row on.
    const BEHIND: usize = 8;

    fn new(width: usize, rows: usize) -> Self {
        let bytes = row_bytes(width);
        let mut data = Vec::with_capacity(rows * 2 * bytes + Self::BEHIND);
        data.resize(Self::BEHIND, 0);
        Self { bytes, rows: 0, data }
    }

    /// Groups of 64 bits.
    fn groups(&self) -> usize {
        self.bytes.div_ceil(8)
    }

    /// Bits `64 * group ..` of one component of a row; those beyond the key are anything.
    fn word(&self, row: u32, part: usize, group: usize) -> u64 {
        let at = (row as usize * 2 + part) * self.bytes + 8 * group;
        let mut word = [0; 8];
        word.copy_from_slice(&self.data[at..at + 8]);
        u64::from_le_bytes(word)
    }

    fn append(&mut self, run: &Run, rows: usize, width: usize) {
        let (stride, start) = (2 * self.bytes, self.rows * 2 * self.bytes);
        self.data.resize(start + rows * stride + Self::BEHIND, 0);
        for (part, planes) in run.parts.iter().enumerate() {
            write_rows(rows, width, planes, &mut self.data[start..], stride, part * self.bytes);
        }
        self.rows += rows;
    }
}

impl Keys {
    /// Shuffled planes; `rows` bits beyond the last row may be anything.
    pub(super) fn new(key: Planes, threads: usize) -> Self {
        let (width, words) = (key.width(), key.words());
        let (a, b) = key.into_components();
        let kept = Kept::new(width, words * 64);
        let active = Run { words, parts: [a, b] };
        Self {
            width,
            active,
            waiting: Run::EMPTY,
            waiting_rows: 0,
            kept,
            spare: Default::default(),
            threads,
        }
    }

    /// Follows the moves. `less` are the opened bits of the active rows.
    pub(super) fn follow(&mut self, moves: &[Move], lengths: Lengths, less: &[u64]) {
        let width = self.width;
        if hands_over(moves, lengths, std::mem::replace(&mut self.waiting_rows, lengths.waiting)) {
            self.active = std::mem::replace(&mut self.waiting, Run::EMPTY);
            return;
        }
        let (mut all_masks, mut masks) = (Vec::new(), Vec::new());
        for Move { range, .. } in moves {
            range.masks(less, &mut masks);
            all_masks.extend_from_slice(&masks);
        }
        let strides = Strides {
            width,
            before: [self.active.words, self.waiting.words],
            after: [words(lengths.active), words(lengths.waiting)],
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

    /// The two sides of every comparison of a level. Their memory is to be given back.
    pub(super) fn sides<'a>(&'a mut self, segments: &Segments, level: &'a Level) -> Sides<'a> {
        let stride = words(level.pairs);
        let mut pairs = std::mem::take(&mut self.spare)
            .map(|side| side.map(|part| reuse(part, stride * self.width)));
        let mut first = 0;
        segments.pairs(level, |rows| {
            for (side, planes) in pairs.iter_mut().enumerate() {
                let row = |pair: &(u32, u32)| if side == 0 { pair.0 } else { pair.1 };
                self.pick(rows.iter().map(row), first, stride, planes);
            }
            first += words(rows.len());
        });
        let pivots = [0, 1].map(|part| {
            let group = |group| level.fills.iter().map(move |fill| (fill.pivot, group));
            let places = (0..self.kept.groups()).flat_map(group);
            places.map(|(pivot, group)| self.kept.word(pivot, part, group)).collect()
        });
        Sides {
            width: self.width,
            active: &self.active,
            rows: level.active,
            fills: &level.fills,
            pivots,
            pairs,
            pair_rows: level.pairs,
        }
    }

    /// Words of planes.
    pub(super) fn plane_words(&self) -> usize {
        (self.active.words + self.waiting.words) * self.width
    }

    /// Takes back what `sides` lent.
    pub(super) fn give_back(&mut self, spare: [[Vec<u64>; 2]; 2]) {
        self.spare = spare;
    }

    /// Planes of kept rows, up to a tile of them, from word `first` of each plane on.
    fn pick(
        &self,
        rows: impl ExactSizeIterator<Item = u32> + Clone,
        first: usize,
        stride: usize,
        out: &mut [Vec<u64>; 2],
    ) {
        let mut parts: [TileRows; 2] = [[[0; 64]; TILE_WORDS]; 2];
        let mut tile: Tile = [[0; TILE_WORDS]; 64];
        let (count, used) = (rows.len(), words(rows.len()));
        for group in 0..self.kept.groups() {
            let [a, b] = parts.each_mut().map(|part| part.as_flattened_mut());
            for ((a, b), row) in a.iter_mut().zip(b.iter_mut()).zip(rows.clone()) {
                *a = self.kept.word(row, 0, group);
                *b = self.kept.word(row, 1, group);
            }
            a[count..].fill(0);
            b[count..].fill(0);
            for (part, out) in parts.iter().zip(out.iter_mut()) {
                tile_of_rows(part, &mut tile);
                let planes = group * 64..self.width.min(group * 64 + 64);
                for (plane, line) in planes.zip(&tile) {
                    let at = plane * stride + first;
                    out[at..at + used].copy_from_slice(&line[..used]);
                }
            }
        }
    }

    /// Planes from `first` on of the rows of `order`, kept rows all of them. Frees everything else first.
    pub(super) fn into_sorted(self, order: &[u32], first: usize) -> Planes {
        let Self { width, kept, active, waiting, spare, .. } = self;
        drop((active, waiting, spare));
        let stride = words(order.len());
        let (mut rows, mut tile): (TileRows, Tile) = ([[0; 64]; TILE_WORDS], [[0; TILE_WORDS]; 64]);
        let [a, b] = [0, 1].map(|part| {
            let mut out = vec![0; stride * (width - first)];
            for group in first / 64..kept.groups() {
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
}

/// How the planes of one component lie before and behind a step: active, then waiting rows.
struct Strides {
    width: usize,
    /// Words from plane to plane before.
    before: [usize; 2],
    /// The same afterwards.
    after: [usize; 2],
    /// Words of a plane of leaving rows.
    leaving: usize,
}

impl Strides {
    /// Moves the rows of one component, plane by plane in the memory that they have if they do not need
    /// more. Returns the planes of the leaving rows.
    fn pack(&self, own: [&mut Vec<u64>; 2], moves: &[Move], masks: &[u64]) -> Vec<u64> {
        let [active, waiting] = own;
        let mut leaving = vec![0; self.leaving * self.width];
        let mut planes = self.after.map(|words| vec![0; words]);
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
                target[first..first + self.after[i]].copy_from_slice(plane_of);
            }
        }
        for (i, target) in [active, waiting].into_iter().enumerate() {
            match grown[i].take() {
                Some(grown) => *target = grown,
                None => shorten(target, self.after[i] * self.width),
            }
        }
        leaving
    }
}

/// Words that hold bits `from..to`.
const fn words_of(from: usize, to: usize) -> usize {
    if from >= to { 0 } else { (to - 1) / 64 - from / 64 + 1 }
}
