//! CREATE TABLE: PostgreSQL's column definitions plus `RANGE (low, high)`, `ENUM('a','b')` and
//! `PUBLIC`, which its grammar does not know. Defaults are computed here; conditions of CHECK go on as
//! text, the nodes evaluate them under MPC.

use super::Statement;
use super::constant::{constant, literal_text};
use super::parser::Parser;
use crate::encode::{CellError, ColumnEncoder, Encoded};
use sqlparser::tokenizer::Token as Sql;
use trine_proto::schema::{
    Column, ColumnType, DECIMAL_DIGITS_MAX, DOUBLE_FRACTION_BITS, DOUBLE_FRACTION_BITS_MAX,
    DOUBLE_FRACTION_BITS_MIN, Secrecy, TableSchema, VARCHAR_BYTES_MAX,
};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

/// Bytes of TEXT and of VARCHAR without a length.
const TEXT_BYTES: u32 = 64;

/// What follows CREATE TABLE.
pub(super) fn table(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    let if_not_exists = p.if_not_exists();
    let name_position = p.position();
    let name = p.name()?;
    if let Some(query) = as_query(p, &name, if_not_exists)? {
        return Ok(query);
    }
    p.expect_symbol(&Sql::LParen)?;
    let mut draft = Draft::default();
    loop {
        if !table_constraint(p, &mut draft)? {
            column(p, &mut draft)?;
        }
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    p.expect_symbol(&Sql::RParen)?;
    // What is done anyhow.
    let _ = p.words(&["ON", "COMMIT", "PRESERVE", "ROWS"]);
    if p.words_follow(&["ON", "COMMIT"]) {
        return Err(SqlError::unsupported(
            "ON COMMIT DROP and ON COMMIT DELETE ROWS are not supported",
            "a temporary table stays until the session ends: DROP it where it is needed no longer",
        )
        .at(p.position()));
    }
    if p.word("WITH") || p.word("PARTITION") || p.word("TABLESPACE") || p.word("INHERITS") {
        return Err(SqlError::unsupported("storage options are not supported", "leave them out")
            .at(p.position()));
    }
    p.end()?;
    finish(name, draft, if_not_exists)
        .map_err(|e| if e.position == 0 { e.at(name_position) } else { e })
}

/// `[(names)] AS SELECT …`, if that is what follows.
fn as_query(
    p: &mut Parser<'_>,
    name: &str,
    if_not_exists: bool,
) -> Result<Option<Statement>, SqlError> {
    let mut ahead = p.clone();
    let columns = match ahead.peek() {
        Some(Sql::LParen) => ahead.name_list().ok(),
        _ => Some(Vec::new()),
    };
    let Some(columns) = columns.filter(|_| ahead.word("AS")) else { return Ok(None) };
    *p = ahead;
    let (offset, text) = (p.position() - 1, p.rest());
    // WITH DATA is what is done anyhow.
    let sql = text.strip_suffix("WITH DATA").unwrap_or(text).trim_end();
    let first = sql.trim_start_matches('(').split_whitespace().next().unwrap_or_default();
    if !["SELECT", "WITH", "VALUES"].iter().any(|w| first.eq_ignore_ascii_case(w)) {
        let error = SqlError::new(sqlstate::SYNTAX_ERROR, "CREATE TABLE … AS takes a SELECT");
        return Err(error.at(offset + 1));
    }
    let columns = columns.into_iter().map(|(name, _)| name).collect();
    let (table, sql) = (name.to_owned(), sql.to_owned());
    Ok(Some(Statement::CreateTableAs { table, columns, sql, offset, if_not_exists }))
}

/// Columns of a constraint with the positions of their names.
pub(super) type Names = Vec<(String, u32)>;

/// What a REFERENCES goes to: table, columns (none: its primary key).
pub(super) type Target = (String, Vec<String>);

/// Aggregates by the names that PostgreSQL knows them by.
const AGGREGATES: [&str; 14] = [
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "BOOL_AND",
    "BOOL_OR",
    "EVERY",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
];

/// The condition of a CHECK: of one row, and of no parameters.
fn condition(p: &mut Parser<'_>) -> Result<String, SqlError> {
    let mut ahead = p.clone();
    let text = p.parenthesised()?.to_owned();
    while ahead.position() < p.position() && ahead.peek().is_some() {
        let at = ahead.position();
        let name = ahead.keyword_text();
        if AGGREGATES.contains(&name.as_str()) && ahead.peek_second() == Some(&Sql::LParen) {
            return Err(SqlError::new(
                sqlstate::GROUPING_ERROR,
                "aggregate functions are not allowed in check constraints",
            )
            .at(at));
        }
        if name == "SELECT" {
            return Err(SqlError::unsupported(
                "cannot use subquery in check constraint",
                "REFERENCES looks at another table",
            )
            .at(at));
        }
        if let Some(Sql::Placeholder(name)) = ahead.peek() {
            let message = format!("there is no parameter {name}");
            return Err(SqlError::new(sqlstate::UNDEFINED_PARAMETER, message).at(at));
        }
        ahead.advance();
    }
    Ok(text)
}

/// What is read of a table's definition.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) columns: Vec<Column>,
    /// Names of the primary key's columns and where it was declared.
    pub(super) key: Option<(Names, u32)>,
    /// By column: the value, as SQL text.
    pub(super) defaults: Vec<(usize, String)>,
    /// The same values.
    pub(super) cells: Vec<crate::encode::Cell>,
    /// Name (may be empty), condition.
    pub(super) checks: Vec<(String, String)>,
    /// Name (may be empty), columns.
    pub(super) uniques: Vec<(String, Names)>,
    /// Name (may be empty), columns, target.
    pub(super) references: Vec<(String, Names, Target)>,
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

fn finish(name: String, mut draft: Draft, if_not_exists: bool) -> Result<Statement, SqlError> {
    let mut schema =
        TableSchema { name, columns: std::mem::take(&mut draft.columns), primary_key: Vec::new() };
    if let Some((columns, _)) = draft.key.take() {
        schema.primary_key = positions(&schema, &columns, "the primary key")?;
        for k in schema.primary_key.clone() {
            schema.columns[k].nullable = false;
        }
    }
    // The contract's own checks, the same that every node makes.
    let schema = TableSchema::try_from(&wire::TableSchema::from(&schema))?;
    let rules = rules(&schema, draft)?;
    Ok(Statement::CreateTable { schema, rules, if_not_exists })
}

/// Positions of named columns, each once.
fn positions(schema: &TableSchema, names: &Names, what: &str) -> Result<Vec<usize>, SqlError> {
    let mut out = Vec::with_capacity(names.len());
    for (column, position) in names {
        let Some(k) = schema.position(column) else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{column}\" named in key does not exist"),
            )
            .at(*position));
        };
        if out.contains(&k) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{column}\" appears twice in {what}"),
            )
            .at(*position));
        }
        out.push(k);
    }
    Ok(out)
}

