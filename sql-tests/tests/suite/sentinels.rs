//! Values that must not be found at any node: neither in files nor in logs, neither as text nor in
//! binary, whichever way they came in.

use std::path::{Path, PathBuf};
use trine_sql_tests::cluster::Cluster;

/// Secret values, unlikely by chance.
const NUMBER: i64 = 7_316_250_419_385_621_407;
const SMALL: i32 = 1_934_857_261;
const WORD: &str = "Xq7sentinelZw";
const CENTS: i64 = 481_516_234_299;

/// What a leak would look like: as text, and as little-endian and big-endian integers.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
    let offset = |v: i64, low: i64| v.wrapping_sub(low);
    vec![
        ("number as text", NUMBER.to_string().into_bytes()),
        ("number", NUMBER.to_le_bytes().to_vec()),
        ("number, big-endian", NUMBER.to_be_bytes().to_vec()),
        ("number, boolean encoding", offset(NUMBER, i64::MIN).to_le_bytes().to_vec()),
        ("small as text", SMALL.to_string().into_bytes()),
        ("small, sign-extended", i64::from(SMALL).to_le_bytes().to_vec()),
        ("cents as text", b"4815162342.99".to_vec()),
        ("cents", CENTS.to_le_bytes().to_vec()),
        ("word", WORD.as_bytes().to_vec()),
        (
            "word in hexadecimal",
            WORD.bytes().flat_map(|b| format!("{b:02x}").into_bytes()).collect(),
        ),
    ]
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

/// The values come in again as parameters of statements that write, accepted and refused.
async fn write_secrets(cluster: &mut Cluster) {
    let table = "CREATE TABLE copies (n BIGINT, s INT PRIMARY KEY, w VARCHAR(20), d DECIMAL(14,2))";
    cluster.run(table).await.unwrap();
    cluster.run("INSERT INTO copies VALUES (1, 1, 'x', 1), (2, 2, 'y', 2)").await.unwrap();
    let all = format!("n = {NUMBER}, w = '{WORD}', d = 4815162342.99");
    let done = cluster.run(&format!("UPDATE copies SET {all}, s = {SMALL} WHERE s = 1")).await;
    assert_eq!(done.unwrap().affected, Some(1));
    let twice = format!("UPDATE copies SET s = {SMALL}, w = '{WORD}'");
    assert_eq!(cluster.run(&twice).await.unwrap_err().sqlstate, "23505");
    let computed = format!("UPDATE copies SET n = n - {NUMBER}, d = d + 4815162342.99 WHERE s < 9");
    assert_eq!(cluster.run(&computed).await.unwrap().affected, Some(1));
    let select = format!("INSERT INTO copies SELECT {NUMBER}, s + 5, '{WORD}', NULL FROM copies");
    // s + 5 of the first row leaves INT.
    let inserted = cluster.run(&format!("{select} WHERE s < 9")).await.unwrap();
    assert_eq!(inserted.affected, Some(1));
    let nowhere = format!("UPDATE nowhere SET w = '{WORD}'");
    assert_eq!(cluster.run(&nowhere).await.unwrap_err().sqlstate, "42P01");
    let unknown = format!("UPDATE copies SET w = '{WORD}' WHERE nix = 1");
    assert_eq!(cluster.run(&unknown).await.unwrap_err().sqlstate, "42703");
    let deleted = cluster.run("DELETE FROM copies WHERE n > 5 AND s > 9").await.unwrap();
    assert_eq!(deleted.affected, Some(1));
    let left = cluster.run("SELECT s FROM copies ORDER BY s").await.unwrap();
    let left: Vec<String> = left.rows.iter().map(|r| r[0].to_string()).collect();
    assert_eq!(left, ["2", "7"]);
}

