//! The catalog of the planner's tests: the demo's tables, a table of every type, plain integers.

use std::collections::BTreeMap;
use trine_proto::catalog::{Catalog, SegmentEntry, TableEntry, TableRules};
use trine_proto::ids::{LogIndex, SegmentId, TableId};
use trine_proto::schema::{Column, ColumnType, Secrecy, TableSchema};

pub(crate) const ANALYST: &str = "analyst";
pub(crate) const AT: LogIndex = LogIndex(100);
pub(crate) const SIGNED_AT_MS: u64 = 1_735_689_600_000;

fn column(name: &str, ty: ColumnType, nullable: bool, range: Option<(i64, i64)>) -> Column {
    Column { name: name.into(), ty, nullable, secrecy: Secrecy::Secret, range }
}

fn int(name: &str, low: i64, high: i64) -> Column {
    column(name, ColumnType::Int, false, Some((low, high)))
}

fn money(name: &str) -> Column {
    column(name, ColumnType::Decimal { precision: 10, scale: 2 }, false, None)
}

fn labels(all: &[&str]) -> ColumnType {
    ColumnType::Enum { labels: all.iter().map(|l| (*l).to_owned()).collect() }
}

fn add(catalog: &mut Catalog, name: &str, key: &[usize], columns: Vec<Column>, rows: &[u64]) {
    let id = catalog.next_table;
    catalog.next_table += 1;
    let segments = rows
        .iter()
        .enumerate()
        .map(|(i, rows)| SegmentEntry {
            id: SegmentId([
                u8::try_from(id).unwrap(),
                u8::try_from(i).unwrap(),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ]),
            rows: *rows,
            valid_from: LogIndex(20),
            valid_to: None,
            component_digests: [[0; 32]; 3],
            has_valid: false,
        })
        .collect();
    let entry = TableEntry {
        id: TableId(id),
        schema: TableSchema { name: name.into(), columns, primary_key: key.to_vec() },
        owner: "owner".into(),
        created: LogIndex(10),
        dropped: None,
        segments,
        grants: BTreeMap::from([(ANALYST.to_owned(), vec![(LogIndex(30), true)])]),
        rules: TableRules::default(),
    };
    catalog.tables.insert(TableId(id), entry);
}

fn person_year() -> Vec<Column> {
    vec![int("person_id", 0, 1_000_000), int("year", 1, 5)]
}

fn demo(catalog: &mut Catalog) {
    let with = |more: Vec<Column>| person_year().into_iter().chain(more).collect::<Vec<_>>();
    add(
        catalog,
        "insurer",
        &[0, 1],
        with(vec![
            int("plan", 1, 24),
            int("coinsurance", 0, 100),
            int("deductible_plan", 0, 1),
            int("site", 1, 6),
        ]),
        &[20_190],
    );
    let clinic = || {
        with(vec![
            int("visits", 0, 100),
            money("cost"),
            column("chronic", ColumnType::Decimal { precision: 5, scale: 2 }, false, None),
            int("health", 1, 4),
        ])
    };
    add(catalog, "clinic_a", &[0, 1], clinic(), &[10_934]);
    add(catalog, "clinic_b", &[0, 1], clinic(), &[9_256]);
    add(
        catalog,
        "hospital",
        &[0, 1],
        with(vec![int("admissions", 0, 30), money("cost")]),
        &[1_819],
    );
    add(
        catalog,
        "employer",
        &[0],
        vec![
            int("person_id", 0, 1_000_000),
            money("income"),
            int("female", 0, 1),
            int("school_years", 0, 30),
            int("age", 0, 120),
        ],
        &[5_912],
    );
}

/// The demo's five tables, `t` with every type, `t1` of nullable integers, and `secret`, which the
/// analyst may not read.
pub(crate) fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    demo(&mut catalog);
    add(
        &mut catalog,
        "t",
        &[0],
        vec![
            int("id", 0, 9999),
            column("flag", ColumnType::Boolean, true, None),
            column("small", ColumnType::SmallInt, true, None),
            column("n", ColumnType::Int, true, None),
            column("big", ColumnType::BigInt, true, None),
            column("price", ColumnType::Decimal { precision: 12, scale: 4 }, true, None),
            column("day", ColumnType::Date, true, None),
            column("name", ColumnType::Varchar { bytes_max: 20 }, true, None),
            column("mood", labels(&["sad", "ok", "happy"]), true, None),
            column("hue", labels(&["red", "green", "blue"]), false, None),
        ],
        &[500, 300],
    );
    let integers =
        ["a", "b", "c", "d", "e"].map(|n| column(n, ColumnType::Int, true, None)).to_vec();
    add(&mut catalog, "t1", &[], integers, &[30]);
    add(&mut catalog, "empty", &[0], vec![int("id", 0, 9), money("m")], &[]);
    add(&mut catalog, "secret", &[], vec![int("x", 0, 1)], &[5]);
    if let Some(table) = catalog.tables.values_mut().find(|t| t.schema.name == "secret") {
        table.grants.clear();
    }
    catalog
}
