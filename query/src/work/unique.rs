//! Whether rows repeat a key.

use crate::bits;
use crate::error::{QueryError, Result};
use crate::relation::Relation;
use trine_mpc::sort::{Ties, sort_columns};
use trine_mpc::{Planes, Session, protocol};

/// Pairs compared one by one, for each row that a sort would move: a comparison in a sort costs a
/// round trip of its own and is repeated on the way down.
const PAIRS_PER_ROW: usize = 16;
/// Pairs held in memory at one time at most.
const PAIRS_MAX: usize = 1 << 22;

/// Bits of which some is 1 if a row of `new` has the key of another row of `new` or of one of `old`;
/// none if there is nothing to compare. The key is all columns; rows with a NULL in it do not count.
/// `old` has no key twice. Few new rows: one equality for each pair; many: one sort of all keys and
/// one equality for each two neighbours.
pub(super) fn duplicates(
    new: &mut Relation,
    old: &mut Relation,
    s: &mut Session,
) -> Result<Option<Planes>> {
    let (m, n) = (new.rows, old.rows);
    let pairs = m.checked_mul(n).and_then(|p| p.checked_add(m * m.saturating_sub(1) / 2));
    let Some((key, present)) = keys(new, old, s)? else { return Ok(None) };
    match pairs {
        Some(0) => Ok(None),
        Some(pairs) if pairs <= PAIRS_MAX && pairs <= PAIRS_PER_ROW * (m + n) => {
            by_pairs(&key, present.as_ref(), m, n, s).map(Some)
        }
        _ => by_sort(key, present, s).map(Some),
    }
}

/// Keys of both, the new ones first, and 1 where a row exists and has no NULL in its key.
fn keys(
    new: &mut Relation,
    old: &mut Relation,
    s: &mut Session,
) -> Result<Option<(Planes, Option<Planes>)>> {
    let mut parts = Vec::with_capacity(2);
    for relation in [new, old] {
        let mut planes = Vec::with_capacity(relation.columns.len());
        let mut present: Vec<Planes> = relation.valid.iter().cloned().collect();
        for column in &mut relation.columns {
            planes.push(column.planes(s)?.clone());
            present.extend(column.null.as_ref().map(|null| null.not(s.party())));
        }
        let Some(key) = bits::stack_all(&planes) else { return Ok(None) };
        let always = present.is_empty();
        parts.push((key, bits::and_tree(s, relation.rows, present)?, always));
    }
    let Some((below, above)) = parts.pop().zip(parts.pop()) else { return Ok(None) };
    let present = (!below.2 || !above.2).then(|| above.1.concat(&below.1));
    Ok(Some((above.0.concat(&below.0), present)))
}

fn by_pairs(
    key: &Planes,
    present: Option<&Planes>,
    m: usize,
    n: usize,
    s: &mut Session,
) -> Result<Planes> {
    let row = |i: usize| u32::try_from(i).map_err(|_| QueryError::bug("more rows than 32 bits"));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for i in 0..m {
        for j in i + 1..m + n {
            left.push(row(i)?);
            right.push(row(j)?);
        }
    }
    let equal = protocol::equal(s, &key.gather(&left), &key.gather(&right))?;
    let mut all = vec![equal];
    if let Some(present) = present {
        all.extend([present.gather(&left), present.gather(&right)]);
    }
    bits::and_tree(s, left.len(), all)
}

/// Rows that do not count sort behind the others, so that two equal keys always meet.
fn by_sort(key: Planes, present: Option<Planes>, s: &mut Session) -> Result<Planes> {
    let rows = key.len();
    let counts = present.is_some();
    let width = key.width();
    let key = match present {
        Some(present) => key.stack(&present.not(s.party())),
        None => key,
    };
    let (_, sorted, _) = sort_columns(s, key, Vec::new(), Ties::Stable)?;
    let above = sorted.slice(1..rows);
    let twice = protocol::equal(s, &above, &sorted.slice(0..rows - 1))?;
    if !counts {
        return Ok(twice);
    }
    let present = above.bits(width..width + 1).not(s.party());
    Ok(protocol::and(s, &twice, &present)?)
}
