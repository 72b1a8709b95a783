//! Unique-key join: every row of the *many* side meets at most one row of the *unique* side.
//!
//! The union of both sides is sorted by (key missing, key), the unique side first. Among the unique
//! rows alone, in that order, differences of neighbours are taken; back in the sorted union, zero in
//! the rows of the many side, their prefix sum carries every unique row down to the rows after it.
//! Equality of the carried key and of a bit that says that it exists decides the match. Match and
//! carried columns go back to the original order; the many side itself never moves.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::{common_planes, eval, truth};
use crate::plan::{Expr, JoinKind, Literal};
use crate::relation::{Packed, Relation, moved_planes, pack};
use crate::want::Want;
use trine_mpc::sort::{Column as Moving, SortOrder, Ties, partition, sort_columns};
use trine_mpc::{Planes, Session, protocol};

/// The two sides and what is asked of them.
pub(crate) struct Join<'a> {
    /// Kind.
    pub(crate) kind: JoinKind,
    /// Key over the many side.
    pub(crate) many_keys: &'a [Expr],
    /// Key over the unique side.
    pub(crate) unique_keys: &'a [Expr],
    /// Further condition over (many fields, unique fields).
    pub(crate) residual: Option<&'a Expr>,
    /// Who needs the unique side's columns, the residual included.
    pub(crate) unique_wants: &'a [Want],
}

/// One sort of n + m keys, two moves of the key, three of the wanted columns of the unique side, one
/// equality. Rows: those of the many side. Reveals nothing.
pub(crate) fn unique_join(
    mut many: Relation,
    mut unique: Relation,
    join: &Join<'_>,
    s: &mut Session,
) -> Result<Relation> {
    let (n, m) = (many.rows, unique.rows);
    let types: Vec<_> = unique.columns.iter().map(|c| c.ty.clone()).collect();
    let (matched, carried) = if n == 0 || m == 0 {
        let nothing = types.iter().map(|ty| Column::literal(s, n, &Literal::Null, ty)).collect();
        (bits::constant_bit(s, n, false), nothing)
    } else {
        let key = union_key(&mut many, &mut unique, join, s)?;
        carry(key, unique, join.unique_wants, n, s)?
    };
    finish(many, matched, carried, join, s)
}

/// The result from the many side, where it meets a unique row, and that row's columns.
pub(crate) fn finish(
    mut many: Relation,
    mut matched: Planes,
    carried: Vec<Column>,
    join: &Join<'_>,
    s: &mut Session,
) -> Result<Relation> {
    let width = many.columns.len();
    many.columns.extend(carried);
    if let Some(residual) = join.residual {
        matched = truth([residual], vec![matched], &mut many, s)?;
    }
    let carried = many.columns.split_off(width);
    match join.kind {
        JoinKind::Inner => {
            many.columns.extend(carried);
            many.valid = Some(matched);
        }
        JoinKind::Left => {
            let missing = matched.not(s.party());
            for column in carried {
                let null = bits::or_optional(s, column.null.as_ref(), Some(&missing))?;
                many.columns.push(column.with_null(null));
            }
        }
        JoinKind::Semi => many.valid = Some(matched),
        // A match implies that the row is valid.
        JoinKind::Anti => many.valid = Some(many.valid_bit(s).xor(&matched)),
    }
    Ok(many)
}

/// Planes of the key of the union, unique rows first; on top 1 where the row is valid and no part of
/// its key is NULL.
struct UnionKey {
    planes: Planes,
    /// Whether the top bit is 1 in every row.
    always: bool,
}

