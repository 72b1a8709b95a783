//! GROUP BY of public keys: every node knows which row is in which group. No sort and no indicator: what
//! the rows contribute is added up group by group, locally.

use crate::arith::ArithAny;
use crate::error::{QueryError, Result};
use crate::ops::contributions::contributions;
use crate::ops::finish::{Count, Totals, finish};
use crate::ops::measure::{Measures, VALID};
use crate::ops::public;
use crate::plan::{Aggregate, Field, PublicRows};
use crate::relation::Relation;
use crate::want::Want;
use trine_mpc::Session;

/// Rows a group on average from which a total is put together a group rather than lifted a row.
const FEW_GROUPS: usize = 8;

/// One row a group, valid where a valid row is in it. Costs the aggregates' expressions, one bit conversion
/// a condition and row and one product a conditional value and row; where all rows exist and nothing is
/// NULL, only the divisions of AVG. Reveals nothing.
pub(crate) fn public_aggregate(
    mut input: Relation,
    (groups, keys): (&[u32], &PublicRows),
    fields: &[Field],
    aggregates: &[Aggregate],
    wants: &[Want],
    s: &mut Session,
) -> Result<Relation> {
    let count = keys.rows();
    if groups.len() != input.rows || groups.iter().any(|g| *g as usize >= count) {
        return Err(QueryError::bug("a row is in no group"));
    }
    let mut measures = Measures::new(&input, count * FEW_GROUPS < input.rows);
    for aggregate in aggregates {
        measures.add(aggregate, &mut input, s)?;
    }
    let (counts, values) = contributions(&measures.classes, &measures.sums, input.rows, s)?;
    let order = Order::of(groups, count)?;
    let counts = counts.iter().map(|c| Count::Secret(order.total(c, s).low64())).collect();
    let sums = values.iter().map(|v| order.total(v, s)).collect();
    let all_exist = measures.classes.get(VALID).is_some_and(Option::is_none);
    let rows_max = order.largest;
    let totals = Totals { groups: count, rows_max, counts, sums, valid_is_never_empty: true };
    let of: Vec<&Aggregate> = aggregates.iter().collect();
    let (finished, occupied) = finish(&of, &measures.outputs, &totals, !all_exist, s)?;
    let (of_keys, _) = fields.split_at(keys.columns().len().min(fields.len()));
    let mut made = public::values(keys, of_keys, wants, s)?;
    made.columns.extend(finished);
    made.valid = occupied;
    Ok(made)
}

/// Rows in the order of their groups, none of which is empty.
struct Order {
    rows: Vec<u32>,
    /// The last row of each group, in that order.
    last: Vec<u32>,
    /// Rows of the largest group.
    largest: u64,
}

impl Order {
    fn of(groups: &[u32], count: usize) -> Result<Self> {
        let mut rows: Vec<u32> = (0..).take(groups.len()).collect();
        rows.sort_by_key(|row| groups.get(*row as usize));
        let mut last: Vec<u32> = Vec::with_capacity(count);
        let mut largest = 0;
        let mut start = 0_u32;
        for (place, row) in (0_u32..).zip(&rows) {
            let group = groups.get(*row as usize);
            let next = rows.get(place as usize + 1).and_then(|row| groups.get(*row as usize));
            if group != next {
                last.push(place);
                largest = largest.max(u64::from(place - start) + 1);
                start = place + 1;
            }
        }
        if last.len() == count {
            Ok(Self { rows, last, largest })
        } else {
            Err(QueryError::bug("a public group without a row"))
        }
    }

    /// Sums over each group; local.
    fn total(&self, values: &ArithAny, s: &Session) -> ArithAny {
        let sums = values.gather(s, self.rows.len(), &self.rows).prefix_sum();
        sums.gather(s, self.last.len(), &self.last).adjacent_difference()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_beside_their_group() {
        let order = Order::of(&[2, 0, 1, 0, 2, 2], 3).unwrap();
        assert_eq!(order.rows, [1, 3, 2, 0, 4, 5]);
        assert_eq!(order.last, [1, 2, 5]);
        assert_eq!(order.largest, 3);
        assert!(Order::of(&[0, 2], 3).is_err());
        assert_eq!(Order::of(&[], 0).unwrap().largest, 0);
    }
}
