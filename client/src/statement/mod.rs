//! SQL text into statements. What holds data of its user (INSERT) is taken apart here and never
//! travels as text; what the nodes must read (SELECT, EXPLAIN) is passed on unchanged; everything
//! else is refused here, with its position and what to write instead.
//!
//! Positions are 1-based characters of the whole text given, as `wire::Error` counts them.

mod alter;
mod conflict;
pub(crate) mod constant;
mod copy;
mod create;
mod index;
mod insert;
mod lexer;
mod parser;
mod prepare;
mod refresh;
mod returning;
mod schema;
mod settings;
mod transaction;
mod view;
mod write;

pub use alter::Alter;
pub use conflict::Upsert;
pub use copy::Copy;
pub use insert::{Given, Insert};
pub use lexer::{Fragment, is_complete, split};
pub use prepare::{Asked, Execution, Prepared, PreparedStatements};
pub(crate) use refresh::{REFRESH, of_table as refresh_of_table};
pub use returning::Returning;
pub use transaction::TransactionModes;
pub(crate) use write::TRUNCATE;
pub use write::{Parameter, Target, Write};

use lexer::is_word;
use parser::Parser;
use sqlparser::tokenizer::Token as Sql;
use trine_proto::schema::TableSchema;
use trine_proto::status::SqlError;
use trine_proto::wire;

/// One statement that Trine can do.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// CREATE TABLE.
    CreateTable {
        /// Name, columns, primary key.
        schema: TableSchema,
        /// Defaults and constraints.
        rules: wire::TableRules,
        /// IF NOT EXISTS was written.
        if_not_exists: bool,
    },
    /// CREATE TEMPORARY TABLE: the statement without the word. The session drops the table at its end.
    Temporary(Box<Self>),
    /// CREATE TABLE … AS SELECT: the result stays shared.
    CreateTableAs {
        /// The table.
        table: String,
        /// Names of its first columns; those of the SELECT for the others.
        columns: Vec<String>,
        /// The SELECT; its literals are public.
        sql: String,
        /// Characters before it in the whole text.
        offset: u32,
        /// IF NOT EXISTS was written.
        if_not_exists: bool,
    },
    /// DROP TABLE.
    DropTable {
        /// Its name.
        table: String,
        /// IF EXISTS was written.
        if_exists: bool,
        /// CASCADE was written.
        cascade: bool,
    },
    /// ALTER TABLE.
    AlterTable(Alter),
    /// CREATE SCHEMA.
    CreateSchema(wire::CreateSchema),
    /// DROP SCHEMA.
    DropSchema(wire::DropSchema),
    /// `CREATE [UNIQUE] INDEX`.
    CreateIndex(wire::CreateIndex),
    /// DROP INDEX.
    DropIndex(wire::DropIndex),
    /// REINDEX: nothing to do.
    Reindex,
    /// CREATE VIEW.
    CreateView {
        /// What the nodes are told.
        view: wire::CreateView,
        /// Characters before its SELECT in the whole text.
        offset: u32,
    },
    /// DROP VIEW.
    DropView(wire::DropView),
    /// GRANT (true) or REVOKE (false) SELECT ON table TO / FROM principal.
    Grant {
        /// Grant, else revoke.
        grant: bool,
        /// The table.
        table: String,
        /// Name of a principal, or "public".
        principal: String,
    },
    /// INSERT INTO … VALUES: rows of literals, which leave as shares only.
    Insert(Insert),
    /// INSERT … SELECT, UPDATE, DELETE: a job whose values leave as shares only. REFRESH SHARES of one
    /// table.
    Write(Write),
    /// An INSERT, UPDATE or DELETE whose rows are asked for.
    Returning(Returning),
    /// INSERT … ON CONFLICT.
    Upsert(Upsert),
    /// REFRESH SHARES ALL: of every table that the principal may write.
    RefreshAll,
    /// SELECT, WITH, VALUES or EXPLAIN: goes to the nodes as it is written.
    Query {
        /// The text, without the semicolon.
        sql: String,
        /// Characters before it in the whole text.
        offset: u32,
    },
    /// EXPLAIN of a statement that writes: its values leave as shares, as if it were run.
    Explain(Write),
    /// A query whose parameters leave as shares only.
    Ask(Asked),
    /// PREPARE: kept by the client.
    Prepare(Prepared),
    /// EXECUTE of a prepared statement.
    Execute(Execution),
    /// DEALLOCATE of one (none: all) of them.
    Deallocate(Option<String>),
    /// COPY FROM a file that the client reads.
    Copy(Copy),
    /// SHOW TABLES.
    ShowTables,
    /// SHOW of settings: names and values.
    Show(Vec<(String, String)>),
    /// SET or RESET of a setting that changes nothing.
    Set,
    /// BEGIN, START TRANSACTION.
    Begin(TransactionModes),
    /// SET TRANSACTION.
    SetTransaction(TransactionModes),
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
}

