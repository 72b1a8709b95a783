//! A real cluster: `trined dev` with its three processes in a folder of its own, and the client
//! library over mutual TLS.

use crate::engine::EngineError;
use crate::value::Output;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use trine_client::load::{LoadOptions, LoadProgress, check};
use trine_client::{Client, Config, TransactionBlock, random_id};
use trine_proto::ids::TransactionId;
use trine_proto::status::sqlstate;

/// How long the three nodes may take to say READY.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a process may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause between two looks at a process.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// A running cluster; stopped when dropped.
pub struct Cluster {
    /// Data, keys and logs; deleted with the cluster.
    folder: TempDir,
    supervisor: Option<Child>,
    /// Nodes started by [`Cluster::start_node`] after their first process was stopped.
    restarted: Vec<Child>,
    client: Client,
    /// Where the statements of [`Cluster::run`] stand.
    block: tokio::sync::Mutex<TransactionBlock>,
}

impl Cluster {
    /// Starts `trined dev --fresh` in a fresh folder and connects as its administrator.
    ///
    /// # Errors
    /// No `trined`, or it does not become ready.
    pub async fn start() -> Result<Self, EngineError> {
        let folder = tempfile::tempdir().map_err(|e| failed("a folder", &e))?;
        let supervisor = dev(folder.path(), true)?;
        let config = Config::read(&folder.path().join("client.toml"))?;
        let client = Client::connect(config).await?;
        let (restarted, block) = (Vec::new(), tokio::sync::Mutex::default());
        Ok(Self { folder, supervisor: Some(supervisor), restarted, client, block })
    }

    /// The folder given to `trined dev --dir`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The administrator's client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Runs the statements of a text; the answer is that of the last one.
    ///
    /// # Errors
    /// The first statement that fails.
    pub async fn run(&self, sql: &str) -> Result<Output, EngineError> {
        let mut block = self.block.lock().await;
        let answers = self.client.execute_in(&mut block, sql).await?;
        Ok(answers.into_iter().next_back().map_or_else(|| Output::done(None), Into::into))
    }

    /// Loads a CSV file with a header, as `trine load` does; returns its rows.
    ///
    /// # Errors
    /// The first bad cell, or whatever the nodes refuse.
    pub async fn load(&self, table: &str, file: &Path) -> Result<u64, EngineError> {
        let schema = self.client.schema(table).await?;
        let progress = Arc::new(LoadProgress::default());
        let files = [file.to_path_buf()];
        let checked = check(&schema, &files, &LoadOptions::default(), &progress)?;
        if let Some(bad) = checked.bad.first() {
            return Err(EngineError::new(sqlstate::BAD_COPY_FILE, bad.to_string()));
        }
        let (rows, transaction) = (checked.rows, TransactionId(random_id()?));
        self.client.load(checked, transaction, true, progress).await?;
        Ok(rows)
    }

    /// Drops every table.
    ///
    /// # Errors
    /// The nodes refuse.
    pub async fn reset(&self) -> Result<(), EngineError> {
        self.client.leave(&mut *self.block.lock().await).await?;
        for table in self.client.tables("").await? {
            let name = table.schema.map(|s| s.name).unwrap_or_default();
            self.run(&format!("DROP TABLE \"{}\"", name.replace('"', "\"\""))).await?;
        }
        Ok(())
    }

    /// Stops one node's process and waits for its end.
    ///
    /// # Errors
    /// No such process.
    pub fn stop_node(&mut self, party: usize) -> Result<(), EngineError> {
        let pid = self.pid(party)?;
        signal(&pid, "-TERM")?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while is_running(&pid) {
            // Whoever started it has to collect it, or it stays as a zombie.
            self.restarted.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
            if Instant::now() > deadline {
                return Err(EngineError::new(
                    sqlstate::INTERNAL_ERROR,
                    format!("node {party} does not stop"),
                ));
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        Ok(())
    }

    /// Starts a stopped node again and waits until it sees its peers.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_node(&mut self, party: usize) -> Result<(), EngineError> {
        let config = self.node_folder(party).join("party.toml");
        let mut command = Command::new(trined()?);
        command.arg("run").arg("--config").arg(config);
        self.restarted.push(start(command)?);
        Ok(())
    }

    /// Stops all three nodes and starts them again on the same data.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn restart(&mut self) -> Result<(), EngineError> {
        self.stop_all()?;
        self.supervisor = Some(dev(self.folder.path(), false)?);
        let config = Config::read(&self.folder.path().join("client.toml"))?;
        self.client = Client::connect(config).await?;
        Ok(())
    }

