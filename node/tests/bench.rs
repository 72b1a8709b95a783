//! `trined bench`: figures come with a verified result and the bytes of the cost model, or not at all.
#![allow(missing_docs, clippy::unwrap_used)]

use serde_json::Value;
use std::process::{Command, Output};

fn bench(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trined"))
        .arg("bench")
        .args(arguments.split(' '))
        .output()
        .unwrap()
}

/// The object on the last line.
fn figures(arguments: &str) -> Value {
    let output = bench(&format!("{arguments} --json"));
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments}: {said}");
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn refusal(arguments: &str) -> String {
    let output = bench(arguments);
    assert!(!output.status.success(), "{arguments}");
    assert!(output.stdout.is_empty(), "a failure has no figures");
    String::from_utf8(output.stderr).unwrap()
}

fn check(figures: &Value, arguments: &str) {
    assert_eq!(figures["verified"], true, "{arguments}");
    assert_eq!(figures["cost_as_predicted"], true, "{arguments}: {figures}");
    assert_eq!(figures["bytes_per_party"].as_array().unwrap().len(), 3);
    for key in ["op", "rows", "bits", "wall_s", "cpu_s", "rounds", "peak_rss_mb", "elements_per_s"]
    {
        assert!(!figures[key].is_null(), "{arguments}: {key}");
    }
}

#[test]
fn every_operation_is_verified_in_memory() {
    let operations = [
        "round",
        "and",
        "mul",
        "eq",
        "lt",
        "a2b",
        "b2a",
        "shuffle",
        "sort",
        "partition",
        "groupby-sum",
        "groupby-small",
        "join-unique",
        "topk",
    ];
    for operation in operations {
        for rows in [1, 130] {
            let arguments = format!("{operation} --rows {rows} --bits 32 --net mem --repeat 2");
            check(&figures(&arguments), &arguments);
        }
    }
}

#[test]
fn three_processes_over_tls_send_what_threads_in_memory_send() {
    for operation in ["mul --rows 1000 --bits 64", "groupby-sum --rows 300 --groups 7"] {
        let tls = figures(&format!("{operation} --net tls --repeat 2"));
        let memory = figures(&format!("{operation} --net mem"));
        check(&tls, operation);
        for key in ["bytes_predicted", "rounds_predicted"] {
            assert_eq!(tls[key], memory[key], "{operation}");
        }
    }
    let tls = figures("mul --rows 1000 --bits 64");
    assert_eq!(tls["bytes_per_party"], serde_json::json!([8000, 8000, 8000]));
    assert_eq!(tls["rounds"], 1);
}

#[test]
fn a_round_is_one_message_of_one_word() {
    let run = figures("round --rows 20 --net tls --repeat 1");
    check(&run, "round");
    assert_eq!(run["rounds"], 20);
    assert_eq!(run["bytes_per_party"], serde_json::json!([160, 160, 160]));
    assert!(run["round_us"].as_f64().unwrap() > 0.0);
    assert!(figures("and --rows 20 --net mem --repeat 1")["round_us"].is_null());
}

#[test]
fn a_simulated_round_trip_changes_the_circuit_and_not_the_result() {
    let near = figures("lt --rows 100 --bits 32 --net mem --repeat 1 --form ripple");
    let far =
        figures("lt --rows 100 --bits 32 --net mem --repeat 1 --rtt-ms 2 --profile-rtt-ms 50");
    check(&far, "far");
    assert_eq!((&near["rounds"], &far["rounds"]), (&32.into(), &6.into()));
    assert!(far["wall_s"].as_f64().unwrap() >= 0.006, "six rounds of a millisecond each way");
}

#[test]
fn a_wrong_share_is_a_failure_and_no_figure() {
    for net in ["mem", "tls"] {
        let said = refusal(&format!("and --rows 100 --net {net} --repeat 1 --corrupt"));
        let expected = "trined: WRONG RESULT: parties 0 and 1 hold different shares of vector 0\n";
        assert!(said.ends_with(expected), "{said}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let cases = [
        (
            "sorted",
            "no operation \"sorted\"; there are round, and, mul, eq, lt, a2b, b2a, shuffle, \
             sort, partition, groupby-sum, groupby-small, join-unique, topk, load, and tpch",
        ),
        ("sort --bits 129", "sort takes --bits 1 to 128 (width of the key), not 129"),
        ("sort --rows 0", "--rows is 1 to 268435456, not 0"),
        ("lt --rtt-ms -1", "--rtt-ms is 0 to 10000, not -1"),
    ];
    for (arguments, why) in cases {
        let arguments = arguments.replace("--rtt-ms -1", "--rtt-ms=-1");
        assert_eq!(refusal(&arguments), format!("trined: {why}\n"));
    }
}
