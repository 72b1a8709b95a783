//! One name space for tables, views and indexes.

use trine_proto::catalog::Catalog;
use trine_proto::ids::{LogIndex, TableId};
use trine_proto::status::{SqlError, sqlstate};

use super::malformed;

/// Bytes of a name at most.
const NAME_BYTES_MAX: usize = 128;

/// What has this name at a position.
pub(super) fn taken(catalog: &Catalog, name: &str, at: LogIndex) -> Option<&'static str> {
    if catalog.table(name, at).is_some() {
        Some("table")
    } else if catalog.view(name, at).is_some() {
        Some("view")
    } else if catalog.index(name, at).is_some() {
        Some("index")
    } else {
        None
    }
}

/// Refuses a name that something has already.
pub(super) fn free(catalog: &Catalog, name: &str, at: LogIndex) -> Result<(), SqlError> {
    match taken(catalog, name, at) {
        Some(_) => Err(SqlError::new(
            sqlstate::DUPLICATE_TABLE,
            format!("relation \"{name}\" already exists"),
        )),
        None => Ok(()),
    }
}

/// Refuses a name that is empty or too long.
pub(super) fn checked(name: &str) -> Result<(), SqlError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(malformed(format!("a name has 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// The error for a name that means nothing, or something of another kind.
pub(super) fn undefined(catalog: &Catalog, kind: &str, name: &str, at: LogIndex) -> SqlError {
    match taken(catalog, name, at) {
        Some(other) if other != kind => {
            let article = if kind == "index" { "an" } else { "a" };
            SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("\"{name}\" is not {article} {kind}"),
            )
            .hint(format!("it is {} {other}", if other == "index" { "an" } else { "a" }))
        }
        _ => {
            let state = if kind == "index" {
                sqlstate::UNDEFINED_OBJECT
            } else {
                sqlstate::UNDEFINED_TABLE
            };
            SqlError::new(state, format!("{kind} \"{name}\" does not exist"))
        }
    }
}

/// The number of the next table or view.
pub(super) fn next_id(catalog: &mut Catalog) -> TableId {
    let id = TableId(catalog.next_table);
    catalog.next_table += 1;
    id
}
