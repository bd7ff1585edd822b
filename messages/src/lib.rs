//! `messages` hands out whatever is produced piece by piece to any number of readers.
//!
//! ```text
//! socket → http → stream ──► committer ──► journal     durable
//!                   │            ├───────► channel     visible (window + broadcast)
//!                   │            ├───────► ack         answered
//!                   │            └───────► flusher ──► store (one SQL transaction); journal trim
//!                   └─ reads: channel, else store, else wait
//!
//! committer ──► changes ──► subscription ──► webhook, or a wake stream
//! ```
//!
//! Invariants:
//!
//! 1. Durable before visible: nothing is shown to a reader or acknowledged to a writer before the
//!    journal holds it as durably as configured.
//! 2. Positions of one stream are assigned under its lock and reach the journal in that order.
//!    Data directory and database have one server at a time.
//! 3. `stored ≤ durable ≤ assigned`. The window keeps everything behind `stored`, and the journal
//!    is trimmed only up to it.
//! 4. A failed barrier is final for the journal: appends are refused, reads go on.
//! 5. An append is applied whole or not at all, whether or not its client is still there.
//! 6. The flush is idempotent: a compare with the stored position refuses repetitions.
//! 7. Every queue, body, window and wait has a cap, in [`limits`] or [`config`].
//! 8. What a stream holds is returned byte for byte.
//! 9. Access is checked when something is done and when something is shown, not only when a
//!    connection opens.
//!
//! `ARCHITECTURE.md` walks a request through these modules.

pub mod admission;
pub mod auth;
pub mod budget;
pub mod changes;
pub mod channel;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod committer;
pub mod config;
pub mod fetch;
pub mod flusher;
pub mod health;
pub mod http;
pub mod journal;
pub mod limits;
pub mod lock;
pub mod model;
pub mod production;
pub mod quota;
pub mod recovery;
pub mod server;
pub mod shared_log;
pub mod stats;
pub mod store;
pub mod stream;
pub mod subscription;
pub mod tls;
pub mod traces;
pub mod webhook;

/// Which build this is: its version, and the commit that it was made from where that is known.
pub const VERSION: &str = env!("MESSAGES_VERSION");
