//! Lists of segments.

use std::collections::VecDeque;

use super::segment::{Home, Segment};

/// Segments in order. Many short ones are listed in the middle of a sort: each takes half the room, and room
/// comes and goes in pieces, so that a list is gone by the time the next is made of it.
#[derive(Default)]
pub(super) struct List {
    pieces: VecDeque<Vec<Packed>>,
}

/// Segments of one piece.
const PIECE: usize = 4096;

/// A segment in a list; there are fewer than 2^32 rows.
#[derive(Clone, Copy)]
struct Packed {
    place: u32,
    rows: u32,
    pivots: u32,
    at: u32,
    ranked: bool,
    home: Home,
}

impl Packed {
    fn of(segment: &Segment) -> Self {
        let Segment { ranked, home, .. } = *segment;
        let [place, rows, pivots, at] =
            [segment.place, segment.rows, segment.pivots, segment.at].map(index);
        Self { place, rows, pivots, at, ranked, home }
    }

    fn open(self) -> Segment {
        let Self { ranked, home, .. } = self;
        let [place, rows, pivots, at] =
            [self.place, self.rows, self.pivots, self.at].map(|value| value as usize);
        Segment { place, rows, pivots, ranked, home, at }
    }
}

/// A row number; there are fewer than 2^32 rows.
pub(super) fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl List {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn push(&mut self, segment: &Segment) {
        if self.pieces.back().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push_back(Vec::with_capacity(if self.is_empty() { 16 } else { PIECE }));
        }
        if let Some(piece) = self.pieces.back_mut() {
            piece.push(Packed::of(segment));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Segment> {
        self.pieces.iter().flatten().map(|packed| packed.open())
    }

    /// Takes them out, piece by piece.
    pub(super) fn drain(mut self) -> impl Iterator<Item = Segment> {
        std::iter::from_fn(move || self.pieces.pop_front()).flatten().map(Packed::open)
    }
}
