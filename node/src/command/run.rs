//! `trined run`: one party's node until it is asked to stop.

use super::{logging, runtime, stop_signals};
use crate::Node;
use crate::config::{Config, LogFormat};
use crate::error::NodeError;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

/// Arguments of `trined run`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file of the party.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to log, whatever the configuration says.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Stop when standard input ends, as with a parent process that is gone.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

/// Runs the node; writes `pid` beside the configuration and prints READY when the node serves, knows
/// a leader and sees both peers.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    let mut config = Config::read(&arguments.config)?;
    config.log.format = arguments.log_format.unwrap_or(config.log.format);
    logging::start(&config.log);
    let folder = arguments.config.parent().unwrap_or_else(|| Path::new(".")).to_path_buf();
    runtime()?.block_on(async {
        // Before anybody can know that the node runs.
        let asked = stop_signals()?;
        let gone = parent_gone(arguments.stop_with_stdin);
        tokio::pin!(asked, gone);
        let node = tokio::select! {
            node = Node::start(config) => node?,
            () = &mut asked => return Ok(()),
            () = &mut gone => return Ok(()),
        };
        let pid = PidFile::write(folder.join("pid"))?;
        tokio::select! {
            () = &mut asked => {}
            () = &mut gone => {}
            never = announce(&node) => match never {},
        }
        tracing::info!("stopping");
        node.stop().await;
        drop(pid);
        Ok(())
    })
}

/// Prints READY once, then waits for ever.
async fn announce(node: &Node) -> std::convert::Infallible {
    node.ready().await;
    println!("READY");
    std::future::pending().await
}

/// Resolves at the end of standard input; never, unless asked for.
async fn parent_gone(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let (sender, receiver) = oneshot::channel();
    // A thread of its own: a read of standard input cannot be cancelled, and the runtime would wait
    // for it when the node stops for another reason.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while !matches!(std::io::stdin().read(&mut buffer), Ok(0) | Err(_)) {}
        let _ = sender.send(());
    });
    // The sender is dropped after sending only.
    let _ = receiver.await;
}

/// The process id, in a file for as long as the node runs.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: PathBuf) -> Result<Self, NodeError> {
        std::fs::write(&path, format!("{}\n", std::process::id()))
            .map_err(NodeError::file("write", &path))?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A file that is gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}
