//! Structured logs to standard error. They never hold a share or a parameter.

use crate::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Sets the process up once; a later call changes nothing.
pub(super) fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is refused; the first goes on.
    let _ = match log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
}
