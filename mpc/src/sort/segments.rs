//! The public side of the quicksort: which rows are compared next, and where they go then.
//!
//! A pure state machine. It sees opened comparison bits and nothing secret; from them it makes the
//! moves that the secret keys follow. Rows live in one of three homes: long segments in the
//! *active* stream of planes (compared in this level) or in the *waiting* one (their pivots are being
//! ranked); all pivots and the rows of short segments are *kept* row by row and stay where they are.

use super::moves::{Lengths, Move, Range, Stream, Verdicts, Which, for_each_row, push_pairs};
use super::segment::{Fill, Home, Level, Segment, Task};
use super::shape::Shape;
use crate::bits::words;
use crate::{MpcError, Result};

const NO_ORDER: MpcError = MpcError::Shape("opened comparisons are no order");

/// The next level while it is being made.
#[derive(Default)]
struct Next {
    list: Vec<Segment>,
    members: Vec<u32>,
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

/// The row at each place, by its number among the shuffled and among the kept rows.
pub(super) struct Order {
    pub(super) shuffled: Vec<u32>,
    pub(super) kept: Vec<u32>,
}

/// All that is known of the order.
pub(super) struct Segments {
    shape: Shape,
    /// Kept row at each place that matters, where known.
    order: Vec<u32>,
    list: Vec<Segment>,
    /// Shuffled row of each active, waiting and kept row.
    active: Vec<u32>,
    waiting: Vec<u32>,
    kept: Vec<u32>,
    /// Kept rows: the pivots of all segments, and the rows of those at home there.
    pivots: Vec<u32>,
    members: Vec<u32>,
    /// Buffers of `split_kept` and `place_all`.
    parts: Vec<Vec<u32>>,
    ranks: Vec<usize>,
}

/// A row number; there are fewer than 2^32 rows.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Segments {
    /// All rows in one segment, and the moves that bring them where the first level wants them. Only the
    /// first `wanted` places matter.
    pub(super) fn new(shape: Shape, rows: u32, wanted: usize) -> (Self, Vec<Move>, Lengths) {
        let mut all = Self {
            shape,
            order: vec![u32::MAX; wanted.min(rows as usize)],
            list: Vec::new(),
            active: (0..rows).collect(),
            waiting: Vec::new(),
            kept: Vec::new(),
            pivots: Vec::new(),
            members: Vec::new(),
            parts: Vec::new(),
            ranks: Vec::new(),
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
        if self.order.contains(&u32::MAX) {
            return Err(NO_ORDER);
        }
        let shuffled = self.order.iter().map(|&row| self.kept[row as usize]).collect();
        Ok(Order { shuffled, kept: self.order })
    }

    fn wanted(&self) -> usize {
        self.order.len()
    }

    fn place(&mut self, place: usize, kept: u32) {
        if let Some(slot) = self.order.get_mut(place) {
            *slot = kept;
        }
    }

    /// What to compare next.
    pub(super) fn level(&self) -> Level {
        let last = self.list.iter().all(|segment| segment.home == Home::Kept)
            && self.list.iter().map(Segment::all_pairs).sum::<usize>() <= self.shape.finish;
        let mut level = Level { last, ..Level::default() };
        for segment in &self.list {
            let (rows, pivots) = (self.members_of(segment), self.pivots_of(segment));
            match segment.task(&self.shape, last, self.wanted()) {
                Task::Rank => push_pairs(&mut level.pairs, pivots),
                Task::Split(_) if segment.home == Home::Active => {
                    let pivot = pivots[segment.middle(self.wanted())];
                    level.fills.push(Fill { len: segment.rows, pivot });
                    level.active += segment.rows;
                }
                Task::Split(chosen) => {
                    for i in 0..chosen {
                        let pivot = pivots[self.chosen(segment, i, chosen)];
                        level.pairs.extend(rows.iter().map(|&row| (row, pivot)));
                    }
                }
                Task::All if !segment.ranked => {
                    push_pairs(&mut level.pairs, &[pivots, rows].concat());
                }
                Task::All => {
                    push_pairs(&mut level.pairs, rows);
                    for &pivot in pivots {
                        level.pairs.extend(rows.iter().map(|&row| (row, pivot)));
                    }
                }
            }
        }
        level
    }

    /// Takes in the opened bits of `level`, as words. The moves are for the streams as they were before;
    /// leaving rows join the kept ones in their order.
    pub(super) fn advance(&mut self, level: &Level, bits: &[u64]) -> Result<(Vec<Move>, Lengths)> {
        let mut next = Next::default();
        let mut pairs = Verdicts { words: bits, at: words(level.active) * 64 };
        for segment in std::mem::take(&mut self.list) {
            match segment.task(&self.shape, level.last, self.wanted()) {
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
            1 => segment.middle(self.wanted()),
            _ => Shape::chosen_pivot(i, chosen, segment.pivots),
        }
    }

    fn pivots_of(&self, segment: &Segment) -> &[u32] {
        &self.pivots[segment.pivots_from..segment.pivots_from + segment.pivots]
    }

    /// Rows of a segment among the kept ones.
    fn members_of(&self, segment: &Segment) -> &[u32] {
        match segment.home {
            Home::Kept => &self.members[segment.at..segment.at + segment.rows],
            _ => &[],
        }
    }

    /// Puts the pivots in order; what waited for them becomes active.
    fn rank(&mut self, segment: Segment, bits: &mut Verdicts<'_>, next: &mut Next) -> Result<()> {
        let mut ranks = std::mem::take(&mut self.ranks);
        bits.ranks(segment.pivots, &mut ranks);
        let mut ranked = vec![u32::MAX; segment.pivots];
        for (&pivot, &rank) in self.pivots_of(&segment).iter().zip(&ranks) {
            ranked[rank] = pivot;
        }
        self.ranks = ranks;
        if ranked.contains(&u32::MAX) {
            return Err(NO_ORDER);
        }
        self.pivots[segment.pivots_from..segment.pivots_from + segment.pivots]
            .copy_from_slice(&ranked);
        let mut ranked = Segment { ranked: true, ..segment };
        if segment.home == Home::Waiting {
            let (from, to) = (segment.at, segment.at + segment.rows);
            let range = Range { source: Stream::Waiting, from, to, which: Which::All };
            ranked.home = Home::Active;
            ranked.at = next.push(range, Stream::Active, segment.rows);
        } else {
            ranked.at = next.members.len();
            next.members.extend_from_slice(self.members_of(&segment));
        }
        next.list.push(ranked);
        Ok(())
    }

    /// Active rows below and above the middle pivot.
    fn split_stream(&mut self, segment: &Segment, less: &[u64], next: &mut Next) {
        let (from, to) = (segment.at, segment.at + segment.rows);
        let range = Range { source: Stream::Active, from, to, which: Which::Less };
        let middle = segment.middle(self.wanted());
        let (low, high) = segment.around(range.count_less(less), middle);
        self.place(high.place - 1, self.pivots_of(segment)[middle]);
        self.settle_stream(next, low, range, less);
        self.settle_stream(next, high, Range { which: Which::NotLess, ..range }, less);
    }

    /// Decides where the selected rows of a range live on, and moves them there.
    fn settle_stream(&mut self, next: &mut Next, mut own: Segment, range: Range, less: &[u64]) {
        if own.place >= self.wanted() {
            return;
        }
        if own.rows == 1 && own.pivots == 0 {
            let leaving = next.push(range, Stream::Leaving, 1);
            self.order[own.place] = index(self.kept.len() + leaving);
            return;
        }
        if own.rows < self.shape.planes_from {
            if own.rows == 0 {
                return self.settle_kept(next, own, &[]);
            }
            let first = self.kept.len() + next.push(range, Stream::Leaving, own.rows);
            let rows: Vec<u32> = (first..first + own.rows).map(index).collect();
            return self.settle_kept(next, own, &rows);
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
            own.pivots_from = self.pivots.len();
            own.pivots = sample;
            self.pivots.extend((first..first + sample).map(index));
            own.rows -= sample;
            own.ranked = sample == 1;
            let (home, target) = match own.ranked {
                true => (Home::Active, Stream::Active),
                false => (Home::Waiting, Stream::Waiting),
            };
            own.home = home;
            own.at = next.push(Range { from: cut, ..range }, target, own.rows);
        }
        next.list.push(own);
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
        parts.resize_with(parts.len().max(chosen + 1), Vec::new);
        let rows = self.members_of(segment);
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
        let mut rest = *segment;
        for (i, part) in parts.iter_mut().enumerate().take(chosen) {
            let taken = segment.pivots - rest.pivots;
            let middle = self.chosen(segment, i, chosen) - taken;
            let (low, high) = rest.around(part.len(), middle);
            self.place(high.place - 1, self.pivots_of(&rest)[middle]);
            self.settle_kept(next, low, part);
            part.clear();
            rest = high;
        }
        self.settle_kept(next, rest, &parts[chosen]);
        parts[chosen].clear();
        self.parts = parts;
    }

    /// A segment of kept rows.
    fn settle_kept(&mut self, next: &mut Next, mut own: Segment, rows: &[u32]) {
        let mut rows = rows;
        if own.place >= self.wanted() {
            return;
        }
        if rows.is_empty() {
            // Pivots without rows between them are in order.
            for i in 0..own.pivots {
                self.place(own.place + i, self.pivots[own.pivots_from + i]);
            }
            return;
        }
        if let ([row], 0) = (rows, own.pivots) {
            return self.place(own.place, *row);
        }
        if own.pivots == 0 && rows.len() > self.shape.pairs_max {
            let (sample, others) = rows.split_at(self.shape.sample(rows.len()));
            own.pivots_from = self.pivots.len();
            own.pivots = sample.len();
            own.ranked = sample.len() == 1;
            self.pivots.extend_from_slice(sample);
            rows = others;
        }
        own.home = Home::Kept;
        own.rows = rows.len();
        own.at = next.members.len();
        next.members.extend_from_slice(rows);
        next.list.push(own);
    }

    /// Rows and pivots where their number of smaller ones says.
    fn place_all(&mut self, segment: &Segment, bits: &mut Verdicts<'_>) -> Result<()> {
        let mut ranks = std::mem::take(&mut self.ranks);
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
            // Pivots first, as they are listed below.
            ranks.rotate_left(rows);
        } else {
            bits.ranks(pivots + rows, &mut ranks);
        }
        for (i, &rank) in ranks.iter().enumerate() {
            let row = match i.checked_sub(pivots) {
                None => self.pivots[segment.pivots_from + i],
                Some(i) => self.members[segment.at + i],
            };
            match self.order.get_mut(segment.place + rank) {
                None => {}
                Some(slot) if *slot == u32::MAX => *slot = row,
                Some(_) => return Err(NO_ORDER),
            }
        }
        self.ranks = ranks;
        Ok(())
    }

    /// Moves the row numbers and takes the next level in force.
    fn step(&mut self, next: Next, less: &[u64]) -> (Vec<Move>, Lengths) {
        let lengths = next.lengths;
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
        self.members = next.members;
        self.list = next.list;
        (next.moves, lengths)
    }
}
