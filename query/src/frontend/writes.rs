//! INSERT … SELECT, UPDATE and DELETE as the SELECT that finds what they write.

use super::{Bound, TrineTable, bind_query, parse, position::Positions};
use serde::Serialize;
use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Insert, ObjectName, Query, SelectItem, SetExpr, Statement as Ast,
    TableFactor, TableObject, TableWithJoins, Update,
};
use trine_proto::catalog::{Catalog, TableEntry, WriteEntry};
use trine_proto::ids::LogIndex;
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};

/// What the rows of the SELECT are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Writes {
    /// New rows; its columns go to these positions.
    Insert(Vec<usize>),
    /// The rows to change; its columns are the new values of these positions.
    Update(Vec<usize>),
    /// The rows to remove.
    Delete,
}

/// Binds a statement that writes to `table`.
///
/// # Errors
/// As for a query; `0A000` for clauses that are not supported.
pub(crate) fn bind(
    catalog: &Catalog,
    at: LogIndex,
    table: &TableEntry,
    write: &WriteEntry,
    overlay: &[(String, TrineTable)],
) -> Result<(Writes, Bound), SqlError> {
    let positions = Positions::new(&write.sql);
    let statement = match parse::explained_write(&write.sql, &positions)? {
        Some((explained, _)) => explained,
        None => parse::parse_statement(&write.sql, &positions)?,
    };
    let schema = &table.schema;
    let (writes, query) = match statement {
        Ast::Insert(insert) => insert_query(insert, schema, &positions)?,
        Ast::Update(update) => update_query(update, schema, &positions)?,
        Ast::Delete(delete) => {
            if let Some(joined) = joined(&delete)? {
                let check = parse::Parsed {
                    explain: super::Explain::No,
                    json: false,
                    query: Box::new(joined),
                };
                let who = (write.principal.as_str(), write.signed_at_ms);
                let parameters = write.parameters.as_ref();
                bind_query(check, &positions, catalog, at, who, overlay, parameters)?;
            }
            delete_query(delete, schema)?
        }
        _ => {
            return Err(SqlError::unsupported(
                "this statement does not write",
                "INSERT … SELECT, UPDATE and DELETE do",
            ));
        }
    };
    if write.rewrites == matches!(writes, Writes::Insert(_)) {
        return Err(mislabelled());
    }
    let parsed = parse::Parsed { explain: super::Explain::No, json: false, query: Box::new(query) };
    let who = (write.principal.as_str(), write.signed_at_ms);
    let parameters = write.parameters.as_ref();
    let bound = bind_query(parsed, &positions, catalog, at, who, overlay, parameters)?;
    Ok((writes, bound))
}

/// An EXPLAIN of a statement that writes.
pub(crate) struct Explained {
    /// The table that it would write to.
    pub(crate) table: String,
    /// Whether it would rewrite that.
    pub(crate) rewrites: bool,
    /// EXPLAIN (FORMAT JSON).
    pub(crate) json: bool,
}

/// What an EXPLAIN of a statement that writes is about; none for any other text.
///
/// # Errors
/// As [`parse::explained_write`].
pub(crate) fn explained(sql: &str) -> Result<Option<Explained>, SqlError> {
    let positions = Positions::new(sql);
    let name_of = |table: &TableFactor| match table {
        TableFactor::Table { name, .. } => Ok(name.clone()),
        _ => Err(refuse("this table")),
    };
    let Some((statement, json)) = parse::explained_write(sql, &positions)? else {
        return Ok(None);
    };
    let (name, rewrites) = match statement {
        Ast::Insert(insert) => match insert.table {
            TableObject::TableName(name) => (name, false),
            _ => return Err(refuse("this table")),
        },
        Ast::Update(update) => (name_of(&update.table.relation)?, true),
        Ast::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = delete.from;
            let first = from.first().ok_or_else(|| refuse("DELETE without a table"))?;
            (name_of(&first.relation)?, true)
        }
        _ => return Ok(None),
    };
    let table = relation(&name).ok_or_else(|| refuse("this table"))?;
    Ok(Some(Explained { table, rewrites, json }))
}

