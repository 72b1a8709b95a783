//! gRPC channels to the three nodes, over TLS 1.3 by pinned key. A channel is made when it is first
//! needed and reconnects by itself; an error says which node failed and why.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use trine_proto::identity::Identity;
use trine_proto::ids::Party;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::tls::client_config;

use crate::config::NodeAddress;

/// How long a TCP connection and its TLS handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle connection is probed, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Largest message that is taken from a node: one piece of a result vector.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// One node: where it is, and the channel to it once made.
pub struct Node {
    party: Party,
    at: NodeAddress,
    tls: TlsConnector,
    channel: Mutex<Option<Channel>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} at {})", self.party, self.at.address)
    }
}

/// Why no connection came about; found again in the chain of sources of a transport error.
#[derive(Debug, Clone)]
enum ConnectError {
    /// Nobody answers there.
    Down(String),
    /// Somebody answers who has another key.
    WrongKey(String),
    /// The handshake failed otherwise.
    Tls(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down(reason) | Self::WrongKey(reason) | Self::Tls(reason) => f.write_str(reason),
        }
    }
}

impl StdError for ConnectError {}

impl Node {
    /// A node that is not yet connected to.
    ///
    /// # Errors
    /// `22023` if the client's key makes no TLS configuration.
    pub fn new(party: Party, at: NodeAddress, identity: &Identity) -> Result<Self, SqlError> {
        let config = client_config(identity, at.key, &[b"h2"])
            .map_err(|e| SqlError::new(sqlstate::INVALID_PARAMETER, e.to_string()))?;
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { party, at, tls, channel: Mutex::new(None) })
    }

    /// Which party runs it.
    #[must_use]
    pub const fn party(&self) -> Party {
        self.party
    }

    /// The public key that it must show.
    #[must_use]
    pub const fn key(&self) -> [u8; 32] {
        self.at.key
    }

    /// "node 2 (127.0.0.1:7003)", as errors name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("node {} ({})", self.party, self.at.address)
    }

    /// The channel to the node; connects if there is none yet.
    ///
    /// # Errors
    /// `57P03` if it is down, `28000` if it shows another key than expected.
    pub async fn channel(&self) -> Result<Channel, SqlError> {
        let mut slot = self.channel.lock().await;
        if let Some(channel) = &*slot {
            return Ok(channel.clone());
        }
        let channel = self.connect().await.map_err(|e| self.explain(e.as_ref()))?;
        *slot = Some(channel.clone());
        Ok(channel)
    }

    /// One call over the channel: `call` gets a channel and makes a request of it.
    ///
    /// # Errors
    /// Those of [`Self::channel`] and [`Self::error`]. After a failure of the transport the next
    /// call connects anew, so that its error says what is wrong now.
    pub async fn call<T, F, R>(&self, call: F) -> Result<T, SqlError>
    where
        F: FnOnce(Channel) -> R,
        R: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let channel = self.channel().await?;
        match call(channel).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => {
                let error = self.error(status);
                if is_connection_error(&error) {
                    *self.channel.lock().await = None;
                }
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<Channel, Box<dyn StdError + Send + Sync>> {
        // The scheme is plain because the connector below brings its own TLS.
        let endpoint = Endpoint::from_shared(format!("http://{}", self.at.address))?
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20);
        let address = self.at.address.clone();
        let tls = self.tls.clone();
        let connector = service_fn(move |_| {
            let (address, tls) = (address.clone(), tls.clone());
            async move {
                match tokio::time::timeout(CONNECT_TIMEOUT, handshake(&address, &tls)).await {
                    Ok(stream) => stream.map(TokioIo::new),
                    Err(_) => Err(ConnectError::Down(format!(
                        "no answer within {} seconds",
                        CONNECT_TIMEOUT.as_secs()
                    ))),
                }
            }
        });
        Ok(endpoint.connect_with_connector(connector).await?)
    }

    /// What a failed call says to the user. A node's own error is passed on; a failure of the
    /// transport names the node.
    #[must_use]
    pub fn error(&self, status: tonic::Status) -> SqlError {
        if !status.details().is_empty() {
            return status.into();
        }
        if find_connect_error(&status).is_some() {
            return self.explain(&status);
        }
        match status.code() {
            tonic::Code::Unavailable
            | tonic::Code::Unknown
            | tonic::Code::Cancelled
            | tonic::Code::DeadlineExceeded => SqlError::new(
                sqlstate::CONNECTION_FAILURE,
                format!("connection to {} was lost: {}", self.name(), innermost(&status)),
            ),
            _ => {
                let mut error = SqlError::from(status);
                error.message = format!("{}: {}", self.name(), error.message);
                error
            }
        }
    }

    fn explain(&self, error: &(dyn StdError + 'static)) -> SqlError {
        match find_connect_error(error) {
            Some(ConnectError::Down(reason)) => SqlError::new(
                sqlstate::NODE_UNAVAILABLE,
                format!("{} is down: {reason}", self.name()),
            )
            .hint("ask the operator of that party to start it (`trined run`)"),
            Some(ConnectError::WrongKey(reason)) => {
                SqlError::new(sqlstate::INVALID_AUTHORIZATION, format!("{}: {reason}", self.name()))
                    .hint(
                        "another program answers at that address, or the node has a new key: ask \
                         its operator for the key before you change [[nodes]] in client.toml",
                    )
            }
            Some(ConnectError::Tls(reason)) => SqlError::new(
                sqlstate::CONNECTION_FAILURE,
                format!("{}: no secure connection: {reason}", self.name()),
            ),
            None => SqlError::new(
                sqlstate::CONNECTION_FAILURE,
                format!("{}: {}", self.name(), innermost(error)),
            ),
        }
    }
}