/// Recognises one statement of a text that was [`split`].
///
/// # Errors
/// `42601` for a syntax error, `0A000` for what Trine does not do (yet); both with the position.
pub fn parse(fragment: &Fragment<'_>) -> Result<Statement, SqlError> {
    let mut p = Parser::new(fragment);
    let start = p.position();
    let statement = match p.keyword_text().as_str() {
        "EXPLAIN" => match explained_execution(&mut p)? {
            Some(execution) => execution,
            None => match explained_write(&mut p, fragment)? {
                Some(write) => Statement::Explain(write),
                None => query(fragment)?,
            },
        },
        "SELECT" | "WITH" | "VALUES" => query(fragment)?,
        "COPY" => copy::parse(&mut p)?,
        "REFRESH" => refresh::parse(&mut p)?,
        "TRUNCATE" => Statement::Write(write::truncate(&mut p)?),
        "PREPARE" => prepare::prepare(&mut p)?,
        "EXECUTE" => prepare::execute(&mut p, None)?,
        "DEALLOCATE" => prepare::deallocate(&mut p)?,
        "(" => query(fragment)?,
        "ALTER" => alter::parse(&mut p)?,
        "CREATE" => create(&mut p)?,
        "DROP" => drop_object(&mut p)?,
        "REINDEX" => {
            let _ = p.rest();
            Statement::Reindex
        }
        "GRANT" => grant(&mut p, true)?,
        "REVOKE" => grant(&mut p, false)?,
        "INSERT" => insert::parse(&mut p, fragment)?,
        "UPDATE" => write::update(&mut p, fragment)?,
        "DELETE" => write::delete(&mut p, fragment)?,
        "SHOW" => {
            p.advance();
            settings::show(&mut p)?
        }
        "SET" | "RESET" => {
            let reset = p.word("RESET") || !p.word("SET");
            settings::set(&mut p, reset)?
        }
        "BEGIN" | "START" => transaction::begin(&mut p)?,
        "COMMIT" | "END" => transaction::commit(&mut p)?,
        "ROLLBACK" | "ABORT" => transaction::rollback(&mut p)?,
        "SAVEPOINT" | "RELEASE" => return Err(transaction::savepoint(start)),
        other => return Err(refuse(other, start)),
    };
    Ok(statement)
}

/// [`split`] and [`parse`] of a whole text.
///
/// # Errors
/// Those of both; the first one found.
pub fn parse_all(text: &str) -> Result<Vec<Statement>, SqlError> {
    split(text)?.iter().map(parse).collect()
}

fn refuse(word: &str, position: u32) -> SqlError {
    let hint = match word {
        "MERGE" => "INSERT the rows into a new table",
        "DESCRIBE" | "DESC" => "use SHOW TABLES, or \\d TABLE in the shell",
        _ => {
            return SqlError::new(
                trine_proto::status::sqlstate::SYNTAX_ERROR,
                if word.is_empty() {
                    "syntax error: a statement begins with a keyword".to_owned()
                } else {
                    format!("syntax error at or near \"{}\"", word.to_lowercase())
                },
            )
            .hint(
                "Trine does SELECT, EXPLAIN, INSERT, UPDATE, DELETE, TRUNCATE, COPY, PREPARE, EXECUTE, \
                 CREATE and DROP of TABLE, VIEW and INDEX, ALTER TABLE, BEGIN, COMMIT, ROLLBACK, GRANT, REVOKE, SHOW, \
                 SET and REFRESH SHARES",
            )
            .at(position);
        }
    };
    SqlError::unsupported(format!("{word} is not supported yet"), hint).at(position)
}

