//! Errors that reach a user: SQLSTATE, one plain sentence, position, hint. The only place that
//! knows how they travel (`wire::Error`, `tonic::Status`).

use crate::wire;
use serde::{Deserialize, Serialize};
use std::fmt;

/// SQLSTATE codes in use (PostgreSQL's, appendix A of its manual).
pub mod sqlstate {
    #![allow(missing_docs)]
    pub const CONNECTION_FAILURE: &str = "08006";
    pub const PROTOCOL_VIOLATION: &str = "08P01";
    pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub const CARDINALITY_VIOLATION: &str = "21000";
    pub const NUMERIC_VALUE_OUT_OF_RANGE: &str = "22003";
    pub const INVALID_DATETIME: &str = "22007";
    pub const DIVISION_BY_ZERO: &str = "22012";
    pub const STRING_TOO_LONG: &str = "22001";
    pub const INVALID_TEXT: &str = "22P02";
    pub const BAD_COPY_FILE: &str = "22P04";
    pub const INVALID_PARAMETER: &str = "22023";
    pub const NOT_NULL_VIOLATION: &str = "23502";
    pub const INTEGRITY_VIOLATION: &str = "23000";
    pub const FOREIGN_KEY_VIOLATION: &str = "23503";
    pub const UNIQUE_VIOLATION: &str = "23505";
    pub const CHECK_VIOLATION: &str = "23514";
    pub const DEPENDENT_OBJECTS: &str = "2BP01";
    pub const NO_ACTIVE_TRANSACTION: &str = "25P01";
    pub const IN_FAILED_TRANSACTION: &str = "25P02";
    pub const IDLE_IN_TRANSACTION: &str = "25P03";
    pub const ACTIVE_TRANSACTION: &str = "25001";
    pub const READ_ONLY_TRANSACTION: &str = "25006";
    pub const INVALID_AUTHORIZATION: &str = "28000";
    pub const SERIALIZATION_FAILURE: &str = "40001";
    pub const SYNTAX_ERROR: &str = "42601";
    pub const INSUFFICIENT_PRIVILEGE: &str = "42501";
    pub const DUPLICATE_COLUMN: &str = "42701";
    pub const DUPLICATE_SCHEMA: &str = "42P06";
    pub const UNDEFINED_SCHEMA: &str = "3F000";
    pub const RESERVED_NAME: &str = "42939";
    pub const INVALID_COLUMN_REFERENCE: &str = "42P10";
    pub const AMBIGUOUS_COLUMN: &str = "42702";
    pub const UNDEFINED_COLUMN: &str = "42703";
    pub const DUPLICATE_OBJECT: &str = "42710";
    pub const WRONG_OBJECT_TYPE: &str = "42809";
    pub const GROUPING_ERROR: &str = "42803";
    pub const DATATYPE_MISMATCH: &str = "42804";
    pub const UNDEFINED_FUNCTION: &str = "42883";
    pub const UNDEFINED_PARAMETER: &str = "42P02";
    pub const UNDEFINED_TABLE: &str = "42P01";
    pub const DUPLICATE_TABLE: &str = "42P07";
    pub const UNDEFINED_OBJECT: &str = "42704";
    pub const INVALID_TABLE_DEFINITION: &str = "42P16";
    pub const QUERY_CANCELED: &str = "57014";
    pub const NODE_UNAVAILABLE: &str = "57P03";
    pub const DISK_FULL: &str = "53100";
    pub const OUT_OF_MEMORY: &str = "53200";
    pub const OBJECT_IN_USE: &str = "55006";
    pub const LIMIT_EXCEEDED: &str = "54000";
    pub const IO_ERROR: &str = "58030";
    pub const INTERNAL_ERROR: &str = "XX000";
    pub const DATA_CORRUPTED: &str = "XX001";
}

