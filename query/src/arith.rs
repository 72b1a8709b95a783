//! Arithmetic shares in either ring. All steps here are local except where a session is taken.

use crate::error::{QueryError, Result};
use trine_mpc::sort::Column as Moving;
use trine_mpc::{Arith, Ring, Session, protocol};

/// A vector in the ring of 64 or of 128 bits; values are two's complement.
#[derive(Clone, Debug)]
pub(crate) enum ArithAny {
    /// Mod 2^64.
    A64(Arith<u64>),
    /// Mod 2^128.
    A128(Arith<u128>),
}

/// Applies one expression to whichever vector is inside, giving an [`ArithAny`].
macro_rules! each {
    ($value:expr, $x:ident => $body:expr) => {
        match $value {
            ArithAny::A64($x) => ArithAny::A64($body),
            ArithAny::A128($x) => ArithAny::A128($body),
        }
    };
}

/// The same for two vectors that must share a ring.
macro_rules! both {
    ($left:expr, $right:expr, $x:ident, $y:ident => $body:expr) => {
        match ($left, $right) {
            (ArithAny::A64($x), ArithAny::A64($y)) => Ok(ArithAny::A64($body)),
            (ArithAny::A128($x), ArithAny::A128($y)) => Ok(ArithAny::A128($body)),
            _ => Err(QueryError::bug("vectors of two rings meet")),
        }
    };
}

/// A public constant in every row; a ghost in a dry session.
pub(crate) fn constant<T: Ring>(s: &Session, rows: usize, value: i128) -> Arith<T> {
    if s.is_dry() {
        Arith::ghost(rows)
    } else {
        Arith::constant(s.party(), rows, T::from_i128(value))
    }
}

impl ArithAny {
    /// A public constant in every row.
    pub(crate) fn constant(s: &Session, ring_bits: usize, rows: usize, value: i128) -> Self {
        if ring_bits == 64 {
            Self::A64(constant(s, rows, value))
        } else {
            Self::A128(constant(s, rows, value))
        }
    }
    /// Rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::A64(x) => x.len(),
            Self::A128(x) => x.len(),
        }
    }
    /// 64 or 128.
    pub(crate) fn ring_bits(&self) -> usize {
        match self {
            Self::A64(_) => 64,
            Self::A128(_) => 128,
        }
    }
    /// Row-wise sum.
    pub(crate) fn add(&self, other: &Self) -> Result<Self> {
        both!(self, other, x, y => x.add(y))
    }
    /// Row-wise difference.
    pub(crate) fn sub(&self, other: &Self) -> Result<Self> {
        both!(self, other, x, y => x.sub(y))
    }
    /// Plus a public constant.
    pub(crate) fn add_constant(&self, s: &Session, value: i128) -> Self {
        each!(self, x => x.add_constant(s.party(), Ring::from_i128(value)))
    }
    /// Times a public constant.
    pub(crate) fn times_constant(&self, value: i128) -> Self {
        each!(self, x => x.times_constant(Ring::from_i128(value)))
    }
    /// Rows of `self`, then rows of `other`.
    pub(crate) fn concat(&self, other: &Self) -> Result<Self> {
        both!(self, other, x, y => x.concat(y))
    }
    /// Some rows.
    pub(crate) fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        each!(self, x => x.slice(rows))
    }
    /// Row i of the result = row `index[i]` (public indices, `rows` of them).
    pub(crate) fn gather(&self, s: &Session, rows: usize, index: &[u32]) -> Self {
        each!(self, x => if s.is_dry() { Arith::ghost(rows) } else { x.gather(index) })
    }
    /// One row, n times.
    pub(crate) fn repeat_row(&self, n: usize) -> Self {
        each!(self, x => x.repeat_row(n))
    }
    /// Inclusive prefix sum.
    pub(crate) fn prefix_sum(&self) -> Self {
        each!(self, x => x.prefix_sum())
    }
    /// Row i minus row i-1.
    pub(crate) fn adjacent_difference(&self) -> Self {
        each!(self, x => x.adjacent_difference())
    }
    /// The same in place.
    pub(crate) fn into_adjacent_difference(self) -> Self {
        each!(self, x => x.into_adjacent_difference())
    }
    /// Inclusive prefix sum in place.
    pub(crate) fn into_prefix_sum(self) -> Self {
        each!(self, x => x.into_prefix_sum())
    }
    /// Sum of all rows, as one row.
    pub(crate) fn sum(&self) -> Self {
        each!(self, x => x.sum())
    }
    /// Row-wise product. 3k bits, 1 round.
    pub(crate) fn mul(&self, s: &mut Session, other: &Self) -> Result<Self> {
        both!(self, other, x, y => protocol::mul(s, x, y)?)
    }
    /// The low bits in the ring of 64; nothing to do if it is there already.
    pub(crate) fn low64(&self) -> Arith<u64> {
        match self {
            Self::A64(x) => x.clone(),
            Self::A128(x) => x.truncate(),
        }
    }
    /// The vector as 64-bit ring, if it is in it.
    fn as64(&self) -> Result<&Arith<u64>> {
        match self {
            Self::A64(x) => Ok(x),
            Self::A128(_) => Err(QueryError::bug("a 64-bit vector is due")),
        }
    }
    /// The vector as 128-bit ring, if it is in it.
    fn as128(&self) -> Result<&Arith<u128>> {
        match self {
            Self::A128(x) => Ok(x),
            Self::A64(_) => Err(QueryError::bug("a 128-bit vector is due")),
        }
    }
    /// The low `width` bits as planes. width bits and one adder.
    pub(crate) fn to_planes(&self, s: &mut Session, width: usize) -> Result<trine_mpc::Planes> {
        Ok(match self {
            Self::A64(x) => protocol::arith_to_planes(s, x, width)?,
            Self::A128(x) => protocol::arith_to_planes(s, x, width)?,
        })
    }
    /// For a shuffle or a sort order.
    pub(crate) fn into_moving(self) -> Moving {
        match self {
            Self::A64(x) => Moving::Arith64(x),
            Self::A128(x) => Moving::Arith128(x),
        }
    }
    /// Back from a shuffle or a sort order.
    pub(crate) fn from_moving(column: Moving) -> Result<Self> {
        match column {
            Moving::Arith64(x) => Ok(Self::A64(x)),
            Moving::Arith128(x) => Ok(Self::A128(x)),
            Moving::Planes(_) => Err(QueryError::bug("planes came back for a number")),
        }
    }
}

