//! Golden plans and errors: `plans/*.txt` hold statements, each followed by what the planner makes
//! of it. `TRINE_BLESS=1 cargo test -p trine-query --test planner` writes what it makes today.

use crate::schema::{ANALYST, AT, SIGNED_AT_MS, catalog};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use trine_mpc::Profile;
use trine_query::compile;

const PROFILE: Profile = Profile { round_trip_us: 128, megabits_per_s: 8192, lanes: 1 };

/// What is shown of a statement: its plan as EXPLAIN prints it, or the error with its place.
fn shown(sql: &str) -> String {
    let statement = match compile(sql, &catalog(), AT, ANALYST, SIGNED_AT_MS) {
        Ok(statement) => statement,
        Err(e) => {
            let place = match usize::try_from(e.position).unwrap() {
                0 => String::new(),
                at => {
                    let rest: String = sql.chars().skip(at - 1).take(24).collect();
                    format!("at {at}: {}\n", rest.replace('\n', " ").trim_end())
                }
            };
            let hint =
                if e.hint.is_empty() { String::new() } else { format!("hint: {}\n", e.hint) };
            return format!("{}: {}\n{hint}{place}", e.sqlstate, e.message);
        }
    };
    let mut out = String::new();
    for row in statement.explain_rows(PROFILE).unwrap() {
        let indent = "  ".repeat(row.depth as usize);
        let opens =
            if row.opens.is_empty() { String::new() } else { format!(" opens {}", row.opens) };
        let _ = writeln!(out, "{indent}{} | {} rows{opens}", row.text, row.rows);
    }
    out
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/planner/plans").join(file)
}

/// All statements of the golden files.
pub(crate) fn statements() -> Vec<String> {
    let mut all = Vec::new();
    for file in ["select.txt", "aggregate.txt", "join.txt", "demo.txt", "tpch.txt", "error.txt"] {
        for block in fs::read_to_string(path(file)).unwrap().split("\n\n").map(str::trim) {
            let (sql, _) = block.split_once("\n----").unwrap_or((block, ""));
            let lines: Vec<&str> = sql.lines().filter(|l| !l.starts_with('#')).collect();
            if !lines.is_empty() {
                all.push(lines.join("\n"));
            }
        }
    }
    all
}

fn check(file: &str) {
    let path = path(file);
    let golden = fs::read_to_string(&path).unwrap();
    let mut fresh = String::new();
    let mut statements = 0;
    for block in golden.split("\n\n").map(str::trim).filter(|b| !b.is_empty()) {
        let (sql, _) = block.split_once("\n----").unwrap_or((block, ""));
        let comment: Vec<&str> = sql.lines().take_while(|l| l.starts_with('#')).collect();
        let sql: Vec<&str> = sql.lines().skip(comment.len()).collect();
        for line in &comment {
            let _ = writeln!(fresh, "{line}");
        }
        if sql.is_empty() {
            fresh.push('\n');
            continue;
        }
        statements += 1;
        let sql = sql.join("\n");
        let _ = writeln!(fresh, "{sql}\n----\n{}", shown(&sql).trim_end());
        fresh.push('\n');
    }
    assert!(statements > 0, "{file} holds no statement");
    if std::env::var_os("TRINE_BLESS").is_some() {
        fs::write(&path, &fresh).unwrap();
        return;
    }
    for (line, (had, has)) in golden.lines().zip(fresh.lines()).enumerate() {
        assert_eq!(had, has, "{file}:{}", line + 1);
    }
    assert_eq!(golden.trim_end(), fresh.trim_end(), "{file}");
}

#[test]
fn selects() {
    check("select.txt");
}

#[test]
fn aggregates() {
    check("aggregate.txt");
}

#[test]
fn joins() {
    check("join.txt");
}

#[test]
fn demo_queries() {
    check("demo.txt");
}

/// The queries of TPC-H, at the row counts of scale factor 0.01.
#[test]
fn tpch() {
    check("tpch.txt");
}

#[test]
fn errors() {
    check("error.txt");
}
