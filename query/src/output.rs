//! From a revealed relation to what travels to the client: public headers and share vectors.

use crate::arith::ArithAny;
use crate::error::{QueryError, Result};
use crate::plan::Field;
use crate::relation::Relation;
use crate::types::{NumberKind, Type};
use trine_mpc::{Arith, Planes, Ring, Session};
use trine_proto::wire::{OutputColumn, OutputKind, ShareForm};

/// The two components of one result vector that this party holds, as bytes on the wire. Boolean:
/// planes, lowest bit first, each in whole little-endian 64-bit words, bits beyond the last row 0.
/// Arithmetic: little-endian elements.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareVector {
    /// x_i of party i: goes to the client.
    pub own: Vec<u8>,
    /// x_{i+1}: its digest goes to the client.
    pub next: Vec<u8>,
}

impl std::fmt::Debug for ShareVector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShareVector({} bytes)", self.own.len())
    }
}

/// Name of a type as SQL writes it.
#[must_use]
pub fn sql_type(ty: &Type) -> String {
    match ty {
        Type::Boolean => "BOOLEAN".into(),
        Type::Text { bytes } => format!("VARCHAR({bytes})"),
        Type::Number { kind, .. } => match kind {
            NumberKind::SmallInt => "SMALLINT".into(),
            NumberKind::Int => "INT".into(),
            NumberKind::BigInt => "BIGINT".into(),
            NumberKind::Date => "DATE".into(),
            NumberKind::Timestamp => "TIMESTAMP".into(),
            NumberKind::Double { .. } => "DOUBLE PRECISION".into(),
            NumberKind::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
            NumberKind::Enum { labels } => {
                trine_proto::schema::ColumnType::Enum { labels: labels.clone() }.sql_name()
            }
        },
    }
}

/// Headers and vectors: per column its values, then its NULL plane if it has one; last the valid plane.
pub(crate) fn output(
    relation: Relation,
    fields: &[Field],
    s: &Session,
) -> Result<(Vec<OutputColumn>, Vec<ShareVector>)> {
    let valid = relation.valid_bit(s);
    let mut headers = Vec::with_capacity(fields.len());
    let mut vectors = Vec::new();
    for (field, column) in fields.iter().zip(relation.columns) {
        let mut header = describe(&field.name, &column.ty);
        header.nullable = column.null.is_some();
        let (planes, arith, null) = column.into_parts();
        match (planes, arith) {
            (Some(planes), _) => {
                header.set_form(ShareForm::Boolean);
                header.bits = number(planes.width())?;
                vectors.push(plane_bytes(&planes));
            }
            (None, Some(arith)) => {
                header.set_form(ShareForm::Arithmetic);
                header.bits = number(arith.ring_bits())?;
                header.low = Vec::new();
                vectors.push(match &arith {
                    ArithAny::A64(x) => element_bytes(x),
                    ArithAny::A128(x) => element_bytes(x),
                });
            }
            (None, None) => return Err(QueryError::bug("a result column without shares")),
        }
        vectors.extend(null.as_ref().map(plane_bytes));
        headers.push(header);
    }
    vectors.push(plane_bytes(&valid));
    Ok((headers, vectors))
}

/// The vector of a failure: one plane of one row.
pub(crate) fn failure_vector(bit: &Planes) -> ShareVector {
    plane_bytes(bit)
}

fn number(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| QueryError::bug("a width beyond 32 bits"))
}

fn describe(name: &str, ty: &Type) -> OutputColumn {
    let mut header =
        OutputColumn { name: name.into(), sql_type: sql_type(ty), ..OutputColumn::default() };
    match ty {
        Type::Boolean => header.set_kind(OutputKind::Boolean),
        Type::Text { .. } => header.set_kind(OutputKind::Text),
        Type::Number { kind, low, .. } => {
            header.low = low.to_le_bytes().to_vec();
            match kind {
                NumberKind::SmallInt | NumberKind::Int | NumberKind::BigInt => {
                    header.set_kind(OutputKind::Int);
                }
                NumberKind::Date => header.set_kind(OutputKind::Date),
                NumberKind::Timestamp => header.set_kind(OutputKind::Timestamp),
                NumberKind::Decimal { scale, .. } => {
                    header.set_kind(OutputKind::Decimal);
                    header.scale = u32::from(*scale);
                }
                NumberKind::Enum { labels } => {
                    header.set_kind(OutputKind::Enum);
                    header.labels.clone_from(labels);
                }
                NumberKind::Double { fraction_bits } => {
                    header.set_kind(OutputKind::Double);
                    header.fraction_bits = *fraction_bits;
                }
            }
        }
    }
    header
}

/// Shares may carry anything beyond the last row: it is cut off, or the client would see it.
fn plane_bytes(planes: &Planes) -> ShareVector {
    let words = planes.len().div_ceil(64);
    let rest = planes.len() % 64;
    let mask = if rest == 0 { u64::MAX } else { (1 << rest) - 1 };
    let bytes = |component: &[u64]| {
        let clean = |(index, word): (usize, &u64)| {
            let last = words > 0 && index % words == words - 1;
            (if last { word & mask } else { *word }).to_le_bytes()
        };
        component.iter().enumerate().flat_map(clean).collect()
    };
    let (own, next) = planes.components();
    ShareVector { own: bytes(own), next: bytes(next) }
}

fn element_bytes<T: Ring>(x: &Arith<T>) -> ShareVector {
    let bytes = |component: &[T]| {
        component
            .iter()
            .flat_map(|v| v.to_u128().to_le_bytes().into_iter().take(T::BITS / 8))
            .collect()
    };
    let (own, next) = x.components();
    ShareVector { own: bytes(own), next: bytes(next) }
}
