//! How a connection of the mesh comes about: TCP, TLS by pinned key, one greeting each way.

use super::stream::Stream;
use super::wire::{GREETING_BYTES, Greeting, Kind, Refusal, stream_proof};
use crate::config::Cluster;
use crate::limits::{HANDSHAKE_TIMEOUT, MESH_VERSION, STALE_WAIT};
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
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

/// What came of a call to the mesh port.
pub(super) enum Accepted {
    Connection(Connection),
    /// A data stream of the control connection `epoch`.
    Stream {
        peer: Party,
        epoch: u64,
        stream: Stream,
    },
}

/// The control connections that stand, by peer.
pub(super) type Links = [Option<LinkKey>; 3];

/// One control connection as data streams are bound to it.
#[derive(Clone, Copy)]
pub(super) struct LinkKey {
    /// Tells a connection from its successor.
    pub(super) epoch: u64,
    /// Known to the two ends only.
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
    links: watch::Receiver<Links>,
}

impl Connector {
    pub(super) fn new(
        party: Party,
        cluster: Arc<Cluster>,
        identity: &Identity,
        links: watch::Receiver<Links>,
    ) -> Result<Self, IdentityError> {
        let connector = |p: usize| {
            let mut config = client_config(identity, cluster.nodes[p].key, &[ALPN])?;
            config.enable_secret_extraction = true;
            Ok::<_, IdentityError>(TlsConnector::from(Arc::new(config)))
        };
        let connectors = [connector(0)?, connector(1)?, connector(2)?];
        let mut config = server_config(identity, &[ALPN])?;
        config.enable_secret_extraction = true;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let digest = cluster.digest();
        Ok(Self { party, cluster, digest, acceptor, connectors, links })
    }

