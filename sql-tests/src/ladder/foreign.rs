//! Which failing records PostgreSQL would not accept either: by what a real PostgreSQL did with
//! them, or, where none was asked, by rule.
//!
//! A record is only looked at after it failed, so a rule that is too narrow costs a mark and nothing
//! else. None of them looks at a record's place or file. Beside a real PostgreSQL only those rules
//! stay that say what SQL leaves open: there its answer is one of several.

use super::answer::{left_open, of_answer};
use crate::engine::EngineError;
use crate::report::{Failure, PostgresVerdict, Reason};
use crate::words::words;
use trine_proto::status::sqlstate;

/// Statements that PostgreSQL does not have.
const STATEMENTS: [&str; 14] = [
    "pragma",
    "upsert",
    "attach",
    "detach",
    "use",
    "require",
    "install",
    "load",
    "summarize",
    "describe",
    "pivot",
    "unpivot",
    "from",
    "export",
];

/// Types that PostgreSQL does not have. DOUBLE is one without PRECISION.
const TYPES: [&str; 20] = [
    "string",
    "tinyint",
    "hugeint",
    "uhugeint",
    "utinyint",
    "usmallint",
    "uinteger",
    "ubigint",
    "float32",
    "float64",
    "utf8",
    "largeutf8",
    "utf8view",
    "datetime",
    "blob",
    "bytes",
    "int256",
    "binary",
    "timestamp_s",
    "timestamp_ms",
];

/// Functions of the other projects' files that PostgreSQL has, in its own core: what is missing in
/// this list and unknown to the engine counts as not PostgreSQL's.
const FUNCTIONS: &str = " abs acos age any_value array_agg array_append array_length array_to_string ascii \
    asin atan atan2 avg bit_and bit_length bit_or bit_xor bool_and bool_or btrim cbrt ceil ceiling \
    char_length character_length chr coalesce concat concat_ws corr cos cosh cot count covar_pop \
    covar_samp cume_dist current_database current_date current_schema current_time \
    current_timestamp current_user date_bin date_part date_trunc decode degrees dense_rank div \
    encode erf every exp factorial first_value floor format gcd gen_random_uuid generate_series \
    greatest grouping initcap isfinite json_agg justify_days justify_hours lag last_value lcm lead \
    least left length ln localtime localtimestamp log log10 lower lpad ltrim make_date make_interval \
    make_time make_timestamp max md5 min min_scale mod mode now nth_value ntile nullif num_nonnulls \
    num_nulls octet_length overlay percent_rank percentile_cont percentile_disc pg_typeof pi \
    position power quote_ident quote_literal radians random rank regexp_count regexp_instr \
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array \
    regexp_split_to_table regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 \
    regr_slope regr_sxx regr_sxy regr_syy repeat replace reverse right round row_number row_to_json \
    rpad rtrim scale setseed sha224 sha256 sha384 sha512 sign sin sind sinh split_part sqrt \
    starts_with stddev stddev_pop stddev_samp string_agg string_to_array strpos substr substring \
    sum tan tanh timeofday to_char to_date to_hex to_number to_timestamp translate trim trim_scale \
    trunc unnest upper var_pop var_samp variance version width_bucket ";

/// Why PostgreSQL would not accept the statement of a failed record, or the earlier one that it
/// follows from; `None` if it would, as far as the rules know.
#[must_use]
pub fn foreign(failure: &Failure) -> Option<String> {
    match &failure.postgres {
        Some(verdict) => by_postgres(failure, verdict),
        None => by_rule(failure).map(str::to_owned),
    }
}

fn by_postgres(failure: &Failure, verdict: &PostgresVerdict) -> Option<String> {
    let error = |e: &EngineError| match e.message.lines().next() {
        Some(first) if !first.is_empty() => format!("PostgreSQL says: {first}"),
        _ => format!("PostgreSQL says {}", e.sqlstate),
    };
    match (verdict, &failure.reason) {
        (PostgresVerdict::Refuses(e), _) => Some(error(e)),
        (PostgresVerdict::SameAnswer, _) => Some("PostgreSQL gives the engine's answer".to_owned()),
        (PostgresVerdict::AcceptsToo, _) => Some("PostgreSQL accepts it as well".to_owned()),
        (PostgresVerdict::Accepts, Reason::Different { expected, actual }) => {
            left_open(&failure.sql, expected, actual).map(str::to_owned)
        }
        (PostgresVerdict::Accepts, _) => None,
    }
}

fn by_rule(failure: &Failure) -> Option<&'static str> {
    if let Some(cause) = &failure.follows {
        return of_statement(&cause.sql).or_else(|| of_error(&cause.sql, &cause.error));
    }
    let by_reason = match &failure.reason {
        Reason::Error(error) => of_error(&failure.sql, error),
        Reason::Different { expected, actual } => of_answer(&failure.sql, expected, actual),
        Reason::Other(_) => None,
    };
    of_statement(&failure.sql).or(by_reason)
}

