//! Transactions of several statements on real clusters: three nodes with TLS, Raft and files in this
//! process, and as many clients as the test needs. One function per anomaly.

use std::path::Path;
use std::time::Duration;
use trine_client::{Answer, BlockStatus, Client, Config, SqlError, TransactionBlock};
use trine_node::config::Limits;
use trine_node::testing::Cluster;
use trine_proto::ids::Party;

/// A client and where its statements stand.
struct User {
    client: Client,
    block: TransactionBlock,
}

impl User {
    async fn new(cluster: &Cluster) -> Self {
        let config = Config::read(&cluster.client_config()).unwrap();
        let client = Client::connect(config).await.unwrap();
        Self { client, block: TransactionBlock::default() }
    }

    /// The last answer of a text: rows joined by commas and spaces, or what was done.
    async fn ask(&mut self, sql: &str) -> Result<String, SqlError> {
        let answers = self.client.execute_in(&mut self.block, sql).await?;
        Ok(match answers.into_iter().next_back().unwrap() {
            Answer::Rows(table) => {
                let row = |row: &Vec<trine_client::Value>| {
                    row.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
                };
                table.rows.iter().map(row).collect::<Vec<_>>().join(" ")
            }
            Answer::Done { tag, rows, notice } => {
                let rows = rows.map(|n| format!(" {n}")).unwrap_or_default();
                format!("{tag}{rows}{}", notice.map(|n| format!(" ({n})")).unwrap_or_default())
            }
        })
    }

    async fn run(&mut self, sql: &str) -> String {
        match self.ask(sql).await {
            Ok(answer) => answer,
            Err(e) => panic!("{sql}: {e}"),
        }
    }

    /// SQLSTATE of a text that fails.
    async fn fails(&mut self, sql: &str) -> String {
        self.ask(sql).await.map(|_| sql).unwrap_err().sqlstate
    }
}

async fn start(folder: &Path) -> (Cluster, User, User) {
    let cluster = Cluster::start(folder).await.unwrap();
    let (a, b) = (User::new(&cluster).await, User::new(&cluster).await);
    (cluster, a, b)
}

fn segment_files(cluster: &Cluster, party: Party) -> usize {
    fn count(folder: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        entries.map(|e| e.unwrap().path()).map(|p| if p.is_dir() { count(&p) } else { 1 }).sum()
    }
    let parameters = trine_proto::ids::TableId::PARAMETERS.to_string();
    let segments = cluster.data_dir(party).join("segments");
    count(&segments) - count(&segments.join(parameters))
}

/// Waits until all three nodes have so many files of segments.
async fn files_become(cluster: &Cluster, due: usize) {
    for _ in 0..3_000 {
        if Party::ALL.iter().all(|p| segment_files(cluster, *p) == due) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?} files where {due} are due", Party::ALL.map(|p| segment_files(cluster, p)));
}

const COUNTER: &str = "SELECT v FROM counter ORDER BY id";

async fn dirty_read(a: &mut User, b: &mut User) {
    a.run("BEGIN; UPDATE counter SET v = 99 WHERE id = 1; INSERT INTO counter VALUES (3, 7)").await;
    assert_eq!(a.run(COUNTER).await, "99 20 7");
    assert_eq!(b.run(COUNTER).await, "10 20");
    assert_eq!(a.run("ROLLBACK").await, "ROLLBACK");
    assert_eq!(a.run(COUNTER).await, "10 20");
    assert_eq!(b.run(COUNTER).await, "10 20");
}

async fn read_skew_and_phantom(a: &mut User, b: &mut User) {
    assert_eq!(a.run("BEGIN; SELECT v FROM counter WHERE id = 1").await, "10");
    // Between two reads another changes both rows and adds one.
    b.run("UPDATE counter SET v = v + 5; INSERT INTO counter VALUES (4, 40)").await;
    assert_eq!(a.run("SELECT v FROM counter WHERE id = 2").await, "20");
    assert_eq!(a.run("SELECT count(*), sum(v) FROM counter").await, "2,30");
    assert_eq!(a.run("COMMIT").await, "COMMIT");
    assert_eq!(a.run("SELECT count(*), sum(v) FROM counter").await, "3,80");
    b.run("DELETE FROM counter WHERE id = 4; UPDATE counter SET v = v - 5").await;
}

