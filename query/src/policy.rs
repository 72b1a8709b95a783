//! Who may read what, and what may be opened to the nodes.
//!
//! A table is readable by its owner and by those it was granted to, at the statement's log index.
//! Every opening of an unmasked value to the nodes needs a [`Disclosure`]; this file is the only
//! one that makes them (`clippy.toml` holds the rest of the workspace to that).

use crate::plan::{Plan, ResultSize};
use trine_mpc::Disclosure;
use trine_proto::catalog::{Catalog, TableEntry, ViewEntry};
use trine_proto::ids::LogIndex;
use trine_proto::status::{SqlError, sqlstate};

/// Rows of a result up to which its public bound is shown to nobody and nothing is opened.
pub(crate) const HIDDEN_ROWS_MAX: u64 = 1024;

/// What EXPLAIN says of [`permit_result_size`].
pub(crate) const RESULT_SIZE: &str = "number of result rows, to the next power of two";
/// What [`permit_verdict`] opens.
pub(crate) const VERDICT: &str = "whether a constraint is violated, one bit over all of them";

/// The table of this name, if it exists and the principal may SELECT from it, or the owner of the view
/// around (the lender) owns it: a view lends what its owner owns and nothing else.
///
/// # Errors
/// 42P01 for an unknown table, 42501 for one that is not granted.
pub(crate) fn readable_table<'a>(
    catalog: &'a Catalog,
    at: LogIndex,
    (principal, lender): (&str, Option<&str>),
    database: Option<&str>,
    schema: Option<&str>,
    name: &str,
) -> Result<&'a TableEntry, SqlError> {
    let schema = schema.filter(|s| *s != "public" || database.is_some());
    let full: Vec<&str> = database.into_iter().chain(schema).chain([name]).collect();
    let name = full.join(".");
    let found = catalog.table(&name, at).filter(|_| database.is_none());
    let Some(entry) = found else {
        return Err(SqlError::new(
            sqlstate::UNDEFINED_TABLE,
            format!("relation \"{name}\" does not exist"),
        ));
    };
    if !entry.may_select(principal, at) && lender != Some(entry.owner.as_str()) {
        return Err(denied("table", &name, &entry.owner, principal));
    }
    Ok(entry)
}

/// The table of this name, if it exists and the principal may write to it: its owner and administrators.
///
/// # Errors
/// 42P01 for an unknown table, 42501 for somebody else's.
pub(crate) fn writable_table<'a>(
    catalog: &'a Catalog,
    at: LogIndex,
    principal: &str,
    name: &str,
) -> Result<&'a TableEntry, SqlError> {
    let Some(entry) = catalog.table(name, at) else {
        return Err(SqlError::new(
            sqlstate::UNDEFINED_TABLE,
            format!("relation \"{name}\" does not exist"),
        ));
    };
    let administrator = catalog.principals.get(principal).is_some_and(|p| p.administrator);
    if entry.owner == principal || administrator {
        return Ok(entry);
    }
    let message = format!("permission denied for table {name}");
    Err(SqlError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message)
        .hint(format!("only its owner \"{}\" may write", entry.owner)))
}

fn denied(kind: &str, name: &str, owner: &str, principal: &str) -> SqlError {
    SqlError::new(sqlstate::INSUFFICIENT_PRIVILEGE, format!("permission denied for {kind} {name}"))
        .hint(format!("the owner, {owner}, can say: GRANT SELECT ON {name} TO {principal}"))
}

/// Whether a principal may use a view; inside another view, also if that one's owner owns it.
///
/// # Errors
/// 42501.
pub(crate) fn readable_view(
    view: &ViewEntry,
    at: LogIndex,
    (principal, lender): (&str, Option<&str>),
) -> Result<(), SqlError> {
    if view.may_select(principal, at) || lender == Some(view.owner.as_str()) {
        return Ok(());
    }
    Err(denied("view", &view.name, &view.owner, principal))
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

/// Permission to open whether any constraint of a table is violated by what is being written.
#[allow(clippy::disallowed_methods)] // the one place that may
pub(crate) fn permit_verdict() -> Disclosure {
    Disclosure::permit_after_policy_check(VERDICT)
}
