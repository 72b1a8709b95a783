//! RETURNING: what was written, as a query beside the statement that writes. Of an INSERT of constants
//! the client knows the rows; they go to the nodes as secret parameters of a query over them alone. Of
//! a DELETE they are what a SELECT with its condition finds, in one transaction with it; of an UPDATE the
//! same rows with the new values in the place of the old ones.

use super::Statement;
use super::insert::{Given, Insert};
use super::lexer::{Fragment, Token, is_word};
use super::parser::Parser;
use super::prepare::Asked;
use super::write::{Parameter, Target, Write};
use crate::catalog::TableDefinition;
use crate::encode::Cell;
use crate::upload::arrange;
use sqlparser::tokenizer::Token as Sql;
use std::fmt;
use std::ops::Range;
use trine_proto::catalog::in_schema;
use trine_proto::schema::ColumnType;
use trine_proto::status::{SqlError, sqlstate};

/// Rows of an INSERT with RETURNING at most: each is a part of the query.
const ROWS_MAX: usize = 64;
/// What the list of a query stands behind.
const BEFORE: &str = "SELECT ";

/// A statement that writes, and what of its rows is asked for.
#[derive(Clone, PartialEq)]
pub struct Returning {
    write: Box<Statement>,
    /// The select list.
    list: String,
    /// 1-based position of the list.
    position: u32,
    /// Where the rows come from.
    from: Source,
}

#[derive(Clone, PartialEq)]
enum Source {
    /// INSERT: from the statement itself.
    Values,
    /// DELETE: what stood between DELETE and RETURNING.
    Deleted(String),
    /// UPDATE.
    Updated(Changed),
}

/// What an UPDATE makes of its rows, as parts of its text for the nodes.
#[derive(Clone, PartialEq)]
pub(super) struct Changed {
    /// What the table is called.
    alias: String,
    /// Columns and where their new values stand.
    assigned: Vec<(String, Range<usize>)>,
    /// Where the last of them ends.
    tail: usize,
}

impl Changed {
    pub(super) const fn new(
        alias: String,
        assigned: Vec<(String, Range<usize>)>,
        tail: usize,
    ) -> Self {
        Self { alias, assigned, tail }
    }

    /// The rows with their new values, as a relation of the columns of the table.
    fn rows(&self, write: &Write, table: &TableDefinition) -> String {
        let alias = quoted(&self.alias);
        let mut items = Vec::with_capacity(table.schema.columns.len());
        for column in &table.schema.columns {
            let name = quoted(&column.name);
            let new = self.assigned.iter().rev().find(|(assigned, _)| *assigned == column.name);
            let new = new.and_then(|(_, place)| write.sql.get(place.clone())).map(str::trim);
            items.push(match (new, &column.ty) {
                (None, _) => format!("{alias}.{name} AS {name}"),
                // A value alone has the type of its column, and a label has no other.
                (Some(value), ColumnType::Enum { .. }) => format!("{value} AS {name}"),
                (Some(value), _) if is_parameter(value) => format!("{value} AS {name}"),
                (Some(value), ty) => format!("CAST({value} AS {}) AS {name}", ty.sql_name()),
            });
        }
        let tail = write.sql.get(self.tail..).unwrap_or_default();
        let from = quoted(&write.table);
        format!("SELECT {} FROM {from} AS {alias} {tail}", items.join(", "))
    }
}

fn is_parameter(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl fmt::Debug for Returning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Returning({:?} of {:?})", self.list, self.write)
    }
}

/// What follows the rows of an INSERT, if it is RETURNING.
pub(super) fn of_insert(p: &mut Parser<'_>, insert: Insert) -> Result<Statement, SqlError> {
    p.expect_word("RETURNING")?;
    let position = p.position();
    let list = p.rest().to_owned();
    check_list(p, &list, position)?;
    let write = Box::new(Statement::Insert(insert));
    Ok(Statement::Returning(Returning { write, list, position, from: Source::Values }))
}

fn check_list(p: &Parser<'_>, list: &str, position: u32) -> Result<(), SqlError> {
    if list.is_empty() {
        return Err(p.unexpected("a list of columns is expected"));
    }
    if list.contains('$') {
        return Err(SqlError::unsupported(
            "parameters are not supported in RETURNING",
            "compute the column where the rows are read",
        )
        .at(position));
    }
    Ok(())
}

/// The place of the word RETURNING outside of parentheses.
pub(super) fn place(fragment: &Fragment<'_>) -> Option<usize> {
    let mut open = 0_usize;
    fragment.tokens().iter().position(|token| {
        match token.sql {
            Sql::LParen => open += 1,
            Sql::RParen => open = open.saturating_sub(1),
            _ => {}
        }
        open == 0 && is_word(&token.sql, "RETURNING")
    })
}

/// A DELETE that ends at the token `at`, with what follows that token.
pub(super) fn of_delete(
    write: Write,
    fragment: &Fragment<'_>,
    at: usize,
) -> Result<Statement, SqlError> {
    let tokens = fragment.tokens();
    let refuse = |what: &str| {
        let message = format!("RETURNING of {what} is not supported");
        let place = tokens.get(at).map_or(0, Token::position);
        Err(SqlError::unsupported(message, "SELECT the rows before").at(place))
    };
    if fragment.bindings().is_some_and(|b| !b.values.is_empty()) {
        return refuse("a prepared DELETE");
    }
    if tokens.get(..at).is_some_and(|all| all.iter().any(|t| is_word(&t.sql, "USING"))) {
        return refuse("DELETE … USING");
    }
    let from = fragment.text_of(1, at).to_owned();
    let p = Parser::between(fragment, at + 1, tokens.len());
    let position = p.position();
    let list = fragment.text_of(at + 1, tokens.len()).to_owned();
    check_list(&p, &list, position)?;
    let write = Box::new(Statement::Write(write));
    Ok(Statement::Returning(Returning { write, list, position, from: Source::Deleted(from) }))
}

