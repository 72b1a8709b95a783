//! The program itself: three processes under `trined dev`, and the steps of `trined init`.
#![allow(missing_docs, clippy::unwrap_used)]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn trined() -> Command {
    Command::new(env!("CARGO_BIN_EXE_trined"))
}

fn output(arguments: &[&str], dir: &Path) -> Output {
    trined().args(arguments).current_dir(dir).output().unwrap()
}

fn pid(dir: &Path, node: usize) -> i32 {
    std::fs::read_to_string(dir.join(format!("node{node}/pid"))).unwrap().trim().parse().unwrap()
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn runs(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}/cmdline"))
        .exists()
        .then(|| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default())
        .is_some_and(|line| !line.is_empty())
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn dev_runs_three_parties_survives_one_and_stops_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("c");
    let start = || {
        trined()
            .arg("dev")
            .arg("--dir")
            .arg(&dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut dev = start();
    let client = dir.join("client.toml");
    assert_eq!(first_line(&mut dev), format!("READY {}\n", client.display()));
    let pids = [0, 1, 2].map(|n| pid(&dir, n));
    assert!(pids.iter().all(|p| runs(*p)));

    // A second one on the same folder changes nothing.
    let second = output(&["dev", "--dir", dir.to_str().unwrap(), "--fresh"], folder.path());
    assert!(!second.status.success());
    assert!(String::from_utf8(second.stderr).unwrap().contains("already runs"));

    // A killed party is started again by hand, and is stopped with the others.
    signal(pids[1], Signal::KILL);
    let mut lines = BufReader::new(dev.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.starts_with("node 1 ended"), "{line}");
    let mut again = trined()
        .arg("run")
        .arg("--config")
        .arg(dir.join("node1/party.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(first_line(&mut again), "READY\n");
    assert_eq!(pid(&dir, 1), i32::try_from(again.id()).unwrap());
    signal(i32::try_from(dev.id()).unwrap(), Signal::TERM);
    assert!(dev.wait().unwrap().success());
    let ended = again.wait().unwrap();
    assert!(ended.success(), "{ended}");
    assert!(!runs(pids[0]) && !runs(pids[2]));

    // The same folder starts again under the same keys.
    let before = std::fs::read_to_string(&client).unwrap();
    let mut dev = start();
    assert!(first_line(&mut dev).starts_with("READY"));
    let key = |text: &str| text.lines().find(|l| l.starts_with("secret_key")).unwrap().to_owned();
    assert_eq!(key(&before), key(&std::fs::read_to_string(&client).unwrap()));
    signal(i32::try_from(dev.id()).unwrap(), Signal::INT);
    assert!(dev.wait().unwrap().success());
    let mut rest = String::new();
    dev.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("killing"), "{rest}");
}

#[test]
fn dev_does_not_touch_a_folder_of_somebody_else() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "x").unwrap();
    let dir = folder.path().to_str().unwrap();
    let refused = output(&["dev", "--dir", dir, "--fresh"], folder.path());
    assert!(!refused.status.success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn init_makes_a_cluster_in_three_steps() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let run = |arguments: &[&str]| {
        let out = output(arguments, dir);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    for (party, name) in ["a", "b", "c"].iter().enumerate() {
        let client = format!("127.0.0.1:{}", 1 + party);
        let mesh = format!("127.0.0.1:{}", 4 + party);
        run(&[
            "init",
            "--dir",
            name,
            "--name",
            name,
            "--client-address",
            &client,
            "--mesh-address",
            &mesh,
        ]);
    }
    run(&[
        "init",
        "--cluster-from",
        "a/node.toml",
        "b/node.toml",
        "c/node.toml",
        "--administrator",
        "root",
        "-o",
        "cluster.toml",
    ]);
    for (party, name) in ["0", "1", "2"].iter().zip(["a", "b", "c"]) {
        run(&["init", "--dir", name, "--party", party, "--cluster", "cluster.toml"]);
        let checked = run(&["check", "--config", &format!("{name}/party.toml")]);
        assert!(checked.contains(&format!("party {party} of cluster")), "{checked}");
    }
    assert!(dir.join("root.client.toml").exists());
    // A key is never overwritten.
    let again = output(
        &["init", "--dir", "a", "--name", "a", "--client-address", "x:1", "--mesh-address", "x:2"],
        dir,
    );
    assert!(!again.status.success());
}
