//! Table schemas and the public facts about how a column is encoded.
//!
//! A value is first *encoded* as an integer v (DECIMAL: scaled by 10^scale, DOUBLE: the nearest multiple
//! of 2^-fraction_bits, ties away from zero, DATE: days since 1970-01-01, TIMESTAMP: microseconds
//! since then, BOOLEAN: 0/1, ENUM: position in the dictionary), or as zero-padded bytes (VARCHAR).
//!
//! * *Boolean encoding*: v - low as an unsigned number of exactly [`Column::bits`] bits, so that
//!   unsigned order is SQL order. VARCHAR: 8 bits a byte, first byte most significant. A nullable
//!   column has one more bit on top (1 = NULL; the other bits are then 0).
//! * *Arithmetic encoding* (SMALLINT, INT, BIGINT, DECIMAL, DOUBLE): v mod 2^64 (0 for NULL).

use crate::status::{SqlError, sqlstate};
use crate::wire;
use serde::{Deserialize, Serialize};

/// Columns of a table at most.
pub const COLUMNS_MAX: usize = 1024;
/// Bytes of a VARCHAR at most.
pub const VARCHAR_BYTES_MAX: u32 = 1024;
/// Labels of an ENUM at most.
pub const LABELS_MAX: usize = 65_536;
/// Digits of a DECIMAL at most (64-bit ring).
pub const DECIMAL_DIGITS_MAX: u8 = 18;
/// Binary digits after the point of a DOUBLE without a range: steps of 2^-28 (3.7e-9) up to 3.4e10.
pub const DOUBLE_FRACTION_BITS: u8 = 28;
/// Fewest binary digits after the point of a DOUBLE (a wide range).
pub const DOUBLE_FRACTION_BITS_MIN: u8 = 8;
/// Most binary digits after the point of a DOUBLE (a narrow range).
pub const DOUBLE_FRACTION_BITS_MAX: u8 = 40;

/// First and last microsecond of a TIMESTAMP: 0001-01-01 00:00:00 to 9999-12-31 23:59:59.999999.
pub const TIMESTAMP_LIMITS: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

/// SQL type of a stored column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColumnType {
    /// 1 bit.
    Boolean,
    /// 16-bit signed.
    SmallInt,
    /// 32-bit signed.
    Int,
    /// 64-bit signed.
    BigInt,
    /// Exact decimal, up to 18 digits, stored scaled by 10^scale.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Fixed point of 64 bits: multiples of 2^-fraction_bits.
    Double {
        /// Binary digits after the point.
        fraction_bits: u8,
    },
    /// Days since 1970-01-01, 32-bit.
    Date,
    /// Microseconds since 1970-01-01 00:00:00, in no time zone; years 1 to 9999.
    Timestamp,
    /// UTF-8, zero-padded to `bytes_max` bytes; order is byte order.
    Varchar {
        /// Bytes at most.
        bytes_max: u32,
    },
    /// One of a public list of labels; order is the order of declaration.
    Enum {
        /// The dictionary.
        labels: Vec<String>,
    },
}

/// Who may read the values of a column at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Secrecy {
    /// Plain data at all nodes.
    Public,
    /// Shares only.
    Secret,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Name, lower case unless quoted at creation.
    pub name: String,
    /// SQL type.
    pub ty: ColumnType,
    /// Whether NULL may occur.
    pub nullable: bool,
    /// PUBLIC or secret.
    pub secrecy: Secrecy,
    /// Declared range of the encoded integer, both ends included.
    pub range: Option<(i64, i64)>,
}

/// One table: name, columns, primary key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableSchema {
    /// Name, lower case unless quoted at creation.
    pub name: String,
    /// Columns in order; at least one.
    pub columns: Vec<Column>,
    /// Positions of the primary key's columns; empty: none. All are NOT NULL.
    pub primary_key: Vec<usize>,
}

/// How the bits of a stored column combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Form {
    /// XOR shares of `bits` bits; row-major, `ceil(bits / 8)` little-endian bytes a row at rest.
    Boolean,
    /// Additive shares mod 2^64; 8 little-endian bytes a row at rest.
    Arithmetic,
}

