//! A public table over a narrow secret number: one indicator bit for each entry that differs from
//! the most frequent one, then only local steps.

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::case::spread;
use crate::expr::eval;
use crate::plan::{Expr, Literal};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use std::collections::BTreeMap;
use trine_mpc::{Planes, Session, protocol};

/// Entries of a table at most.
const ENTRIES_MAX: usize = 1 << 16;

/// value = default ^ XOR over other entries: indicator & (entry ^ default). About one AND for
/// each entry that is not the default, ceil(log2 bits) rounds.
pub(super) fn lookup(
    argument: &Expr,
    table: &[Literal],
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    let mut column = eval(argument, relation, s, Want::PLANES)?;
    if table.is_empty() || table.len() > ENTRIES_MAX {
        return Err(QueryError::bug("a look-up table has 1 to 65536 entries"));
    }
    // One row of bits per entry: the value, then the NULL bit on top.
    let entries = table
        .iter()
        .map(|entry| {
            let mut row = bits::literal_bits(entry, ty)?;
            row.push(matches!(entry, Literal::Null));
            Ok(row)
        })
        .collect::<Result<Vec<_>>>()?;
    let nullable = entries.iter().any(|row| row.last() == Some(&true));
    let mut groups: BTreeMap<&[bool], Vec<usize>> = BTreeMap::new();
    for (index, row) in entries.iter().enumerate() {
        groups.entry(row).or_default().push(index);
    }
    let default = groups
        .iter()
        .max_by_key(|(row, cells)| (cells.len(), std::cmp::Reverse(**row)))
        .map(|(row, _)| row.to_vec())
        .unwrap_or_default();
    let cells: Vec<usize> = (0..entries.len()).filter(|&index| entries[index] != default).collect();
    let planes = column.planes(s)?.clone();
    let indicators = indicators(&planes, &cells, s)?;
    let mut out = bits::constant(s, planes.len(), &default);
    for (row, members) in groups {
        let hits = members.iter().filter_map(|cell| indicators.get(cell));
        let Some(hit) = hits.cloned().reduce(|x, y| x.xor(&y)) else { continue };
        let difference: Vec<bool> = row.iter().zip(&default).map(|(a, b)| a ^ b).collect();
        out = out.xor(&spread(s, &hit, &difference));
    }
    let width = ty.bits();
    let entry_null = nullable.then(|| out.bits(width..width + 1));
    let null = bits::or_optional(s, entry_null.as_ref(), column.null.as_ref())?;
    Ok(Column::from_planes(ty.clone(), out.bits(0..width), null))
}

/// For each of some values whether the planes hold it: indicators of the two halves of the bits,
/// then one AND a value; all ANDs of one depth in one round.
pub(crate) fn indicators(
    planes: &Planes,
    cells: &[usize],
    s: &mut Session,
) -> Result<BTreeMap<usize, Planes>> {
    let mut all = indicators_many(vec![(planes.clone(), cells.to_vec())], s)?;
    all.pop().ok_or_else(|| QueryError::bug("indicators were asked for"))
}

type Indicators = BTreeMap<usize, Planes>;

fn indicators_many(
    requests: Vec<(Planes, Vec<usize>)>,
    s: &mut Session,
) -> Result<Vec<Indicators>> {
    let mut halves = Vec::new();
    for (planes, cells) in &requests {
        let width = planes.width();
        if width > 1 {
            let low_bits = width / 2;
            halves.push((planes.bits(0..low_bits), parts(cells, |c| c & ((1 << low_bits) - 1))));
            halves.push((planes.bits(low_bits..width), parts(cells, |c| c >> low_bits)));
        }
    }
    let deeper = if halves.is_empty() { Vec::new() } else { indicators_many(halves, s)? };
    let mut deeper = deeper.iter();
    let mut out = Vec::with_capacity(requests.len());
    let mut pairs = Vec::new();
    for (planes, cells) in &requests {
        let mut found = Indicators::new();
        if planes.width() == 1 {
            for &cell in cells {
                let bit = if cell == 1 { planes.clone() } else { planes.not(s.party()) };
                found.insert(cell, bit);
            }
        } else if let (Some(low), Some(high)) = (deeper.next(), deeper.next()) {
            let low_bits = planes.width() / 2;
            for &cell in cells {
                let halves =
                    (low.get(&(cell & ((1 << low_bits) - 1))), high.get(&(cell >> low_bits)));
                let (Some(below), Some(above)) = halves else {
                    return Err(QueryError::bug("an indicator is missing"));
                };
                pairs.push((below, above));
            }
        }
        out.push(found);
    }
    if pairs.is_empty() {
        return Ok(out);
    }
    let mut products = protocol::and_many(s, &pairs)?.into_iter();
    for (found, (planes, cells)) in out.iter_mut().zip(&requests) {
        if planes.width() > 1 {
            found.extend(cells.iter().copied().zip(products.by_ref()));
        }
    }
    Ok(out)
}

fn parts(cells: &[usize], part: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut parts: Vec<usize> = cells.iter().map(|&c| part(c)).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}
