//! The gRPC services of `trine.v1`: decode, call, encode. What they decide is who may ask; what
//! they answer comes from the replicated state, the share store and the runner.
//!
//! A caller is known by the key of its TLS certificate ([`Shared::caller`]).

mod admin;
mod catalog;
mod connection;
mod gate;
mod listen;
mod operator;
mod query;
mod transaction;
mod upload;

pub(crate) use listen::serve;

use crate::backup::Backups;
use crate::limits::CATCH_UP;
use crate::mesh::Mesh;
use crate::repair::Repairer;
use crate::runner::Runner;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Extensions, Request, Status};
use trine_consensus::{Consensus, ConsensusError};
use trine_proto::catalog::{Catalog, ClusterInfo, Principal, PublicKey, TransactionState};
use trine_proto::identity::Identity;
use trine_proto::ids::{LogIndex, Party, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::tls::key_of_certificate;
use trine_proto::transaction::Overlay;
use trine_proto::wire;
use trine_storage::Store;

/// What all services stand on.
pub(crate) struct Shared {
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) runner: Arc<Runner>,
    pub(crate) mesh: Mesh,
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) party: Party,
    pub(crate) cluster: ClusterInfo,
    /// One permit per upload under way.
    pub(crate) uploads: Arc<Semaphore>,
    /// What the operator may ask for.
    pub(crate) repairer: Arc<Repairer>,
    pub(crate) backups: Arc<Backups>,
}

impl Shared {
    /// Key of the certificate that the caller showed.
    fn key<T>(request: &Request<T>) -> Result<PublicKey, Status> {
        Self::key_of(request.extensions()).ok_or_else(|| unknown_key().into())
    }

    /// The same, of a request that is not decoded.
    fn key_of(extensions: &Extensions) -> Option<PublicKey> {
        extensions
            .get::<TlsConnectInfo<TcpConnectInfo>>()
            .and_then(TlsConnectInfo::peer_certs)
            .and_then(|certificates| key_of_certificate(certificates.first()?))
    }

    /// Whether a key belongs to somebody who may ask for more than how the node is: a principal, or
    /// this node's operator.
    async fn is_known(&self, key: &PublicKey) -> bool {
        *key == self.identity.public()
            || self.caught_up(|catalog| catalog.principal_by_key(key).map(drop)).await.is_some()
    }

    /// The same, as far as this node knows at the moment.
    fn is_known_now(&self, key: &PublicKey) -> bool {
        *key == self.identity.public() || self.consensus.catalog().principal_by_key(key).is_some()
    }

    /// The enrolled principal who calls.
    async fn caller<T>(&self, request: &Request<T>) -> Result<Principal, Status> {
        let key = Self::key(request)?;
        let found = self.caught_up(|catalog| catalog.principal_by_key(&key).cloned()).await;
        found.ok_or_else(|| unknown_key().into())
    }

    /// Snapshot and writes of an open transaction, once this node knows the statements before this one.
    async fn opened(&self, within: &wire::Within) -> Option<(LogIndex, Overlay)> {
        let id = TransactionId::from_slice(&within.transaction_id)?;
        self.caught_up(|catalog| match catalog.transactions.get(&id) {
            Some(TransactionState::Open(open)) => {
                let due = open.sequence == within.sequence && open.running.is_none();
                due.then(|| Some((open.snapshot, open.written.clone())))
            }
            Some(_) => Some(None),
            None => None,
        })
        .await
        .flatten()
    }

    /// What `find` finds in the replicated state, now or as soon as this node has caught up: the
    /// client may have seen a later state at another node.
    async fn caught_up<T>(&self, find: impl Fn(&Catalog) -> Option<T>) -> Option<T> {
        let mut applied = self.consensus.subscribe();
        let look = async {
            loop {
                applied.mark_unchanged();
                if let Some(found) = find(&self.consensus.catalog()) {
                    return Some(found);
                }
                applied.changed().await.ok()?;
            }
        };
        tokio::time::timeout(CATCH_UP, look).await.ok().flatten()
    }
}

fn unknown_key() -> SqlError {
    SqlError::new(sqlstate::INVALID_AUTHORIZATION, "this key belongs to no enrolled principal")
        .hint("ask an administrator to run: trine admin enrol NAME --key KEY")
}

/// The cluster cannot order commands now; names the nodes that this one does not reach.
fn unavailable(mesh: &Mesh, error: &ConsensusError) -> SqlError {
    if let ConsensusError::TooLarge { .. } = error {
        return SqlError::new(sqlstate::LIMIT_EXCEEDED, error.to_string());
    }
    let up = mesh.up();
    let down: Vec<String> = Party::ALL
        .into_iter()
        .filter(|party| !up[party.index()])
        .map(|party| match mesh.why_down(party) {
            why if why.is_empty() => format!("node {party} ({}) is down", mesh.address(party)),
            why => format!("node {party} ({}) is down: {why}", mesh.address(party)),
        })
        .collect();
    let error = SqlError::new(sqlstate::NODE_UNAVAILABLE, error.to_string());
    if down.is_empty() { error } else { error.hint(down.join("; ")) }
}

fn protocol(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::PROTOCOL_VIOLATION, message)
}
