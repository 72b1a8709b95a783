//! CREATE TABLE: PostgreSQL's column definitions plus `RANGE (low, high)`, `ENUM('a','b')` and
//! `PUBLIC`, which its grammar does not know.

use super::Statement;
use super::parser::Parser;
use crate::encode::{CellError, ColumnEncoder, Encoded};
use sqlparser::tokenizer::Token as Sql;
use trine_proto::schema::{
    Column, ColumnType, DECIMAL_DIGITS_MAX, Secrecy, TableSchema, VARCHAR_BYTES_MAX,
};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

/// Bytes of TEXT and of VARCHAR without a length.
const TEXT_BYTES: u32 = 64;

/// What follows CREATE TABLE.
pub(super) fn table(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    let if_not_exists = p.word("IF");
    if if_not_exists {
        p.expect_word("NOT")?;
        p.expect_word("EXISTS")?;
    }
    let name_position = p.position();
    let name = p.name()?;
    if p.word("AS") {
        return Err(SqlError::unsupported(
            "CREATE TABLE … AS is not supported yet",
            "create the table with its columns and load it",
        )
        .at(name_position));
    }
    p.expect_symbol(&Sql::LParen)?;
    let mut draft = Draft { columns: Vec::new(), key: None };
    loop {
        if !table_constraint(p, &mut draft)? {
            column(p, &mut draft)?;
        }
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    p.expect_symbol(&Sql::RParen)?;
    if p.word("WITH") || p.word("PARTITION") || p.word("TABLESPACE") || p.word("INHERITS") {
        return Err(SqlError::unsupported("storage options are not supported", "leave them out")
            .at(p.position()));
    }
    p.end()?;
    finish(name, draft, if_not_exists)
        .map_err(|e| if e.position == 0 { e.at(name_position) } else { e })
}

struct Draft {
    columns: Vec<Column>,
    /// Names of the primary key's columns and where it was declared.
    key: Option<(Vec<(String, u32)>, u32)>,
}

impl Draft {
    fn set_key(&mut self, columns: Vec<(String, u32)>, position: u32) -> Result<(), SqlError> {
        if self.key.is_some() {
            return Err(SqlError::new(
                sqlstate::INVALID_TABLE_DEFINITION,
                "a table has one primary key",
            )
            .hint("PRIMARY KEY (a, b) declares a key of two columns")
            .at(position));
        }
        self.key = Some((columns, position));
        Ok(())
    }
}

fn finish(name: String, draft: Draft, if_not_exists: bool) -> Result<Statement, SqlError> {
    let mut schema = TableSchema { name, columns: draft.columns, primary_key: Vec::new() };
    for (column, position) in draft.key.map(|(columns, _)| columns).unwrap_or_default() {
        let Some(k) = schema.position(&column) else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{column}\" named in key does not exist"),
            )
            .at(position));
        };
        if schema.primary_key.contains(&k) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{column}\" appears twice in the primary key"),
            )
            .at(position));
        }
        schema.columns[k].nullable = false;
        schema.primary_key.push(k);
    }
    // The contract's own checks, the same that every node makes.
    let schema = TableSchema::try_from(&wire::TableSchema::from(&schema))?;
    Ok(Statement::CreateTable { schema, if_not_exists })
}

fn table_constraint(p: &mut Parser<'_>, draft: &mut Draft) -> Result<bool, SqlError> {
    let position = p.position();
    if p.word("CONSTRAINT") {
        p.identifier()?;
    }
    if p.word("PRIMARY") {
        p.expect_word("KEY")?;
        p.expect_symbol(&Sql::LParen)?;
        let mut columns = Vec::new();
        loop {
            let at = p.position();
            columns.push((p.identifier()?, at));
            if !p.symbol(&Sql::Comma) {
                break;
            }
        }
        p.expect_symbol(&Sql::RParen)?;
        draft.set_key(columns, position)?;
        return Ok(true);
    }
    for word in ["UNIQUE", "CHECK", "FOREIGN", "EXCLUDE", "LIKE"] {
        let is_column = p.peek_second().is_some_and(|t| matches!(t, Sql::Word(_)))
            && !matches!(word, "FOREIGN" | "LIKE");
        let at = p.position();
        if !is_column && p.word(word) {
            return Err(unsupported_constraint(word, at));
        }
    }
    Ok(false)
}