fn rules(schema: &TableSchema, draft: Draft) -> Result<wire::TableRules, SqlError> {
    let number = |k: usize| u32::try_from(k).unwrap_or(u32::MAX);
    let numbers = |names: &Names, what: &str| {
        positions(schema, names, what).map(|k| k.into_iter().map(number).collect::<Vec<u32>>())
    };
    let table = &schema.name;
    let mut rules = wire::TableRules::default();
    for (column, sql) in draft.defaults {
        rules.defaults.push(wire::DefaultRule { column: number(column), sql });
    }
    for (index, (name, sql)) in draft.checks.into_iter().enumerate() {
        let made =
            if index == 0 { format!("{table}_check") } else { format!("{table}_check{index}") };
        let name = if name.is_empty() { made } else { name };
        rules.checks.push(wire::CheckRule { name, sql });
    }
    for (name, columns) in draft.uniques {
        let columns = numbers(&columns, "the unique constraint")?;
        let same = |k: &[u32]| k.len() == columns.len() && columns.iter().all(|c| k.contains(c));
        let key: Vec<u32> = schema.primary_key.iter().copied().map(number).collect();
        // What is unique already needs no second check.
        if same(&key) || rules.indexes.iter().any(|i| same(&i.columns)) {
            continue;
        }
        rules.indexes.push(wire::IndexRule { name, columns, unique: true, constraint: true });
    }
    for (index, (name, columns, (target, targets))) in draft.references.into_iter().enumerate() {
        let made =
            if index == 0 { format!("{table}_fkey") } else { format!("{table}_fkey{index}") };
        let name = if name.is_empty() { made } else { name };
        let columns = numbers(&columns, "the foreign key")?;
        rules.references.push(wire::ReferenceRule { name, columns, table: target, targets });
    }
    Ok(rules)
}

