//! INSERT INTO … VALUES: literals only, because a literal is cut into shares here and the nodes
//! never see the statement.

use super::parser::Parser;
use crate::encode::{Cell, parse_date};
use sqlparser::tokenizer::Token as Sql;
use std::fmt;
use trine_proto::status::{SqlError, sqlstate};

/// Rows of literals for a table. The cells are data: [`fmt::Debug`] shows shapes only.
#[derive(Clone, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: String,
    /// Target columns with their 1-based positions in the text, if a list was written.
    pub columns: Option<Vec<(String, u32)>>,
    /// Rows of cells with the 1-based position of each; at least one row, all of one length.
    pub rows: Vec<Vec<(Cell, u32)>>,
    /// Position of the table's name.
    pub position: u32,
}

impl fmt::Debug for Insert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Insert({} rows into {})", self.rows.len(), self.table)
    }
}

/// The whole statement.
pub(super) fn parse(p: &mut Parser<'_>) -> Result<Insert, SqlError> {
    p.expect_word("INSERT")?;
    p.expect_word("INTO")?;
    let position = p.position();
    let table = p.name()?;
    let columns = if p.symbol(&Sql::LParen) { Some(column_list(p)?) } else { None };
    let source = p.position();
    if !p.word("VALUES") {
        let word = p.keyword_text();
        return Err(match word.as_str() {
            "SELECT" | "WITH" | "TABLE" | "(" => SqlError::unsupported(
                "INSERT … SELECT is not supported yet",
                "write the rows: INSERT INTO t VALUES (…), (…)",
            ),
            "DEFAULT" | "OVERRIDING" | "AS" => SqlError::unsupported(
                format!("INSERT … {word} is not supported"),
                "write INSERT INTO t VALUES (…), (…)",
            ),
            _ => p.unexpected("VALUES is expected"),
        }
        .at(source));
    }
    let mut rows = Vec::new();
    loop {
        rows.push(row(p, rows.first().map(Vec::len))?);
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    let after = p.position();
    if let Some(word) = ["ON", "RETURNING"].into_iter().find(|w| p.word(w)) {
        let message = format!("INSERT … {word} is not supported");
        return Err(SqlError::unsupported(message, "leave the clause out").at(after));
    }
    p.end()?;
    Ok(Insert { table, columns, rows, position })
}

fn column_list(p: &mut Parser<'_>) -> Result<Vec<(String, u32)>, SqlError> {
    let mut columns: Vec<(String, u32)> = Vec::new();
    loop {
        let position = p.position();
        let name = p.identifier()?;
        if columns.iter().any(|(n, _)| *n == name) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            )
            .at(position));
        }
        columns.push((name, position));
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    p.expect_symbol(&Sql::RParen)?;
    Ok(columns)
}

fn row(p: &mut Parser<'_>, expected: Option<usize>) -> Result<Vec<(Cell, u32)>, SqlError> {
    let start = p.position();
    p.expect_symbol(&Sql::LParen)?;
    let mut cells = Vec::with_capacity(expected.unwrap_or(8));
    loop {
        let position = p.position();
        cells.push((literal(p)?, position));
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    if !matches!(p.peek(), Some(Sql::RParen)) {
        return Err(if p.peek().is_none() {
            p.unexpected("\")\" is expected")
        } else {
            no_literal(p.position())
        });
    }
    p.advance();
    if expected.is_some_and(|n| n != cells.len()) {
        return Err(SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "VALUES lists must all be the same length",
        )
        .at(start));
    }
    Ok(cells)
}

fn no_literal(position: u32) -> SqlError {
    SqlError::unsupported(
        "only literals can stand in VALUES",
        "numbers, 'text', TRUE, FALSE, NULL and DATE '2024-12-31'; compute the value first",
    )
    .at(position)
}

fn literal(p: &mut Parser<'_>) -> Result<Cell, SqlError> {
    let position = p.position();
    for (word, cell) in [
        ("NULL", Cell::Null),
        // No column has a default, so that its default is NULL.
        ("DEFAULT", Cell::Null),
        ("TRUE", Cell::Bool(true)),
        ("FALSE", Cell::Bool(false)),
    ] {
        if p.word(word) {
            return Ok(cell);
        }
    }
    if p.word("DATE") {
        let Some(text) = string(p) else {
            return Err(p.unexpected("DATE is followed by 'YYYY-MM-DD'"));
        };
        let days = parse_date(text.as_bytes())
            .map_err(|e| SqlError::new(e.sqlstate, e.reason).at(position))?;
        return Ok(Cell::Date(days));
    }
    if let Some(text) = string(p) {
        return Ok(Cell::Text(text));
    }
    let negative = p.symbol(&Sql::Minus);
    let _ = !negative && p.symbol(&Sql::Plus);
    match p.peek() {
        Some(Sql::Number(digits, _)) => {
            p.advance();
            Ok(Cell::Number(if negative { format!("-{digits}") } else { digits.clone() }))
        }
        None => Err(p.unexpected("a literal is expected")),
        Some(Sql::Comma | Sql::RParen) => Err(p.unexpected("a literal is expected")),
        Some(_) => Err(no_literal(position)),
    }
}

fn string(p: &mut Parser<'_>) -> Option<String> {
    let text = match p.peek()? {
        Sql::SingleQuotedString(s)
        | Sql::EscapedStringLiteral(s)
        | Sql::UnicodeStringLiteral(s) => s.clone(),
        Sql::DollarQuotedString(s) => s.value.clone(),
        _ => return None,
    };
    p.advance();
    Some(text)
}
