//! One sort of a grouped aggregation: everything that one order of the rows answers.
//!
//! Rows are sorted by (invalid, keys), or by (invalid, keys, contributes, value) where MIN, MAX or
//! DISTINCT ask for the order of a value. Then: contributions as 0/1 vectors, local prefix sums,
//! a mark on the last valid row of each group, a stable partition by the mark; the difference of
//! neighbours is the group's total. Groups come out in key order, the same in every pass.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::contributions::contributions;
use crate::ops::finish::{Count, Totals, finish};
use crate::ops::group_key::GroupKey;
use crate::ops::measure::{Measures, Output, Sum, Total, argument_of, contributes};
use crate::ops::scalar_aggregate::is_extreme;
use crate::plan::{Aggregate, Function};
use crate::relation::{Relation, moved_planes};
use crate::types::Type;
use crate::want::Want;
use trine_mpc::sort::{Column as Moving, partition, sort};
use trine_mpc::{Planes, Session, protocol};

/// What one pass answers: positions among the aggregates.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// COUNT, SUM, AVG, BOOL_AND, BOOL_OR.
    pub(crate) plain: Vec<usize>,
    /// MIN, MAX and DISTINCT over one argument and one FILTER.
    pub(crate) ordered: Vec<usize>,
}

/// Groups in key order, then rows that are no group.
pub(crate) struct Grouped {
    /// 1 = the row is a group.
    pub(crate) valid: Planes,
    /// Planes of the key.
    pub(crate) keys: Option<Planes>,
    /// (position, column) of each aggregate of the pass.
    pub(crate) columns: Vec<(usize, Column)>,
}

/// The value whose order a pass asks for.
struct Ordered {
    ty: Type,
    /// Value planes, the contribution bit on top. Complemented value where `descending`.
    planes: Planes,
    descending: bool,
    /// For SUM(DISTINCT): the value in the ring of the total.
    value: Option<ArithAny>,
}

/// Rows after the sort.
struct Sorted {
    rows: usize,
    key: Option<Planes>,
    classes: Vec<Option<Planes>>,
    sums: Vec<Sum>,
    ordered: Option<Ordered>,
    /// Same group as the row before.
    same: Planes,
    /// Last valid row of its group.
    mark: Planes,
}

/// Runs a pass. One sort, one move of what the aggregates need, bit conversion and products, one
/// partition and one move of the totals. Reveals nothing.
pub(crate) fn run(
    pass: &Pass,
    key: &GroupKey,
    input: &mut Relation,
    aggregates: &[Aggregate],
    s: &mut Session,
) -> Result<Grouped> {
    let mut measures = Measures::new(input, false);
    for &index in &pass.plain {
        measures.add(&aggregates[index], input, s)?;
    }
    let ordered = ordered_value(pass, aggregates, input, s)?;
    let mut sorted = sort_rows(key, input, &measures, ordered, s)?;
    if pass.plain.is_empty() && pass.ordered.is_empty() {
        return Ok(Grouped { valid: sorted.mark, keys: sorted.key, columns: Vec::new() });
    }
    let mut outputs = measures.outputs;
    let mut summed = pass.plain.clone();
    for &index in &pass.ordered {
        if !is_extreme(&aggregates[index]) {
            outputs.push(distinct(&aggregates[index], &mut sorted, s)?);
            summed.push(index);
        }
    }
    let minimum_inside = pass.ordered.iter().any(|&i| {
        aggregates[i].function == Function::Min
            && sorted.ordered.as_ref().is_some_and(|o| !o.descending)
    });
    let lowest = if minimum_inside { Some(lowest_prefix(&sorted, s)?) } else { None };
    let (grouped, totals, extremes) = compact_groups(sorted, lowest, s)?;
    let of: Vec<&Aggregate> = summed.iter().map(|&i| &aggregates[i]).collect();
    let (columns, _) = finish(&of, &outputs, &totals, false, s)?;
    let mut columns: Vec<(usize, Column)> = summed.into_iter().zip(columns).collect();
    for &index in pass.ordered.iter().filter(|&&i| is_extreme(&aggregates[i])) {
        columns.push((index, extreme(&aggregates[index], extremes.as_ref(), s)?));
    }
    Ok(Grouped { columns, ..grouped })
}

