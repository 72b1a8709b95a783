//! MIN and MAX over all rows by a tournament: halves meet until one row is left.

use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::cross_join::or_blocks;
use crate::ops::measure::{argument_of, contributes};
use crate::plan::{Aggregate, Function, Literal};
use crate::relation::Relation;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// One row; NULL where no row contributes. n comparisons and n selections in ceil(log2 n) steps.
pub(crate) fn extreme(
    aggregate: &Aggregate,
    input: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    if input.rows == 0 {
        return Ok(Column::literal(s, 1, &Literal::Null, &aggregate.ty));
    }
    tournament(aggregate, input, 1, s)
}

/// `groups` rows: row g is the extreme of rows g, groups + g, 2 groups + g, …; NULL where none of
/// them contributes. The input has a multiple of `groups` rows, one at least.
pub(crate) fn tournament(
    aggregate: &Aggregate,
    input: &mut Relation,
    groups: usize,
    s: &mut Session,
) -> Result<Column> {
    let mut x = argument_of(aggregate, input, s)?;
    let always = input.valid.is_none() && aggregate.filter.is_none() && x.null.is_none();
    let minimum = match aggregate.function {
        Function::Min => true,
        Function::Max => false,
        _ => return Err(QueryError::bug("neither MIN nor MAX")),
    };
    let mut values = x.planes(s)?.clone();
    let mut null = None;
    if !always {
        let counts = contributes(aggregate, Some(&mut x), None, input, s)?;
        // A row that does not contribute takes the value that never wins against one that does.
        values = protocol::and(s, &counts, &values)?;
        if minimum {
            values = values.xor(&counts.not(s.party()));
        }
        null = Some(or_blocks(counts, groups, s)?.not(s.party()));
    }
    while values.len() > groups {
        let half = values.len() / groups / 2 * groups;
        let (x, y) = (values.slice(0..half), values.slice(half..2 * half));
        let smaller = protocol::less_than(s, &x, &y)?;
        let winners = if minimum {
            protocol::select(s, &smaller, &x, &y)?
        } else {
            protocol::select(s, &smaller, &y, &x)?
        };
        values = keep_odd(&winners, &values, half);
    }
    Column::from_planes(x.ty, values, null).retype(s, &aggregate.ty, Want::ANY)
}

/// The winners, and the rows that had no opponent.
fn keep_odd(winners: &Planes, values: &Planes, half: usize) -> Planes {
    if values.len() > 2 * half {
        winners.concat(&values.slice(2 * half..values.len()))
    } else {
        winners.clone()
    }
}