/// The client says what a statement writes to, so that the log can order it without parsing.
fn mislabelled() -> SqlError {
    SqlError::new(sqlstate::PROTOCOL_VIOLATION, "the statement is not what its client says of it")
}

fn refuse(clause: &str) -> SqlError {
    SqlError::unsupported(format!("{clause} is not supported"), "leave the clause out")
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The name that the catalog knows a relation by.
fn relation(name: &ObjectName) -> Option<String> {
    let parts = name.0.iter().map(|part| part.as_ident().map(fold)).collect::<Option<Vec<_>>>()?;
    match parts.as_slice() {
        [schema, name] if schema == "public" => Some(name.clone()),
        parts => Some(parts.join(".")),
    }
}

fn is_table(name: &ObjectName, schema: &TableSchema) -> bool {
    relation(name).is_some_and(|name| name == schema.name)
}

/// The one table of a statement, without joins.
fn only(from: &TableWithJoins, schema: &TableSchema) -> Result<(), SqlError> {
    if !from.joins.is_empty() {
        return Err(refuse("a join in UPDATE or DELETE"));
    }
    match &from.relation {
        TableFactor::Table { name, .. } if is_table(name, schema) => Ok(()),
        _ => Err(mislabelled()),
    }
}

/// `SELECT projection FROM from WHERE selection`.
fn select(
    projection: Vec<SelectItem>,
    from: TableWithJoins,
    selection: Option<Expr>,
) -> Result<Query, SqlError> {
    const TEMPLATE: &str = "SELECT 1 FROM t";
    let parsed = parse::parse(TEMPLATE, &Positions::new(TEMPLATE))?;
    let mut query = *parsed.query;
    if let SetExpr::Select(select) = query.body.as_mut() {
        if !projection.is_empty() {
            select.projection = projection;
        }
        select.from = vec![from];
        select.selection = selection;
    }
    Ok(query)
}

fn column(
    schema: &TableSchema,
    ident: &Ident,
    positions: &Positions<'_>,
) -> Result<usize, SqlError> {
    let name = fold(ident);
    schema.position(&name).ok_or_else(|| {
        let at = ident.span.start;
        SqlError::new(
            sqlstate::UNDEFINED_COLUMN,
            format!("column \"{name}\" of relation \"{}\" does not exist", schema.name),
        )
        .at(positions.character(at.line, at.column))
    })
}

fn distinct(columns: &[usize], schema: &TableSchema) -> Result<(), SqlError> {
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].contains(column) {
            let name = schema.columns.get(*column).map_or("", |c| c.name.as_str());
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                format!("multiple assignments to same column \"{name}\""),
            ));
        }
    }
    Ok(())
}

fn insert_query(
    insert: Insert,
    schema: &TableSchema,
    positions: &Positions<'_>,
) -> Result<(Writes, Query), SqlError> {
    match &insert.table {
        TableObject::TableName(name) if is_table(name, schema) => {}
        _ => return Err(mislabelled()),
    }
    if insert.on.is_some() || insert.returning.is_some() || insert.or.is_some() {
        return Err(refuse("ON CONFLICT or RETURNING"));
    }
    let Some(query) = insert.source else {
        return Err(refuse("INSERT without a SELECT"));
    };
    let mut targets = Vec::with_capacity(insert.columns.len());
    for name in &insert.columns {
        let ident = name.0.last().and_then(|p| p.as_ident()).ok_or_else(mislabelled)?;
        targets.push(column(schema, ident, positions)?);
    }
    distinct(&targets, schema)?;
    if insert.columns.is_empty() {
        targets = (0..schema.columns.len()).collect();
    }
    Ok((Writes::Insert(targets), *query))
}

/// The values of a row: written one by one, or the columns of a subquery, each of which becomes a
/// subquery of its own.
fn row(value: Expr, width: usize) -> Result<Vec<Expr>, SqlError> {
    let values = match value {
        Expr::Tuple(values) => values,
        Expr::Nested(value) => vec![*value],
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            match function.args {
                FunctionArguments::List(list) => list
                    .args
                    .into_iter()
                    .map(|argument| match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Ok(value),
                        _ => Err(refuse("this row")),
                    })
                    .collect::<Result<_, _>>()?,
                _ => return Err(refuse("this row")),
            }
        }
        Expr::Subquery(query) => columns_of(&query)?,
        _ => return Err(refuse("SET (a, b) = … of something else than a row or a subquery")),
    };
    if values.len() == width {
        return Ok(values);
    }
    let message = "number of columns does not match number of values";
    Err(SqlError::new(sqlstate::SYNTAX_ERROR, message))
}

