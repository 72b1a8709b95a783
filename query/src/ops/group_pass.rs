//! One sort of a grouped aggregation: everything that one order of the rows answers.
//!
//! Rows are sorted by (invalid, keys), or by (invalid, keys, contributes, value) where MIN, MAX or
//! DISTINCT ask for the order of a value. Then: contributions as 0/1 vectors, local prefix sums,
//! a mark on the last valid row of each group, a stable partition by the mark; the difference of
//! neighbours is the group's total. Groups come out in key order, the same in every pass.
//!
//! Valid rows come first, so that no prefix sum in a valid row has met an invalid one: what counts every
//! valid row needs no masks, and the prefix count of a row is its public place.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::contributions::contributions;
use crate::ops::finish::{Count, Totals, counted, finish};
use crate::ops::group_key::GroupKey;
use crate::ops::measure::{Measures, Output, Sum, Total, VALID, argument_of, contributes};
use crate::ops::scalar_aggregate::is_extreme;
use crate::plan::{Aggregate, Function};
use crate::relation::{Relation, moved_planes};
use crate::types::Type;
use crate::want::Want;
use std::collections::BTreeSet;
use trine_mpc::sort::{Column as Moving, Ties, partition, sort_columns};
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

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

/// What the passes over one input have in common.
pub(crate) struct Input<'a> {
    /// Rows and arguments; emptied by the last pass.
    pub(crate) relation: Relation,
    /// Keys; their planes are let go of by the last pass.
    pub(crate) key: GroupKey,
    /// No more groups than these.
    pub(crate) groups: usize,
    /// All aggregates.
    pub(crate) aggregates: &'a [Aggregate],
    /// How each is used.
    pub(crate) wants: &'a [Want],
}

impl Input<'_> {
    fn want(&self, aggregate: usize) -> Want {
        self.wants.get(aggregate).copied().unwrap_or(Want::ANY)
    }
}