fn union_key(
    many: &mut Relation,
    unique: &mut Relation,
    join: &Join<'_>,
    s: &mut Session,
) -> Result<UnionKey> {
    if join.many_keys.is_empty() || join.many_keys.len() != join.unique_keys.len() {
        return Err(QueryError::bug("the sides of a join have keys of different number"));
    }
    let mut key: Option<Planes> = None;
    let mut many_present: Vec<Planes> = many.valid.iter().cloned().collect();
    let mut unique_present: Vec<Planes> = unique.valid.iter().cloned().collect();
    for (x, y) in join.many_keys.iter().zip(join.unique_keys) {
        let mut x = eval(x, many, s, Want::PLANES)?;
        let mut y = eval(y, unique, s, Want::PLANES)?;
        let (a, b) = common_planes(&mut x, &mut y, s)?;
        many_present.extend(x.null.map(|null| null.not(s.party())));
        unique_present.extend(y.null.map(|null| null.not(s.party())));
        let both = b.concat(&a);
        key = Some(key.map_or_else(|| both.clone(), |low| low.stack(&both)));
    }
    let always = many_present.is_empty() && unique_present.is_empty();
    let above = bits::and_tree(s, unique.rows, unique_present)?;
    let below = bits::and_tree(s, many.rows, many_present)?;
    let present = above.concat(&below);
    let Some(key) = key else { return Err(QueryError::bug("a join without a key")) };
    Ok(UnionKey { planes: key.stack(&present), always })
}

/// The union in the order of its key.
struct Arranged {
    order: SortOrder,
    /// 1 where a row matches the last unique row at or before it, itself for a unique row.
    matched: Planes,
    /// 1 in unique rows.
    side: Planes,
    /// The key, the payload: of the last unique row at or before each row.
    carried: std::vec::IntoIter<Moving>,
    packed: Packed,
}

/// Sorts the union and carries the wanted columns of unique rows down.
fn arrange(
    key: UnionKey,
    unique: Relation,
    wants: &[Want],
    n: usize,
    s: &mut Session,
) -> Result<Arranged> {
    let m = unique.rows;
    let width = key.planes.width();
    let top = width - 1;
    let UnionKey { planes, always } = key;
    let sort_key = if always {
        planes.bits(0..top)
    } else {
        planes.bits(0..top).stack(&planes.bits(top..width).not(s.party()))
    };
    drop(planes);
    let (packed, payload) = pack(unique.columns, wants)?;
    let side = bits::constant_bit(s, m, true).concat(&bits::constant_bit(s, n, false));
    let mut moving = vec![Moving::Planes(side)];
    for column in payload {
        moving.push(extend(column, n, s)?);
    }
    let (order, sorted, moved) = sort_columns(s, sort_key, moving, Ties::Stable)?;
    let mut moved = moved.into_iter();
    let side = moved_planes(moved.next())?;
    let present = if always {
        bits::constant_bit(s, n + m, true)
    } else {
        sorted.bits(top..width).not(s.party())
    };
    let key_here = sorted.bits(0..top).stack(&present);
    drop(sorted);
    let mut unique_here = vec![Moving::Planes(key_here.clone())];
    unique_here.extend(moved);
    let mut carried = carry_down(&side, unique_here, m, n, s)?.into_iter();
    let key_carried = moved_planes(carried.next())?;
    let mut matched = protocol::equal(s, &key_here, &key_carried)?;
    if !always {
        matched = protocol::and(s, &matched, &key_here.bits(top..width))?;
    }
    Ok(Arranged { order, matched, side, carried, packed })
}

/// Per row of the many side: whether it meets a unique row, and that row's columns.
fn carry(
    key: UnionKey,
    unique: Relation,
    wants: &[Want],
    n: usize,
    s: &mut Session,
) -> Result<(Planes, Vec<Column>)> {
    let m = unique.rows;
    let Arranged { order, matched, carried, packed, .. } = arrange(key, unique, wants, n, s)?;
    back(&order, matched, carried, packed, m, n, s)
}

