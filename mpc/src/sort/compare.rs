//! The comparisons of one level: active rows with their pivots, then pairs of kept rows.
//!
//! The ripple takes one plane of both sides a round, so a pivot's bit is filled over the range of its
//! segment when its plane comes up, and lies nowhere else. The shallower circuits, which few rows or slow
//! networks ask for, take all planes at once: for them both sides are laid out in whole.

use std::ops::Range;

use super::sides::Sides;
use crate::bits::words;
use crate::cost::Circuit;
use crate::lanes::join_planes;
use crate::protocol::gates::{Gate, Sum, run};
use crate::protocol::{less_than_distinct, open_words};
use crate::shares::planes::Held;
use crate::{MpcError, Planes, Result, Session};

/// Opens which comparisons say "less", as words: those of active rows, then from a word of its own on those
/// of pairs. Costs [`crate::cost::cost_less_than_short_as`] and the opening of one plane.
pub(super) fn open_verdicts(s: &mut Session, form: Circuit, sides: &Sides<'_>) -> Result<Vec<u64>> {
    let total = sides.comparisons();
    if form != Circuit::Ripple || total == 0 {
        let (x, y) = sides.in_whole();
        let less = less_than_distinct(s, form, &x, &y)?;
        return open_words(s, &less);
    }
    let mut parts = s.in_lanes(total, |lane, rows| ripple(lane, sides, &rows))?;
    let less = if parts.len() > 1 {
        join_planes(total, &parts)?
    } else {
        parts.pop().ok_or(MpcError::Shape("one part"))?
    };
    open_words(s, &less)
}

/// less = less ^ differs & (less ^ y), bit by bit; the lowest bit says y, because keys are distinct. For some
/// of the comparisons, from a whole word on.
fn ripple(s: &mut Session, sides: &Sides<'_>, rows: &Range<usize>) -> Result<Planes> {
    let (from, to, border) = (rows.start / 64, words(rows.end), sides.active_words());
    let active = from.min(border)..to.min(border);
    let pairs = from.max(border) - border..to.max(border) - border;
    let [mut own, mut other, mut next_own, mut next_other] =
        [0; 4].map(|_| s.take_buffer(to - from));
    let mut pivots = [0; 2].map(|_| s.take_buffer(active.len()));
    for plane in 0..sides.width() {
        for (part, pivots) in pivots.iter_mut().enumerate() {
            sides.fill_pivots(part, plane, &active, pivots);
        }
        let y: [Held<'_>; 2] = [(&pivots[0], &pivots[1]), sides.pair_plane(1, plane, &pairs)];
        let cut = active.len();
        if plane == 0 {
            for (out, first, second) in [(&mut own, y[0].0, y[1].0), (&mut other, y[0].1, y[1].1)] {
                out[..cut].copy_from_slice(first);
                out[cut..].copy_from_slice(second);
            }
            continue;
        }
        let x = [sides.active_plane(plane, &active), sides.pair_plane(0, plane, &pairs)];
        let less = [(&own[..cut], &other[..cut]), (&own[cut..], &other[cut..])];
        let gates = [0, 1].map(|i: usize| Gate {
            left: Sum::both(x[i], y[i]),
            right: Sum::both(y[i], less[i]),
            plus: Sum::of(less[i]),
            words: x[i].0.len(),
        });
        run(s, &gates, &mut next_own, &mut next_other)?;
        std::mem::swap(&mut own, &mut next_own);
        std::mem::swap(&mut other, &mut next_other);
    }
    for buffer in pivots.into_iter().chain([next_own, next_other]) {
        s.give_buffer(buffer);
    }
    Ok(Planes::from_components(rows.len(), 1, own, other))
}
