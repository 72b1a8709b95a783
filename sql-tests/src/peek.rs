//! What one node holds of one row: two of three share components per stored column, as bytes.

use std::path::Path;
use std::sync::Arc;
use trine_client::statement::{Statement, parse_all};
use trine_mpc::input::expand;
use trine_proto::CHUNK_ROWS;
use trine_proto::ids::{SegmentId, TableId};
use trine_proto::schema::{Form, Secrecy, StoredColumn, TableSchema};
use trine_storage::{ComponentSource, Disk, SegmentReader, Store};

/// One stored column of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Name of the SQL column.
    pub column: String,
    /// Form and width.
    pub encoding: String,
    /// Hexadecimal bytes of the node's two components (of a PUBLIC column: the value, and nothing).
    pub components: [String; 2],
}

/// Reads the row from the first segment of the table found in a node's data folder. The files are
/// copied first: the folder belongs to the node.
///
/// # Errors
/// No such table in the schema text, no segment of it in the folder, or no such row.
pub fn peek(data: &Path, schema: &str, table: &str, row: usize) -> Result<Vec<Peek>, String> {
    let schema = schema_of(schema, table)?;
    let copy = tempfile::tempdir().map_err(|e| e.to_string())?;
    let segments = copy_segments(data, copy.path())?;
    let store = Store::open(Arc::new(Disk::new(copy.path()))).map_err(|e| e.to_string())?;
    for (table_id, segment) in segments {
        let reader = store.read(table_id, segment).map_err(|e| e.to_string())?;
        if reader.header().schema_digest == schema.digest() {
            return read_row(&reader, &schema, row);
        }
    }
    Err(format!("no segment of table {table} in {}", data.display()))
}

fn schema_of(text: &str, table: &str) -> Result<TableSchema, String> {
    let statements = parse_all(text).map_err(|e| e.to_string())?;
    let found = statements.into_iter().find_map(|s| match s {
        Statement::CreateTable { schema, .. } if schema.name == table => Some(schema),
        _ => None,
    });
    found.ok_or_else(|| format!("no CREATE TABLE {table} in the schema file"))
}

fn copy_segments(data: &Path, copy: &Path) -> Result<Vec<(TableId, SegmentId)>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", data.display());
    let mut found = Vec::new();
    for folder in std::fs::read_dir(data.join("segments")).map_err(failed)? {
        let folder = folder.map_err(failed)?;
        let Some(table) = folder.file_name().to_str().and_then(|n| n.parse().ok()).map(TableId)
        else {
            continue;
        };
        let target = copy.join("segments").join(folder.file_name());
        std::fs::create_dir_all(&target).map_err(failed)?;
        for file in std::fs::read_dir(folder.path()).map_err(failed)? {
            let file = file.map_err(failed)?;
            let name = file.file_name();
            let id = name.to_str().and_then(|n| n.strip_suffix(".parquet"));
            let Some(segment) = id.and_then(SegmentId::from_hex) else { continue };
            std::fs::copy(file.path(), target.join(&name)).map_err(failed)?;
            found.push((table, segment));
        }
    }
    found.sort();
    Ok(found)
}

fn read_row(reader: &SegmentReader, schema: &TableSchema, row: usize) -> Result<Vec<Peek>, String> {
    let (chunk, within) = (row / CHUNK_ROWS, row % CHUNK_ROWS);
    if within >= reader.chunk_rows(chunk) {
        return Err(format!("the batch has {} rows", reader.header().rows));
    }
    let layout = &reader.header().layout;
    layout
        .iter()
        .enumerate()
        .map(|(position, stored)| {
            let cut = |bytes: Vec<u8>| {
                let from = within * stored.row_bytes;
                let row = bytes.get(from..from + stored.row_bytes).unwrap_or_default();
                row.iter().map(|b| format!("{b:02x}")).collect::<String>()
            };
            let components = if stored.secrecy == Secrecy::Public {
                let bytes = reader.public(chunk, position).map_err(|e| e.to_string())?;
                [cut(bytes), String::new()]
            } else {
                let one = component(reader, chunk, position, stored, 0)?;
                let two = component(reader, chunk, position, stored, 1)?;
                [cut(one), cut(two)]
            };
            let form = match stored.form {
                Form::Boolean => format!("xor, {} bits", stored.bits),
                Form::Arithmetic => format!("sum mod 2^{}", stored.bits),
            };
            let encoding =
                if stored.secrecy == Secrecy::Public { "PUBLIC".to_owned() } else { form };
            let column = schema.columns.get(stored.column).map_or("?", |c| c.name.as_str());
            Ok(Peek { column: column.to_owned(), encoding, components })
        })
        .collect()
}

/// The bytes of a component of one chunk, expanded when the node holds a seed.
fn component(
    reader: &SegmentReader,
    chunk: usize,
    position: usize,
    stored: &StoredColumn,
    slot: usize,
) -> Result<Vec<u8>, String> {
    match &reader.header().components[slot].source {
        ComponentSource::Seed(seed) => {
            let mut bytes = vec![0; reader.chunk_rows(chunk) * stored.row_bytes];
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            expand(seed, number(position), number(chunk), &mut bytes);
            Ok(bytes)
        }
        ComponentSource::Explicit => {
            let bytes = reader.component(chunk, position, slot).map_err(|e| e.to_string())?;
            bytes.ok_or_else(|| "an explicit component is not stored".to_owned())
        }
    }
}
