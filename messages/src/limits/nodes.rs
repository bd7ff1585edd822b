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

/// Users of a conversation of whom marks are kept that have come before the users themselves.
pub const EARLY_MARKS_MAX: usize = 4_096;

/// How often in a row a conversation is loaded that changes its life meanwhile.
pub const LOADS_MAX: u32 = 8;

/// Letters to other nodes that wait to be said. When there are more, the others are told that they miss
/// some.
pub const LETTERS_WAITING_MAX: usize = 16_384;

/// Letters that are said at once.
pub const LETTERS_AT_ONCE_MAX: usize = 256;

/// Users that are named at once to other nodes.
pub const PEOPLE_AT_ONCE_MAX: usize = 1_000;

/// How often a node says to the others that it is heard, if it has nothing else to say.
pub const CHAT_BEAT_MS: u64 = 3_000;

/// Every so many times it says who is there and which messages it lets grow, all of them.
pub const CHAT_BEATS_TO_STATE: u32 = 3;

/// The users of a node that was not heard for so long are gone.
pub const CHAT_NODE_TTL_MS: u64 = 15_000;

/// How often a node looks for those that were not heard.
pub const CHAT_NODES_LOOK_MS: u64 = 1_000;

/// How often a node sees to it that it hears of the marks of readers.
pub const MARKS_LOOK_MS: u64 = 10_000;

/// A message of another node that grows, and that no node has claimed for so long, is ended.
pub const ORPHAN_MS: u64 = 30_000;

/// Sockets that are told in a second that they may have missed something: each asks the database.
pub const MISSED_PER_SEC_MAX: usize = 1_000;
