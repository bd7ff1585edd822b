//! What is known of a run, and whether it can be. Pure: no clock, no network.

mod fault;
mod fold;
mod inbox;
mod judge;
mod marks;
mod outbox;
mod seen;
pub mod text;
mod truth;

pub use fault::{Fault, Tally};
pub use fold::Conversation;
pub use inbox::{Access, Inbox, Room};
pub use judge::{Deed, Drafts, Logs, compare, erased, judge_deed, judge_drafts};
pub use marks::Marks;
pub use outbox::{Draft, Outbox};
pub use seen::Seen;
pub use truth::{Entry, Truth};
