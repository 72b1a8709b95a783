//! A node that stops answering though its connections stand: errors in time that name it, no wrong answer,
//! and everything by itself when it goes on.
#![allow(missing_docs, reason = "a test program")]
#![allow(clippy::unwrap_used, reason = "helpers of tests; the lint exempts test functions only")]

use std::time::{Duration, Instant};
use trine_client::{Client, SqlError, Value};
use trine_faults::Cluster;

/// Silence that the mesh bears, the wait for a party, and some seconds of busy machine.
const ERROR_WAIT: Duration = Duration::from_secs(75);
const HEAL_WAIT: Duration = Duration::from_secs(60);

async fn sum(client: &Client) -> Result<Value, SqlError> {
    Ok(client.query("SELECT SUM(a * b) FROM t WHERE a < b").await?.rows[0][0].clone())
}

async fn healed(client: &Client) -> Value {
    let started = Instant::now();
    loop {
        match sum(client).await {
            Ok(value) => return value,
            Err(e) => assert!(started.elapsed() < HEAL_WAIT, "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_named_in_time_and_comes_back_by_itself() {
    let cluster = Cluster::started().unwrap();
    let client = cluster.connect().await.unwrap();
    let rows: Vec<String> = (0..200).map(|i| format!("({i}, {})", 300 - i)).collect();
    let insert = format!("INSERT INTO t VALUES {}", rows.join(", "));
    client.execute("CREATE TABLE t (a INT, b INT)").await.unwrap();
    client.execute(&insert).await.unwrap();
    let expected: i128 =
        (0..200).map(|i| (i, 300 - i)).filter(|(a, b)| a < b).map(|(a, b)| a * b).sum();
    assert_eq!(sum(&client).await.unwrap(), Value::Int(expected));

    // For a moment: the query waits and completes.
    cluster.pause(2).unwrap();
    let (answer, ()) = tokio::join!(sum(&client), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.resume(2).unwrap();
    });
    match answer {
        Ok(value) => assert_eq!(value, Value::Int(expected)),
        Err(e) => assert!(e.message.contains("node"), "{e}"),
    }
    assert_eq!(healed(&client).await, Value::Int(expected));

    // For good: an error in time that names the node.
    cluster.pause(2).unwrap();
    let started = Instant::now();
    let error = tokio::time::timeout(ERROR_WAIT, sum(&client)).await.expect("an error in time");
    let error = error.unwrap_err();
    assert!(error.message.contains("node 2"), "{error}");
    println!("after {:?}: {error}", started.elapsed());
    cluster.resume(2).unwrap();
    assert_eq!(healed(&client).await, Value::Int(expected));
}
