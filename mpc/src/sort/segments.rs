//! The public side of the quicksort: which rows are compared next, and where they go then.
//!
//! A pure state machine. It sees opened comparison bits and nothing secret; from them it makes the
//! moves that the secret keys follow. Rows live in one of three homes: long segments in the
//! *active* stream of planes (compared in this level) or in the *waiting* one (their pivots are being
//! ranked); all pivots and the rows of short segments are *kept* row by row and stay where they are.

use super::list::{List, index};
use super::moves::{
    Lengths, Move, Outlet, Range, Stream, Verdicts, Which, for_each_row, hands_over, push_pairs,
};
use super::segment::{Fill, Home, Level, Segment, Task};
use super::shape::Shape;
use crate::bits::words;
use crate::{MpcError, Result};

const NO_ORDER: MpcError = MpcError::Shape("opened comparisons are no order");

/// The next level while it is being made.
#[derive(Default)]
struct Next {
    list: List,
    moves: Vec<Move>,
    lengths: Lengths,
}

impl Next {
    /// Moves `rows` selected rows to the end of a stream; returns where.
    fn push(&mut self, range: Range, target: Stream, rows: usize) -> usize {
        let at = self.lengths.take(target, rows);
        self.moves.push(Move { range, target, at });
        at
    }
}

/// The row at each place, by its number among the kept rows.
pub(super) struct Order {
    pub(super) kept: Vec<u32>,
    /// Shuffled row of each kept row.
    of_kept: Vec<u32>,
}

impl Order {
    /// The shuffled row at each place.
    pub(super) fn into_shuffled(self) -> Vec<u32> {
        let mut order = self.kept;
        for row in &mut order {
            *row = self.of_kept[*row as usize];
        }
        order
    }
}

/// All that is known of the order.
pub(super) struct Segments {
    shape: Shape,
    /// Places that matter.
    wanted: usize,
    /// Kept row at each place, where known. A segment has its pivots at its first places, and its rows at the
    /// others if they are kept too.
    order: Vec<u32>,
    list: List,
    /// Shuffled row of each active, waiting and kept row.
    active: Vec<u32>,
    waiting: Vec<u32>,
    kept: Vec<u32>,
    /// Buffers of `split_kept` and `place_all`.
    parts: Vec<Vec<u32>>,
    ranks: Vec<usize>,
    moved: Vec<u32>,
}

impl Segments {
    /// All rows in one segment, and the moves that bring them where the first level wants them. Only the
    /// first `wanted` places matter.
    pub(super) fn new(shape: Shape, rows: u32, wanted: usize) -> (Self, Vec<Move>, Lengths) {
        let mut all = Self {
            shape,
            wanted: wanted.min(rows as usize),
            order: vec![u32::MAX; rows as usize],
            list: List::default(),
            active: (0..rows).collect(),
            waiting: Vec::new(),
            kept: Vec::with_capacity(rows as usize),
            parts: Vec::new(),
            ranks: Vec::new(),
            moved: Vec::new(),
        };
        let mut next = Next::default();
        let to = rows as usize;
        let range = Range { source: Stream::Active, from: 0, to, which: Which::All };
        all.settle_stream(&mut next, Segment::all(to), range, &[]);
        let (moves, lengths) = all.step(next, &[]);
        (all, moves, lengths)
    }

    /// Whether the order is known.
    pub(super) fn is_done(&self) -> bool {
        self.list.is_empty()
    }

    /// The row at each place that matters.
    pub(super) fn into_order(self) -> Result<Order> {
        let (mut kept, of_kept) = (self.order, self.kept);
        kept.truncate(self.wanted);
        if kept.iter().any(|&row| row as usize >= of_kept.len()) {
            return Err(NO_ORDER);
        }
        Ok(Order { kept, of_kept })
    }

