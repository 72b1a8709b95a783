//! The client port: TLS handshakes beside each other, gRPC behind them.

use super::Shared;
use super::connection::ClientStream;
use super::gate::GateLayer;
use super::{admin, catalog, operator, query, transaction, upload};
use crate::handshakes::Handshakes;
use crate::limits::{
    CLIENT_PING, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, REQUEST_BYTES_MAX, STRANGER_REQUEST_BYTES_MAX,
    STRANGERS_MAX, STREAM_WINDOW_BYTES, STREAMS_PER_CLIENT_MAX, UPLOAD_MESSAGE_BYTES_MAX,
};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use trine_proto::tls::key_of_certificate;
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
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&shared), connections));
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
        .max_concurrent_streams(STREAMS_PER_CLIENT_MAX)
        .http2_keepalive_interval(Some(CLIENT_PING))
        .http2_keepalive_timeout(Some(CLIENT_PING))
        .layer(GateLayer(Arc::clone(&shared)))
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
        .add_service(
            AdminServer::new(admin::AdminService(shared))
                .max_decoding_message_size(STRANGER_REQUEST_BYTES_MAX),
        )
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
    shared: Arc<Shared>,
    connections: mpsc::Sender<std::io::Result<ClientStream>>,
) {
    let mut handshakes = Handshakes::default();
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
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
        let (shared, strangers) = (Arc::clone(&shared), Arc::clone(&strangers));
        let task = tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, shake(stream, &acceptor)).await {
                Ok(Ok(stream)) => {
                    let certificate = stream.get_ref().1.peer_certificates();
                    let key = certificate.and_then(|c| key_of_certificate(c.first()?));
                    let mut seat = None;
                    if !key.is_some_and(|key| shared.is_known_now(&key)) {
                        seat = strangers.try_acquire_owned().ok();
                        if seat.is_none() {
                            tracing::debug!(%address, "too many connections of strangers");
                            return;
                        }
                    }
                    // The server has stopped when nobody receives.
                    let _ = connections.send(Ok(ClientStream::new(stream, seat))).await;
                }
                Ok(Err(e)) => tracing::debug!(%address, error = %e, "TLS handshake failed"),
                Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
            }
        });
        handshakes.admit(task.abort_handle());
    }
}

async fn shake(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    acceptor.accept(stream).await
}
