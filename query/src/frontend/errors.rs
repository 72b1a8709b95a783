//! DataFusion's errors in PostgreSQL's words, codes and positions.

use super::aliases;
use super::functions::AGGREGATES;
use super::position::Positions;
use datafusion_common::{Column, DataFusionError, Diagnostic, SchemaError, TableReference};
use trine_proto::status::{SqlError, sqlstate};

/// Translates an error of the SQL front end.
pub(crate) fn translate(error: DataFusionError, positions: &Positions<'_>) -> SqlError {
    let diagnostic = first_diagnostic(&error);
    let place = diagnostic
        .and_then(|d| d.span)
        .map_or(0, |span| positions.character(span.start.line, span.start.column));
    let mut result = from_root(root(&error), diagnostic, positions);
    if result.position == 0 {
        result.position = place;
    }
    if result.position == 0 && result.message.starts_with("aggregate functions are not allowed") {
        result.position = AGGREGATES
            .iter()
            .map(|a| positions.identifier(a))
            .filter(|p| *p != 0)
            .min()
            .unwrap_or(0);
    }
    result
}

/// The innermost error.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        other => other,
    }
}

fn first_diagnostic(error: &DataFusionError) -> Option<&Diagnostic> {
    match error {
        DataFusionError::Diagnostic(d, inner) => {
            if d.span.is_some() {
                Some(d)
            } else {
                first_diagnostic(inner).or(Some(d))
            }
        }
        DataFusionError::Context(_, inner) => first_diagnostic(inner),
        DataFusionError::Shared(inner) => first_diagnostic(inner),
        DataFusionError::Collection(errors) => errors.first().and_then(first_diagnostic),
        _ => None,
    }
}

fn from_root(
    error: &DataFusionError,
    diagnostic: Option<&Diagnostic>,
    positions: &Positions<'_>,
) -> SqlError {
    match error {
        DataFusionError::External(inner) => inner
            .downcast_ref::<SqlError>()
            .cloned()
            .unwrap_or_else(|| SqlError::new(sqlstate::INTERNAL_ERROR, inner.to_string())),
        DataFusionError::SchemaError(schema, _) => from_schema(schema, positions),
        DataFusionError::SQL(inner, _) => SqlError::new(sqlstate::SYNTAX_ERROR, inner.to_string()),
        DataFusionError::NotImplemented(text) => SqlError::unsupported(
            one_line(text),
            "Trine plans SELECT with joins, grouping and subqueries; write it in those terms",
        ),
        DataFusionError::Plan(text) => from_plan(text, diagnostic),
        DataFusionError::ArrowError(inner, _) => from_arrow(&inner.to_string()),
        DataFusionError::Execution(text) => from_arrow(text),
        other => SqlError::new(sqlstate::INTERNAL_ERROR, one_line(&other.strip_backtrace())),
    }
}

fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or(text);
    let cut = line.find("\n\nbacktrace").map_or(line, |at| &line[..at]);
    cut.trim_end_matches('.').to_owned()
}

fn from_schema(error: &SchemaError, positions: &Positions<'_>) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            unknown_column(field, valid_fields, positions)
        }
        SchemaError::AmbiguousReference { field } => {
            ambiguous(&field.name, positions).hint("put the table's name in front of the column")
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => SqlError::new(
            "42712",
            format!("table name \"{}\" specified more than once", qualifier.table()),
        )
        .hint("give each use of a table its own alias")
        .at(positions.identifier(qualifier.table())),
        SchemaError::DuplicateUnqualifiedField { name } => SqlError::new(
            sqlstate::AMBIGUOUS_COLUMN,
            format!("column name \"{name}\" appears more than once"),
        )
        .hint("give the columns different names with AS")
        .at(positions.identifier(name)),
    }
}

fn ambiguous(name: &str, positions: &Positions<'_>) -> SqlError {
    let message = format!("column reference \"{name}\" is ambiguous");
    SqlError::new(sqlstate::AMBIGUOUS_COLUMN, message)
        .hint("give the columns different names with AS")
        .at(positions.identifier(name))
}

fn unknown_column(field: &Column, valid: &[Column], positions: &Positions<'_>) -> SqlError {
    let error = match &field.relation {
        Some(relation) if !knows(valid, relation) => {
            return SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("missing FROM-clause entry for table \"{}\"", relation.table()),
            )
            .at(positions.identifier(relation.table()));
        }
        _ if valid.iter().any(|c| aliases::repeated(&c.name, &field.name)) => {
            return ambiguous(&field.name, positions);
        }
        Some(relation) => SqlError::new(
            sqlstate::UNDEFINED_COLUMN,
            format!("column {}.{} does not exist", relation.table(), field.name),
        )
        .at(positions.identifier(&field.name)),
        None => SqlError::new(
            sqlstate::UNDEFINED_COLUMN,
            format!("column \"{}\" does not exist", field.name),
        )
        .at(positions.identifier(&field.name)),
    };
    match nearest(&field.name, valid) {
        Some(name) => error.hint(format!("perhaps you meant \"{name}\"")),
        None => error,
    }
}