/// One stored (at rest, on the wire) vector of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredColumn {
    /// Position of the SQL column it encodes.
    pub column: usize,
    /// Boolean or arithmetic.
    pub form: Form,
    /// Bits of the encoding, the null bit included.
    pub bits: u32,
    /// Bytes of one row at rest.
    pub row_bytes: usize,
    /// PUBLIC or secret.
    pub secrecy: Secrecy,
}

impl ColumnType {
    /// Whether it is SMALLINT, INT, BIGINT, DECIMAL or DOUBLE.
    #[must_use]
    pub const fn is_numeric(&self) -> bool {
        matches!(
            self,
            Self::SmallInt | Self::Int | Self::BigInt | Self::Decimal { .. } | Self::Double { .. }
        )
    }

    /// Whether it is DATE or TIMESTAMP.
    #[must_use]
    pub const fn is_time(&self) -> bool {
        matches!(self, Self::Date | Self::Timestamp)
    }

    /// Lowest and highest encoded integer of the type; `None` for VARCHAR.
    #[must_use]
    pub fn limits(&self) -> Option<(i64, i64)> {
        Some(match self {
            Self::Boolean => (0, 1),
            Self::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Self::Int | Self::Date => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Self::BigInt => (i64::MIN, i64::MAX),
            Self::Double { .. } => (-i64::MAX, i64::MAX),
            Self::Timestamp => TIMESTAMP_LIMITS,
            Self::Decimal { precision, .. } => {
                let top = 10_i64.pow(u32::from(*precision)) - 1;
                (-top, top)
            }
            Self::Enum { labels } => {
                (0, i64::try_from(labels.len()).unwrap_or(i64::MAX).max(1) - 1)
            }
            Self::Varchar { .. } => return None,
        })
    }

    /// Name as SQL writes it.
    #[must_use]
    pub fn sql_name(&self) -> String {
        match self {
            Self::Boolean => "BOOLEAN".into(),
            Self::SmallInt => "SMALLINT".into(),
            Self::Int => "INT".into(),
            Self::BigInt => "BIGINT".into(),
            Self::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
            Self::Double { .. } => "DOUBLE PRECISION".into(),
            Self::Date => "DATE".into(),
            Self::Timestamp => "TIMESTAMP".into(),
            Self::Varchar { bytes_max } => format!("VARCHAR({bytes_max})"),
            Self::Enum { labels } => {
                let quoted: Vec<String> =
                    labels.iter().map(|l| format!("'{}'", l.replace('\'', "''"))).collect();
                format!("ENUM({})", quoted.join(","))
            }
        }
    }
}

/// Bits that hold every value of 0..=span.
#[must_use]
pub const fn bits_for(span: u128) -> u32 {
    128 - span.leading_zeros()
}

impl Column {
    /// Lowest and highest encoded integer: the declared range, else the type's; `None` for VARCHAR.
    #[must_use]
    pub fn limits(&self) -> Option<(i64, i64)> {
        self.range.or_else(|| self.ty.limits())
    }

    /// Bits of the boolean encoding without the null bit (at least 1).
    #[must_use]
    pub fn bits(&self) -> u32 {
        match (&self.ty, self.limits()) {
            (ColumnType::Varchar { bytes_max }, _) => 8 * bytes_max,
            (_, Some((low, high))) => bits_for((i128::from(high) - i128::from(low)) as u128).max(1),
            (_, None) => 1,
        }
    }

    /// Whether it is secret and has a declared range that its bits do not fill, so that shares can
    /// hold a value outside of it.
    #[must_use]
    pub fn may_leave_range(&self) -> bool {
        self.secrecy == Secrecy::Secret
            && self.range.is_some_and(|(low, high)| {
                let span = (i128::from(high) - i128::from(low)) as u128;
                span == 0 || !(span + 1).is_power_of_two()
            })
    }
}

