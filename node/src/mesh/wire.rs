//! What two nodes say on a connection of the mesh: the hello after TLS, and the frames of a control
//! connection. All integers little-endian.

use crate::limits::{CONTROL_BYTES_MAX, MESH_VERSION, PROBE_FRAME_BYTES};
use serde::{Deserialize, Serialize};
use std::fmt;
use trine_proto::ids::Party;
use trine_proto::status::SqlError;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Requests of the dialling node's Raft and their answers.
    Raft,
    /// Hellos and aborts of attempts both ways; while it stands the pair is up.
    Control,
    /// Protocol messages of one lane at a time, see `stream`.
    Stream,
    /// A segment's components on their way back to a party that lost them, see `repair`.
    Repair,
}

/// First bytes of either side after TLS: it says who speaks, and about which cluster.
#[derive(Clone, Copy)]
pub(super) struct Greeting {
    pub(super) kind: Kind,
    pub(super) party: Party,
    /// Digest of the `[cluster]` block.
    pub(super) cluster: [u8; 32],
    /// Id of the data stream; zero for other connections.
    pub(super) stream: u64,
    /// This side's half of the pair secret; for a data stream the proof that it belongs to the
    /// control connection that stands.
    pub(super) random: [u8; 32],
}

const MAGIC: [u8; 4] = *b"TRNE";
pub(super) const GREETING_BYTES: usize = 80;

/// What only an end of the control connection with this secret can say of a data stream.
pub(super) fn stream_proof(secret: &[u8; 32], stream: u64, dialler: bool) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("trine/v1 proof of a data stream");
    hasher.update(secret);
    hasher.update(&stream.to_le_bytes());
    hasher.update(&[u8::from(dialler)]);
    *hasher.finalize().as_bytes()
}

/// Why a greeting is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not this protocol, or not this version of it; the other side's version, if it is known.
    Version(Option<u16>),
    /// The certificate's key is not that of the party it claims to be.
    Key,
    /// The `[cluster]` blocks differ.
    Cluster,
    /// This party does not dial that one for this.
    Direction,
    /// The stream's control connection does not stand any more.
    Stale,
}

impl Refusal {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Version(_) => 1,
            Self::Key => 2,
            Self::Cluster => 3,
            Self::Direction => 4,
            Self::Stale => 5,
        }
    }
    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Version(None)),
            2 => Some(Self::Key),
            3 => Some(Self::Cluster),
            4 => Some(Self::Direction),
            5 => Some(Self::Stale),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version(Some(theirs)) => {
                return write!(
                    f,
                    "it speaks version {theirs} of the mesh, and this node version {MESH_VERSION}: \
                     run one version of trined at all three nodes"
                );
            }
            Self::Version(None) => "it speaks another version of the mesh",
            Self::Key => "its configuration lists another key for this node",
            Self::Cluster => "its [cluster] block differs from ours",
            Self::Direction => "it does not expect this connection",
            Self::Stale => "the connection that the stream belongs to is gone",
        })
    }
}

impl Greeting {
    pub(super) fn encode(&self) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&MESH_VERSION.to_le_bytes());
        bytes[6] = match self.kind {
            Kind::Raft => 1,
            Kind::Control => 2,
            Kind::Stream => 3,
            Kind::Repair => 4,
        };
        bytes[7] = self.party.index().to_le_bytes()[0];
        bytes[8..40].copy_from_slice(&self.cluster);
        bytes[40..48].copy_from_slice(&self.stream.to_le_bytes());
        bytes[48..].copy_from_slice(&self.random);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; GREETING_BYTES]) -> Result<Self, Refusal> {
        if bytes[..4] != MAGIC {
            return Err(Refusal::Version(None));
        }
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        if version != MESH_VERSION {
            return Err(Refusal::Version(Some(version)));
        }
        let kind = match bytes[6] {
            1 => Kind::Raft,
            2 => Kind::Control,
            3 => Kind::Stream,
            4 => Kind::Repair,
            _ => return Err(Refusal::Version(None)),
        };
        let party = Party::new(usize::from(bytes[7])).ok_or(Refusal::Key)?;
        let (mut cluster, mut stream, mut random) = ([0; 32], [0; 8], [0; 32]);
        cluster.copy_from_slice(&bytes[8..40]);
        stream.copy_from_slice(&bytes[40..48]);
        random.copy_from_slice(&bytes[48..]);
        Ok(Self { kind, party, cluster, stream: u64::from_le_bytes(stream), random })
    }
}