/// And as parameters of prepared statements: in conditions, select lists and values.
async fn prepare_secrets(cluster: &mut Cluster) {
    let table = "CREATE TABLE asked (n BIGINT, s INT, w VARCHAR(20), d DECIMAL(14,2))";
    cluster.run(table).await.unwrap();
    for sql in [
        "PREPARE add AS INSERT INTO asked VALUES ($1, $2, $3, $4)",
        "PREPARE find AS SELECT count(*) FROM asked WHERE n = $1 AND s >= $2 AND w = $3 AND d IN ($4, 1)",
        "PREPARE show (BIGINT, VARCHAR(20)) AS SELECT n - $1, w || $2 FROM asked WHERE w <> $2",
        "PREPARE change AS UPDATE asked SET s = s - $1, d = $2 WHERE w = $3 AND n = $4",
        "PREPARE remove AS DELETE FROM asked WHERE w = $1 OR n > $2 OR d = $3",
        "PREPARE nowhere AS SELECT nix FROM asked WHERE w = $1",
    ] {
        cluster.run(sql).await.unwrap();
    }
    let values = format!("{NUMBER}, {SMALL}, '{WORD}', 4815162342.99");
    cluster.run(&format!("EXECUTE add({values})")).await.unwrap();
    let found = cluster.run(&format!("EXECUTE find({values})")).await.unwrap();
    assert_eq!(found.rows[0][0].to_string(), "1");
    let shown = cluster.run(&format!("EXECUTE show({NUMBER}, '{WORD}')")).await.unwrap();
    assert!(shown.rows.is_empty());
    let change = format!("EXECUTE change({SMALL}, 4815162342.99, '{WORD}', {NUMBER})");
    assert_eq!(cluster.run(&change).await.unwrap().affected, Some(1));
    let refused = cluster.run(&format!("EXECUTE nowhere('{WORD}')")).await.unwrap_err();
    assert_eq!(refused.sqlstate, "42703");
    let remove = format!("EXECUTE remove('{WORD}', {NUMBER}, 4815162342.99)");
    assert_eq!(cluster.run(&remove).await.unwrap().affected, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_node_holds_or_logs_a_secret_value() {
    let mut cluster = Cluster::start().await.unwrap();
    let table =
        "CREATE TABLE secrets (n BIGINT, s INT, w VARCHAR(20), d DECIMAL(14,2), p INT PUBLIC)";
    cluster.run(table).await.unwrap();
    let row = format!("({NUMBER}, {SMALL}, '{WORD}', 4815162342.99, 1357913579)");
    cluster.run(&format!("INSERT INTO secrets VALUES {row}")).await.unwrap();
    // A refused one, too: errors travel and are logged.
    let refused = format!("INSERT INTO secrets VALUES ({NUMBER}, 99999999999, '{WORD}', 0, 0)");
    cluster.run(&refused).await.unwrap_err();
    let csv = cluster.folder().join("rows.csv");
    std::fs::write(&csv, format!("n,s,w,d,p\n{NUMBER},{SMALL},{WORD},4815162342.99,1\n")).unwrap();
    cluster.load("secrets", &csv).await.unwrap();
    write_secrets(&mut cluster).await;
    prepare_secrets(&mut cluster).await;
    let answer = cluster.run("SELECT n, s, w, d FROM secrets").await.unwrap();
    assert_eq!(answer.rows.len(), 2);
    assert_eq!(answer.rows[0][0].to_string(), NUMBER.to_string());
    std::fs::remove_file(&csv).unwrap();
    cluster.stop_all().unwrap();
    let mut all = Vec::new();
    files(cluster.folder(), &mut all);
    assert!(all.len() >= 9, "three nodes have more files than {all:?}");
    let mut public_seen = false;
    for path in &all {
        let bytes = std::fs::read(path).unwrap();
        for (what, needle) in forms() {
            assert!(!contains(&bytes, &needle), "{what} in {}", path.display());
        }
        public_seen |= contains(&bytes, &1_357_913_579_i64.to_le_bytes());
    }
    // The search itself works: a PUBLIC value is found.
    assert!(public_seen);
}