impl TableSchema {
    /// The stored vectors of the table, in the order of every upload and every segment: for each
    /// column its boolean encoding, then its arithmetic encoding if it has one.
    #[must_use]
    pub fn stored_columns(&self) -> Vec<StoredColumn> {
        let mut stored = Vec::with_capacity(self.columns.len() * 2);
        for (index, column) in self.columns.iter().enumerate() {
            let bits = column.bits() + u32::from(column.nullable);
            stored.push(StoredColumn {
                column: index,
                form: Form::Boolean,
                bits,
                row_bytes: bits.div_ceil(8) as usize,
                secrecy: column.secrecy,
            });
            if column.ty.is_numeric() {
                stored.push(StoredColumn {
                    column: index,
                    form: Form::Arithmetic,
                    bits: 64,
                    row_bytes: 8,
                    secrecy: column.secrecy,
                });
            }
        }
        stored
    }

    /// The stored vectors of a segment: those of the table and, behind them, one shared bit a row
    /// that says whether the row exists, if the segment has it.
    #[must_use]
    pub fn segment_columns(&self, has_valid: bool) -> Vec<StoredColumn> {
        let mut stored = self.stored_columns();
        if has_valid {
            stored.push(StoredColumn {
                column: self.columns.len(),
                form: Form::Boolean,
                bits: 1,
                row_bytes: 1,
                secrecy: Secrecy::Secret,
            });
        }
        stored
    }

    /// Position of a column by its exact name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// BLAKE3 of the encoded schema; an upload names the schema that it was cut for by it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        use prost::Message as _;
        *blake3::hash(&wire::TableSchema::from(self).encode_to_vec()).as_bytes()
    }
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::INVALID_TABLE_DEFINITION, message)
}

impl TryFrom<&wire::ColumnSchema> for Column {
    type Error = SqlError;
    fn try_from(c: &wire::ColumnSchema) -> Result<Self, SqlError> {
        use wire::TypeKind as K;
        let name = c.name.clone();
        if name.is_empty() || name.len() > 128 {
            return Err(invalid("a column name has 1 to 128 bytes"));
        }
        let ty = match c.kind() {
            K::Boolean => ColumnType::Boolean,
            K::Smallint => ColumnType::SmallInt,
            K::Int => ColumnType::Int,
            K::Bigint => ColumnType::BigInt,
            K::Date => ColumnType::Date,
            K::Timestamp => ColumnType::Timestamp,
            K::Decimal => {
                let precision = u8::try_from(c.precision).unwrap_or(u8::MAX);
                let scale = u8::try_from(c.scale).unwrap_or(u8::MAX);
                if precision == 0 || precision > DECIMAL_DIGITS_MAX || scale > precision {
                    return Err(invalid(format!(
                        "column \"{name}\": DECIMAL takes 1 to {DECIMAL_DIGITS_MAX} digits and a scale not above them"
                    )));
                }
                ColumnType::Decimal { precision, scale }
            }
            K::Double => {
                let fraction_bits = u8::try_from(c.scale).unwrap_or(u8::MAX);
                if !(DOUBLE_FRACTION_BITS_MIN..=DOUBLE_FRACTION_BITS_MAX).contains(&fraction_bits) {
                    return Err(invalid(format!(
                        "column \"{name}\": DOUBLE PRECISION takes {DOUBLE_FRACTION_BITS_MIN} to {DOUBLE_FRACTION_BITS_MAX} binary digits after the point"
                    )));
                }
                ColumnType::Double { fraction_bits }
            }
            K::Varchar => {
                if c.bytes_max == 0 || c.bytes_max > VARCHAR_BYTES_MAX {
                    return Err(invalid(format!(
                        "column \"{name}\": VARCHAR takes 1 to {VARCHAR_BYTES_MAX} bytes"
                    )));
                }
                ColumnType::Varchar { bytes_max: c.bytes_max }
            }
            K::Enum => {
                let mut seen = std::collections::BTreeSet::new();
                if c.labels.is_empty() || c.labels.len() > LABELS_MAX {
                    return Err(invalid(format!(
                        "column \"{name}\": ENUM takes 1 to {LABELS_MAX} labels"
                    )));
                }
                if let Some(twice) = c.labels.iter().find(|l| !seen.insert(l.as_str())) {
                    return Err(invalid(format!(
                        "column \"{name}\": ENUM label '{twice}' appears twice"
                    )));
                }
                ColumnType::Enum { labels: c.labels.clone() }
            }
            K::Unspecified => return Err(invalid(format!("column \"{name}\" has no type"))),
        };
        let range = match &c.range {
            None => None,
            Some(r) => {
                let Some((low, high)) = ty.limits().filter(|_| ty.is_numeric() || ty.is_time())
                else {
                    return Err(invalid(format!(
                        "column \"{name}\": RANGE goes with numbers and dates only"
                    )));
                };
                if r.low > r.high || r.low < low || r.high > high {
                    return Err(invalid(format!(
                        "column \"{name}\": the range does not lie within {}",
                        ty.sql_name()
                    )));
                }
                Some((r.low, r.high))
            }
        };
        Ok(Self {
            name,
            ty,
            nullable: c.nullable,
            secrecy: if c.public { Secrecy::Public } else { Secrecy::Secret },
            range,
        })
    }
}

