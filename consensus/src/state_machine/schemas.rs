//! CREATE and DROP SCHEMA. A relation in a schema is called `schema.relation`; one in `public` has no
//! dot in its name. Only who owns a schema creates relations in it.

use trine_proto::catalog::{Catalog, SchemaEntry, in_schema};
use trine_proto::command::Outcome;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

use super::{Request, ddl, names, views};
use crate::limits::TABLES_MAX;

/// Creates a schema of the caller's.
pub(super) fn create(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::CreateSchema,
) -> Result<Outcome, SqlError> {
    let (name, at) = (&command.name, request.index);
    names::checked(name)?;
    if name.contains('.') || name.starts_with("pg_") || name == "information_schema" {
        return Err(SqlError::new(
            sqlstate::RESERVED_NAME,
            format!("unacceptable schema name \"{name}\""),
        )
        .hint("the prefix \"pg_\" and information_schema are reserved; a name has no dot"));
    }
    if name == "public" || catalog.schemas.contains_key(name) {
        let message = format!("schema \"{name}\" already exists");
        if command.if_not_exists {
            return Ok(Outcome::Nothing(at, format!("{message}, skipping")));
        }
        return Err(SqlError::new(sqlstate::DUPLICATE_SCHEMA, message));
    }
    if catalog.schemas.len() >= TABLES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a cluster has at most {TABLES_MAX} schemas"),
        ));
    }
    let entry = SchemaEntry { owner: request.principal.name.clone() };
    catalog.schemas.insert(name.clone(), entry);
    Ok(Outcome::Applied(at))
}

/// Drops a schema of the caller's; with CASCADE all that is in it too.
pub(super) fn drop_schema(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::DropSchema,
) -> Result<Outcome, SqlError> {
    let (name, at) = (&command.name, request.index);
    if name == "public" {
        return Err(SqlError::unsupported(
            "the schema \"public\" cannot be dropped",
            "drop the tables in it",
        ));
    }
    let Some(schema) = catalog.schemas.get(name) else {
        let error = missing(name);
        if command.if_exists {
            return Ok(Outcome::Nothing(at, format!("{}, skipping", error.message)));
        }
        return Err(error);
    };
    if schema.owner != request.principal.name {
        return Err(not_owner(name, &schema.owner));
    }
    let inside = |relation: &str| in_schema(relation).0 == name.as_str();
    let tables: Vec<String> = catalog
        .tables
        .values()
        .filter(|t| t.exists(at) && inside(&t.schema.name))
        .map(|t| t.schema.name.clone())
        .collect();
    let over: Vec<String> = catalog
        .views
        .values()
        .filter(|v| v.exists(at) && inside(&v.name))
        .map(|v| v.name.clone())
        .collect();
    let count = tables.len() + over.len();
    if count > 0 && !command.cascade {
        return Err(SqlError::new(
            sqlstate::DEPENDENT_OBJECTS,
            format!("cannot drop schema \"{name}\" because other objects depend on it"),
        )
        .hint("use DROP … CASCADE to drop the dependent objects too"));
    }
    for view in over {
        let command = wire::DropView { name: view, if_exists: true, cascade: true };
        views::drop_view(catalog, request, &command)?;
    }
    for table in tables {
        let command = wire::DropTable { table, if_exists: true, cascade: true };
        ddl::drop_table(catalog, request, &command)?;
    }
    catalog.schemas.remove(name);
    Ok(match count {
        0 => Outcome::Applied(at),
        _ => Outcome::Nothing(at, format!("drop cascades to {count} other objects")),
    })
}

/// Refuses the name of a new relation whose schema is not there, or not the caller's.
pub(super) fn may_create(
    catalog: &Catalog,
    request: &Request,
    relation: &str,
) -> Result<(), SqlError> {
    let (schema, _) = in_schema(relation);
    if schema == "public" {
        return Ok(());
    }
    match catalog.schemas.get(schema) {
        None => Err(missing(schema)),
        Some(entry) if entry.owner != request.principal.name => {
            Err(not_owner(schema, &entry.owner))
        }
        Some(_) => Ok(()),
    }
}

fn missing(name: &str) -> SqlError {
    SqlError::new(sqlstate::UNDEFINED_SCHEMA, format!("schema \"{name}\" does not exist"))
}

fn not_owner(name: &str, owner: &str) -> SqlError {
    SqlError::new(sqlstate::INSUFFICIENT_PRIVILEGE, format!("permission denied for schema {name}"))
        .hint(format!("only its owner \"{owner}\" may create in it, or drop it"))
}