fn unsupported_constraint(word: &str, position: u32) -> SqlError {
    let hint = match word {
        "UNIQUE" => "PRIMARY KEY is the unique constraint that is enforced",
        "CHECK" => "a declared range is enforced on input: INT RANGE (0, 9999)",
        "DEFAULT" => "write the value in every INSERT",
        _ => "leave the constraint out",
    };
    SqlError::unsupported(format!("{word} is not supported yet"), hint).at(position)
}

fn column(p: &mut Parser<'_>, draft: &mut Draft) -> Result<(), SqlError> {
    let position = p.position();
    let name = p.identifier()?;
    if draft.columns.iter().any(|c| c.name == name) {
        return Err(SqlError::new(
            sqlstate::DUPLICATE_COLUMN,
            format!("column \"{name}\" specified more than once"),
        )
        .at(position));
    }
    let ty = column_type(p)?;
    let mut column = Column { name, ty, nullable: true, secrecy: Secrecy::Secret, range: None };
    loop {
        let at = p.position();
        if p.word("NOT") {
            p.expect_word("NULL")?;
            column.nullable = false;
        } else if p.word("NULL") {
            column.nullable = true;
        } else if p.word("PRIMARY") {
            p.expect_word("KEY")?;
            draft.set_key(vec![(column.name.clone(), at)], at)?;
        } else if p.word("PUBLIC") {
            column.secrecy = Secrecy::Public;
        } else if p.word("SECRET") {
            column.secrecy = Secrecy::Secret;
        } else if p.word("RANGE") {
            column.range = Some(range(p, &column, at)?);
        } else if let Some(word) =
            ["UNIQUE", "CHECK", "DEFAULT", "REFERENCES", "COLLATE", "GENERATED", "CONSTRAINT"]
                .into_iter()
                .find(|w| p.word(w))
        {
            return Err(unsupported_constraint(word, at));
        } else {
            break;
        }
    }
    draft.columns.push(column);
    Ok(())
}

fn column_type(p: &mut Parser<'_>) -> Result<ColumnType, SqlError> {
    let position = p.position();
    let word = match p.peek() {
        Some(Sql::Word(w)) if w.quote_style.is_none() => w.value.to_uppercase(),
        _ => return Err(p.unexpected("the type of the column is expected")),
    };
    p.advance();
    let ty = match word.as_str() {
        "BOOLEAN" | "BOOL" => ColumnType::Boolean,
        "SMALLINT" | "INT2" => ColumnType::SmallInt,
        "INT" | "INTEGER" | "INT4" => ColumnType::Int,
        "BIGINT" | "INT8" => ColumnType::BigInt,
        "DATE" => ColumnType::Date,
        "DECIMAL" | "NUMERIC" | "DEC" => decimal(p, &word, position)?,
        "TEXT" | "STRING" => ColumnType::Varchar { bytes_max: TEXT_BYTES },
        "VARCHAR" => varchar(p, TEXT_BYTES)?,
        "CHAR" | "CHARACTER" => {
            let varying = p.word("VARYING");
            varchar(p, if varying { TEXT_BYTES } else { 1 })?
        }
        "ENUM" => enumeration(p)?,
        _ => return Err(unsupported_type(&word, position)),
    };
    if matches!(p.peek(), Some(Sql::LParen)) {
        return Err(p.unexpected(&format!("{word} takes no argument here")));
    }
    if matches!(p.peek(), Some(Sql::LBracket)) {
        return Err(SqlError::unsupported(
            "arrays are not supported",
            "use a table of their own for the elements",
        )
        .at(position));
    }
    Ok(ty)
}

fn unsupported_type(word: &str, position: u32) -> SqlError {
    let hint = match word {
        "REAL" | "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" => {
            "write DECIMAL(p,s): exact, up to 18 digits"
        }
        "TIMESTAMP" | "TIMESTAMPTZ" | "TIME" | "INTERVAL" => {
            "write DATE, or BIGINT for seconds since 1970"
        }
        "SERIAL" | "BIGSERIAL" => "write INT or BIGINT and give the values",
        "UUID" | "BYTEA" | "BLOB" | "JSON" | "JSONB" => "write VARCHAR(n)",
        "TINYINT" => "write SMALLINT",
        _ => {
            "the types are BOOLEAN, SMALLINT, INT, BIGINT, DECIMAL(p,s), DATE, VARCHAR(n), TEXT and \
             ENUM('a','b')"
        }
    };
    SqlError::unsupported(format!("type {word} is not supported"), hint).at(position)
}

/// A whole number from 0 on, in parentheses lists.
fn count(p: &mut Parser<'_>) -> Result<u32, SqlError> {
    if let Some(Sql::Number(digits, _)) = p.peek()
        && let Ok(n) = digits.parse::<u32>()
    {
        p.advance();
        return Ok(n);
    }
    Err(p.unexpected("a whole number is expected"))
}

