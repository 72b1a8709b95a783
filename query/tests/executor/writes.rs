//! EXPLAIN of statements that write says what running them is counted to cost.

use crate::support::*;
use std::collections::BTreeMap;
use trine_mpc::Cost;
use trine_proto::catalog::{
    Catalog, CheckRule, NetProfile, SegmentEntry, Subject, TableEntry, TableRules, Validation,
    Verdict, WriteEntry,
};
use trine_proto::ids::{LogIndex, SegmentId, TableId, TransactionId};
use trine_proto::schema::{ColumnType as T, TableSchema};
use trine_query::plan::Literal;
use trine_query::{compile_with, compile_work, run_work};

const ID: TableId = TableId(4);

/// (k INT PRIMARY KEY, v BIGINT, t VARCHAR(3)) with a CHECK, of 70 and 3 rows.
fn table() -> (Table, Catalog) {
    let schema = TableSchema {
        name: "p".into(),
        columns: vec![
            column("k", T::Int, false),
            column("v", T::BigInt, true),
            column("t", T::Varchar { bytes_max: 3 }, true),
        ],
        primary_key: vec![0],
    };
    let row = |k: i128| vec![Literal::Number(k), Literal::Number(k * k), Literal::Null];
    let segments: Vec<(SegmentId, Vec<Row>)> = [0..70, 70..73]
        .into_iter()
        .enumerate()
        .map(|(i, keys)| (SegmentId([i as u8 + 1; 16]), keys.map(row).collect()))
        .collect();
    let entry = |(id, rows): &(SegmentId, Vec<Row>)| SegmentEntry {
        id: *id,
        rows: rows.len() as u64,
        valid_from: LogIndex(1),
        valid_to: None,
        component_digests: [[0; 32]; 3],
        has_valid: false,
        layout: None,
    };
    let entries = segments.iter().map(entry).collect();
    let checks = vec![CheckRule { name: "small".into(), sql: "v < 1000000".into() }];
    let mut catalog = Catalog::default();
    let entry = TableEntry {
        id: ID,
        schema: schema.clone(),
        owner: "o".into(),
        created: LogIndex(1),
        dropped: None,
        segments: entries,
        grants: BTreeMap::new(),
        rules: TableRules { checks, ..TableRules::default() },
        replaces: None,
    };
    catalog.tables.insert(ID, entry);
    (Table { id: ID, schema, segments }, catalog)
}

/// Counted at each party, and predicted of all, with its share of sorts.
fn costs(sql: &str) -> ([Cost; 3], Cost, bool) {
    let (table, catalog) = table();
    let write = WriteEntry {
        principal: "o".into(),
        sql: sql.into(),
        rewrites: !sql.starts_with("INSERT"),
        refreshes: false,
        parameters: None,
        statement_digest: [0; 32],
        signed_at_ms: 0,
    };
    let validation = Validation {
        table: ID,
        subject: Subject::Write(Box::new(write)),
        queued: LogIndex(90),
        attempt: 1,
        position: LogIndex(99),
        verdicts: [None; 3],
        net_profile: NetProfile::default(),
        memory_max: None,
        within: None,
    };
    let stores = stores(&[&table]);
    let work = compile_work(&catalog, TransactionId([7; 16]), &validation).unwrap();
    let counted = trine_mpc::testing::run(5, |s| {
        let party = s.party();
        let done = run_work(&work, s, &stores[party], [[0; 16]; 2]).unwrap();
        assert!(matches!(done.verdict, Verdict::Staged(_)), "{:?}", done.verdict);
        (s.cost(), s.profile())
    });
    let profile = counted[0].1;
    let explained =
        compile_with(&format!("EXPLAIN {sql}"), None, &catalog, LogIndex(99), "o", 0).unwrap();
    let lines = explained.explain_rows(profile).unwrap();
    let bytes = |party: usize| lines.iter().map(|l| l.bytes[party]).sum();
    let predicted = Cost {
        rounds: lines.iter().map(|l| l.rounds).sum(),
        bytes: [bytes(0), bytes(1), bytes(2)],
    };
    let sorts = lines.iter().any(|l| l.expected);
    ([counted[0].0, counted[1].0, counted[2].0], predicted, sorts)
}

#[test]
fn explain_of_a_write_predicts_what_is_counted() {
    for sql in [
        "UPDATE p SET v = v + 1 WHERE k > 10",
        "UPDATE p SET t = 'x', v = NULL WHERE v IS NOT NULL AND t IS NULL",
        "DELETE FROM p WHERE v % 7 = 3",
        "DELETE FROM p",
        "UPDATE p SET v = (SELECT max(v) FROM p AS q) - v",
    ] {
        let (counted, predicted, sorts) = costs(sql);
        assert!(!sorts, "{sql}");
        assert!(predicted.rounds > 0 || sql == "DELETE FROM p", "{sql}");
        for (party, counted) in counted.iter().enumerate() {
            assert_eq!(counted.rounds, predicted.rounds, "{sql}");
            assert_eq!(counted.bytes[party], predicted.bytes[party], "{sql} at party {party}");
        }
    }
    // Keys are sorted: the sorts are an expectation.
    let (_, predicted, sorts) = costs("INSERT INTO p SELECT k + 100, v, t FROM p WHERE k < 5");
    assert!(sorts && predicted.rounds > 0);
}

#[test]
fn only_who_may_write_may_explain_a_write() {
    let (_, catalog) = table();
    let refused = |sql: &str, who: &str| {
        compile_with(sql, None, &catalog, LogIndex(99), who, 0).unwrap_err().to_string()
    };
    assert_eq!(
        refused("EXPLAIN DELETE FROM p", "mallory"),
        "permission denied for table p (SQLSTATE 42501)"
    );
    assert_eq!(
        refused("EXPLAIN DELETE FROM q", "o"),
        "relation \"q\" does not exist (SQLSTATE 42P01)"
    );
    assert_eq!(
        refused("EXPLAIN ANALYZE DELETE FROM p", "o"),
        "a statement that writes can be explained, but not run by EXPLAIN (SQLSTATE 0A000)"
    );
    assert_eq!(
        refused("EXPLAIN UPDATE p SET x = 1", "o"),
        "column \"x\" of relation \"p\" does not exist (SQLSTATE 42703)"
    );
}
