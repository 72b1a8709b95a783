//! Who may read what, and what may be opened to the nodes.
//!
//! A table is readable by its owner and by those it was granted to, at the statement's log index.
//! Every opening of an unmasked value to the nodes needs a [`Disclosure`]; this file is the only
//! one that makes them (`clippy.toml` holds the rest of the workspace to that).

use crate::plan::{Plan, ResultSize};
use trine_mpc::Disclosure;
use trine_proto::catalog::{Catalog, TableEntry};
use trine_proto::ids::LogIndex;
use trine_proto::status::{SqlError, sqlstate};

/// Rows of a result up to which its public bound is shown to nobody and nothing is opened.
pub(crate) const HIDDEN_ROWS_MAX: u64 = 1024;

/// What EXPLAIN says of [`permit_result_size`].
pub(crate) const RESULT_SIZE: &str = "number of result rows, to the next power of two";
/// What EXPLAIN says of [`permit_uniqueness_verdict`].
pub(crate) const UNIQUENESS_VERDICT: &str = "whether the keys of a batch are unique, one bit";

/// The table of this name, if it exists and the principal may SELECT from it.
///
/// # Errors
/// 42P01 for an unknown table, 42501 for one that is not granted.
pub(crate) fn readable_table<'a>(
    catalog: &'a Catalog,
    at: LogIndex,
    principal: &str,
    database: Option<&str>,
    schema: Option<&str>,
    name: &str,
) -> Result<&'a TableEntry, SqlError> {
    if database.is_some() || schema.is_some_and(|s| s != "public") {
        let full: Vec<&str> = database.into_iter().chain(schema).chain([name]).collect();
        return Err(SqlError::new(
            sqlstate::UNDEFINED_TABLE,
            format!("relation \"{}\" does not exist", full.join(".")),
        )
        .hint("there is one schema, public: write the table's name alone"));
    }
    let Some(entry) = catalog.table(name, at) else {
        return Err(SqlError::new(
            sqlstate::UNDEFINED_TABLE,
            format!("relation \"{name}\" does not exist"),
        ));
    };
    if !entry.may_select(principal, at) {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for table {name}"),
        )
        .hint(format!(
            "the owner, {}, can say: GRANT SELECT ON {name} TO {principal}",
            entry.owner
        )));
    }
    Ok(entry)
}

/// What of a result's size the nodes may learn, by its public bound.
pub(crate) const fn result_size(rows: u64) -> ResultSize {
    if rows <= HIDDEN_ROWS_MAX { ResultSize::Hidden } else { ResultSize::Padded }
}

/// Permission to open the number of result rows of a plan whose root asks for that, padded to the
/// next power of two.
#[allow(clippy::disallowed_methods)] // the one place that may
pub(crate) fn permit_result_size(_plan: &Plan) -> Disclosure {
    Disclosure::permit_after_policy_check(RESULT_SIZE)
}

/// Permission to open whether a batch's keys are unique against the visible rows.
#[allow(clippy::disallowed_methods)] // the one place that may
pub(crate) fn permit_uniqueness_verdict() -> Disclosure {
    Disclosure::permit_after_policy_check(UNIQUENESS_VERDICT)
}
