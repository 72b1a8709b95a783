//! Lanes: long columns cut into parts, each worked on by a thread with a session and a line of the
//! network of its own.
//!
//! How many parts there are, and where they are cut (at whole words), follows from the number of rows
//! and the replicated [`crate::Profile`] only. Every part sends what its share of the rows costs in the
//! rounds that the whole takes: bytes add up, rounds do not.

use std::ops::Range;

use crate::bits::words;
use crate::{Arith, Cost, MpcError, Planes, Result, Ring, Session};

/// Rows of a part at least: with fewer a thread costs more than it brings.
const PART_ROWS_MIN: usize = 1 << 15;
/// Parts at most: threads of one party.
const PARTS_MAX: usize = 64;

impl Session {
    /// Parts into which so many rows are cut. A fork is not forked again.
    pub(crate) fn parts(&self, rows: usize) -> usize {
        if self.is_fork() || self.is_dry() {
            return 1;
        }
        let lanes = usize::try_from(self.profile().lanes).unwrap_or(PARTS_MAX).min(PARTS_MAX);
        lanes.min(rows / PART_ROWS_MIN).max(1)
    }

    /// `work` on every part of the rows, side by side; results from the first part to the last. Few
    /// rows are one part, on this thread.
    ///
    /// # Errors
    /// The first that a part had, after all have ended; [`MpcError::Panicked`] for a part that panicked.
    pub(crate) fn in_lanes<T: Send>(
        &mut self,
        rows: usize,
        work: impl Fn(&mut Self, Range<usize>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let parts = self.parts(rows);
        if parts == 1 {
            return Ok(vec![work(self, 0..rows)?]);
        }
        let operator = self.operator();
        let mut lanes = Vec::with_capacity(parts);
        for (lane, part) in (1..).zip(0..parts) {
            let row = |part: usize| (words(rows) * part / parts * 64).min(rows);
            lanes.push((self.fork(operator, lane)?, row(part)..row(part + 1)));
        }
        let work = &work;
        let ended = std::thread::scope(|scope| {
            let run = |(mut lane, rows): (Self, Range<usize>)| {
                scope.spawn(move || work(&mut lane, rows).map(|result| (result, lane.cost())))
            };
            let threads: Vec<_> = lanes.into_iter().map(run).collect();
            threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        let (mut results, mut total) = (Vec::with_capacity(parts), Cost::default());
        for thread in ended {
            let (result, cost) = thread.map_err(|_| MpcError::Panicked)??;
            let rounds = total.rounds.max(cost.rounds);
            total = Cost { rounds, ..total + cost };
            results.push(result);
        }
        self.charge(total);
        Ok(results)
    }

    /// A row-wise protocol on boolean columns of `len` rows, part by part.
    pub(crate) fn by_rows<const N: usize>(
        &mut self,
        len: usize,
        columns: [&Planes; N],
        work: impl Fn(&mut Self, [&Planes; N]) -> Result<Planes> + Sync,
    ) -> Result<Planes> {
        if self.parts(len) == 1 {
            return work(self, columns);
        }
        let parts = self.in_lanes(len, |lane, rows| {
            let parts = columns.map(|column| column.slice(rows.clone()));
            work(lane, parts.each_ref())
        })?;
        join_planes(len, &parts)
    }

    /// The same for a protocol that takes and gives ring elements.
    pub(crate) fn by_elements<const N: usize, T: Ring>(
        &mut self,
        len: usize,
        columns: [&Arith<T>; N],
        work: impl Fn(&mut Self, [&Arith<T>; N]) -> Result<Arith<T>> + Sync,
    ) -> Result<Arith<T>> {
        if self.parts(len) == 1 {
            return work(self, columns);
        }
        let parts = self.in_lanes(len, |lane, rows| {
            let parts = columns.map(|column| column.slice(rows.clone()));
            work(lane, parts.each_ref())
        })?;
        Ok(join_arith(&parts))
    }
}

/// Several columns from what every part has of each of them.
pub(crate) fn by_column<T>(parts: Vec<Vec<T>>) -> Vec<Vec<T>> {
    let mut columns: Vec<Vec<T>> = Vec::new();
    for part in parts {
        columns.resize_with(part.len(), Vec::new);
        for (column, own) in columns.iter_mut().zip(part) {
            column.push(own);
        }
    }
    columns
}

/// Columns of parts that were cut at whole words, as one of `len` rows.
pub(crate) fn join_planes(len: usize, parts: &[Planes]) -> Result<Planes> {
    let width = parts.first().map_or(0, Planes::width);
    if parts.iter().any(|part| part.width() != width) {
        return Err(MpcError::Shape("parts of different width"));
    }
    let join = |own: bool| {
        let mut out = Vec::with_capacity(words(len) * width);
        for j in 0..width {
            for part in parts {
                let held = part.plane(j);
                out.extend_from_slice(if own { held.0 } else { held.1 });
            }
        }
        out
    };
    Ok(Planes::from_components(len, width, join(true), join(false)))
}

/// Parts one after the other.
pub(crate) fn join_arith<T: Ring>(parts: &[Arith<T>]) -> Arith<T> {
    let join = |own: bool| {
        let held =
            parts.iter().map(|part| if own { part.components().0 } else { part.components().1 });
        held.collect::<Vec<_>>().concat()
    };
    Arith::from_components(join(true), join(false))
}
