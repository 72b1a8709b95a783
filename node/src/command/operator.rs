//! How `trined check`, `trined repair` and `trined backup` talk to the node that runs on the folder, and what they
//! print.

use crate::config::Config;
use crate::error::NodeError;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use trine_proto::ids::{Party, SegmentId};
use trine_proto::tls::client_config;
use trine_proto::wire::operator_client::OperatorClient;
use trine_proto::wire::{
    BackupProgress, BackupRequest, CheckProgress, CheckRequest, SegmentReport,
};

/// Asks the running node for a check of its segments; prints what comes.
///
/// # Errors
/// `Unanswered`; `Damaged` when damaged segments remain.
pub(super) async fn ask(config: &Config, repair: bool) -> Result<(), NodeError> {
    let failed = |e: &dyn std::fmt::Display| NodeError::Unanswered(e.to_string());
    let channel = channel(config).await.map_err(|e| failed(&e))?;
    let mut client = OperatorClient::new(channel);
    let answer = client.check(CheckRequest { repair }).await.map_err(|e| failed(&e.message()))?;
    let mut messages = answer.into_inner();
    let mut printer = Printer::new();
    while let Some(message) = messages.message().await.map_err(|e| failed(&e.message()))? {
        if let Some(end) = printer.take(&message) {
            return end;
        }
    }
    Err(failed(&"it stopped before the end"))
}

/// Asks the running node for a backup into a folder of its machine; prints what comes.
///
/// # Errors
/// `Unanswered`; `Backup` when there is none.
pub(super) async fn ask_backup(
    config: &Config,
    to: &Path,
    at: Option<u64>,
) -> Result<(), NodeError> {
    let failed = |e: &dyn std::fmt::Display| NodeError::Unanswered(e.to_string());
    let folder = to.to_str().ok_or_else(|| {
        NodeError::Backup(format!("{}: the name of the folder is not UTF-8", to.display()))
    })?;
    let channel = channel(config).await.map_err(|e| failed(&e))?;
    let mut client = OperatorClient::new(channel);
    let request = BackupRequest { folder: folder.to_owned(), at: at.unwrap_or(0) };
    let answer = client.backup(request).await.map_err(|e| failed(&e.message()))?;
    let mut messages = answer.into_inner();
    let mut printer = BackupPrinter::new(config.party);
    while let Some(message) = messages.message().await.map_err(|e| failed(&e.message()))? {
        if !message.failure.is_empty() {
            return Err(NodeError::Backup(message.failure));
        }
        if message.done {
            printer.end(&message);
            return Ok(());
        }
        printer.draw(&message);
    }
    Err(failed(&"it stopped before the end"))
}

/// Prints what a backup does.
pub(super) struct BackupPrinter {
    party: Party,
    watched: bool,
}

impl BackupPrinter {
    pub(super) fn new(party: Party) -> Self {
        Self { party, watched: std::io::stderr().is_terminal() }
    }

    pub(super) fn draw(&mut self, message: &BackupProgress) {
        if self.watched {
            let (copied, files, mb) = (message.copied, message.files, message.bytes >> 20);
            eprint!("\r\u{1b}[Kcopied {copied} of {files} segment files, {mb} MB");
            // What cannot be drawn is not missed.
            let _ = std::io::stderr().flush();
        }
    }

    pub(super) fn end(&mut self, message: &BackupProgress) {
        if self.watched {
            eprint!("\r\u{1b}[K");
        }
        println!("{}", backup_line(self.party, message));
        eprintln!(
            "the two other parties copy the same position with: trined backup --at {}",
            message.position
        );
    }
}

/// What was backed up.
fn backup_line(party: Party, message: &BackupProgress) -> String {
    format!(
        "backup of party {party}: log position {}, share generation {}, {} segment files, {} bytes",
        message.position, message.share_generation, message.files, message.bytes
    )
}

