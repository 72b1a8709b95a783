//! Just enough of a statement's text to say what it is about.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The tokens of a statement without white space, words in lower case, quoted ones with their quotes.
/// Empty if the text has no tokens in PostgreSQL's syntax.
#[must_use]
pub fn words(sql: &str) -> Vec<String> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).with_unescape(false).tokenize();
    let word = |token: Token| match token {
        Token::Whitespace(_) => None,
        Token::Word(w) if w.quote_style.is_none() => Some(w.value.to_lowercase()),
        other => Some(other.to_string()),
    };
    tokens.unwrap_or_default().into_iter().filter_map(word).collect()
}

/// A word without its double quotes.
#[must_use]
pub fn unquoted(word: &str) -> String {
    let inner = word.strip_prefix('"').and_then(|w| w.strip_suffix('"'));
    inner.map_or_else(|| word.to_owned(), |w| w.replace("\"\"", "\""))
}

/// The table or view that a statement makes or changes.
#[must_use]
pub fn target(words: &[String]) -> Option<String> {
    const BETWEEN: [&str; 13] = [
        "create",
        "or",
        "replace",
        "temp",
        "temporary",
        "table",
        "view",
        "if",
        "not",
        "exists",
        "materialized",
        "alter",
        "only",
    ];
    let first = words.first()?.as_str();
    let rest: Vec<&str> = words.iter().map(String::as_str).collect();
    let after = |word: &str| {
        let at = rest.iter().position(|w| *w == word)?;
        rest.get(at + 1).copied()
    };
    let name = match first {
        "insert" | "upsert" => after("into"),
        "update" => rest.iter().skip(1).find(|w| !BETWEEN.contains(w)).copied(),
        "delete" => after("from"),
        "copy" => after("copy"),
        "create" if rest.iter().take(4).any(|w| *w == "index") => after("on"),
        "create" | "alter" => rest.iter().find(|w| !BETWEEN.contains(w)).copied(),
        _ => None,
    };
    name.map(unquoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_a_statement() {
        let of = |sql: &str| target(&words(sql));
        assert_eq!(of("CREATE TABLE IF NOT EXISTS \"T\" (a INT)"), Some("T".into()));
        assert_eq!(of("create or replace view V as select 1"), Some("v".into()));
        assert_eq!(of("CREATE UNIQUE INDEX i ON tab0 (a)"), Some("tab0".into()));
        assert_eq!(of("INSERT INTO t VALUES (1)"), Some("t".into()));
        assert_eq!(of("UPDATE t SET a = 1"), Some("t".into()));
        assert_eq!(of("DELETE FROM t WHERE a = 1"), Some("t".into()));
        assert_eq!(of("SELECT * FROM t"), None);
        assert_eq!(of(""), None);
    }
}
