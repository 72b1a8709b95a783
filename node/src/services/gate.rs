//! Who is not enrolled is turned away before a byte of the request's body is read. Only how the node is
//! and what it serves is told to everybody, in small requests.

use super::{Shared, unknown_key};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

/// What strangers may call.
const OPEN: [&str; 3] = ["/trine.v1.Admin/Status", "/grpc.health.v1.Health/", "/grpc.reflection."];

/// Puts the gate before all services.
#[derive(Clone)]
pub(super) struct GateLayer(pub(super) Arc<Shared>);

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, shared: Arc::clone(&self.0) }
    }
}

/// See [`GateLayer`].
#[derive(Clone)]
pub(super) struct Gate<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for Gate<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was found ready is used, its clone waits for the next request.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let is_open = OPEN.iter().any(|path| request.uri().path().starts_with(path));
            let known = is_open
                || match Shared::key_of(request.extensions()) {
                    Some(key) => shared.is_known(&key).await,
                    None => false,
                };
            if known {
                inner.call(request).await
            } else {
                Ok(Status::from(unknown_key()).into_http())
            }
        })
    }
}