fn knows(valid: &[Column], relation: &TableReference) -> bool {
    valid.is_empty()
        || valid.iter().any(|c| c.relation.as_ref().is_some_and(|r| r.table() == relation.table()))
}

/// The valid name at the smallest edit distance, at most a third of the length.
fn nearest(name: &str, valid: &[Column]) -> Option<String> {
    let limit = name.chars().count() / 3;
    valid
        .iter()
        .map(|c| (edit_distance(name, &c.name), c.name.clone()))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, found)| found)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

fn from_plan(text: &str, diagnostic: Option<&Diagnostic>) -> SqlError {
    let text = one_line(text);
    let lower = text.to_lowercase();
    let has = |needle: &str| lower.contains(needle);
    if has("must appear in the group by clause") {
        let column = text.split('"').nth(1).unwrap_or("");
        let column = if column.is_empty() {
            diagnostic.and_then(|d| d.message.split('\'').nth(1)).unwrap_or("?")
        } else {
            column
        };
        return SqlError::new(
            sqlstate::GROUPING_ERROR,
            format!(
                "column \"{column}\" must appear in the GROUP BY clause or be used in an \
                 aggregate function"
            ),
        );
    }
    if has("aggregate function calls cannot be nested") {
        return SqlError::new(
            sqlstate::GROUPING_ERROR,
            "aggregate function calls cannot be nested",
        )
        .hint("compute the inner aggregate in a subquery");
    }
    if has("not allowed in the where clause") {
        return SqlError::new(
            sqlstate::GROUPING_ERROR,
            "aggregate functions are not allowed in WHERE",
        )
        .hint("use HAVING");
    }
    if has("non-boolean predicate") {
        return SqlError::new(
            sqlstate::DATATYPE_MISMATCH,
            format!("a condition must be BOOLEAN ({text})"),
        )
        .hint("write a comparison");
    }
    if has("must be >=") && (has("limit") || has("offset")) {
        let word = if has("limit") { "LIMIT" } else { "OFFSET" };
        return SqlError::new("2201W", format!("{word} must not be negative"));
    }
    if has("order by column out of bounds") {
        return not_in_list("ORDER BY", &text);
    }
    if has("invalid function") {
        let name = text.split('\'').nth(1).unwrap_or("?").to_owned();
        return SqlError::new(
            sqlstate::UNDEFINED_FUNCTION,
            format!("function {name} does not exist"),
        );
    }
    if has("cannot find column with position") {
        return not_in_list("GROUP BY", &text);
    }
    if has("specified more than once") {
        return SqlError::new("42712", text);
    }
    if has("same number of columns") || has("must have the same number") || has("number of columns")
    {
        return SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "each query of a set operation must have the same number of columns",
        );
    }
    if [
        "coerc",
        "common argument type",
        "incompatible",
        "cannot cast",
        "cast ",
        "signature",
        "type",
    ]
    .iter()
    .any(|w| has(w))
    {
        return SqlError::new(sqlstate::DATATYPE_MISMATCH, text)
            .hint("compare and combine values of one type, or CAST one of them");
    }
    if has("too many columns") {
        return SqlError::new(sqlstate::SYNTAX_ERROR, "subquery must return only one column");
    }
    SqlError::new(sqlstate::SYNTAX_ERROR, text)
}

/// An ordinal beyond the select list: the first number of DataFusion's sentence.
fn not_in_list(clause: &str, text: &str) -> SqlError {
    let number = text.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    SqlError::new(
        "42P10",
        format!("{clause} position {} is not in select list", number.unwrap_or("?")),
    )
}

fn from_arrow(text: &str) -> SqlError {
    let text = one_line(text);
    let lower = text.to_lowercase();
    let code = if lower.contains("divide by zero") {
        return SqlError::new(sqlstate::DIVISION_BY_ZERO, "division by zero");
    } else if lower.contains("overflow")
        || lower.contains("out of range")
        || lower.contains("too large")
    {
        sqlstate::NUMERIC_VALUE_OUT_OF_RANGE
    } else if lower.contains("date") || lower.contains("timestamp") {
        sqlstate::INVALID_DATETIME
    } else {
        sqlstate::INVALID_TEXT
    };
    SqlError::new(code, text)
}
