//! One kept result on disk: this party's part of it, whole and checked, or not there.
//!
//! ```text
//! "TRINERES" | version | check key (32) | length of the head | head | check
//!            | piece 0 of vector 0 | check | piece 1 | check | …
//! ```
//!
//! Numbers are 4 bytes, little-endian; a check is 16 bytes of BLAKE3 over the piece and its number, keyed by
//! the check key, which is drawn for each file: two files of equal shares do not show that they are. Of the
//! two components that this party holds of a result its client gets one, and a digest of the other; so one
//! and a digest are what is kept.

use crate::limits::{RESULT_HEAD_BYTES_MAX, RESULT_PIECE_BYTES};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Write as _};
use trine_proto::ids::{ClusterId, JobId, Party};
use trine_proto::result::result_digest;
use trine_proto::wire::result_part::Part;
use trine_proto::wire::{ResultHeader, ResultVector};
use trine_query::ResultShares;
use trine_storage::{Backend, BackendRead};

/// Version of this format.
const RESULT_FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"TRINERES";
const CHECK_BYTES: usize = 16;
/// Magic, version, key, length of the head.
const FIXED_BYTES: usize = 8 + 4 + 32 + 4;
/// Number of the head among the checked pieces; those of the vectors count from 0.
const HEAD: u64 = u64::MAX;

/// What a file says of its result.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) cluster: ClusterId,
    pub(crate) party: Party,
    pub(crate) job: JobId,
    /// The attempt that made it; a client combines parts of equal attempts only.
    pub(crate) attempt: u32,
    /// Report of a transaction: whose it is. None: the log knows who asked the query.
    pub(crate) owner: Option<String>,
    /// When it was kept, Unix milliseconds of this node.
    pub(crate) kept_at_ms: u64,
    /// `ResultHeader`, encoded.
    header: Vec<u8>,
    /// Bytes of this party's own component of each vector, and the digest of the other one.
    vectors: Vec<(u64, [u8; 32])>,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("job", &self.job)
            .field("attempt", &self.attempt)
            .field("vectors", &self.vectors.len())
            .finish_non_exhaustive()
    }
}

impl Head {
    /// Describes a result that is about to be kept. Cost: one BLAKE3 over the components of the peer.
    pub(crate) fn of(
        (cluster, party): (ClusterId, Party),
        (job, attempt): (JobId, u32),
        owner: Option<String>,
        kept_at_ms: u64,
        shares: &ResultShares,
    ) -> Self {
        let rows = shares.header.rows;
        let digest = |index: u32, next: &[u8]| {
            result_digest(cluster, job, attempt, index, rows, party.next(), next)
        };
        let vectors = (0_u32..).zip(&shares.vectors);
        Self {
            cluster,
            party,
            job,
            attempt,
            owner,
            kept_at_ms,
            header: shares.header.encode_to_vec(),
            vectors: vectors.map(|(i, v)| (v.own.len() as u64, digest(i, &v.next))).collect(),
        }
    }

    /// Bytes of the vectors with their checks.
    fn body_bytes(&self) -> u64 {
        let of = |bytes: u64| bytes.saturating_add(pieces(bytes) * CHECK_BYTES as u64);
        self.vectors.iter().fold(0, |sum, (bytes, _)| of(*bytes).saturating_add(sum))
    }
}

const fn pieces(bytes: u64) -> u64 {
    bytes.div_ceil(RESULT_PIECE_BYTES as u64)
}

fn check(key: &[u8; 32], number: u64, bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&number.to_le_bytes()).update(bytes);
    let mut out = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut out);
    out
}

/// Writes a result under `partial`, synced, and puts it into its place `name`, durably. Its length.
///
/// # Errors
/// Those of the medium; then nothing is in the place, and `partial` is removed at the next start.
pub(crate) fn write(
    backend: &dyn Backend,
    (partial, name): (&str, &str),
    head: &Head,
    shares: &ResultShares,
) -> io::Result<u64> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let encoded = postcard::to_stdvec(head).map_err(io::Error::other)?;
    let length = u32::try_from(encoded.len())
        .ok()
        .filter(|length| *length <= RESULT_HEAD_BYTES_MAX)
        .ok_or_else(|| io::Error::other("the head of a result is too long"))?;
    let file = backend.create(partial)?;
    let mut file = io::BufWriter::with_capacity(RESULT_PIECE_BYTES, file);
    file.write_all(MAGIC)?;
    file.write_all(&RESULT_FORMAT.to_le_bytes())?;
    file.write_all(&key)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(&encoded)?;
    file.write_all(&check(&key, HEAD, &encoded))?;
    let all = shares.vectors.iter().flat_map(|v| v.own.chunks(RESULT_PIECE_BYTES));
    for (number, piece) in (0_u64..).zip(all) {
        file.write_all(piece)?;
        file.write_all(&check(&key, number, piece))?;
    }
    file.flush()?;
    file.get_mut().sync()?;
    drop(file);
    backend.rename(partial, name)?;
    Ok((FIXED_BYTES + encoded.len() + CHECK_BYTES) as u64 + head.body_bytes())
}