/// By the words of the statement alone.
fn of_statement(sql: &str) -> Option<&'static str> {
    let words = words(sql);
    let pair = |first: &[&str], second: &[&str]| {
        words.windows(2).any(|w| first.contains(&w[0].as_str()) && second.contains(&w[1].as_str()))
    };
    let first = words.first()?.as_str();
    if STATEMENTS.contains(&first) {
        return Some("a statement that it does not have");
    }
    if first == "explain" {
        return Some("EXPLAIN prints another system's plan");
    }
    if first == "set" && !words.iter().any(|w| POSTGRES_SETTINGS.contains(&w.as_str())) {
        return Some("a setting that it does not have");
    }
    if words.iter().any(|w| TYPES.contains(&w.as_str()))
        || words.windows(2).any(|w| w[0] == "double" && w[1] != "precision")
    {
        return Some("a type that it does not have");
    }
    if pair(&["semi", "anti", "asof", "positional"], &["join"])
        || pair(&["by"], &["all"])
        || pair(&["*"], &["exclude", "except", "replace", "rename"])
        || pair(&["insert"], &["or"])
        || pair(&["or"], &["replace"]) && words.iter().any(|w| w == "table")
        || words
            .iter()
            .any(|w| ["qualify", "==", "family", "interleave", "glob"].contains(&w.as_str()))
    {
        return Some("syntax that it does not have");
    }
    None
}

/// Settings of PostgreSQL that occur in test files.
const POSTGRES_SETTINGS: [&str; 8] = [
    "timezone",
    "time",
    "search_path",
    "datestyle",
    "intervalstyle",
    "transaction",
    "session",
    "extra_float_digits",
];

/// By how the engine refused it.
fn of_error(sql: &str, error: &EngineError) -> Option<&'static str> {
    match error.sqlstate.as_str() {
        sqlstate::GROUPING_ERROR => Some("a column outside of GROUP BY and of an aggregate"),
        sqlstate::UNDEFINED_FUNCTION => unknown_function(&error.message),
        sqlstate::UNDEFINED_COLUMN => alias_in_condition(sql, &error.message),
        _ => None,
    }
}

/// `function NAME does not exist`, or an operator over types that have none.
fn unknown_function(message: &str) -> Option<&'static str> {
    if message.starts_with("operator does not exist") {
        return Some("an operator over types that have none: dynamic typing");
    }
    let name = message.strip_prefix("function ")?.split([' ', '(']).next()?;
    let known = FUNCTIONS.contains(&format!(" {} ", name.trim_matches('"')));
    (!known).then_some("a function that it does not have")
}

/// A name of the SELECT list used beside it, which only other systems allow.
fn alias_in_condition(sql: &str, message: &str) -> Option<&'static str> {
    let name = message.split('"').nth(1)?.to_lowercase();
    let words = words(sql);
    let alias = words.windows(2).any(|w| w[0] == "as" && w[1].trim_matches('"') == name);
    if name == "rowid" {
        return Some("a column that every table has in another system");
    }
    alias.then_some("a name of the SELECT list in its own statement")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(sql: &str, state: &str, message: &str) -> Option<String> {
        let reason = Reason::Error(EngineError::new(state, message));
        foreign(&Failure {
            file: String::new(),
            line: 1,
            sql: sql.into(),
            reason,
            follows: None,
            postgres: None,
        })
    }

    #[test]
    fn rules_know_other_systems_by_their_words() {
        assert!(why("PRAGMA enable_verification", "42601", "").is_some());
        assert!(why("CREATE TABLE t (a DOUBLE)", "0A000", "").is_some());
        assert!(why("CREATE TABLE t (a DOUBLE PRECISION)", "0A000", "").is_none());
        assert!(why("SELECT 1 FROM a SEMI JOIN b USING (i)", "0A000", "").is_some());
        assert!(why("SELECT a FROM t GROUP BY ALL", "0A000", "").is_some());
        assert!(why("SELECT a / b FROM t", "0A000", "division").is_none());
        assert!(why("SET search_path = x", "0A000", "").is_none());
        assert!(why("SET default_null_order='nulls_first'", "0A000", "").is_some());
    }

    #[test]
    fn rules_know_other_systems_by_our_error() {
        assert!(why("SELECT strftime(d)", "42883", "function strftime does not exist").is_some());
        assert!(why("SELECT left(d, 1)", "42883", "function left does not exist").is_none());
        assert!(why("SELECT + s FROM t", "42883", "operator does not exist: + text").is_some());
        let missing = "column \"x\" does not exist";
        assert!(why("SELECT a AS x FROM t WHERE x > 1", "42703", missing).is_some());
        assert!(why("SELECT x FROM t", "42703", missing).is_none());
    }
    #[test]
    fn a_real_postgres_knows_better_than_the_rules() {
        let with = |postgres, reason| {
            let (file, sql) = (String::new(), "SELECT a FROM t LIMIT 1".to_owned());
            foreign(&Failure {
                file,
                line: 1,
                sql,
                reason,
                follows: None,
                postgres: Some(postgres),
            })
        };
        let error = || EngineError::new("42883", "no such thing\nas this");
        let refused = with(PostgresVerdict::Refuses(error()), Reason::Error(error()));
        assert_eq!(refused.as_deref(), Some("PostgreSQL says: no such thing"));
        assert_eq!(with(PostgresVerdict::Accepts, Reason::Error(error())), None);
        let different = || Reason::Different { expected: "1".into(), actual: "2".into() };
        assert!(with(PostgresVerdict::SameAnswer, different()).is_some());
        assert!(with(PostgresVerdict::Accepts, different()).is_some_and(|w| w.contains("LIMIT")));
    }
}
