//! `trined dev`: three parties on loopback, each a process of its own, with real TLS, real Raft and
//! real files under one folder.

use super::{runtime, stop_signals};
use crate::error::NodeError;
use crate::local::{assign_ports, make, node_dir};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;
use trine_proto::ids::Party;

/// Marks a folder as ours, so that --fresh never deletes anything else.
const MARK: &str = ".trine-dev";
/// How long the three nodes may take to serve.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How long they may take to stop before they are killed.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Arguments of `trined dev`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of the three nodes; made when missing.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Ports BASE to BASE+2 for clients, BASE+3 to BASE+5 between the nodes; free ones when absent.
    #[arg(long, value_name = "BASE")]
    port: Option<u16>,
    /// Deletes what an earlier run left in the folder.
    #[arg(long)]
    fresh: bool,
}

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    let dir = &arguments.dir;
    let mark = dir.join(MARK);
    let ours = mark.exists() || !dir.exists() || is_empty(dir)?;
    if !ours {
        return Err(NodeError::Config(format!(
            "{} holds something that trined dev did not make; give it a folder of its own",
            dir.display()
        )));
    }
    // Another `trined dev` on the folder would have its files changed under it.
    let mut lock = crate::data_lock(dir)?;
    if arguments.fresh {
        std::fs::remove_dir_all(dir).map_err(NodeError::file("delete", dir))?;
        lock = crate::data_lock(dir)?;
    }
    if !mark.exists() {
        // First, so that an interrupted start leaves a folder that --fresh may delete.
        std::fs::write(&mark, "").map_err(NodeError::file("write", &mark))?;
    }
    if !dir.join("client.toml").exists() {
        make(dir)?;
    }
    assign_ports(dir, arguments.port)?;
    let result = runtime()?.block_on(supervise(dir));
    drop(lock);
    result
}

fn is_empty(dir: &Path) -> Result<bool, NodeError> {
    let mut entries = std::fs::read_dir(dir).map_err(NodeError::file("read", dir))?;
    Ok(entries.next().is_none())
}

struct Member {
    party: Party,
    child: Child,
    /// Closed, it tells the child to stop; so does the end of this process.
    stdin: Option<ChildStdin>,
}

async fn supervise(dir: &Path) -> Result<(), NodeError> {
    let asked = stop_signals()?;
    let (ready, mut on_ready) = mpsc::unbounded_channel();
    let mut members = Vec::new();
    for party in Party::ALL {
        members.push(start(dir, party, ready.clone())?);
    }
    drop(ready);
    let result = tokio::select! {
        () = asked => Ok(()),
        result = serve(dir, &mut members, &mut on_ready) => result,
    };
    stop(dir, members).await;
    result
}

/// One child, its log beside its configuration.
fn start(
    dir: &Path,
    party: Party,
    ready: mpsc::UnboundedSender<Party>,
) -> Result<Member, NodeError> {
    let folder = node_dir(dir, party);
    let path = folder.join("log");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(NodeError::file("open", &path))?;
    let mut child = std::env::current_exe()
        .and_then(|program| {
            tokio::process::Command::new(program)
                .arg("run")
                .arg("--config")
                .arg(folder.join("party.toml"))
                .arg("--stop-with-stdin")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(log)
                // A Ctrl-C at the terminal is for this process; it stops its children itself.
                .process_group(0)
                .spawn()
        })
        .map_err(NodeError::System)?;
    let stdin = child.stdin.take();
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "READY" {
                    // Nobody waits for a child that is ready for the second time.
                    let _ = ready.send(party);
                }
            }
        });
    }
    Ok(Member { party, child, stdin })
}

/// Waits for the three to be ready, says so, and goes on whatever becomes of one of them.
async fn serve(
    dir: &Path,
    members: &mut [Member],
    on_ready: &mut mpsc::UnboundedReceiver<Party>,
) -> Result<(), NodeError> {
    let [a, b, c] = members else {
        return Err(NodeError::Config("three nodes were to be started".into()));
    };
    let all = async {
        for _ in Party::ALL {
            on_ready.recv().await;
        }
    };
    let died = tokio::select! {
        () = all => None,
        () = tokio::time::sleep(READY_WAIT) => {
            return Err(NodeError::Config(format!(
                "the nodes did not become ready within {} s; see {}/node*/log",
                READY_WAIT.as_secs(),
                dir.display()
            )));
        }
        _ = a.child.wait() => Some(a.party),
        _ = b.child.wait() => Some(b.party),
        _ = c.child.wait() => Some(c.party),
    };
    if let Some(party) = died {
        let path = node_dir(dir, party).join("log");
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        return Err(NodeError::Config(format!(
            "node {party} ended before it was ready; the end of {}:\n{}",
            path.display(),
            tail.join("\n")
        )));
    }
    println!("READY {}", dir.join("client.toml").display());
    tokio::join!(watch(dir, a), watch(dir, b), watch(dir, c));
    std::future::pending().await
}

/// Says when a child has ended, and how to start it again.
async fn watch(dir: &Path, member: &mut Member) {
    if let Ok(status) = member.child.wait().await {
        let config = node_dir(dir, member.party).join("party.toml");
        eprintln!(
            "node {} ended ({status}); start it again with: trined run --config {}",
            member.party,
            config.display()
        );
    }
}

/// Stops children by the end of their input, and a node that somebody started again by its pid.
async fn stop(dir: &Path, members: Vec<Member>) {
    let mut ending = Vec::new();
    for mut member in members {
        drop(member.stdin.take());
        let own = member.child.id();
        if let Some(other) = running(dir, member.party).filter(|pid| Some(*pid) != own) {
            terminate(other);
        }
        ending.push(async move {
            if tokio::time::timeout(STOP_WAIT, member.child.wait()).await.is_err() {
                eprintln!("node {} does not stop; killing it", member.party);
                // It may have ended just now.
                let _ = member.child.kill().await;
            }
        });
    }
    futures::future::join_all(ending).await;
}

/// The process that `pid` names, if it is still a node.
fn running(dir: &Path, party: Party) -> Option<u32> {
    let pid = std::fs::read_to_string(node_dir(dir, party).join("pid")).ok()?;
    let pid = pid.trim().parse::<u32>().ok()?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = b"trined";
    command.windows(ours.len()).any(|w| w == ours).then_some(pid)
}

fn terminate(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
