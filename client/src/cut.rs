//! Cutting encoded rows into three parts. x = x0 + x1 + x2 (mod 2^64, or XOR): x0 and x1 are made
//! from two fresh seeds, x2 is what no seed can make. Party i gets components i and i+1:
//!
//! | node | first | second |
//! |---|---|---|
//! | 0 | seed of x0 | seed of x1 |
//! | 1 | seed of x1 | x2, explicit |
//! | 2 | x2, explicit | seed of x0 |
//!
//! PUBLIC columns go to all three as they are. A [`Cutter`] belongs to one attempt of one upload: a
//! seed that met two different chunks would give their difference away.

use std::fmt;

use trine_mpc::input::{Seed, cut_arithmetic, cut_boolean};
use trine_proto::CHUNK_ROWS;
use trine_proto::ids::{ClusterId, TransactionId};
use trine_proto::schema::{Form, Secrecy, StoredColumn, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{Component, UploadChunk, UploadHeader};

use crate::encode::{Cell, PlainChunk, RowEncoder};
use crate::random::random_id;

/// Bytes of one message of an upload at most: what a node takes.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Room in a message for everything that is not share bytes.
const MESSAGE_MARGIN: usize = 1 << 20;

/// Everything one node is sent of a batch.
#[derive(Clone, PartialEq)]
pub struct NodePart {
    /// What the stream starts with.
    pub header: UploadHeader,
    /// The chunks, in order.
    pub chunks: Vec<UploadChunk>,
}

impl fmt::Debug for NodePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodePart({} rows, {} chunks)", self.header.rows, self.chunks.len())
    }
}

/// Cuts the chunks of one upload. Holds the seeds of the batch; never prints them.
pub struct Cutter {
    seeds: [Seed; 2],
    salts: [[u8; 16]; 3],
    stored: Vec<StoredColumn>,
    table: String,
    schema_digest: [u8; 32],
}

impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cutter({})", self.table)
    }
}

impl Cutter {
    /// Fresh seeds and salts for one attempt to upload a batch of `rows` rows into a table.
    ///
    /// # Errors
    /// `54000` if a chunk of such rows is more than a message can hold, `XX000` if the operating
    /// system gives no randomness.
    pub fn new(schema: &TableSchema, rows: u64) -> Result<Self, SqlError> {
        let row_bytes: usize = schema.stored_columns().iter().map(|s| s.row_bytes).sum();
        let chunk_rows = usize::try_from(rows).map_or(CHUNK_ROWS, |r| r.min(CHUNK_ROWS));
        if row_bytes.saturating_mul(chunk_rows) > MESSAGE_BYTES_MAX - MESSAGE_MARGIN {
            let most = (MESSAGE_BYTES_MAX - MESSAGE_MARGIN) / row_bytes;
            return Err(SqlError::new(
                sqlstate::LIMIT_EXCEEDED,
                format!("rows of table \"{}\" take {row_bytes} bytes each", schema.name),
            )
            .hint(format!("load at most {most} rows at a time, or shorten its VARCHAR columns")));
        }
        Ok(Self {
            seeds: [random_id()?, random_id()?],
            salts: [random_id()?, random_id()?, random_id()?],
            stored: schema.stored_columns(),
            table: schema.name.clone(),
            schema_digest: schema.digest(),
        })
    }

    /// What each node's stream starts with; `rows` of the whole batch.
    #[must_use]
    pub fn headers(
        &self,
        cluster: ClusterId,
        transaction: TransactionId,
        rows: u64,
    ) -> [UploadHeader; 3] {
        let seeds = [self.seeds[0].to_vec(), self.seeds[1].to_vec(), Vec::new()];
        let component =
            |i: usize| Component { salt: self.salts[i].to_vec(), seed: seeds[i].clone() };
        [0, 1, 2].map(|party| UploadHeader {
            cluster_id: cluster.0.to_vec(),
            transaction_id: transaction.0.to_vec(),
            table: self.table.clone(),
            schema_digest: self.schema_digest.to_vec(),
            rows,
            first: Some(component(party)),
            second: Some(component((party + 1) % 3)),
            parameters: None,
        })
    }

    /// The three nodes' parts of chunk number `index`. The work is two AES streams over the secret
    /// columns; the explicit component goes to nodes 1 and 2.
    #[must_use]
    pub fn cut(&self, index: u32, plain: PlainChunk) -> [UploadChunk; 3] {
        let (mut explicit, mut public) = (Vec::new(), Vec::new());
        let vectors = plain.into_stored(&self.stored);
        for ((position, stored), mut bytes) in (0_u32..).zip(&self.stored).zip(vectors) {
            if stored.secrecy == Secrecy::Public {
                public.push(bytes);
                continue;
            }
            let cut = match stored.form {
                Form::Boolean => cut_boolean,
                Form::Arithmetic => cut_arithmetic,
            };
            cut(&mut bytes, &self.seeds[0], &self.seeds[1], position, index);
            explicit.push(bytes);
        }
        [
            UploadChunk { index, explicit: Vec::new(), public: public.clone() },
            UploadChunk { index, explicit: explicit.clone(), public: public.clone() },
            UploadChunk { index, explicit, public },
        ]
    }
}

/// Cuts rows of cells that are at hand, as one batch.
///
/// # Errors
/// The first cell that does not fit its column: message with the column's name; the position is
/// left to the caller, who knows where the cell stood.
pub fn cut_rows(
    schema: &TableSchema,
    rows: &[Vec<Cell>],
    cluster: ClusterId,
    transaction: TransactionId,
) -> Result<[NodePart; 3], SqlError> {
    let encoder = RowEncoder::new(schema);
    let cutter = Cutter::new(schema, rows.len() as u64)?;
    let row_count = rows.len() as u64;
    let mut parts = cutter
        .headers(cluster, transaction, row_count)
        .map(|header| NodePart { header, chunks: Vec::new() });
    for (index, slice) in (0_u32..).zip(rows.chunks(CHUNK_ROWS)) {
        let mut chunk = encoder.chunk(slice.len());
        for row in slice {
            let append = encoder.append(&mut chunk, |i, c| match row.get(i) {
                Some(cell) => c.cell(cell),
                None => c.null(),
            });
            append.map_err(|(i, e)| e.of_column(&schema.columns[i].name))?;
        }
        for (part, chunk) in parts.iter_mut().zip(cutter.cut(index, chunk)) {
            part.chunks.push(chunk);
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