/// An error as a user meets it. Carries no secret value, ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlError {
    /// Five characters, see [`sqlstate`].
    pub sqlstate: String,
    /// One plain sentence, lower case, no full stop.
    pub message: String,
    /// What to do instead; empty: none.
    pub hint: String,
    /// 1-based character position in the statement; 0: none.
    pub position: u32,
}

impl SqlError {
    /// An error without position and hint.
    #[must_use]
    pub fn new(sqlstate: &str, message: impl Into<String>) -> Self {
        Self {
            sqlstate: sqlstate.into(),
            message: message.into(),
            hint: String::new(),
            position: 0,
        }
    }
    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
    /// The same at a 1-based character position of the statement.
    #[must_use]
    pub const fn at(mut self, position: u32) -> Self {
        self.position = position;
        self
    }
    /// SQL that Trine does not do (yet), with what to write instead.
    #[must_use]
    pub fn unsupported(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(sqlstate::FEATURE_NOT_SUPPORTED, message).hint(hint)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.sqlstate)
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for wire::Error {
    fn from(e: SqlError) -> Self {
        Self { sqlstate: e.sqlstate, message: e.message, hint: e.hint, position: e.position }
    }
}

impl From<wire::Error> for SqlError {
    fn from(e: wire::Error) -> Self {
        Self { sqlstate: e.sqlstate, message: e.message, hint: e.hint, position: e.position }
    }
}

impl From<SqlError> for tonic::Status {
    /// The encoded `wire::Error` travels in the status details.
    fn from(e: SqlError) -> Self {
        use prost::Message as _;
        use sqlstate as s;
        let code = match e.sqlstate.as_str() {
            s::INVALID_AUTHORIZATION => tonic::Code::Unauthenticated,
            s::INSUFFICIENT_PRIVILEGE => tonic::Code::PermissionDenied,
            s::NODE_UNAVAILABLE | s::CONNECTION_FAILURE => tonic::Code::Unavailable,
            s::FEATURE_NOT_SUPPORTED => tonic::Code::Unimplemented,
            s::UNDEFINED_TABLE | s::UNDEFINED_OBJECT => tonic::Code::NotFound,
            s::LIMIT_EXCEEDED | s::DISK_FULL => tonic::Code::ResourceExhausted,
            s::QUERY_CANCELED => tonic::Code::Cancelled,
            s::SERIALIZATION_FAILURE => tonic::Code::Aborted,
            s::INTERNAL_ERROR => tonic::Code::Internal,
            s::DATA_CORRUPTED => tonic::Code::DataLoss,
            _ => tonic::Code::InvalidArgument,
        };
        let message = e.message.clone();
        let details = wire::Error::from(e).encode_to_vec();
        Self::with_details(code, message, details.into())
    }
}

impl From<tonic::Status> for SqlError {
    /// Reads the details back; a status without them becomes a connection or internal error.
    fn from(status: tonic::Status) -> Self {
        use prost::Message as _;
        if !status.details().is_empty()
            && let Ok(e) = wire::Error::decode(status.details())
            && e.sqlstate.len() == 5
        {
            return e.into();
        }
        let state = match status.code() {
            tonic::Code::Unavailable | tonic::Code::DeadlineExceeded | tonic::Code::Unknown => {
                sqlstate::CONNECTION_FAILURE
            }
            tonic::Code::Unauthenticated => sqlstate::INVALID_AUTHORIZATION,
            tonic::Code::PermissionDenied => sqlstate::INSUFFICIENT_PRIVILEGE,
            tonic::Code::InvalidArgument | tonic::Code::OutOfRange => sqlstate::PROTOCOL_VIOLATION,
            tonic::Code::ResourceExhausted => sqlstate::LIMIT_EXCEEDED,
            _ => sqlstate::INTERNAL_ERROR,
        };
        Self::new(state, status.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_a_status() {
        let e = SqlError::new(sqlstate::UNDEFINED_COLUMN, "column \"a\" does not exist")
            .hint("say b")
            .at(8);
        assert_eq!(SqlError::from(tonic::Status::from(e.clone())), e);
    }
}
