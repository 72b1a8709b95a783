//! Damage of every kind is noticed, named, refused and repaired, while the cluster goes on.

use std::path::{Path, PathBuf};
use trine_client::{Client, SqlError, Value};
use trine_faults::Cluster;

const QUERY: &str = "SELECT a, b, p FROM t ORDER BY a";

async fn rows(client: &Client) -> Result<Vec<Vec<Value>>, SqlError> {
    client.query(QUERY).await.map(|table| table.rows)
}

/// The file of one of the three segments of `t`, which a query of it must read.
fn file_of_t(cluster: &Cluster, party: usize, place: usize) -> PathBuf {
    let files = cluster.files(party);
    let beside = |path: &Path| files.iter().filter(|f| f.parent() == path.parent()).count();
    let of_t: Vec<_> = files.iter().filter(|path| beside(path) == 3).collect();
    assert_eq!(of_t.len(), 3, "{files:?}");
    of_t[place].clone()
}

fn damage(path: &Path, how: &dyn Fn(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    how(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// The refusal names party, table and segment, `check` finds the damage, `repair` mends it, and the
/// answer is what it was.
async fn refused_then_repaired(
    cluster: &Cluster,
    client: &Client,
    party: usize,
    what: &str,
    expected: &[Vec<Value>],
) {
    let error = rows(client).await.unwrap_err();
    let named = format!("node {party} cannot read its share of table \"t\", segment ");
    assert!(error.message.starts_with(&named), "{error}");
    assert!(error.message.contains(what), "{error}");
    assert_eq!((error.sqlstate.as_str(), error.hint.contains("trined repair")), ("XX001", true));
    // What does not need the segment goes on, unless everything is gone.
    if !cluster.files(party).is_empty() {
        assert_eq!(client.query("SELECT COUNT(*) FROM u").await.unwrap().rows, [[Value::Int(2)]]);
    }
    let checked = cluster.check(party).unwrap();
    assert_eq!(checked.code, 3, "{}", checked.text);
    assert!(checked.text.contains("table t, segment "), "{}", checked.text);
    assert!(checked.number("damaged").unwrap() > 0);
    let repaired = cluster.repair(party).unwrap();
    assert_eq!(repaired.code, 0, "{}", repaired.text);
    assert_eq!(repaired.number("damaged"), repaired.number("repaired"));
    assert!(repaired.text.contains("; repaired\n"), "{}", repaired.text);
    assert_eq!(rows(client).await.unwrap(), expected);
    assert_eq!(cluster.check(party).unwrap().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_noticed_refused_and_repaired() {
    let mut cluster = Cluster::started().unwrap();
    let client = cluster.connect().await.unwrap();
    for sql in [
        "CREATE TABLE t (a INT, b VARCHAR(20), p INT PUBLIC)",
        "CREATE TABLE u (a INT)",
        "INSERT INTO t VALUES (1, 'one', 10), (2, NULL, 20)",
        "INSERT INTO t VALUES (3, 'three', 30)",
        "INSERT INTO t VALUES (4, 'four', NULL), (5, '', 50)",
        "INSERT INTO u VALUES (1), (2)",
        // A segment of the nodes' own making, with a valid column and salts that they drew.
        "CREATE TABLE w (a INT, b VARCHAR(20))",
        "INSERT INTO w VALUES (1, 'x'), (20, NULL)",
        "UPDATE w SET a = a + 1 WHERE a < 10",
    ] {
        client.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let expected = rows(&client).await.unwrap();
    assert_eq!(expected.len(), 5);

    // A byte flipped in the pages, after the file was read and found good: component 1 or 2.
    for party in [1, 2] {
        damage(&file_of_t(&cluster, party, 0), &|bytes| bytes[64] ^= 1);
        refused_then_repaired(&cluster, &client, party, "is corrupt: ", &expected).await;
    }
    // Truncated; the footer's metadata overwritten; emptied.
    damage(&file_of_t(&cluster, 0, 0), &|bytes| bytes.truncate(bytes.len() / 2));
    refused_then_repaired(&cluster, &client, 0, "is corrupt: ", &expected).await;
    damage(&file_of_t(&cluster, 1, 1), &|bytes| {
        let end = bytes.len();
        bytes[end - 60..end - 40].fill(0xff);
    });
    refused_then_repaired(&cluster, &client, 1, "footer: digest mismatch", &expected).await;
    damage(&file_of_t(&cluster, 2, 2), &Vec::clear);
    refused_then_repaired(&cluster, &client, 2, "the file is cut off", &expected).await;
    // The file is gone; then the whole folder is.
    std::fs::remove_file(file_of_t(&cluster, 0, 1)).unwrap();
    refused_then_repaired(&cluster, &client, 0, "the file is missing", &expected).await;
    std::fs::remove_dir_all(cluster.segments(1)).unwrap();
    refused_then_repaired(&cluster, &client, 1, "the file is missing", &expected).await;

    let made = client.query("SELECT a, b FROM w ORDER BY a").await.unwrap().rows;
    assert_eq!(made[0], [Value::Int(2), Value::Text("x".into())]);

    // The disk of the segments is lost while the node is down: noticed at the start, repaired by a
    // node that runs for the repair only, with the two others in service.
    cluster.stop(2).unwrap();
    std::fs::remove_dir_all(cluster.segments(2)).unwrap();
    assert_eq!(cluster.check(2).unwrap().code, 3);
    let repaired = cluster.repair(2).unwrap();
    assert_eq!(repaired.code, 0, "{}", repaired.text);
    assert_eq!((repaired.number("damaged"), repaired.number("repaired")), (Some(5), Some(5)));
    std::fs::remove_dir_all(cluster.segments(2)).unwrap();
    cluster.start_all().unwrap();
    let log = cluster.log_text(2);
    assert!(log.contains("a committed segment is not in the data folder"), "{log}");
    refused_then_repaired(&cluster, &client, 2, "the file is missing", &expected).await;

    let again = client.query("SELECT a, b FROM w ORDER BY a").await.unwrap().rows;
    assert_eq!(again, made);

    // The whole disk is lost, log and votes included: the machine joins again by itself, as a new
    // member, and is repaired, while the others serve.
    cluster.kill(2);
    cluster.lose_disk(2);
    client.execute("CREATE TABLE while_gone (x INT)").await.unwrap();
    cluster.start_all().unwrap();
    refused_then_repaired(&cluster, &client, 2, "the file is missing", &expected).await;
    let again = client.query("SELECT a, b FROM w ORDER BY a").await.unwrap().rows;
    assert_eq!(again, made);

    // Two parties damaged in the same segment: neither can be mended by the other alone.
    damage(&file_of_t(&cluster, 0, 0), &|bytes| bytes[64] ^= 1);
    damage(&file_of_t(&cluster, 1, 0), &|bytes| bytes[64] ^= 1);
    let refused = cluster.repair(0).unwrap();
    assert_eq!(refused.code, 3, "{}", refused.text);
    assert!(
        refused.text.contains("; not repaired: node 1 cannot read its own part"),
        "{}",
        refused.text
    );
    assert!(refused.text.ends_with("trined: 1 of 5 segments are damaged\n"), "{}", refused.text);
}
