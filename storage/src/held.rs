//! Small segments in memory. A table that was filled row by row is many files of a row each: parsing every
//! footer again would cost each query more than the query.

use crate::backend::BackendRead;
use crate::error::{Result, io_error};
use crate::limits::HELD_BYTES_MAX;
use crate::reader::SegmentReader;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use trine_proto::ids::{SegmentId, TableId};

type Key = (TableId, SegmentId);

/// Open readers of small files, the oldest of which go first.
#[derive(Default)]
pub(crate) struct Held {
    readers: BTreeMap<Key, (Content, SegmentReader)>,
    order: VecDeque<Key>,
    bytes: u64,
}

impl Held {
    /// The reader of a file that still has this content.
    pub(crate) fn get(&self, key: Key, content: &Content) -> Option<SegmentReader> {
        self.readers.get(&key).filter(|(held, _)| held == content).map(|(_, reader)| reader.clone())
    }

    /// Holds a reader whose whole file lies in memory.
    pub(crate) fn put(&mut self, key: Key, content: Content, reader: SegmentReader) {
        self.forget(key);
        self.bytes += content.bytes();
        self.readers.insert(key, (content, reader));
        self.order.push_back(key);
        while self.bytes > HELD_BYTES_MAX {
            let Some(oldest) = self.order.front().copied() else { break };
            self.forget(oldest);
        }
    }

    /// Forgets a segment that is removed or replaced.
    pub(crate) fn forget(&mut self, key: Key) {
        if let Some((content, _)) = self.readers.remove(&key) {
            self.bytes = self.bytes.saturating_sub(content.bytes());
            self.order.retain(|held| *held != key);
        }
    }
}

/// The content of a file, in its place.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Content(Arc<Vec<u8>>);

impl Content {
    /// Reads a whole file.
    pub(crate) fn of(name: &str, file: &dyn BackendRead, length: u64) -> Result<Self> {
        usize::try_from(length)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))
            .and_then(|length| file.read_at(0, length))
            .map(|bytes| Self(Arc::new(bytes)))
            .map_err(io_error(name, "read"))
    }

    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
}

impl BackendRead for Content {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes())
    }
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.as_slice().read_at(offset, length)
    }
}
