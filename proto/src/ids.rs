//! Ids as newtypes: none can be mixed up with another, none prints a secret.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One of the three organisations: its index 0, 1, 2 in every protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
pub struct Party(u8);

impl Party {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self(0), Self(1), Self(2)];

    /// The party with this index, if there is one.
    #[must_use]
    pub const fn new(index: usize) -> Option<Self> {
        match index {
            0 => Some(Self(0)),
            1 => Some(Self(1)),
            2 => Some(Self(2)),
            _ => None,
        }
    }
    /// 0, 1 or 2.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
    /// Party i+1 (mod 3).
    #[must_use]
    pub const fn next(self) -> Self {
        Self((self.0 + 1) % 3)
    }
    /// Party i-1 (mod 3).
    #[must_use]
    pub const fn previous(self) -> Self {
        Self((self.0 + 2) % 3)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// From exactly 16 bytes.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
            /// From 32 hexadecimal digits.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                Self::from_slice(&hex::decode(text).ok()?)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

random_id!(
    /// One cluster of three parties; drawn when the cluster is made.
    ClusterId
);
random_id!(
    /// One transaction: the client's idempotency key. A single-batch transaction gives its id to its segment.
    TransactionId
);
random_id!(
    /// One committed batch of rows of one table.
    SegmentId
);
random_id!(
    /// One query, drawn by the client (the command id of its submission).
    JobId
);

impl TransactionId {
    /// The segment that an attempt at a writing statement makes: every attempt has its own, so that
    /// none finds the file of another.
    #[must_use]
    pub fn segment_of_attempt(self, attempt: u32) -> SegmentId {
        let mut hasher = blake3::Hasher::new_derive_key("trine segment of a writing attempt v1");
        hasher.update(&self.0).update(&attempt.to_le_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        SegmentId(id)
    }
}

impl From<TransactionId> for SegmentId {
    fn from(id: TransactionId) -> Self {
        Self(id.0)
    }
}

/// A table, numbered in the order of creation; never used again.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, Default,
)]
pub struct TableId(pub u64);

impl TableId {
    /// Not in the catalog: where rows of secret parameters lie.
    pub const PARAMETERS: Self = Self(u64::MAX);
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A position in the Raft log. A snapshot of the database is named by one.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, Default,
)]
pub struct LogIndex(pub u64);

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
