//! Plain DataFusion over tables in memory: what the answers must be. It takes Trine's CREATE TABLE
//! by mapping our types to plain ones, and ignores what has no meaning in the clear (GRANT, indexes).
//! Declared ranges, dictionaries and keys are not enforced here.

use crate::engine::EngineError;
use crate::value::{Output, Value};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{self as types, DataType};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DataFusionError;
use datafusion::execution::options::CsvReadOptions;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::DFParser;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::path::Path;
use trine_proto::status::sqlstate;

/// A database in the clear.
pub struct Oracle {
    context: SessionContext,
}

impl Oracle {
    /// An empty database; one partition, so that answers do not depend on the machine.
    #[must_use]
    pub fn new() -> Self {
        let mut config = SessionConfig::new().with_target_partitions(1);
        let sql = &mut config.options_mut().sql_parser;
        sql.parse_float_as_decimal = true;
        Self { context: SessionContext::new_with_config(config) }
    }

    /// Runs the statements of a text; the answer is that of the last one.
    ///
    /// # Errors
    /// The first statement that fails.
    pub async fn run(&self, sql: &str) -> Result<Output, EngineError> {
        let mut output = Output::done(None);
        for statement in split(sql)? {
            output = self.run_one(&statement).await?;
        }
        Ok(output)
    }

    async fn run_one(&self, statement: &[Token]) -> Result<Output, EngineError> {
        let words: Vec<String> = statement
            .iter()
            .filter(|t| !matches!(t, Token::Whitespace(_)))
            .take(2)
            .map(|t| t.to_string().to_lowercase())
            .collect();
        let sql = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["grant" | "revoke" | "reindex", ..] | ["create" | "drop", "index" | "unique"] => {
                return Ok(Output::done(None));
            }
            ["create", "table"] => plain_table(statement),
            _ => text(statement),
        };
        let dialect = PostgreSqlDialect {};
        let parsed = DFParser::parse_sql_with_dialect(&sql, &dialect).map_err(error)?;
        let mut output = Output::done(None);
        for statement in parsed {
            let plan = self.context.state().statement_to_plan(statement).await.map_err(error)?;
            let frame = self.context.execute_logical_plan(plan).await.map_err(error)?;
            let fields = frame.schema().fields().clone();
            let columns: Vec<String> = fields.iter().map(|f| f.name().clone()).collect();
            let batches = frame.collect().await.map_err(error)?;
            output = answer(&words, columns, &batches)?;
        }
        Ok(output)
    }

    /// Appends the rows of a CSV file with a header to a table, under the table's types.
    ///
    /// # Errors
    /// No such table or file, or a cell that does not fit.
    pub async fn load_csv(&self, table: &str, path: &Path) -> Result<u64, EngineError> {
        let provider = self.context.table_provider(table).await.map_err(error)?;
        let schema = provider.schema();
        let options = CsvReadOptions::new().has_header(true).schema(&schema);
        let path = path.display().to_string();
        let rows = self.context.read_csv(path, options).await.map_err(error)?;
        let staged = format!("__csv_{table}");
        self.context.register_table(&staged, rows.into_view()).map_err(error)?;
        let done = self.run(&format!("INSERT INTO {table} SELECT * FROM {staged}")).await?;
        self.context.deregister_table(&staged).map_err(error)?;
        Ok(done.affected.unwrap_or(0))
    }
}

impl Default for Oracle {
    fn default() -> Self {
        Self::new()
    }
}

fn error(e: DataFusionError) -> EngineError {
    use DataFusionError as E;
    let message = e.strip_backtrace();
    let state = match e.find_root() {
        E::SQL(..) => sqlstate::SYNTAX_ERROR,
        E::NotImplemented(_) => sqlstate::FEATURE_NOT_SUPPORTED,
        E::SchemaError(..) => sqlstate::UNDEFINED_COLUMN,
        E::Execution(text) if text.contains("already exists") => sqlstate::DUPLICATE_TABLE,
        E::Execution(text) if text.contains("doesn't exist") => sqlstate::UNDEFINED_TABLE,
        E::Plan(text) if text.contains("not found") => sqlstate::UNDEFINED_TABLE,
        E::Plan(_) | E::Diagnostic(..) => sqlstate::DATATYPE_MISMATCH,
        E::Execution(_) | E::ArrowError(..) => sqlstate::INVALID_TEXT,
        _ => sqlstate::INTERNAL_ERROR,
    };
    EngineError::new(state, message)
}

