//! CREATE [UNIQUE] INDEX, DROP INDEX, REINDEX.

use super::Statement;
use super::parser::Parser;
use sqlparser::tokenizer::Token as Sql;
use trine_proto::status::SqlError;
use trine_proto::wire;

/// What follows CREATE [UNIQUE] INDEX.
pub(super) fn create(p: &mut Parser<'_>, unique: bool) -> Result<Statement, SqlError> {
    let _ = p.word("CONCURRENTLY");
    let if_not_exists = p.if_not_exists();
    let name = if p.words_follow(&["ON"]) { String::new() } else { p.name()? };
    p.expect_word("ON")?;
    let _ = p.word("ONLY");
    let table = p.name()?;
    if p.word("USING") {
        p.identifier()?;
    }
    p.expect_symbol(&Sql::LParen)?;
    let mut columns = Vec::new();
    loop {
        columns.push(column(p)?);
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    p.expect_symbol(&Sql::RParen)?;
    let at = p.position();
    if p.word("WHERE") {
        return Err(SqlError::unsupported(
            "an index over some of the rows is not supported",
            "leave WHERE out",
        )
        .at(at));
    }
    p.end()?;
    Ok(Statement::CreateIndex(wire::CreateIndex { name, table, columns, unique, if_not_exists }))
}

/// A column; its order means nothing.
fn column(p: &mut Parser<'_>) -> Result<String, SqlError> {
    let at = p.position();
    let expression = || {
        SqlError::unsupported("an index over an expression is not supported", "name columns").at(at)
    };
    if p.peek() == Some(&Sql::LParen) {
        return Err(expression());
    }
    let name = p.identifier()?;
    if p.peek() == Some(&Sql::LParen) {
        return Err(expression());
    }
    if p.word("COLLATE") {
        p.identifier()?;
    }
    let _ = p.word("ASC") || p.word("DESC");
    if p.word("NULLS") && !p.word("FIRST") {
        p.expect_word("LAST")?;
    }
    Ok(name)
}

/// What follows DROP INDEX.
pub(super) fn drop_index(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    let _ = p.word("CONCURRENTLY");
    let if_exists = p.if_exists();
    let name = p.name()?;
    p.cascade();
    p.refuse_list("DROP INDEX")?;
    p.end()?;
    Ok(Statement::DropIndex(wire::DropIndex { name, if_exists }))
}
