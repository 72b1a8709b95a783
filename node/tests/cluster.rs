//! Whole clusters in one process, spoken to with nothing but the contract.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::disallowed_methods)]
#![allow(clippy::cast_possible_truncation)]

mod raw;

use raw::{Raw, cut, random, schema};
use std::io::Write as _;
use std::time::Duration;
use trine_node::config::Limits;
use trine_node::testing::Cluster;
use trine_proto::identity::Identity;
use trine_proto::ids::{Party, TransactionId};
use trine_proto::status::sqlstate;
use trine_proto::wire::admin_client::AdminClient;
use trine_proto::wire::client_command::Command;
use trine_proto::wire::job_state::Kind;
use trine_proto::wire::operator_client::OperatorClient;
use trine_proto::wire::query_client::QueryClient;
use trine_proto::wire::{self, CheckRequest, StatusRequest};

const P: [Party; 3] = Party::ALL;

fn admin(cluster: &Cluster) -> Raw<'_> {
    Raw { cluster, identity: cluster.administrator().clone() }
}

fn parquet_files(cluster: &Cluster, party: Party) -> usize {
    fn count(dir: &std::path::Path) -> usize {
        let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
        entries.map(|e| e.unwrap().path()).map(|p| if p.is_dir() { count(&p) } else { 1 }).sum()
    }
    count(&cluster.data_dir(party).join("segments"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_sum_is_the_same_after_a_restart_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await.unwrap();
    let raw = admin(&cluster);
    let mut status = AdminClient::new(raw.channel(P[2]).await);
    let status = status.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.party, status.principal.as_str()), (2, "admin"));
    assert_eq!(status.mesh_up, [true; 3]);
    // An administrator of the database is not the operator of the machine.
    let mut operator = OperatorClient::new(raw.channel(P[2]).await);
    let denied = operator.check(CheckRequest { repair: true }).await.unwrap_err();
    let text = "only this node's own operator may check, repair or back up its segments";
    assert!(denied.message().contains(text), "{denied}");
    // Who is not enrolled may know that the node lives, and no more.
    let stranger = Identity::generate().unwrap();
    let channel = cluster.channel(P[2], &stranger).await.unwrap();
    let told = AdminClient::new(channel.clone()).status(StatusRequest {}).await.unwrap();
    assert_eq!(told.into_inner().principal, "");
    let denied = OperatorClient::new(channel).check(CheckRequest { repair: false }).await;
    let text = "this key belongs to no enrolled principal";
    assert!(denied.unwrap_err().message().contains(text));
    let table = schema("t", false);
    raw.create(&table).await;
    raw.load(&table, &[1, -20, 300, 4_000, 7]).await.unwrap();
    raw.load(&table, &[i32::MIN, i32::MAX]).await.unwrap();
    let sql = "SELECT sum(v) FROM t WHERE v > 5";
    let due = 300 + 4_000 + 7 + i128::from(i32::MAX);
    assert_eq!(raw.number(sql).await.unwrap(), due);
    assert_eq!(raw.number("SELECT count(*) FROM t").await.unwrap(), 7);
    let error = raw.number("SELECT sum(w) FROM t").await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::UNDEFINED_COLUMN);
    assert_eq!(error.position, 12);
    let error = raw.number("SELEKT 1").await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::SYNTAX_ERROR);
    cluster.stop().await;

    let cluster = Cluster::start(dir.path()).await.unwrap();
    let raw = admin(&cluster);
    assert_eq!(raw.number(sql).await.unwrap(), due);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await.unwrap();
    let raw = admin(&cluster);
    let table = schema("t", false);
    raw.create(&table).await;
    let transaction = TransactionId(random());
    let [zero, one, _] = cut(&cluster, &table, transaction, &[1, 2, 3]);

    // Ends before its chunk; a chunk too short; a chunk too many; no header.
    let error = raw.upload(P[1], one[..1].to_vec()).await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::BAD_COPY_FILE);
    assert!(error.message.contains("ended after 0 of 3 rows"), "{error}");
    let mut short = one.clone();
    if let Some(wire::upload_message::Message::Chunk(chunk)) = &mut short[1].message {
        chunk.explicit[0].pop();
    }
    assert!(raw.upload(P[1], short).await.is_err());
    let mut long = one.clone();
    long.push(one[1].clone());
    assert!(raw.upload(P[1], long).await.is_err());
    let error = raw.upload(P[1], one[1..].to_vec()).await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::PROTOCOL_VIOLATION);
    assert_eq!(parquet_files(&cluster, P[1]), 0);

    // Twice the same is one part and one receipt; other shares under the same id are refused.
    let first = raw.upload(P[1], one.clone()).await.unwrap();
    assert_eq!(raw.upload(P[1], one).await.unwrap(), first);
    assert_eq!(parquet_files(&cluster, P[1]), 1);
    let [_, other, _] = cut(&cluster, &table, transaction, &[1, 2, 3]);
    let error = raw.upload(P[1], other).await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::DUPLICATE_OBJECT);

    // Abort in the log removes the part, and nothing more is taken for the transaction.
    let abort = wire::Abort { transaction_id: transaction.0.to_vec() };
    raw.propose(P[0], Command::Abort(abort)).await.unwrap();
    while parquet_files(&cluster, P[1]) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = raw.upload(P[0], zero).await.unwrap_err();
    assert!(error.message.contains("given up"), "{error}");

    // Only the owner inserts; only who is enrolled may ask.
    let eve = Raw { cluster: &cluster, identity: Identity::generate().unwrap() };
    let [part, ..] = cut(&cluster, &table, TransactionId(random()), &[1]);
    let error = eve.upload(P[0], part.clone()).await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::INVALID_AUTHORIZATION);
    let enrol = wire::Enrol { name: "eve".into(), public_key: eve.identity.public().to_vec() };
    raw.propose(P[0], Command::Enrol(enrol)).await.unwrap();
    let error = eve.upload(P[0], part).await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::INSUFFICIENT_PRIVILEGE);
    let error = eve.number("SELECT sum(v) FROM t").await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::INSUFFICIENT_PRIVILEGE);
    assert_eq!(parquet_files(&cluster, P[0]), 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_key_is_checked_before_a_batch_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await.unwrap();
    let raw = admin(&cluster);
    let table = schema("k", true);
    raw.create(&table).await;
    assert_eq!(raw.load(&table, &[5, 3, 9]).await.unwrap(), "Committed");
    let error = raw.load(&table, &[4, 9]).await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::UNIQUE_VIOLATION);
    let error = raw.load(&table, &[4, 4]).await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::UNIQUE_VIOLATION);
    assert_eq!(raw.load(&table, &[4]).await.unwrap(), "Committed");
    assert_eq!(raw.number("SELECT sum(v) FROM k").await.unwrap(), 21);
    // EXPLAIN runs no protocol, and only its owner may fetch.
    let job = raw.submit(&P, "EXPLAIN SELECT sum(v) FROM k").await.unwrap();
    assert_eq!(raw.watch(P[1], job).await.kind(), Kind::Done);
    assert!(!raw.fetch(P[1], job).await.unwrap().header.explain.is_empty());
    let eve = Raw { cluster: &cluster, identity: Identity::generate().unwrap() };
    let enrol = wire::Enrol { name: "eve".into(), public_key: eve.identity.public().to_vec() };
    raw.propose(P[1], Command::Enrol(enrol)).await.unwrap();
    let error = eve.fetch(P[1], job).await.err().unwrap();
    assert_eq!(error.sqlstate, sqlstate::UNDEFINED_OBJECT);
    // A dropped table leaves no file behind.
    assert!(parquet_files(&cluster, P[2]) >= 2);
    let drop = wire::DropTable { table: "k".into(), ..Default::default() };
    raw.propose(P[0], Command::DropTable(drop)).await.unwrap();
    while parquet_files(&cluster, P[2]) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = raw.number("SELECT sum(v) FROM k").await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::UNDEFINED_TABLE);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_is_named_and_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start_with(dir.path(), Duration::from_millis(300)).await.unwrap();
    let table = schema("t", false);
    let raw = admin(&cluster);
    raw.create(&table).await;
    raw.load(&table, &[1, 2, 3]).await.unwrap();
    cluster.stop_node(P[2]).await;
    let raw = admin(&cluster);
    // Two nodes order commands; a query says which node it lacks.
    raw.create(&schema("u", false)).await;
    let job = raw.submit(&P[..2], "SELECT sum(v) FROM t").await.unwrap();
    let state = raw.watch(P[0], job).await;
    let error = state.error.unwrap();
    assert_eq!(error.sqlstate, sqlstate::NODE_UNAVAILABLE);
    let due = format!("node 2 ({}) is down", cluster.client_address(P[2]));
    assert!(error.message.starts_with(&due), "{}", error.message);
    cluster.start_node(P[2]).await.unwrap();
    cluster.ready().await;
    let raw = admin(&cluster);
    assert_eq!(raw.number("SELECT sum(v) FROM t").await.unwrap(), 6);
    assert_eq!(raw.number("SELECT count(*) FROM u").await.unwrap(), 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_when_the_missing_node_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start_with(dir.path(), Duration::from_secs(120)).await.unwrap();
    let table = schema("t", false);
    let raw = admin(&cluster);
    raw.create(&table).await;
    raw.load(&table, &[10, 20]).await.unwrap();
    cluster.stop_node(P[0]).await;
    let raw = admin(&cluster);
    let job = raw.submit(&P[1..], "SELECT sum(v) FROM t").await.unwrap();
    let given_up = raw.submit(&P[1..], "SELECT count(*) FROM t").await.unwrap();
    let cancel = wire::CancelQuery { job_id: given_up.0.to_vec() };
    let mut client = QueryClient::new(raw.channel(P[1]).await);
    let outcome = client.cancel(raw.sign(Command::CancelQuery(cancel)).1).await.unwrap();
    assert_eq!(outcome.into_inner().error, None);
    assert_eq!(raw.watch(P[2], given_up).await.kind(), Kind::Cancelled);
    cluster.start_node(P[0]).await.unwrap();
    assert_eq!(admin(&cluster).watch(P[0], given_up).await.kind(), Kind::Cancelled);
    assert_eq!(admin(&cluster).answer(job).await.unwrap(), 30);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_both_ports_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await.unwrap();
    let mut open = Vec::new();
    for address in [cluster.client_address(P[0]), cluster.mesh_address(P[0])] {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 4096], b""]
        {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            // The node may close at once.
            let _ = stream.write_all(garbage);
            open.push(stream);
        }
    }
    let raw = admin(&cluster);
    let table = schema("t", false);
    raw.create(&table).await;
    raw.load(&table, &[2, 3]).await.unwrap();
    assert_eq!(raw.number("SELECT sum(v) FROM t").await.unwrap(), 5);
    drop(open);
    cluster.stop().await;
}

