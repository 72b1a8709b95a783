//! Reveal: the root. What the client gets and nothing else: rows that do not exist and values that
//! are NULL become zero, row order is forgotten unless it was asked for, and only the client puts
//! the shares together. Of the row count the nodes learn nothing, or the next power of two.

use crate::arith::{self, ArithAny};
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::limit::valid_rows_come_first;
use crate::ops::tally::bits_to_arith;
use crate::plan::{Operator, Plan, ResultSize};
use crate::policy;
use crate::relation::{Relation, compact, shuffle};
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

/// Costs one AND a bit of the result (two conversions and a product for a number that is arithmetic
/// only), a shuffle unless ordered, and for a padded size a count and a partition. Opens the padded
/// size, if that is what the plan says.
pub(crate) fn reveal(plan: &Plan, input: Relation, s: &mut Session) -> Result<Relation> {
    let Operator::Reveal { input: child, size, ordered } = &plan.op else {
        return Err(QueryError::bug("the root of a plan is no Reveal"));
    };
    let mut relation = blank(input, s)?;
    let wants = vec![Want::ANY; relation.columns.len()];
    if !ordered {
        relation = shuffle(relation, &wants, s)?;
    } else if !valid_rows_come_first(child) {
        // Gaps in the order would tell the client what does not qualify.
        relation = compact(relation, &wants, s)?;
    }
    let Some(valid) = relation.valid.clone() else { return Ok(relation) };
    if *size == ResultSize::Hidden || relation.rows <= 1 {
        return Ok(relation);
    }
    let rows = padded_rows(plan, &valid, s)?;
    if !ordered {
        relation = compact(relation, &wants, s)?;
    }
    Ok(relation.slice(s, 0..rows))
}

/// Zeroes what is not there. Afterwards every column has one encoding.
fn blank(input: Relation, s: &mut Session) -> Result<Relation> {
    let Relation { rows, valid, columns } = input;
    let shown = shown_bits(valid.as_ref(), &columns, s)?;
    let mut planes_of: Vec<Option<Planes>> = Vec::with_capacity(columns.len());
    let mut numbers: Vec<Option<ArithAny>> = Vec::with_capacity(columns.len());
    let mut columns = columns;
    for column in &mut columns {
        let in_planes = column.has_planes() || !column.has_arith();
        planes_of.push(if in_planes { Some(column.planes(s)?.clone()) } else { None });
        numbers.push(if in_planes { None } else { Some(column.arith(s)?.clone()) });
    }
    let masked_planes = mask_planes(planes_of, &shown, s)?;
    let nullable: Vec<bool> = columns.iter().map(|c| c.null.is_some()).collect();
    let masked_numbers = mask_numbers(numbers, &nullable, &shown, s)?;
    let columns = columns
        .into_iter()
        .zip(masked_planes.into_iter().zip(masked_numbers))
        .zip(shown)
        .map(|((column, (planes, number)), shown)| {
            // NULL and valid: valid, but not shown.
            let null = column.null.as_ref().and(shown).map(|shown| match &valid {
                Some(valid) => valid.xor(&shown),
                None => shown.not(s.party()),
            });
            Column::from_parts(column.ty, rows, planes, number, null)
        })
        .collect();
    Ok(Relation { rows, valid, columns })
}

/// Per column 1 where its value is shown: valid and not NULL; none: everywhere.
fn shown_bits(
    valid: Option<&Planes>,
    columns: &[Column],
    s: &mut Session,
) -> Result<Vec<Option<Planes>>> {
    let present: Vec<Option<Planes>> =
        columns.iter().map(|c| c.null.as_ref().map(|null| null.not(s.party()))).collect();
    let Some(valid) = valid else { return Ok(present) };
    let pairs: Vec<(&Planes, &Planes)> = present.iter().flatten().map(|p| (valid, p)).collect();
    let both = if pairs.is_empty() { Vec::new() } else { protocol::and_many(s, &pairs)? };
    let mut both = both.into_iter();
    Ok(present
        .iter()
        .map(|p| p.as_ref().map_or_else(|| Some(valid.clone()), |_| both.next()))
        .collect())
}