/// Whether an attempt is one of a query or of a key check: both are named by ids that clients draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AttemptKind {
    /// `job` is a job id.
    Query,
    /// `job` is a transaction id.
    Validation,
}

/// One attempt at one job, as frames name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttemptId {
    /// What `job` means.
    pub(crate) kind: AttemptKind,
    /// Job or transaction.
    pub(crate) job: [u8; 16],
    /// From 1.
    pub(crate) attempt: u32,
}

/// What the nodes compare before the first protocol message of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HelloDigest {
    /// BLAKE3 of the signed statement.
    pub(crate) statement: [u8; 32],
    /// Who asks.
    pub(crate) principal: String,
    /// Position in the log.
    pub(crate) position: u64,
    /// Rolling digest of the log at the position.
    pub(crate) log_digest: [u8; 32],
    /// Digest of the physical plan.
    pub(crate) plan: [u8; 32],
    /// Version of the plan's encoding.
    pub(crate) plan_format: u32,
}

/// Start of an attempt, said by every party to both others.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Fresh for every attempt; goes into its keys.
    pub(crate) nonce: [u8; 32],
    /// Ids of the data streams that carry lane 0, 1, … between the two; the side that dialled them
    /// says so. The mesh fills it in.
    pub(crate) streams: Vec<u64>,
    /// What this party is about to run, or why it will not.
    pub(crate) verdict: Result<HelloDigest, SqlError>,
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

/// End of an attempt before its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Abort {
    /// For the log of the peer.
    pub(super) reason: String,
    /// Set when another attempt would meet the same error.
    pub(super) error: Option<SqlError>,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A [`Hello`].
    Hello,
    /// An [`Abort`].
    Abort,
    /// Nothing: this side lives.
    Beat,
    /// The accepting side of data streams has no more use for them: [`Returned`].
    Returned,
    /// Bytes of a measurement; `last` asks for a [`Self::Pong`].
    Probe { last: bool },
    /// The last probe has come.
    Pong,
}

/// Which data streams an attempt has left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Returned {
    /// Fit for another attempt.
    pub(super) idle: Vec<u64>,
    /// Closed.
    pub(super) gone: Vec<u64>,
}

/// Fixed head of every frame of a control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: FrameKind,
    pub(super) attempt: AttemptId,
    /// Bytes that follow.
    pub(super) length: usize,
}

pub(super) const HEADER_BYTES: usize = 28;

