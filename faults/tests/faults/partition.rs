//! A node that stops answering though its connections stand, and two nodes that do not reach each other:
//! errors in time that name a node, no wrong answer, and everything by itself when they do again.

use std::time::{Duration, Instant};
use trine_client::{Client, SqlError, Value};
use trine_faults::Cluster;

/// Silence that the mesh bears, the wait for a party, and some seconds of busy machine.
const ERROR_WAIT: Duration = Duration::from_secs(75);
const HEAL_WAIT: Duration = Duration::from_secs(60);

/// A query with a sort, so that there is something to interrupt.
async fn rank(client: &Client) -> Result<Value, SqlError> {
    let sql = "SELECT a FROM t WHERE a < b ORDER BY a * b DESC, a LIMIT 1";
    Ok(client.query(sql).await?.rows[0][0].clone())
}

async fn healed(client: &Client) -> Value {
    let started = Instant::now();
    loop {
        match rank(client).await {
            Ok(value) => return value,
            Err(e) => assert!(started.elapsed() < HEAL_WAIT, "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// a * (300 - a) grows up to a = 150, which is not below its partner.
const EXPECTED: i128 = 149;

async fn loaded(cluster: &Cluster) -> Client {
    let client = cluster.connect().await.unwrap();
    let rows: Vec<String> = (0..200).map(|i| format!("({i}, {})", 300 - i)).collect();
    let insert = format!("INSERT INTO t VALUES {}", rows.join(", "));
    client.execute("CREATE TABLE t (a INT, b INT)").await.unwrap();
    client.execute(&insert).await.unwrap();
    assert_eq!(rank(&client).await.unwrap(), Value::Int(EXPECTED));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_named_in_time_and_comes_back_by_itself() {
    let cluster = Cluster::started().unwrap();
    let client = loaded(&cluster).await;
    let expected = EXPECTED;
    // For a moment: the query waits and completes.
    cluster.pause(2).unwrap();
    let (answer, ()) = tokio::join!(rank(&client), async {
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
    let error = tokio::time::timeout(ERROR_WAIT, rank(&client)).await.expect("an error in time");
    let error = error.unwrap_err();
    assert!(error.message.contains("node 2"), "{error}");
    println!("after {:?}: {error}", started.elapsed());
    cluster.resume(2).unwrap();
    assert_eq!(healed(&client).await, Value::Int(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_do_not_reach_each_other_meet_again_by_themselves() {
    let mut cluster = Cluster::with_switchboard().unwrap();
    cluster.start_all().unwrap();
    let client = loaded(&cluster).await;
    let (a, b) = (0, 1);
    cluster.cut(a, b, true).unwrap();
    let asked = tokio::time::timeout(ERROR_WAIT, rank(&client)).await.expect("an end in time");
    let error = asked.unwrap_err();
    let named = [a, b].iter().any(|party| error.message.contains(&format!("node {party}")));
    // A query that comes while the three agree on another leader is told just that.
    assert!(named || error.message.contains("there is no leader"), "{error}");
    // The log goes on over the third node, once the three agree on a leader that two of them reach.
    let ordered = async {
        while let Err(e) = client.execute("CREATE TABLE IF NOT EXISTS meanwhile (x INT)").await {
            assert_eq!(e.sqlstate, "57P03", "{e}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(ERROR_WAIT, ordered).await.expect("an order in time");
    cluster.cut(a, b, false).unwrap();
    assert_eq!(healed(&client).await, Value::Int(EXPECTED));
}