    /// Stops all three nodes; their files stay until the cluster is dropped.
    ///
    /// # Errors
    /// A process does not end.
    pub fn stop_all(&mut self) -> Result<(), EngineError> {
        for child in self.supervisor.iter_mut().chain(&mut self.restarted) {
            end(child)?;
        }
        self.supervisor = None;
        self.restarted.clear();
        Ok(())
    }

    fn node_folder(&self, party: usize) -> PathBuf {
        self.folder.path().join(format!("node{party}"))
    }

    fn pid(&self, party: usize) -> Result<String, EngineError> {
        let path = self.node_folder(party).join("pid");
        let text = std::fs::read_to_string(&path).map_err(|e| failed("a pid file", &e))?;
        Ok(text.trim().to_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.stop_all().is_err() {
            for child in self.supervisor.iter_mut().chain(&mut self.restarted) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// The daemon: $TRINED, else beside this program (or, for tests, one folder up).
fn trined() -> Result<PathBuf, EngineError> {
    if let Some(path) = std::env::var_os("TRINED") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().map_err(|e| failed("the program's own path", &e))?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("trined"));
    beside.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        EngineError::new(
            sqlstate::UNDEFINED_OBJECT,
            "trined is not built: cargo build --bins, or set TRINED to its path",
        )
    })
}

fn dev(folder: &Path, fresh: bool) -> Result<Child, EngineError> {
    let mut command = Command::new(trined()?);
    command.arg("dev").arg("--dir").arg(folder);
    if fresh {
        command.arg("--fresh");
    }
    start(command)
}

/// Starts a daemon and waits until it is ready.
fn start(mut command: Command) -> Result<Child, EngineError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed("trined", &e))?;
    match wait_ready(&mut child) {
        Ok(()) => Ok(child),
        Err(error) => {
            let _ = end(&mut child);
            Err(error)
        }
    }
}

/// Reads the daemon's output up to READY; goes on reading it, so that it never blocks.
fn wait_ready(child: &mut Child) -> Result<(), EngineError> {
    let Some(output) = child.stdout.take() else {
        return Err(EngineError::new(sqlstate::INTERNAL_ERROR, "trined has no output"));
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("READY") {
                let _ = sender.send(());
            }
        }
    });
    receiver.recv_timeout(READY_TIMEOUT).map_err(|e| {
        let what = match e {
            mpsc::RecvTimeoutError::Timeout => "did not become ready in time",
            mpsc::RecvTimeoutError::Disconnected => "ended before it was ready",
        };
        EngineError::new(sqlstate::INTERNAL_ERROR, format!("trined {what}"))
    })
}

/// SIGTERM, then waits.
fn end(child: &mut Child) -> Result<(), EngineError> {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return Ok(());
    }
    signal(&child.id().to_string(), "-TERM")?;
    let deadline = Instant::now() + STOP_TIMEOUT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            return Err(EngineError::new(sqlstate::INTERNAL_ERROR, "a process does not end"));
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    Ok(())
}

fn signal(pid: &str, what: &str) -> Result<(), EngineError> {
    let status = Command::new("kill").args([what, pid]).stderr(Stdio::null()).status();
    status.map(drop).map_err(|e| failed("kill", &e))
}

/// A zombie has ended: only its parent has not looked yet.
fn is_running(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        let status = Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status();
        return status.is_ok_and(|s| s.success());
    };
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|s| s != 'Z')
}

fn failed(what: &str, error: &std::io::Error) -> EngineError {
    EngineError::new(sqlstate::INTERNAL_ERROR, format!("{what}: {error}"))
}
