//! How the node is, and who is enrolled.

use super::Shared;
use crate::files::Files;
use crate::repair::unlisted;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use trine_proto::catalog::Catalog;
use trine_proto::wire::{
    self, Housekeeping, NodeStatus, PrincipalEntry, PrincipalList, StatusRequest,
};

impl Shared {
    /// What this node keeps and has cleared away.
    async fn housekeeping(&self, catalog: &Arc<Catalog>) -> Housekeeping {
        let (store, counted) = (self.store.clone(), Arc::clone(catalog));
        let staged = tokio::task::spawn_blocking(move || unlisted(&store, &counted)).await;
        let (log, removed) = (self.consensus.log_extent(), self.store.removed());
        let results = self.runner.results().extent();
        Housekeeping {
            segments_listed: Files::of(catalog).listed.len() as u64,
            segments_staged: staged.unwrap_or(0),
            segments_removed: removed.files,
            bytes_reclaimed: removed.bytes,
            log_first: log.first,
            log_last: log.last,
            snapshot: log.snapshot,
            oldest_unfinished: catalog.oldest_unfinished().map_or(0, |position| position.0),
            backups: catalog.backups.len() as u64,
            share_generation: catalog.share_generation,
            segments_packed: self.runner.counters().segments_packed.value(),
            packs: self.runner.counters().packs.value(),
            results: results.0,
            results_bytes: results.1,
        }
    }
}

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
            housekeeping: Some(self.0.housekeeping(&catalog).await),
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
