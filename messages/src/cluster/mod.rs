//! One of several nodes: what it does beside serving requests.
//!
//! Nodes are alike and none of them owns anything. What they have in common is the shared log
//! ([`crate::shared_log`]) and the database. Here is what keeps that going: each flushes
//! (`flusher.rs`), says that it lives, looks whether the log has room, and ends what was produced by
//! nodes that are gone (`nodes.rs`). One of them works on subscriptions (`worker.rs`), and the others pass
//! on what is asked about these (`forward.rs`). `log.rs` opens the log that belongs to the database.
//! `common.rs` is what lets a client that comes from one node in at another, `shares.rs` how they count
//! together what a principal takes.

mod common;
mod flusher;
mod forward;
mod log;
mod nodes;
mod shares;
mod waking;
mod worker;

pub use common::Common;
pub use flusher::NodeFlusher;
pub use forward::{Answerer, Forward, NoAnswer};
pub use log::{OpenError, open_log, without_log};
pub use nodes::{Nodes, Watch};
pub use shares::Shares;
pub use waking::Waking;
pub use worker::{Pace, Worker};
