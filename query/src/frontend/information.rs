//! `information_schema`: what the catalog says, as public rows, for one principal at a log index.

use super::context::Context;
use super::views::{Inlined, renamed};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{Expr, LogicalPlanBuilder, TableSource, lit};
use std::sync::Arc;
use trine_proto::catalog::in_schema;
use trine_proto::schema::{Column, ColumnType, TableSchema};
use trine_proto::status::{SqlError, sqlstate};

/// Its name.
pub(super) const SCHEMA: &str = "information_schema";
/// The one database.
const DATABASE: &str = "trine";

/// One of its tables.
pub(super) fn table(context: &Context<'_>, name: &str) -> Result<Arc<dyn TableSource>> {
    let (names, rows): (&[&str], Vec<Vec<ScalarValue>>) = match name {
        "tables" => (&TABLES, tables(context)),
        "columns" => (&COLUMNS, columns(context)),
        "schemata" => (&SCHEMATA, schemata(context)),
        _ => {
            return Err(DataFusionError::External(Box::new(
                SqlError::new(
                    sqlstate::UNDEFINED_TABLE,
                    format!("relation \"{SCHEMA}.{name}\" does not exist"),
                )
                .hint("information_schema has tables, columns and schemata"),
            )));
        }
    };
    let none = rows.is_empty();
    let nothing = || names.iter().map(|_| ScalarValue::Utf8(Some(String::new()))).collect();
    let rows = if none { vec![nothing()] } else { rows };
    let rows: Vec<Vec<Expr>> =
        rows.into_iter().map(|r| r.into_iter().map(|v| Expr::Literal(v, None)).collect()).collect();
    let mut plan = LogicalPlanBuilder::values(rows)?.build()?;
    if none {
        plan = LogicalPlanBuilder::from(plan).filter(lit(false))?.build()?;
    }
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    Ok(Arc::new(Inlined::new(renamed(plan, &names)?)))
}

const TABLES: [&str; 4] = ["table_catalog", "table_schema", "table_name", "table_type"];

const SCHEMATA: [&str; 3] = ["catalog_name", "schema_name", "schema_owner"];

const COLUMNS: [&str; 9] = [
    "table_catalog",
    "table_schema",
    "table_name",
    "column_name",
    "ordinal_position",
    "column_default",
    "is_nullable",
    "data_type",
    "is_secret",
];

fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

fn tables(context: &Context<'_>) -> Vec<Vec<ScalarValue>> {
    let row = |name: &str, kind: &str| {
        let (schema, name) = in_schema(name);
        vec![text(DATABASE), text(schema), text(name), text(kind)]
    };
    let tables = context.catalog.tables_for(context.principal, context.at);
    let mut rows: Vec<_> = tables.map(|t| row(&t.schema.name, "BASE TABLE")).collect();
    let views = context.catalog.views.values();
    let mine =
        views.filter(|v| v.exists(context.at) && v.may_select(context.principal, context.at));
    rows.extend(mine.map(|v| row(&v.name, "VIEW")));
    rows
}

fn schemata(context: &Context<'_>) -> Vec<Vec<ScalarValue>> {
    let row = |name: &str, owner| vec![text(DATABASE), text(name), ScalarValue::Utf8(owner)];
    let own = context.catalog.schemas.iter();
    let own = own.map(|(name, schema)| row(name, Some(schema.owner.clone())));
    own.chain([row("information_schema", None), row("public", None)]).collect()
}

fn columns(context: &Context<'_>) -> Vec<Vec<ScalarValue>> {
    let mut rows = Vec::new();
    for table in context.catalog.tables_for(context.principal, context.at) {
        for (index, column) in table.schema.columns.iter().enumerate() {
            let default = table.rules.defaults.get(&index).cloned();
            rows.push(column_row(&table.schema, index, column, default));
        }
    }
    rows
}

fn column_row(
    schema: &TableSchema,
    index: usize,
    column: &Column,
    default: Option<String>,
) -> Vec<ScalarValue> {
    use trine_proto::schema::Secrecy;
    let yes_no = |yes: bool| text(if yes { "YES" } else { "NO" });
    let (namespace, name) = in_schema(&schema.name);
    vec![
        text(DATABASE),
        text(namespace),
        text(name),
        text(&column.name),
        ScalarValue::Int32(i32::try_from(index + 1).ok()),
        ScalarValue::Utf8(default),
        yes_no(column.nullable),
        text(type_name(&column.ty)),
        yes_no(column.secrecy == Secrecy::Secret),
    ]
}

/// As PostgreSQL's information_schema spells types.
fn type_name(ty: &ColumnType) -> String {
    match ty {
        ColumnType::Int => "integer".into(),
        ColumnType::Decimal { .. } => "numeric".into(),
        ColumnType::Varchar { .. } => "character varying".into(),
        ColumnType::Timestamp => "timestamp without time zone".into(),
        ColumnType::Enum { .. } => "enum".into(),
        other => other.sql_name().to_lowercase(),
    }
}