/// An uploader who sends the two holders of a component different versions of it.
#[tokio::test(flavor = "multi_thread")]
async fn different_versions_of_a_component_are_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await.unwrap();
    let raw = admin(&cluster);
    let table = schema("t", false);
    raw.create(&table).await;
    raw.load(&table, &[1, 2]).await.unwrap();
    let header = |messages: &mut Vec<wire::UploadMessage>, change: fn(&mut wire::UploadHeader)| {
        if let Some(wire::upload_message::Message::Header(header)) = &mut messages[0].message {
            change(header);
        }
    };
    // Which node gets another version, of what, and what the log says of it.
    for (party, due) in [
        (0, "component 0 differs between party 2 and party 0"),
        (1, "component 1 differs between party 0 and party 1"),
        (2, "component 2 differs between party 1 and party 2"),
    ] {
        let transaction = TransactionId(random());
        let mut parts = cut(&cluster, &table, transaction, &[5, 6, 7]);
        match party {
            0 => header(&mut parts[0], |h| h.first.as_mut().unwrap().seed[7] ^= 1),
            1 => header(&mut parts[1], |h| h.first.as_mut().unwrap().seed[31] ^= 1),
            _ => {
                let Some(wire::upload_message::Message::Chunk(chunk)) = &mut parts[2][1].message
                else {
                    panic!("a chunk")
                };
                chunk.explicit[0][0] ^= 1;
            }
        }
        let mut receipts = Vec::new();
        for (party, messages) in P.into_iter().zip(parts) {
            receipts.push(raw.upload(party, messages).await.unwrap());
        }
        let transaction_id = transaction.0.to_vec();
        let commit = wire::Commit { transaction_id, receipts, within: None };
        for _ in 0..2 {
            let error = raw.propose(P[1], Command::Commit(commit.clone())).await.unwrap_err();
            assert_eq!(error.sqlstate, sqlstate::DATA_CORRUPTED);
            assert_eq!(error.message, due);
        }
        // Nothing is visible, and the parts go.
        assert_eq!(raw.number("SELECT count(*) FROM t").await.unwrap(), 2);
        for party in P {
            while parquet_files(&cluster, party) > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    cluster.stop().await;
}

/// Two owners load one table at the same time; a commit that is sent twice counts once.
#[tokio::test(flavor = "multi_thread")]
async fn two_owners_load_one_table_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await.unwrap();
    let raw = admin(&cluster);
    let owner = Raw { cluster: &cluster, identity: Identity::generate().unwrap() };
    let enrol = wire::Enrol { name: "owner".into(), public_key: owner.identity.public().to_vec() };
    raw.propose(P[0], Command::Enrol(enrol)).await.unwrap();
    let table = schema("t", false);
    owner.create(&table).await;
    let (values, others): (Vec<i32>, Vec<i32>) = ((0..40).collect(), (100..140).collect());
    let (one, two, three) = tokio::join!(
        owner.load(&table, &values),
        raw.load(&table, &others),
        owner.load(&table, &[1_000])
    );
    for outcome in [one, two, three] {
        outcome.unwrap();
    }
    let transaction = TransactionId(random());
    let mut receipts = Vec::new();
    for (party, messages) in P.into_iter().zip(cut(&cluster, &table, transaction, &[7])) {
        receipts.push(owner.upload(party, messages).await.unwrap());
    }
    let transaction_id = transaction.0.to_vec();
    let commit = || wire::Commit {
        transaction_id: transaction_id.clone(),
        receipts: receipts.clone(),
        within: None,
    };
    let (a, b, c) = tokio::join!(
        owner.propose(P[0], Command::Commit(commit())),
        owner.propose(P[1], Command::Commit(commit())),
        owner.propose(P[2], Command::Commit(commit()))
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    let due = values.iter().chain(&others).sum::<i32>() + 1_000 + 7;
    assert_eq!(owner.number("SELECT sum(v) FROM t").await.unwrap(), due.into());
    assert_eq!(owner.number("SELECT count(*) FROM t").await.unwrap(), 82);
    cluster.stop().await;
}

/// Sixteen jobs at one time, all under way side by side; the leader goes and comes back meanwhile, and no
/// client is connected.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_jobs_run_side_by_side_and_outlive_the_leader() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start_with(dir.path(), Duration::from_secs(300)).await.unwrap();
    let table = schema("t", false);
    let raw = admin(&cluster);
    raw.create(&table).await;
    raw.load(&table, &(0..20).collect::<Vec<_>>()).await.unwrap();
    let status = AdminClient::new(raw.channel(P[0]).await).status(StatusRequest {}).await;
    let leader = Party::new(status.unwrap().into_inner().leader.try_into().unwrap()).unwrap();
    cluster.stop_node(leader).await;
    let others = [leader.next(), leader.previous()];
    let raw = admin(&cluster);
    let mut jobs = Vec::new();
    for limit in 0..16 {
        let sql = format!("SELECT count(*) FROM t WHERE v < {limit}");
        // Until the two that are left have a leader again.
        let job = loop {
            match raw.submit(&others, &sql).await {
                Ok(job) => break job,
                Err(e) => assert_eq!(e.sqlstate, sqlstate::NODE_UNAVAILABLE, "{e}"),
            }
        };
        jobs.push(job);
    }
    while others.iter().any(|party| cluster.running(*party) < 16) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cluster.start_node(leader).await.unwrap();
    for (limit, job) in (0..).zip(jobs) {
        assert_eq!(admin(&cluster).answer(job).await.unwrap(), limit);
    }
    cluster.stop().await;
}

