//! From totals of groups to the columns of aggregates: counts, sums, NULL where nothing
//! contributed, quotients.

use crate::arith::{self, ArithAny};
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::{divided, magnitude};
use crate::ops::measure::{Output, Total, VALID, ring_of};
use crate::plan::{Aggregate, Literal, Rounding};
use crate::types::{NumberKind, Type};
use std::collections::{BTreeMap, BTreeSet};
use trine_mpc::{Arith, Planes, Session, protocol};
use trine_proto::schema::bits_for;

/// Rows of a class in every group.
#[derive(Clone, Debug)]
pub(crate) enum Count {
    /// Known from public sizes, the same in every group.
    Public(u64),
    /// Secret.
    Secret(Arith<u64>),
    /// Secret, in planes enough for the number of rows.
    Planes(Planes),
    /// Nothing follows from it: not counted.
    Unused,
}

/// What was added up, one row per group.
#[derive(Debug)]
pub(crate) struct Totals {
    /// Groups.
    pub(crate) groups: usize,
    /// No class of a group has more rows.
    pub(crate) rows_max: u64,
    /// Per class.
    pub(crate) counts: Vec<Count>,
    /// Per sum.
    pub(crate) sums: Vec<ArithAny>,
    /// Whether a row of this total exists only where class 0 is not empty: then NULLs that follow
    /// from an empty class 0 need no computing.
    pub(crate) valid_is_never_empty: bool,
}

/// Per class: whether it is empty in each group.
#[derive(Clone, Debug)]
enum Empty {
    Never,
    Always,
    Secret(Planes),
}

/// Counts as planes and their emptiness, made for all classes that need it at once.
struct Emptiness {
    planes: BTreeMap<usize, Planes>,
    empty: BTreeMap<usize, Empty>,
}

impl Emptiness {
    fn new(totals: &Totals, classes: &[usize], s: &mut Session) -> Result<Self> {
        let width = count_bits(totals.rows_max);
        let mut out = Self { planes: BTreeMap::new(), empty: BTreeMap::new() };
        let mut secret: Vec<(usize, &Arith<u64>)> = Vec::new();
        for &class in classes {
            match totals.counts.get(class) {
                Some(Count::Public(0)) => drop(out.empty.insert(class, Empty::Always)),
                Some(Count::Public(_)) => drop(out.empty.insert(class, Empty::Never)),
                Some(Count::Secret(count)) => secret.push((class, count)),
                Some(Count::Planes(count)) => {
                    let count = bits::resize(count, width);
                    if !(class == VALID && totals.valid_is_never_empty) {
                        let zero = protocol::equal_constant(s, &count, &vec![false; width])?;
                        out.empty.insert(class, Empty::Secret(zero));
                    }
                    out.planes.insert(class, count);
                }
                Some(Count::Unused) | None => {
                    return Err(QueryError::bug("a class was not counted"));
                }
            }
        }
        let all = secret.iter().map(|(_, c)| (*c).clone()).reduce(|x, y| x.concat(&y));
        let Some(all) = all else { return Ok(out) };
        let planes = protocol::arith_to_planes(s, &all, width)?;
        let zero = protocol::equal_constant(s, &planes, &vec![false; width])?;
        for (index, (class, _)) in secret.into_iter().enumerate() {
            let rows = index * totals.groups..(index + 1) * totals.groups;
            out.planes.insert(class, planes.slice(rows.clone()));
            out.empty.insert(class, Empty::Secret(zero.slice(rows)));
        }
        Ok(out)
    }

    /// NULL bit for an aggregate over a class.
    fn null(&self, class: usize, totals: &Totals, s: &Session) -> Option<Planes> {
        if class == VALID && totals.valid_is_never_empty {
            return None;
        }
        match self.empty.get(&class) {
            Some(Empty::Secret(zero)) => Some(zero.clone()),
            Some(Empty::Always) => Some(bits::constant_bit(s, totals.groups, true)),
            Some(Empty::Never) | None => None,
        }
    }
}

