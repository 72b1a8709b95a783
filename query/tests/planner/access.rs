//! Who sees which table at which position, and how results are named.

use crate::schema::{ANALYST, AT, SIGNED_AT_MS, catalog};
use trine_proto::ids::LogIndex;
use trine_proto::status::sqlstate;
use trine_query::{Explain, compile};

fn state(sql: &str, at: LogIndex, principal: &str) -> Option<String> {
    compile(sql, &catalog(), at, principal, SIGNED_AT_MS).err().map(|e| e.sqlstate)
}

#[test]
fn grants_hold_from_their_position_on() {
    let denied = Some(sqlstate::INSUFFICIENT_PRIVILEGE.to_owned());
    assert_eq!(state("select a from t1", LogIndex(30), ANALYST), None);
    assert_eq!(state("select a from t1", LogIndex(29), ANALYST), denied);
    assert_eq!(state("select a from t1", LogIndex(29), "owner"), None);
    assert_eq!(state("select a from t1", AT, "someone"), denied);
    assert_eq!(state("select x from secret", AT, "owner"), None);
}

#[test]
fn revoked_and_public_grants_are_followed() {
    let mut catalog = catalog();
    let table = catalog.tables.values_mut().find(|t| t.schema.name == "t1").unwrap();
    table.grants.get_mut(ANALYST).unwrap().push((LogIndex(60), false));
    let may = |catalog: &_, at| {
        compile("select a from t1", catalog, LogIndex(at), ANALYST, SIGNED_AT_MS).is_ok()
    };
    assert!(may(&catalog, 59));
    assert!(!may(&catalog, 60));
    let table = catalog.tables.values_mut().find(|t| t.schema.name == "t1").unwrap();
    table.grants.insert("public".into(), vec![(LogIndex(70), true)]);
    assert!(!may(&catalog, 69));
    assert!(may(&catalog, 70));
}

#[test]
fn a_table_exists_from_its_position_on_and_segments_too() {
    let missing = Some(sqlstate::UNDEFINED_TABLE.to_owned());
    assert_eq!(state("select a from t1", LogIndex(9), "owner"), missing);
    let rows = |at| {
        let catalog = catalog();
        let s = compile("select a from t1", &catalog, LogIndex(at), "owner", SIGNED_AT_MS);
        s.unwrap().plan.rows
    };
    assert_eq!(rows(19), 0);
    assert_eq!(rows(20), 30);
}

#[test]
fn columns_are_called_as_in_postgresql() {
    let names = |sql: &str| -> Vec<String> {
        let s = compile(sql, &catalog(), AT, ANALYST, SIGNED_AT_MS).unwrap();
        s.plan.fields.iter().map(|f| f.name.clone()).collect()
    };
    let sql = "select A, a + 1, count(*), case when a = 1 then 2 end, (a), 5 as \"X y\", \
               cast(a as bigint), cast(1 as int) from t1 group by a";
    assert_eq!(names(sql), ["a", "?column?", "count", "case", "a", "X y", "a", "int4"]);
    assert_eq!(names("select *, a as z from t1"), ["a", "b", "c", "d", "e", "z"]);
    assert_eq!(names("select a as x from t1 union all select b from t1"), ["x"]);
    assert_eq!(names("select (select max(a) from t1)"), ["max"]);
}

#[test]
fn explain_shows_one_row_per_operator_and_runs_nothing() {
    let compiled = |sql: &str| compile(sql, &catalog(), AT, ANALYST, SIGNED_AT_MS).unwrap();
    let plain = compiled("select hue, count(*) from t group by hue order by hue");
    let explained = compiled("explain select hue, count(*) from t group by hue order by hue");
    assert_eq!(plain.explain, Explain::No);
    assert_eq!(explained.explain, Explain::Plan);
    assert_eq!(compiled("explain analyze select 1").explain, Explain::Analyze);
    assert_eq!(compiled("explain (analyze, format text) select 1").explain, Explain::Analyze);
    assert_eq!(plain.plan, explained.plan);
    let header = explained.result_header_for_explain().unwrap();
    assert_eq!(header.kind(), trine_proto::wire::ResultKind::Explain);
    let depths: Vec<u32> = header.explain.iter().map(|r| r.depth).collect();
    assert_eq!(depths, [0, 1, 2, 3]);
    assert!(header.explain[1].expected, "a sort's cost is an expectation");
    assert!(!header.explain[2].expected);
    assert_eq!(header.explain[3].rounds, 0);
    assert!(header.explain[2].bytes.iter().all(|b| *b > 0));
}
