//! Lookup join: a join with a tiny unique side, without a sort. Every row of the many side is compared
//! with each row of the unique side; the one that matches, at most one, hands its columns over.

use crate::arith::{self, ArithAny};
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::{common_planes, eval};
use crate::ops::cross_join::tiled;
use crate::ops::tally::bits_to_arith;
use crate::ops::unique_join::{Join, finish};
use crate::plan::Literal;
use crate::relation::Relation;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// Per row and unique row one equality of the key and one AND a bit of the wanted columns. Rows: those
/// of the many side. Reveals nothing.
pub(crate) fn lookup_join(
    mut many: Relation,
    mut unique: Relation,
    join: &Join<'_>,
    s: &mut Session,
) -> Result<Relation> {
    let (n, m) = (many.rows, unique.rows);
    if n == 0 || m == 0 {
        let types: Vec<_> = unique.columns.iter().map(|c| c.ty.clone()).collect();
        let nothing = types.iter().map(|ty| Column::literal(s, n, &Literal::Null, ty)).collect();
        return finish(many, bits::constant_bit(s, n, false), nothing, join, s);
    }
    let hits = hits(&mut many, &mut unique, join, s)?;
    let matched = hits.iter().skip(1).fold(hits[0].clone(), |all, hit| all.xor(hit));
    let mut carried = Vec::with_capacity(unique.columns.len());
    for (index, column) in unique.columns.into_iter().enumerate() {
        let want = join.unique_wants.get(index).copied().unwrap_or(Want::NOTHING);
        carried.push(looked_up(column, want, &hits, n, s)?);
    }
    finish(many, matched, carried, join, s)
}

/// Per unique row: where its key is that of the row. At most one is 1 in a row, because keys of valid
/// unique rows differ.
fn hits(
    many: &mut Relation,
    unique: &mut Relation,
    join: &Join<'_>,
    s: &mut Session,
) -> Result<Vec<Planes>> {
    let (n, m) = (many.rows, unique.rows);
    let mut here: Option<Planes> = None;
    let mut there: Option<Planes> = None;
    let mut many_present: Vec<Planes> = many.valid.iter().cloned().collect();
    let mut unique_present: Vec<Planes> = unique.valid.iter().cloned().collect();
    for (x, y) in join.many_keys.iter().zip(join.unique_keys) {
        let mut x = eval(x, many, s, Want::PLANES)?;
        let mut y = eval(y, unique, s, Want::PLANES)?;
        let (a, b) = common_planes(&mut x, &mut y, s)?;
        many_present.extend(x.null.map(|null| null.not(s.party())));
        unique_present.extend(y.null.map(|null| null.not(s.party())));
        here = Some(here.map_or_else(|| a.clone(), |low| low.stack(&a)));
        there = Some(there.map_or_else(|| b.clone(), |low| low.stack(&b)));
    }
    let (Some(here), Some(there)) = (here, there) else {
        return Err(QueryError::bug("a join without a key"));
    };
    let mut equal = Vec::with_capacity(m);
    let above = spread(&there, n);
    let index = if s.is_dry() { Vec::new() } else { tiled(n, m)? };
    let below = bits::gather(s, &here, n * m, &index);
    let all = protocol::equal(s, &below, &above)?;
    let mut present = Vec::new();
    if !unique_present.is_empty() {
        let bit = bits::and_tree(s, m, unique_present)?;
        present.push(spread(&bit, n));
    }
    if !many_present.is_empty() {
        let bit = bits::and_tree(s, n, many_present)?;
        present.push(bits::gather(s, &bit, n * m, &index));
    }
    let mut operands = vec![all];
    operands.extend(present);
    let all = bits::and_tree(s, n * m, operands)?;
    for row in 0..m {
        equal.push(all.slice(row * n..(row + 1) * n));
    }
    Ok(equal)
}

/// Each row n times.
fn spread(planes: &Planes, n: usize) -> Planes {
    let mut parts: Vec<Planes> =
        (0..planes.len()).map(|row| planes.slice(row..row + 1).repeat_row(n)).collect();
    while parts.len() > 1 {
        parts = parts
            .chunks(2)
            .map(|pair| match pair {
                [above, below] => above.concat(below),
                other => other[0].clone(),
            })
            .collect();
    }
    parts.pop().unwrap_or_else(|| planes.clone())
}

/// The column of the unique row that is hit; zero where none is.
fn looked_up(
    mut column: Column,
    want: Want,
    hits: &[Planes],
    n: usize,
    s: &mut Session,
) -> Result<Column> {
    let ty = column.ty.clone();
    if !want.used {
        return Ok(Column::from_parts(ty, n, None, None, None));
    }
    if let Some(literal) = column.as_literal()
        && column.null.is_none()
    {
        return Ok(Column::literal(s, n, &literal.clone(), &ty));
    }
    let null = column.null.clone();
    let own_planes =
        if want.planes || !column.has_arith() { Some(column.planes(s)?.clone()) } else { None };
    let own_arith =
        if want.arith || own_planes.is_none() { Some(column.arith(s)?.clone()) } else { None };
    let planes = match own_planes {
        Some(p) => Some(selected(&p, hits, n, s)?),
        None => None,
    };
    let null = match null {
        Some(p) => Some(selected(&p, hits, n, s)?),
        None => None,
    };
    let arith = match own_arith {
        Some(a) => Some(selected_number(&a, hits, n, s)?),
        None => None,
    };
    Ok(Column::from_parts(ty, n, planes, arith, null))
}

fn selected(rows: &Planes, hits: &[Planes], n: usize, s: &mut Session) -> Result<Planes> {
    let values: Vec<Planes> =
        (0..hits.len()).map(|row| rows.slice(row..row + 1).repeat_row(n)).collect();
    let pairs: Vec<(&Planes, &Planes)> = hits.iter().zip(&values).collect();
    let masked = protocol::and_many(s, &pairs)?;
    masked
        .into_iter()
        .reduce(|x, y| x.xor(&y))
        .ok_or_else(|| QueryError::bug("a lookup without rows"))
}

fn selected_number(
    rows: &ArithAny,
    hits: &[Planes],
    n: usize,
    s: &mut Session,
) -> Result<ArithAny> {
    let bits: Vec<(&Planes, bool)> = hits.iter().map(|h| (h, rows.ring_bits() == 128)).collect();
    let factors: Vec<ArithAny> = bits_to_arith(&bits, s)?.into_iter().flatten().collect();
    let values: Vec<ArithAny> =
        (0..hits.len()).map(|row| rows.slice(row..row + 1).repeat_row(n)).collect();
    let pairs: Vec<(&ArithAny, &ArithAny)> = factors.iter().zip(&values).collect();
    let mut products = arith::mul_many(s, &pairs)?.into_iter();
    let first = products.next().ok_or_else(|| QueryError::bug("a lookup without rows"))?;
    products.try_fold(first, |sum, x| sum.add(&x))
}