impl FrameHeader {
    pub(super) const BEAT: Self = Self {
        kind: FrameKind::Beat,
        attempt: AttemptId { kind: AttemptKind::Query, job: [0; 16], attempt: 0 },
        length: 0,
    };

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = match self.kind {
            FrameKind::Hello => 2,
            FrameKind::Abort => 3,
            FrameKind::Beat => 4,
            FrameKind::Returned => 5,
            FrameKind::Probe { last: false } => 6,
            FrameKind::Probe { last: true } => 7,
            FrameKind::Pong => 8,
        };
        bytes[1] = match self.attempt.kind {
            AttemptKind::Query => 1,
            AttemptKind::Validation => 2,
        };
        bytes[4..8].copy_from_slice(&self.attempt.attempt.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.attempt.job);
        // Checked against a limit below 2^32 where the frame was made.
        bytes[24..].copy_from_slice(&u32::try_from(self.length).unwrap_or(0).to_le_bytes());
        bytes
    }

    /// `None`: no peer of ours sends this; the connection is of no use any more.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| {
            let mut w = [0; 4];
            w.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(w)
        };
        let kind = match bytes[0] {
            2 => FrameKind::Hello,
            3 => FrameKind::Abort,
            4 => FrameKind::Beat,
            5 => FrameKind::Returned,
            6 => FrameKind::Probe { last: false },
            7 => FrameKind::Probe { last: true },
            8 => FrameKind::Pong,
            _ => return None,
        };
        let attempt_kind = match bytes[1] {
            1 => AttemptKind::Query,
            2 => AttemptKind::Validation,
            _ => return None,
        };
        let mut job = [0; 16];
        job.copy_from_slice(&bytes[8..24]);
        let length = usize::try_from(word(24)).ok()?;
        let fits = match kind {
            FrameKind::Hello | FrameKind::Abort | FrameKind::Returned => {
                length <= CONTROL_BYTES_MAX
            }
            FrameKind::Probe { .. } => length <= PROBE_FRAME_BYTES,
            FrameKind::Beat | FrameKind::Pong => length == 0,
        };
        let attempt = AttemptId { kind: attempt_kind, job, attempt: word(4) };
        fits.then_some(Self { kind, attempt, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_and_impossible_ones_are_refused() {
        let attempt = AttemptId { kind: AttemptKind::Validation, job: [7; 16], attempt: 3 };
        let kinds = [
            (FrameKind::Hello, CONTROL_BYTES_MAX),
            (FrameKind::Abort, CONTROL_BYTES_MAX),
            (FrameKind::Returned, CONTROL_BYTES_MAX),
            (FrameKind::Beat, 0),
            (FrameKind::Probe { last: false }, PROBE_FRAME_BYTES),
            (FrameKind::Probe { last: true }, PROBE_FRAME_BYTES),
            (FrameKind::Pong, 0),
        ];
        for (kind, length) in kinds {
            let header = FrameHeader { kind, attempt, length };
            assert_eq!(FrameHeader::decode(&header.encode()), Some(header));
            let bad = FrameHeader { length: length + 1, ..header };
            assert_eq!(FrameHeader::decode(&bad.encode()), None, "{bad:?}");
        }
        let mut bytes = FrameHeader::BEAT.encode();
        bytes[0] = 9;
        assert_eq!(FrameHeader::decode(&bytes), None);
    }

    #[test]
    fn greetings_survive_and_strangers_are_refused() {
        let greeting = Greeting {
            kind: Kind::Stream,
            party: Party::ALL[2],
            cluster: [4; 32],
            stream: 6,
            random: [5; 32],
        };
        let back = Greeting::decode(&greeting.encode()).unwrap();
        assert_eq!((back.kind, back.party, back.stream), (Kind::Stream, Party::ALL[2], 6));
        assert_eq!((back.cluster, back.random), ([4; 32], [5; 32]));
        for other in [MESH_VERSION - 1, MESH_VERSION + 1] {
            let mut bytes = greeting.encode();
            bytes[4..6].copy_from_slice(&other.to_le_bytes());
            let refusal = Greeting::decode(&bytes).err().unwrap();
            assert_eq!(
                refusal.to_string(),
                format!(
                    "it speaks version {other} of the mesh, and this node version {MESH_VERSION}: run \
                     one version of trined at all three nodes"
                )
            );
        }
        let mut bytes = greeting.encode();
        bytes[0] ^= 1;
        assert_eq!(Greeting::decode(&bytes).err(), Some(Refusal::Version(None)));
        let mut bytes = greeting.encode();
        bytes[7] = 3;
        assert_eq!(Greeting::decode(&bytes).err(), Some(Refusal::Key));
    }

    #[test]
    fn a_proof_is_of_one_stream_one_connection_and_one_end() {
        let proof = stream_proof(&[1; 32], 5, true);
        assert_eq!(proof, stream_proof(&[1; 32], 5, true));
        assert_ne!(proof, stream_proof(&[2; 32], 5, true));
        assert_ne!(proof, stream_proof(&[1; 32], 6, true));
        assert_ne!(proof, stream_proof(&[1; 32], 5, false));
    }
}
