//! How long the log holds what, which tests make shorter.

use crate::limits;

/// The times and numbers that a log keeps to. The default is that of [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a claim holds, in milliseconds.
    pub claim_ms: u64,
    /// How long a name stays hot after everything of it is stored, in milliseconds.
    pub hot_ms: u64,
    /// Work that was taken and not done is given to another after so many milliseconds.
    pub work_claim_ms: u64,
    /// So many changes are kept although they are stored.
    pub kept_changes: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            claim_ms: limits::LOG_CLAIM_MS,
            hot_ms: limits::LOG_HOT_MS,
            work_claim_ms: limits::WORK_CLAIM_MS,
            kept_changes: limits::LOG_KEPT_CHANGES,
        }
    }
}