/// A kept result, open for reading; it stays readable when the file is removed meanwhile.
pub(crate) struct ResultReader {
    file: Box<dyn BackendRead>,
    key: [u8; 32],
    head: Head,
    /// Of the whole file.
    pub(crate) bytes: u64,
}

/// Where the next piece lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    vector: u32,
    /// Bytes of the vector that are behind it.
    done: u64,
    number: u64,
    offset: u64,
}

impl fmt::Debug for ResultReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResultReader").field(&self.head).finish()
    }
}

impl ResultReader {
    /// Opens a file and checks its head and its length.
    ///
    /// # Errors
    /// `InvalidData` if it is damaged or of another version, or those of the medium.
    pub(crate) fn open(file: Box<dyn BackendRead>) -> io::Result<Self> {
        let bytes = file.length()?;
        let fixed = file.read_at(0, FIXED_BYTES).map_err(cut_off)?;
        let number = |at: usize| {
            fixed[at..at + 4].iter().rev().fold(0_u32, |n, byte| (n << 8) | u32::from(*byte))
        };
        let version = number(8);
        if &fixed[..8] != MAGIC || version != RESULT_FORMAT {
            return Err(damaged(format!("it is no result of format {RESULT_FORMAT}")));
        }
        let mut key = [0; 32];
        key.copy_from_slice(&fixed[12..44]);
        let length = number(44);
        if length > RESULT_HEAD_BYTES_MAX {
            return Err(damaged("its head is too long"));
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let rest = file.read_at(FIXED_BYTES as u64, length + CHECK_BYTES).map_err(cut_off)?;
        let (encoded, found) = rest.split_at(length);
        if check(&key, HEAD, encoded) != found {
            return Err(damaged("its head does not have its check"));
        }
        let head: Head = postcard::from_bytes(encoded).map_err(|e| damaged(e.to_string()))?;
        let expected = ((FIXED_BYTES + length + CHECK_BYTES) as u64).checked_add(head.body_bytes());
        if expected != Some(bytes) {
            return Err(damaged("it does not have its length"));
        }
        Ok(Self { file, key, head, bytes })
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// The public description of the result.
    ///
    /// # Errors
    /// `InvalidData`: a defect, because the head has its check.
    pub(crate) fn header(&self) -> io::Result<ResultHeader> {
        ResultHeader::decode(self.head.header.as_slice()).map_err(|e| damaged(e.to_string()))
    }

    /// Where the vectors begin; none if there are none.
    pub(crate) fn first(&self) -> Option<Cursor> {
        let offset = self.bytes - self.head.body_bytes();
        (!self.head.vectors.is_empty()).then_some(Cursor { vector: 0, done: 0, number: 0, offset })
    }

    /// The next pieces, together about one piece long, and where to go on. The digest of the peer's component
    /// comes with the last piece of each vector. Blocks on the disk.
    ///
    /// # Errors
    /// `InvalidData` if a piece is damaged, or those of the medium.
    pub(crate) fn read(&self, from: Cursor) -> io::Result<(Vec<Part>, Option<Cursor>)> {
        let (mut at, mut parts, mut taken) = (from, Vec::new(), 0);
        while taken < RESULT_PIECE_BYTES {
            let index = usize::try_from(at.vector).map_err(io::Error::other)?;
            let Some((bytes, digest)) = self.head.vectors.get(index) else {
                return Ok((parts, None));
            };
            let length = (bytes - at.done).min(RESULT_PIECE_BYTES as u64);
            let length = usize::try_from(length).map_err(io::Error::other)?;
            let component = self.piece(&mut at, length)?;
            taken += length;
            let last = at.done == *bytes;
            let next_digest = if last { digest.to_vec() } else { Vec::new() };
            let piece = ResultVector { index: at.vector, component, next_digest, last };
            parts.push(Part::Vector(piece));
            if last {
                at = Cursor { vector: at.vector + 1, done: 0, ..at };
            }
        }
        let more = (at.vector as usize) < self.head.vectors.len();
        Ok((parts, more.then_some(at)))
    }

    /// An empty vector has no piece in the file.
    fn piece(&self, at: &mut Cursor, length: usize) -> io::Result<Vec<u8>> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut piece = self.file.read_at(at.offset, length + CHECK_BYTES).map_err(cut_off)?;
        if check(&self.key, at.number, &piece[..length]) != piece[length..] {
            return Err(damaged(format!("piece {} does not have its check", at.number)));
        }
        piece.truncate(length);
        at.number += 1;
        at.done += length as u64;
        at.offset += (length + CHECK_BYTES) as u64;
        Ok(piece)
    }
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn cut_off(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { damaged("it is cut off") } else { error }
}
