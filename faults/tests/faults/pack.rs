//! Many small segments become one, with the same rows, whoever dies in between; what was packed is backed up
//! and repaired like any other segment.

use std::time::Duration;
use trine_client::{Client, Value};
use trine_faults::Cluster;

/// Segments that are packed, at least; see trine-consensus.
const MANY: usize = 32;
const QUERY: &str = "SELECT a, b, p FROM t ORDER BY a";

async fn rows(client: &Client) -> Vec<Vec<Value>> {
    let mut tries = 0;
    loop {
        match client.query(QUERY).await {
            Ok(table) => return table.rows,
            Err(e) if tries == 50 => panic!("{e}"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn row(a: usize) -> Vec<Value> {
    let b = if a.is_multiple_of(7) { Value::Null } else { Value::Text(format!("row {a}")) };
    let number = |n: usize| Value::Int(i128::try_from(n).unwrap());
    vec![number(a), b, number(a % 5)]
}

/// Adds a row, once, whatever dies meanwhile. Whether node 1 has.
async fn insert(cluster: &mut Cluster, client: &Client, a: usize) -> bool {
    let b = if a.is_multiple_of(7) { "NULL".to_owned() } else { format!("'row {a}'") };
    let sql = format!("INSERT INTO t VALUES ({a}, {b}, {})", a % 5);
    let mut died = false;
    while client.execute(&sql).await.is_err() {
        died |= !cluster.runs(1);
        cluster.start_all().unwrap();
        if rows(client).await.iter().any(|found| found[0] == row(a)[0]) {
            break;
        }
    }
    died
}

/// Waits until every node has so many files.
async fn settled(cluster: &Cluster, files: usize) {
    for _ in 0..1_200 {
        if (0..3).all(|party| cluster.files(party).len() == files) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("files: {:?}", [0, 1, 2].map(|party| cluster.files(party).len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_segments_become_one_whoever_dies() {
    let mut cluster = Cluster::started().unwrap();
    let client = cluster.connect().await.unwrap();
    client.execute("CREATE TABLE t (a INT, b VARCHAR(10), p INT PUBLIC)").await.unwrap();
    for a in 0..MANY {
        insert(&mut cluster, &client, a).await;
    }
    let mut expected: Vec<Vec<Value>> = (0..MANY).map(row).collect();
    settled(&cluster, 1).await;
    assert_eq!(rows(&client).await, expected);
    for status in client.status().await {
        let kept = status.unwrap().housekeeping.unwrap();
        assert_eq!((kept.packs, kept.segments_packed), (1, MANY as u64), "{kept:?}");
        assert_eq!(kept.segments_listed, 1, "{kept:?}");
    }

    // The numbers are those of the packing: 32 uploads come before it, and nobody asks a query.
    let (mut files, mut reached) = (1, 0);
    for point in [
        "pack.begin",
        "stage.create:33",
        "stage.sync:33",
        "stage.renamed:33",
        "attempt.report",
        "stage.remove:9",
    ] {
        cluster.stop(1).unwrap();
        cluster.start(1, Some(point)).unwrap();
        cluster.wait_ready(1).unwrap();
        let from = expected.len();
        let mut died = false;
        for a in from..from + MANY {
            died |= insert(&mut cluster, &client, a).await;
            expected.push(row(a));
        }
        for _ in 0..200 {
            if died || !cluster.runs(1) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        reached += u32::from(died || !cluster.runs(1));
        cluster.kill(1);
        cluster.start_all().unwrap();
        files += 1;
        settled(&cluster, files).await;
        assert_eq!(rows(&client).await, expected, "{point}");
    }
    assert!(reached >= 4, "{reached} points reached");

    // Damaged and lost, it comes back from the others; a backup holds it.
    let packed = cluster.files(2);
    let mut bytes = std::fs::read(&packed[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&packed[0], bytes).unwrap();
    std::fs::remove_file(&packed[1]).unwrap();
    let checked = cluster.check(2).unwrap();
    assert_eq!((checked.code, checked.number("damaged")), (3, Some(2)), "{}", checked.text);
    let repaired = cluster.repair(2).unwrap();
    assert_eq!(repaired.code, 0, "{}", repaired.text);
    assert_eq!(rows(&client).await, expected);
    assert_eq!(cluster.backup(0, &cluster.beside("kept"), None).unwrap().code, 0);
}
