//! Three nodes in one process, on loopback ports that the system chose: real TLS, real Raft, real
//! files. For tests of this and other crates.

mod loopback;

pub use loopback::Loopback;

use crate::config::{Config, Limits};
use crate::error::NodeError;
use crate::local;
use crate::node::Node;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, Party};
use trine_proto::tls::client_config;

/// A running cluster. Every node can be stopped and started again.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    nodes: [Option<Node>; 3],
    administrator: Identity,
    cluster: crate::config::Cluster,
    limits: Limits,
}

impl Cluster {
    /// Starts the cluster whose files are in `dir`, or a new one; ready when it returns.
    ///
    /// # Errors
    /// What keeps a node from starting.
    pub async fn start(dir: &Path) -> Result<Self, NodeError> {
        Self::start_limited(dir, Limits::default()).await
    }

    /// The same with another wait for parties that are down.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(dir: &Path, party_wait: Duration) -> Result<Self, NodeError> {
        Self::start_limited(dir, Limits { party_wait, ..Limits::default() }).await
    }

    /// The same with other limits than the configuration files have.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_limited(dir: &Path, limits: Limits) -> Result<Self, NodeError> {
        let client = dir.join("client.toml");
        if !client.exists() {
            local::make(dir)?;
        }
        local::assign_ports(dir, None)?;
        let config = Config::read(&local::node_dir(dir, Party::ALL[0]).join("party.toml"))?;
        let administrator = local::client_identity(dir)?;
        let mut cluster = Self {
            dir: dir.to_path_buf(),
            nodes: [None, None, None],
            administrator,
            cluster: config.cluster,
            limits,
        };
        // Beside each other: nodes of a new cluster wait for one another.
        let mut starting = Vec::new();
        for party in Party::ALL {
            starting.push(Node::start(cluster.config(party)?));
        }
        let started = futures::future::join_all(starting).await;
        for (slot, node) in cluster.nodes.iter_mut().zip(started) {
            *slot = Some(node?);
        }
        cluster.ready().await;
        Ok(cluster)
    }

    /// Configuration of the administrator, for `trine` and trine-client.
    #[must_use]
    pub fn client_config(&self) -> PathBuf {
        self.dir.join("client.toml")
    }

    /// The administrator's identity.
    #[must_use]
    pub const fn administrator(&self) -> &Identity {
        &self.administrator
    }

    /// The cluster's id.
    #[must_use]
    pub const fn id(&self) -> ClusterId {
        self.cluster.id
    }

    /// Where clients reach a party's node.
    #[must_use]
    pub fn client_address(&self, party: Party) -> &str {
        &self.cluster.nodes[party.index()].client
    }

    /// Where the other nodes reach a party's node.
    #[must_use]
    pub fn mesh_address(&self, party: Party) -> &str {
        &self.cluster.nodes[party.index()].mesh
    }

    /// The data folder of a party.
    #[must_use]
    pub fn data_dir(&self, party: Party) -> PathBuf {
        local::node_dir(&self.dir, party).join("data")
    }

    /// Attempts under way at a party's node; none if it does not run.
    #[must_use]
    pub fn running(&self, party: Party) -> usize {
        self.nodes[party.index()].as_ref().map_or(0, Node::running)
    }

    /// Waits until every node that runs knows a leader and sees both peers.
    pub async fn ready(&self) {
        for node in self.nodes.iter().flatten() {
            node.ready().await;
        }
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn start_node(&mut self, party: Party) -> Result<(), NodeError> {
        if self.nodes[party.index()].is_none() {
            self.nodes[party.index()] = Some(Node::start(self.config(party)?).await?);
        }
        Ok(())
    }

    fn config(&self, party: Party) -> Result<Config, NodeError> {
        let path = local::node_dir(&self.dir, party).join("party.toml");
        let mut config = Config::read(&path)?;
        config.limits = self.limits.clone();
        Ok(config)
    }

    /// Stops a node.
    pub async fn stop_node(&mut self, party: Party) {
        if let Some(node) = self.nodes[party.index()].take() {
            node.stop().await;
        }
    }

    /// Stops all that runs.
    pub async fn stop(mut self) {
        for party in Party::ALL {
            self.stop_node(party).await;
        }
    }

    /// A gRPC channel to a node, as a client with this identity.
    ///
    /// # Errors
    /// When the node does not answer or is another.
    pub async fn channel(
        &self,
        party: Party,
        identity: &Identity,
    ) -> Result<Channel, Box<dyn std::error::Error + Send + Sync>> {
        let node = &self.cluster.nodes[party.index()];
        let tls = TlsConnector::from(Arc::new(client_config(identity, node.key, &[b"h2"])?));
        let address = node.client.clone();
        let connector = tower::service_fn(move |_| {
            let (address, tls) = (address.clone(), tls.clone());
            async move {
                let tcp = TcpStream::connect(&address).await?;
                tcp.set_nodelay(true)?;
                let name = ServerName::try_from("trine").map_err(std::io::Error::other)?;
                tls.connect(name, tcp).await.map(TokioIo::new)
            }
        });
        // The scheme is plain because the connector brings its own TLS.
        let endpoint = Endpoint::from_shared(format!("http://{}", node.client))?;
        Ok(endpoint.connect_with_connector(connector).await?)
    }
}