    /// What to compare next.
    pub(super) fn level(&self) -> Level {
        let last = self.list.iter().all(|segment| segment.home == Home::Kept)
            && self.list.iter().map(|segment| segment.all_pairs()).sum::<usize>()
                <= self.shape.finish;
        let mut level = Level { last, ..Level::default() };
        for segment in self.list.iter() {
            let task = segment.task(&self.shape, last, self.wanted);
            if let (Task::Split(_), Home::Active) = (&task, segment.home) {
                let pivot = self.pivots_of(&segment)[segment.middle(self.wanted)];
                level.fills.push(Fill { len: segment.rows, pivot });
                level.active += segment.rows;
            }
            level.pairs += segment.pairs(&task);
        }
        level
    }

    /// The pairs of a level, [`super::moves::PAIRS`] at a time: whether the first is less than the second.
    pub(super) fn pairs(&self, level: &Level, take: impl FnMut(&[(u32, u32)])) {
        let mut out = Outlet::new(take);
        for segment in self.list.iter() {
            let (rows, pivots) = (self.rows_of(&segment), self.pivots_of(&segment));
            let against = |pairs: &mut Vec<(u32, u32)>, pivot: u32| {
                pairs.extend(rows.iter().map(|&row| (row, pivot)));
            };
            match segment.task(&self.shape, level.last, self.wanted) {
                Task::Rank => push_pairs(&mut out.pairs, pivots),
                Task::Split(_) if segment.home == Home::Active => {}
                Task::Split(chosen) => {
                    for i in 0..chosen {
                        against(&mut out.pairs, pivots[self.chosen(&segment, i, chosen)]);
                    }
                }
                Task::All if !segment.ranked => {
                    let places = segment.place..segment.place + segment.pivots + segment.rows;
                    push_pairs(&mut out.pairs, &self.order[places]);
                }
                Task::All => {
                    push_pairs(&mut out.pairs, rows);
                    for &pivot in pivots {
                        against(&mut out.pairs, pivot);
                    }
                }
            }
            out.flush();
        }
        out.end();
    }

    /// Takes in the opened bits of `level`, as words. The moves are for the streams as they were before;
    /// leaving rows join the kept ones in their order.
    pub(super) fn advance(&mut self, level: &Level, bits: &[u64]) -> Result<(Vec<Move>, Lengths)> {
        let mut next = Next::default();
        let mut pairs = Verdicts { words: bits, at: words(level.active) * 64 };
        for segment in std::mem::take(&mut self.list).drain() {
            match segment.task(&self.shape, level.last, self.wanted) {
                Task::Rank => self.rank(segment, &mut pairs, &mut next)?,
                Task::Split(_) if segment.home == Home::Active => {
                    self.split_stream(&segment, bits, &mut next);
                }
                Task::Split(chosen) => self.split_kept(&segment, chosen, &mut pairs, &mut next),
                Task::All => self.place_all(&segment, &mut pairs)?,
            }
        }
        Ok(self.step(next, bits))
    }

    /// Number i of `chosen` pivots.
    fn chosen(&self, segment: &Segment, i: usize, chosen: usize) -> usize {
        match chosen {
            1 => segment.middle(self.wanted),
            _ => Shape::chosen_pivot(i, chosen, segment.pivots),
        }
    }

    fn pivots_of(&self, segment: &Segment) -> &[u32] {
        &self.order[segment.place..segment.place + segment.pivots]
    }

    /// Rows of a segment if they are kept.
    fn rows_of(&self, segment: &Segment) -> &[u32] {
        let first = segment.place + segment.pivots;
        match segment.home {
            Home::Kept => &self.order[first..first + segment.rows],
            _ => &[],
        }
    }

    /// Puts rows, by their ranks, at the places from `place` on.
    fn put(&mut self, place: usize, rows: &[u32], ranks: &[usize]) -> Result<()> {
        let places = &mut self.order[place..place + rows.len()];
        places.fill(u32::MAX);
        for (&row, &rank) in rows.iter().zip(ranks) {
            match places.get_mut(rank) {
                Some(slot) if *slot == u32::MAX => *slot = row,
                _ => return Err(NO_ORDER),
            }
        }
        Ok(())
    }

