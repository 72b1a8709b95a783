//! Small-domain aggregate: one indicator bit for each cell of the keys' domains and row, then the
//! same adding up as without groups. No sort; every further SUM is one inner product a cell.

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::{eval, indicators};
use crate::ops::finish::finish;
use crate::ops::measure::{Measures, VALID};
use crate::ops::tally::tally;
use crate::plan::{Aggregate, Expr, Literal};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// Cells at most.
const CELLS_MAX: usize = 1 << 16;

/// Rows a group on average from which a total is put together a group rather than lifted a row.
const FEW_GROUPS: usize = 8;

/// One row per cell; valid where a valid row falls into it. Reveals nothing.
pub(crate) fn small_domain(
    mut input: Relation,
    keys: &[Expr],
    aggregates: &[Aggregate],
    s: &mut Session,
) -> Result<Relation> {
    let domains = keys.iter().map(domain).collect::<Result<Vec<_>>>()?;
    let groups = domains
        .iter()
        .try_fold(1_usize, |cells, d| cells.checked_mul(d.len()))
        .filter(|cells| *cells <= CELLS_MAX)
        .ok_or_else(|| QueryError::bug("the domains of a grouping are not small"))?;
    let mut measures = Measures::new(&input, groups * FEW_GROUPS < input.rows);
    for aggregate in aggregates {
        measures.add(aggregate, &mut input, s)?;
    }
    let mut hits = Vec::with_capacity(keys.len());
    for key in keys {
        hits.push(one_hot(key, &mut input, s)?);
    }
    if let (Some(valid), Some(first)) = (&input.valid, hits.first_mut()) {
        *first = protocol::and(s, valid, first)?;
    }
    let cells = outer_product(hits, s)?;
    let mut classes = Vec::with_capacity(measures.classes.len());
    let own: Vec<(&Planes, &Planes)> =
        measures.classes.iter().skip(VALID + 1).flatten().map(|class| (class, &cells)).collect();
    let own = if own.is_empty() { Vec::new() } else { protocol::and_many(s, &own)? };
    classes.push(Some(cells));
    classes.extend(own.into_iter().map(Some));
    let mut totals = tally(&classes, groups, &measures.sums, input.rows, s)?;
    totals.valid_is_never_empty = true;
    let of: Vec<&Aggregate> = aggregates.iter().collect();
    let (finished, occupied) = finish(&of, &measures.outputs, &totals, true, s)?;
    let mut columns = key_columns(keys, &domains, groups, s)?;
    columns.extend(finished);
    Ok(Relation { rows: groups, valid: occupied, columns })
}

/// Values of a key in cell order; NULL is the last.
fn domain(key: &Expr) -> Result<Vec<Literal>> {
    let mut values: Vec<Literal> = match &key.ty {
        Type::Boolean => vec![Literal::Boolean(false), Literal::Boolean(true)],
        Type::Number { low, high, .. } if (high.wrapping_sub(*low) as u128) < CELLS_MAX as u128 => {
            (*low..=*high).map(Literal::Number).collect()
        }
        _ => return Err(QueryError::bug("the domain of a grouping key is not small")),
    };
    values.extend(key.nullable.then_some(Literal::Null));
    Ok(values)
}

/// One plane per value of the domain: the row has this value.
fn one_hot(key: &Expr, input: &mut Relation, s: &mut Session) -> Result<Planes> {
    let column = eval(key, input, s, Want::PLANES)?;
    let mut column = column.retype(s, &key.ty, Want::PLANES)?;
    let values = domain(key)?.len() - usize::from(key.nullable);
    let planes = column.planes(s)?.clone();
    let found = indicators(&planes, &(0..values).collect::<Vec<_>>(), s)?;
    let all = bits::stack_all(found.values())
        .ok_or_else(|| QueryError::bug("a grouping key without values"))?;
    match (&column.null, key.nullable) {
        (None, false) => Ok(all),
        (None, true) => Ok(all.zero_extend(values + 1)),
        (Some(null), true) => {
            let present = null.not(s.party());
            Ok(protocol::and(s, &present, &all)?.stack(null))
        }
        (Some(_), false) => Err(QueryError::bug("a key that is never NULL has a NULL bit")),
    }
}

/// Cells of all keys, the last key fastest: neighbours are combined until one is left.
fn outer_product(mut hits: Vec<Planes>, s: &mut Session) -> Result<Planes> {
    while hits.len() > 1 {
        let odd = if hits.len() % 2 == 1 { hits.pop() } else { None };
        let mut left = Vec::new();
        for pair in hits.chunks_exact(2) {
            for value in 0..pair[0].width() {
                left.push((pair[0].bits(value..value + 1), &pair[1]));
            }
        }
        let pairs: Vec<(&Planes, &Planes)> = left.iter().map(|(x, y)| (x, *y)).collect();
        let mut products = protocol::and_many(s, &pairs)?.into_iter();
        let mut next = Vec::new();
        for pair in hits.chunks_exact(2) {
            let own: Vec<Planes> = products.by_ref().take(pair[0].width()).collect();
            next.extend(bits::stack_all(&own));
        }
        next.extend(odd);
        hits = next;
    }
    hits.pop().ok_or_else(|| QueryError::bug("a grouping without keys"))
}

/// The public values of the keys in every cell.
fn key_columns(
    keys: &[Expr],
    domains: &[Vec<Literal>],
    groups: usize,
    s: &Session,
) -> Result<Vec<Column>> {
    let mut stride = groups;
    let mut columns = Vec::with_capacity(keys.len());
    for (key, domain) in keys.iter().zip(domains) {
        stride /= domain.len();
        let values: Vec<Literal> =
            (0..groups).map(|cell| domain[cell / stride % domain.len()].clone()).collect();
        columns.push(Column::public(s, &key.ty, &values)?);
    }
    Ok(columns)
}