fn ordered_value(
    pass: &Pass,
    aggregates: &[Aggregate],
    input: &mut Relation,
    s: &mut Session,
) -> Result<Option<Ordered>> {
    let Some(first) = pass.ordered.first().map(|&i| &aggregates[i]) else { return Ok(None) };
    let members = || pass.ordered.iter().map(|&i| &aggregates[i]);
    let mut x = argument_of(first, input, s)?;
    let counts = contributes(first, Some(&mut x), None, input, s)?;
    let descending = members().any(|m| m.function == Function::Min)
        && !members().any(|m| m.function == Function::Max);
    let sum = members().find(|m| m.distinct && m.function == Function::Sum);
    let value = match sum {
        Some(sum) => Some(x.arith_in(s, sum.ty.ring_bits())?),
        None => None,
    };
    let own = x.planes(s)?;
    let own = if descending { own.not(s.party()) } else { own.clone() };
    Ok(Some(Ordered { ty: x.ty, planes: own.stack(&counts), descending, value }))
}

fn sort_rows(
    key: &GroupKey,
    input: &Relation,
    measures: &Measures,
    ordered: Option<Ordered>,
    s: &mut Session,
) -> Result<Sorted> {
    let rows = input.rows;
    let group = key.with_validity(input.valid.as_ref(), s);
    let telling = group.as_ref().map(|planes| key.telling(planes));
    let parts = ordered.as_ref().map(|o| &o.planes).into_iter().chain(&telling);
    let sort_key = bits::stack_all(parts);
    let mut moving: Vec<Moving> = Vec::new();
    moving.extend(group.clone().map(Moving::Planes));
    moving.extend(measures.classes.iter().flatten().cloned().map(Moving::Planes));
    moving.extend(measures.sums.iter().map(|sum| sum.value.clone().into_moving()));
    moving.extend(ordered.iter().map(|o| Moving::Planes(o.planes.clone())));
    moving.extend(ordered.iter().filter_map(|o| o.value.clone()).map(ArithAny::into_moving));
    let moved = match sort_key {
        Some(sort_key) if rows > 1 && !key.presorted => sort(s, &sort_key)?.apply(s, moving)?,
        _ => moving,
    };
    let mut moved = moved.into_iter();
    let group = if group.is_some() { Some(moved_planes(moved.next())?) } else { None };
    let mut classes = Vec::with_capacity(measures.classes.len());
    for class in &measures.classes {
        classes.push(if class.is_some() { Some(moved_planes(moved.next())?) } else { None });
    }
    let mut number = || -> Result<ArithAny> {
        let column = moved.next().ok_or_else(|| QueryError::bug("a sort lost a column"))?;
        ArithAny::from_moving(column)
    };
    let mut sums = Vec::with_capacity(measures.sums.len());
    for sum in &measures.sums {
        sums.push(Sum { class: sum.class, value: number()? });
    }
    let ordered = match ordered {
        None => None,
        Some(o) => {
            let planes = moved_planes(moved.next())?;
            let value = match (o.value, moved.next()) {
                (Some(_), Some(column)) => Some(ArithAny::from_moving(column)?),
                _ => None,
            };
            Some(Ordered { planes, value, ..o })
        }
    };
    let same = match &group {
        Some(group) => bits::equals_previous(s, &key.telling(group))?,
        None if rows == 0 => bits::constant_bit(s, 0, false),
        None => bits::constant_bit(s, 1, false).concat(&bits::constant_bit(s, rows - 1, true)),
    };
    let last = bits::next_row(s, &same.not(s.party()), true);
    let (mark, key) = match (&input.valid, group) {
        (Some(_), Some(group)) => {
            let width = group.width() - 1;
            let valid = group.bits(width..width + 1).not(s.party());
            (protocol::and(s, &last, &valid)?, (width > 0).then(|| group.bits(0..width)))
        }
        (_, group) => (last, group),
    };
    Ok(Sorted { rows, key, classes, sums, ordered, same, mark })
}

/// The contribution bit of the ordered value.
fn contribution(ordered: &Ordered) -> Planes {
    let top = ordered.planes.width() - 1;
    ordered.planes.bits(top..top + 1)
}

/// A class for DISTINCT: contributes, and is not the same group and value as the row before.
fn distinct(aggregate: &Aggregate, sorted: &mut Sorted, s: &mut Session) -> Result<Output> {
    let Some(ordered) = &sorted.ordered else {
        return Err(QueryError::bug("DISTINCT without an order"));
    };
    let again = bits::equals_previous(s, &ordered.planes)?;
    let again = protocol::and(s, &again, &sorted.same)?;
    let first = protocol::and(s, &contribution(ordered), &again.not(s.party()))?;
    let class = sorted.classes.len();
    sorted.classes.push(Some(first));
    match (aggregate.function, &ordered.value) {
        (Function::Count, _) => Ok(Output::Count { class }),
        (Function::Sum, Some(value)) => {
            let sum = Sum { class, value: value.clone() };
            sorted.sums.push(sum);
            Ok(Output::Sum { sum: Total::Whole(sorted.sums.len() - 1), class })
        }
        _ => Err(QueryError::bug("DISTINCT goes with COUNT and SUM")),
    }
}