/// A channel to this party's own node, under the node's own key.
async fn channel(config: &Config) -> Result<Channel, Box<dyn std::error::Error + Send + Sync>> {
    let key = config.identity.public();
    let tls = TlsConnector::from(Arc::new(client_config(&config.identity, key, &[b"h2"])?));
    let address = reachable(&config.listen_client);
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let connector = tower::service_fn(move |_| {
        let (address, tls) = (address.clone(), tls.clone());
        async move {
            let tcp = TcpStream::connect(&address).await?;
            let name = ServerName::try_from("trine").map_err(std::io::Error::other)?;
            tls.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    // The scheme is plain because the connector brings its own TLS.
    Ok(endpoint.connect_with_connector(connector).await?)
}

/// An address that is listened on, as this machine reaches it.
fn reachable(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => listen.to_owned(),
    }
}

/// Prints what a check finds, with a progress line if somebody watches.
pub(super) struct Printer {
    watched: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self { watched: std::io::stderr().is_terminal() }
    }

    /// Takes one message; the end of the check, if it is the last.
    pub(super) fn take(&mut self, message: &CheckProgress) -> Option<Result<(), NodeError>> {
        self.clear();
        if let Some(report) = &message.report {
            println!("{}", line(report));
        }
        if !message.done {
            self.draw(message);
            return None;
        }
        println!(
            "segments: {}, rows: {}, damaged: {}, repaired: {}, fetched: {} bytes, uncommitted: {}",
            message.segments,
            message.rows,
            message.damaged,
            message.repaired,
            message.bytes_fetched,
            message.unlisted
        );
        let left = message.damaged.saturating_sub(message.repaired);
        if left == 0 {
            return Some(Ok(()));
        }
        let text = format!("{left} of {} segments are damaged", message.segments);
        Some(Err(NodeError::Damaged(text)))
    }

    fn draw(&self, message: &CheckProgress) {
        if self.watched {
            eprint!(
                "checked {} of {} segments, {} damaged, {} repaired, {} MB fetched",
                message.checked,
                message.segments,
                message.damaged,
                message.repaired,
                message.bytes_fetched >> 20
            );
            // What cannot be drawn is not missed.
            let _ = std::io::stderr().flush();
        }
    }

    fn clear(&self) {
        if self.watched {
            eprint!("\r\u{1b}[K");
        }
    }
}

/// What has become of one segment.
fn line(report: &SegmentReport) -> String {
    let segment = SegmentId::from_slice(&report.segment_id)
        .map_or_else(|| "of an unknown id".into(), |id| id.to_string());
    let end = if report.repaired {
        "; repaired".into()
    } else if report.failure.is_empty() {
        String::new()
    } else {
        format!("; not repaired: {}", report.failure)
    };
    format!("table {}, segment {segment}: {}{end}", report.table, report.damage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_line_and_what_remains_an_error() {
        let report = SegmentReport {
            table_id: 1,
            table: "t".into(),
            segment_id: vec![0xab; 16],
            damage: "the file is missing".into(),
            repaired: false,
            failure: "node 2: connection refused".into(),
        };
        let hex = "ab".repeat(16);
        assert_eq!(
            line(&report),
            format!(
                "table t, segment {hex}: the file is missing; not repaired: node 2: connection refused"
            )
        );
        let repaired = SegmentReport { repaired: true, failure: String::new(), ..report };
        assert_eq!(
            line(&repaired),
            format!("table t, segment {hex}: the file is missing; repaired")
        );
        let end = |damaged, repaired| {
            let progress =
                CheckProgress { segments: 4, damaged, repaired, done: true, ..Default::default() };
            Printer { watched: false }.take(&progress).unwrap()
        };
        assert!(end(0, 0).is_ok() && end(2, 2).is_ok());
        assert_eq!(end(3, 2).unwrap_err().to_string(), "1 of 4 segments are damaged");
    }

    #[test]
    fn an_address_for_everybody_is_reached_on_loopback() {
        assert_eq!(reachable("0.0.0.0:7000"), "127.0.0.1:7000");
        assert_eq!(reachable("[::]:7000"), "[::1]:7000");
        assert_eq!(reachable("10.0.0.1:7000"), "10.0.0.1:7000");
    }
}
