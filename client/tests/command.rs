//! The command `trine` as its user meets it: output, errors, exit codes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod double;

use std::path::Path;

use double::{Double, Fault};

/// A folder with the configuration of a client of three servers.
struct Place {
    double: Double,
    folder: tempfile::TempDir,
}

/// What a run of the command left.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    async fn new() -> Self {
        let double = Double::start().await;
        let folder = tempfile::tempdir().unwrap();
        let config = &double.config;
        let text = config.to_toml(&config.principal, &config.identity);
        std::fs::write(folder.path().join("client.toml"), text).unwrap();
        Self { double, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// Runs the command in the folder, with `input` on standard input.
    async fn trine(&self, arguments: &[&str], input: &str) -> Run {
        use tokio::io::AsyncWriteExt as _;
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_trine"))
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that does not read its input may have closed it.
        stdin.write_all(input.as_bytes()).await.ok();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        Run {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

const TABLE: &str = "create table t (a int not null, b varchar(5))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_come_in_every_format() {
    let place = Place::new().await;
    let run = place.trine(&["sql", "-c", "select v from t"], "").await;
    assert_eq!(run.out, " v\n----\n  7\n -3\n(2 rows)\n");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let run = place.trine(&["sql", "--format", "csv", "-c", "select v from t"], "").await;
    assert_eq!(run.out, "v\n7\n-3\n");
    let run = place.trine(&["sql", "--format", "json"], "select v from t").await;
    assert_eq!(run.out, "[\n  {\"v\": 7},\n  {\"v\": -3}\n]\n");
    let run = place.trine(&["sql", "-o", "r.txt", "-c", TABLE], "").await;
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read_to_string(place.path().join("r.txt")).unwrap(), "CREATE TABLE\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_stops_at_its_first_error() {
    let place = Place::new().await;
    place.file("s.sql", "\\x on\nselect v\n from t;\nupdate t set a = 1;\nselect v from t;\n");
    let run = place.trine(&["sql", "-f", "s.sql"], "").await;
    assert_eq!(run.code, Some(1));
    assert!(run.out.starts_with("Expanded display is on.\n-[ RECORD 1 ]-\nv | 7\n"), "{run:?}");
    assert!(
        run.err.starts_with(
            "ERROR:  42P01: table \"t\" does not exist\nLINE 4: update t set a = 1;\n               ^\n"
        ),
        "{run:?}"
    );
    assert_eq!(place.double.state().submitted.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_nodes_points_into_the_text() {
    let place = Place::new().await;
    place.double.state().faults.extend((0..3).map(|party| (party, Fault::Job)));
    let run = place.trine(&["sql", "-c", "select x from t"], "").await;
    assert_eq!(run.err, "ERROR:  42703: no x\nLINE 1: select x from t\n               ^\n");
    assert_eq!(run.code, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_cells_stop_a_load_or_are_set_aside() {
    let place = Place::new().await;
    place.trine(&["sql", "-c", TABLE], "").await;
    place.file("t.csv", "b,a\nok,1\n\"two\nlines\",x\nshort\n");
    let run = place.trine(&["load", "t.csv", "--table", "t"], "").await;
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.err,
        "t.csv:3:1: column \"b\": 9 bytes, the column takes 5\n\
         t.csv:4:2: column \"a\": not a number\n\
         t.csv:5:1: 1 field, the header names 2\n\
         ERROR:  22P04: 3 bad cells in 2 rows; nothing was loaded\n\
         HINT:  correct the file, or set bad rows aside with --skip-bad FILE\n"
    );
    assert!(place.double.state().uploads.is_empty());
    let run = place.trine(&["load", "t.csv", "--table", "t", "--skip-bad", "bad.csv"], "").await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.starts_with("2 bad rows were written to bad.csv\nloaded 1 rows into t in "));
    assert_eq!(place.double.state().commits.len(), 1);
    let aside = std::fs::read_to_string(place.path().join("bad.csv")).unwrap();
    assert_eq!(aside, "b,a\n\"two\nlines\",x\nshort\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposed_table_is_created_only_when_agreed() {
    let place = Place::new().await;
    place.file("n.csv", "id,kind\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n7,a\n8,b\n");
    let run = place.trine(&["load", "n.csv", "--table", "n", "--create"], "y\n").await;
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("nobody is there to agree"), "{run:?}");
    assert!(place.double.state().tables.is_empty());
    let run = place.trine(&["load", "n.csv", "--table", "n", "--create", "--yes"], "").await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.starts_with(
        "CREATE TABLE n (\n    id INT RANGE (0, 9) NOT NULL,\n    kind ENUM('a','b') NOT NULL\n);\n\
         This becomes public"
    ));
    assert!(run.out.contains("loaded 8 rows into n in "), "{run:?}");
    assert_eq!(place.double.state().tables.len(), 1);
    let run = place.trine(&["load", "n.csv", "--table", "n", "--create", "--yes"], "").await;
    assert!(run.err.starts_with("ERROR:  42P07: table \"n\" already exists"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_transaction_is_loaded_once() {
    let place = Place::new().await;
    place.trine(&["sql", "-c", TABLE], "").await;
    place.file("t.csv", "a\n1\n2\n");
    let id = "0123456789abcdef0123456789abcdef";
    let load = ["load", "t.csv", "--table", "t", "--transaction", id];
    let run = place.trine(&load, "").await;
    assert!(run.out.starts_with("loaded 2 rows into t in "), "{run:?}");
    let run = place.trine(&load, "").await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(0), "NOTICE:  this batch had been loaded before; nothing was loaded again\n")
    );
    assert_eq!(place.double.state().uploads.len(), 3);
}
