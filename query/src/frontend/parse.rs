//! Text to one checked syntax tree, with limits that keep every later recursion shallow.

use super::dialect::TrineDialect;
use super::position::Positions;
use sqlparser::ast::{
    AnalyzeFormat, AnalyzeFormatKind, Query, SetExpr, Statement as Ast, UtilityOption,
};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use trine_proto::status::{SqlError, sqlstate};

/// Bytes of a statement at most.
pub(crate) const SQL_BYTES_MAX: usize = 1 << 20;
/// Tokens of a statement at most (white space apart).
pub(crate) const TOKENS_MAX: usize = 50_000;
/// Nesting of parentheses and subqueries at most.
pub(crate) const NESTING_MAX: usize = 60;
/// SELECTs that UNION and its kin combine in one statement, at most.
pub(crate) const SET_OPERATIONS_MAX: usize = 200;

/// How a statement asks to be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explain {
    /// Not at all: run it.
    No,
    /// EXPLAIN: the plan and its predicted cost; nothing runs.
    Plan,
    /// EXPLAIN ANALYZE: run it, withhold the rows, show the counted cost.
    Analyze,
}

/// A parsed SELECT.
pub(crate) struct Parsed {
    pub(crate) explain: Explain,
    pub(crate) query: Box<Query>,
}

/// Parses exactly one SELECT (or EXPLAIN of one).
pub(crate) fn parse(sql: &str, positions: &Positions<'_>) -> Result<Parsed, SqlError> {
    unwrap_explain(parse_statement(sql, positions)?)
}

/// Parses exactly one statement.
pub(crate) fn parse_statement(sql: &str, positions: &Positions<'_>) -> Result<Ast, SqlError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(too_long("statement text", SQL_BYTES_MAX));
    }
    let dialect = TrineDialect::new();
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|e| {
        SqlError::new(sqlstate::SYNTAX_ERROR, e.message)
            .at(positions.character(e.location.line, e.location.column))
    })?;
    check_size(&tokens)?;
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(NESTING_MAX)
        .with_tokens_with_locations(tokens.clone());
    let mut statements =
        parser.parse_statements().map_err(|e| syntax_error(e, &tokens, positions))?;
    let Some(statement) = statements.pop() else {
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "the statement is empty"));
    };
    if !statements.is_empty() {
        return Err(SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "cannot run several statements in one text",
        )
        .hint("send one statement at a time"));
    }
    Ok(statement)
}

fn too_long(what: &str, limit: usize) -> SqlError {
    SqlError::new(sqlstate::LIMIT_EXCEEDED, format!("{what} exceeds the limit of {limit}"))
}

fn too_deep() -> SqlError {
    SqlError::new(
        sqlstate::LIMIT_EXCEEDED,
        format!("the statement is nested deeper than {NESTING_MAX} levels"),
    )
}

fn check_size(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut count = 0_usize;
    let mut sets = 0_usize;
    let mut open = 0_usize;
    // NOT NOT … and - - …
    let mut prefixes = 0_usize;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => open += 1,
            Token::RParen => open = open.saturating_sub(1),
            Token::Minus | Token::Plus | Token::Tilde => prefixes += 1,
            Token::Word(word) if word.quote_style.is_none() => {
                let upper = word.value.to_ascii_uppercase();
                match upper.as_str() {
                    "UNION" | "EXCEPT" | "INTERSECT" => sets += 1,
                    "CASE" => open += 1,
                    "END" => open = open.saturating_sub(1),
                    _ => {}
                }
                prefixes = if upper == "NOT" { prefixes + 1 } else { 0 };
            }
            _ => prefixes = 0,
        }
        if open > NESTING_MAX || prefixes > NESTING_MAX {
            return Err(too_deep());
        }
        count += 1;
    }
    if count > TOKENS_MAX {
        return Err(too_long("number of tokens in the statement", TOKENS_MAX));
    }
    if sets > SET_OPERATIONS_MAX {
        return Err(too_long("number of set operations in the statement", SET_OPERATIONS_MAX));
    }
    Ok(())
}

fn syntax_error(
    error: ParserError,
    tokens: &[TokenWithSpan],
    positions: &Positions<'_>,
) -> SqlError {
    let text = match error {
        ParserError::TokenizerError(s) | ParserError::ParserError(s) => s,
        ParserError::RecursionLimitExceeded => {
            return too_deep();
        }
    };
    let (message, place) = split_location(&text);
    let Some((line, column)) = place else {
        if message.contains("found: EOF") || message.contains("found EOF") {
            return SqlError::new(sqlstate::SYNTAX_ERROR, "syntax error at end of input")
                .at(positions.end());
        }
        return SqlError::new(sqlstate::SYNTAX_ERROR, lower_first(message));
    };
    let found = tokens
        .iter()
        .find(|t| t.span.start.line == line && t.span.start.column == column)
        .map(|t| t.token.to_string());
    let message = match found {
        Some(token) if message.starts_with("Expected") => {
            format!("syntax error at or near \"{token}\" ({})", lower_first(&expected(message)))
        }
        _ => lower_first(message),
    };
    SqlError::new(sqlstate::SYNTAX_ERROR, message).at(positions.character(line, column))
}

