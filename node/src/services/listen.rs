//! The client port: TLS handshakes beside each other, gRPC behind them.

use super::Shared;
use super::{admin, catalog, operator, query, transaction, upload};
use crate::limits::{
    HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, REQUEST_BYTES_MAX, STREAM_WINDOW_BYTES,
    UPLOAD_MESSAGE_BYTES_MAX,
};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use trine_proto::wire;
use trine_proto::wire::admin_server::AdminServer;
use trine_proto::wire::catalog_server::CatalogServer;
use trine_proto::wire::ingest_server::IngestServer;
use trine_proto::wire::operator_server::OperatorServer;
use trine_proto::wire::query_server::QueryServer;
use trine_proto::wire::transaction_server::TransactionServer;

/// Serves clients until `stop` turns true.
///
/// # Errors
/// When the gRPC server cannot be built or ends by itself.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (connections, incoming) = mpsc::channel(HANDSHAKES_MAX);
    let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), connections));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<QueryServer<query::QueryService>>().await;
    health.set_serving::<IngestServer<upload::IngestService>>().await;
    health.set_serving::<TransactionServer<transaction::TransactionService>>().await;
    health.set_serving::<CatalogServer<catalog::CatalogService>>().await;
    health.set_serving::<AdminServer<admin::AdminService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::DESCRIPTOR)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let served = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(2 * STREAM_WINDOW_BYTES)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(
            IngestServer::new(upload::IngestService(Arc::clone(&shared)))
                .max_decoding_message_size(UPLOAD_MESSAGE_BYTES_MAX),
        )
        .add_service(
            TransactionServer::new(transaction::TransactionService(Arc::clone(&shared)))
                .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(
            QueryServer::new(query::QueryService(Arc::clone(&shared)))
                .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(CatalogServer::new(catalog::CatalogService(Arc::clone(&shared))))
        .add_service(OperatorServer::new(operator::OperatorService(Arc::clone(&shared))))
        .add_service(AdminServer::new(admin::AdminService(shared)))
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
            // A closed channel is a stop too.
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await;
    accepting.abort();
    Ok(served?)
}

/// Strangers, port scans and failed handshakes cost one slot for a limited time, never the loop.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: mpsc::Sender<std::io::Result<TlsStream<TcpStream>>>,
) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(error = %e, "a client connection was not accepted");
                // Out of file descriptors, mostly: let some be closed.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let (acceptor, connections) = (acceptor.clone(), connections.clone());
        tokio::spawn(async move {
            let _slot = slot;
            if let Err(e) = stream.set_nodelay(true) {
                tracing::debug!(error = %e, "TCP_NODELAY");
            }
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    // The server has stopped when nobody receives.
                    let _ = connections.send(Ok(stream)).await;
                }
                Ok(Err(e)) => tracing::debug!(%address, error = %e, "TLS handshake failed"),
                Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
            }
        });
    }
}