async fn lost_update(a: &mut User, b: &mut User) {
    a.run("BEGIN; UPDATE counter SET v = v + 1 WHERE id = 1").await;
    b.run("BEGIN; UPDATE counter SET v = v + 1 WHERE id = 1").await;
    assert_eq!(a.run("COMMIT").await, "COMMIT");
    let error = b.ask("COMMIT").await.unwrap_err();
    assert_eq!(error.sqlstate, "40001");
    assert_eq!(
        error.message,
        "could not serialize access: table \"counter\" was changed by another transaction since BEGIN"
    );
    assert_eq!(error.hint, "nothing was committed: run the transaction again from its BEGIN");
    // As it says: again from BEGIN.
    assert_eq!(b.block.status(), BlockStatus::Idle);
    b.run("BEGIN; UPDATE counter SET v = v + 1 WHERE id = 1; COMMIT").await;
    assert_eq!(a.run(COUNTER).await, "12 20");
    // A statement of its own that came meanwhile counts as another transaction.
    a.run("BEGIN; UPDATE counter SET v = 0").await;
    b.run("UPDATE counter SET v = 10 WHERE id = 1").await;
    assert_eq!(a.fails("COMMIT").await, "40001");
    assert_eq!(a.run(COUNTER).await, "10 20");
}

/// A snapshot does not keep what was only read: each takes one of two doctors off call because the other
/// is on call. Writes to one table conflict, so it takes two tables.
async fn write_skew(a: &mut User, b: &mut User) {
    a.run("CREATE TABLE north (on_call INT); CREATE TABLE south (on_call INT)").await;
    a.run("INSERT INTO north VALUES (1); INSERT INTO south VALUES (1)").await;
    assert_eq!(a.run("BEGIN; SELECT on_call FROM south").await, "1");
    assert_eq!(b.run("BEGIN; SELECT on_call FROM north").await, "1");
    a.run("UPDATE north SET on_call = 0").await;
    b.run("UPDATE south SET on_call = 0").await;
    assert_eq!(a.run("COMMIT").await, "COMMIT");
    assert_eq!(b.run("COMMIT").await, "COMMIT");
    // The way around it: write to what the decision rests on.
    a.run("UPDATE north SET on_call = 1; UPDATE south SET on_call = 1").await;
    a.run("BEGIN; UPDATE north SET on_call = 0; UPDATE south SET on_call = on_call").await;
    b.run("BEGIN; UPDATE south SET on_call = 0; UPDATE north SET on_call = on_call").await;
    assert_eq!(a.run("COMMIT").await, "COMMIT");
    assert_eq!(b.fails("COMMIT").await, "40001");
    assert_eq!(b.run("SELECT on_call FROM south").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn anomalies() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, mut a, mut b) = start(folder.path()).await;
    a.run("CREATE TABLE counter (id INT, v INT); INSERT INTO counter VALUES (1, 10), (2, 20)")
        .await;
    dirty_read(&mut a, &mut b).await;
    read_skew_and_phantom(&mut a, &mut b).await;
    lost_update(&mut a, &mut b).await;
    write_skew(&mut a, &mut b).await;
    // One segment a table: all others have gone.
    files_become(&cluster, 3).await;
    cluster.stop().await;
}

/// Every kind of statement sees what the ones before it in the transaction wrote.
async fn own_writes_are_seen(a: &mut User, b: &mut User) {
    a.run("BEGIN").await;
    assert_eq!(a.run("INSERT INTO items VALUES (1, 5), (2, 6)").await, "INSERT 2");
    assert_eq!(a.run("UPDATE items SET n = n * 10 WHERE id = 2").await, "UPDATE 1");
    assert_eq!(a.run("INSERT INTO items SELECT id + 10, n + 1 FROM items").await, "INSERT 2");
    assert_eq!(a.run("DELETE FROM items WHERE id = 1").await, "DELETE 1");
    assert_eq!(a.run("INSERT INTO log SELECT count(*) FROM items").await, "INSERT 1");
    let all = "SELECT i.id, i.n, l.c FROM items i, log l ORDER BY i.id";
    assert_eq!(a.run(all).await, "2,60,3 11,6,3 12,61,3");
    assert_eq!(b.run("SELECT count(*) FROM items").await, "0");
    assert_eq!(a.run("COMMIT").await, "COMMIT");
    assert_eq!(b.run(all).await, "2,60,3 11,6,3 12,61,3");
    assert_eq!(a.run("BEGIN; UPDATE items SET n = 0; ROLLBACK").await, "ROLLBACK");
    assert_eq!(b.run(all).await, "2,60,3 11,6,3 12,61,3");
}

