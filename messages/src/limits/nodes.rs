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

/// How long whoever claims a cold name in the shared log may take to look into the database.
pub const LOG_CLAIM_MS: u64 = 10_000;

/// How long a name stays hot in the shared log after its last change is in the database.
pub const LOG_HOT_MS: u64 = 600_000;

/// Changes of a name that the shared log keeps although they are in the database, for nodes that come a
/// little late.
pub const LOG_KEPT_CHANGES: u64 = 64;

/// Changes of at most so many bytes go with the wake-up that tells of them, so that nobody has to read
/// them. More would fill the buffers of a node that is slow.
pub const WAKE_BYTES_MAX: usize = 8192;

/// After this another node takes over what one has taken to flush. Longer than it may take to look at it
/// and begin to write ([`FLUSH_LEASE_MS`]), and shorter than those wait who wait for the tables
/// ([`super::TABLES_WAIT_MS_MAX`]): when a node is killed, they shall not notice.
pub const WORK_CLAIM_MS: u64 = 8_000;

/// So long after a node has begun to look at work it may still begin to write it, by the clock of the
/// database.
pub const FLUSH_LEASE_MS: u64 = 3_000;

/// How long whoever asks something of a name may wait for the shared log before it is refused: longer
/// than a restart of Redis takes, or a replica to take its place.
pub const LOG_PATIENCE_MS: u64 = 5_000;

/// Between two attempts to find out what the shared log has.
pub const LOG_RETRY_MS: u64 = 25;

/// What is read from the shared log at once.
pub const LOG_READ_BYTES_MAX: usize = 4 << 20;

/// Pieces of work that a node takes to flush at once.
pub const WORK_TAKEN_MAX: usize = 4096;
