//! What a client says to three nodes, and what it makes of their answers and failures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod double;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use double::{Double, Fault};
use trine_client::load::{Checked, LoadOptions, LoadProgress, check};
use trine_client::{Answer, Client, Value};
use trine_proto::ids::TransactionId;
use trine_proto::status::sqlstate;

const TABLE: &str = "CREATE TABLE t (a INT NOT NULL, b VARCHAR(20), c DECIMAL(8,2), d DATE)";

async fn with_table() -> (Double, Client) {
    let double = Double::start().await;
    let client = Client::connect(double.config.clone()).await.unwrap();
    client.execute(TABLE).await.unwrap();
    (double, client)
}

#[tokio::test]
async fn an_insert_reaches_three_nodes_and_none_of_its_literals_does() {
    let (double, client) = with_table().await;
    let sql = "INSERT INTO t VALUES (1879048193, 'SENTINELTEXT', 4711.17, DATE '2021-12-03'), \
               (-1879048193, NULL, NULL, NULL)";
    let answers = client.execute(sql).await.unwrap();
    assert_eq!(answers, [Answer::Done { tag: "INSERT".into(), rows: Some(2), notice: None }]);
    let state = double.state();
    let mut parties: Vec<usize> = state.uploads.iter().map(|u| u.0).collect();
    parties.sort_unstable();
    assert_eq!(parties, [0, 1, 2]);
    assert_eq!(state.commits.len(), 1);
    assert_eq!(state.commits[0].receipts.len(), 3);
    assert_eq!(state.commits[0].transaction_id, state.uploads[0].1.transaction_id);
    let holds = |needle: &[u8]| state.received.windows(needle.len()).any(|w| w == needle);
    assert!(holds(&state.commits[0].transaction_id), "the record holds what is sent");
    let (offset, days) = (1_879_048_193_i64 + (1 << 31), 18_964_i64 + (1 << 31));
    for sentinel in [
        b"SENTINELTEXT".as_slice(),
        b"TXETLENITNES",
        b"1879048193",
        b"2021-12-03",
        b"4711",
        &1_879_048_193_i64.to_le_bytes(),
        &(-1_879_048_193_i64).to_le_bytes(),
        &offset.to_le_bytes()[..4],
        &471_117_i64.to_le_bytes(),
        &days.to_le_bytes()[..4],
    ] {
        assert!(!holds(sentinel), "{sentinel:?} left the machine");
    }
}

