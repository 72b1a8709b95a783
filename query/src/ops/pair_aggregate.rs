//! Pair aggregate: every left row beside aggregates over the right rows that meet a condition with
//! it. All n * m pairs are looked at, right row by right row, so that what belongs to one left row
//! lies at a public distance and adding up needs neither sort nor scan.

use crate::arith::ArithAny;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::{eval, truth};
use crate::ops::contributions::contributions;
use crate::ops::cross_join::{or_blocks, pairs};
use crate::ops::extreme::tournament;
use crate::ops::finish::{Count, Totals, finish};
use crate::ops::measure::{Measures, contributes};
use crate::ops::scalar_aggregate::is_extreme;
use crate::plan::{Aggregate, Expr, Function, Literal};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// Pairs that are laid out at once where nothing but conditions is asked for.
const PAIRS_AT_ONCE: usize = 1 << 20;

/// The condition for every pair; then 3 bits a pair for BOOL_OR and BOOL_AND, a tournament for MIN and
/// MAX, one bit conversion and one product a pair for COUNT, SUM and AVG. Reveals nothing.
pub(crate) fn pair_aggregate(
    left: Relation,
    right: &Relation,
    condition: Option<&Expr>,
    aggregates: &[Aggregate],
    s: &mut Session,
) -> Result<Relation> {
    let made = if left.rows == 0 || right.rows == 0 {
        aggregates.iter().map(|a| nothing(a, left.rows, s)).collect()
    } else if aggregates.iter().all(is_quantified) {
        quantified(&left, right, condition, aggregates, s)?
    } else {
        summed(&left, right, condition, aggregates, s)?
    };
    let mut out = left;
    out.columns.extend(made);
    Ok(out)
}

fn is_quantified(aggregate: &Aggregate) -> bool {
    matches!(aggregate.function, Function::BoolAnd | Function::BoolOr)
}

/// An aggregate over no rows.
fn nothing(aggregate: &Aggregate, rows: usize, s: &Session) -> Column {
    let counts = matches!(aggregate.function, Function::CountStar | Function::Count);
    let value = if counts { Literal::Number(0) } else { Literal::Null };
    Column::literal(s, rows, &value, &aggregate.ty)
}

/// Pairs with these right rows; valid where the condition holds.
fn met(
    left: &Relation,
    right: &Relation,
    rows: std::ops::Range<usize>,
    condition: Option<&Expr>,
    s: &mut Session,
) -> Result<Relation> {
    let mut all = pairs(left, right, rows, s)?;
    let also: Vec<Planes> = all.valid.iter().cloned().collect();
    if condition.is_some() {
        all.valid = Some(truth(condition, also, &mut all, s)?);
    }
    Ok(all)
}

/// BOOL_OR and BOOL_AND only: pairs in chunks, nothing is counted.
fn quantified(
    left: &Relation,
    right: &Relation,
    condition: Option<&Expr>,
    aggregates: &[Aggregate],
    s: &mut Session,
) -> Result<Vec<Column>> {
    let n = left.rows;
    let step = (PAIRS_AT_ONCE / n).max(1);
    // Per aggregate: some row argues, some row has a value.
    let mut found: Vec<Option<Planes>> = vec![None; aggregates.len()];
    let mut start = 0;
    while start < right.rows {
        let rows = start..right.rows.min(start + step);
        start = rows.end;
        let mut all = met(left, right, rows, condition, s)?;
        for (aggregate, found) in aggregates.iter().zip(&mut found) {
            let both = arguments(aggregate, &mut all, s)?;
            let folded = or_blocks(both, n, s)?;
            *found = Some(match found.take() {
                None => folded,
                Some(before) => protocol::or(s, &before, &folded)?,
            });
        }
    }
    let column = |(aggregate, found): (&Aggregate, Option<Planes>)| {
        let found = found.ok_or_else(|| QueryError::bug("an aggregate over no chunk"))?;
        Ok(verdict(aggregate, &found, s))
    };
    aggregates.iter().zip(found).map(column).collect()
}

/// Two planes: a row that decides, a row that has a value.
fn arguments(aggregate: &Aggregate, all: &mut Relation, s: &mut Session) -> Result<Planes> {
    let Some(argument) = &aggregate.argument else {
        return Err(QueryError::bug("BOOL_OR without an argument"));
    };
    let mut x = eval(argument, all, s, Want::PLANES)?;
    let decides = aggregate.function == Function::BoolOr;
    let some = contributes(aggregate, Some(&mut x), Some(decides), all, s)?;
    let known = contributes(aggregate, Some(&mut x), None, all, s)?;
    Ok(some.stack(&known))
}

fn verdict(aggregate: &Aggregate, found: &Planes, s: &Session) -> Column {
    let some = found.bits(0..1);
    let value = if aggregate.function == Function::BoolOr { some } else { some.not(s.party()) };
    Column::from_planes(Type::Boolean, value, Some(found.bits(1..2).not(s.party())))
}

/// Any aggregates: all pairs at once.
fn summed(
    left: &Relation,
    right: &Relation,
    condition: Option<&Expr>,
    aggregates: &[Aggregate],
    s: &mut Session,
) -> Result<Vec<Column>> {
    let n = left.rows;
    let mut all = met(left, right, 0..right.rows, condition, s)?;
    let mut measures = Measures::new(&all, false);
    let mut columns: Vec<Option<Column>> = Vec::with_capacity(aggregates.len());
    let mut added = Vec::new();
    for aggregate in aggregates {
        columns.push(if is_extreme(aggregate) {
            Some(tournament(aggregate, &mut all, n, s)?)
        } else if is_quantified(aggregate) {
            let both = arguments(aggregate, &mut all, s)?;
            let found = or_blocks(both, n, s)?;
            Some(verdict(aggregate, &found, s))
        } else {
            measures.add(aggregate, &mut all, s)?;
            added.push(aggregate);
            None
        });
    }
    if !added.is_empty() {
        let totals = totals(&measures, all.rows, n, s)?;
        let (finished, _) = finish(&added, &measures.outputs, &totals, false, s)?;
        let mut finished = finished.into_iter();
        for column in columns.iter_mut().filter(|c| c.is_none()) {
            *column = finished.next();
        }
    }
    let columns: Option<Vec<Column>> = columns.into_iter().collect();
    columns.ok_or_else(|| QueryError::bug("an aggregate was left out"))
}

/// Sums over the blocks of n rows; local after the contributions.
fn totals(measures: &Measures, rows: usize, n: usize, s: &mut Session) -> Result<Totals> {
    let (counts, sums) = contributions(&measures.classes, &measures.sums, rows, s)?;
    let fold = |all: &ArithAny| -> Result<ArithAny> {
        let mut sum = all.slice(0..n);
        for block in 1..rows / n {
            sum = sum.add(&all.slice(block * n..(block + 1) * n))?;
        }
        Ok(sum)
    };
    let mut group_counts = Vec::with_capacity(counts.len());
    for count in &counts {
        group_counts.push(Count::Secret(fold(count)?.low64()));
    }
    let sums = sums.iter().map(fold).collect::<Result<Vec<_>>>()?;
    let rows_max = u64::try_from(rows / n).map_err(|_| QueryError::bug("more rows than memory"))?;
    Ok(Totals { groups: n, rows_max, counts: group_counts, sums, valid_is_never_empty: false })
}
