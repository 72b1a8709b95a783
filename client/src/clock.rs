//! The wall clock: signed commands carry the client's time.

/// Milliseconds since 1970-01-01 UTC; 0 if the clock stands before that.
#[allow(clippy::disallowed_methods, reason = "the one place where the client reads the clock")]
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
