//! PRIMARY KEY of a staged batch over visible segments.

use crate::support::*;
use std::collections::BTreeMap;
use trine_proto::catalog::{Catalog, NetProfile, SegmentEntry, Subject, TableEntry, TableRules};
use trine_proto::catalog::{Validation, Verdict};
use trine_proto::ids::{LogIndex, SegmentId, TableId, TransactionId};
use trine_proto::schema::{ColumnType as T, TableSchema};
use trine_query::plan::Literal;
use trine_query::{compile_work, run_work};

/// Key (k, t); segments 0.. are visible, the last one is the batch.
fn verdict(segments: &[&[(i128, &str)]], hidden: Option<usize>) -> bool {
    let id = TableId(4);
    let schema = TableSchema {
        name: "p".into(),
        columns: vec![
            column("v", T::BigInt, true),
            column("t", T::Varchar { bytes_max: 3 }, false),
            column("k", T::Int, false),
        ],
        primary_key: vec![2, 1],
    };
    let row = |(k, t): &(i128, &str)| {
        vec![Literal::Null, Literal::Text(t.as_bytes().to_vec()), Literal::Number(*k)]
    };
    let segments: Vec<(SegmentId, Vec<Row>)> = segments
        .iter()
        .enumerate()
        .map(|(i, rows)| (SegmentId([i as u8 + 1; 16]), rows.iter().map(row).collect()))
        .collect();
    let table = Table { id, schema: schema.clone(), segments };
    let entry = |(index, (id, rows)): (usize, &(SegmentId, Vec<Row>))| SegmentEntry {
        id: *id,
        rows: rows.len() as u64,
        valid_from: LogIndex(index as u64 + 1),
        valid_to: (hidden == Some(index)).then_some(LogIndex(50)),
        component_digests: [[0; 32]; 3],
        has_valid: false,
        layout: None,
    };
    let mut entries: Vec<SegmentEntry> = table.segments.iter().enumerate().map(entry).collect();
    let batch = entries.pop().unwrap();
    let mut catalog = Catalog::default();
    catalog.tables.insert(
        id,
        TableEntry {
            id,
            schema,
            owner: "o".into(),
            created: LogIndex(1),
            dropped: None,
            segments: entries,
            grants: BTreeMap::new(),
            rules: TableRules::default(),
            replaces: None,
        },
    );
    let validation = Validation {
        table: id,
        subject: Subject::Batch(batch),
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
    let all = trine_mpc::testing::run(5, |s| {
        let party = s.party();
        run_work(&work, s, &stores[party], [[0; 16]; 2]).unwrap().verdict
    });
    assert!(all.iter().all(|v| *v == all[0]));
    all[0] == Verdict::Holds
}

#[test]
fn keys_are_compared_across_segments_and_within_the_batch() {
    assert!(verdict(&[&[]], None));
    assert!(verdict(&[&[(1, "a")]], None));
    assert!(verdict(&[&[(1, "a"), (1, "b"), (2, "a")], &[(0, ""), (2, "b")], &[(3, "a")]], None));
    assert!(!verdict(&[&[(1, "a"), (2, "b")], &[(2, "b")]], None));
    assert!(!verdict(&[&[(1, "a")], &[(2, "b"), (0, ""), (2, "b")]], None));
    assert!(!verdict(&[&[(0, "")], &[], &[(0, "")]], None));
    let many: Vec<(i128, &str)> = (0..150).map(|k| (k * 7 % 150, "x")).collect();
    assert!(verdict(&[&many, &[(150, "x")]], None));
    assert!(!verdict(&[&many, &[(149, "x")]], None));
}

#[test]
fn segments_that_are_gone_do_not_count() {
    assert!(verdict(&[&[(1, "a")], &[(2, "b")], &[(1, "a")]], Some(0)));
    assert!(!verdict(&[&[(1, "a")], &[(2, "b")], &[(1, "a")]], Some(1)));
}
