//! How a quicksort goes about its work: pivots, short segments, the end. Public sizes only.

/// Constants of one sort, the same at all parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Segments without pivots of up to so many rows are finished by comparing all pairs.
    pub(super) pairs_max: usize,
    /// A level descends so many steps of a tree of pivots at once, comparing every row with
    /// `2^steps - 1` of them: fewer rounds, more bytes.
    pub(super) steps: u32,
    /// What is left is finished at once when that takes no more comparisons.
    pub(super) finish: usize,
    /// Segments of at least so many rows live in planes.
    pub(super) planes_from: usize,
}

/// Segments of at least so many rows are split in planes: below, filling and packing a word for
/// every plane costs more than picking rows.
const PLANES_FROM: usize = 160;

/// Rows from which a segment takes 3, 7, ... pivots, with one step a level: where ranking them costs less than the
/// better balance saves (from the recurrence of the expected number of comparisons).
const SAMPLE_FROM: [u64; 12] = [
    8,
    42,
    256,
    1_328,
    6_900,
    36_000,
    187_000,
    970_000,
    5_000_000,
    26_000_000,
    137_000_000,
    710_000_000,
];

impl Shape {
    /// The forms that a sort chooses from: bytes first, rounds last.
    pub(super) const FORMS: [(usize, u32); 7] =
        [(2, 1), (4, 1), (6, 1), (10, 2), (20, 2), (32, 3), (64, 4)];

    pub(super) fn new((pairs_max, steps): (usize, u32), finish: usize) -> Self {
        let planes_from = if steps == 1 { PLANES_FROM } else { usize::MAX };
        Self { pairs_max, steps, finish, planes_from }
    }

    /// Pivots for a segment of `rows`, one less than a power of two and less than `rows` wherever a
    /// segment has more than `pairs_max`. Their ranking costs s(s-1)/2 comparisons.
    pub(super) fn sample(self, rows: usize) -> usize {
        if self.steps == 1 {
            let bits = SAMPLE_FROM.iter().take_while(|from| rows as u64 >= **from).count();
            return (2 << bits) - 1;
        }
        // As many levels' worth as may be ranked for an eighth of one level's comparisons.
        let at_once = (1 << self.steps) - 1;
        let budget = rows.saturating_mul(at_once) / 4;
        let mut sample = at_once;
        loop {
            let more = (sample + 1) * (at_once + 1) - 1;
            if more.saturating_mul(more) > budget || more >= rows {
                return sample;
            }
            sample = more;
        }
    }

    /// How many of `pivots` > 0 ranked pivots a level uses.
    pub(super) fn pivots_at_once(self, pivots: usize) -> usize {
        pivots.min((1 << self.steps) - 1)
    }

    /// The lowest of `pivots` ranked pivots of `all` rows that most likely has `need` rows below it:
    /// one and a half standard deviations above the expected rank. `pivots` or more if none.
    pub(super) fn pivot_above(need: usize, all: usize, pivots: usize) -> usize {
        // In sixteenths of a spacing.
        let rank = (need as u128 * (pivots as u128 + 1) * 16) / (all as u128 + 1);
        let above = (rank + 6 * rank.isqrt()) / 16;
        usize::try_from(above).unwrap_or(pivots)
    }

    /// Number i of `chosen` evenly spaced ones of `pivots` ranked pivots.
    pub(super) fn chosen_pivot(i: usize, chosen: usize, pivots: usize) -> usize {
        (i + 1) * (pivots + 1) / (chosen + 1) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_leave_rows_and_pivots_are_distinct() {
        for form in Shape::FORMS {
            let shape = Shape::new(form, 0);
            let sizes = (form.0 + 1..3000).chain((12..32).map(|bits| 1 << bits));
            for rows in sizes {
                let sample = shape.sample(rows);
                assert!(sample < rows && (sample + 1).is_power_of_two(), "{form:?} {rows}");
            }
            for pivots in 1..200 {
                let chosen = shape.pivots_at_once(pivots);
                let places: Vec<usize> =
                    (0..chosen).map(|i| Shape::chosen_pivot(i, chosen, pivots)).collect();
                assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
                assert!(places.last().is_some_and(|last| *last < pivots));
            }
        }
    }
}
