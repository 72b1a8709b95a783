//! How the node is, and who is enrolled.

use super::Shared;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use trine_proto::wire::{self, NodeStatus, PrincipalEntry, PrincipalList, StatusRequest};

/// See the contract.
pub(super) struct AdminService(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl wire::admin_server::Admin for AdminService {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<NodeStatus>, Status> {
        let key = Shared::key(&request)?;
        let catalog = self.0.consensus.catalog();
        let leader = self.0.consensus.leader();
        Ok(Response::new(NodeStatus {
            cluster_id: self.0.cluster.cluster_id.0.to_vec(),
            party: u32::try_from(self.0.party.index()).unwrap_or(u32::MAX),
            version: env!("CARGO_PKG_VERSION").into(),
            applied_index: catalog.applied.0,
            state_digest: catalog.log_digest.to_vec(),
            leader: leader.map_or(-1, |party| i32::try_from(party.index()).unwrap_or(-1)),
            mesh_up: self.0.mesh.up().to_vec(),
            principal: catalog.principal_by_key(&key).map_or(String::new(), |p| p.name.clone()),
        }))
    }

    async fn principals(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<PrincipalList>, Status> {
        self.0.caller(&request).await?;
        let catalog = self.0.consensus.catalog();
        let principals = catalog.principals.values().map(|p| PrincipalEntry {
            name: p.name.clone(),
            public_key: p.key.to_vec(),
            administrator: p.administrator,
        });
        Ok(Response::new(PrincipalList { principals: principals.collect() }))
    }
}