fn columns_of(query: &Query) -> Result<Vec<Expr>, SqlError> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(refuse("SET (a, b) = (UNION …)"));
    };
    let plain = select.distinct.is_none()
        && !select.projection.iter().any(|item| {
            matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
        });
    if !plain {
        return Err(refuse("SET (a, b) = (SELECT …) with DISTINCT or *"));
    }
    let one = |item: &SelectItem| {
        let mut query = query.clone();
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![item.clone()];
        }
        Expr::Subquery(Box::new(query))
    };
    Ok(select.projection.iter().map(one).collect())
}

fn update_query(
    update: Update,
    schema: &TableSchema,
    positions: &Positions<'_>,
) -> Result<(Writes, Query), SqlError> {
    only(&update.table, schema)?;
    if update.from.is_some() || update.returning.is_some() || update.limit.is_some() {
        return Err(refuse("FROM, RETURNING or LIMIT in UPDATE"));
    }
    let mut columns = Vec::with_capacity(update.assignments.len());
    let mut projection = Vec::with_capacity(update.assignments.len());
    for Assignment { target, value } in update.assignments {
        let (names, values) = match target {
            AssignmentTarget::ColumnName(name) => (vec![name], vec![value]),
            AssignmentTarget::Tuple(names) => {
                let values = row(value, names.len())?;
                (names, values)
            }
        };
        for (name, expr) in names.into_iter().zip(values) {
            let ident = name.0.last().and_then(|p| p.as_ident()).ok_or_else(mislabelled)?;
            let alias = Ident::with_quote('"', format!("__trine_set_{}", columns.len()));
            columns.push(column(schema, ident, positions)?);
            projection.push(SelectItem::ExprWithAlias { expr, alias });
        }
    }
    distinct(&columns, schema)?;
    let query = select(projection, update.table, update.selection)?;
    Ok((Writes::Update(columns), query))
}

/// The rows for which `others` have a row that the condition is true of.
fn matched(others: Vec<TableWithJoins>, condition: Option<Expr>) -> Result<Expr, SqlError> {
    const TEMPLATE: &str = "SELECT 1 FROM t";
    let mut query = *parse::parse(TEMPLATE, &Positions::new(TEMPLATE))?.query;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = others;
        select.selection = condition;
    }
    Ok(Expr::Exists { subquery: Box::new(query), negated: false })
}

/// The rows of DELETE … USING beside those that they are compared with: a name that means a column of either
/// is an error there, as it must be, and not in the subquery that finds the rows.
fn joined(delete: &Delete) -> Result<Option<Query>, SqlError> {
    const TEMPLATE: &str = "SELECT 1 FROM t";
    let Some(others) = &delete.using else { return Ok(None) };
    let mut query = *parse::parse(TEMPLATE, &Positions::new(TEMPLATE))?.query;
    let (FromTable::WithFromKeyword(own) | FromTable::WithoutKeyword(own)) = &delete.from;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = own.iter().chain(others).cloned().collect();
        select.selection.clone_from(&delete.selection);
    }
    Ok(Some(query))
}

fn delete_query(delete: Delete, schema: &TableSchema) -> Result<(Writes, Query), SqlError> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = delete.from;
    let [from] = <[TableWithJoins; 1]>::try_from(from).map_err(|_| mislabelled())?;
    only(&from, schema)?;
    if delete.returning.is_some() || delete.limit.is_some() || !delete.order_by.is_empty() {
        return Err(refuse("RETURNING, ORDER BY or LIMIT in DELETE"));
    }
    let condition = match delete.using {
        Some(others) => Some(matched(others, delete.selection)?),
        None => delete.selection,
    };
    Ok((Writes::Delete, select(Vec::new(), from, condition)?))
}
