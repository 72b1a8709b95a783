//! What compiled statements answer when three parties run them. `answers.txt` holds statements with
//! their rows, checked once against another database; rows are sorted unless the statement orders.
//! `TRINE_BLESS=1 cargo test -p trine-query --test planner` writes what is answered today.

use crate::support::{Row, Table, column, failed, open, ranged, stores};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use trine_mpc::testing::run_as;
use trine_mpc::{Profile, Session};
use trine_proto::catalog::{Catalog, SegmentEntry, TableEntry, TableRules};
use trine_proto::ids::{LogIndex, SegmentId, TableId};
use trine_proto::schema::{Column, ColumnType, TableSchema};
use trine_query::plan::Literal;
use trine_query::types::{NumberKind, Type};
use trine_query::{Executed, Observer, Statement, compile, execute, run};

const PROFILE: Profile = Profile { round_trip_us: 128, megabits_per_s: 8192, lanes: 1 };

fn number(v: i128) -> Literal {
    Literal::Number(v)
}

fn text(v: &str) -> Literal {
    Literal::Text(v.as_bytes().to_vec())
}

/// `emp`: people with a key; `pay`: payments with a two-column key; `tag`: no key, NULLs.
fn tables() -> [Table; 3] {
    let decimal = ColumnType::Decimal { precision: 8, scale: 2 };
    let mood = ColumnType::Enum { labels: ["sad", "ok", "glad"].map(str::to_owned).to_vec() };
    let id = |range| ranged("id", ColumnType::Int, false, range);
    let emp = vec![
        id((0, 99)),
        column("name", ColumnType::Varchar { bytes_max: 6 }, false),
        ranged("age", ColumnType::Int, true, (0, 120)),
        column("mood", mood, true),
        column("boss", ColumnType::Boolean, false),
        column("born", ColumnType::Date, true),
    ];
    let person = |id, name, age: Option<i128>, mood: Option<i128>, boss, born: Option<i128>| {
        let or_null = |v: Option<i128>| v.map_or(Literal::Null, number);
        let boss = Literal::Boolean(boss);
        vec![number(id), text(name), or_null(age), or_null(mood), boss, or_null(born)]
    };
    let people = vec![
        person(1, "ann", Some(30), Some(2), true, Some(8_000)),
        person(2, "bob", Some(25), Some(0), false, Some(9_100)),
        person(3, "cy", None, Some(1), false, None),
        person(4, "dee", Some(30), None, false, Some(8_000)),
        person(7, "al", Some(61), Some(2), true, Some(-100)),
    ];
    let pay = vec![
        id((0, 200)),
        ranged("year", ColumnType::SmallInt, false, (1, 4)),
        column("sum", decimal, true),
        ranged("n", ColumnType::BigInt, true, (-1_000, 1_000)),
    ];
    let paid = |id, year, sum: Option<i128>, n: Option<i128>| {
        let or_null = |v: Option<i128>| v.map_or(Literal::Null, number);
        vec![number(id), number(year), or_null(sum), or_null(n)]
    };
    let payments = [
        vec![
            paid(1, 1, Some(10_050), Some(5)),
            paid(1, 2, Some(-333), Some(-7)),
            paid(2, 1, None, Some(0)),
            paid(2, 3, Some(99_999), None),
        ],
        vec![
            paid(4, 4, Some(1), Some(1_000)),
            paid(9, 1, Some(5_000), Some(-1_000)),
            paid(2, 2, Some(0), Some(3)),
        ],
    ];
    let tag = vec![
        ranged("id", ColumnType::Int, true, (0, 99)),
        column("label", ColumnType::Varchar { bytes_max: 8 }, true),
    ];
    let tags = [(Some(1), Some("x")), (Some(1), Some("yy")), (Some(4), None), (None, Some("x"))]
        .map(|(id, label): (Option<i128>, Option<&str>)| {
            vec![id.map_or(Literal::Null, number), label.map_or(Literal::Null, text)]
        })
        .to_vec();
    [
        table(1, "emp", emp, &[0], vec![people]),
        table(2, "pay", pay, &[0, 1], payments.to_vec()),
        table(3, "tag", tag, &[], vec![tags]),
    ]
}

fn table(id: u64, name: &str, columns: Vec<Column>, key: &[usize], rows: Vec<Vec<Row>>) -> Table {
    let segments = rows
        .into_iter()
        .enumerate()
        .map(|(index, rows)| {
            let mut segment = [id as u8; 16];
            segment[0] = index as u8;
            (SegmentId(segment), rows)
        })
        .collect();
    let schema = TableSchema { name: name.into(), columns, primary_key: key.to_vec() };
    Table { id: TableId(id), schema, segments }
}

