//! Three `trined` processes of their own, in one folder.

use crate::ports::free_addresses;
use crate::{Failure, Switchboard};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use trine_client::{Client, Config};

/// How long a node may take to say READY when both others run.
pub const READY_WAIT: Duration = Duration::from_secs(90);
/// How long a process may take to end after SIGTERM.
const STOP_WAIT: Duration = Duration::from_secs(30);
/// Pause between two looks at a process.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long a batch that nobody commits stays on disk, in seconds, unless told otherwise.
const STAGED_KEEP_S: u64 = 60;

/// Three nodes; all are killed when it is dropped.
pub struct Cluster {
    folder: TempDir,
    nodes: [Option<Node>; 3],
    mesh: [String; 3],
    client: [String; 3],
    staged_keep_s: u64,
    results_keep_s: Option<u64>,
    metrics: bool,
    /// Relays before the mesh ports, and the ports behind them.
    switchboard: Option<(Switchboard, [String; 3])>,
}

struct Node {
    child: Child,
    ready: Receiver<()>,
}

/// What a command of `trined` printed, and its exit code.
#[derive(Debug)]
pub struct Answer {
    /// Exit code; -1 if it was killed.
    pub code: i32,
    /// Standard output and standard error.
    pub text: String,
}

impl Answer {
    /// The log position that a backup has printed.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        let rest = self.text.split_once(": log position ")?.1;
        rest.split(',').next()?.parse().ok()
    }

    /// The number behind a word of the last line of a check: `damaged: 3`.
    #[must_use]
    pub fn number(&self, word: &str) -> Option<u64> {
        let line = self.text.lines().rev().find(|l| l.starts_with("segments: "))?;
        let field = line.split(", ").find_map(|f| f.strip_prefix(&format!("{word}: ")))?;
        field.split(' ').next()?.parse().ok()
    }
}

impl Cluster {
    /// Keys and configurations of a new cluster; nothing runs yet.
    ///
    /// # Errors
    /// `trined` is not built, or `trined init` fails.
    pub fn new() -> Result<Self, Failure> {
        let [a, b, c, d, e, f] = free_addresses()?;
        Self::make([a, b, c], [d, e, f], None)
    }

