//! Window functions over one PARTITION BY and ORDER BY: one sort, then prefix sums and differences
//! that restart at the borders of partitions and of peers (rows that tie in the order). O(n) after
//! the sort, except MIN and MAX, which scan in log2 n steps.
//!
//! * [`frame`]: where partitions and peers begin and end, what lies at the borders of a frame;
//! * [`ranks`]: ROW_NUMBER, RANK, DENSE_RANK, NTILE; [`values`]: LAG, LEAD, FIRST_VALUE and kin;
//! * [`totals`]: COUNT, SUM, AVG, BOOL_AND, BOOL_OR; [`extremes`]: MIN, MAX.

mod extremes;
mod frame;
mod ranks;
mod totals;
mod values;

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::eval;
use crate::ops::group_key::group_key;
use crate::ops::measure::contributes;
use crate::ops::scalar_aggregate::is_extreme;
use crate::ops::sort::key_planes;
use crate::plan::{Aggregate, Bound, Expr, SortKey, WindowFunction, WindowKind};
use crate::relation::{Relation, moved_planes, pack};
use crate::want::Want;
use frame::Rows;
use trine_mpc::sort::{Column as Moving, Shuffle, Ties, sort_columns};
use trine_mpc::{Planes, Session};

/// What a Window is asked for.
pub(crate) struct Window<'a> {
    /// PARTITION BY.
    pub(crate) partition: &'a [Expr],
    /// ORDER BY.
    pub(crate) order: &'a [SortKey],
    /// Functions.
    pub(crate) functions: &'a [WindowFunction],
}

/// One sort and one move of what is wanted (rows that tie come out at random where their order would
/// show), then what the functions cost. Reveals nothing.
pub(crate) fn window(
    mut input: Relation,
    window: &Window<'_>,
    wants: &[Want],
    s: &mut Session,
) -> Result<Relation> {
    let width = input.columns.len();
    if input.rows == 0 {
        for function in window.functions {
            let nothing = Column::literal(s, 0, &crate::plan::Literal::Null, &function.ty);
            input.columns.push(nothing.with_null(None));
        }
        return Ok(input);
    }
    let arguments = evaluate(window.functions, &mut input, s)?;
    let (sorted, mut rows) = sort_rows(input, window, wants, arguments.len(), s)?;
    let Relation { rows: count, valid, mut columns } = sorted;
    let arguments = columns.split_off(width);
    let mut relation = Relation { rows: count, valid, columns };
    let mut arguments = arguments.into_iter();
    let mut made = Vec::with_capacity(window.functions.len());
    for function in window.functions {
        let own: Vec<Column> = arguments.by_ref().take(argument_count(function)).collect();
        made.push(one(function, own, &relation, &mut rows, s)?);
    }
    relation.columns.extend(made);
    Ok(relation)
}

/// Expressions that travel with the rows, function by function: (expression, what is wanted of it).
fn argument_exprs(function: &WindowFunction) -> Vec<(&Expr, Want)> {
    match &function.kind {
        WindowKind::RowNumber | WindowKind::Rank | WindowKind::DenseRank | WindowKind::Ntile(_) => {
            Vec::new()
        }
        WindowKind::Shift { value, default, .. } => {
            let want = if default.is_some() { Want::PLANES } else { Want::ANY };
            std::iter::once((value, want)).chain(default.iter().map(|d| (d, want))).collect()
        }
        WindowKind::Value { value, frame, .. } => {
            let moves = |b: Bound| matches!(b, Bound::Rows(k) if k != 0);
            let want =
                if moves(frame.start) || moves(frame.end) { Want::PLANES } else { Want::ANY };
            vec![(value, want)]
        }
        WindowKind::Aggregate { aggregate, .. } => aggregate
            .argument
            .iter()
            .map(|a| (a, crate::ops::measure::argument_want(aggregate)))
            .collect(),
    }
}

/// What the expressions of a function want of the input's columns.
pub(crate) fn argument_wants(function: &WindowFunction, out: &mut [Want]) {
    for (expr, want) in argument_exprs(function) {
        crate::want::collect(expr, want, out);
    }
    if let WindowKind::Aggregate { aggregate: Aggregate { filter: Some(filter), .. }, .. } =
        &function.kind
    {
        crate::want::collect(filter, Want::PLANES, out);
    }
}

/// Columns that travel for a function: its arguments; an aggregate adds whether the row contributes.
fn argument_count(function: &WindowFunction) -> usize {
    let contributes = matches!(function.kind, WindowKind::Aggregate { .. });
    argument_exprs(function).len() + usize::from(contributes)
}