pub(crate) fn catalog(tables: &[Table]) -> Catalog {
    let mut catalog = Catalog::default();
    for table in tables {
        let segments = table
            .segments
            .iter()
            .map(|(id, rows)| SegmentEntry {
                id: *id,
                rows: rows.len() as u64,
                valid_from: LogIndex(1),
                valid_to: None,
                component_digests: [[0; 32]; 3],
                has_valid: false,
                layout: None,
            })
            .collect();
        let entry = TableEntry {
            id: table.id,
            schema: table.schema.clone(),
            owner: "me".into(),
            created: LogIndex(1),
            dropped: None,
            segments,
            grants: BTreeMap::new(),
            rules: TableRules::default(),
            replaces: None,
        };
        catalog.tables.insert(table.id, entry);
    }
    catalog
}

pub(crate) struct Silent;
impl Observer for Silent {
    fn operator(&mut self, _: &str, _: u32, _: u32) {}
}

fn shown(value: &Literal, ty: &Type) -> String {
    match (value, ty) {
        (Literal::Null, _) => "NULL".into(),
        (Literal::Boolean(b), _) => b.to_string(),
        (Literal::Text(bytes), _) => format!("'{}'", String::from_utf8_lossy(bytes)),
        (Literal::Number(v), Type::Number { kind, .. }) => match kind {
            NumberKind::Decimal { scale, .. } => {
                let digits = usize::from(*scale);
                let all = format!("{:0>width$}", v.unsigned_abs(), width = digits + 1);
                let (whole, part) = all.split_at(all.len() - digits);
                let sign = if *v < 0 { "-" } else { "" };
                if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
            }
            NumberKind::Double { fraction_bits } => {
                format!("{:.6}", *v as f64 / 2_f64.powi(*fraction_bits as i32))
            }
            NumberKind::Enum { labels } => format!("'{}'", labels[*v as usize]),
            _ => v.to_string(),
        },
        (Literal::Number(v), _) => v.to_string(),
    }
}

fn answer(statement: &Statement, tables: &[Table]) -> String {
    let all: Vec<&Table> = tables.iter().collect();
    let stores = stores(&all);
    let parts: [Executed; 3] = run_as(PROFILE, 11, |s: &mut Session| {
        let party = s.party();
        run(&statement.plan, s, &stores[party], &mut Silent).unwrap()
    });
    crate::support::check_costs(&statement.plan, &parts, PROFILE);
    if let Some(failure) = failed(&parts).first() {
        return failure.error().to_string();
    }
    let ordered =
        matches!(statement.plan.op, trine_query::plan::Operator::Reveal { ordered: true, .. });
    let types: Vec<&Type> = statement.plan.fields.iter().map(|f| &f.ty).collect();
    let mut lines: Vec<String> = open(&parts)
        .iter()
        .map(|row| {
            let values: Vec<String> = row.iter().zip(&types).map(|(v, ty)| shown(v, ty)).collect();
            values.join(" ")
        })
        .collect();
    if !ordered {
        lines.sort();
    }
    lines.join("\n")
}

#[test]
fn statements_answer_as_another_database_does() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/planner/answers.txt");
    let golden = fs::read_to_string(&path).unwrap();
    let tables = tables();
    let catalog = catalog(&tables);
    let mut fresh = String::new();
    for block in golden.split("\n\n").map(str::trim).filter(|b| !b.is_empty()) {
        let (sql, rows) = block.split_once("\n----").unwrap_or((block, ""));
        let got = match compile(sql, &catalog, LogIndex(5), "me", 0) {
            Ok(statement) => answer(&statement, &tables),
            Err(e) => format!("{e}"),
        };
        if std::env::var_os("TRINE_BLESS").is_none() {
            assert_eq!(got, rows.trim(), "{sql}");
        }
        let _ = writeln!(fresh, "{sql}\n----\n{got}\n");
    }
    if std::env::var_os("TRINE_BLESS").is_some() {
        fs::write(&path, fresh).unwrap();
    }
}

#[test]
fn explain_analyze_counts_what_explain_predicts() {
    let tables = tables();
    let catalog = catalog(&tables);
    let all: Vec<&Table> = tables.iter().collect();
    let stores = stores(&all);
    let sql = "explain analyze select e.mood, count(*), avg(p.sum) from emp e join pay p on e.id = p.id \
               group by e.mood order by 2 desc";
    let statement = compile(sql, &catalog, LogIndex(5), "me", 0).unwrap();
    let parts = run_as(PROFILE, 3, |s: &mut Session| {
        let party = s.party();
        execute(&statement, s, &stores[party], &mut Silent).unwrap()
    });
    for (party, part) in parts.iter().enumerate() {
        assert!(part.vectors.is_empty());
        let mut sorts = 0;
        let mut rounds = 0;
        for row in &part.header.explain {
            let counted = row.counted.unwrap();
            rounds += counted.rounds;
            if row.expected {
                sorts += 1;
                assert_eq!(counted.rounds, row.rounds_recomputed, "{}", row.text);
                assert_eq!(counted.bytes_sent, row.bytes_recomputed[party], "{}", row.text);
            } else {
                assert_eq!(counted.rounds, row.rounds, "{}", row.text);
                assert_eq!(counted.bytes_sent, row.bytes[party], "{}", row.text);
            }
        }
        assert!(sorts >= 1);
        assert_eq!(part.header.total.unwrap().rounds, rounds);
    }
}
