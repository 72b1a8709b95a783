//! How a connection of the mesh comes about: TCP, TLS by pinned key, one greeting each way.

use super::wire::{GREETING_BYTES, Greeting, Kind, Refusal};
use crate::config::Cluster;
use crate::limits::HANDSHAKE_TIMEOUT;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use trine_proto::identity::{Identity, IdentityError};
use trine_proto::ids::Party;
use trine_proto::tls::{client_config, key_of_certificate, server_config};

/// ALPN of the mesh, so that a gRPC client at the wrong port is refused in the handshake.
const ALPN: &[u8] = b"trine-mesh/1";

/// A connection whose both ends are known.
pub(super) struct Connection {
    pub(super) peer: Party,
    pub(super) kind: Kind,
    pub(super) stream: TlsStream<TcpStream>,
    /// Known to the two ends only, drawn by both.
    pub(super) secret: [u8; 32],
}

/// What either end needs.
pub(super) struct Connector {
    party: Party,
    cluster: Arc<Cluster>,
    digest: [u8; 32],
    acceptor: TlsAcceptor,
    /// By party; the own one is never used.
    connectors: [TlsConnector; 3],
}

impl Connector {
    pub(super) fn new(
        party: Party,
        cluster: Arc<Cluster>,
        identity: &Identity,
    ) -> Result<Self, IdentityError> {
        let connector = |p: usize| {
            client_config(identity, cluster.nodes[p].key, &[ALPN])
                .map(|config| TlsConnector::from(Arc::new(config)))
        };
        let connectors = [connector(0)?, connector(1)?, connector(2)?];
        let acceptor = TlsAcceptor::from(Arc::new(server_config(identity, &[ALPN])?));
        let digest = cluster.digest();
        Ok(Self { party, cluster, digest, acceptor, connectors })
    }

    /// Connects to a peer. The error is a sentence for log and client.
    pub(super) async fn dial(&self, peer: Party, kind: Kind) -> Result<Connection, String> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.dial_now(peer, kind)).await.unwrap_or_else(
            |_| Err(format!("no answer within {} seconds", HANDSHAKE_TIMEOUT.as_secs())),
        )
    }

    async fn dial_now(&self, peer: Party, kind: Kind) -> Result<Connection, String> {
        let tcp = TcpStream::connect(&self.cluster.nodes[peer.index()].mesh)
            .await
            .map_err(|e| plain(&e))?;
        tcp.set_nodelay(true).map_err(|e| plain(&e))?;
        let name = ServerName::try_from("trine").map_err(|e| e.to_string())?;
        let connector = &self.connectors[peer.index()];
        let mut stream = TlsStream::from(connector.connect(name, tcp).await.map_err(|e| tls(&e))?);
        let mine = self.greeting(kind).map_err(|e| e.to_string())?;
        stream.write_all(&mine.encode()).await.map_err(|e| plain(&e))?;
        stream.flush().await.map_err(|e| plain(&e))?;
        let code = stream.read_u8().await.map_err(|e| plain(&e))?;
        if code != 0 {
            let why = Refusal::from_code(code)
                .map_or_else(|| "it refused the connection".into(), |r| r.to_string());
            return Err(why);
        }
        let theirs = read_greeting(&mut stream).await?.map_err(|r| r.to_string())?;
        if theirs.cluster != self.digest {
            return Err(Refusal::Cluster.to_string());
        }
        let secret = self.pair_secret(&mine, &theirs);
        Ok(Connection { peer, kind, stream, secret })
    }

    /// Answers a caller, whoever it is. The error is a sentence for the log.
    pub(super) async fn accept(&self, tcp: TcpStream) -> Result<Connection, String> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.accept_now(tcp)).await.unwrap_or_else(|_| {
            Err(format!("no handshake within {} seconds", HANDSHAKE_TIMEOUT.as_secs()))
        })
    }

    async fn accept_now(&self, tcp: TcpStream) -> Result<Connection, String> {
        tcp.set_nodelay(true).map_err(|e| plain(&e))?;
        let mut stream = TlsStream::from(self.acceptor.accept(tcp).await.map_err(|e| tls(&e))?);
        let key = stream.get_ref().1.peer_certificates().and_then(|c| c.first());
        let key = key.and_then(key_of_certificate);
        let verdict = match read_greeting(&mut stream).await? {
            Ok(theirs) => self.judge(theirs, key),
            Err(refusal) => Err(refusal),
        };
        let theirs = match verdict {
            Ok(theirs) => theirs,
            Err(refusal) => {
                let _ = stream.write_u8(refusal.code()).await;
                let _ = stream.shutdown().await;
                return Err(format!(
                    "a caller with key {} was refused ({refusal:?})",
                    key.map_or_else(|| "unknown".to_owned(), hex::encode)
                ));
            }
        };
        let mine = self.greeting(theirs.kind).map_err(|e| e.to_string())?;
        let mut answer = vec![0];
        answer.extend_from_slice(&mine.encode());
        stream.write_all(&answer).await.map_err(|e| plain(&e))?;
        stream.flush().await.map_err(|e| plain(&e))?;
        let secret = self.pair_secret(&theirs, &mine);
        Ok(Connection { peer: theirs.party, kind: theirs.kind, stream, secret })
    }

    fn judge(&self, theirs: Greeting, key: Option<[u8; 32]>) -> Result<Greeting, Refusal> {
        if theirs.party == self.party || key != Some(self.cluster.nodes[theirs.party.index()].key) {
            return Err(Refusal::Key);
        }
        if theirs.cluster != self.digest {
            return Err(Refusal::Cluster);
        }
        // Party i dials i+1 for data, so that a pair has one connection.
        if theirs.kind == Kind::Data && theirs.party.next() != self.party {
            return Err(Refusal::Direction);
        }
        Ok(theirs)
    }

    fn greeting(&self, kind: Kind) -> io::Result<Greeting> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|_| io::Error::other("no randomness from the operating system"))?;
        Ok(Greeting { kind, party: self.party, cluster: self.digest, random })
    }

    fn pair_secret(&self, dialler: &Greeting, acceptor: &Greeting) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("trine/v1 secret of one data connection");
        hasher.update(&self.cluster.id.0);
        hasher.update(&dialler.random);
        hasher.update(&acceptor.random);
        *hasher.finalize().as_bytes()
    }
}

async fn read_greeting(
    stream: &mut TlsStream<TcpStream>,
) -> Result<Result<Greeting, Refusal>, String> {
    let mut bytes = [0; GREETING_BYTES];
    stream.read_exact(&mut bytes).await.map_err(|e| plain(&e))?;
    Ok(Greeting::decode(&bytes))
}

/// "connection refused" rather than "Connection refused (os error 111)".
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the connection was closed".into()
        }
        _ => error.to_string(),
    }
}

fn tls(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find("wrong certificate") {
        Some(at) => text[at..].to_owned(),
        None => format!("no secure connection: {}", plain(error)),
    }
}