impl TryFrom<&wire::TableSchema> for TableSchema {
    type Error = SqlError;
    fn try_from(t: &wire::TableSchema) -> Result<Self, SqlError> {
        if t.name.is_empty() || t.name.len() > 128 {
            return Err(invalid("a table name has 1 to 128 bytes"));
        }
        if t.columns.is_empty() || t.columns.len() > COLUMNS_MAX {
            return Err(invalid(format!("a table has 1 to {COLUMNS_MAX} columns")));
        }
        let mut columns: Vec<Column> =
            t.columns.iter().map(Column::try_from).collect::<Result<_, _>>()?;
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = columns.iter().find(|c| !seen.insert(c.name.as_str())) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{}\" specified more than once", twice.name),
            ));
        }
        let mut primary_key = Vec::new();
        for &k in &t.primary_key {
            let k = k as usize;
            if k >= columns.len() || primary_key.contains(&k) {
                return Err(invalid("the primary key names no column, or one twice"));
            }
            columns[k].nullable = false;
            primary_key.push(k);
        }
        Ok(Self { name: t.name.clone(), columns, primary_key })
    }
}

impl From<&Column> for wire::ColumnSchema {
    fn from(c: &Column) -> Self {
        use wire::TypeKind as K;
        let mut out = Self {
            name: c.name.clone(),
            nullable: c.nullable,
            public: c.secrecy == Secrecy::Public,
            range: c.range.map(|(low, high)| wire::Range { low, high }),
            ..Self::default()
        };
        let kind = match &c.ty {
            ColumnType::Boolean => K::Boolean,
            ColumnType::SmallInt => K::Smallint,
            ColumnType::Int => K::Int,
            ColumnType::BigInt => K::Bigint,
            ColumnType::Date => K::Date,
            ColumnType::Timestamp => K::Timestamp,
            ColumnType::Decimal { precision, scale } => {
                out.precision = u32::from(*precision);
                out.scale = u32::from(*scale);
                K::Decimal
            }
            ColumnType::Double { fraction_bits } => {
                out.scale = u32::from(*fraction_bits);
                K::Double
            }
            ColumnType::Varchar { bytes_max } => {
                out.bytes_max = *bytes_max;
                K::Varchar
            }
            ColumnType::Enum { labels } => {
                out.labels.clone_from(labels);
                K::Enum
            }
        };
        out.set_kind(kind);
        out
    }
}

impl From<&TableSchema> for wire::TableSchema {
    fn from(t: &TableSchema) -> Self {
        Self {
            name: t.name.clone(),
            columns: t.columns.iter().map(Into::into).collect(),
            primary_key: t
                .primary_key
                .iter()
                .map(|&k| u32::try_from(k).unwrap_or(u32::MAX))
                .collect(),
        }
    }
}
