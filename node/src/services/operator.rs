//! What the operator of this party asks its own node.

use super::Shared;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use trine_proto::ids::LogIndex;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, BackupProgress, BackupRequest, CheckProgress, CheckRequest};

/// Messages of progress that may wait for a slow reader.
const PROGRESS_QUEUED: usize = 16;

/// See the contract.
pub(super) struct OperatorService(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl wire::operator_server::Operator for OperatorService {
    type CheckStream = BoxStream<'static, Result<CheckProgress, Status>>;
    type BackupStream = BoxStream<'static, Result<BackupProgress, Status>>;

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<Self::CheckStream>, Status> {
        self.operator_only(&request)?;
        let (sender, receiver) = mpsc::channel(PROGRESS_QUEUED);
        let (repairer, repair) = (Arc::clone(&self.0.repairer), request.into_inner().repair);
        tokio::spawn(async move { repairer.check(repair, &sender).await });
        Ok(Response::new(ReceiverStream::new(receiver).map(Ok).boxed()))
    }

    async fn backup(
        &self,
        request: Request<BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        self.operator_only(&request)?;
        let BackupRequest { folder, at } = request.into_inner();
        let at = Some(LogIndex(at)).filter(|at| at.0 > 0);
        let (sender, receiver) = mpsc::channel(PROGRESS_QUEUED);
        let backups = Arc::clone(&self.0.backups);
        tokio::spawn(async move { backups.run(folder, at, &sender).await });
        Ok(Response::new(ReceiverStream::new(receiver).map(Ok).boxed()))
    }
}

impl OperatorService {
    fn operator_only<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if Shared::key(request)? == self.0.identity.public() {
            return Ok(());
        }
        let error = SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            "only this node's own operator may check, repair or back up its segments",
        );
        Err(error.hint("run trined check, trined repair or trined backup on its machine").into())
    }
}
