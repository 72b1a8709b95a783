//! A real cluster: three `trined` processes, mutual TLS, Raft, Parquet files.

use crate::corpus::{check, corpus};
use trine_sql_tests::cluster::Cluster;
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::value::Value;

/// The first gate: one INT table, a CSV, a filtered SUM; all stopped and started: the same answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_sum_survives_a_restart_of_all() {
    const SUM: &str = "SELECT sum(v) FROM numbers WHERE v > 500";
    let mut cluster = Cluster::start().await.unwrap();
    cluster.run("CREATE TABLE numbers (v INT NOT NULL)").await.unwrap();
    let file = cluster.folder().join("numbers.csv");
    let rows: Vec<String> = (0..2000).map(|v| v.to_string()).collect();
    std::fs::write(&file, format!("v\n{}\n", rows.join("\n"))).unwrap();
    cluster.load("numbers", &file).await.unwrap();
    let expected = Value::Integer((501..2000).sum());
    assert_eq!(cluster.run(SUM).await.unwrap().rows, [[expected.clone()]]);
    cluster.restart().await.unwrap();
    assert_eq!(cluster.run(SUM).await.unwrap().rows, [[expected]]);
}

/// One node down: queries end with an error that names it, and go on when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_stopped_and_started_between_two_queries() {
    const SUM: &str = "SELECT count(*), sum(v) FROM t WHERE v < 100";
    let mut cluster = Cluster::start().await.unwrap();
    cluster.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)").await.unwrap();
    cluster.run("INSERT INTO t VALUES (1, 10), (2, 20), (3, 300), (4, NULL)").await.unwrap();
    let expected = vec![vec![Value::Integer(2), Value::Integer(30)]];
    assert_eq!(cluster.run(SUM).await.unwrap().rows, expected);
    for party in [2, 0] {
        cluster.stop_node(party).unwrap();
        let error = cluster.run(SUM).await.unwrap_err();
        assert!(error.message.contains(&party.to_string()), "{error}");
        cluster.start_node(party).unwrap();
        assert_eq!(cluster.run(SUM).await.unwrap().rows, expected);
    }
}

/// Rows that were stored before an ALTER are read by their old layout, also after a restart, and by the
/// new one once they are rewritten.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_altered_and_all_nodes_are_restarted() {
    const ROWS: &str = "SELECT key, n, s FROM t ORDER BY key";
    let mut cluster = Cluster::start().await.unwrap();
    cluster.run("CREATE TABLE t (k INT, gone VARCHAR(8), n INT)").await.unwrap();
    cluster.run("INSERT INTO t VALUES (1, 'a', 10), (2, 'b', NULL)").await.unwrap();
    for alter in [
        "ALTER TABLE t DROP COLUMN gone, ADD COLUMN s VARCHAR(4) NOT NULL DEFAULT 'x'",
        "ALTER TABLE t RENAME COLUMN k TO key",
        "ALTER TABLE t ADD PRIMARY KEY (key)",
    ] {
        cluster.run(alter).await.unwrap();
    }
    let error = cluster.run("ALTER TABLE t ALTER n SET NOT NULL").await.unwrap_err();
    assert!(error.message.contains("contains null values"), "{error}");
    cluster.restart().await.unwrap();
    let row = |k, n, s: &str| vec![Value::Integer(k), n, Value::Text(s.into())];
    let (ten, none) = (Value::Integer(10), Value::Null);
    let expected = vec![row(1, ten.clone(), "x"), row(2, none.clone(), "x")];
    assert_eq!(cluster.run(ROWS).await.unwrap().rows, expected);
    cluster.run("UPDATE t SET s = 'new' WHERE n IS NULL").await.unwrap();
    cluster.run("ALTER TABLE t ALTER s DROP NOT NULL").await.unwrap();
    cluster.run("INSERT INTO t VALUES (3, 30, NULL)").await.unwrap();
    cluster.restart().await.unwrap();
    let error = cluster.run("INSERT INTO t VALUES (3, 31, NULL)").await.unwrap_err();
    assert!(error.message.contains("duplicate key"), "{error}");
    let last = vec![Value::Integer(3), Value::Integer(30), Value::Null];
    let expected = vec![row(1, ten, "x"), row(2, none, "new"), last];
    assert_eq!(cluster.run(ROWS).await.unwrap().rows, expected);
}

/// Part of the corpus as the in-process engine runs it.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_corpus() {
    let mut engine = Engine::start(EngineKind::Cluster).await.unwrap();
    let files = ["demo", "ddl", "errors/names.slt", "null/aggregates.slt"];
    check(&mut engine, &files.map(corpus), 50).await;
}