/// Constraints hold for what a statement sees, and again beside what others committed.
async fn constraints(a: &mut User, b: &mut User) {
    a.run("CREATE TABLE parent (id INT PRIMARY KEY)").await;
    a.run("CREATE TABLE child (id INT PRIMARY KEY, p INT REFERENCES parent (id), c INT CHECK (c > 0))")
        .await;
    // A parent and its child in one transaction.
    a.run("BEGIN; INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1, 1); COMMIT").await;
    let refused = [
        ("INSERT INTO parent VALUES (2), (1)", "23505"),
        ("INSERT INTO parent VALUES (2); INSERT INTO parent SELECT id + 1 FROM parent", "23505"),
        ("INSERT INTO child VALUES (2, 3, 1)", "23503"),
        ("INSERT INTO child VALUES (2, 1, 0)", "23514"),
        ("DELETE FROM parent", "23503"),
        ("INSERT INTO parent VALUES (2); UPDATE child SET p = p + 2", "23503"),
    ];
    for (sql, state) in refused {
        a.run("BEGIN").await;
        assert_eq!(a.fails(sql).await, state, "{sql}");
        assert_eq!(a.block.status(), BlockStatus::Failed);
        a.run("ROLLBACK").await;
    }
    // Removed and added again under the same key: no duplicate.
    a.run("BEGIN; DELETE FROM child; INSERT INTO child VALUES (1, 1, 9); COMMIT").await;
    assert_eq!(a.run("SELECT id, c FROM child").await, "1,9");
    // Both add the key 7: the second to commit is told which constraint it was.
    a.run("BEGIN; INSERT INTO parent VALUES (7)").await;
    b.run("BEGIN; INSERT INTO parent VALUES (7)").await;
    assert_eq!(a.run("COMMIT").await, "COMMIT");
    let error = b.ask("COMMIT").await.unwrap_err();
    assert_eq!(error.sqlstate, "23505");
    assert!(error.message.contains("\"parent_pkey\""), "{error}");
    // Different keys: both are there, although neither saw the other.
    a.run("BEGIN; INSERT INTO parent VALUES (8)").await;
    b.run("BEGIN; INSERT INTO parent VALUES (9)").await;
    assert_eq!(a.run("COMMIT").await, "COMMIT");
    assert_eq!(b.run("COMMIT").await, "COMMIT");
    assert_eq!(a.run("SELECT count(*), sum(id) FROM parent").await, "4,25");
    // The parent goes while its child comes.
    a.run("BEGIN; DELETE FROM parent WHERE id = 9").await;
    b.run("BEGIN; INSERT INTO child VALUES (3, 9, 1)").await;
    assert_eq!(a.run("COMMIT").await, "COMMIT");
    assert_eq!(b.fails("COMMIT").await, "23503");
    assert_eq!(a.run("SELECT count(*) FROM child").await, "1");
}

