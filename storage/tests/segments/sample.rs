//! Made-up segments with reproducible contents.

use trine_proto::CHUNK_ROWS;
use trine_proto::ids::{Party, SegmentId, TableId};
use trine_proto::schema::{Form, Secrecy, StoredColumn};
use trine_storage::{
    ComponentHeader, ComponentSource, Digests, Result, SegmentHeader, SegmentReader, Store,
};

pub(crate) const TABLE: TableId = TableId(5);

/// Which components are explicit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Seeds,
    First,
    Second,
    Both,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Seeds, Kind::First, Kind::Second, Kind::Both];

impl Kind {
    pub(crate) fn slots(self) -> &'static [usize] {
        match self {
            Self::Seeds => &[],
            Self::First => &[0],
            Self::Second => &[1],
            Self::Both => &[0, 1],
        }
    }
}

pub(crate) struct Sample {
    pub(crate) header: SegmentHeader,
    pub(crate) chunks: Vec<Chunk>,
}

#[derive(Clone)]
pub(crate) struct Chunk {
    pub(crate) rows: usize,
    pub(crate) explicit: Vec<Vec<u8>>,
    pub(crate) public: Vec<Vec<u8>>,
}

pub(crate) fn stored(column: usize, bits: u32, secrecy: Secrecy) -> StoredColumn {
    let row_bytes = bits.div_ceil(8) as usize;
    StoredColumn { column, form: Form::Boolean, bits, row_bytes, secrecy }
}

/// Two secret columns (1 and 5 bytes a row) around `public` PUBLIC ones of 3 bytes.
pub(crate) fn layout(public: usize) -> Vec<StoredColumn> {
    let mut layout = vec![stored(0, 2, Secrecy::Secret)];
    layout.extend((0..public).map(|i| stored(1 + i, 24, Secrecy::Public)));
    layout.push(stored(1 + public, 33, Secrecy::Secret));
    layout
}

pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn header(kind: Kind, rows: u64, public: usize) -> SegmentHeader {
    let component = |slot: usize| {
        let seed = ComponentSource::Seed([0xd0 + u8::try_from(slot).unwrap(); 32]);
        let explicit = kind.slots().contains(&slot);
        ComponentHeader {
            salt: [0xe0 + u8::try_from(slot).unwrap(); 16],
            source: if explicit { ComponentSource::Explicit } else { seed },
        }
    };
    SegmentHeader {
        party: Party::ALL[1],
        table: TABLE,
        segment: SegmentId([7; 16]),
        schema_digest: [3; 32],
        rows,
        layout: layout(public),
        components: [component(0), component(1)],
    }
}

pub(crate) fn sample(kind: Kind, rows: u64, public: usize) -> Sample {
    let header = header(kind, rows, public);
    let widths = |secrecy| -> Vec<usize> {
        header.layout.iter().filter(|c| c.secrecy == secrecy).map(|c| c.row_bytes).collect()
    };
    let (secret, open) = (widths(Secrecy::Secret), widths(Secrecy::Public));
    let mut draw = 0;
    let mut column = |rows: usize, width: &usize| {
        draw += 1;
        noise(draw, rows * width)
    };
    let chunks = (0..header.chunks())
        .map(|chunk| {
            let rows = header.chunk_rows(chunk);
            let explicit =
                kind.slots().iter().flat_map(|_| &secret).map(|w| column(rows, w)).collect();
            let public = open.iter().map(|w| column(rows, w)).collect();
            Chunk { rows, explicit, public }
        })
        .collect();
    Sample { header, chunks }
}

impl Sample {
    pub(crate) fn named(mut self, id: u8) -> Self {
        self.header.segment = SegmentId([id; 16]);
        self
    }

    pub(crate) fn write(&self, store: &Store) -> Result<Digests> {
        let mut writer = store.stage(self.header.clone())?;
        for chunk in &self.chunks {
            writer.append(chunk.rows, &chunk.explicit, &chunk.public)?;
        }
        writer.finish()
    }

    /// Reads everything and compares it with what was written.
    pub(crate) fn compare(&self, reader: &SegmentReader) -> Result<()> {
        assert_eq!(reader.header(), &self.header);
        assert_eq!(reader.chunks(), self.chunks.len());
        for (index, chunk) in self.chunks.iter().enumerate() {
            assert_eq!(reader.chunk_rows(index), chunk.rows);
            let mut explicit = chunk.explicit.iter();
            for slot in [0, 1] {
                for (column, stored) in self.header.layout.iter().enumerate() {
                    if stored.secrecy == Secrecy::Public {
                        continue;
                    }
                    let is_explicit =
                        self.header.components[slot].source == ComponentSource::Explicit;
                    let expected = if is_explicit { explicit.next() } else { None };
                    let found = reader.component(index, column, slot)?;
                    assert!(found.as_ref() == expected, "chunk {index} column {column}");
                }
            }
            assert!(explicit.next().is_none());
            let mut public = chunk.public.iter();
            for (column, stored) in self.header.layout.iter().enumerate() {
                if stored.secrecy == Secrecy::Public {
                    assert!(Some(&reader.public(index, column)?) == public.next());
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check(&self, store: &Store) -> Result<()> {
        self.compare(&store.read(self.header.table, self.header.segment)?)
    }

    pub(crate) fn file(&self) -> String {
        format!("segments/{}/{}.parquet", self.header.table, self.header.segment)
    }
}

/// Row counts around the borders of chunks.
pub(crate) const BORDERS: [u64; 6] =
    [0, 1, CHUNK_ROWS as u64 - 1, CHUNK_ROWS as u64, CHUNK_ROWS as u64 + 1, 2 * CHUNK_ROWS as u64];
