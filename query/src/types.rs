//! Types of run-time columns, with public bounds. Bounds decide widths and rings, so that nothing
//! can wrap: a number lies in `low..=high` whatever the data is.

use serde::{Deserialize, Serialize};
use trine_proto::schema::{self, ColumnType, bits_for};

/// Binary digits after the point of a DOUBLE result (AVG of integers).
pub const DOUBLE_FRACTION_BITS: u32 = 40;

/// What a number means to SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberKind {
    /// SMALLINT.
    SmallInt,
    /// INT.
    Int,
    /// BIGINT.
    BigInt,
    /// Scaled by 10^scale.
    Decimal {
        /// Digits as SQL names them (38 at most).
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since 1970-01-01 00:00:00.
    Timestamp,
    /// Position in the public dictionary; order is declaration order.
    Enum {
        /// The dictionary.
        labels: Vec<String>,
    },
    /// Fixed point: value * 2^fraction_bits.
    Double {
        /// Binary digits after the point.
        fraction_bits: u32,
    },
}

/// Type of a run-time column.
///
/// Canonical encodings, everywhere in this crate:
/// * planes of a `Number`: v - low, unsigned, exactly [`Type::bits`] planes;
/// * arithmetic of a `Number`: v two's complement in the ring of [`Type::ring_bits`];
/// * planes of `Boolean`: one plane; of `Text`: 8*bytes planes, first byte most significant.
///
/// Values of rows that are NULL or not valid are arbitrary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Type {
    /// One bit.
    Boolean,
    /// Integer-coded.
    Number {
        /// Meaning.
        kind: NumberKind,
        /// No value lies below.
        low: i128,
        /// No value lies above.
        high: i128,
    },
    /// Zero-padded bytes.
    Text {
        /// Bytes.
        bytes: u32,
    },
}

impl Type {
    /// Run-time type of a stored column: the bounds are its declared range, else its type's.
    #[must_use]
    pub fn of_column(column: &schema::Column) -> Self {
        let kind = match &column.ty {
            ColumnType::Boolean => return Self::Boolean,
            ColumnType::Varchar { bytes_max } => return Self::Text { bytes: *bytes_max },
            ColumnType::SmallInt => NumberKind::SmallInt,
            ColumnType::Int => NumberKind::Int,
            ColumnType::BigInt => NumberKind::BigInt,
            ColumnType::Decimal { precision, scale } => {
                NumberKind::Decimal { precision: *precision, scale: *scale }
            }
            ColumnType::Double { fraction_bits } => {
                NumberKind::Double { fraction_bits: u32::from(*fraction_bits) }
            }
            ColumnType::Date => NumberKind::Date,
            ColumnType::Timestamp => NumberKind::Timestamp,
            ColumnType::Enum { labels } => NumberKind::Enum { labels: labels.clone() },
        };
        let (low, high) = column.limits().unwrap_or((0, 0));
        Self::Number { kind, low: i128::from(low), high: i128::from(high) }
    }
    /// Planes of the canonical boolean encoding (at least 1).
    #[must_use]
    pub fn bits(&self) -> usize {
        match self {
            Self::Boolean => 1,
            Self::Number { low, high, .. } => {
                bits_for(high.wrapping_sub(*low) as u128).max(1) as usize
            }
            Self::Text { bytes } => 8 * *bytes as usize,
        }
    }
    /// 64 when every value fits a signed 64-bit number, else 128.
    #[must_use]
    pub fn ring_bits(&self) -> usize {
        match self {
            Self::Number { low, high, .. }
                if *low < i128::from(i64::MIN) || *high > i128::from(i64::MAX) =>
            {
                128
            }
            _ => 64,
        }
    }
}