#[tokio::test]
async fn a_refused_upload_is_given_up_everywhere() {
    let (double, client) = with_table().await;
    double.state().faults.push((1, Fault::Upload));
    let error = client.execute("INSERT INTO t (a) VALUES (1)").await.unwrap_err();
    assert_eq!(error.message, "no space left on this node");
    let state = double.state();
    assert!(state.commits.is_empty());
    assert_eq!(state.aborts.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_asked_for() {
    let (double, client) = with_table().await;
    double.state().faults.push((0, Fault::CommitAnswer));
    client.execute("INSERT INTO t (a) VALUES (1)").await.unwrap();
    let state = double.state();
    assert_eq!(state.commits.len(), 1);
    assert!(state.aborts.is_empty());
}

#[tokio::test]
async fn a_node_that_is_down_is_named_before_anything_is_sent() {
    let (mut double, first) = with_table().await;
    drop(first);
    double.stop(2).await;
    let client = Client::connect(double.config.clone()).await.unwrap();
    let name = format!("node 2 ({}) is down: connection refused", double.config.nodes[2].address);
    for sql in ["INSERT INTO t (a) VALUES (1)", "SELECT v FROM t"] {
        let error = client.execute(sql).await.unwrap_err();
        assert_eq!((error.sqlstate.as_str(), &error.message), (sqlstate::NODE_UNAVAILABLE, &name));
    }
    let state = double.state();
    assert!(state.uploads.is_empty() && state.submitted.is_empty() && state.commits.is_empty());
}

#[tokio::test]
async fn a_schema_that_one_node_bends_stops_the_insert() {
    let (double, client) = with_table().await;
    double.state().faults.push((1, Fault::Describe));
    let error = client.execute("INSERT INTO t (a) VALUES (1)").await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::DATA_CORRUPTED);
    assert!(double.state().uploads.is_empty());
}

#[tokio::test]
async fn a_query_goes_in_the_same_words_to_all_and_opens() {
    let (double, client) = with_table().await;
    let answers = client.execute("SELECT v FROM t; SELECT 'x;y'").await.unwrap();
    let Answer::Rows(table) = &answers[0] else { panic!("rows") };
    assert_eq!(table.rows, [[Value::Int(7)], [Value::Int(-3)]]);
    assert_eq!(answers.len(), 2);
    let mut submitted = double.state().submitted.clone();
    submitted.sort();
    let expected = |i| [(i, "SELECT 'x;y'".to_owned()), (i, "SELECT v FROM t".to_owned())];
    assert_eq!(submitted, (0..3).flat_map(expected).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_changed_result_is_no_result() {
    let (double, client) = with_table().await;
    double.state().faults.push((2, Fault::Result));
    let error = client.execute("SELECT v FROM t").await.unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::DATA_CORRUPTED);
    assert!(error.message.contains("column \"v\"") && error.message.contains("nodes 1 and 2"));
}

#[tokio::test]
async fn a_query_that_one_node_refuses_is_cancelled_at_the_others() {
    let (double, client) = with_table().await;
    double.state().faults.push((1, Fault::Submit));
    let error = client.execute("SELECT v FROM t").await.unwrap_err();
    assert_eq!(error.message, "not enrolled");
    assert_eq!(double.state().cancelled.len(), 1);
}

#[tokio::test]
async fn the_position_of_an_error_counts_in_the_whole_text() {
    let (double, client) = with_table().await;
    let faults = (0..3).map(|party| (party, Fault::Job));
    double.state().faults.extend(faults);
    let text = "-- é\nSELECT x FROM t";
    let error = client.execute(text).await.unwrap_err();
    assert_eq!(text.chars().nth(error.position as usize - 1), Some('x'));
}

fn checked(schema: &trine_proto::schema::TableSchema, file: &Path) -> Checked {
    let (options, progress) = (LoadOptions::default(), LoadProgress::default());
    check(schema, &[file.to_path_buf()], &options, &progress).unwrap()
}

fn csv(folder: &Path, rows: usize) -> PathBuf {
    let lines: String = (0..rows).map(|i| format!("{i},n{i}\n")).collect();
    let file = folder.join("t.csv");
    std::fs::write(&file, format!("a,b\n{lines}")).unwrap();
    file
}

#[tokio::test]
async fn a_file_is_loaded_in_chunks_and_only_once() {
    let (double, client) = with_table().await;
    let folder = tempfile::tempdir().unwrap();
    let rows = trine_proto::CHUNK_ROWS + 3;
    let schema = client.schema("t").await.unwrap();
    let checked = checked(&schema, &csv(folder.path(), rows));
    let id = TransactionId([9; 16]);
    let progress = Arc::new(LoadProgress::default());
    let first = client.load(checked.clone(), id, true, Arc::clone(&progress)).await.unwrap();
    assert!(!first.before);
    let again = client.load(checked, id, false, progress).await.unwrap();
    assert!(again.before);
    let state = double.state();
    assert_eq!((state.uploads.len(), state.commits.len()), (3, 1));
    for (_, header, chunks) in &state.uploads {
        assert_eq!(header.rows, rows as u64);
        assert_eq!(chunks.iter().map(|c| c.index).collect::<Vec<_>>(), [0, 1]);
    }
}

#[tokio::test]
async fn a_load_that_fails_midway_leaves_nothing() {
    let (double, client) = with_table().await;
    double.state().faults.push((2, Fault::Upload));
    let folder = tempfile::tempdir().unwrap();
    let schema = client.schema("t").await.unwrap();
    let checked = checked(&schema, &csv(folder.path(), 4 * trine_proto::CHUNK_ROWS));
    let id = TransactionId([9; 16]);
    let error = client.load(checked, id, true, Arc::default()).await.unwrap_err();
    assert_eq!(error.message, "no space left on this node");
    let state = double.state();
    assert!(state.commits.is_empty());
    assert_eq!(state.aborts, [id.0]);
}
