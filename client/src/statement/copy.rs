//! COPY … FROM 'file': the client reads the file and cuts it, as `trine load` does. CSV only.

use super::Statement;
use super::parser::Parser;
use crate::load::LoadOptions;
use sqlparser::tokenizer::Token as Sql;
use std::path::PathBuf;
use trine_proto::status::SqlError;

/// COPY FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The table.
    pub table: String,
    /// Position of its name.
    pub position: u32,
    /// Its columns in the order of the fields; none: all of them.
    pub columns: Option<Vec<String>>,
    /// The file, on this machine.
    pub file: PathBuf,
    /// How it is read.
    pub options: LoadOptions,
}

/// The whole statement.
pub(super) fn parse(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.expect_word("COPY")?;
    if p.peek() == Some(&Sql::LParen) {
        return Err(to_file(p));
    }
    let position = p.position();
    let table = p.name()?;
    let columns = if p.peek() == Some(&Sql::LParen) {
        Some(p.name_list()?.into_iter().map(|(name, _)| name).collect())
    } else {
        None
    };
    if p.words_follow(&["TO"]) {
        return Err(to_file(p));
    }
    p.expect_word("FROM")?;
    let at = p.position();
    let Some(file) = p.string().map(PathBuf::from) else {
        return Err(SqlError::unsupported(
            "COPY reads from a file only",
            "write COPY table FROM 'file.csv' WITH (FORMAT csv)",
        )
        .at(at));
    };
    let mut options = LoadOptions::default();
    let _ = p.word("WITH");
    let csv = if p.symbol(&Sql::LParen) {
        let csv = in_parentheses(p, &mut options)?;
        p.expect_symbol(&Sql::RParen)?;
        csv
    } else {
        words(p, &mut options)?
    };
    if p.peek().is_some() {
        return Err(p.unexpected("the options are FORMAT csv, HEADER, DELIMITER and NULL"));
    }
    if !csv {
        return Err(SqlError::unsupported(
            "COPY of another format than CSV is not supported",
            "write WITH (FORMAT csv), and HEADER if the first line names the columns",
        )
        .at(position));
    }
    Ok(Statement::Copy(Copy { table, position, columns, file, options }))
}

fn to_file(p: &Parser<'_>) -> SqlError {
    SqlError::unsupported(
        "COPY … TO is not supported",
        "write a SELECT, with \\o or `trine sql --format csv -o FILE`",
    )
    .at(p.position())
}

/// `(FORMAT csv, HEADER true, …)`; whether CSV is named.
fn in_parentheses(p: &mut Parser<'_>, options: &mut LoadOptions) -> Result<bool, SqlError> {
    let mut csv = false;
    loop {
        if p.word("FORMAT") {
            csv = p.word("CSV") || p.string().is_some_and(|s| s.eq_ignore_ascii_case("csv"));
            if !csv {
                return Ok(false);
            }
        } else {
            option(p, options)?;
        }
        if !p.symbol(&Sql::Comma) {
            return Ok(csv);
        }
    }
}

/// `CSV HEADER …`, as older versions wrote it.
fn words(p: &mut Parser<'_>, options: &mut LoadOptions) -> Result<bool, SqlError> {
    let mut csv = false;
    while p.peek().is_some() {
        if p.word("CSV") {
            csv = true;
        } else {
            option(p, options)?;
        }
    }
    Ok(csv)
}

fn option(p: &mut Parser<'_>, options: &mut LoadOptions) -> Result<(), SqlError> {
    if p.word("HEADER") {
        let off = p.word("FALSE") || p.word("OFF");
        let _ = !off && (p.word("TRUE") || p.word("ON"));
        options.skip_lines = u32::from(!off);
        return Ok(());
    }
    let delimiter = p.word("DELIMITER");
    if delimiter || p.word("NULL") {
        let _ = p.word("AS");
        let at = p.position();
        let text = p.string().ok_or_else(|| p.unexpected("a text in quotes is expected"))?;
        if !delimiter {
            options.null = text;
            return Ok(());
        }
        let [byte] = text.as_bytes() else {
            let message = "COPY delimiter must be a single one-byte character";
            return Err(SqlError::unsupported(message, "write DELIMITER ';'").at(at));
        };
        options.delimiter = *byte;
        return Ok(());
    }
    Err(p.unexpected("the options are FORMAT csv, HEADER, DELIMITER and NULL"))
}
