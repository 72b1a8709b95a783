//! What can be measured.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One operation. Its rows and bits are those of its input columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// One small round after the other: every message depends on the one before.
    Round,
    /// AND of two boolean columns.
    And,
    /// Product of two arithmetic columns.
    Mul,
    /// Equality of two boolean columns.
    Eq,
    /// Less-than of two boolean columns.
    Lt,
    /// An arithmetic column to a boolean one.
    A2b,
    /// A column of single bits to an arithmetic one.
    B2a,
    /// A boolean column through a secret random permutation.
    Shuffle,
    /// The order of a boolean key.
    Sort,
    /// The stable order of one bit.
    Partition,
    /// `GROUP BY` a wide key, with a SUM.
    GroupbySum,
    /// `GROUP BY` a key of few values, with a SUM.
    GroupbySmall,
    /// A join with a side on which the key is unique.
    JoinUnique,
    /// `ORDER BY … LIMIT 10`.
    Topk,
    /// Rows loaded into a cluster by the client.
    Load,
}

impl Operation {
    /// All of them, as they are listed.
    pub(crate) const ALL: [Self; 15] = [
        Self::Round,
        Self::And,
        Self::Mul,
        Self::Eq,
        Self::Lt,
        Self::A2b,
        Self::B2a,
        Self::Shuffle,
        Self::Sort,
        Self::Partition,
        Self::GroupbySum,
        Self::GroupbySmall,
        Self::JoinUnique,
        Self::Topk,
        Self::Load,
    ];

    /// Name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Round => "round",
            Self::And => "and",
            Self::Mul => "mul",
            Self::Eq => "eq",
            Self::Lt => "lt",
            Self::A2b => "a2b",
            Self::B2a => "b2a",
            Self::Shuffle => "shuffle",
            Self::Sort => "sort",
            Self::Partition => "partition",
            Self::GroupbySum => "groupby-sum",
            Self::GroupbySmall => "groupby-small",
            Self::JoinUnique => "join-unique",
            Self::Topk => "topk",
            Self::Load => "load",
        }
    }

    /// The operation of a name.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|o| o.name() == name).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|o| o.name()).collect();
            format!("no operation \"{name}\"; there are {}, and tpch", all.join(", "))
        })
    }

    /// What `--bits` means.
    pub(crate) const fn bits_mean(self) -> &'static str {
        match self {
            Self::Round => "words of a message; --rows is how many rounds there are",
            Self::And | Self::Eq | Self::Lt => "width of either boolean column",
            Self::Mul => "ring of either arithmetic column",
            Self::A2b => "width of the boolean result",
            Self::B2a => "ring of the arithmetic result",
            Self::Shuffle => "width of the column",
            Self::Sort => "width of the key",
            Self::Partition => "width of the column that is moved afterwards; the key is one bit",
            Self::GroupbySum | Self::JoinUnique | Self::Topk => "width of the key",
            Self::GroupbySmall => "width of the measure; the key has --groups values",
            Self::Load => "32 for INT columns, 64 for BIGINT",
        }
    }

    /// Rows when none are asked for.
    pub(crate) const fn rows_default(self) -> usize {
        match self {
            Self::Round => 1000,
            _ => 1 << 20,
        }
    }

    /// Bits when none are asked for.
    pub(crate) const fn bits_default(self) -> usize {
        match self {
            Self::Round => 1,
            Self::GroupbySum | Self::GroupbySmall | Self::JoinUnique | Self::Topk | Self::Load => {
                32
            }
            _ => 64,
        }
    }

    /// Why a width cannot be asked for, if it cannot.
    pub(crate) fn check_bits(self, bits: usize) -> Result<(), String> {
        let (fits, allowed) = match self {
            Self::Mul | Self::B2a => (matches!(bits, 32 | 64 | 128), "32, 64 or 128"),
            Self::Load => (matches!(bits, 32 | 64), "32 or 64"),
            Self::GroupbySum | Self::GroupbySmall | Self::JoinUnique | Self::Topk => {
                ((1..=62).contains(&bits), "1 to 62")
            }
            _ => ((1..=128).contains(&bits), "1 to 128"),
        };
        if fits {
            return Ok(());
        }
        Err(format!("{self} takes --bits {allowed} ({}), not {bits}", self.bits_mean()))
    }

    /// Whether it is SQL through planner and executor.
    pub(crate) const fn is_relational(self) -> bool {
        matches!(self, Self::GroupbySum | Self::GroupbySmall | Self::JoinUnique | Self::Topk)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_back() {
        for operation in Operation::ALL {
            assert_eq!(Operation::parse(operation.name()), Ok(operation));
        }
    }

    #[test]
    fn unknown_names_and_widths_are_refused_in_words() {
        assert_eq!(
            Operation::parse("sorted").unwrap_err(),
            "no operation \"sorted\"; there are round, and, mul, eq, lt, a2b, b2a, shuffle, sort, partition, \
             groupby-sum, groupby-small, join-unique, topk, load, and tpch"
        );
        assert_eq!(
            Operation::Mul.check_bits(48).unwrap_err(),
            "mul takes --bits 32, 64 or 128 (ring of either arithmetic column), not 48"
        );
        assert_eq!(
            Operation::Sort.check_bits(0).unwrap_err(),
            "sort takes --bits 1 to 128 (width of the key), not 0"
        );
        assert!(Operation::Sort.check_bits(128).is_ok());
    }
}
