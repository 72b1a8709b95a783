//! Three meshes in one process: protocols over real TLS on loopback, without a node around them.

use crate::config::{Cluster, ClusterNode};
use crate::error::NodeError;
use crate::mesh::{AttemptId, AttemptKind, AttemptNet, Hello, Mesh};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use trine_mpc::{MpcError, Net};
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, Party};
use trine_proto::status::{SqlError, sqlstate};

/// How long to wait for connections and hellos that come from this process.
const WAIT: Duration = Duration::from_secs(60);

/// Three parties' meshes on loopback.
#[derive(Debug)]
pub struct Loopback {
    meshes: [Mesh; 3],
    attempts: AtomicU32,
}

impl Loopback {
    /// Starts the three meshes; all connections stand when it returns.
    ///
    /// # Errors
    /// What keeps a mesh from starting.
    pub fn start() -> Result<Self, NodeError> {
        let mut identities = Vec::new();
        let mut listeners = Vec::new();
        let mut nodes = Vec::new();
        for _ in Party::ALL {
            let identity = Identity::generate()?;
            let listener = TcpListener::bind("127.0.0.1:0").map_err(NodeError::System)?;
            let mesh = listener.local_addr().map_err(NodeError::System)?.to_string();
            let key = identity.public();
            nodes.push(ClusterNode { name: mesh.clone(), client: mesh.clone(), mesh, key });
            identities.push(identity);
            listeners.push(listener);
        }
        let nodes = <[ClusterNode; 3]>::try_from(nodes)
            .map_err(|_| NodeError::System(std::io::Error::other("three nodes")))?;
        let cluster =
            Arc::new(Cluster { id: ClusterId([0; 16]), nodes, administrators: Vec::new() });
        let mut meshes = Vec::new();
        for ((party, identity), listener) in Party::ALL.iter().zip(&identities).zip(listeners) {
            meshes.push(Mesh::start(*party, Arc::clone(&cluster), identity, listener)?);
        }
        let meshes = <[Mesh; 3]>::try_from(meshes)
            .map_err(|_| NodeError::System(std::io::Error::other("three meshes")))?;
        for mesh in &meshes {
            mesh.wait_all_up(WAIT)
                .map_err(|_| NodeError::System(std::io::Error::other("a mesh does not come up")))?;
        }
        Ok(Self { meshes, attempts: AtomicU32::new(0) })
    }

    /// Opens one attempt with so many lanes at all three parties; networks by party index.
    ///
    /// # Errors
    /// As the mesh's.
    pub fn attempt(&self, lanes: usize) -> Result<[Arc<dyn Net>; 3], MpcError> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let id = AttemptId { kind: AttemptKind::Query, job: [0; 16], attempt };
        let begin = |party: usize| self.meshes[party].begin(id, lanes);
        let nets = [begin(0)?, begin(1)?, begin(2)?];
        std::thread::scope(|scope| {
            let hellos = nets.each_ref().map(|net| scope.spawn(move || greet(net)));
            hellos.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or(Err(MpcError::Shape("a hello panicked")))
            })
        })?;
        Ok(nets.map(|net| net as Arc<dyn Net>))
    }
}

fn greet(net: &AttemptNet) -> Result<(), MpcError> {
    let verdict = Err(SqlError::new(sqlstate::INTERNAL_ERROR, "no statement"));
    net.exchange_hello(&Hello { nonce: [0; 32], streams: Vec::new(), verdict }, WAIT)?;
    net.open()
}