/// Inner join whose rows stay in the order of the key: those of the unique side among them, which are
/// not valid. The many side moves once, nothing moves back. Rows: those of both sides. No residual.
pub(crate) fn merge_join(
    mut many: Relation,
    mut unique: Relation,
    join: &Join<'_>,
    many_wants: &[Want],
    s: &mut Session,
) -> Result<Relation> {
    let (n, m) = (many.rows, unique.rows);
    if join.kind != JoinKind::Inner || join.residual.is_some() {
        return Err(QueryError::bug("only a plain inner join stays in the order of its key"));
    }
    if n == 0 || m == 0 {
        let columns = many.columns.iter().chain(&unique.columns);
        let columns = columns.map(|c| Column::literal(s, n + m, &Literal::Null, &c.ty)).collect();
        let valid = Some(bits::constant_bit(s, n + m, false));
        return Ok(Relation { rows: n + m, valid, columns });
    }
    let key = union_key(&mut many, &mut unique, join, s)?;
    let Arranged { order, matched, side, mut carried, packed } =
        arrange(key, unique, join.unique_wants, n, s)?;
    let (own, columns) = pack(many.columns, many_wants)?;
    let mut moving = Vec::with_capacity(columns.len());
    for column in columns {
        moving.push(lead(column, m, s)?);
    }
    let mut moved = order.apply(s, moving)?.into_iter();
    let mut columns = own.unpack(s, n + m, &mut moved)?;
    columns.extend(packed.unpack(s, n + m, &mut carried)?);
    let valid = protocol::and(s, &matched, &side.not(s.party()))?;
    Ok(Relation { rows: n + m, valid: Some(valid), columns })
}

/// Zero rows above.
fn lead(column: Moving, m: usize, s: &Session) -> Result<Moving> {
    Ok(match column {
        Moving::Planes(p) => {
            let zeros = bits::constant(s, m, &vec![false; p.width()]);
            Moving::Planes(zeros.concat(&p))
        }
        number => {
            let number = ArithAny::from_moving(number)?;
            let zeros = ArithAny::constant(s, number.ring_bits(), m, 0);
            zeros.concat(&number)?.into_moving()
        }
    })
}

/// Zero rows below.
fn extend(column: Moving, n: usize, s: &Session) -> Result<Moving> {
    Ok(match column {
        Moving::Planes(p) => {
            let zeros = bits::constant(s, n, &vec![false; p.width()]);
            Moving::Planes(p.concat(&zeros))
        }
        number => {
            let number = ArithAny::from_moving(number)?;
            let zeros = ArithAny::constant(s, number.ring_bits(), n, 0);
            number.concat(&zeros)?.into_moving()
        }
    })
}

/// In every row the values of the last unique row at or before it; zero before the first.
fn carry_down(
    side: &Planes,
    columns: Vec<Moving>,
    m: usize,
    n: usize,
    s: &mut Session,
) -> Result<Vec<Moving>> {
    let unique_first = partition(s, side)?;
    let mut steps = Vec::with_capacity(columns.len());
    for column in unique_first.apply_front(s, columns, m)? {
        steps.push(match column {
            Moving::Planes(own) => extend(Moving::Planes(own.xor(&own.shift_down())), n, s)?,
            number => {
                let own = ArithAny::from_moving(number)?;
                extend(own.into_adjacent_difference().into_moving(), n, s)?
            }
        });
    }
    let mut carried = Vec::with_capacity(steps.len());
    for column in unique_first.unapply(s, steps)? {
        carried.push(match column {
            Moving::Planes(p) => Moving::Planes(p.prefix_xor()),
            number => ArithAny::from_moving(number)?.into_prefix_sum().into_moving(),
        });
    }
    Ok(carried)
}

/// Match and carried columns in the original order of the many side.
fn back(
    order: &SortOrder,
    matched: Planes,
    carried: impl Iterator<Item = Moving>,
    packed: Packed,
    m: usize,
    n: usize,
    s: &mut Session,
) -> Result<(Planes, Vec<Column>)> {
    let mut moving = vec![Moving::Planes(matched)];
    moving.extend(carried);
    let mut many = Vec::with_capacity(moving.len());
    for column in order.unapply(s, moving)? {
        many.push(match column {
            Moving::Planes(p) => Moving::Planes(p.slice(m..m + n)),
            number => ArithAny::from_moving(number)?.slice(m..m + n).into_moving(),
        });
    }
    let mut many = many.into_iter();
    let matched = moved_planes(many.next())?;
    Ok((matched, packed.unpack(s, n, &mut many)?))
}
