//! Ctrl-C while something runs.

use trine_client::SqlError;
use trine_proto::status::sqlstate;

/// The outcome of `work`, or `None` if Ctrl-C came first; `work` is dropped then.
pub(super) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        outcome = work => Some(outcome),
        () = interrupt() => None,
    }
}

/// Ends at Ctrl-C; never if the system has no such signal for us.
pub(super) async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What an interrupted statement ends with.
pub(super) fn canceled(hint: &str) -> SqlError {
    SqlError::new(sqlstate::QUERY_CANCELED, "canceled on request").hint(hint)
}
