//! The time of day, for what outlives the process: everything else takes time from tokio.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time of day. Tests have their own.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 (Unix time).
    fn now_ms(&self) -> u64;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks for the time of day")]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
