//! Caps of the one of several nodes that works on subscriptions, and of what others ask it.

/// The node that works on subscriptions says again within this time that it does, or another begins.
pub const WORKER_LEASE_MS: u64 = 6_000;

/// How often it says so, and how often the others look whether it still does.
pub const WORKER_BEAT_MS: u64 = 1_500;

/// Names with changes that wait to be looked at by the node that works on subscriptions. With more it
/// looks at all that is linked.
pub const AFAR_NAMES_MAX: usize = 100_000;

/// Names that it looks at at once.
pub const AFAR_LOOKS_MAX: usize = 64;

/// How often it lets go of those that have nothing for the database any more.
pub const AFAR_ROUND_MS: u64 = 30_000;

/// A request that another node has to answer is put again after this, unless that node says that it has
/// it.
pub const FORWARD_AGAIN_MS: u64 = 500;

/// So long it may wait for a node that takes it: longer than it takes until another takes over.
pub const FORWARD_WAIT_MS: u64 = 10_000;

/// And so long for the answer, once it is taken.
pub const FORWARD_ANSWER_WAIT_MS: u64 = 30_000;

/// Requests of this node that others answer, at once.
pub const FORWARDS_MAX: usize = 256;

/// An answer goes through the shared log in parts, whose buffers must not overflow.
pub const FORWARD_PART_BYTES_MAX: usize = 256 << 10;