async fn handshake(
    address: &str,
    tls: &TlsConnector,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let tcp =
        TcpStream::connect(address).await.map_err(|e| ConnectError::Down(plain_reason(&e)))?;
    tcp.set_nodelay(true).map_err(|e| ConnectError::Down(plain_reason(&e)))?;
    let name = ServerName::try_from("trine").map_err(|e| ConnectError::Tls(e.to_string()))?;
    tls.connect(name, tcp).await.map_err(|e| {
        let text = e.to_string();
        match text.find("wrong certificate") {
            Some(at) => ConnectError::WrongKey(text[at..].to_owned()),
            None => ConnectError::Tls(text),
        }
    })
}

/// "connection refused" rather than "Connection refused (os error 111)".
fn plain_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            let mut letters = text.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_lowercase().chain(letters).collect::<String>()
            })
        }
    }
}

fn find_connect_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a ConnectError> {
    let mut current: Option<&'a (dyn StdError + 'static)> = Some(error);
    while let Some(e) = current {
        if let Some(found) = e.downcast_ref::<ConnectError>() {
            return Some(found);
        }
        current = e.source();
    }
    None
}

/// The message of the innermost source: what really happened.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    match current.downcast_ref::<tonic::Status>() {
        Some(status) => status.message().to_owned(),
        None => current.to_string(),
    }
}

/// Whether an error says that the node could not be reached or was lost, so that another node may
/// be asked the same.
#[must_use]
pub fn is_connection_error(error: &SqlError) -> bool {
    matches!(error.sqlstate.as_str(), sqlstate::NODE_UNAVAILABLE | sqlstate::CONNECTION_FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use trine_proto::tls::server_config;

    fn node(address: String, key: [u8; 32]) -> Node {
        let identity = Identity::generate().unwrap();
        Node::new(Party::ALL[2], NodeAddress { address, key }, &identity).unwrap()
    }

    #[tokio::test]
    async fn a_node_that_is_down_is_named() {
        // Bound and closed again: nobody listens there.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = node(address.clone(), [1; 32]).channel().await.unwrap_err();
        assert_eq!(error.sqlstate, sqlstate::NODE_UNAVAILABLE);
        assert_eq!(error.message, format!("node 2 ({address}) is down: connection refused"));
    }

    #[tokio::test]
    async fn a_wrong_certificate_names_node_and_both_keys() {
        let server = Identity::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&server, &[b"h2"]).unwrap()));
        let accepting = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            acceptor.accept(tcp).await.is_err()
        });
        let error = node(address, [9; 32]).channel().await.unwrap_err();
        assert_eq!(error.sqlstate, sqlstate::INVALID_AUTHORIZATION);
        assert!(error.message.starts_with("node 2 ("), "{error}");
        assert!(error.message.contains(&hex::encode(server.public())), "{error}");
        assert!(error.message.contains(&hex::encode([9; 32])), "{error}");
        assert!(accepting.await.unwrap());
    }

    #[test]
    fn an_error_of_the_node_itself_is_passed_on() {
        let own = SqlError::new(sqlstate::UNDEFINED_TABLE, "table \"t\" does not exist").at(15);
        let got = node("x:1".into(), [0; 32]).error(own.clone().into());
        assert_eq!(got, own);
        let lost = node("x:1".into(), [0; 32]).error(tonic::Status::unavailable("broken pipe"));
        assert_eq!(lost.message, "connection to node 2 (x:1) was lost: broken pipe");
        assert!(is_connection_error(&lost));
    }
}