    /// Puts the pivots in order; what waited for them becomes active.
    fn rank(&mut self, segment: Segment, bits: &mut Verdicts<'_>, next: &mut Next) -> Result<()> {
        let mut ranks = std::mem::take(&mut self.ranks);
        let mut pivots = std::mem::take(&mut self.moved);
        bits.ranks(segment.pivots, &mut ranks);
        pivots.clear();
        pivots.extend_from_slice(self.pivots_of(&segment));
        self.put(segment.place, &pivots, &ranks)?;
        (self.ranks, self.moved) = (ranks, pivots);
        let mut ranked = Segment { ranked: true, ..segment };
        if segment.home == Home::Waiting {
            let (from, to) = (segment.at, segment.at + segment.rows);
            let range = Range { source: Stream::Waiting, from, to, which: Which::All };
            ranked.home = Home::Active;
            ranked.at = next.push(range, Stream::Active, segment.rows);
        }
        next.list.push(&ranked);
        Ok(())
    }

    /// Active rows below and above the middle pivot.
    fn split_stream(&mut self, segment: &Segment, less: &[u64], next: &mut Next) {
        let (from, to) = (segment.at, segment.at + segment.rows);
        let range = Range { source: Stream::Active, from, to, which: Which::Less };
        let middle = segment.middle(self.wanted);
        let (low, high) = segment.around(range.count_less(less), middle);
        // The middle pivot and those above it go behind the rows below.
        let pivots = segment.place + middle..segment.place + segment.pivots;
        self.order.copy_within(pivots, high.place - 1);
        self.settle_stream(next, low, range, less);
        self.settle_stream(next, high, Range { which: Which::NotLess, ..range }, less);
    }

    /// Decides where the selected rows of a range live on, and moves them there. The pivots are where they
    /// belong.
    fn settle_stream(&mut self, next: &mut Next, mut own: Segment, range: Range, less: &[u64]) {
        if own.place >= self.wanted {
            return;
        }
        let free = own.place + own.pivots;
        if own.rows < self.shape.planes_from || own.rows + own.pivots == 1 {
            if own.rows > 0 {
                let first = self.kept.len() + next.push(range, Stream::Leaving, own.rows);
                for (slot, row) in self.order[free..free + own.rows].iter_mut().zip(first..) {
                    *slot = index(row);
                }
            }
            return self.settle_kept(next, own);
        }
        if own.pivots > 0 {
            own.home = Home::Active;
            own.at = next.push(range, Stream::Active, own.rows);
        } else {
            // The first rows are a uniform sample: they become pivots.
            let sample = self.shape.sample(own.rows);
            let cut = range.nth(less, sample);
            let leaving = next.push(Range { to: cut, ..range }, Stream::Leaving, sample);
            let first = self.kept.len() + leaving;
            for (slot, row) in self.order[free..free + sample].iter_mut().zip(first..) {
                *slot = index(row);
            }
            own.pivots = sample;
            own.rows -= sample;
            own.ranked = sample == 1;
            let (home, target) = match own.ranked {
                true => (Home::Active, Stream::Active),
                false => (Home::Waiting, Stream::Waiting),
            };
            own.home = home;
            own.at = next.push(Range { from: cut, ..range }, target, own.rows);
        }
        next.list.push(&own);
    }

    /// Kept rows among `chosen` pivots at once.
    fn split_kept(
        &mut self,
        segment: &Segment,
        chosen: usize,
        bits: &mut Verdicts<'_>,
        next: &mut Next,
    ) {
        let mut parts = std::mem::take(&mut self.parts);
        let mut pivots = std::mem::take(&mut self.moved);
        parts.resize_with(parts.len().max(chosen + 1), Vec::new);
        pivots.clear();
        pivots.extend_from_slice(self.pivots_of(segment));
        let rows = self.rows_of(segment);
        if chosen == 1 {
            for &row in rows {
                parts[usize::from(!bits.next())].push(row);
            }
        } else {
            let mut of_row = vec![0; rows.len()];
            for _ in 0..chosen {
                for part in &mut of_row {
                    *part += usize::from(!bits.next());
                }
            }
            for (&row, part) in rows.iter().zip(of_row) {
                parts[part].push(row);
            }
        }
        let (mut rest, mut pivots_left) = (*segment, &pivots[..]);
        for (i, part) in parts.iter_mut().enumerate().take(chosen) {
            let taken = segment.pivots - rest.pivots;
            let middle = self.chosen(segment, i, chosen) - taken;
            let (low, high) = rest.around(part.len(), middle);
            self.order[high.place - 1] = pivots_left[middle];
            self.settle_part(next, low, &pivots_left[..middle], part);
            pivots_left = &pivots_left[middle + 1..];
            part.clear();
            rest = high;
        }
        self.settle_part(next, rest, pivots_left, &parts[chosen]);
        parts[chosen].clear();
        (self.parts, self.moved) = (parts, pivots);
    }

