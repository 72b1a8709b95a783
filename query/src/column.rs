//! One run-time column: a type, an optional NULL bit, and the value in one or both encodings.

use crate::arith::ArithAny;
use crate::bits;
use crate::error::{QueryError, Result};
use crate::plan::Literal;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// `rows` values in canonical encodings (see [`Type`]). Encodings that are missing are made when
/// asked for, and kept. A column that nobody wants has none.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Type with bounds.
    pub(crate) ty: Type,
    /// Rows.
    pub(crate) rows: usize,
    /// 1 = NULL; none: never NULL.
    pub(crate) null: Option<Planes>,
    planes: Option<Planes>,
    arith: Option<ArithAny>,
    literal: Option<Literal>,
}

impl Column {
    /// From planes.
    pub(crate) fn from_planes(ty: Type, planes: Planes, null: Option<Planes>) -> Self {
        let rows = planes.len();
        Self { ty, rows, null, planes: Some(planes), arith: None, literal: None }
    }
    /// From arithmetic shares in the ring of the type.
    pub(crate) fn from_arith(ty: Type, arith: ArithAny, null: Option<Planes>) -> Self {
        let rows = arith.len();
        Self { ty, rows, null, planes: None, arith: Some(arith), literal: None }
    }
    /// From whichever encodings are at hand; none at all for a column nobody uses.
    pub(crate) fn from_parts(
        ty: Type,
        rows: usize,
        planes: Option<Planes>,
        arith: Option<ArithAny>,
        null: Option<Planes>,
    ) -> Self {
        Self { ty, rows, null, planes, arith, literal: None }
    }
    /// The same public constant in every row; nothing is laid out before it is asked for.
    pub(crate) fn literal(s: &Session, rows: usize, literal: &Literal, ty: &Type) -> Self {
        let null = matches!(literal, Literal::Null).then(|| bits::constant_bit(s, rows, true));
        Self {
            ty: ty.clone(),
            rows,
            null,
            planes: None,
            arith: None,
            literal: Some(literal.clone()),
        }
    }
    /// TRUE or FALSE in every row.
    pub(crate) fn boolean(s: &Session, rows: usize, value: bool) -> Self {
        Self::literal(s, rows, &Literal::Boolean(value), &Type::Boolean)
    }
    /// Public rows.
    pub(crate) fn public(s: &Session, ty: &Type, values: &[Literal]) -> Result<Self> {
        let rows = values.iter().map(|v| bits::literal_bits(v, ty)).collect::<Result<Vec<_>>>()?;
        let planes = bits::public_rows(s, ty.bits(), &rows);
        let nulls: Vec<Vec<bool>> =
            values.iter().map(|v| vec![matches!(v, Literal::Null)]).collect();
        let null = nulls.iter().any(|n| n[0]).then(|| bits::public_rows(s, 1, &nulls));
        Ok(Self::from_planes(ty.clone(), planes, null))
    }

    /// The public constant that it is, if it is one.
    pub(crate) fn as_literal(&self) -> Option<&Literal> {
        self.literal.as_ref()
    }
    /// Whether planes are at hand.
    pub(crate) fn has_planes(&self) -> bool {
        self.planes.is_some()
    }
    /// Whether arithmetic shares are at hand.
    pub(crate) fn has_arith(&self) -> bool {
        self.arith.is_some()
    }
    /// With another NULL bit.
    pub(crate) fn with_null(mut self, null: Option<Planes>) -> Self {
        self.null = null;
        self
    }
    /// The encodings at hand.
    pub(crate) fn into_parts(self) -> (Option<Planes>, Option<ArithAny>, Option<Planes>) {
        (self.planes, self.arith, self.null)
    }

    /// Planes; from arithmetic shares at bits + one adder a row.
    pub(crate) fn planes(&mut self, s: &mut Session) -> Result<&Planes> {
        if self.planes.is_none() {
            let made = if let Some(literal) = &self.literal {
                bits::constant(s, self.rows, &bits::literal_bits(literal, &self.ty)?)
            } else if let (Some(arith), Some((low, _))) = (&self.arith, bits::bounds(&self.ty)) {
                let offset = arith.add_constant(s, low.wrapping_neg());
                offset.to_planes(s, self.ty.bits())?
            } else {
                return Err(QueryError::bug("a column that nobody wanted is read"));
            };
            self.planes = Some(made);
        }
        self.planes.as_ref().ok_or_else(|| QueryError::bug("planes were just made"))
    }

