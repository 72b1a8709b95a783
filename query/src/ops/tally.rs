//! Adding up without a sort: class bits become arithmetic 0/1 vectors, counts are their local sums
//! and every SUM is an inner product, all of them in one round.

use crate::arith::{self, ArithAny};
use crate::bits;
use crate::error::{QueryError, Result};
use crate::ops::finish::{Count, Totals};
use crate::ops::measure::Sum;
use trine_mpc::{Arith, Cost, Planes, Profile, Session, protocol};

/// Elements of arithmetic class vectors that are laid out at a time: as few as stay in the cache, where the
/// network is near.
const ELEMENTS_MIN: usize = 1 << 18;
/// No more than these, however far the parties are.
const ELEMENTS_MAX: usize = 1 << 23;
/// Rows of a chunk at least: a chunk costs a few rounds of its own.
const CHUNK_ROWS_MIN: usize = 1 << 14;
const _: () = assert!(CHUNK_ROWS_MIN.is_multiple_of(64));

/// Elements laid out at a time: so many that the rounds of a chunk, three, are lost in what its bytes take.
fn elements_at_a_time(profile: Profile) -> usize {
    let mut elements = ELEMENTS_MIN;
    let rounds = profile.time_ns(Cost { rounds: 3, bytes: [0; 3] });
    let work =
        |elements: usize| profile.time_ns(Cost { rounds: 0, bytes: [elements as u64 * 8; 3] });
    while elements < ELEMENTS_MAX && work(elements) < rounds.saturating_mul(8) {
        elements *= 2;
    }
    elements
}

/// Every plane of every column as an arithmetic 0/1 vector, in the ring of 128 bits for columns that
/// ask for it. 3 ring bits a plane and row, 2 rounds a ring.
pub(crate) fn bits_to_arith(
    columns: &[(&Planes, bool)],
    s: &mut Session,
) -> Result<Vec<Vec<ArithAny>>> {
    let mut by_ring = [Vec::new(), Vec::new()];
    for (slot, wide) in by_ring.iter_mut().zip([false, true]) {
        let own = columns.iter().filter(|(_, w)| *w == wide).map(|(planes, _)| *planes);
        let Some(stacked) = bits::stack_all(own) else { continue };
        *slot = if wide {
            protocol::bits_to_arith(s, &stacked)?.into_iter().map(ArithAny::A128).collect()
        } else {
            protocol::bits_to_arith(s, &stacked)?.into_iter().map(ArithAny::A64).collect()
        };
    }
    let [narrow, wide] = by_ring;
    let (mut narrow, mut wide) = (narrow.into_iter(), wide.into_iter());
    Ok(columns
        .iter()
        .map(|(planes, is_wide)| {
            let source = if *is_wide { &mut wide } else { &mut narrow };
            source.by_ref().take(planes.width()).collect()
        })
        .collect())
}

/// Whether a class is needed in the ring of 128 bits.
pub(crate) fn is_wide(class: usize, sums: &[Sum]) -> bool {
    sums.iter().any(|sum| sum.class == class && sum.value.ring_bits() == 128)
}

/// Totals per group. `classes[c]` has one plane per group (none: one group, every row).
pub(crate) fn tally(
    classes: &[Option<Planes>],
    groups: usize,
    sums: &[Sum],
    rows: usize,
    s: &mut Session,
) -> Result<Totals> {
    let rows_max = u64::try_from(rows).map_err(|_| QueryError::bug("more rows than memory"))?;
    let laid_out = classes.iter().filter(|c| c.is_some()).count() * groups;
    let chunk = elements_at_a_time(s.profile()) / laid_out.max(1);
    let chunk = chunk.max(CHUNK_ROWS_MIN) / 64 * 64;
    let mut counts = Vec::with_capacity(classes.len());
    for class in classes {
        counts.push(match class {
            None => Count::Public(rows_max),
            Some(_) => Count::Secret(arith::constant(s, groups, 0)),
        });
    }
    let mut totals: Vec<ArithAny> = sums
        .iter()
        .map(|sum| match classes.get(sum.class) {
            Some(None) => sum.value.sum(),
            _ => ArithAny::constant(s, sum.value.ring_bits(), groups, 0),
        })
        .collect();
    let mut start = 0;
    while start < rows {
        let range = start..rows.min(start + chunk);
        start = range.end;
        let own: Vec<(usize, Planes)> = classes
            .iter()
            .enumerate()
            .filter_map(|(c, planes)| planes.as_ref().map(|p| (c, p.slice(range.clone()))))
            .collect();
        let columns: Vec<(&Planes, bool)> =
            own.iter().map(|(c, planes)| (planes, is_wide(*c, sums))).collect();
        let vectors = bits_to_arith(&columns, s)?;
        for ((class, _), cells) in own.iter().zip(&vectors) {
            if let Count::Secret(count) = &mut counts[*class] {
                *count = count.add(&cell_counts(cells)?);
            }
        }
        let of_class = |class: usize| {
            own.iter().position(|(c, _)| *c == class).and_then(|index| vectors.get(index))
        };
        add_inner_products(&mut totals, sums, of_class, &range, s)?;
    }
    Ok(Totals { groups, rows_max, counts, sums: totals, valid_is_never_empty: false })
}

/// One row per cell: how many rows it has.
fn cell_counts(cells: &[ArithAny]) -> Result<Arith<u64>> {
    cells
        .iter()
        .map(|cell| cell.sum().low64())
        .reduce(|above, below| above.concat(&below))
        .ok_or_else(|| QueryError::bug("an aggregation without cells"))
}

/// Adds to every total the inner products of its cells with its values; one round a ring.
fn add_inner_products<'a>(
    totals: &mut [ArithAny],
    sums: &[Sum],
    cells_of: impl Fn(usize) -> Option<&'a Vec<ArithAny>>,
    range: &std::ops::Range<usize>,
    s: &mut Session,
) -> Result<()> {
    for ring in [64, 128] {
        let mut owners = Vec::new();
        let mut pairs = Vec::new();
        for (index, sum) in sums.iter().enumerate() {
            let Some(cells) = cells_of(sum.class) else { continue };
            if sum.value.ring_bits() != ring {
                continue;
            }
            let value = sum.value.slice(range.clone());
            owners.push((index, cells.len()));
            for cell in cells {
                let cell = if ring == 64 { ArithAny::A64(cell.low64()) } else { cell.clone() };
                pairs.push((cell, value.clone()));
            }
        }
        if pairs.is_empty() {
            continue;
        }
        let refs: Vec<(&ArithAny, &ArithAny)> = pairs.iter().map(|(x, y)| (x, y)).collect();
        let products = arith::inner_products(s, &refs)?;
        let mut start = 0;
        for (index, cells) in owners {
            totals[index] = totals[index].add(&products.slice(start..start + cells))?;
            start += cells;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_with_the_round_trip() {
        assert_eq!(elements_at_a_time(Profile::LOCAL), ELEMENTS_MIN);
        let far = Profile { round_trip_us: 65_536, ..Profile::LOCAL };
        assert_eq!(elements_at_a_time(far), ELEMENTS_MAX);
        let between = elements_at_a_time(Profile { round_trip_us: 1024, ..Profile::LOCAL });
        assert!(ELEMENTS_MIN < between && between < ELEMENTS_MAX, "{between}");
    }
}
