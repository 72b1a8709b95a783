//! What the operator of this party asks its own node.

use super::Shared;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, CheckProgress, CheckRequest};

/// Messages of progress that may wait for a slow reader.
const PROGRESS_QUEUED: usize = 16;

/// See the contract.
pub(super) struct OperatorService(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl wire::operator_server::Operator for OperatorService {
    type CheckStream = BoxStream<'static, Result<CheckProgress, Status>>;

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<Self::CheckStream>, Status> {
        if Shared::key(&request)? != self.0.identity.public() {
            let error = SqlError::new(
                sqlstate::INSUFFICIENT_PRIVILEGE,
                "only this node's own operator may check or repair its segments",
            );
            return Err(error.hint("run trined check or trined repair on its machine").into());
        }
        let (sender, receiver) = mpsc::channel(PROGRESS_QUEUED);
        let (repairer, repair) = (Arc::clone(&self.0.repairer), request.into_inner().repair);
        tokio::spawn(async move { repairer.check(repair, &sender).await });
        Ok(Response::new(ReceiverStream::new(receiver).map(Ok).boxed()))
    }
}