fn decimal(p: &mut Parser<'_>, word: &str, position: u32) -> Result<ColumnType, SqlError> {
    if !p.symbol(&Sql::LParen) {
        return Err(SqlError::unsupported(
            format!("{word} without a number of digits is not supported"),
            format!("write {word}(p,s): p digits, s of them after the point, at most {DECIMAL_DIGITS_MAX}"),
        )
        .at(position));
    }
    let at = p.position();
    let precision = count(p)?;
    let scale = if p.symbol(&Sql::Comma) { count(p)? } else { 0 };
    p.expect_symbol(&Sql::RParen)?;
    let digits_max = u32::from(DECIMAL_DIGITS_MAX);
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..), Ok(scale))
            if u32::from(precision) <= digits_max && scale <= precision =>
        {
            Ok(ColumnType::Decimal { precision, scale })
        }
        _ => Err(SqlError::new(
            sqlstate::INVALID_TABLE_DEFINITION,
            format!(
                "{word} takes 1 to {DECIMAL_DIGITS_MAX} digits, and no more of them after the point"
            ),
        )
        .at(at)),
    }
}

fn varchar(p: &mut Parser<'_>, default: u32) -> Result<ColumnType, SqlError> {
    if !p.symbol(&Sql::LParen) {
        return Ok(ColumnType::Varchar { bytes_max: default });
    }
    let at = p.position();
    let bytes_max = count(p)?;
    p.expect_symbol(&Sql::RParen)?;
    if bytes_max == 0 || bytes_max > VARCHAR_BYTES_MAX {
        return Err(SqlError::new(
            sqlstate::INVALID_TABLE_DEFINITION,
            format!("VARCHAR takes 1 to {VARCHAR_BYTES_MAX} bytes"),
        )
        .at(at));
    }
    Ok(ColumnType::Varchar { bytes_max })
}

fn enumeration(p: &mut Parser<'_>) -> Result<ColumnType, SqlError> {
    p.expect_symbol(&Sql::LParen)?;
    let mut labels: Vec<String> = Vec::new();
    loop {
        let Some(Sql::SingleQuotedString(label)) = p.peek() else {
            return Err(p.unexpected("a label in single quotes is expected"));
        };
        if labels.contains(label) {
            return Err(SqlError::new(
                sqlstate::INVALID_TABLE_DEFINITION,
                format!("ENUM label '{label}' appears twice"),
            )
            .at(p.position()));
        }
        p.advance();
        labels.push(label.clone());
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    p.expect_symbol(&Sql::RParen)?;
    Ok(ColumnType::Enum { labels })
}

fn range(p: &mut Parser<'_>, column: &Column, at: u32) -> Result<(i64, i64), SqlError> {
    if !column.ty.is_numeric() && column.ty != ColumnType::Date {
        return Err(SqlError::new(
            sqlstate::INVALID_TABLE_DEFINITION,
            "RANGE goes with numbers and dates only",
        )
        .at(at));
    }
    let encoder = ColumnEncoder::new(column);
    p.expect_symbol(&Sql::LParen)?;
    let low = bound(p, &encoder)?;
    p.expect_symbol(&Sql::Comma)?;
    let high = bound(p, &encoder)?;
    p.expect_symbol(&Sql::RParen)?;
    if low > high {
        return Err(SqlError::new(
            sqlstate::INVALID_TABLE_DEFINITION,
            "the range ends before it begins",
        )
        .at(at));
    }
    Ok((low, high))
}

fn bound(p: &mut Parser<'_>, encoder: &ColumnEncoder) -> Result<i64, SqlError> {
    let position = p.position();
    let negative = p.symbol(&Sql::Minus);
    let _ = !negative && p.word("DATE");
    let text = match p.peek() {
        Some(Sql::Number(digits, _)) if negative => format!("-{digits}"),
        Some(Sql::Number(digits, _)) => digits.clone(),
        Some(Sql::SingleQuotedString(text)) if !negative => text.clone(),
        _ => return Err(p.unexpected("the end of a range is expected")),
    };
    p.advance();
    match encoder.text(text.as_bytes()) {
        Ok(Encoded::Integer(v)) => Ok(v),
        Ok(_) => Err(p.unexpected("the end of a range is expected")),
        Err(CellError { sqlstate, reason }) => Err(SqlError::new(sqlstate, reason).at(position)),
    }
}
