//! Loading a CSV file into the three stores, chunk by chunk as the client cuts it.

use super::{InProcess, internal};
use crate::engine::EngineError;
use csv::{ReaderBuilder, StringRecord};
use std::path::Path;
use trine_client::TableDefinition;
use trine_client::cut::{Cutter, NodePart};
use trine_client::encode::RowEncoder;
use trine_client::random_id;
use trine_proto::CHUNK_ROWS;
use trine_proto::ids::TransactionId;
use trine_proto::schema::{ColumnType, TableSchema};
use trine_proto::status::{SqlError, sqlstate};

impl InProcess {
    /// Appends the rows of a CSV file whose header names the columns; an empty cell is NULL, in a
    /// NOT NULL text column the empty text.
    ///
    /// # Errors
    /// No such table or file, or the first cell that does not fit.
    pub fn load_csv(&self, table: &str, path: &Path) -> Result<u64, EngineError> {
        let (id, TableDefinition { schema, .. }) = self.table(table)?;
        let rows = records(path)?.count() as u64;
        let transaction = TransactionId(random_id()?);
        let cutter = Cutter::new(&schema, rows)?;
        let headers = cutter.headers(self.cluster.info.cluster_id, transaction, rows);
        let mut parts = headers.map(|header| NodePart { header, chunks: Vec::new() });
        let places = places(&schema, path)?;
        let encoder = RowEncoder::new(&schema);
        let mut chunk = encoder.chunk(CHUNK_ROWS);
        let (mut index, mut read) = (0, 0);
        for record in records(path)? {
            let record = record.map_err(|e| bad(path, &e.to_string()))?;
            append(&schema, &encoder, &places, &mut chunk, &record)
                .map_err(|e| bad(path, &format!("row {}: {}", read + 1, e.message)))?;
            read += 1;
            if chunk.rows == CHUNK_ROWS || read == rows {
                let full = std::mem::replace(&mut chunk, encoder.chunk(CHUNK_ROWS));
                for (part, cut) in parts.iter_mut().zip(cutter.cut(index, full)) {
                    part.chunks.push(cut);
                }
                index += 1;
            }
        }
        let within = self.block().begins(true)?;
        self.commit((id, &schema), transaction, parts, within)?;
        self.block().ended(true);
        Ok(rows)
    }
}

fn records(path: &Path) -> Result<csv::StringRecordsIntoIter<std::fs::File>, EngineError> {
    let reader = ReaderBuilder::new().from_path(path).map_err(|e| internal(&e))?;
    Ok(reader.into_records())
}

/// For each column of the table its field of the file.
fn places(schema: &TableSchema, path: &Path) -> Result<Vec<usize>, EngineError> {
    let mut reader = ReaderBuilder::new().from_path(path).map_err(|e| internal(&e))?;
    let header = reader.headers().map_err(|e| bad(path, &e.to_string()))?.clone();
    let place = |name: &str| {
        let found = header.iter().position(|h| h == name);
        found.ok_or_else(|| bad(path, &format!("the header does not name \"{name}\"")))
    };
    schema.columns.iter().map(|c| place(&c.name)).collect()
}

fn append(
    schema: &TableSchema,
    encoder: &RowEncoder,
    places: &[usize],
    chunk: &mut trine_client::encode::PlainChunk,
    record: &StringRecord,
) -> Result<(), SqlError> {
    let appended = encoder.append(chunk, |i, column| {
        let field = record.get(places[i]).unwrap_or_default();
        let declared = &schema.columns[i];
        let text = matches!(declared.ty, ColumnType::Varchar { .. }) && !declared.nullable;
        if field.is_empty() && !text { column.null() } else { column.text(field.as_bytes()) }
    });
    appended.map_err(|(i, e)| e.of_column(&schema.columns[i].name))
}

fn bad(path: &Path, what: &str) -> EngineError {
    EngineError::new(sqlstate::BAD_COPY_FILE, format!("{}: {what}", path.display()))
}
