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

/// Part of the corpus as the in-process engine runs it.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_corpus() {
    let mut engine = Engine::start(EngineKind::Cluster).await.unwrap();
    let files = ["demo", "ddl", "errors/names.slt", "null/aggregates.slt"];
    check(&mut engine, &files.map(corpus), 50).await;
}
