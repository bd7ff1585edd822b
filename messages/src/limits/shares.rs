//! Of who asks, and of what they may take.

/// A ticket must be used by then: longer than a page takes to open a connection with it.
pub const TICKET_TTL_SECS: u64 = 30;

/// Tickets of one principal in [`TICKET_TTL_SECS`].
pub const TICKETS_PER_PRINCIPAL_MAX: usize = 256;

/// Tickets of all in [`TICKET_TTL_SECS`]; about 250 bytes each.
pub const TICKETS_MAX: usize = 65_536;

/// What tickets that one node has made may take of the shared log in [`TICKET_TTL_SECS`].
pub const TICKETS_BYTES_MAX: usize = 32 << 20;

/// A principal that was quiet for so long may send this much of `--requests-per-sec-max` at once.
pub const REQUESTS_BURST_SECS: u32 = 5;

/// How often a node tells others what it has counted of principals.
pub const SHARES_TOLD_MS: u64 = 500;

/// Principals in one piece of that: some 100 KiB.
pub const SHARES_AT_ONCE_MAX: usize = 2_048;

/// Reads that stay open are told again after this, for nodes that have missed it.
pub const SHARES_RETOLD_MS: u64 = 4_000;

/// Without that they count no more: their node is gone.
pub const SHARES_VALID_MS: u64 = 10_000;

/// A value that the shared log keeps under a key: all that a token of [`super::TOKEN_BYTES_MAX`] may say, and
/// what is around it.
pub const KEPT_BYTES_MAX: usize = 16 << 10;