/// Bits of a count of at most `rows_max`.
fn count_bits(rows_max: u64) -> usize {
    (bits_for(u128::from(rows_max)) as usize).max(1)
}

/// Classes that must be counted for the outputs.
pub(crate) fn counted(outputs: &[Output], valid_is_never_empty: bool) -> BTreeSet<usize> {
    let mut classes = BTreeSet::new();
    for output in outputs {
        classes.extend(needed(output, valid_is_never_empty));
        match output {
            Output::Count { class }
            | Output::Sum { sum: Total::Halves { .. }, class }
            | Output::Average { class, .. } => drop(classes.insert(*class)),
            Output::Sum { .. } | Output::Quantified { .. } => {}
        }
    }
    classes
}

/// Classes whose counts or emptiness an output needs as bits.
fn needed(output: &Output, valid_is_never_empty: bool) -> Vec<usize> {
    let nullable = |class: usize| !(class == VALID && valid_is_never_empty);
    match output {
        Output::Count { .. } => Vec::new(),
        Output::Sum { class, .. } => Some(*class).filter(|c| nullable(*c)).into_iter().collect(),
        Output::Average { class, .. } => vec![*class],
        Output::Quantified { some, class, .. } => {
            Some(*class).filter(|c| nullable(*c)).into_iter().chain([*some]).collect()
        }
    }
}

/// Columns of aggregates, and 1 where class 0 is not empty if that is asked for. Costs one
/// conversion and one equality for all classes together, and a division for each AVG.
pub(crate) fn finish(
    aggregates: &[&Aggregate],
    outputs: &[Output],
    totals: &Totals,
    occupied: bool,
    s: &mut Session,
) -> Result<(Vec<Column>, Option<Planes>)> {
    let mut classes: Vec<usize> = {
        let never = totals.valid_is_never_empty;
        outputs.iter().flat_map(|o| needed(o, never)).collect()
    };
    classes.extend(occupied.then_some(VALID));
    classes.sort_unstable();
    classes.dedup();
    let emptiness = Emptiness::new(totals, &classes, s)?;
    let mut columns = Vec::with_capacity(outputs.len());
    for (aggregate, output) in aggregates.iter().zip(outputs) {
        columns.push(column(aggregate, output, totals, &emptiness, s)?);
    }
    let occupied = match emptiness.empty.get(&VALID) {
        Some(Empty::Secret(zero)) if occupied => Some(zero.not(s.party())),
        Some(Empty::Always) if occupied => Some(bits::constant_bit(s, totals.groups, false)),
        _ => None,
    };
    Ok((columns, occupied))
}

fn column(
    aggregate: &Aggregate,
    output: &Output,
    totals: &Totals,
    emptiness: &Emptiness,
    s: &mut Session,
) -> Result<Column> {
    let missing = || QueryError::bug("a total is missing");
    let ty = &aggregate.ty;
    match output {
        Output::Count { class } => Ok(match totals.counts.get(*class).ok_or_else(missing)? {
            Count::Public(n) => {
                Column::literal(s, totals.groups, &Literal::Number(i128::from(*n)), ty)
            }
            Count::Secret(count) => {
                Column::from_arith(ty.clone(), ArithAny::A64(count.clone()), None)
            }
            Count::Planes(count) => {
                let (low, _) = bits::bounds(ty).ok_or_else(missing)?;
                let planes = bits::rebase(s, count, 0, low, ty.bits())?;
                Column::from_planes(ty.clone(), planes, None)
            }
            Count::Unused => return Err(missing()),
        }),
        Output::Sum { sum, class } => {
            let null = emptiness.null(*class, totals, s);
            let sum = whole(sum, *class, totals, s)?;
            Ok(Column::from_arith(ty.clone(), sum, null))
        }
        Output::Average { sum, class, factor, plain, bounds, fraction_bits } => {
            let null = emptiness.null(*class, totals, s);
            let width = count_bits(totals.rows_max);
            let count = match (totals.counts.get(*class), emptiness.planes.get(class)) {
                (_, Some(planes)) => planes.clone(),
                (Some(Count::Public(n)), None) => {
                    bits::constant(s, totals.groups, &bits::number_bits(u128::from(*n), width))
                }
                _ => return Err(missing()),
            };
            let sum = whole(sum, *class, totals, s)?;
            let sum = widened(sum, *plain, ring_of(*bounds), s)?;
            let raised = sum.times_constant(*factor);
            let planes = quotient(&raised, *bounds, &count, *fraction_bits, ty, s)?;
            Ok(Column::from_planes(ty.clone(), planes, null))
        }
        Output::Quantified { some, class, when_some } => {
            let null = emptiness.null(*class, totals, s);
            let none = match emptiness.empty.get(some) {
                Some(Empty::Secret(zero)) => zero.clone(),
                Some(Empty::Always) => bits::constant_bit(s, totals.groups, true),
                _ => return Err(missing()),
            };
            let value = if *when_some { none.not(s.party()) } else { none };
            Ok(Column::from_planes(Type::Boolean, value, null))
        }
    }
}