pub(super) fn table_constraint(p: &mut Parser<'_>, draft: &mut Draft) -> Result<bool, SqlError> {
    let position = p.position();
    let named = p.word("CONSTRAINT");
    let name = if named { p.identifier()? } else { String::new() };
    if p.word("PRIMARY") {
        p.expect_word("KEY")?;
        let columns = p.name_list()?;
        draft.set_key(columns, position)?;
        return Ok(true);
    }
    if p.words_follow(&["FOREIGN", "KEY"]) {
        p.words(&["FOREIGN", "KEY"]);
        let columns = p.name_list()?;
        p.expect_word("REFERENCES")?;
        let target = references(p)?;
        draft.references.push((name, columns, target));
        return Ok(true);
    }
    // Without CONSTRAINT in front these words may begin a column's name.
    let list_follows = p.peek_second() == Some(&Sql::LParen);
    if list_follows && p.word("UNIQUE") {
        draft.uniques.push((name, p.name_list()?));
        return Ok(true);
    }
    if list_follows && p.word("CHECK") {
        draft.checks.push((name, condition(p)?));
        return Ok(true);
    }
    for word in ["EXCLUDE", "LIKE"] {
        let at = p.position();
        let is_column = !named && p.peek_second().is_some_and(|t| matches!(t, Sql::Word(_)));
        if (word == "LIKE" || !is_column) && p.word(word) {
            return Err(unsupported_constraint(word, at));
        }
    }
    if named { Err(p.unexpected("a constraint is expected")) } else { Ok(false) }
}

/// Table and columns after REFERENCES, and what may follow them.
fn references(p: &mut Parser<'_>) -> Result<Target, SqlError> {
    let table = p.name()?;
    let columns = if p.peek() == Some(&Sql::LParen) {
        p.name_list()?.into_iter().map(|(name, _)| name).collect()
    } else {
        Vec::new()
    };
    loop {
        let at = p.position();
        if p.word("ON") {
            if !p.word("DELETE") {
                p.expect_word("UPDATE")?;
            }
            if !p.word("RESTRICT") && !p.words(&["NO", "ACTION"]) {
                return Err(SqlError::unsupported(
                    format!("ON DELETE and ON UPDATE {} are not supported", p.keyword_text()),
                    "write NO ACTION or leave it out: what is referred to stays",
                )
                .at(at));
            }
        } else if p.word("MATCH") {
            if !p.word("SIMPLE") {
                return Err(
                    SqlError::unsupported("MATCH FULL is not supported", "leave it out").at(at)
                );
            }
        } else if !p.words(&["NOT", "DEFERRABLE"]) && !p.words(&["INITIALLY", "IMMEDIATE"]) {
            return Ok((table, columns));
        }
    }
}

fn unsupported_constraint(word: &str, position: u32) -> SqlError {
    let hint = match word {
        "GENERATED" => "write the value in every INSERT",
        _ => "leave the constraint out",
    };
    SqlError::unsupported(format!("{word} is not supported yet"), hint).at(position)
}

pub(super) fn column(p: &mut Parser<'_>, draft: &mut Draft) -> Result<(), SqlError> {
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
    let mut constraint_name = String::new();
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
            column.range = Some(range(p, &mut column, at)?);
        } else if p.word("DEFAULT") {
            let cell = constant(p)?;
            let encoder = ColumnEncoder::new(&Column { nullable: true, ..column.clone() });
            encoder.cell(&cell).map_err(|e| e.of_column(&column.name).at(at))?;
            draft.defaults.push((draft.columns.len(), literal_text(&cell)));
            draft.cells.push(cell);
        } else if p.word("CONSTRAINT") {
            constraint_name = p.identifier()?;
            continue;
        } else if p.word("UNIQUE") {
            let columns = vec![(column.name.clone(), at)];
            draft.uniques.push((std::mem::take(&mut constraint_name), columns));
        } else if p.word("CHECK") {
            draft.checks.push((std::mem::take(&mut constraint_name), condition(p)?));
        } else if p.word("REFERENCES") {
            let columns = vec![(column.name.clone(), at)];
            let target = references(p)?;
            draft.references.push((std::mem::take(&mut constraint_name), columns, target));
        } else if let Some(word) = ["COLLATE", "GENERATED"].into_iter().find(|w| p.word(w)) {
            return Err(unsupported_constraint(word, at));
        } else {
            break;
        }
    }
    draft.columns.push(column);
    Ok(())
}

pub(super) fn column_type(p: &mut Parser<'_>) -> Result<ColumnType, SqlError> {
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
        "TIMESTAMP" => timestamp(p, position)?,
        "REAL" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "FLOAT" => {
            if word == "DOUBLE" {
                let _ = p.word("PRECISION");
            }
            if word == "FLOAT" && p.symbol(&Sql::LParen) {
                float_digits(p)?;
            }
            ColumnType::Double { fraction_bits: DOUBLE_FRACTION_BITS }
        }
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
        "TIMESTAMPTZ" => "write TIMESTAMP, in a time zone of your choice",
        "TIME" | "INTERVAL" => "write TIMESTAMP, or BIGINT for a number of seconds",
        "SERIAL" | "BIGSERIAL" => "write INT or BIGINT and give the values",
        "UUID" | "BYTEA" | "BLOB" | "JSON" | "JSONB" => "write VARCHAR(n)",
        "TINYINT" => "write SMALLINT",
        _ => {
            "the types are BOOLEAN, SMALLINT, INT, BIGINT, DECIMAL(p,s), DOUBLE PRECISION, DATE, \
             TIMESTAMP, VARCHAR(n), TEXT and ENUM('a','b')"
        }
    };
    SqlError::unsupported(format!("type {word} is not supported"), hint).at(position)
}

