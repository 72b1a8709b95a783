//! Plans of TPC-H's and the demo's queries: the same at three nodes, and as dear as predicted.

use crate::ladder::corpora;
use std::path::{Path, PathBuf};
use trine_sql_tests::inprocess::InProcess;
use trine_sql_tests::tpch::{SCHEMA, TABLES, data};

/// Enough for every query to find rows.
const SCALE: f64 = 0.0003;

fn tpch() -> Option<(InProcess, Vec<(String, String)>)> {
    let queries = corpora()?.join("tpch/queries");
    let folder = tempfile::tempdir().unwrap();
    data::generate(SCALE, folder.path()).unwrap();
    let engine = InProcess::new().unwrap();
    engine.run(SCHEMA).unwrap();
    for table in TABLES {
        engine.load_csv(table, &data::file(folder.path(), table)).unwrap();
    }
    let read = |n: u32| {
        let sql = std::fs::read_to_string(queries.join(format!("q{n:02}.sql"))).unwrap();
        (format!("q{n:02}"), sql)
    };
    Some((engine, (1..=22).map(read).collect()))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|p| p.to_string_lossy().ends_with(ending));
    all.sort();
    all
}

fn demo() -> (InProcess, Vec<(String, String)>) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
    let engine = InProcess::new().unwrap();
    for schema in files(&demo.join("schema"), ".sql") {
        let text = std::fs::read_to_string(schema).unwrap();
        let tables: Vec<&str> = text.split("GRANT").next().into_iter().collect();
        engine.run(&tables.concat()).unwrap();
    }
    let queries = files(&demo.join("queries"), ".sql").into_iter().map(|path| {
        let sql = std::fs::read_to_string(&path).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), sql)
    });
    (engine, queries.collect())
}

/// Every map in the planner has a hash seed of its own, in every thread of every run; the runs differ in
/// how many threads plan at the same time.
fn assert_equal_plans(engine: &InProcess, queries: &[(String, String)]) {
    for (name, sql) in queries {
        let alone = engine.plan_digests(sql).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(alone.iter().all(|digest| *digest == alone[0]), "{name}: three plans differ");
        for crowd in [2, 5] {
            std::thread::scope(|scope| {
                let plan = || engine.plan_digests(sql).unwrap();
                let threads: Vec<_> = (0..crowd).map(|_| scope.spawn(plan)).collect();
                for thread in threads {
                    assert_eq!(thread.join().unwrap(), alone, "{name} beside {crowd} others");
                }
            });
        }
    }
}

#[test]
fn three_nodes_make_the_same_plans() {
    let (engine, queries) = demo();
    assert_eq!(queries.len(), 7);
    assert_equal_plans(&engine, &queries);
    let Some((engine, queries)) = tpch() else {
        eprintln!("no corpora on this machine: only the demo was planned");
        return;
    };
    assert_equal_plans(&engine, &queries);
}

/// Rounds and every party's bytes of every operator. Where the shape of a sort follows from opened
/// comparisons, the prediction is recomputed from the sizes that were opened.
#[test]
fn every_operator_costs_what_was_predicted() {
    let Some((engine, queries)) = tpch() else {
        eprintln!("no corpora on this machine: no query was run");
        return;
    };
    let mut exact = 0;
    for (name, sql) in &queries {
        let nodes = engine.analysed(sql).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (party, rows) in nodes.iter().enumerate() {
            for row in rows {
                let counted = row.counted.as_ref().unwrap();
                let (rounds, bytes) = if row.expected {
                    (row.rounds_recomputed, &row.bytes_recomputed)
                } else {
                    exact += 1;
                    (row.rounds, &row.bytes)
                };
                let predicted = (rounds, bytes.get(party).copied().unwrap_or(0));
                let told = (counted.rounds, counted.bytes_sent);
                assert_eq!(told, predicted, "{name}, party {party}: {}", row.text);
            }
        }
    }
    assert!(exact > 22 * 3, "most operators have a cost that follows from sizes alone");
}

/// The same for what PUBLIC columns decide, over stores of different parties.
#[test]
fn public_data_gives_the_same_plan_everywhere_and_costs_nothing() {
    let engine = InProcess::new().unwrap();
    engine
        .run(
            "CREATE TABLE t (region INT PUBLIC, v INT NOT NULL);
             CREATE TABLE r (region INT PUBLIC, name VARCHAR(8) PUBLIC);
             INSERT INTO t VALUES (1, 10), (2, 20), (1, 30), (NULL, 40);
             INSERT INTO t VALUES (3, 50), (3, 60);
             INSERT INTO r VALUES (1, 'north'), (2, 'south'), (2, 'deep')",
        )
        .unwrap();
    let plan = |sql: &str| {
        let digests = engine.plan_digests(sql).unwrap();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{sql}");
        let [rows, _, _] = engine.analysed(sql).unwrap();
        rows
    };
    let free = |sql: &str, marks: usize| {
        let rows = plan(sql);
        let public: Vec<_> = rows.iter().filter(|r| r.text.contains("public]")).collect();
        assert!(public.len() >= marks, "{sql}: {rows:?}");
        for row in public {
            assert_eq!((row.rounds, &row.bytes), (0, &vec![0; 3]), "{sql}: {}", row.text);
            assert_eq!(row.opens, "");
        }
        rows
    };
    let filtered = free("SELECT v FROM t WHERE region = 3", 1);
    assert!(filtered.iter().any(|r| r.text.contains("2 segments, 1 read") && r.rows == 2));
    let joined = free("SELECT v, name FROM t JOIN r ON t.region = r.region", 1);
    assert!(joined.iter().any(|r| r.text.contains("PublicJoin") && r.rows == 4));
    free("SELECT region, sum(v) FROM t GROUP BY region", 1);
    let grouped = free("SELECT name, count(*) FROM r WHERE region > 1 GROUP BY name", 1);
    assert!(grouped.iter().any(|r| r.text.starts_with("Public (") && r.rows == 2));
    let before = engine.plan_digests("SELECT v FROM t WHERE region = 3").unwrap();
    engine.run("INSERT INTO t VALUES (3, 70)").unwrap();
    assert_ne!(before, engine.plan_digests("SELECT v FROM t WHERE region = 3").unwrap());
}