/// Row-wise products of pairs that are all in one ring, in one round. 3k bits a product.
pub(crate) fn mul_many(s: &mut Session, pairs: &[(&ArithAny, &ArithAny)]) -> Result<Vec<ArithAny>> {
    match pairs.first() {
        None => Ok(Vec::new()),
        Some((ArithAny::A64(_), _)) => {
            let pairs = in_ring64(pairs)?;
            Ok(protocol::mul_many(s, &pairs)?.into_iter().map(ArithAny::A64).collect())
        }
        Some((ArithAny::A128(_), _)) => {
            let pairs = in_ring128(pairs)?;
            Ok(protocol::mul_many(s, &pairs)?.into_iter().map(ArithAny::A128).collect())
        }
    }
}

/// Inner products of pairs that are all in one ring, in one round: one row a pair.
pub(crate) fn inner_products(
    s: &mut Session,
    pairs: &[(&ArithAny, &ArithAny)],
) -> Result<ArithAny> {
    Ok(match pairs.first() {
        Some((ArithAny::A128(_), _)) => {
            ArithAny::A128(protocol::inner_products(s, &in_ring128(pairs)?)?)
        }
        _ => ArithAny::A64(protocol::inner_products(s, &in_ring64(pairs)?)?),
    })
}

type Pairs<'a, T> = Vec<(&'a Arith<T>, &'a Arith<T>)>;

fn in_ring64<'a>(pairs: &[(&'a ArithAny, &'a ArithAny)]) -> Result<Pairs<'a, u64>> {
    pairs.iter().map(|(x, y)| Ok((x.as64()?, y.as64()?))).collect()
}

fn in_ring128<'a>(pairs: &[(&'a ArithAny, &'a ArithAny)]) -> Result<Pairs<'a, u128>> {
    pairs.iter().map(|(x, y)| Ok((x.as128()?, y.as128()?))).collect()
}
