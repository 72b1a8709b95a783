//! Grouping keys as one column of planes.

use crate::bits;
use crate::column::Column;
use crate::error::Result;
use crate::expr::eval;
use crate::plan::Expr;
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// Planes of grouping keys, the first key on top; all NULLs of a key are equal.
pub(crate) struct GroupKey {
    /// Value planes, and the NULL bit above them where there is one, key by key from the last.
    pub(crate) planes: Option<Planes>,
    /// Per key in order: where it lies in the planes.
    pub(crate) parts: Vec<GroupPart>,
    /// So many planes from below belong to keys that follow from the others.
    pub(crate) carried: usize,
    /// Whether rows of a group stand together already.
    pub(crate) presorted: bool,
}

/// One key inside [`GroupKey`].
pub(crate) struct GroupPart {
    /// Type.
    pub(crate) ty: Type,
    /// Lowest plane of the value.
    pub(crate) start: usize,
    /// Whether a NULL bit lies above the value.
    pub(crate) nullable: bool,
}

/// Evaluates grouping keys. One AND a bit of each nullable key.
pub(crate) fn group_key(keys: &[Expr], input: &mut Relation, s: &mut Session) -> Result<GroupKey> {
    let mut planes: Option<Planes> = None;
    let mut parts = Vec::with_capacity(keys.len());
    for key in keys.iter().rev() {
        let mut column = eval(key, input, s, Want::PLANES)?;
        let mut own = column.planes(s)?.clone();
        let nullable = column.null.is_some();
        if let Some(null) = &column.null {
            own = protocol::and(s, &null.not(s.party()), &own)?.stack(null);
        }
        let start = planes.as_ref().map_or(0, Planes::width);
        parts.push(GroupPart { ty: column.ty, start, nullable });
        planes = Some(planes.map_or_else(|| own.clone(), |low| low.stack(&own)));
    }
    parts.reverse();
    debug_assert!(planes.as_ref().is_none_or(|p| p.len() == input.rows));
    Ok(GroupKey { planes, parts, carried: 0, presorted: false })
}

impl GroupKey {
    /// The last keys, so many, follow from the others: their planes are carried only.
    pub(crate) fn determined(&mut self, keys: usize) {
        let parts = self.parts.iter().rev().take(keys);
        self.carried = parts.map(|p| p.ty.bits() + usize::from(p.nullable)).sum();
    }
    /// What of moved planes (the invalid bit included) tells groups apart.
    pub(crate) fn telling(&self, planes: &Planes) -> Planes {
        planes.bits(self.carried..planes.width())
    }
    /// The key columns out of planes that have moved.
    pub(crate) fn columns(&self, planes: &Planes) -> Vec<Column> {
        self.parts
            .iter()
            .map(|part| {
                let end = part.start + part.ty.bits();
                let null = part.nullable.then(|| planes.bits(end..end + 1));
                let value = planes.bits(part.start..end);
                Column::from_planes(part.ty.clone(), value, null)
            })
            .collect()
    }
    /// Planes, the invalid bit on top where rows may be invalid.
    pub(crate) fn with_validity(&self, valid: Option<&Planes>, s: &Session) -> Option<Planes> {
        let last = valid.map(|v| v.not(s.party()));
        bits::stack_all(self.planes.iter().chain(last.as_ref()))
    }
}