/// Appends the arguments of all functions to the relation.
fn evaluate(
    functions: &[WindowFunction],
    input: &mut Relation,
    s: &mut Session,
) -> Result<Vec<Want>> {
    let mut columns = Vec::new();
    let mut wants = Vec::new();
    for function in functions {
        for (expr, want) in argument_exprs(function) {
            columns.push(eval(expr, input, s, want)?);
            wants.push(want);
        }
        if let WindowKind::Aggregate { aggregate, .. } = &function.kind {
            let mut argument = match &aggregate.argument {
                Some(_) => columns.pop(),
                None => None,
            };
            let bit = contributes(aggregate, argument.as_mut(), None, input, s)?;
            columns.extend(argument.map(|c| c.with_null(None)));
            columns.push(Column::from_planes(crate::types::Type::Boolean, bit, None));
            wants.push(Want::PLANES);
        }
    }
    input.columns.extend(columns);
    Ok(wants)
}

/// Whether the order among rows that tie shows in the result.
fn shows_ties(function: &WindowFunction) -> bool {
    let rows = |b: Bound| matches!(b, Bound::Rows(_));
    match &function.kind {
        WindowKind::Rank | WindowKind::DenseRank => false,
        WindowKind::Aggregate { frame, .. } => rows(frame.start) || rows(frame.end),
        WindowKind::RowNumber
        | WindowKind::Ntile(_)
        | WindowKind::Shift { .. }
        | WindowKind::Value { .. } => true,
    }
}

/// Rows by (valid first, partition, order), arguments included; and their borders.
fn sort_rows(
    mut input: Relation,
    window: &Window<'_>,
    wants: &[Want],
    arguments: usize,
    s: &mut Session,
) -> Result<(Relation, Rows)> {
    let n = input.rows;
    let mut order: Option<Planes> = None;
    for key in window.order.iter().rev() {
        let planes = key_planes(key, &mut input, s)?;
        order = Some(order.map_or_else(|| planes.clone(), |low| low.stack(&planes)));
    }
    let partition = group_key(window.partition, &mut input, s)?;
    let partition = partition.with_validity(input.valid.as_ref(), s);
    let (order_bits, partition_bits) =
        (order.as_ref().map_or(0, Planes::width), partition.as_ref().map_or(0, Planes::width));
    let key = bits::stack_all(order.iter().chain(&partition));
    let width = input.columns.len() - arguments;
    let mut all: Vec<Want> =
        (0..width).map(|i| wants.get(i).copied().unwrap_or(Want::NOTHING)).collect();
    all.extend(std::iter::repeat_n(Want::ANY, arguments));
    let has_valid = input.valid.is_some();
    let (packed, columns) = pack(input.columns, &all)?;
    let mut moving: Vec<Moving> = input.valid.map(Moving::Planes).into_iter().collect();
    moving.extend(columns);
    let has_ties = window.functions.iter().any(shows_ties);
    let (key, moved) = match key {
        Some(key) => {
            let ties = if has_ties { Ties::Random } else { Ties::Stable };
            let (_, key, moved) = sort_columns(s, key, moving, ties)?;
            (Some(key), moved)
        }
        None if has_ties => (None, Shuffle::draw(s, n).apply(s, moving)?),
        None => (None, moving),
    };
    let mut moved = moved.into_iter();
    let valid = if has_valid { Some(moved_planes(moved.next())?) } else { None };
    let columns = packed.unpack(s, n, &mut moved)?;
    let (order, partition) = match key {
        None => (None, None),
        Some(key) => (
            (order_bits > 0).then(|| key.bits(0..order_bits)),
            (partition_bits > 0).then(|| key.bits(order_bits..order_bits + partition_bits)),
        ),
    };
    let single = window.partition.is_empty();
    let rows = Rows::new(n, single, partition, order, s)?;
    Ok((Relation { rows: n, valid, columns }, rows))
}

/// One function over sorted rows.
fn one(
    function: &WindowFunction,
    arguments: Vec<Column>,
    relation: &Relation,
    rows: &mut Rows,
    s: &mut Session,
) -> Result<Column> {
    let ty = &function.ty;
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().ok_or_else(|| QueryError::bug("an argument is missing"));
    match &function.kind {
        WindowKind::RowNumber => ranks::row_number(ty, rows, s),
        WindowKind::Rank => ranks::rank(ty, rows, s),
        WindowKind::DenseRank => ranks::dense_rank(ty, rows, s),
        WindowKind::Ntile(buckets) => ranks::ntile(*buckets, ty, relation.valid.as_ref(), rows, s),
        WindowKind::Shift { back, default, .. } => {
            let value = next()?;
            let default = if default.is_some() { Some(next()?) } else { None };
            values::shift(value, *back, default, ty, rows, s)
        }
        WindowKind::Value { which, frame, .. } => {
            values::value(next()?, *which, *frame, relation.valid.as_ref(), rows, s)
        }
        WindowKind::Aggregate { aggregate, frame } => {
            let argument = if aggregate.argument.is_some() { Some(next()?) } else { None };
            let mut counts = next()?;
            let counts = counts.planes(s)?.clone();
            if is_extreme(aggregate) {
                let value = argument.ok_or_else(|| QueryError::bug("MIN without an argument"))?;
                return extremes::extreme(aggregate, value, counts, *frame, rows, s);
            }
            totals::total(aggregate, argument, counts, *frame, relation, rows, s)
        }
    }
}
