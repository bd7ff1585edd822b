//! Subscriptions: durable cursors over many streams, which wake workers when there is something new.
//!
//! [`machine`](Subscription) decides and knows neither time nor I/O; the service around it makes
//! what was decided durable, and only then does it count.

mod config;
mod keys;
mod links;
mod machine;
mod state;

pub use config::{Config, Delivery, InvalidConfig, SubscriptionId, is_reserved, path, paths};
pub use keys::{BadKey, KeySet, Keys};
pub use links::{Link, LinkChange, Links, Sight};
pub use machine::{Ack, Due, Fence, Moment, Plan, Refusal, Subscription};
pub use state::{Mark, Stage, State, Wake};
