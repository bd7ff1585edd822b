//! Of several nodes, and of chat on them.

/// How often a node says that it lives.
pub const NODE_BEAT_MS: u64 = 2_000;

/// A node that has not said for so long that it lives is gone.
pub const NODE_TTL_MS: u64 = 15_000;

/// How long a node that starts waits for the shared log.
pub const LOG_START_MS: u64 = 20_000;

/// So long the store may be further than the shared log, because a node is about to write there.
pub const LOG_BEHIND_MS: u64 = 1_000;

/// A row that the shared log has known nothing of for so long is of a fork that never began.
pub const STRAY_MS: u64 = 5_000;

/// How long whoever only looks at a name waits for a shared log that does not answer.
pub const LOOK_PATIENCE_MS: u64 = 2_000;