/// "Expected: X, found: Y" → "expected X".
fn expected(message: &str) -> String {
    let head = message.split(", found").next().unwrap_or(message);
    head.replacen("Expected: ", "expected ", 1)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !text.get(1..2).is_some_and(|c| c.chars().all(char::is_uppercase)) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// The parser puts " at Line: L, Column: C" at the end of its sentence.
fn split_location(text: &str) -> (&str, Option<(u64, u64)>) {
    let Some(at) = text.rfind(" at Line: ") else { return (text, None) };
    let numbers: Vec<u64> = text[at..]
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect();
    match numbers.as_slice() {
        [line, column] => (&text[..at], Some((*line, *column))),
        _ => (text, None),
    }
}

/// The statement that an EXPLAIN is about, if that writes.
///
/// # Errors
/// A syntax error; 0A000 for EXPLAIN ANALYZE, which would write.
pub(crate) fn explained_write(
    sql: &str,
    positions: &Positions<'_>,
) -> Result<Option<Ast>, SqlError> {
    let first = sql.split_whitespace().next().unwrap_or_default();
    if !first.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("EXPLAIN")) {
        return Ok(None);
    }
    let Ast::Explain { analyze, statement, format, options, estimate, query_plan, .. } =
        parse_statement(sql, positions)?
    else {
        return Ok(None);
    };
    if !matches!(*statement, Ast::Insert(_) | Ast::Update(_) | Ast::Delete(_)) {
        return Ok(None);
    }
    let analyze = analyze || analyze_option(options.as_deref().unwrap_or(&[]))?;
    if analyze || estimate || query_plan || !text_format(format.as_ref()) {
        return Err(SqlError::unsupported(
            "a statement that writes can be explained, but not run by EXPLAIN",
            "write EXPLAIN without ANALYZE: what it shows is what is counted, but for the sorts",
        ));
    }
    Ok(Some(*statement))
}

fn unwrap_explain(statement: Ast) -> Result<Parsed, SqlError> {
    match statement {
        Ast::Query(query) => {
            refuse_writes(&query)?;
            Ok(Parsed { explain: Explain::No, query })
        }
        Ast::Explain { analyze, statement, format, options, estimate, query_plan, .. } => {
            if estimate || query_plan || !text_format(format.as_ref()) {
                return Err(SqlError::unsupported(
                    "only EXPLAIN and EXPLAIN ANALYZE in text form are supported",
                    "write EXPLAIN SELECT … or EXPLAIN ANALYZE SELECT …",
                ));
            }
            let analyze = analyze || analyze_option(options.as_deref().unwrap_or(&[]))?;
            let Ast::Query(query) = *statement else {
                return Err(SqlError::unsupported(
                    "EXPLAIN works on SELECT, INSERT … SELECT, UPDATE and DELETE only",
                    "write EXPLAIN SELECT …",
                ));
            };
            refuse_writes(&query)?;
            let explain = if analyze { Explain::Analyze } else { Explain::Plan };
            Ok(Parsed { explain, query })
        }
        other => {
            let text = other.to_string();
            let verb = text.split_whitespace().next().unwrap_or("this statement").to_uppercase();
            Err(SqlError::unsupported(
                format!("{verb} is not a query"),
                "the client cuts this statement: send it with the trine client, not as a query",
            ))
        }
    }
}

fn text_format(format: Option<&AnalyzeFormatKind>) -> bool {
    matches!(
        format,
        None | Some(
            AnalyzeFormatKind::Keyword(AnalyzeFormat::TEXT)
                | AnalyzeFormatKind::Assignment(AnalyzeFormat::TEXT)
        )
    )
}

/// EXPLAIN (ANALYZE, FORMAT TEXT).
fn analyze_option(options: &[UtilityOption]) -> Result<bool, SqlError> {
    let mut analyze = false;
    for option in options {
        let argument = option.arg.as_ref().map(|a| a.to_string().to_ascii_lowercase());
        match (option.name.value.to_ascii_lowercase().as_str(), argument.as_deref()) {
            ("analyze" | "analyse", None | Some("true" | "on" | "1")) => analyze = true,
            ("analyze" | "analyse", Some("false" | "off" | "0")) => analyze = false,
            ("format", Some("text")) => {}
            (name, _) => {
                return Err(SqlError::unsupported(
                    format!("EXPLAIN option {} is not supported", name.to_uppercase()),
                    "the options are ANALYZE and FORMAT TEXT",
                ));
            }
        }
    }
    Ok(analyze)
}

/// `WITH x AS (…) INSERT …` parses as a query.
fn refuse_writes(query: &Query) -> Result<(), SqlError> {
    match query.body.as_ref() {
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Err(SqlError::unsupported(
                "a data-modifying statement is not a query",
                "the client cuts this statement: send it with the trine client, not as a query",
            ))
        }
        _ => Ok(()),
    }
}
