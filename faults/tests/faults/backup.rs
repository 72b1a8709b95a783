//! Backups at one log position bring back the same cluster; what is broken, interrupted or does not fit
//! is refused by name.

use std::path::{Path, PathBuf};
use trine_client::{Client, Value};
use trine_faults::Cluster;

const QUERIES: [&str; 3] = [
    "SELECT a, b, p FROM t ORDER BY a",
    "SELECT a, b FROM w ORDER BY a",
    "SELECT COUNT(*), SUM(a) FROM t",
];

async fn answers(client: &Client) -> Vec<Vec<Vec<Value>>> {
    let mut all = Vec::new();
    for sql in QUERIES {
        all.push(client.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")).rows);
    }
    all
}

async fn run(client: &Client, statements: &[&str]) {
    for sql in statements {
        client.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

/// A file of the backup with shares in it.
fn segment_of(backup: &Path) -> PathBuf {
    let table = std::fs::read_dir(backup.join("segments")).unwrap().next().unwrap().unwrap();
    std::fs::read_dir(table.path()).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_backups_of_one_position_are_the_cluster_again() {
    let mut cluster = Cluster::started().unwrap();
    let client = cluster.connect().await.unwrap();
    let loaded = [
        "CREATE TABLE t (a INT, b VARCHAR(20), p INT PUBLIC)",
        "INSERT INTO t VALUES (1, 'one', 10), (2, NULL, 20)",
        "INSERT INTO t VALUES (3, 'three', 30)",
        "CREATE TABLE w (a INT PRIMARY KEY, b VARCHAR(20))",
        "INSERT INTO w VALUES (1, 'x'), (20, NULL)",
        "UPDATE w SET a = a + 1 WHERE a < 10",
    ];
    run(&client, &loaded).await;
    let expected = answers(&client).await;

    // One party marks a position; what comes later replaces segments that are visible there.
    let folders = [0, 1, 2].map(|party| cluster.beside(&format!("backup{party}")));
    let first = cluster.backup(0, &folders[0], None).unwrap();
    assert_eq!(first.code, 0, "{}", first.text);
    let at = first.position().unwrap();
    assert!(first.text.contains(&format!("trined backup --at {at}\n")), "{}", first.text);
    let later = [
        "UPDATE w SET b = 'y'",
        "INSERT INTO t VALUES (4, 'four', 40)",
        "DELETE FROM t WHERE a = 1",
        "CREATE TABLE late (x INT)",
    ];
    run(&client, &later).await;
    let changed = answers(&client).await;
    assert_ne!(changed, expected);

    // A node that dies in the middle of its backup has none; the next one is whole.
    cluster.stop(1).unwrap();
    cluster.start(1, Some("backup.file:2")).unwrap();
    cluster.wait_ready(1).unwrap();
    let cut = cluster.backup(1, &folders[1], Some(at)).unwrap();
    assert!(cut.code != 0 && cluster.ends(1), "{}", cut.text);
    let none = cluster.restore(2, &folders[1], None);
    assert!(none.unwrap().text.contains("already runs on"));
    cluster.start_all().unwrap();
    for party in [1, 2] {
        let copied = cluster.backup(party, &folders[party], Some(at)).unwrap();
        assert_eq!((copied.code, copied.position()), (0, Some(at)), "{}", copied.text);
    }
    let full = cluster.backup(1, &folders[1], None).unwrap();
    assert!(full.text.contains("holds a complete backup already"), "{}", full.text);
    // All three have it: nothing is kept for it any more.
    let over = cluster.backup(0, &cluster.beside("over"), Some(at)).unwrap();
    assert_eq!(over.code, 1);
    let text = format!("this node does not hold the state of log position {at}: ");
    assert!(over.text.contains(&text), "{}", over.text);
    // A node that does not run is backed up where it stands.
    cluster.stop(0).unwrap();
    let newer = cluster.beside("newer0");
    let alone = cluster.backup(0, &newer, None).unwrap();
    assert_eq!(alone.code, 0, "{}", alone.text);
    assert!(alone.position().unwrap() > at);

    // Into a folder that is not empty; of another party; damaged, missing, and whole again.
    for party in [1, 2] {
        cluster.stop(party).unwrap();
    }
    let refused = |party: usize, from: &Path, what: &str| {
        let answer = cluster.restore(party, from, None).unwrap();
        assert_eq!(answer.code, 1, "{}", answer.text);
        assert!(answer.text.contains(what), "{}", answer.text);
    };
    refused(0, &folders[0], "is not empty: move segments away");
    (0..3).for_each(|party| cluster.lose_disk(party));
    refused(1, &folders[0], "was changed, or was not written under this party's key");
    let file = segment_of(&folders[0]);
    let good = std::fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[64] ^= 1;
    std::fs::write(&file, bad).unwrap();
    let name = file.strip_prefix(&folders[0]).unwrap().display().to_string();
    refused(0, &folders[0], &format!("{name} of the backup is corrupt"));
    std::fs::remove_file(&file).unwrap();
    refused(0, &folders[0], &format!("{name} is missing from the backup"));
    std::fs::write(&file, good).unwrap();
    refused(0, &cluster.beside("nowhere"), "holds no complete backup: manifest.toml is missing");

    // Killed in the middle of a restore: no node starts on the folder; the next restore is whole.
    for point in ["restore.file:2", "restore.state", "restore.end"] {
        assert_ne!(cluster.restore(1, &folders[1], Some(point)).unwrap().code, 0);
        cluster.start(1, None).unwrap();
        assert!(!cluster.ready_or_dead(1).unwrap());
        assert!(cluster.log_text(1).contains("was not finished: run trined restore again"));
    }
    // Not all of one position: whoever sees it says so and ends; nobody serves.
    for (party, from) in [(0, &newer), (1, &folders[1]), (2, &folders[2])] {
        let answer = cluster.restore(party, from, None).unwrap();
        assert_eq!(answer.code, 0, "{}", answer.text);
    }
    (0..3).for_each(|party| cluster.start(party, None).unwrap());
    while (0..3).all(|party| cluster.runs(party)) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let logs = [0, 1, 2].map(|party| cluster.log_text(party)).concat();
    assert!(logs.contains("restore all three to one position"), "{logs}");
    assert!(!logs.contains("the others went on"), "{logs}");
    (0..3).for_each(|party| cluster.kill(party));

    // The right one: the cluster as it was at the position, which goes on from there.
    cluster.lose_disk(0);
    let answer = cluster.restore(0, &folders[0], None).unwrap();
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(answer.text.contains(&format!("to log position {at}: share generation 0")));
    cluster.start_all().unwrap();
    let client = cluster.connect().await.unwrap();
    assert_eq!(answers(&client).await, expected, "the restored cluster");
    for party in 0..3 {
        let checked = cluster.check(party).unwrap();
        assert_eq!((checked.code, checked.number("damaged")), (0, Some(0)), "{}", checked.text);
    }
    run(&client, &later).await;
    assert_eq!(answers(&client).await, changed);

    // It survives kills like any other.
    (0..3).for_each(|party| cluster.kill(party));
    cluster.start_all().unwrap();
    assert_eq!(answers(&cluster.connect().await.unwrap()).await, changed);

    // One party alone beside two that went on: its log is not used, its segments are.
    let alone = cluster.beside("alone");
    assert_eq!(cluster.backup(2, &alone, None).unwrap().code, 0);
    run(&client, &["INSERT INTO t VALUES (5, 'five', 50)"]).await;
    let changed = answers(&client).await;
    cluster.kill(2);
    cluster.lose_disk(2);
    let answer = cluster.restore(2, &alone, None).unwrap();
    assert_eq!(answer.code, 0, "{}", answer.text);
    cluster.start_all().unwrap();
    assert!(cluster.log_text(2).contains("went on without this node"));
    let repaired = cluster.repair(2).unwrap();
    assert_eq!(repaired.code, 0, "{}", repaired.text);
    assert_eq!(
        (repaired.number("segments"), repaired.number("repaired")),
        (Some(3), Some(1)),
        "{}",
        repaired.text
    );
    assert_eq!(answers(&client).await, changed);
}