/// TIMESTAMP [(6)] [WITHOUT TIME ZONE].
fn timestamp(p: &mut Parser<'_>, position: u32) -> Result<ColumnType, SqlError> {
    if p.symbol(&Sql::LParen) {
        let at = p.position();
        if count(p)? != 6 {
            return Err(SqlError::unsupported(
                "TIMESTAMP has six digits after the point of its seconds",
                "leave the number out",
            )
            .at(at));
        }
        p.expect_symbol(&Sql::RParen)?;
    }
    if p.words(&["WITH", "TIME", "ZONE"]) {
        return Err(unsupported_type("TIMESTAMPTZ", position));
    }
    let _ = p.words(&["WITHOUT", "TIME", "ZONE"]);
    Ok(ColumnType::Timestamp)
}

/// The binary digits of FLOAT(n): checked, and of no influence on the steps.
fn float_digits(p: &mut Parser<'_>) -> Result<(), SqlError> {
    let at = p.position();
    let digits = count(p)?;
    p.expect_symbol(&Sql::RParen)?;
    if (1..=53).contains(&digits) {
        return Ok(());
    }
    let message = "FLOAT takes 1 to 53 binary digits";
    Err(SqlError::new(sqlstate::INVALID_TABLE_DEFINITION, message).at(at))
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

fn range(p: &mut Parser<'_>, column: &mut Column, at: u32) -> Result<(i64, i64), SqlError> {
    if !column.ty.is_numeric() && !column.ty.is_time() {
        return Err(SqlError::new(
            sqlstate::INVALID_TABLE_DEFINITION,
            "RANGE goes with numbers and dates only",
        )
        .at(at));
    }
    p.expect_symbol(&Sql::LParen)?;
    let low = end(p)?;
    p.expect_symbol(&Sql::Comma)?;
    let high = end(p)?;
    p.expect_symbol(&Sql::RParen)?;
    if let ColumnType::Double { fraction_bits } = &mut column.ty {
        *fraction_bits = steps_within(&low.0, &high.0);
    }
    let encoder = ColumnEncoder::new(column);
    let (low, high) = (bound(p, &encoder, low)?, bound(p, &encoder, high)?);
    if low > high {
        return Err(SqlError::new(
            sqlstate::INVALID_TABLE_DEFINITION,
            "the range ends before it begins",
        )
        .at(at));
    }
    Ok((low, high))
}

/// An end of a range as it is written, and where.
fn end(p: &mut Parser<'_>) -> Result<(String, u32), SqlError> {
    let position = p.position();
    let negative = p.symbol(&Sql::Minus);
    let _ = !negative && (p.word("DATE") || p.word("TIMESTAMP"));
    let text = match p.peek() {
        Some(Sql::Number(digits, _)) if negative => format!("-{digits}"),
        Some(Sql::Number(digits, _)) => digits.clone(),
        Some(Sql::SingleQuotedString(text)) if !negative => text.clone(),
        _ => return Err(p.unexpected("the end of a range is expected")),
    };
    p.advance();
    Ok((text, position))
}

/// Binary digits after the point of a DOUBLE between these: as many as 62 bits have room for.
fn steps_within(low: &str, high: &str) -> u8 {
    let size = [low, high]
        .iter()
        .filter_map(|end| end.trim().parse::<f64>().ok())
        .fold(1.0_f64, |most, end| most.max(end.abs()));
    (DOUBLE_FRACTION_BITS_MIN..DOUBLE_FRACTION_BITS_MAX)
        .rev()
        .find(|bits| size * 2_f64.powi(i32::from(*bits) + 1) < 2_f64.powi(62))
        .map_or(DOUBLE_FRACTION_BITS_MIN, |bits| bits + 1)
}

fn bound(
    p: &Parser<'_>,
    encoder: &ColumnEncoder,
    (text, position): (String, u32),
) -> Result<i64, SqlError> {
    match encoder.text(text.as_bytes()) {
        Ok(Encoded::Integer(v)) => Ok(v),
        Ok(_) => Err(p.unexpected("the end of a range is expected")),
        Err(CellError { sqlstate, reason }) => Err(SqlError::new(sqlstate, reason).at(position)),
    }
}
