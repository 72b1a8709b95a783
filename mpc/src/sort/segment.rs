//! One segment of the quicksort, and the comparisons of one level.

use super::shape::Shape;
use crate::bits::words;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Active,
    Waiting,
    Kept,
}

/// Rows and pivots that take the places `place..place + rows + pivots` in some order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) place: usize,
    pub(super) rows: usize,
    pub(super) pivots: usize,
    /// Whether the pivots are in order.
    pub(super) ranked: bool,
    pub(super) home: Home,
    /// First of its rows in its stream.
    pub(super) at: usize,
}

pub(super) enum Task {
    /// Compares the pivots with each other.
    Rank,
    /// Compares the rows with so many of the pivots.
    Split(usize),
    /// Compares all that is left.
    All,
}

impl Segment {
    pub(super) fn all(rows: usize) -> Self {
        let home = Home::Active;
        Self { place: 0, rows, pivots: 0, ranked: true, home, at: 0 }
    }

    /// What is next where only the first `wanted` places of all matter.
    pub(super) fn task(&self, shape: &Shape, last: bool, wanted: usize) -> Task {
        match self.pivots {
            _ if last => Task::All,
            _ if !self.ranked => Task::Rank,
            0 => Task::All,
            _ if self.is_cut(wanted) => Task::Split(1),
            pivots => Task::Split(shape.pivots_at_once(pivots)),
        }
    }

    /// Whether some of its places matter and some do not.
    fn is_cut(&self, wanted: usize) -> bool {
        self.place < wanted && wanted < self.place + self.rows + self.pivots
    }

    /// The one pivot to split by: the middle one; where the segment is cut, one that most likely has all
    /// that matters below it, and little else.
    pub(super) fn middle(&self, wanted: usize) -> usize {
        if self.is_cut(wanted) {
            let (all, need) = (self.rows + self.pivots, wanted - self.place);
            let pivot = Shape::pivot_above(need, all, self.pivots);
            if pivot < self.pivots {
                return pivot;
            }
        }
        self.pivots / 2
    }

    /// Pairs of kept rows that a level compares.
    pub(super) fn pairs(&self, task: &Task) -> usize {
        match task {
            Task::Rank => self.pivots * (self.pivots - 1) / 2,
            Task::Split(_) if self.home == Home::Active => 0,
            Task::Split(chosen) => self.rows * chosen,
            Task::All => self.all_pairs(),
        }
    }

    /// Comparisons that finish it at once.
    pub(super) fn all_pairs(&self) -> usize {
        if !self.ranked {
            let all = self.rows + self.pivots;
            return all * (all - 1) / 2;
        }
        self.rows * self.rows.saturating_sub(1) / 2 + self.rows * self.pivots
    }

    /// What lies below pivot number `middle`, which has `below` rows below it, and what lies above.
    pub(super) fn around(&self, below: usize, middle: usize) -> (Self, Self) {
        let low = Self { rows: below, pivots: middle, ..*self };
        let high = Self {
            place: self.place + below + middle + 1,
            rows: self.rows - below,
            pivots: self.pivots - middle - 1,
            ..*self
        };
        (low, high)
    }
}

/// A run of active rows with the kept row that they are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) len: usize,
    pub(super) pivot: u32,
}

/// The comparisons of one level: active rows with their pivots, then pairs of kept rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// Rows of the active stream, all of them covered by `fills` in order.
    pub(super) active: usize,
    pub(super) fills: Vec<Fill>,
    /// How many pairs.
    pub(super) pairs: usize,
    /// Whether every segment is finished by comparing all that is left of it.
    pub(super) last: bool,
}

impl Level {
    /// Comparisons as they are paid for: pairs begin at a word of their own.
    pub(super) fn comparisons(&self) -> usize {
        words(self.active) * 64 + self.pairs
    }
}