/// Prefix xor of the value in the first contributing row of every group: its difference between two
/// groups is the group's lowest value.
fn lowest_prefix(sorted: &Sorted, s: &mut Session) -> Result<Planes> {
    let Some(ordered) = &sorted.ordered else {
        return Err(QueryError::bug("MIN without an order"));
    };
    let counts = contribution(ordered);
    let before = protocol::and(s, &counts.shift_down(), &sorted.same)?;
    let first = protocol::and(s, &counts, &before.not(s.party()))?;
    let value = ordered.planes.bits(0..ordered.planes.width() - 1);
    Ok(protocol::and(s, &first, &value)?.prefix_xor())
}

/// Extremes of each group.
struct Extremes {
    ty: Type,
    null: Planes,
    /// Of the last row: MAX, or MIN where the order is descending.
    last: Planes,
    /// MIN where the order is ascending.
    lowest: Option<Planes>,
}

/// Prefix sums, then only the marked rows in front, then differences of neighbours.
fn compact_groups(
    sorted: Sorted,
    lowest: Option<Planes>,
    s: &mut Session,
) -> Result<(Grouped, Totals, Option<Extremes>)> {
    let Sorted { rows, key, classes, sums, ordered, mark, .. } = sorted;
    let (counts, values) = prefix_sums(&classes, &sums, rows, s)?;
    let mut moving = vec![Moving::Planes(mark.clone())];
    moving.extend(key.clone().map(Moving::Planes));
    moving.extend(counts.iter().chain(&values).cloned().map(ArithAny::into_moving));
    moving.extend(ordered.iter().map(|o| Moving::Planes(o.planes.clone())));
    moving.extend(lowest.clone().map(Moving::Planes));
    let moved = if rows > 1 { partition(s, &mark)?.apply(s, moving)? } else { moving };
    let mut moved = moved.into_iter();
    let valid = moved_planes(moved.next())?;
    let keys = if key.is_some() { Some(moved_planes(moved.next())?) } else { None };
    let mut difference = || -> Result<ArithAny> {
        let column = moved.next().ok_or_else(|| QueryError::bug("a partition lost a column"))?;
        Ok(ArithAny::from_moving(column)?.adjacent_difference())
    };
    let mut group_counts = Vec::with_capacity(counts.len());
    for _ in &counts {
        group_counts.push(Count::Secret(difference()?.low64()));
    }
    let mut group_sums = Vec::with_capacity(values.len());
    for _ in &values {
        group_sums.push(difference()?);
    }
    let extremes = match ordered {
        None => None,
        Some(o) => {
            let planes = moved_planes(moved.next())?;
            let width = planes.width() - 1;
            let last = planes.bits(0..width);
            let last = if o.descending { last.not(s.party()) } else { last };
            let null = planes.bits(width..width + 1).not(s.party());
            let lowest = match lowest {
                None => None,
                Some(_) => {
                    let prefix = moved_planes(moved.next())?;
                    Some(prefix.xor(&prefix.shift_down()))
                }
            };
            Some(Extremes { ty: o.ty, null, last, lowest })
        }
    };
    let totals = Totals {
        groups: rows,
        rows_max: u64::try_from(rows).map_err(|_| QueryError::bug("more rows than memory"))?,
        counts: group_counts,
        sums: group_sums,
        valid_is_never_empty: true,
    };
    Ok((Grouped { valid, keys, columns: Vec::new() }, totals, extremes))
}

/// Prefix counts of classes and prefix sums of values.
fn prefix_sums(
    classes: &[Option<Planes>],
    sums: &[Sum],
    rows: usize,
    s: &mut Session,
) -> Result<(Vec<ArithAny>, Vec<ArithAny>)> {
    let (counts, values) = contributions(classes, sums, rows, s)?;
    let prefix = |all: Vec<ArithAny>| all.iter().map(ArithAny::prefix_sum).collect();
    Ok((prefix(counts), prefix(values)))
}

fn extreme(aggregate: &Aggregate, extremes: Option<&Extremes>, s: &mut Session) -> Result<Column> {
    let Some(extremes) = extremes else {
        return Err(QueryError::bug("MIN or MAX without an order"));
    };
    let planes = match (&extremes.lowest, aggregate.function) {
        (Some(lowest), Function::Min) => lowest.clone(),
        _ => extremes.last.clone(),
    };
    let column = Column::from_planes(extremes.ty.clone(), planes, Some(extremes.null.clone()));
    column.retype(s, &aggregate.ty, Want::ANY)
}
