//! What can go wrong between a statement and its shares, named by what the caller does about it.

use trine_mpc::MpcError;
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::StorageError;

/// The one error of this crate. Carries no secret value, ever.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A protocol failed: a lost peer costs the attempt, the rest is a defect or a dishonest party.
    #[error(transparent)]
    Mpc(#[from] MpcError),
    /// A segment could not be read: missing or corrupt.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The statement is refused; goes to the user as it is.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A plan that contradicts itself: a defect of the planner or the executor.
    #[error("defect: {0}")]
    Bug(String),
}

/// Result of everything that runs a plan.
pub(crate) type Result<T> = std::result::Result<T, QueryError>;

impl QueryError {
    /// A defect, in words.
    pub(crate) fn bug(what: impl Into<String>) -> Self {
        Self::Bug(what.into())
    }
    /// Arithmetic whose public bounds leave every ring.
    pub(crate) fn out_of_range() -> Self {
        Self::Sql(
            SqlError::new(
                sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                "the bounds of a computation leave 128 bits",
            )
            .hint("declare a narrower RANGE or DECIMAL"),
        )
    }
}