/// The text goes on unchanged, unless something in it would write: its literals are data.
fn query(fragment: &Fragment<'_>) -> Result<Statement, SqlError> {
    let tokens = fragment.tokens();
    let starts = |i: usize| {
        i == 0
            || matches!(tokens[i - 1].sql, Sql::LParen | Sql::RParen)
            || ["EXPLAIN", "ANALYZE", "VERBOSE"].iter().any(|w| is_word(&tokens[i - 1].sql, w))
    };
    for (i, token) in tokens.iter().enumerate() {
        let writes = ["INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "COPY", "EXECUTE"]
            .iter()
            .find(|w| is_word(&token.sql, w));
        let names_something =
            tokens.get(i + 1).is_some_and(|next| matches!(next.sql, Sql::Word(_)));
        if let Some(word) = writes
            && starts(i)
            && names_something
        {
            return Err(SqlError::unsupported(
                format!("{word} is not supported inside another statement"),
                "only SELECT can stand in WITH",
            )
            .at(token.position()));
        }
    }
    if fragment.bindings().is_some_and(|b| !b.values.is_empty()) {
        return Ok(Statement::Ask(prepare::asked(fragment)));
    }
    Ok(Statement::Query { sql: fragment.text().to_owned(), offset: fragment.offset() })
}

/// EXPLAIN [ANALYZE] EXECUTE.
fn explained_execution(p: &mut Parser<'_>) -> Result<Option<Statement>, SqlError> {
    let words = [&["EXPLAIN", "EXECUTE"][..], &["EXPLAIN", "ANALYZE", "EXECUTE"][..]];
    let Some(found) = words.into_iter().find(|words| p.words_follow(words)) else {
        return Ok(None);
    };
    let (_, before) = found.split_last().unwrap_or((&"", &[]));
    let _ = p.words(before);
    prepare::execute(p, Some(before.join(" "))).map(Some)
}

/// EXPLAIN of INSERT … SELECT, UPDATE or DELETE.
fn explained_write(p: &mut Parser<'_>, fragment: &Fragment<'_>) -> Result<Option<Write>, SqlError> {
    let mut ahead = p.clone();
    ahead.expect_word("EXPLAIN")?;
    let analyze = ahead.word("ANALYZE") || ahead.word("ANALYSE");
    let _ = ahead.word("VERBOSE");
    if ahead.peek() == Some(&Sql::LParen) && !ahead.query_in_parentheses() {
        ahead.parenthesised()?;
    }
    let at = ahead.position();
    let word = ahead.keyword_text();
    if !["INSERT", "UPDATE", "DELETE"].contains(&word.as_str()) {
        return Ok(None);
    }
    if analyze {
        return Err(SqlError::unsupported(
            "a statement that writes can be explained, but not run by EXPLAIN",
            "write EXPLAIN without ANALYZE: what it shows is what is counted, but for the sorts",
        )
        .at(at));
    }
    *p = ahead;
    let statement = match word.as_str() {
        "UPDATE" => write::update(p, fragment)?,
        "DELETE" => write::delete(p, fragment)?,
        _ => insert::parse(p, fragment)?,
    };
    match statement {
        Statement::Write(write) => Ok(Some(write)),
        Statement::Returning(_) => Err(SqlError::unsupported(
            "RETURNING is not explained",
            "explain the statement without it",
        )
        .at(at)),
        _ => Err(SqlError::unsupported(
            "INSERT … VALUES has no plan",
            "its rows are cut into shares by the client: EXPLAIN INSERT … SELECT has one",
        )
        .at(at)),
    }
}

/// What stands before the name of a table that its session drops.
const TEMPORARY: [&[&str]; 4] = [
    &["TEMP", "TABLE"],
    &["TEMPORARY", "TABLE"],
    &["LOCAL", "TEMPORARY", "TABLE"],
    &["LOCAL", "TEMP", "TABLE"],
];

fn create(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.expect_word("CREATE")?;
    if p.word("TABLE") {
        return create::table(p);
    }
    if let Some(words) = TEMPORARY.iter().find(|words| p.words_follow(words)) {
        p.words(words);
        return create::table(p).map(|statement| Statement::Temporary(Box::new(statement)));
    }
    if p.word("INDEX") {
        return index::create(p, false);
    }
    if p.words(&["UNIQUE", "INDEX"]) {
        return index::create(p, true);
    }
    if p.word("SCHEMA") {
        return schema::create(p);
    }
    if p.words(&["OR", "REPLACE", "VIEW"]) {
        return view::create(p, true);
    }
    if p.word("VIEW") {
        return view::create(p, false);
    }
    let (position, word) = (p.position(), p.keyword_text());
    let hint = match word.as_str() {
        "UNIQUE" => "write CREATE UNIQUE INDEX name ON table (columns)",
        "MATERIALIZED" => "write CREATE VIEW",
        "TEMP" | "TEMPORARY" | "LOCAL" | "GLOBAL" | "UNLOGGED" | "EXTERNAL" => {
            "leave the word out, and DROP what is needed no longer"
        }
        "OR" => "write DROP TABLE IF EXISTS, then CREATE TABLE",
        "TYPE" => "write ENUM('a','b') as the type of the column",
        "USER" | "ROLE" => "an administrator enrols principals with `trine admin enrol`",
        "DATABASE" | "FUNCTION" | "PROCEDURE" | "TRIGGER" | "SEQUENCE" | "DOMAIN" | "EXTENSION"
        | "RULE" | "POLICY" | "AGGREGATE" | "CAST" | "COLLATION" | "OPERATOR" | "RECURSIVE"
        | "STATISTICS" | "SERVER" | "TABLESPACE" | "FOREIGN" => {
            "Trine has CREATE TABLE, CREATE VIEW and CREATE INDEX"
        }
        _ => return Err(p.unexpected("TABLE, VIEW or INDEX is expected").at(position)),
    };
    Err(SqlError::unsupported(format!("CREATE {word} is not supported").trim_end(), hint)
        .at(position))
}

fn drop_object(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.expect_word("DROP")?;
    if p.word("VIEW") {
        return view::drop_view(p);
    }
    if p.word("INDEX") {
        return index::drop_index(p);
    }
    if p.word("SCHEMA") {
        return schema::drop_schema(p);
    }
    if !p.word("TABLE") {
        let (position, word) = (p.position(), p.keyword_text());
        return Err(SqlError::unsupported(
            format!("DROP {word} is not supported"),
            "Trine has DROP TABLE, DROP VIEW and DROP INDEX",
        )
        .at(position));
    }
    let if_exists = p.if_exists();
    let table = p.name()?;
    let cascade = p.cascade();
    p.refuse_list("DROP TABLE")?;
    p.end()?;
    Ok(Statement::DropTable { table, if_exists, cascade })
}

fn grant(p: &mut Parser<'_>, grant: bool) -> Result<Statement, SqlError> {
    p.expect_word(if grant { "GRANT" } else { "REVOKE" })?;
    if !p.word("SELECT") {
        let (position, word) = (p.position(), p.keyword_text());
        return Err(SqlError::unsupported(
            format!("privilege {word} is not supported"),
            "the privilege that exists is SELECT: GRANT SELECT ON table TO principal",
        )
        .at(position));
    }
    if p.symbol(&Sql::LParen) {
        return Err(SqlError::unsupported(
            "privileges on single columns are not supported yet",
            "GRANT SELECT ON table TO principal",
        )
        .at(p.position()));
    }
    p.expect_word("ON")?;
    let _ = p.word("TABLE");
    let table = p.name()?;
    p.refuse_list("GRANT and REVOKE")?;
    p.expect_word(if grant { "TO" } else { "FROM" })?;
    let principal = if p.word("PUBLIC") { "public".to_owned() } else { p.principal_name()? };
    p.refuse_list("GRANT and REVOKE")?;
    p.end()?;
    Ok(Statement::Grant { grant, table, principal })
}

#[cfg(test)]
mod tests;