    /// Puts a segment of kept rows where it belongs.
    fn settle_part(&mut self, next: &mut Next, own: Segment, pivots: &[u32], rows: &[u32]) {
        let free = own.place + own.pivots;
        self.order[own.place..free].copy_from_slice(pivots);
        self.order[free..free + own.rows].copy_from_slice(rows);
        self.settle_kept(next, own);
    }

    /// A segment of kept rows, all of them at its places. Pivots without rows between them are in order, and so
    /// is a single row.
    fn settle_kept(&mut self, next: &mut Next, mut own: Segment) {
        if own.place >= self.wanted || own.rows == 0 || own.rows + own.pivots == 1 {
            return;
        }
        if own.pivots == 0 && own.rows > self.shape.pairs_max {
            own.pivots = self.shape.sample(own.rows);
            own.rows -= own.pivots;
            own.ranked = own.pivots == 1;
        }
        own.home = Home::Kept;
        next.list.push(&own);
    }

    /// Rows and pivots where their number of smaller ones says.
    fn place_all(&mut self, segment: &Segment, bits: &mut Verdicts<'_>) -> Result<()> {
        let mut ranks = std::mem::take(&mut self.ranks);
        let mut moved = std::mem::take(&mut self.moved);
        let (rows, pivots) = (segment.rows, segment.pivots);
        if segment.ranked {
            bits.ranks(rows, &mut ranks);
            for i in 0..pivots {
                let mut place = i;
                for rank in &mut ranks[..rows] {
                    let less = bits.next();
                    place += usize::from(less);
                    *rank += usize::from(!less);
                }
                ranks.push(place);
            }
            // Pivots first, as they stand.
            ranks.rotate_left(rows);
        } else {
            bits.ranks(pivots + rows, &mut ranks);
        }
        moved.clear();
        moved.extend_from_slice(&self.order[segment.place..segment.place + pivots + rows]);
        self.put(segment.place, &moved, &ranks)?;
        (self.ranks, self.moved) = (ranks, moved);
        Ok(())
    }

    /// Moves the row numbers and takes the next level in force.
    fn step(&mut self, next: Next, less: &[u64]) -> (Vec<Move>, Lengths) {
        let lengths = next.lengths;
        if hands_over(&next.moves, lengths, self.waiting.len()) {
            self.active = std::mem::take(&mut self.waiting);
            self.list = next.list;
            return (next.moves, lengths);
        }
        let (mut active, mut waiting) = (vec![0; lengths.active], vec![0; lengths.waiting]);
        let kept = self.kept.len();
        self.kept.resize(kept + lengths.leaving, 0);
        let mut masks = Vec::new();
        for Move { range, target, at } in &next.moves {
            range.masks(less, &mut masks);
            let source = match range.source {
                Stream::Active => &self.active,
                _ => &self.waiting,
            };
            let target = match target {
                Stream::Active => &mut active,
                Stream::Waiting => &mut waiting,
                Stream::Leaving => &mut self.kept[kept..],
            };
            let mut at = *at;
            for_each_row(&masks, range.from, |row| {
                target[at] = source[row];
                at += 1;
            });
        }
        self.active = active;
        self.waiting = waiting;
        self.list = next.list;
        (next.moves, lengths)
    }
}