fn mask_planes(
    columns: Vec<Option<Planes>>,
    shown: &[Option<Planes>],
    s: &mut Session,
) -> Result<Vec<Option<Planes>>> {
    let pairs: Vec<(&Planes, &Planes)> = columns
        .iter()
        .zip(shown)
        .filter_map(|(planes, shown)| shown.as_ref().zip(planes.as_ref()))
        .collect();
    let masked = if pairs.is_empty() { Vec::new() } else { protocol::and_many(s, &pairs)? };
    let mut masked = masked.into_iter();
    Ok(columns
        .into_iter()
        .zip(shown)
        .map(|(planes, shown)| {
            planes.and_then(|p| shown.as_ref().map_or(Some(p), |_| masked.next()))
        })
        .collect())
}

/// Numbers times their shown bits; columns that are never NULL share the valid bit.
fn mask_numbers(
    mut columns: Vec<Option<ArithAny>>,
    nullable: &[bool],
    shown: &[Option<Planes>],
    s: &mut Session,
) -> Result<Vec<Option<ArithAny>>> {
    for ring in [64, 128] {
        let mut masks: Vec<(&Planes, bool)> = Vec::new();
        let mut shared = None;
        let mut owners: Vec<(usize, usize)> = Vec::new();
        for (index, (column, shown)) in columns.iter().zip(shown).enumerate() {
            let (Some(column), Some(shown)) = (column, shown) else { continue };
            if column.ring_bits() != ring {
                continue;
            }
            if let Some(mask) = shared.filter(|_| !nullable[index]) {
                owners.push((index, mask));
                continue;
            }
            if !nullable[index] {
                shared = Some(masks.len());
            }
            owners.push((index, masks.len()));
            masks.push((shown, ring == 128));
        }
        if masks.is_empty() {
            continue;
        }
        let factors: Vec<ArithAny> = bits_to_arith(&masks, s)?.into_iter().flatten().collect();
        let pairs: Vec<(&ArithAny, &ArithAny)> = owners
            .iter()
            .filter_map(|(index, mask)| columns[*index].as_ref().zip(factors.get(*mask)))
            .collect();
        let products = arith::mul_many(s, &pairs)?;
        for ((index, _), product) in owners.into_iter().zip(products) {
            columns[index] = Some(product);
        }
    }
    Ok(columns)
}

/// The next power of two of the number of valid rows (0 counts as 1), no more than all rows. Opened:
/// its exponent e, as the unary planes of the bit length of count - 1.
fn padded_rows(plan: &Plan, valid: &Planes, s: &mut Session) -> Result<usize> {
    let rows = valid.len();
    let width = bits_for(rows as u128) as usize;
    let count = protocol::bits_to_arith::<u64>(s, valid)?
        .pop()
        .ok_or_else(|| QueryError::bug("a bit without a plane"))?
        .sum();
    let count = protocol::arith_to_planes(s, &count, width)?;
    let none = protocol::equal_constant(s, &count, &vec![false; width])?;
    let below = bits::add_constant(s, &count, u128::MAX)?;
    let mut unary = protocol::and(s, &none.not(s.party()), &below)?;
    let mut step = 1;
    while step < width {
        let above = unary.bits(step..width).zero_extend(width);
        unary = protocol::or(s, &unary, &above)?;
        step *= 2;
    }
    let opened = protocol::open_planes(s, &unary, policy::permit_result_size(plan))?;
    if s.is_dry() {
        return Ok(rows);
    }
    let exponent: u32 = opened.iter().map(|byte| byte.count_ones()).sum();
    Ok(1_usize.checked_shl(exponent).unwrap_or(rows).min(rows))
}