    /// Arithmetic shares in the ring of the type; from planes at 3 ring bits a plane.
    pub(crate) fn arith(&mut self, s: &mut Session) -> Result<&ArithAny> {
        if self.arith.is_none() {
            let made = self.lift(s, self.ty.ring_bits())?;
            self.arith = Some(made);
        }
        self.arith.as_ref().ok_or_else(|| QueryError::bug("arithmetic shares were just made"))
    }

    /// Arithmetic shares in a ring of 64 or 128 bits. Free downwards; upwards through planes.
    pub(crate) fn arith_in(&mut self, s: &mut Session, ring_bits: usize) -> Result<ArithAny> {
        if self.ty.ring_bits() == ring_bits || (ring_bits == 64 && self.has_arith()) {
            let own = self.arith(s)?;
            return Ok(if own.ring_bits() == ring_bits {
                own.clone()
            } else {
                ArithAny::A64(own.low64())
            });
        }
        self.lift(s, ring_bits)
    }

    fn lift(&mut self, s: &mut Session, ring_bits: usize) -> Result<ArithAny> {
        let Some((low, _)) = bits::bounds(&self.ty) else {
            return Err(QueryError::bug("text has no arithmetic encoding"));
        };
        if let Some(literal) = &self.literal {
            let value = match literal {
                Literal::Number(v) => *v,
                Literal::Boolean(b) => i128::from(*b),
                Literal::Null | Literal::Text(_) => 0,
            };
            return Ok(ArithAny::constant(s, ring_bits, self.rows, value));
        }
        let planes = self.planes(s)?;
        let unsigned = if ring_bits == 64 {
            ArithAny::A64(protocol::planes_to_arith(s, planes)?)
        } else {
            ArithAny::A128(protocol::planes_to_arith(s, planes)?)
        };
        Ok(unsigned.add_constant(s, low))
    }

    /// Makes what is wanted, so that later copies of the column have it.
    pub(crate) fn ensure(&mut self, s: &mut Session, want: Want) -> Result<()> {
        if want.planes {
            self.planes(s)?;
        }
        if want.arith {
            self.arith(s)?;
        }
        Ok(())
    }

    /// The same values under another type: wider bounds, another kind of equal scale, longer text.
    /// Local where the encoding allows it; else one adder, and only if planes are wanted.
    pub(crate) fn retype(mut self, s: &mut Session, ty: &Type, want: Want) -> Result<Self> {
        if self.ty == *ty {
            return Ok(self);
        }
        if self.literal.is_some() {
            self.planes = None;
            self.arith = None;
            self.ty = ty.clone();
            return Ok(self);
        }
        if let (Type::Text { bytes: from }, Type::Text { bytes: to }) = (&self.ty, ty) {
            if to < from {
                return Err(QueryError::bug("text is made shorter"));
            }
            let pad = bits::constant(s, self.rows, &vec![false; 8 * (*to - *from) as usize]);
            self.planes = self.planes.map(|p| if to == from { p } else { pad.stack(&p) });
            self.ty = ty.clone();
            return Ok(self);
        }
        let (Some((from_low, _)), Some((to_low, _))) = (bits::bounds(&self.ty), bits::bounds(ty))
        else {
            return Err(QueryError::bug("a number is made text, or text a number"));
        };
        let (from_ring, to_ring) = (self.ty.ring_bits(), ty.ring_bits());
        let arith = match (&self.arith, from_ring.cmp(&to_ring)) {
            (Some(a), std::cmp::Ordering::Equal) => Some(a.clone()),
            (Some(a), std::cmp::Ordering::Greater) => Some(ArithAny::A64(a.low64())),
            _ => None,
        };
        let dead = self.planes.is_none() && self.arith.is_none();
        let planes = if dead {
            None
        } else if from_low == to_low && self.planes.is_some() {
            self.planes.as_ref().map(|p| bits::resize(p, ty.bits()))
        } else if arith.is_none() || (want.planes && self.planes.is_some()) {
            let own = self.planes(s)?.clone();
            Some(bits::rebase(s, &own, from_low, to_low, ty.bits())?)
        } else {
            None
        };
        Ok(Self { ty: ty.clone(), rows: self.rows, null: self.null, planes, arith, literal: None })
    }

