//! Tables of the catalog as DataFusion sees them.

use crate::plan::SegmentScan;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_expr::TableSource;
use std::collections::HashMap;
use std::sync::Arc;
use trine_proto::catalog::TableEntry;
use trine_proto::ids::{LogIndex, TableId};
use trine_proto::schema::{ColumnType, TableSchema};

/// Key of the field metadata that carries an ENUM's labels (they are Utf8 to DataFusion).
pub(crate) const LABELS: &str = "trine.labels";

/// A table at a snapshot.
#[derive(Clone)]
pub(crate) struct TrineTable {
    pub(crate) id: TableId,
    pub(crate) schema: TableSchema,
    pub(crate) segments: Vec<SegmentScan>,
    arrow: SchemaRef,
}

impl TrineTable {
    pub(crate) fn at(entry: &TableEntry, at: LogIndex) -> Self {
        let segments = entry.visible(at).map(SegmentScan::from).collect();
        Self::over(entry.id, entry.schema.clone(), segments)
    }

    /// A table of these segments.
    pub(crate) fn over(id: TableId, schema: TableSchema, segments: Vec<SegmentScan>) -> Self {
        let fields: Vec<Field> = schema
            .columns
            .iter()
            .map(|c| {
                let field = Field::new(&c.name, arrow_type(&c.ty), c.nullable);
                match &c.ty {
                    ColumnType::Enum { labels } => field
                        .with_metadata(HashMap::from([(LABELS.to_owned(), encode_labels(labels))])),
                    _ => field,
                }
            })
            .collect();
        Self { id, schema, segments, arrow: Arc::new(Schema::new(fields)) }
    }
}

impl TableSource for TrineTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.arrow)
    }
}

/// Labels in one string: each with its length in front, so that any text survives.
fn encode_labels(labels: &[String]) -> String {
    let mut text = String::new();
    for label in labels {
        text.push_str(&format!("{}:{label}", label.len()));
    }
    text
}

/// Back from [`encode_labels`]; `None` for text of another make.
pub(crate) fn decode_labels(mut text: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (length, rest) = text.split_once(':')?;
        let length: usize = length.parse().ok()?;
        labels.push(rest.get(..length)?.to_owned());
        text = rest.get(length..)?;
    }
    Some(labels)
}

fn arrow_type(ty: &ColumnType) -> DataType {
    match ty {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::SmallInt => DataType::Int16,
        ColumnType::Int => DataType::Int32,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::Decimal { precision, scale } => {
            DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(0))
        }
        ColumnType::Double { .. } => DataType::Float64,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Varchar { .. } | ColumnType::Enum { .. } => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_survive_the_metadata() {
        let labels: Vec<String> = ["a:b", "", "3:x", "é"].map(str::to_owned).into();
        assert_eq!(decode_labels(&encode_labels(&labels)), Some(labels));
        assert_eq!(decode_labels("9:short"), None);
    }
}
