//! Scalar aggregate: one valid row, whatever the input is. No sort, except for DISTINCT.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::extreme::extreme;
use crate::ops::finish::finish;
use crate::ops::measure::{Measures, Output, Sum, Total, argument_of, contributes};
use crate::ops::tally::tally;
use crate::plan::{Aggregate, Function};
use crate::relation::Relation;
use trine_mpc::sort::{Ties, sort_columns};
use trine_mpc::{Session, protocol};

/// Whether an aggregate is decided by the order of its values.
pub(crate) const fn is_extreme(aggregate: &Aggregate) -> bool {
    matches!(aggregate.function, Function::Min | Function::Max)
}

/// Costs one bit conversion a class and row, one round of inner products for all sums together; a
/// tournament for each MIN and MAX; a sort for each DISTINCT. Reveals nothing.
pub(crate) fn scalar_aggregate(
    mut input: Relation,
    aggregates: &[Aggregate],
    s: &mut Session,
) -> Result<Relation> {
    let mut measures = Measures::new(&input, true);
    let mut summed = Vec::new();
    let mut columns: Vec<Option<Column>> = Vec::with_capacity(aggregates.len());
    for aggregate in aggregates {
        if is_extreme(aggregate) {
            columns.push(Some(extreme(aggregate, &mut input, s)?));
            continue;
        }
        columns.push(None);
        summed.push(aggregate);
        if aggregate.distinct {
            add_distinct(&mut measures, aggregate, &mut input, s)?;
        } else {
            measures.add(aggregate, &mut input, s)?;
        }
    }
    let totals = tally(&measures.classes, 1, &measures.sums, input.rows, s)?;
    let (finished, _) = finish(&summed, &measures.outputs, &totals, false, s)?;
    let mut finished = finished.into_iter();
    let columns = columns.into_iter().filter_map(|c| c.or_else(|| finished.next())).collect();
    Ok(Relation { rows: 1, valid: None, columns })
}

/// A class of its own: the first row of every value, in sorted order.
fn add_distinct(
    measures: &mut Measures,
    aggregate: &Aggregate,
    input: &mut Relation,
    s: &mut Session,
) -> Result<()> {
    let mut x = argument_of(aggregate, input, s)?;
    let counts = contributes(aggregate, Some(&mut x), None, input, s)?;
    let key = x.planes(s)?.stack(&counts);
    let mut moving = Vec::new();
    if aggregate.function == Function::Sum {
        moving.push(x.arith_in(s, aggregate.ty.ring_bits())?.into_moving());
    }
    let (_, key, moved) = sort_columns(s, key, moving, Ties::Stable)?;
    let mut moved = moved.into_iter();
    let again = bits::equals_previous(s, &key)?;
    let counts = key.bits(key.width() - 1..key.width());
    let first = protocol::and(s, &counts, &again.not(s.party()))?;
    let class = measures.classes.len();
    measures.push_class(first);
    measures.outputs.push(match (aggregate.function, moved.next()) {
        (Function::Count, _) => Output::Count { class },
        (Function::Sum, Some(value)) => {
            measures.sums.push(Sum { class, value: ArithAny::from_moving(value)? });
            Output::Sum { sum: Total::Whole(measures.sums.len() - 1), class }
        }
        _ => return Err(QueryError::bug("DISTINCT goes with COUNT and SUM")),
    });
    Ok(())
}
