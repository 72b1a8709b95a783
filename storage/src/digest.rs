//! Digests of a segment.
//!
//! A *component digest* is BLAKE3 keyed by the component's salt. It covers rows, schema digest,
//! component index, and then either the seed or, chunk by chunk, the bytes of every secret stored
//! column. It does not depend on which of the two holders computes it, nor on table or segment id.
//! The *public digest* is plain BLAKE3 over the PUBLIC columns in the same order.

use crate::header::{ComponentSource, SegmentHeader};
use blake3::Hasher;
use serde::{Deserialize, Serialize};

/// Makes the key of a component digest from its salt.
const COMPONENT_CONTEXT: &str = "trine segment component digest v1";

/// Digests of one party's part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Keyed digests of slot 0 and slot 1.
    pub components: [[u8; 32]; 2],
    /// Plain digest of the PUBLIC columns.
    pub public: [u8; 32],
}

/// Takes in a segment in file order; the writer and the verifying reader both use it.
pub(crate) struct SegmentHasher {
    components: [Hasher; 2],
    public: Hasher,
    page_headers: Hasher,
}

impl SegmentHasher {
    pub(crate) fn new(header: &SegmentHeader) -> Self {
        Self {
            components: [0, 1].map(|slot| component_hasher(header, slot)),
            public: start(Hasher::new(), header, b"public"),
            page_headers: Hasher::new(),
        }
    }
    /// One column of one chunk of an explicit component.
    pub(crate) fn explicit(&mut self, slot: usize, bytes: &[u8]) {
        column(&mut self.components[slot], bytes);
    }
    /// One PUBLIC column of one chunk.
    pub(crate) fn public(&mut self, bytes: &[u8]) {
        column(&mut self.public, bytes);
    }
    /// The header of one page.
    pub(crate) fn page_header(&mut self, bytes: &[u8]) {
        column(&mut self.page_headers, bytes);
    }
    /// The digests, and that of the page headers.
    pub(crate) fn finish(&self) -> (Digests, [u8; 32]) {
        let digests = Digests {
            components: [0, 1].map(|slot| self.components[slot].finalize().into()),
            public: self.public.finalize().into(),
        };
        (digests, self.page_headers.finalize().into())
    }
}

fn component_hasher(header: &SegmentHeader, slot: usize) -> Hasher {
    let component = &header.components[slot];
    let key = blake3::derive_key(COMPONENT_CONTEXT, &component.salt);
    let mut hasher = start(Hasher::new_keyed(&key), header, b"component");
    hasher.update(&[index_byte(header.component_index(slot))]);
    match &component.source {
        ComponentSource::Seed(seed) => hasher.update(b"seed").update(seed),
        ComponentSource::Explicit => hasher.update(b"explicit"),
    };
    hasher
}

fn start(mut hasher: Hasher, header: &SegmentHeader, kind: &[u8]) -> Hasher {
    hasher.update(kind).update(&header.rows.to_le_bytes()).update(&header.schema_digest);
    hasher
}

fn column(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

const fn index_byte(index: usize) -> u8 {
    // A component index is 0, 1 or 2.
    (index % 3).to_le_bytes()[0]
}