/// A total in the ring that holds it.
fn whole(total: &Total, class: usize, totals: &Totals, s: &mut Session) -> Result<ArithAny> {
    let missing = || QueryError::bug("a total is missing");
    let (sum, upper, shift, low) = match total {
        Total::Whole(sum) => return totals.sums.get(*sum).cloned().ok_or_else(missing),
        Total::Halves { sum, upper, shift, low } => (*sum, *upper, *shift, *low),
    };
    let sum = totals.sums.get(sum).ok_or_else(missing)?.low64();
    let upper = totals.sums.get(upper).ok_or_else(missing)?;
    let count = match totals.counts.get(class).ok_or_else(missing)? {
        Count::Public(n) => arith::constant(s, totals.groups, i128::from(*n)),
        Count::Secret(count) => count.clone(),
        Count::Planes(count) => protocol::planes_to_arith(s, count)?,
        Count::Unused => return Err(missing()),
    };
    let (high, count) = (upper.clone(), ArithAny::A64(count));
    let lower = ArithAny::A64(sum)
        .sub(&count.times_constant(low))?
        .sub(&high.times_constant(1_i128 << shift))?;
    let rows = count_bits(totals.rows_max);
    let lower = unsigned(&lower, 64, s)?;
    let high = unsigned(&high, (64 - shift as usize + rows).min(64), s)?;
    let count = unsigned(&count, rows, s)?;
    high.times_constant(1_i128 << shift).add(&lower)?.add(&count.times_constant(low))
}

/// Numbers of `width` bits in the ring of 128. One conversion there and one back.
fn unsigned(x: &ArithAny, width: usize, s: &mut Session) -> Result<ArithAny> {
    let planes = x.to_planes(s, width)?;
    Ok(ArithAny::A128(protocol::planes_to_arith(s, &planes)?))
}

/// Numbers within bounds in a ring that may be wider than theirs.
fn widened(
    x: ArithAny,
    (low, high): (i128, i128),
    ring: usize,
    s: &mut Session,
) -> Result<ArithAny> {
    if x.ring_bits() == ring {
        return Ok(x);
    }
    let kind = NumberKind::BigInt;
    Column::from_arith(Type::Number { kind, low, high }, x, None).arith_in(s, ring)
}

/// sum * 2^fraction_bits / count as canonical planes of `ty`. A sum without fraction bits is rounded
/// to the nearest, ties away from zero; one with them towards zero.
fn quotient(
    sum: &ArithAny,
    (low, high): (i128, i128),
    count: &Planes,
    fraction_bits: usize,
    ty: &Type,
    s: &mut Session,
) -> Result<Planes> {
    let kind = NumberKind::BigInt;
    let mut sum = Column::from_arith(Type::Number { kind, low, high }, sum.clone(), None);
    let (size, negative) = magnitude(&mut sum, s)?;
    let rounding = if fraction_bits == 0 { Rounding::Nearest } else { Rounding::Truncate };
    divided((&size, negative.as_ref()), (count, None), fraction_bits, rounding, ty, s)
}