    /// The same with relays between the nodes, so that any pair can be cut.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_switchboard() -> Result<Self, Failure> {
        let [a, b, c, d, e, f] = free_addresses()?;
        let (behind, client) = ([a, b, c], [d, e, f]);
        let switchboard = Switchboard::start(&behind)?;
        let mesh = switchboard.addresses().clone();
        Self::make(mesh, client, Some((switchboard, behind)))
    }

    fn make(
        mesh: [String; 3],
        client: [String; 3],
        switchboard: Option<(Switchboard, [String; 3])>,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let nodes = [None, None, None];
        let staged_keep_s = STAGED_KEEP_S;
        let (results_keep_s, metrics) = (None, false);
        let cluster = Self {
            folder,
            nodes,
            mesh,
            client,
            staged_keep_s,
            results_keep_s,
            metrics,
            switchboard,
        };
        for party in 0..3 {
            let dir = cluster.node_folder(party);
            cluster.trined_ok(&[
                "init",
                "--dir",
                &text(&dir),
                "--name",
                &format!("party {party}"),
                "--client-address",
                &cluster.client[party],
                "--mesh-address",
                &cluster.mesh[party],
            ])?;
        }
        let entry = |party| text(&cluster.node_folder(party).join("node.toml"));
        let common = text(&cluster.folder.path().join("cluster.toml"));
        cluster.trined_ok(&[
            "init",
            "--cluster-from",
            &entry(0),
            &entry(1),
            &entry(2),
            "--administrator",
            "root",
            "-o",
            &common,
        ])?;
        for party in 0..3 {
            let dir = text(&cluster.node_folder(party));
            let party = party.to_string();
            cluster.trined_ok(&["init", "--dir", &dir, "--party", &party, "--cluster", &common])?;
        }
        Ok(cluster)
    }

    /// A new cluster whose three nodes are ready.
    ///
    /// # Errors
    /// As [`Self::new`], or a node does not become ready.
    pub fn started() -> Result<Self, Failure> {
        let mut cluster = Self::new()?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// How long a batch that nobody commits stays on disk, at nodes that are started from now on.
    pub const fn keep_staged(&mut self, seconds: u64) {
        self.staged_keep_s = seconds;
    }

    /// How long a finished result is kept, at nodes that are started from now on.
    pub const fn keep_results(&mut self, seconds: u64) {
        self.results_keep_s = Some(seconds);
    }

    /// Nodes that are started from now on have a page with metrics, on a free port.
    pub const fn serve_metrics(&mut self) {
        self.metrics = true;
    }

    /// Where the page with metrics of a node is that was started last.
    #[must_use]
    pub fn metrics_address(&self, party: usize) -> Option<String> {
        let log = self.log_text(party);
        let line = log.lines().rev().find(|line| line.contains("metrics page"))?;
        let address = line.rsplit_once("127.0.0.1:")?.1;
        let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("127.0.0.1:{digits}"))
    }

    /// Starts whichever node does not run, and waits until all three are ready.
    ///
    /// # Errors
    /// A node does not become ready.
    pub fn start_all(&mut self) -> Result<(), Failure> {
        for party in 0..3 {
            if !self.runs(party) {
                self.start(party, None)?;
            }
        }
        (0..3).try_for_each(|party| self.wait_ready(party))
    }

    /// Starts a node; with a fail point it dies when it reaches that. Does not wait.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(&mut self, party: usize, fail_point: Option<&str>) -> Result<(), Failure> {
        self.kill(party);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(party))
            .map_err(|e| e.to_string())?;
        let mut command = Command::new(trined()?);
        command.arg("run").arg("--config").arg(self.config(party)).arg("--stop-with-stdin");
        command.env("TRINE_STAGED_KEEP_S", self.staged_keep_s.to_string());
        command.env_remove("TRINE_FAIL_POINT");
        if let Some(seconds) = self.results_keep_s {
            command.env("TRINE_RESULTS_KEEP_S", seconds.to_string());
        }
        if self.metrics {
            command.env("TRINE_LISTEN_METRICS", "127.0.0.1:0");
        }
        if let Some((_, behind)) = &self.switchboard {
            command.env("TRINE_LISTEN_MESH", &behind[party]);
        }
        if let Some(point) = fail_point {
            command.env("TRINE_FAIL_POINT", point);
        }
        // The pipe of standard input ends with this process, and the node with it.
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = spawned.map_err(|e| e.to_string())?;
        if let Some((switchboard, _)) = &self.switchboard {
            switchboard.is_process(party, child.id());
        }
        let (sender, ready) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if line == "READY" {
                        let _ = sender.send(());
                    }
                }
            });
        }
        self.nodes[party] = Some(Node { child, ready });
        Ok(())
    }

    /// Waits until a started node sees both peers and a leader. One that was ready stays so.
    ///
    /// # Errors
    /// It ended, or takes too long.
    pub fn wait_ready(&mut self, party: usize) -> Result<(), Failure> {
        if self.ready_or_dead(party)? {
            return Ok(());
        }
        Err(format!("node {party} ended before it was ready; its log ends:\n{}", self.tail(party)))
    }

    /// Waits until a started node is ready (true) or has ended (false).
    ///
    /// # Errors
    /// It takes too long; the text holds the end of every node's log, since one waits for the others.
    pub fn ready_or_dead(&mut self, party: usize) -> Result<bool, Failure> {
        let Some(node) = &mut self.nodes[party] else { return Ok(false) };
        match node.ready.recv_timeout(READY_WAIT) {
            Ok(()) => {
                // The next one who waits finds it ready too.
                let (sender, ready) = channel();
                let _ = sender.send(());
                node.ready = ready;
                Ok(true)
            }
            Err(RecvTimeoutError::Disconnected) => {
                let _ = node.child.wait();
                Ok(false)
            }
            Err(RecvTimeoutError::Timeout) => {
                let seconds = READY_WAIT.as_secs();
                let mut text = format!("node {party} is not ready within {seconds} s");
                for other in 0..3 {
                    let state = if self.runs(other) { "runs" } else { "does not run" };
                    let tail = self.tail(other);
                    text.push_str(&format!("\nnode {other} {state}; its log ends:\n{tail}"));
                }
                Err(text)
            }
        }
    }

    /// Whether the process of a node runs.
    pub fn runs(&mut self, party: usize) -> bool {
        self.nodes[party].as_mut().is_some_and(|n| matches!(n.child.try_wait(), Ok(None)))
    }

    /// Whether a node ends by itself, within some seconds: its connections close a moment before it is gone.
    pub fn ends(&mut self, party: usize) -> bool {
        let until = Instant::now() + STOP_WAIT;
        while self.runs(party) {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        true
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self, party: usize) {
        if let Some(mut node) = self.nodes[party].take() {
            // A paused process dies too; one that has ended is no error.
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(&mut self, party: usize) -> Result<(), Failure> {
        self.signal(party, Signal::TERM)?;
        let Some(mut node) = self.nodes[party].take() else { return Ok(()) };
        let deadline = Instant::now() + STOP_WAIT;
        while matches!(node.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = node.child.kill();
                return Err(format!("node {party} does not stop"));
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        Ok(())
    }

    /// Stops a node's clock: it neither reads nor answers, but its connections stand.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self, party: usize) -> Result<(), Failure> {
        self.signal(party, Signal::STOP)
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self, party: usize) -> Result<(), Failure> {
        self.signal(party, Signal::CONT)
    }

    /// Cuts the network between two nodes, or joins it again.
    ///
    /// # Errors
    /// The cluster was made without relays.
    pub fn cut(&self, a: usize, b: usize, cut: bool) -> Result<(), Failure> {
        let (switchboard, _) = self.switchboard.as_ref().ok_or("there are no relays")?;
        switchboard.set(a, b, cut);
        Ok(())
    }

    fn signal(&self, party: usize, signal: Signal) -> Result<(), Failure> {
        let pid = self.pid(party).ok_or_else(|| format!("node {party} does not run"))?;
        kill_process(pid, signal).map_err(|e| format!("node {party}: {e}"))
    }

    fn pid(&self, party: usize) -> Option<Pid> {
        let id = self.nodes[party].as_ref()?.child.id();
        i32::try_from(id).ok().and_then(Pid::from_raw)
    }

    /// Resident memory of a node in bytes.
    #[must_use]
    pub fn memory(&self, party: usize) -> Option<u64> {
        let pid = self.pid(party)?.as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// A client of the administrator.
    ///
    /// # Errors
    /// No node answers.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let path = self.folder.path().join("root.client.toml");
        let config = Config::read(&path).map_err(|e| e.to_string())?;
        Client::connect(config).await.map_err(|e| e.to_string())
    }

    /// `trined check` of a party, whether or not its node runs.
    ///
    /// # Errors
    /// `trined` cannot be run.
    pub fn check(&self, party: usize) -> Result<Answer, Failure> {
        self.trined(&["check", "--config", &text(&self.config(party))])
    }

    /// `trined repair` of a party, whether or not its node runs.
    ///
    /// # Errors
    /// `trined` cannot be run.
    pub fn repair(&self, party: usize) -> Result<Answer, Failure> {
        self.trined(&["repair", "--config", &text(&self.config(party))])
    }

    /// `trined backup` of a party, whether or not its node runs; at a marked position, or a new one.
    ///
    /// # Errors
    /// `trined` cannot be run.
    pub fn backup(&self, party: usize, to: &Path, at: Option<u64>) -> Result<Answer, Failure> {
        let (config, to) = (text(&self.config(party)), text(to));
        let mut arguments = vec!["backup", "--config", &config, "--to", &to];
        let at = at.map(|at| at.to_string());
        if let Some(at) = &at {
            arguments.extend(["--at", at]);
        }
        self.trined(&arguments)
    }

    /// `trined restore` of a party; with a fail point it dies when it reaches that.
    ///
    /// # Errors
    /// `trined` cannot be run.
    pub fn restore(
        &self,
        party: usize,
        from: &Path,
        fail_point: Option<&str>,
    ) -> Result<Answer, Failure> {
        let (config, from) = (text(&self.config(party)), text(from));
        self.trined_at(&["restore", "--config", &config, "--from", &from], fail_point)
    }

    /// All files of a party's segments, ascending.
    #[must_use]
    pub fn files(&self, party: usize) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let tables = std::fs::read_dir(self.segments(party)).into_iter().flatten().flatten();
        for table in tables {
            let files = std::fs::read_dir(table.path()).into_iter().flatten().flatten();
            found.extend(files.map(|file| file.path()));
        }
        found.sort();
        found
    }

    /// All files of results that a party keeps, ascending.
    #[must_use]
    pub fn results(&self, party: usize) -> Vec<PathBuf> {
        let folder = self.node_folder(party).join("data/results");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = files.map(|file| file.path()).collect();
        found.sort();
        found
    }

    /// Empties a party's data folder: segments, log and votes. Its node must not run.
    pub fn lose_disk(&self, party: usize) {
        // What is not there is lost already.
        let _ = std::fs::remove_dir_all(self.node_folder(party).join("data"));
    }

    /// The folder of a party's segments.
    #[must_use]
    pub fn segments(&self, party: usize) -> PathBuf {
        self.node_folder(party).join("data/segments")
    }

    /// What a party's node has logged.
    #[must_use]
    pub fn log_text(&self, party: usize) -> String {
        std::fs::read_to_string(self.log(party)).unwrap_or_default()
    }

    /// Where clients reach a party's node.
    #[must_use]
    pub fn client_address(&self, party: usize) -> &str {
        &self.client[party]
    }

    /// Where the other nodes reach a party's node.
    #[must_use]
    pub fn mesh_address(&self, party: usize) -> &str {
        &self.mesh[party]
    }

    /// Keeps the folder for somebody to look at; returns where it is.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_path_buf()
    }

    /// A folder for whatever a test wants to keep beside the nodes.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn node_folder(&self, party: usize) -> PathBuf {
        self.folder.path().join(format!("node{party}"))
    }

    fn config(&self, party: usize) -> PathBuf {
        self.node_folder(party).join("party.toml")
    }

    fn log(&self, party: usize) -> PathBuf {
        self.node_folder(party).join("log")
    }

    fn tail(&self, party: usize) -> String {
        let log = self.log_text(party);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn trined(&self, arguments: &[&str]) -> Result<Answer, Failure> {
        self.trined_at(arguments, None)
    }

    fn trined_at(&self, arguments: &[&str], fail_point: Option<&str>) -> Result<Answer, Failure> {
        let mut command = Command::new(trined()?);
        command.args(arguments).env_remove("TRINE_FAIL_POINT").stdin(Stdio::null());
        if let Some(point) = fail_point {
            command.env("TRINE_FAIL_POINT", point);
        }
        let output = command.output().map_err(|e| e.to_string())?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(Answer { code: output.status.code().unwrap_or(-1), text })
    }

    fn trined_ok(&self, arguments: &[&str]) -> Result<(), Failure> {
        let answer = self.trined(arguments)?;
        if answer.code == 0 { Ok(()) } else { Err(answer.text) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..3).for_each(|party| self.kill(party));
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.folder.path().display())
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The daemon: $TRINED, else beside this program (or, for tests, one folder up).
fn trined() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("TRINED") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("trined"));
    beside.find(|p| p.is_file()).ok_or_else(|| {
        "trined is not built: cargo build -p trine-node --bins, or set TRINED to its path".into()
    })
}
