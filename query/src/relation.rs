//! A relation at run time: public row count, columns of shares, one shared *valid* bit per row.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::plan::Literal;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::sort::{Column as Moving, Shuffle, partition};
use trine_mpc::{Planes, Session};

/// Values of rows that are not valid are arbitrary.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// Rows, valid or not.
    pub(crate) rows: usize,
    /// 1 = the row exists; none: all do.
    pub(crate) valid: Option<Planes>,
    /// Columns of `rows` rows each.
    pub(crate) columns: Vec<Column>,
}

impl Relation {
    /// The valid bit, laid out.
    pub(crate) fn valid_bit(&self, s: &Session) -> Planes {
        self.valid.clone().unwrap_or_else(|| bits::constant_bit(s, self.rows, true))
    }
    /// Some rows.
    pub(crate) fn slice(&self, s: &Session, rows: std::ops::Range<usize>) -> Self {
        Self {
            rows: rows.len(),
            valid: self.valid.as_ref().map(|v| v.slice(rows.clone())),
            columns: self.columns.iter().map(|c| c.slice(s, rows.clone())).collect(),
        }
    }
    /// Checks that all vectors have `rows` rows, and that there are `columns` columns.
    pub(crate) fn check(&self, rows: u64, columns: usize) -> Result<()> {
        if u64::try_from(self.rows).ok() != Some(rows) || self.columns.len() != columns {
            return Err(QueryError::bug("a relation does not have the shape of its plan"));
        }
        if self.valid.as_ref().is_some_and(|v| v.len() != self.rows || v.width() != 1) {
            return Err(QueryError::bug("the valid bit does not have its shape"));
        }
        if self.columns.iter().any(|c| c.rows != self.rows) {
            return Err(QueryError::bug("a column is longer or shorter than its relation"));
        }
        self.columns.iter().try_for_each(Column::check)
    }
}

/// Moves all rows of a relation through one step (a shuffle, a sort order): its valid bit, the
/// wanted columns, and nothing else.
pub(crate) fn move_rows(
    relation: Relation,
    wants: &[Want],
    s: &mut Session,
    step: impl FnOnce(&mut Session, Vec<Moving>) -> trine_mpc::Result<Vec<Moving>>,
) -> Result<Relation> {
    let rows = relation.rows;
    move_front(relation, wants, rows, s, step)
}

/// The same for a step after which only the first `rows` rows are left.
pub(crate) fn move_front(
    relation: Relation,
    wants: &[Want],
    rows: usize,
    s: &mut Session,
    step: impl FnOnce(&mut Session, Vec<Moving>) -> trine_mpc::Result<Vec<Moving>>,
) -> Result<Relation> {
    let has_valid = relation.valid.is_some();
    let (packed, columns) = pack(relation.columns, wants)?;
    let mut moving: Vec<Moving> = relation.valid.map(Moving::Planes).into_iter().collect();
    moving.extend(columns);
    let mut moved = step(s, moving)?.into_iter();
    let valid = if has_valid { Some(moved_planes(moved.next())?) } else { None };
    let columns = packed.unpack(s, rows, &mut moved)?;
    Ok(Relation { rows, valid, columns })
}

/// Rows in a fresh secret random order. 4k an element, 3 rounds.
pub(crate) fn shuffle(relation: Relation, wants: &[Want], s: &mut Session) -> Result<Relation> {
    if relation.rows <= 1 {
        return Ok(relation);
    }
    let shuffle = Shuffle::draw(s, relation.rows);
    move_rows(relation, wants, s, |s, columns| shuffle.apply(s, columns))
}

/// Valid rows first, among each other in the order they had; local if all are.
pub(crate) fn compact(relation: Relation, wants: &[Want], s: &mut Session) -> Result<Relation> {
    let Some(valid) = relation.valid.clone().filter(|_| relation.rows > 1) else {
        return Ok(relation);
    };
    let order = partition(s, &valid)?;
    move_rows(relation, wants, s, |s, columns| order.apply(s, columns))
}

/// What of a column travels when rows move.
struct Part {
    ty: Type,
    literal: Option<Literal>,
    null: bool,
    planes: bool,
    arith: bool,
}

/// How columns were laid out for a move; takes them back in the same order.
pub(crate) struct Packed {
    parts: Vec<Part>,
}

/// Lays out columns for a shuffle, a sort order or a carry: of each wanted column the wanted
/// encodings at hand (one at least), and its NULL bit. Public constants stay where they are.
pub(crate) fn pack(columns: Vec<Column>, wants: &[Want]) -> Result<(Packed, Vec<Moving>)> {
    let mut moving = Vec::new();
    let mut parts = Vec::with_capacity(columns.len());
    for (index, column) in columns.into_iter().enumerate() {
        let want = wants.get(index).copied().unwrap_or(Want::NOTHING);
        let literal = column.as_literal().filter(|_| want.used).cloned();
        let shares = want.used && literal.is_none();
        let arith = shares && column.has_arith() && (want.arith || !column.has_planes());
        let planes = shares && column.has_planes() && (want.planes || !arith);
        let null = want.used && column.null.is_some() && literal != Some(Literal::Null);
        if shares && !arith && !planes {
            return Err(QueryError::bug("a column without shares is moved"));
        }
        let ty = column.ty.clone();
        let (own_planes, own_arith, own_null) = column.into_parts();
        moving.extend(own_null.filter(|_| null).map(Moving::Planes));
        moving.extend(own_planes.filter(|_| planes).map(Moving::Planes));
        moving.extend(own_arith.filter(|_| arith).map(ArithAny::into_moving));
        parts.push(Part { ty, literal, null, planes, arith });
    }
    Ok((Packed { parts }, moving))
}

/// The planes inside a moved column.
pub(crate) fn moved_planes(column: Option<Moving>) -> Result<Planes> {
    match column {
        Some(Moving::Planes(planes)) => Ok(planes),
        _ => Err(QueryError::bug("a move gave back other columns than it took")),
    }
}

impl Packed {
    /// Columns from what came back; all have the same number of rows, which may be another one.
    pub(crate) fn unpack(
        self,
        s: &Session,
        rows: usize,
        moved: &mut impl Iterator<Item = Moving>,
    ) -> Result<Vec<Column>> {
        let mut columns = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            let null = if part.null { Some(moved_planes(moved.next())?) } else { None };
            let planes = if part.planes { Some(moved_planes(moved.next())?) } else { None };
            let arith = if part.arith {
                let next = moved
                    .next()
                    .ok_or_else(|| QueryError::bug("a move gave back too few columns"))?;
                Some(ArithAny::from_moving(next)?)
            } else {
                None
            };
            columns.push(match &part.literal {
                Some(literal) => {
                    let column = Column::literal(s, rows, literal, &part.ty);
                    let null = null.or_else(|| column.null.clone());
                    column.with_null(null)
                }
                None => Column::from_parts(part.ty, rows, planes, arith, null),
            });
        }
        Ok(columns)
    }
}
