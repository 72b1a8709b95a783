//! A finished result is there when its client comes, whoever died meanwhile, and goes when its time is over.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use trine_client::{Client, Value};
use trine_faults::Cluster;
use trine_proto::ids::JobId;

const QUERY: &str = "SELECT a, b FROM t ORDER BY a";

fn expected() -> Vec<Vec<Value>> {
    let row = |a: i128, b: &str| vec![Value::Int(a), Value::Text(b.into())];
    vec![row(1, "one"), row(2, "two"), row(3, "three")]
}

/// Asks until the nodes, of which some were started a moment ago, let the job be done.
async fn done(client: &Client, job: JobId) {
    for _ in 0..300 {
        if client.wait(job, None).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("job {job} does not end");
}

/// The rows; a connection to a node that was started again may end once.
async fn fetched(client: &Client, job: JobId) -> Vec<Vec<Value>> {
    let mut tries = 0;
    loop {
        match client.fetch(job).await {
            Ok(table) => return table.rows,
            Err(e) if tries == 50 => panic!("{e}"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until each node keeps so many results.
async fn kept(cluster: &Cluster, count: usize) {
    for _ in 0..600 {
        if (0..3).all(|party| cluster.results(party).len() == count) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("results: {:?}", [0, 1, 2].map(|party| cluster.results(party)));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_survive_the_death_of_the_nodes() {
    let mut cluster = Cluster::started().unwrap();
    let client = cluster.connect().await.unwrap();
    for sql in [
        "CREATE TABLE t (a INT, b VARCHAR(10))",
        "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')",
    ] {
        client.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let job = client.submit(QUERY).await.unwrap();
    done(&client, job).await;
    for party in 0..3 {
        for file in cluster.results(party) {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", file.display());
        }
    }
    cluster.kill(1);
    cluster.start_all().unwrap();
    assert_eq!(fetched(&client, job).await, expected());
    (0..3).for_each(|party| cluster.kill(party));
    cluster.start_all().unwrap();
    assert_eq!(fetched(&client, job).await, expected());
    // Another client of the same principal, as after a crash of the first one.
    let client = cluster.connect().await.unwrap();
    assert_eq!(fetched(&client, job).await, expected());

    // Dead before and after a result is durable, the log not knowing of it.
    let mut jobs = vec![job];
    for point in ["result.write", "result.kept"] {
        cluster.stop(2).unwrap();
        cluster.start(2, Some(point)).unwrap();
        cluster.wait_ready(2).unwrap();
        let job = loop {
            match client.submit(QUERY).await {
                Ok(job) => break job,
                // A query that was cancelled because of a stale connection may have been its death.
                Err(_) if !cluster.runs(2) => {
                    cluster.start(2, Some(point)).unwrap();
                    cluster.wait_ready(2).unwrap();
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        while cluster.runs(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.start_all().unwrap();
        done(&client, job).await;
        assert_eq!(fetched(&client, job).await, expected(), "{point}");
        jobs.push(job);
    }

    // A byte that changed is an error that names the node, and never a row.
    let (damaged, path) = (jobs[1], cluster.results(0));
    let path = path.iter().find(|p| p.to_string_lossy().contains(&damaged.to_string())).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let error = client.fetch(damaged).await.unwrap_err();
    assert_eq!(error.sqlstate, "XX001", "{error}");
    assert!(error.message.contains("cannot be read at node 0"), "{error}");
    assert_eq!(fetched(&client, jobs[2]).await, expected());

    // When their time is over nothing is left of them, without anybody asking.
    for party in 0..3 {
        cluster.stop(party).unwrap();
    }
    cluster.keep_results(2);
    cluster.start_all().unwrap();
    kept(&cluster, 0).await;
    let mut tries = 0;
    let error = loop {
        let error = client.fetch(jobs[2]).await.unwrap_err();
        if !error.sqlstate.starts_with("08") && error.sqlstate != "57P03" {
            break error;
        }
        tries += 1;
        assert!(tries < 50, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(error.message, format!("the result of job {} is gone", jobs[2]));
}