/// Cancelling ends what runs at every node, also what waits for a peer.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_work_is_over_at_all_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start_with(dir.path(), Duration::from_secs(3_600)).await.unwrap();
    let table = schema("t", false);
    let raw = admin(&cluster);
    raw.create(&table).await;
    raw.load(&table, &[1, 2, 3]).await.unwrap();
    cluster.stop_node(P[2]).await;
    let raw = admin(&cluster);
    let query = raw.submit(&P[..2], "SELECT sum(v) FROM t").await.unwrap().0;
    let mut delete =
        wire::SubmitWrite { sql: "DELETE FROM t".into(), table: "t".into(), ..Default::default() };
    delete.set_kind(wire::WriteKind::Rewrite);
    let (write, signed) = raw.sign(Command::SubmitWrite(delete));
    let mut transactions =
        wire::transaction_client::TransactionClient::new(raw.channel(P[0]).await);
    assert_eq!(transactions.propose(signed).await.unwrap().into_inner().error, None);
    while P[..2].iter().any(|party| cluster.running(*party) < 2) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let eve = Raw { cluster: &cluster, identity: Identity::generate().unwrap() };
    let enrol = wire::Enrol { name: "eve".into(), public_key: eve.identity.public().to_vec() };
    raw.propose(P[1], Command::Enrol(enrol)).await.unwrap();
    for id in [query, write] {
        let cancel = || Command::CancelQuery(wire::CancelQuery { job_id: id.to_vec() });
        let outcome = QueryClient::new(eve.channel(P[0]).await).cancel(eve.sign(cancel()).1).await;
        assert!(outcome.unwrap().into_inner().error.is_some());
        let outcome = QueryClient::new(raw.channel(P[1]).await).cancel(raw.sign(cancel()).1).await;
        assert_eq!(outcome.unwrap().into_inner().error, None);
    }
    while P[..2].iter().any(|party| cluster.running(*party) > 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cluster.start_node(P[2]).await.unwrap();
    cluster.ready().await;
    assert_eq!(admin(&cluster).number("SELECT sum(v) FROM t").await.unwrap(), 6);
    cluster.stop().await;
}

/// The least of the three budgets counts at all nodes alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_beyond_the_budget_of_memory_is_refused_by_operator_and_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { job_memory_bytes: 100, ..Limits::default() };
    let cluster = Cluster::start_limited(dir.path(), limits).await.unwrap();
    let table = schema("t", false);
    let raw = admin(&cluster);
    raw.create(&table).await;
    raw.load(&table, &(0..100).collect::<Vec<_>>()).await.unwrap();
    let sql = "SELECT sum(v) FROM t WHERE v > 5";
    let error = loop {
        match raw.number(sql).await {
            Err(e) => break e,
            // The budget is not in the log yet.
            Ok(sum) => assert_eq!(sum, (6..100).sum()),
        }
    };
    assert_eq!(error.sqlstate, "53200");
    let (start, end) = ("out of memory: ", " bytes at each node, one job may use 100");
    assert!(error.message.starts_with(start) && error.message.ends_with(end), "{error}");
    assert_eq!(raw.number("SELECT 1").await.unwrap(), 1);
    cluster.stop().await;
}
