//! How rows go from one level of the quicksort to the next: public ranges and masks.

use crate::bits::tail_mask;
use crate::kernel::TILE_WORDS;

/// Where a moved row comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Rows compared with a pivot in the next level.
    Active,
    /// Rows whose pivots are ranked in the next level.
    Waiting,
    /// Rows that join the kept ones; never a source.
    Leaving,
}

/// Which rows of a range move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Less than the pivot.
    Less,
    /// Not less than the pivot.
    NotLess,
    /// All.
    All,
}

/// Rows of a stream that stay in order among each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// Active or waiting.
    pub(super) source: Stream,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) which: Which,
}

impl Range {
    /// The selected rows as bits of the source's words from `self.from / 64` on. `less` are the opened
    /// bits of the active stream.
    pub(super) fn masks(&self, less: &[u64], out: &mut Vec<u64>) {
        out.clear();
        if self.from >= self.to {
            return;
        }
        let (first, last) = (self.from / 64, (self.to - 1) / 64);
        match self.which {
            Which::All => out.resize(last - first + 1, u64::MAX),
            Which::Less => out.extend_from_slice(&less[first..=last]),
            Which::NotLess => out.extend(less[first..=last].iter().map(|word| !word)),
        }
        out[0] &= u64::MAX << (self.from % 64);
        out[last - first] &= tail_mask(self.to);
    }

    /// Row `nth` of the selected ones, counted from 0; the end of the range where there are not so many.
    pub(super) fn nth(&self, less: &[u64], nth: usize) -> usize {
        if self.which == Which::All {
            return self.to.min(self.from + nth);
        }
        let mut masks = Vec::new();
        self.masks(less, &mut masks);
        let mut rest = nth;
        for (word, &mask) in masks.iter().enumerate() {
            let ones = mask.count_ones() as usize;
            if rest < ones {
                let mut mask = mask;
                for _ in 0..rest {
                    mask &= mask - 1;
                }
                return (self.from / 64 + word) * 64 + mask.trailing_zeros() as usize;
            }
            rest -= ones;
        }
        self.to
    }

    /// How many rows of an active range are less than their pivot.
    pub(super) fn count_less(&self, less: &[u64]) -> usize {
        let mut masks = Vec::new();
        Self { which: Which::Less, ..*self }.masks(less, &mut masks);
        masks.iter().map(|mask| mask.count_ones() as usize).sum()
    }
}

/// The selected rows of a range go to `at` and on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) range: Range,
    pub(super) target: Stream,
    pub(super) at: usize,
}

/// Whether these moves make all of `waiting` waiting rows active as they stand, and do nothing else.
pub(super) fn hands_over(moves: &[Move], lengths: Lengths, waiting: usize) -> bool {
    let as_they_stand = |m: &Move| {
        let from_to = (m.range.source, m.target, m.range.which);
        from_to == (Stream::Waiting, Stream::Active, Which::All) && m.at == m.range.from
    };
    lengths == Lengths { active: waiting, ..Lengths::default() }
        && waiting > 0
        && moves.iter().all(as_they_stand)
}

/// Rows of the three streams after a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) active: usize,
    pub(super) waiting: usize,
    pub(super) leaving: usize,
}

impl Lengths {
    /// Takes `rows` places at the end of a stream.
    pub(super) fn take(&mut self, stream: Stream, rows: usize) -> usize {
        let length = match stream {
            Stream::Active => &mut self.active,
            Stream::Waiting => &mut self.waiting,
            Stream::Leaving => &mut self.leaving,
        };
        *length += rows;
        *length - rows
    }
}

/// Calls `take` with every selected row.
pub(super) fn for_each_row(masks: &[u64], from: usize, mut take: impl FnMut(usize)) {
    for (word, &mask) in masks.iter().enumerate() {
        let first = (from / 64 + word) * 64;
        let mut mask = mask;
        while mask != 0 {
            take(first + mask.trailing_zeros() as usize);
            mask &= mask - 1;
        }
    }
}

/// Opened bits, read in the order in which their comparisons were listed.
pub(super) struct Verdicts<'a> {
    pub(super) words: &'a [u64],
    pub(super) at: usize,
}

impl Verdicts<'_> {
    /// Whether the next comparison's row is less.
    pub(super) fn next(&mut self) -> bool {
        let at = self.at;
        self.at += 1;
        self.words[at / 64] >> (at % 64) & 1 == 1
    }

    /// For rows that were compared pair by pair, (1, 0), (2, 0), (2, 1), ...: how many are less than each.
    /// (No permutation where a peer sent nonsense.)
    pub(super) fn ranks(&mut self, rows: usize, ranks: &mut Vec<usize>) {
        ranks.clear();
        ranks.resize(rows, 0);
        for high in 1..rows {
            for low in 0..high {
                let less = self.next();
                ranks[if less { low } else { high }] += 1;
            }
        }
    }
}

/// Pairs in the order of [`Verdicts::ranks`].
pub(super) fn push_pairs(pairs: &mut Vec<(u32, u32)>, rows: &[u32]) {
    for (high, &row) in rows.iter().enumerate() {
        pairs.extend(rows[..high].iter().map(|&low| (row, low)));
    }
}

/// Pairs handed out at a time; the last ones may be fewer.
pub(super) const PAIRS: usize = 64 * TILE_WORDS;

/// Pairs on their way to who compares them.
pub(super) struct Outlet<F> {
    pub(super) pairs: Vec<(u32, u32)>,
    take: F,
}

impl<F: FnMut(&[(u32, u32)])> Outlet<F> {
    pub(super) fn new(take: F) -> Self {
        Self { pairs: Vec::with_capacity(2 * PAIRS), take }
    }

    /// Hands out what is there, in whole portions.
    pub(super) fn flush(&mut self) {
        let whole = self.pairs.len() / PAIRS * PAIRS;
        for portion in self.pairs[..whole].chunks_exact(PAIRS) {
            (self.take)(portion);
        }
        self.pairs.drain(..whole);
    }

    /// Hands out the rest.
    pub(super) fn end(mut self) {
        self.flush();
        if !self.pairs.is_empty() {
            (self.take)(&self.pairs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_select_and_count() {
        let less = [0xF0F0_F0F0_F0F0_F0F0, 0x1, u64::MAX];
        for (from, to) in [(0, 0), (3, 4), (0, 64), (60, 70), (5, 190), (64, 128)] {
            for which in [Which::Less, Which::NotLess, Which::All] {
                let range = Range { source: Stream::Active, from, to, which };
                let expected: Vec<usize> = (from..to)
                    .filter(|row| {
                        let bit = less[row / 64] >> (row % 64) & 1 == 1;
                        which == Which::All || bit == (which == Which::Less)
                    })
                    .collect();
                let (mut masks, mut rows) = (Vec::new(), Vec::new());
                range.masks(&less, &mut masks);
                for_each_row(&masks, from, |row| rows.push(row));
                assert_eq!(rows, expected);
                for nth in 0..=expected.len() {
                    assert_eq!(range.nth(&less, nth), *expected.get(nth).unwrap_or(&to));
                }
                if which == Which::Less {
                    assert_eq!(range.count_less(&less), expected.len());
                }
            }
        }
    }
}