/// An UPDATE that ends at the token `at`, with what follows that token.
pub(super) fn of_update(
    write: Write,
    fragment: &Fragment<'_>,
    at: usize,
    changed: Option<Changed>,
) -> Result<Statement, SqlError> {
    let tokens = fragment.tokens();
    let refuse = |what: &str| {
        let message = format!("RETURNING of {what} is not supported");
        let place = tokens.get(at).map_or(0, Token::position);
        SqlError::unsupported(message, "SELECT the rows afterwards").at(place)
    };
    if fragment.bindings().is_some_and(|b| !b.values.is_empty()) {
        return Err(refuse("a prepared UPDATE"));
    }
    let changed = changed.ok_or_else(|| refuse("UPDATE … SET (a, b) = …"))?;
    let p = Parser::between(fragment, at + 1, tokens.len());
    let position = p.position();
    let list = fragment.text_of(at + 1, tokens.len()).to_owned();
    check_list(&p, &list, position)?;
    let write = Box::new(Statement::Write(write));
    let from = Source::Updated(changed);
    Ok(Statement::Returning(Returning { write, list, position, from }))
}

impl Returning {
    /// The statement that writes.
    #[must_use]
    pub fn write(&self) -> &Statement {
        &self.write
    }

    /// The table written to.
    #[must_use]
    pub fn table(&self) -> &str {
        match self.write.as_ref() {
            Statement::Insert(insert) => &insert.table,
            Statement::Write(write) => &write.table,
            _ => "",
        }
    }

    /// Whether query and statement have to see the same rows: then they are one transaction.
    #[must_use]
    pub const fn needs_snapshot(&self) -> bool {
        !matches!(self.from, Source::Values)
    }

    /// The query for the rows, to run before the statement.
    ///
    /// # Errors
    /// Those of the values of an INSERT; 54000 for too many rows.
    pub fn query(&self, table: &TableDefinition) -> Result<Statement, SqlError> {
        match (self.write.as_ref(), &self.from) {
            (Statement::Insert(insert), _) => self.inserted(table, insert),
            (Statement::Write(write), Source::Updated(changed)) => {
                Ok(self.updated(table, write, changed))
            }
            (_, Source::Deleted(from)) => {
                let sql = format!("{BEFORE}{} {from}", self.list);
                let offset = self.position.saturating_sub(1);
                let before = u32::try_from(BEFORE.len()).unwrap_or_default();
                Ok(Statement::Query { sql, offset: offset.saturating_sub(before) })
            }
            _ => Err(SqlError::new(sqlstate::INTERNAL_ERROR, "RETURNING of no statement")),
        }
    }

    /// The rows of an UPDATE as they will be; its values are parameters of the query too.
    fn updated(&self, table: &TableDefinition, write: &Write, changed: &Changed) -> Statement {
        let rows = changed.rows(write, table);
        let sql = format!("{BEFORE}{} FROM ({rows}) AS {}", self.list, quoted(&changed.alias));
        if write.parameters.is_empty() {
            let offset = self.position.saturating_sub(1);
            let before = u32::try_from(BEFORE.len()).unwrap_or_default();
            return Statement::Query { sql, offset: offset.saturating_sub(before) };
        }
        let parameters = write.parameters.iter().map(|parameter| {
            let column = match &parameter.target {
                Target::Column(name) => table.schema.position(name),
                _ => None,
            };
            let Some(column) = column else { return parameter.clone() };
            let given = match &parameter.given {
                Given::Cell(cell) => cell.clone(),
                Given::Default => table.defaults.get(&column).cloned().unwrap_or(Cell::Null),
            };
            let target = Target::Type(table.schema.columns[column].ty.clone());
            Parameter { given: Given::Cell(given), target, position: parameter.position }
        });
        let parameters = parameters.collect();
        Statement::Ask(Asked { sql, parameters, places: self.places() })
    }

    /// Where the list of the query stands in the text given.
    fn places(&self) -> Vec<(u32, u32)> {
        let start = u32::try_from(BEFORE.len()).unwrap_or_default();
        let length = u32::try_from(self.list.chars().count()).unwrap_or_default();
        let origin = self.position.saturating_sub(1);
        vec![(0, origin), (start, origin), (start.saturating_add(length), origin)]
    }

    /// The rows of an INSERT, as parameters.
    fn inserted(&self, table: &TableDefinition, insert: &Insert) -> Result<Statement, SqlError> {
        let rows = arrange(table, insert)?;
        if rows.len() > ROWS_MAX {
            let message = format!("RETURNING of more than {ROWS_MAX} rows");
            return Err(SqlError::new(sqlstate::LIMIT_EXCEEDED, message)
                .hint("INSERT without RETURNING: the rows are those of the statement")
                .at(self.position));
        }
        let mut parameters = Vec::new();
        let mut selects = Vec::with_capacity(rows.len());
        for row in rows {
            let mut items = Vec::with_capacity(row.len());
            for (column, cell) in table.schema.columns.iter().zip(row) {
                let (given, target) = (Given::Cell(cell), Target::Type(column.ty.clone()));
                parameters.push(Parameter { given, target, position: 0 });
                items.push(format!("${} AS {}", parameters.len(), quoted(&column.name)));
            }
            selects.push(format!("{BEFORE}{}", items.join(", ")));
        }
        let rows = selects.join(" UNION ALL ");
        let sql = format!(
            "{BEFORE}{} FROM ({rows}) AS {}",
            self.list,
            quoted(in_schema(&insert.table).1)
        );
        Ok(Statement::Ask(Asked { sql, parameters, places: self.places() }))
    }
}
