//! SHOW, SET and RESET: there are no settings that change anything; those that programs set without
//! being asked are accepted.

use super::parser::Parser;
use super::{Statement, transaction};
use sqlparser::tokenizer::Token as Sql;
use trine_proto::status::{SqlError, sqlstate};

/// Settings that may be set and are not kept, with what SHOW says.
const SETTINGS: [(&str, &str); 14] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, YMD"),
    ("default_transaction_isolation", "repeatable read"),
    ("extra_float_digits", "1"),
    ("intervalstyle", "postgres"),
    ("lock_timeout", "0"),
    ("search_path", "public"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "repeatable read"),
];

/// What SHOW says of facts that cannot be set.
const FACTS: [(&str, &str); 4] = [
    ("server_encoding", "UTF8"),
    ("server_version", env!("CARGO_PKG_VERSION")),
    ("integer_datetimes", "on"),
    ("is_superuser", "off"),
];

fn unknown(name: &str, position: u32) -> SqlError {
    SqlError::new(
        sqlstate::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
    .hint("SHOW ALL lists what there is")
    .at(position)
}

/// What follows SHOW.
pub(super) fn show(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    let position = p.position();
    if p.word("TABLES") {
        p.end()?;
        return Ok(Statement::ShowTables);
    }
    let all = || SETTINGS.iter().chain(&FACTS);
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    if p.word("ALL") {
        p.end()?;
        return Ok(Statement::Show(all().map(owned).collect()));
    }
    let name = name(p)?;
    p.end()?;
    match all().find(|(known, _)| *known == name) {
        Some(setting) => Ok(Statement::Show(vec![owned(setting)])),
        None => Err(unknown(&name, position)),
    }
}

fn name(p: &mut Parser<'_>) -> Result<String, SqlError> {
    if p.words(&["TIME", "ZONE"]) {
        return Ok("timezone".into());
    }
    if p.words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok("transaction_isolation".into());
    }
    Ok(p.identifier()?.to_lowercase())
}

/// What follows SET (or RESET, which takes no value).
pub(super) fn set(p: &mut Parser<'_>, reset: bool) -> Result<Statement, SqlError> {
    if !reset
        && (p.words(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"])
            || p.words(&["TRANSACTION"]))
    {
        return transaction::set(p);
    }
    let _ = p.word("SESSION") || p.word("LOCAL");
    let position = p.position();
    if reset && p.word("ALL") {
        p.end()?;
        return Ok(Statement::Set);
    }
    let zone = p.words_follow(&["TIME", "ZONE"]);
    let name = name(p)?;
    // A name with a point is a setting of somebody's own, as in PostgreSQL; it is not kept.
    let custom = p.symbol(&Sql::Period);
    if custom {
        p.identifier()?;
        while p.symbol(&Sql::Period) {
            p.identifier()?;
        }
    }
    if !custom && !SETTINGS.iter().any(|(known, _)| *known == name) {
        return Err(unknown(&name, position));
    }
    if reset {
        p.end()?;
        return Ok(Statement::Set);
    }
    if !zone && !p.symbol(&Sql::Eq) {
        p.expect_word("TO")?;
    }
    let at = p.position();
    let value = p.rest();
    if value.is_empty() {
        return Err(p.unexpected("a value is expected"));
    }
    if name.ends_with("transaction_isolation") && value.to_lowercase().contains("serializable") {
        return Err(transaction::serializable(at));
    }
    Ok(Statement::Set)
}