    /// Connects to a peer. The error is a sentence for log and client.
    pub(super) async fn dial(&self, peer: Party, kind: Kind) -> Result<Connection, String> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.dial_now(peer, kind)).await.unwrap_or_else(
            |_| Err(format!("no answer within {} seconds", HANDSHAKE_TIMEOUT.as_secs())),
        )
    }

    async fn dial_now(&self, peer: Party, kind: Kind) -> Result<Connection, String> {
        let mine = self.greeting(kind).map_err(|e| e.to_string())?;
        let (stream, theirs) = self.greet(peer, &mine).await?;
        let secret = self.pair_secret(&mine, &theirs);
        Ok(Connection { peer, kind, stream, secret })
    }

    /// Makes a data stream that belongs to the control connection with this secret.
    pub(super) async fn dial_stream(
        &self,
        peer: Party,
        secret: &[u8; 32],
        id: u64,
    ) -> Result<Stream, String> {
        let random = stream_proof(secret, id, true);
        let mine = Greeting {
            kind: Kind::Stream,
            party: self.party,
            cluster: self.digest,
            stream: id,
            random,
        };
        let (stream, theirs) = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.greet(peer, &mine))
            .await
            .unwrap_or_else(|_| Err("no answer in time".into()))?;
        if theirs.stream != id || theirs.random != stream_proof(secret, id, false) {
            return Err(Refusal::Stale.to_string());
        }
        into_stream(stream, id).map_err(|e| plain(&e))
    }

    /// Connects to a peer and says `mine`: what it answers.
    async fn greet(
        &self,
        peer: Party,
        mine: &Greeting,
    ) -> Result<(TlsStream<TcpStream>, Greeting), String> {
        let tcp = TcpStream::connect(&self.cluster.nodes[peer.index()].mesh)
            .await
            .map_err(|e| plain(&e))?;
        tcp.set_nodelay(true).map_err(|e| plain(&e))?;
        let name = ServerName::try_from("trine").map_err(|e| e.to_string())?;
        let connector = &self.connectors[peer.index()];
        let mut stream = TlsStream::from(connector.connect(name, tcp).await.map_err(|e| tls(&e))?);
        stream.write_all(&mine.encode()).await.map_err(|e| plain(&e))?;
        stream.flush().await.map_err(|e| plain(&e))?;
        let code = stream.read_u8().await.map_err(|e| plain(&e))?;
        if code == Refusal::Version(None).code() {
            // It says which one it speaks, unless it is too old for that.
            let theirs = stream.read_u16_le().await.ok();
            return Err(Refusal::Version(theirs).to_string());
        }
        if code != 0 {
            let why = Refusal::from_code(code)
                .map_or_else(|| "it refused the connection".into(), |r| r.to_string());
            return Err(why);
        }
        let theirs = read_greeting(&mut stream).await?.map_err(|r| r.to_string())?;
        if theirs.cluster != self.digest {
            return Err(Refusal::Cluster.to_string());
        }
        Ok((stream, theirs))
    }

    /// Answers a caller, whoever it is. The error is a sentence for the log.
    pub(super) async fn accept(&self, tcp: TcpStream) -> Result<Accepted, String> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.accept_now(tcp)).await.unwrap_or_else(|_| {
            Err(format!("no handshake within {} seconds", HANDSHAKE_TIMEOUT.as_secs()))
        })
    }

    async fn accept_now(&self, tcp: TcpStream) -> Result<Accepted, String> {
        tcp.set_nodelay(true).map_err(|e| plain(&e))?;
        let mut stream = TlsStream::from(self.acceptor.accept(tcp).await.map_err(|e| tls(&e))?);
        let key = stream.get_ref().1.peer_certificates().and_then(|c| c.first());
        let key = key.and_then(key_of_certificate);
        let verdict = match read_greeting(&mut stream).await? {
            Ok(theirs) => match self.judge(&theirs, key) {
                Ok(()) if theirs.kind == Kind::Stream => {
                    self.link_of(&theirs).await.map(|link| (theirs, Some(link)))
                }
                Ok(()) => Ok((theirs, None)),
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        let (theirs, link) = match verdict {
            Ok(known) => known,
            Err(refusal) => {
                let _ = stream.write_u8(refusal.code()).await;
                let why = if let Refusal::Version(_) = refusal {
                    let _ = stream.write_u16_le(MESH_VERSION).await;
                    refusal.to_string()
                } else {
                    format!("{refusal:?}")
                };
                let _ = stream.shutdown().await;
                return Err(format!(
                    "a caller with key {} was refused ({why})",
                    key.map_or_else(|| "unknown".to_owned(), hex::encode)
                ));
            }
        };
        let mut mine = self.greeting(theirs.kind).map_err(|e| e.to_string())?;
        if let Some(link) = &link {
            mine.stream = theirs.stream;
            mine.random = stream_proof(&link.secret, theirs.stream, false);
        }
        let mut answer = vec![0];
        answer.extend_from_slice(&mine.encode());
        stream.write_all(&answer).await.map_err(|e| plain(&e))?;
        stream.flush().await.map_err(|e| plain(&e))?;
        let peer = theirs.party;
        if let Some(link) = link {
            let stream = into_stream(stream, theirs.stream).map_err(|e| plain(&e))?;
            return Ok(Accepted::Stream { peer, epoch: link.epoch, stream });
        }
        let secret = self.pair_secret(&theirs, &mine);
        Ok(Accepted::Connection(Connection { peer, kind: theirs.kind, stream, secret }))
    }

    /// The control connection that a data stream proves to belong to. The dialler may know that the
    /// connection stands a moment before this end does.
    async fn link_of(&self, theirs: &Greeting) -> Result<LinkKey, Refusal> {
        let proven = |links: &Links| {
            links[theirs.party.index()]
                .filter(|link| stream_proof(&link.secret, theirs.stream, true) == theirs.random)
        };
        let mut links = self.links.clone();
        let found = links.wait_for(|links| proven(links).is_some());
        match tokio::time::timeout(STALE_WAIT, found).await {
            Ok(Ok(links)) => proven(&links).ok_or(Refusal::Stale),
            _ => Err(Refusal::Stale),
        }
    }

    fn judge(&self, theirs: &Greeting, key: Option<[u8; 32]>) -> Result<(), Refusal> {
        if theirs.party == self.party || key != Some(self.cluster.nodes[theirs.party.index()].key) {
            return Err(Refusal::Key);
        }
        if theirs.cluster != self.digest {
            return Err(Refusal::Cluster);
        }
        // Party i dials i+1 for protocols, so that a pair has one control connection.
        let one_way = matches!(theirs.kind, Kind::Control | Kind::Stream);
        if one_way && theirs.party.next() != self.party {
            return Err(Refusal::Direction);
        }
        Ok(())
    }

    fn greeting(&self, kind: Kind) -> io::Result<Greeting> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|_| io::Error::other("no randomness from the operating system"))?;
        Ok(Greeting { kind, party: self.party, cluster: self.digest, stream: 0, random })
    }

    fn pair_secret(&self, dialler: &Greeting, acceptor: &Greeting) -> [u8; 32] {
        let mut hasher =
            blake3::Hasher::new_derive_key("trine/v1 secret of one control connection");
        hasher.update(&self.cluster.id.0);
        hasher.update(&dialler.random);
        hasher.update(&acceptor.random);
        *hasher.finalize().as_bytes()
    }
}

/// Takes socket and keys out of the hands of tokio and rustls. Nothing is lost on the way: a stream
/// is silent until its dialler has named it in a hello.
fn into_stream(stream: TlsStream<TcpStream>, id: u64) -> io::Result<Stream> {
    let (tcp, secrets) = match stream {
        TlsStream::Client(stream) => {
            let (tcp, tls) = stream.into_inner();
            (tcp, tls.dangerous_extract_secrets())
        }
        TlsStream::Server(stream) => {
            let (tcp, tls) = stream.into_inner();
            (tcp, tls.dangerous_extract_secrets())
        }
    };
    Stream::new(id, tcp.into_std()?, secrets.map_err(io::Error::other)?)
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
