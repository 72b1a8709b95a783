//! REFRESH SHARES: the same answers from other files, whatever dies in between; parts of an older share
//! generation are of no use any more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use trine_client::{Client, Value};
use trine_faults::Cluster;

const QUERY: &str = "SELECT a, b, p FROM t ORDER BY a";

async fn rows(client: &Client) -> Vec<Vec<Value>> {
    answer(client, QUERY).await
}

/// The answer of a query. A connection to a node that was started again may end once.
async fn answer(client: &Client, sql: &str) -> Vec<Vec<Value>> {
    let mut tries = 0;
    loop {
        match client.query(sql).await {
            Ok(table) => return table.rows,
            Err(e) if tries == 20 => panic!("{sql}: {e}"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn generations(client: &Client) -> Vec<u64> {
    let kept = |s: trine_proto::wire::NodeStatus| s.housekeeping.unwrap().share_generation;
    client.status().await.into_iter().map(|s| kept(s.unwrap())).collect()
}

/// Names and contents of all segment files of a party.
fn contents(cluster: &Cluster, party: usize) -> BTreeSet<(PathBuf, Vec<u8>)> {
    let files = cluster.files(party).into_iter();
    files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Waits until the nodes have deleted what the log gave up.
async fn settled(cluster: &Cluster, files: usize) {
    for _ in 0..600 {
        if (0..3).all(|party| cluster.files(party).len() == files) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("files: {:?}", [0, 1, 2].map(|party| cluster.files(party)));
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshed_shares_are_others_and_answer_the_same() {
    let mut cluster = Cluster::started().unwrap();
    let client = cluster.connect().await.unwrap();
    for sql in [
        "CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20), p INT PUBLIC, c BIGINT, d BOOLEAN)",
        "INSERT INTO t VALUES (1, 'one', 10, -5, TRUE), (2, NULL, 20, NULL, FALSE)",
        "INSERT INTO t VALUES (3, 'three', NULL, 99999999999, NULL)",
        "CREATE TABLE u (x INT)",
        "INSERT INTO u VALUES (7), (8)",
        "DELETE FROM u WHERE x = 7",
        "CREATE TABLE empty (x INT)",
    ] {
        client.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let expected = rows(&client).await;
    let (sums, left) = ("SELECT SUM(a), SUM(c) FROM t", "SELECT x FROM u");
    let summed = client.query(sums).await.unwrap().rows;
    settled(&cluster, 3).await;
    let before = [0, 1, 2].map(|party| contents(&cluster, party));
    let old = cluster.beside("old");
    assert_eq!(cluster.backup(2, &old, None).unwrap().code, 0);

    // Not inside a transaction.
    let error = client.execute("BEGIN; REFRESH SHARES t; COMMIT").await.unwrap_err();
    assert_eq!(error.message, "REFRESH SHARES is not supported inside a transaction");
    let error = client.execute("REFRESH SHARES nothing").await.unwrap_err();
    assert_eq!(error.sqlstate, "42P01", "{error}");

    let done = client.execute("REFRESH SHARES ALL").await.unwrap();
    assert!(format!("{done:?}").contains("tables refreshed: 3"), "{done:?}");
    assert_eq!(generations(&client).await, [3; 3]);
    assert_eq!(rows(&client).await, expected);
    assert_eq!(client.query(sums).await.unwrap().rows, summed);
    assert_eq!(client.query(left).await.unwrap().rows, [[Value::Int(8)]]);

    // The position of the backup keeps the old files; with it they go, everywhere.
    for party in [0, 1] {
        let at = std::fs::read_to_string(old.join("manifest.toml")).unwrap();
        let at = at.lines().find_map(|l| l.strip_prefix("position = ")).unwrap().parse().unwrap();
        let kept =
            cluster.backup(party, &cluster.beside(&format!("old{party}")), Some(at)).unwrap();
        assert_eq!(kept.code, 0, "{}", kept.text);
    }
    settled(&cluster, 2).await;
    for (party, before) in before.iter().enumerate() {
        let after = contents(&cluster, party);
        assert!(after.iter().all(|file| !before.contains(file)), "{after:?}");
        let checked = cluster.check(party).unwrap();
        assert_eq!((checked.code, checked.number("damaged")), (0, Some(0)), "{}", checked.text);
    }

    // What is kept and what was cleared away can be seen.
    for status in client.status().await {
        let kept = status.unwrap().housekeeping.unwrap();
        assert_eq!(
            (kept.segments_listed, kept.segments_staged, kept.backups),
            (2, 0, 0),
            "{kept:?}"
        );
        assert!(kept.segments_removed >= 3 && kept.bytes_reclaimed > 0, "{kept:?}");
        assert!(kept.log_first > 0 && kept.log_last > kept.log_first, "{kept:?}");
        assert_eq!(kept.oldest_unfinished, 0, "{kept:?}");
    }

    // Killed at every point of it: it is done once, or not at all, and nothing is left over.
    let mut reached = 0;
    for point in [
        "attempt.begin",
        "attempt.message:3",
        "stage.write",
        "stage.sync",
        "stage.renamed",
        "attempt.report",
        "state.apply:3",
        "stage.remove",
    ] {
        cluster.stop(1).unwrap();
        cluster.start(1, Some(point)).unwrap();
        if !cluster.ready_or_dead(1).unwrap() {
            cluster.start_all().unwrap();
        }
        let refreshing = tokio::spawn({
            let client = cluster.connect().await.unwrap();
            async move { client.execute("REFRESH SHARES t").await }
        });
        // It dies there, or has died before the statement came.
        let over = |cluster: &Cluster| (0..3).all(|party| cluster.files(party).len() == 2);
        while cluster.runs(1) && !(refreshing.is_finished() && over(&cluster)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        reached += u32::from(!cluster.runs(1));
        // It may wait for its point still.
        cluster.kill(1);
        cluster.start_all().unwrap();
        // Whatever the client was told, the table is whole.
        let told = refreshing.await.unwrap();
        assert_eq!(rows(&client).await, expected, "{point}: {told:?}");
        assert_eq!(answer(&client, sums).await, summed, "{point}");
        settled(&cluster, 2).await;
    }
    assert!(reached >= 5, "{reached} points reached");
    let checked = cluster.check(1).unwrap();
    assert_eq!((checked.code, checked.number("damaged")), (0, Some(0)), "{}", checked.text);

    // Parts of another generation do not fit: one party alone cannot go back.
    cluster.kill(2);
    cluster.lose_disk(2);
    assert_eq!(cluster.restore(2, &old, None).unwrap().code, 0);
    cluster.start(2, None).unwrap();
    assert!(!cluster.ready_or_dead(2).unwrap());
    let log = cluster.log_text(2);
    assert!(log.contains("the backup is of share generation 0, and the cluster"), "{log}");
    cluster.lose_disk(2);
    cluster.start_all().unwrap();
    assert_eq!(cluster.repair(2).unwrap().code, 0);
    assert_eq!(rows(&client).await, expected);
}