async fn errors_leave_rollback_only(a: &mut User) {
    a.run("BEGIN; INSERT INTO log VALUES (77)").await;
    assert_eq!(a.fails("SELECT nix FROM log").await, "42703");
    for sql in ["SELECT 1", "INSERT INTO log VALUES (1)", "SHOW TABLES", "BEGIN"] {
        let error = a.ask(sql).await.unwrap_err();
        assert_eq!(error.sqlstate, "25P02", "{sql}");
        assert_eq!(
            error.message,
            "current transaction is aborted, commands ignored until end of transaction block"
        );
    }
    // As psql has it: COMMIT of a failed transaction is a ROLLBACK.
    assert_eq!(a.run("COMMIT").await, "ROLLBACK");
    assert_eq!(a.run("SELECT count(*) FROM log WHERE c = 77").await, "0");
    // What cannot be undone is refused inside.
    for sql in ["CREATE TABLE x (a INT)", "DROP TABLE log", "GRANT SELECT ON log TO public"] {
        a.run("BEGIN").await;
        let error = a.ask(sql).await.unwrap_err();
        assert_eq!(error.sqlstate, "0A000", "{sql}");
        assert!(error.message.ends_with("is not supported inside a transaction"), "{error}");
        a.run("ABORT").await;
    }
    a.run("BEGIN READ ONLY; SELECT 1").await;
    assert_eq!(a.fails("DELETE FROM log").await, "25006");
    assert_eq!(a.run("END").await, "ROLLBACK");
    assert_eq!(a.run("COMMIT").await, "COMMIT (there is no transaction in progress)");
    assert_eq!(a.run("ROLLBACK").await, "ROLLBACK (there is no transaction in progress)");
    let twice = "BEGIN (there is already a transaction in progress)";
    assert_eq!(a.run("BEGIN; BEGIN").await, twice);
    assert_eq!(a.fails("SELEKT 1").await, "42601");
    assert_eq!(a.block.status(), BlockStatus::Failed);
    a.run("ROLLBACK").await;
    // A row that does not fit is known to the client alone.
    a.run("BEGIN").await;
    assert_eq!(a.fails("INSERT INTO log VALUES (99999999999999999999)").await, "22003");
    assert_eq!(a.fails("SELECT 1").await, "25P02");
    a.run("ROLLBACK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_inside() {
    let folder = tempfile::tempdir().unwrap();
    let (mut cluster, mut a, mut b) = start(folder.path()).await;
    a.run("CREATE TABLE items (id INT PRIMARY KEY, n INT); CREATE TABLE log (c BIGINT)").await;
    own_writes_are_seen(&mut a, &mut b).await;
    constraints(&mut a, &mut b).await;
    errors_leave_rollback_only(&mut a).await;
    other_ways_in(&mut a, folder.path()).await;
    a.run("CREATE TABLE t (v INT)").await;
    commit_is_idempotent(&mut a, &mut b).await;
    // Nodes that restart in the middle know the transaction still.
    b.run("BEGIN; INSERT INTO t VALUES (4)").await;
    cluster.stop_node(Party::ALL[0]).await;
    cluster.start_node(Party::ALL[0]).await.unwrap();
    cluster.ready().await;
    assert_eq!(b.run("SELECT count(*) FROM t").await, "2");
    assert_eq!(b.run("COMMIT").await, "COMMIT");
    assert_eq!(b.run("SELECT v FROM t ORDER BY v").await, "3 4");
    cluster.stop().await;
}

/// Prepared statements and files belong to the transaction like anything else.
async fn other_ways_in(a: &mut User, folder: &Path) {
    let (some, none) = (folder.join("some.csv"), folder.join("none.csv"));
    std::fs::write(&some, "c\n500\n501\n").unwrap();
    std::fs::write(&none, "c\n").unwrap();
    let copy =
        |file: &Path| format!("COPY log FROM '{}' WITH (FORMAT csv, HEADER)", file.display());
    a.run("PREPARE add AS INSERT INTO log VALUES ($1)").await;
    a.run("PREPARE above AS SELECT count(*) FROM log WHERE c >= $1").await;
    a.run("BEGIN; EXECUTE add (600)").await;
    assert_eq!(a.run(&copy(&none)).await, "COPY 0");
    assert_eq!(a.run(&copy(&some)).await, "COPY 2");
    assert_eq!(a.run("EXECUTE above (500)").await, "3");
    assert_eq!(a.run("DELETE FROM log WHERE c = 501; EXECUTE above (500)").await, "2");
    assert_eq!(a.run("ROLLBACK; EXECUTE above (500)").await, "0");
    a.run("BEGIN").await;
    assert_eq!(a.fails("EXECUTE nix").await, "26000");
    assert_eq!(a.fails("EXECUTE above (1)").await, "25P02");
    a.run("ROLLBACK").await;
}

/// COMMIT is asked for by the transaction's id: a client that lost the answer asks again.
async fn commit_is_idempotent(a: &mut User, b: &mut User) {
    a.run("BEGIN; INSERT INTO t VALUES (1)").await;
    let id = a.block.transaction().unwrap();
    let first = a.client.commit_transaction(id).await.unwrap();
    assert_eq!(a.client.commit_transaction(id).await.unwrap(), first);
    assert_eq!(b.client.commit_transaction(id).await.unwrap(), first);
    a.block = TransactionBlock::default();
    assert_eq!(a.run("SELECT count(*) FROM t").await, "1");
    // The same for one that lost.
    a.run("BEGIN; UPDATE t SET v = 2").await;
    b.run("UPDATE t SET v = 3").await;
    let id = a.block.transaction().unwrap();
    for _ in 0..2 {
        let error = a.client.commit_transaction(id).await.unwrap_err();
        assert_eq!(error.sqlstate, "40001");
    }
    a.block = TransactionBlock::default();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_rolled_back_by_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { transaction_idle: Duration::from_secs(4), ..Limits::default() };
    let cluster = Cluster::start_limited(folder.path(), limits).await.unwrap();
    let (mut a, mut b) = (User::new(&cluster).await, User::new(&cluster).await);
    a.run("CREATE TABLE t (v INT); INSERT INTO t VALUES (3)").await;
    a.run("BEGIN; INSERT INTO t VALUES (8); UPDATE t SET v = 9").await;
    let gone = a.block.transaction().unwrap();
    drop(a);
    files_become(&cluster, 1).await;
    let error = b.client.commit_transaction(gone).await.unwrap_err();
    assert_eq!(error.sqlstate, "25P03");
    assert!(error.message.starts_with("the transaction was rolled back"), "{error}");
    assert_eq!(b.run("SELECT v FROM t").await, "3");
    cluster.stop().await;
}