/// The statements of a text as tokens, without their semicolons.
fn split(sql: &str) -> Result<Vec<Vec<Token>>, EngineError> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .with_unescape(false)
        .tokenize()
        .map_err(|e| EngineError::new(sqlstate::SYNTAX_ERROR, e.to_string()))?;
    let statements = tokens.split(|t| *t == Token::SemiColon).map(<[Token]>::to_vec);
    Ok(statements.filter(|s| s.iter().any(|t| !matches!(t, Token::Whitespace(_)))).collect())
}

fn text(tokens: &[Token]) -> String {
    tokens.iter().map(ToString::to_string).collect()
}

/// CREATE TABLE without PUBLIC and RANGE (…), with VARCHAR for ENUM (…).
fn plain_table(tokens: &[Token]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let word = match token {
            Token::Word(w) if w.quote_style.is_none() => w.value.to_lowercase(),
            _ => String::new(),
        };
        match word.as_str() {
            "public" => {}
            "enum" | "range" if followed_by_list(tokens, at) => {
                at = end_of_list(tokens, at);
                if word == "enum" {
                    out.push_str("VARCHAR");
                }
            }
            _ => out.push_str(&token.to_string()),
        }
        at += 1;
    }
    out
}

fn followed_by_list(tokens: &[Token], at: usize) -> bool {
    let next = tokens[at + 1..].iter().find(|t| !matches!(t, Token::Whitespace(_)));
    next == Some(&Token::LParen)
}

fn end_of_list(tokens: &[Token], at: usize) -> usize {
    let length = tokens[at..].iter().position(|t| *t == Token::RParen);
    length.map_or(tokens.len(), |n| at + n)
}

fn answer(
    words: &[String],
    columns: Vec<String>,
    batches: &[RecordBatch],
) -> Result<Output, EngineError> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values: Result<Vec<Value>, EngineError> =
                batch.columns().iter().map(|c| value(c, row)).collect();
            rows.push(values?);
        }
    }
    match words.first().map(String::as_str) {
        Some("insert" | "delete" | "update") => {
            let count = rows.first().and_then(|r| r.first()).and_then(|v| match v {
                Value::Integer(n) => u64::try_from(*n).ok(),
                _ => None,
            });
            Ok(Output::done(count))
        }
        Some("create" | "drop" | "set") => Ok(Output::done(None)),
        _ => Ok(Output::result(columns, rows)),
    }
}

fn value(column: &ArrayRef, row: usize) -> Result<Value, EngineError> {
    use DataType as D;
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    let formatted = || {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(column, &options).map_err(|e| error(e.into()))?;
        Ok::<String, EngineError>(formatter.value(row).to_string())
    };
    Ok(match column.data_type() {
        D::Null => Value::Null,
        D::Boolean => Value::Boolean(column.as_boolean().value(row)),
        D::Float64 => Value::Double(column.as_primitive::<types::Float64Type>().value(row)),
        D::Float32 => {
            Value::Double(f64::from(column.as_primitive::<types::Float32Type>().value(row)))
        }
        D::Decimal128(_, scale) if *scale >= 0 => Value::Decimal {
            digits: column.as_primitive::<types::Decimal128Type>().value(row),
            scale: scale.unsigned_abs(),
        },
        t if t.is_integer() => {
            let text = formatted()?;
            Value::number(&text).unwrap_or(Value::Text(text))
        }
        D::Timestamp(..) => Value::Text(formatted()?.replace('T', " ")),
        _ => Value::Text(formatted()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_tables_become_plain_ones() {
        let oracle = Oracle::new();
        oracle
            .run(
                "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a','b') NOT NULL, \
                 d DECIMAL(8,2) RANGE (0, 100.5), p INT PUBLIC, day DATE); GRANT SELECT ON t TO x",
            )
            .await
            .unwrap();
        let done = oracle
            .run("INSERT INTO t VALUES (1, 'b', 1.25, 7, DATE '2020-02-29'), (2, 'a', NULL, 8, NULL)")
            .await
            .unwrap();
        assert_eq!(done.affected, Some(2));
        let out = oracle.run("SELECT id, e, d, day, d > 1 FROM t ORDER BY id").await.unwrap();
        let first = vec![
            Value::Integer(1),
            Value::Text("b".into()),
            Value::Decimal { digits: 125, scale: 2 },
            Value::Text("2020-02-29".into()),
            Value::Boolean(true),
        ];
        assert_eq!(out.rows[0], first);
        assert_eq!(out.rows[1][2..], [Value::Null, Value::Null, Value::Null]);
        assert_eq!(oracle.run("SELECT x FROM t").await.unwrap_err().sqlstate, "42703");
        assert_eq!(oracle.run("SELECT 1 FROM nix").await.unwrap_err().sqlstate, "42P01");
    }
}
