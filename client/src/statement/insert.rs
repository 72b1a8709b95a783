//! INSERT INTO … VALUES: constants only, because a value is cut into shares here and the nodes never
//! see the statement.

use super::constant::constant;
use super::lexer::{Fragment, is_word};
use super::parser::Parser;
use super::{Statement, conflict, returning, write};
use crate::encode::Cell;
use sqlparser::tokenizer::Token as Sql;
use std::fmt;
use trine_proto::status::{SqlError, sqlstate};

/// What an INSERT gives for one column of one row.
#[derive(Clone, PartialEq)]
pub enum Given {
    /// A value.
    Cell(Cell),
    /// DEFAULT.
    Default,
}

/// Rows of values for a table. The cells are data: [`fmt::Debug`] shows shapes only.
#[derive(Clone, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: String,
    /// Target columns with their 1-based positions in the text, if a list was written.
    pub columns: Option<Vec<(String, u32)>>,
    /// Rows of values with the 1-based position of each; at least one row, all of one length. One row of
    /// length 0: DEFAULT VALUES.
    pub rows: Vec<Vec<(Given, u32)>>,
    /// Position of the table's name.
    pub position: u32,
}

impl fmt::Debug for Insert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Insert({} rows into {})", self.rows.len(), self.table)
    }
}

/// The whole statement.
pub(super) fn parse(p: &mut Parser<'_>, fragment: &Fragment<'_>) -> Result<Statement, SqlError> {
    p.expect_word("INSERT")?;
    p.expect_word("INTO")?;
    let position = p.position();
    let table = p.name()?;
    let alias = if p.word("AS") { Some(p.identifier()?) } else { None };
    let columns = if p.peek() == Some(&Sql::LParen) && !p.query_in_parentheses() {
        Some(column_list(p)?)
    } else {
        None
    };
    let source = p.position();
    if p.words(&["DEFAULT", "VALUES"]) {
        p.end()?;
        let rows = vec![Vec::new()];
        return Ok(Statement::Insert(Insert { table, columns: Some(Vec::new()), rows, position }));
    }
    if p.query_in_parentheses() || p.words_follow(&["SELECT"]) || p.words_follow(&["WITH"]) {
        return write::insert(p, fragment, (table, position), columns).map(Statement::Write);
    }
    if !p.word("VALUES") {
        let word = p.keyword_text();
        return Err(match word.as_str() {
            "TABLE" => SqlError::unsupported(
                "INSERT … TABLE is not supported",
                "write INSERT INTO t SELECT * FROM u",
            ),
            "DEFAULT" | "OVERRIDING" => SqlError::unsupported(
                format!("INSERT … {word} is not supported"),
                "write INSERT INTO t VALUES (…), (…)",
            ),
            _ => p.unexpected("VALUES is expected"),
        }
        .at(source));
    }
    let mut rows = Vec::new();
    let first = p.clone();
    loop {
        match row(p, rows.first().map(Vec::len)) {
            Ok(row) => rows.push(row),
            // The nodes compute what holds a subquery.
            Err(e) if e.sqlstate == sqlstate::FEATURE_NOT_SUPPORTED && has_subquery(fragment) => {
                *p = first;
                let table = (table, position);
                let write = write::insert_expressions(p, fragment, table, columns);
                return write.map(Statement::Write);
            }
            Err(e) => return Err(e),
        }
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    if p.words_follow(&["ON"]) {
        let insert = Insert { table, columns, rows, position };
        return conflict::parse(p, fragment, insert, alias);
    }
    if p.words_follow(&["RETURNING"]) {
        return returning::of_insert(p, Insert { table, columns, rows, position });
    }
    p.end()?;
    Ok(Statement::Insert(Insert { table, columns, rows, position }))
}

fn has_subquery(fragment: &Fragment<'_>) -> bool {
    fragment.tokens().iter().any(|token| is_word(&token.sql, "SELECT"))
}

fn column_list(p: &mut Parser<'_>) -> Result<Vec<(String, u32)>, SqlError> {
    let columns = p.name_list()?;
    let mut seen = std::collections::BTreeSet::new();
    if let Some((name, position)) = columns.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        return Err(SqlError::new(
            sqlstate::DUPLICATE_COLUMN,
            format!("column \"{name}\" specified more than once"),
        )
        .at(*position));
    }
    Ok(columns)
}

fn row(p: &mut Parser<'_>, expected: Option<usize>) -> Result<Vec<(Given, u32)>, SqlError> {
    let start = p.position();
    p.expect_symbol(&Sql::LParen)?;
    let mut cells = Vec::with_capacity(expected.unwrap_or(8));
    loop {
        let position = p.position();
        let given = if p.word("DEFAULT") { Given::Default } else { Given::Cell(constant(p)?) };
        cells.push((given, position));
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    p.expect_symbol(&Sql::RParen)?;
    if expected.is_some_and(|n| n != cells.len()) {
        return Err(SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "VALUES lists must all be the same length",
        )
        .at(start));
    }
    Ok(cells)
}