/// Runs a pass. One sort, one move of what the aggregates need, bit conversion and products for what does
/// not count every valid row, one partition and one move of the totals. Reveals nothing.
pub(crate) fn run(
    pass: &Pass,
    input: &mut Input<'_>,
    is_last: bool,
    s: &mut Session,
) -> Result<Grouped> {
    let aggregates = input.aggregates;
    let mut measures = Measures::new(&input.relation, false);
    for &index in &pass.plain {
        measures.add(&aggregates[index], &mut input.relation, s)?;
    }
    let ordered = ordered_value(pass, aggregates, &mut input.relation, s)?;
    let unsorted = Unsorted {
        rows: input.relation.rows,
        group: input.key.with_validity(input.relation.valid.as_ref(), s),
        has_valid: input.relation.valid.is_some(),
        classes: measures.classes,
        sums: measures.sums,
        ordered,
    };
    if is_last {
        input.relation.columns = Vec::new();
        input.relation.valid = None;
        input.key.planes = None;
    }
    let mut sorted = sort_rows(&input.key, unsorted, s)?;
    if pass.plain.is_empty() && pass.ordered.is_empty() {
        // Groups may stay where they are.
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
    let is_number = |(output, &index): (&Output, &usize)| {
        matches!(output, Output::Count { class: VALID }) && input.want(index).only_arith()
    };
    let count_as_number = outputs.iter().zip(&summed).any(is_number);
    let wanted = Wanted { counted: counted(&outputs, true), count_as_number };
    let (grouped, totals, extremes) = compact_groups(sorted, lowest, &wanted, input.groups, s)?;
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

/// What is sorted.
struct Unsorted {
    rows: usize,
    /// Keys, 1 where a row is invalid on top of them if some may be.
    group: Option<Planes>,
    has_valid: bool,
    classes: Vec<Option<Planes>>,
    sums: Vec<Sum>,
    ordered: Option<Ordered>,
}

/// Sorts unless rows of a group stand together already, and marks the groups. The key comes back from the
/// sort; what else is needed moves.
fn sort_rows(key: &GroupKey, mut all: Unsorted, s: &mut Session) -> Result<Sorted> {
    let is_sorted = !key.presorted && (all.group.is_some() || all.ordered.is_some());
    if is_sorted {
        // Invalid rows come last.
        all.classes[VALID] = None;
        all = move_rows(key, all, s)?;
    }
    let Unsorted { rows, group, has_valid, classes, sums, ordered } = all;
    let same = match &group {
        Some(group) => bits::equals_previous(s, &key.telling(group))?,
        None if rows == 0 => bits::constant_bit(s, 0, false),
        None => bits::constant_bit(s, 1, false).concat(&bits::constant_bit(s, rows - 1, true)),
    };
    let last = bits::next_row(s, &same.not(s.party()), true);
    let (mark, key) = match group {
        Some(group) if has_valid => {
            let width = group.width() - 1;
            let valid = group.bits(width..width + 1).not(s.party());
            (protocol::and(s, &last, &valid)?, (width > 0).then(|| group.bits(0..width)))
        }
        group => (last, group),
    };
    Ok(Sorted { rows, key, classes, sums, ordered, same, mark })
}

/// Everything in the order of (group, ordered value).
fn move_rows(key: &GroupKey, all: Unsorted, s: &mut Session) -> Result<Unsorted> {
    let telling = all.group.as_ref().map(|planes| key.telling(planes));
    let carried = all.group.as_ref().map(|planes| planes.bits(0..key.carried));
    let carried = carried.filter(|planes| planes.width() > 0);
    let parts = all.ordered.as_ref().map(|o| &o.planes).into_iter().chain(&telling);
    let Some(sort_key) = bits::stack_all(parts) else {
        return Err(QueryError::bug("a sort without a key"));
    };
    let (has_group, has_carried) = (telling.is_some(), carried.is_some());
    drop((telling, all.group));
    let mut moving: Vec<Moving> = carried.map(Moving::Planes).into_iter().collect();
    let class_at: Vec<bool> = all.classes.iter().map(Option::is_some).collect();
    moving.extend(all.classes.into_iter().flatten().map(Moving::Planes));
    let sum_of: Vec<usize> = all.sums.iter().map(|sum| sum.class).collect();
    moving.extend(all.sums.into_iter().map(|sum| sum.value.into_moving()));
    let ordered = all.ordered.map(|o| {
        let has_value = o.value.is_some();
        moving.extend(o.value.map(ArithAny::into_moving));
        (o.ty, o.planes.width(), o.descending, has_value)
    });
    let (_, sorted, moved) = sort_columns(s, sort_key, moving, Ties::Stable)?;
    let mut moved = moved.into_iter();
    let below = ordered.as_ref().map_or(0, |(_, width, ..)| *width);
    let mut group = has_group.then(|| sorted.bits(below..sorted.width()));
    if has_carried {
        let low = moved_planes(moved.next())?;
        group = group.map(|group| low.stack(&group));
    }
    let mut classes = Vec::with_capacity(class_at.len());
    for is_there in class_at {
        classes.push(if is_there { Some(moved_planes(moved.next())?) } else { None });
    }
    let mut number = || -> Result<ArithAny> {
        let column = moved.next().ok_or_else(|| QueryError::bug("a sort lost a column"))?;
        ArithAny::from_moving(column)
    };
    let mut sums = Vec::with_capacity(sum_of.len());
    for class in sum_of {
        sums.push(Sum { class, value: number()? });
    }
    let ordered = match ordered {
        None => None,
        Some((ty, width, descending, has_value)) => {
            let value = if has_value { Some(number()?) } else { None };
            Some(Ordered { ty, planes: sorted.bits(0..width), descending, value })
        }
    };
    Ok(Unsorted { group, classes, sums, ordered, ..all })
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

/// What is asked of the counts of classes.
struct Wanted {
    /// Classes that are counted at all.
    counted: BTreeSet<usize>,
    /// Whether arithmetic is asked for of the count of all rows.
    count_as_number: bool,
}

/// Prefix sums, then only the marked rows in front, then differences of neighbours.
fn compact_groups(
    sorted: Sorted,
    lowest: Option<Planes>,
    wanted: &Wanted,
    groups: usize,
    s: &mut Session,
) -> Result<(Grouped, Totals, Option<Extremes>)> {
    let Sorted { rows, key, classes, sums, ordered, same, mark } = sorted;
    drop(same);
    let (counts, values) = prefix_sums(classes, sums, wanted, rows, s)?;
    let mut moving = vec![Moving::Planes(mark.clone())];
    let (has_key, has_lowest) = (key.is_some(), lowest.is_some());
    moving.extend(key.map(Moving::Planes));
    let value_count = values.len();
    let is_counted: Vec<bool> = counts.iter().map(Option::is_some).collect();
    moving.extend(counts.into_iter().flatten());
    moving.extend(values.into_iter().map(ArithAny::into_moving));
    let ordered = ordered.map(|o| {
        moving.push(Moving::Planes(o.planes));
        (o.ty, o.descending)
    });
    moving.extend(lowest.map(Moving::Planes));
    let moved =
        if rows > 1 { partition(s, &mark)?.apply_front(s, moving, groups)? } else { moving };
    let mut moved = moved.into_iter();
    let mut next = || moved.next().ok_or_else(|| QueryError::bug("a partition lost a column"));
    let valid = moved_planes(Some(next()?))?;
    let keys = if has_key { Some(moved_planes(Some(next()?))?) } else { None };
    let mut group_counts = Vec::with_capacity(is_counted.len());
    for is_counted in is_counted {
        group_counts.push(if is_counted { count_between(next()?, s)? } else { Count::Unused });
    }
    let mut group_sums = Vec::with_capacity(value_count);
    for _ in 0..value_count {
        group_sums.push(ArithAny::from_moving(next()?)?.into_adjacent_difference());
    }
    let extremes = match ordered {
        None => None,
        Some((ty, descending)) => {
            let planes = moved_planes(Some(next()?))?;
            let width = planes.width() - 1;
            let last = planes.bits(0..width);
            let last = if descending { last.not(s.party()) } else { last };
            let null = planes.bits(width..width + 1).not(s.party());
            let lowest = if has_lowest {
                let prefix = moved_planes(Some(next()?))?;
                Some(prefix.xor(&prefix.shift_down()))
            } else {
                None
            };
            Some(Extremes { ty, null, last, lowest })
        }
    };
    let totals = Totals {
        groups: valid.len(),
        rows_max: u64::try_from(rows).map_err(|_| QueryError::bug("more rows than memory"))?,
        counts: group_counts,
        sums: group_sums,
        valid_is_never_empty: true,
    };
    Ok((Grouped { valid, keys, columns: Vec::new() }, totals, extremes))
}

/// Rows between one group's last row and the next one's.
fn count_between(prefix: Moving, s: &mut Session) -> Result<Count> {
    Ok(match prefix {
        Moving::Planes(prefix) => {
            Count::Planes(protocol::subtract(s, &prefix, &prefix.shift_down())?)
        }
        number => Count::Secret(ArithAny::from_moving(number)?.into_adjacent_difference().low64()),
    })
}

/// Prefix counts of the classes that are counted, and prefix sums of values.
fn prefix_sums(
    classes: Vec<Option<Planes>>,
    sums: Vec<Sum>,
    wanted: &Wanted,
    rows: usize,
    s: &mut Session,
) -> Result<(Vec<Option<Moving>>, Vec<ArithAny>)> {
    let is_used =
        |class: usize| wanted.counted.contains(&class) || sums.iter().any(|sum| sum.class == class);
    let classes: Vec<Option<Planes>> = classes
        .into_iter()
        .enumerate()
        .map(|(class, bit)| bit.filter(|_| is_used(class)))
        .collect();
    let every_row: Vec<bool> = classes.iter().map(Option::is_none).collect();
    let (counts, values) = contributions(&classes, &sums, rows, s)?;
    drop((classes, sums));
    let mut prefixes = Vec::with_capacity(counts.len());
    for (class, (count, every_row)) in counts.into_iter().zip(every_row).enumerate() {
        prefixes.push(if !wanted.counted.contains(&class) {
            None
        } else if every_row && !wanted.count_as_number {
            Some(Moving::Planes(places(rows, s)))
        } else {
            Some(count.into_prefix_sum().into_moving())
        });
    }
    Ok((prefixes, values.into_iter().map(ArithAny::into_prefix_sum).collect()))
}

/// The number of rows up to each row.
fn places(rows: usize, s: &Session) -> Planes {
    let width = bits_for(rows as u128) as usize;
    if s.is_dry() {
        return Planes::ghost(rows, width);
    }
    Planes::row_index(s.party(), rows + 1, width).slice(1..rows + 1)
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
