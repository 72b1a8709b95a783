//! The network between the nodes, with switches: a TCP relay before every node's mesh port.
//!
//! TLS hides who calls, so the relay asks the operating system which process owns the other end of a
//! connection. A pair that is cut loses nothing that was sent before; what is sent meanwhile waits, as
//! packets do that are sent again and again, and goes on when the pair is joined.

use crate::Failure;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Which pairs are cut.
type Cuts = [[bool; 3]; 3];

/// The relays of a cluster; they end when it is dropped.
pub struct Switchboard {
    cuts: watch::Sender<Cuts>,
    processes: Arc<Mutex<[Option<u32>; 3]>>,
    /// Where each relay listens.
    addresses: [String; 3],
    runtime: Option<Runtime>,
}

impl Switchboard {
    /// Starts a relay to each of three addresses.
    ///
    /// # Errors
    /// No port, or no threads.
    pub fn start(targets: &[String; 3]) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let cuts = watch::Sender::new([[false; 3]; 3]);
        let processes = Arc::new(Mutex::new([None; 3]));
        let mut addresses = Vec::new();
        let guard = runtime.enter();
        for (party, target) in targets.iter().enumerate() {
            let listener = listen().map_err(|e| e.to_string())?;
            addresses.push(listener.local_addr().map_err(|e| e.to_string())?.to_string());
            let relay = Relay {
                party,
                target: target.clone(),
                cuts: cuts.subscribe(),
                processes: Arc::clone(&processes),
            };
            runtime.spawn(relay.run(listener));
        }
        drop(guard);
        let addresses = addresses.try_into().map_err(|_| "three relays".to_owned())?;
        Ok(Self { cuts, processes, addresses, runtime: Some(runtime) })
    }

    /// Where the relay before a party's mesh port listens.
    #[must_use]
    pub const fn addresses(&self) -> &[String; 3] {
        &self.addresses
    }

    /// Tells which process a party's node is.
    pub fn is_process(&self, party: usize, process: u32) {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)[party] = Some(process);
    }

    /// Cuts a pair, or joins it again.
    pub fn set(&self, a: usize, b: usize, cut: bool) {
        self.cuts.send_modify(|cuts| {
            cuts[a][b] = cut;
            cuts[b][a] = cut;
        });
    }
}

/// A listening socket of the runtime that is entered.
fn listen() -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

impl Drop for Switchboard {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Relay {
    party: usize,
    target: String,
    cuts: watch::Receiver<Cuts>,
    processes: Arc<Mutex<[Option<u32>; 3]>>,
}

impl Relay {
    async fn run(self, listener: TcpListener) {
        while let Ok((stream, from)) = listener.accept().await {
            tokio::spawn(self.clone().carry(stream, from));
        }
    }

    async fn carry(self, stream: TcpStream, from: SocketAddr) {
        let processes = *self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(caller) = (0..3).find(|p| processes[*p].is_some_and(|id| owns(id, from))) else {
            return;
        };
        let mut cuts = self.cuts.clone();
        if cuts.wait_for(|cuts| !cuts[caller][self.party]).await.is_err() {
            return;
        }
        let Ok(onward) = TcpStream::connect(&self.target).await else { return };
        if stream.set_nodelay(true).is_err() || onward.set_nodelay(true).is_err() {
            return;
        }
        let (from_caller, to_caller) = stream.into_split();
        let (from_target, to_target) = onward.into_split();
        let pair = (caller, self.party);
        tokio::join!(
            pump(from_caller, to_target, self.cuts.clone(), pair),
            pump(from_target, to_caller, self.cuts.clone(), pair)
        );
    }
}

/// Carries bytes one way for as long as the pair is joined.
async fn pump(
    mut input: OwnedReadHalf,
    mut output: OwnedWriteHalf,
    mut cuts: watch::Receiver<Cuts>,
    pair: (usize, usize),
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = input.read(&mut buffer).await.unwrap_or(0);
        // An end is news too: it does not pass a cut.
        if cuts.wait_for(|cuts| !cuts[pair.0][pair.1]).await.is_err() {
            return;
        }
        if read == 0 || output.write_all(&buffer[..read]).await.is_err() {
            // The other side may have ended already.
            let _ = output.shutdown().await;
            return;
        }
    }
}

/// Whether a process has a socket of this local address (Linux: /proc).
fn owns(process: u32, local: SocketAddr) -> bool {
    let SocketAddr::V4(local) = local else { return false };
    let address = u32::from_le_bytes(local.ip().octets());
    let wanted = format!("{address:08X}:{:04X}", local.port());
    let table = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let inode = table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        (fields.next() == Some(wanted.as_str())).then(|| fields.nth(7)).flatten()
    });
    let Some(inode) = inode else { return false };
    let socket = format!("socket:[{inode}]");
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files
        .map(|file| std::fs::read_link(file.path()))
        .any(|link| link.is_ok_and(|target| target.to_string_lossy() == socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_known_by_the_process_that_owns_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mine = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_theirs, from) = listener.accept().await.unwrap();
        assert_eq!(mine.local_addr().unwrap(), from);
        assert!(owns(std::process::id(), from));
        assert!(!owns(1, from));
    }
}
