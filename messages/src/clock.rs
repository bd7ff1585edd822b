//! The time of day, which tests set themselves.

use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that people's calendars agree with: for what expires and is written down.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Nanoseconds since 1970.
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    #[must_use]
    pub fn now_ns(self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }
}
