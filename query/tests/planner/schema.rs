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
            layout: None,
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
        replaces: None,
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

fn text(name: &str, bytes_max: u32) -> Column {
    column(name, ColumnType::Varchar { bytes_max }, false, None)
}

fn whole(name: &str) -> Column {
    column(name, ColumnType::Int, false, None)
}

fn amount(name: &str) -> Column {
    column(name, ColumnType::Decimal { precision: 15, scale: 2 }, false, None)
}

fn day(name: &str) -> Column {
    column(name, ColumnType::Date, false, None)
}

/// TPC-H's eight tables with the row counts of scale factor 0.01.
fn tpch(catalog: &mut Catalog) {
    let nullable = |c: Column| Column { nullable: true, ..c };
    let region = vec![whole("r_regionkey"), text("r_name", 25), nullable(text("r_comment", 152))];
    add(catalog, "region", &[0], region, &[5]);
    let nation = vec![
        whole("n_nationkey"),
        text("n_name", 25),
        whole("n_regionkey"),
        nullable(text("n_comment", 152)),
    ];
    add(catalog, "nation", &[0], nation, &[25]);
    let supplier = vec![
        whole("s_suppkey"),
        text("s_name", 25),
        text("s_address", 40),
        whole("s_nationkey"),
        text("s_phone", 15),
        amount("s_acctbal"),
        text("s_comment", 101),
    ];
    add(catalog, "supplier", &[0], supplier, &[100]);
    let part = vec![
        whole("p_partkey"),
        text("p_name", 55),
        text("p_mfgr", 25),
        text("p_brand", 10),
        text("p_type", 25),
        whole("p_size"),
        text("p_container", 10),
        amount("p_retailprice"),
        text("p_comment", 23),
    ];
    add(catalog, "part", &[0], part, &[2_000]);
    let partsupp = vec![
        whole("ps_partkey"),
        whole("ps_suppkey"),
        whole("ps_availqty"),
        amount("ps_supplycost"),
        text("ps_comment", 199),
    ];
    add(catalog, "partsupp", &[0, 1], partsupp, &[8_000]);
    let customer = vec![
        whole("c_custkey"),
        text("c_name", 25),
        text("c_address", 40),
        whole("c_nationkey"),
        text("c_phone", 15),
        amount("c_acctbal"),
        text("c_mktsegment", 10),
        text("c_comment", 117),
    ];
    add(catalog, "customer", &[0], customer, &[1_500]);
    let orders = vec![
        whole("o_orderkey"),
        whole("o_custkey"),
        text("o_orderstatus", 1),
        amount("o_totalprice"),
        day("o_orderdate"),
        text("o_orderpriority", 15),
        text("o_clerk", 15),
        whole("o_shippriority"),
        text("o_comment", 79),
    ];
    add(catalog, "orders", &[0], orders, &[15_000]);
    let lineitem = vec![
        whole("l_orderkey"),
        whole("l_partkey"),
        whole("l_suppkey"),
        whole("l_linenumber"),
        amount("l_quantity"),
        amount("l_extendedprice"),
        amount("l_discount"),
        amount("l_tax"),
        text("l_returnflag", 1),
        text("l_linestatus", 1),
        day("l_shipdate"),
        day("l_commitdate"),
        day("l_receiptdate"),
        text("l_shipinstruct", 25),
        text("l_shipmode", 10),
        text("l_comment", 44),
    ];
    add(catalog, "lineitem", &[0, 3], lineitem, &[60_175]);
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
    tpch(&mut catalog);
    if let Some(table) = catalog.tables.values_mut().find(|t| t.schema.name == "secret") {
        table.grants.clear();
    }
    catalog
}
