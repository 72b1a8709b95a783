//! Long and deep statements end in a plan or an error, never in a crash.

use crate::schema::{ANALYST, AT, SIGNED_AT_MS, catalog};
use trine_proto::status::sqlstate;
use trine_query::compile;

fn state(sql: &str) -> Result<(), String> {
    compile(sql, &catalog(), AT, ANALYST, SIGNED_AT_MS).map(|_| ()).map_err(|e| e.sqlstate)
}

fn refused() -> Result<(), String> {
    Err(sqlstate::LIMIT_EXCEEDED.to_owned())
}

#[test]
fn nesting_is_limited() {
    let nested = |n: usize| format!("select {}a{} from t1", "(".repeat(n), ")".repeat(n));
    assert_eq!(state(&nested(10)), Ok(()));
    assert_eq!(state(&nested(20_000)), refused());
    let subqueries = |n: usize| {
        format!("{} t1 {}", "select * from (".repeat(n) + "select a from", ") x".repeat(n))
    };
    assert_eq!(state(&subqueries(8)), Ok(()));
    assert_eq!(state(&subqueries(1_000)), refused());
    let negated = |n: usize| format!("select a from t1 where {} a = 1", "not ".repeat(n));
    assert_eq!(state(&negated(15)), Ok(()));
    assert_eq!(state(&negated(5_000)), refused());
}

#[test]
fn long_chains_are_limited() {
    let chain = |n: usize, term: &str, joint: &str| vec![term; n].join(joint);
    let sum = |n| format!("select {} from t1", chain(n, "a", " + "));
    assert_eq!(state(&sum(300)), Ok(()));
    assert_eq!(state(&sum(3_000)), refused());
    let any = |n| format!("select a from t1 where {}", chain(n, "a > b", " or "));
    assert_eq!(state(&any(300)), Ok(()));
    assert_eq!(state(&any(3_000)), refused());
    let union = |n| chain(n, "select a from t1", " union all ");
    assert_eq!(state(&union(100)), Ok(()));
    assert_eq!(state(&union(400)), refused());
}

#[test]
fn long_lists_are_fine_and_endless_texts_are_not() {
    let numbers: Vec<String> = (0..2_000).map(|i| i.to_string()).collect();
    assert_eq!(state(&format!("select a from t1 where b in ({})", numbers.join(","))), Ok(()));
    assert_eq!(state(&format!("select '{}'", "x".repeat(2 << 20))), refused());
    assert_eq!(state(&format!("select {}", vec!["1"; 40_000].join(","))), refused());
}

#[test]
fn odd_texts_are_syntax_errors() {
    for sql in
        ["", "   ", ";", "-- nothing", "select 'open", "select \u{0}", "\u{feff}select", "(", "')"]
    {
        assert_eq!(state(sql), Err(sqlstate::SYNTAX_ERROR.to_owned()), "{sql:?}");
    }
    assert_eq!(state("select 1;"), Ok(()));
    assert_eq!(state("select 1 -- comment"), Ok(()));
    assert_eq!(state("SELECT /* a */ 1"), Ok(()));
}
