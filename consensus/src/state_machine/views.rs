//! CREATE and DROP VIEW. The SELECT is kept as text; whether it means anything was asked of a node
//! before, and is asked again whenever the view is used.

use std::collections::{BTreeMap, BTreeSet};

use trine_proto::catalog::{Catalog, ViewEntry};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, TableId};
use trine_proto::schema::COLUMNS_MAX;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

use super::{Request, malformed, names, retention, schemas};
use crate::limits::{TABLES_MAX, VIEW_BYTES_MAX, VIEW_DEPENDS_MAX};

/// Creates a view of the caller's, or puts another SELECT under its name.
pub(super) fn create(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::CreateView,
) -> Result<Outcome, SqlError> {
    let (name, at) = (&command.name, request.index);
    names::checked(name)?;
    if command.sql.is_empty() || command.sql.len() > VIEW_BYTES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("the SELECT of a view has 1 to {VIEW_BYTES_MAX} bytes"),
        ));
    }
    if command.depends.len() > VIEW_DEPENDS_MAX || command.columns.len() > COLUMNS_MAX {
        return Err(malformed("the view names too much"));
    }
    command.columns.iter().try_for_each(|c| names::checked(c))?;
    let mut grants = BTreeMap::new();
    if let Some(old) = catalog.view(name, at) {
        if command.if_not_exists {
            let notice = format!("relation \"{name}\" already exists, skipping");
            return Ok(Outcome::Nothing(at, notice));
        }
        if command.or_replace {
            grants.clone_from(&old.grants);
            let id = old.id;
            owned(catalog, request, id)?;
            // Views over it go on with the new one: they name it, and names are looked up in use.
            replace(catalog, id, at);
        }
    }
    names::free(catalog, name, at)?;
    schemas::may_create(catalog, request, name)?;
    if catalog.views.values().filter(|v| v.dropped.is_none()).count() >= TABLES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a cluster has at most {TABLES_MAX} views"),
        ));
    }
    let depends = command.depends.iter().filter_map(|d| relation(catalog, d, at)).collect();
    let id = names::next_id(catalog);
    let view = ViewEntry {
        id,
        name: name.clone(),
        columns: command.columns.clone(),
        sql: command.sql.clone(),
        depends,
        owner: request.principal.name.clone(),
        created: at,
        dropped: None,
        grants,
    };
    catalog.views.insert(id, view);
    retention::views(catalog);
    Ok(Outcome::TableCreated(at, id))
}

/// Drops a view of the caller's; with CASCADE those over it too.
pub(super) fn drop_view(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::DropView,
) -> Result<Outcome, SqlError> {
    let at = request.index;
    let Some(view) = catalog.view(&command.name, at) else {
        let error = names::undefined(catalog, "view", &command.name, at);
        if command.if_exists && error.sqlstate == sqlstate::UNDEFINED_TABLE {
            return Ok(Outcome::Nothing(at, format!("{}, skipping", error.message)));
        }
        return Err(error);
    };
    let id = view.id;
    owned(catalog, request, id)?;
    let notice =
        drop_dependents(catalog, at, id, &format!("view \"{}\"", command.name), command.cascade)?;
    if let Some(view) = catalog.views.get_mut(&id) {
        view.dropped = Some(at);
    }
    retention::views(catalog);
    Ok(notice.map_or(Outcome::Applied(at), |n| Outcome::Nothing(at, n)))
}

/// Drops the views that depend on a relation, with CASCADE; refuses otherwise. The notice says how
/// many went. Owners of views over others' relations are not asked: a view lends nothing that its
/// relations do not have.
pub(super) fn drop_dependents(
    catalog: &mut Catalog,
    at: LogIndex,
    id: TableId,
    what: &str,
    cascade: bool,
) -> Result<Option<String>, SqlError> {
    let mut doomed: BTreeSet<TableId> = BTreeSet::from([id]);
    loop {
        let more: Vec<TableId> = catalog
            .views
            .values()
            .filter(|v| v.exists(at) && !doomed.contains(&v.id) && !v.depends.is_disjoint(&doomed))
            .map(|v| v.id)
            .collect();
        if more.is_empty() {
            break;
        }
        doomed.extend(more);
    }
    doomed.remove(&id);
    let Some(first) = doomed.iter().next().and_then(|v| catalog.views.get(v)) else {
        return Ok(None);
    };
    if !cascade {
        return Err(SqlError::new(
            sqlstate::DEPENDENT_OBJECTS,
            format!("cannot drop {what} because view \"{}\" depends on it", first.name),
        )
        .hint("use DROP … CASCADE to drop the dependent objects too"));
    }
    let notice = format!("drop cascades to {} views", doomed.len());
    for id in doomed {
        if let Some(view) = catalog.views.get_mut(&id) {
            view.dropped = Some(at);
        }
    }
    Ok(Some(notice))
}

/// Ends a view whose name gets another SELECT; what depended on it depends on the next one.
fn replace(catalog: &mut Catalog, id: TableId, at: LogIndex) {
    let next = TableId(catalog.next_table);
    for view in catalog.views.values_mut().filter(|v| v.exists(at)) {
        if view.depends.remove(&id) {
            view.depends.insert(next);
        }
    }
    if let Some(view) = catalog.views.get_mut(&id) {
        view.dropped = Some(at);
    }
}

fn relation(catalog: &Catalog, name: &str, at: LogIndex) -> Option<TableId> {
    let table = catalog.table(name, at).map(|t| t.id);
    table.or_else(|| catalog.view(name, at).map(|v| v.id))
}

/// Refuses a change of a view that only its owner may make.
fn owned(catalog: &Catalog, request: &Request, id: TableId) -> Result<(), SqlError> {
    match catalog.views.get(&id) {
        Some(view) if view.owner != request.principal.name => Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("only its owner, \"{}\", may change view \"{}\"", view.owner, view.name),
        )),
        _ => Ok(()),
    }
}
