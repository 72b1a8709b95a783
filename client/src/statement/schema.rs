//! CREATE SCHEMA, DROP SCHEMA.

use super::Statement;
use super::parser::Parser;
use trine_proto::status::SqlError;
use trine_proto::wire;

/// What follows CREATE SCHEMA.
pub(super) fn create(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    let if_not_exists = p.if_not_exists();
    let name = p.identifier()?;
    if p.peek().is_some() {
        return Err(SqlError::unsupported(
            "AUTHORIZATION and statements inside CREATE SCHEMA are not supported",
            "a schema belongs to who creates it; write CREATE TABLE schema.table afterwards",
        )
        .at(p.position()));
    }
    Ok(Statement::CreateSchema(wire::CreateSchema { name, if_not_exists }))
}

/// What follows DROP SCHEMA.
pub(super) fn drop_schema(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    let if_exists = p.if_exists();
    let name = p.identifier()?;
    let cascade = p.cascade();
    p.refuse_list("DROP SCHEMA")?;
    p.end()?;
    Ok(Statement::DropSchema(wire::DropSchema { name, if_exists, cascade }))
}
