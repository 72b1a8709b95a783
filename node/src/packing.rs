//! Packing at one node: the components that it holds of many small segments, one after the other, in one
//! new segment.
//!
//! Nothing is sent and nobody else is asked. The two holders of a component write the same bytes: a seed is
//! expanded, and the salt of the new component is made from the salts of the old ones, which these two have
//! and the third party has not. So their keyed digests are equal, and the log compares them.

use crate::fail_point;
use trine_mpc::input;
use trine_proto::CHUNK_ROWS;
use trine_proto::catalog::{PackEntry, Staged};
use trine_proto::ids::{Party, SegmentId, TableId};
use trine_proto::schema::{Secrecy, StoredColumn};
use trine_storage::{
    ComponentHeader, ComponentSource, SegmentHeader, SegmentReader, StageWriter, StorageError,
    Store,
};

/// Makes the salt of a component of a packed segment.
const SALT_CONTEXT: &str = "trine salt of a packed component v1";

/// Why nothing was packed.
#[derive(Debug)]
pub(crate) enum NotPacked {
    /// A segment cannot be read, or the new one not be written.
    Storage(StorageError),
    /// The segments are not what the log says of them.
    Differ(&'static str),
    /// The log ended the attempt.
    Stopped,
}

impl From<StorageError> for NotPacked {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Cancelled { .. } => Self::Stopped,
            other => Self::Storage(other),
        }
    }
}

/// Writes the packed segment `made` of a table. Cost: every segment is read and checked, and its rows are
/// written; memory for one chunk of all columns.
pub(crate) fn pack(
    store: &Store,
    party: Party,
    (table, made): (TableId, SegmentId),
    entry: &PackEntry,
    stopped: &dyn Fn() -> bool,
) -> Result<Staged, NotPacked> {
    fail_point::reach("pack.begin");
    let mut readers = Vec::with_capacity(entry.segments.len());
    for segment in &entry.segments {
        if stopped() {
            return Err(NotPacked::Stopped);
        }
        readers.push(store.read(table, *segment)?);
    }
    let header = header(party, (table, made), entry, &readers)?;
    let mut rows = Rows::new(&header);
    let mut writer = store.stage(header.clone())?;
    for reader in &readers {
        if stopped() {
            return Err(NotPacked::Stopped);
        }
        for chunk in 0..reader.chunks() {
            rows.take(reader, chunk)?;
            rows.write(&mut writer, CHUNK_ROWS)?;
        }
    }
    rows.write(&mut writer, 1)?;
    let digests = writer.finish()?;
    Ok(Staged {
        rows: header.rows,
        schema_digest: header.schema_digest,
        first_digest: digests.components[0],
        second_digest: digests.components[1],
        public_digest: digests.public,
    })
}

/// The new header, if all segments have one shape.
fn header(
    party: Party,
    (table, segment): (TableId, SegmentId),
    entry: &PackEntry,
    readers: &[SegmentReader],
) -> Result<SegmentHeader, NotPacked> {
    let first = readers.first().ok_or(NotPacked::Differ("there is nothing to pack"))?.header();
    let alike = |h: &SegmentHeader| {
        (h.party, h.schema_digest) == (party, first.schema_digest) && h.layout == first.layout
    };
    if !readers.iter().all(|reader| alike(reader.header())) {
        return Err(NotPacked::Differ("the segments to pack have different columns"));
    }
    let rows: u64 = readers.iter().map(|reader| reader.header().rows).sum();
    if rows != entry.rows {
        return Err(NotPacked::Differ("the segments to pack have other rows than the log says"));
    }
    let component = |slot: usize| {
        let mut hasher = blake3::Hasher::new_derive_key(SALT_CONTEXT);
        hasher.update(&segment.0);
        for reader in readers {
            hasher.update(&reader.header().components[slot].salt);
        }
        let mut salt = [0; 16];
        hasher.finalize_xof().fill(&mut salt);
        ComponentHeader { salt, source: ComponentSource::Explicit }
    };
    Ok(SegmentHeader {
        party,
        table,
        segment,
        schema_digest: first.schema_digest,
        rows,
        layout: first.layout.clone(),
        components: [component(0), component(1)],
    })
}

/// Rows on their way from the old files to the new one.
struct Rows {
    layout: Vec<StoredColumn>,
    waiting: usize,
    /// As [`StageWriter::append`] takes them: the secret columns of slot 0, those of slot 1.
    explicit: Vec<(usize, Vec<u8>)>,
    public: Vec<(usize, Vec<u8>)>,
}

impl Rows {
    fn new(header: &SegmentHeader) -> Self {
        let of = |secrecy: Secrecy| {
            let columns = header.layout.iter().filter(move |c| c.secrecy == secrecy);
            columns.map(|c| (c.row_bytes, Vec::new())).collect::<Vec<_>>()
        };
        let secret = of(Secrecy::Secret);
        let explicit = secret.iter().chain(&secret).cloned().collect();
        Self { layout: header.layout.clone(), waiting: 0, explicit, public: of(Secrecy::Public) }
    }

    fn take(&mut self, reader: &SegmentReader, chunk: usize) -> Result<(), NotPacked> {
        let columns = |secrecy: Secrecy| {
            let all = self.layout.iter().enumerate();
            all.filter(move |(_, c)| c.secrecy == secrecy).map(|(index, _)| index)
        };
        let secret: Vec<usize> = columns(Secrecy::Secret).collect();
        let public: Vec<usize> = columns(Secrecy::Public).collect();
        let rows = reader.chunk_rows(chunk);
        let slots = [0, 1].into_iter().flat_map(|slot| secret.iter().map(move |i| (slot, *i)));
        for ((slot, index), (row_bytes, out)) in slots.zip(&mut self.explicit) {
            match reader.component(chunk, index, slot)? {
                Some(bytes) => out.extend_from_slice(&bytes),
                None => {
                    let ComponentSource::Seed(seed) = &reader.header().components[slot].source
                    else {
                        return Err(NotPacked::Differ("a component has neither bytes nor a seed"));
                    };
                    let number = |n: usize| {
                        u32::try_from(n).map_err(|_| NotPacked::Differ("a segment is too large"))
                    };
                    let start = out.len();
                    out.resize(start + rows * *row_bytes, 0);
                    input::expand(seed, number(index)?, number(chunk)?, &mut out[start..]);
                }
            }
        }
        for (index, (_, out)) in public.into_iter().zip(&mut self.public) {
            out.extend_from_slice(&reader.public(chunk, index)?);
        }
        self.waiting += rows;
        Ok(())
    }

    /// Writes chunks while at least so many rows wait.
    fn write(&mut self, writer: &mut StageWriter, least: usize) -> Result<(), NotPacked> {
        while self.waiting >= least {
            let rows = self.waiting.min(CHUNK_ROWS);
            let cut = |columns: &mut Vec<(usize, Vec<u8>)>| -> Vec<Vec<u8>> {
                let front = |(row_bytes, bytes): &mut (usize, Vec<u8>)| {
                    let rest = bytes.split_off(rows * *row_bytes);
                    std::mem::replace(bytes, rest)
                };
                columns.iter_mut().map(front).collect()
            };
            writer.append(rows, &cut(&mut self.explicit), &cut(&mut self.public))?;
            self.waiting -= rows;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