    /// Some rows.
    pub(crate) fn slice(&self, s: &Session, rows: std::ops::Range<usize>) -> Self {
        let keep = |p: &Planes| p.slice(rows.clone());
        match &self.literal {
            Some(literal) => Self {
                null: self.null.as_ref().map(keep),
                ..Self::literal(s, rows.len(), literal, &self.ty)
            },
            None => Self {
                ty: self.ty.clone(),
                rows: rows.len(),
                null: self.null.as_ref().map(keep),
                planes: self.planes.as_ref().map(keep),
                arith: self.arith.as_ref().map(|a| a.slice(rows.clone())),
                literal: None,
            },
        }
    }

    /// Row i of the result = row `index[i]` (public indices, `rows` of them; a dry session looks at
    /// their number alone).
    pub(crate) fn gather(&self, s: &Session, rows: usize, index: &[u32]) -> Self {
        let pick = |p: &Planes| bits::gather(s, p, rows, index);
        match &self.literal {
            Some(literal) => Self {
                null: self.null.as_ref().map(pick),
                ..Self::literal(s, rows, literal, &self.ty)
            },
            None => Self {
                ty: self.ty.clone(),
                rows,
                null: self.null.as_ref().map(pick),
                planes: self.planes.as_ref().map(pick),
                arith: self.arith.as_ref().map(|a| a.gather(s, rows, index)),
                literal: None,
            },
        }
    }

    /// Its one row, n times.
    pub(crate) fn repeat_row(&self, s: &Session, n: usize) -> Self {
        let repeat = |p: &Planes| p.repeat_row(n);
        let null = self.null.as_ref().map(repeat);
        match &self.literal {
            Some(literal) => Self { null, ..Self::literal(s, n, literal, &self.ty) },
            None => Self {
                ty: self.ty.clone(),
                rows: n,
                null,
                planes: self.planes.as_ref().map(repeat),
                arith: self.arith.as_ref().map(|a| a.repeat_row(n)),
                literal: None,
            },
        }
    }

    /// Checks that every vector has `rows` rows and the width and ring of the type.
    pub(crate) fn check(&self) -> Result<()> {
        let fits = self.null.as_ref().is_none_or(|n| n.len() == self.rows && n.width() == 1)
            && self
                .planes
                .as_ref()
                .is_none_or(|p| p.len() == self.rows && p.width() == self.ty.bits())
            && self
                .arith
                .as_ref()
                .is_none_or(|a| a.len() == self.rows && a.ring_bits() == self.ty.ring_bits());
        if fits { Ok(()) } else { Err(QueryError::bug("a column does not have its shape")) }
    }
}

/// Rows of all parts one after the other, under one type. At least one part.
pub(crate) fn concat(s: &mut Session, parts: Vec<Column>, ty: &Type, want: Want) -> Result<Column> {
    let mut parts = parts.into_iter().map(|p| p.retype(s, ty, want)).collect::<Result<Vec<_>>>()?;
    let rows = parts.iter().map(|p| p.rows).sum();
    if !want.used {
        return Ok(Column::from_parts(ty.clone(), rows, None, None, None));
    }
    let ready = |p: &Column, has: bool| has || p.literal.is_some();
    let by_planes = want.planes
        || (!want.arith && parts.iter().all(|p| ready(p, p.has_planes())))
        || matches!(ty, Type::Text { .. } | Type::Boolean);
    let by_arith = want.arith || !by_planes;
    let null = if parts.iter().any(|p| p.null.is_some()) {
        let mut nulls = parts
            .iter()
            .map(|p| p.null.clone().unwrap_or_else(|| bits::constant_bit(s, p.rows, false)));
        let first = nulls.next();
        first.map(|first| nulls.fold(first, |above, below| above.concat(&below)))
    } else {
        None
    };
    let mut planes: Option<Planes> = None;
    let mut arith: Option<ArithAny> = None;
    for part in &mut parts {
        if by_planes {
            let next = part.planes(s)?;
            planes = Some(planes.map_or_else(|| next.clone(), |above| above.concat(next)));
        }
        if by_arith {
            let next = part.arith(s)?;
            arith = Some(match arith {
                None => next.clone(),
                Some(above) => above.concat(next)?,
            });
        }
    }
    Ok(Column::from_parts(ty.clone(), rows, planes, arith, null))
}
