//! `trined repair`: rebuilds damaged segments from the two other nodes.

use super::operator::{Printer, ask};
use super::{logging, runtime};
use crate::Node;
use crate::config::Config;
use crate::error::NodeError;
use crate::limits::REPAIR_READY_WAIT;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Arguments of `trined repair`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file of the party. The node may be running; if not, it runs for as long as the
    /// repair takes. Exit code 3: damaged segments remain.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Repairs through the node that runs on the folder, or starts it for the time being.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    let config = Config::read(&arguments.config)?;
    match crate::data_lock(&config.data_dir) {
        Ok(lock) => drop(lock),
        Err(NodeError::InUse(_)) => return runtime()?.block_on(ask(&config, true)),
        Err(e) => return Err(e),
    }
    logging::start(&config.log);
    runtime()?.block_on(async {
        eprintln!("no node runs here: starting it for the repair");
        let node = Node::start(config).await?;
        let result = alone(&node).await;
        node.stop().await;
        result
    })
}

async fn alone(node: &Node) -> Result<(), NodeError> {
    if tokio::time::timeout(REPAIR_READY_WAIT, node.ready()).await.is_err() {
        return Err(NodeError::Damaged(format!(
            "the two other nodes were not reached within {} s; see the log",
            REPAIR_READY_WAIT.as_secs()
        )));
    }
    let (sender, mut receiver) = mpsc::channel(1);
    let repairer = node.repairer();
    let checking = tokio::spawn(async move { repairer.check(true, &sender).await });
    let mut printer = Printer::new();
    while let Some(message) = receiver.recv().await {
        if let Some(end) = printer.take(&message) {
            return end;
        }
    }
    checking.abort();
    Err(NodeError::Damaged("the repair ended early; see the log".into()))
}
