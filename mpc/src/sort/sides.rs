//! Both sides of the comparisons of one level: where their planes are.

use std::ops::Range;

use super::keys::Run;
use super::segment::Fill;
use crate::Planes;
use crate::bits::words;
use crate::shares::planes::Held;

/// Both sides of the comparisons of a level.
pub(super) struct Sides<'a> {
    pub(super) width: usize,
    pub(super) active: &'a Run,
    /// Rows of the active stream.
    pub(super) rows: usize,
    pub(super) fills: &'a [Fill],
    /// Words of one component of every fill's pivot, 64 planes after 64 planes.
    pub(super) pivots: [Vec<u64>; 2],
    /// Planes of the pairs: first and second rows, both components each.
    pub(super) pairs: [[Vec<u64>; 2]; 2],
    pub(super) pair_rows: usize,
}

impl Sides<'_> {
    /// Comparisons as they are paid for.
    pub(super) fn comparisons(&self) -> usize {
        self.active_words() * 64 + self.pair_rows
    }

    /// Planes of a key.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Words of a plane of active rows.
    pub(super) fn active_words(&self) -> usize {
        words(self.rows)
    }

    /// Some words of one plane of the active rows.
    pub(super) fn active_plane(&self, plane: usize, words: &Range<usize>) -> Held<'_> {
        let from = plane * self.active.words;
        let range = from + words.start..from + words.end;
        (&self.active.parts[0][range.clone()], &self.active.parts[1][range])
    }

    /// Some words of one plane of the first (0) or second (1) rows of the pairs.
    pub(super) fn pair_plane(&self, side: usize, plane: usize, range: &Range<usize>) -> Held<'_> {
        let from = plane * words(self.pair_rows);
        let range = from + range.start..from + range.end;
        (&self.pairs[side][0][range.clone()], &self.pairs[side][1][range])
    }

    /// Some words of one plane of every active row's pivot, one component.
    pub(super) fn fill_pivots(
        &self,
        part: usize,
        plane: usize,
        words: &Range<usize>,
        out: &mut [u64],
    ) {
        let (start, end) = (words.start * 64, self.rows.min(words.end * 64));
        let pivots = &self.pivots[part][plane / 64 * self.fills.len()..];
        let mut at = 0;
        for (fill, pivot) in self.fills.iter().zip(pivots) {
            let (from, to) = (at.max(start), (at + fill.len).min(end));
            at += fill.len;
            if from < to {
                let value = 0_u64.wrapping_sub(pivot >> (plane % 64) & 1);
                fill_bits(out, from - start, to - start, value);
            }
        }
    }

    /// Both sides as columns.
    pub(super) fn in_whole(&self) -> (Planes, Planes) {
        let (active, pairs) = (self.active_words(), words(self.pair_rows));
        let side = |number: usize| {
            let [a, b] = [0, 1].map(|part| {
                let mut out = vec![0; (active + pairs) * self.width];
                for (plane, out) in out.chunks_exact_mut((active + pairs).max(1)).enumerate() {
                    let (rows, rest) = out.split_at_mut(active);
                    if number == 0 {
                        let from = plane * self.active.words;
                        rows.copy_from_slice(&self.active.parts[part][from..from + active]);
                    } else {
                        self.fill_pivots(part, plane, &(0..active), rows);
                    }
                    let from = plane * pairs;
                    rest.copy_from_slice(&self.pairs[number][part][from..from + pairs]);
                }
                out
            });
            Planes::from_components(self.comparisons(), self.width, a, b)
        };
        (side(0), side(1))
    }

    /// The memory of the pairs.
    pub(super) fn into_spare(self) -> [[Vec<u64>; 2]; 2] {
        self.pairs
    }
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
