//! Subscriptions: durable cursors over many streams, which wake workers when there is something new.
//!
//! The [`Subscription`] decides and knows neither time nor I/O. The service around it,
//! [`Subscriptions`], makes what was decided durable, and only then does it count.

mod afar;
mod agenda;
mod config;
mod create;
mod desk;
mod entry;
mod error;
mod hook;
mod hooks;
mod interest;
mod keys;
mod links;
mod load;
mod machine;
mod requests;
mod saver;
mod service;
mod state;
mod tenure;
mod view;
mod work;

pub use config::{Config, Delivery, InvalidConfig, SubscriptionId, is_reserved, path, paths};
pub use desk::Desk;
pub use error::SubscriptionError;
pub use hook::{Hook, Members};
pub use keys::{BadKey, KeySet, Keys};
pub use links::{Link, LinkChange, Links, Sight};
pub use machine::{Ack, Due, Fence, Moment, Plan, Refusal, Subscription};
pub use requests::Report;
pub use service::{Census, Chance, Parts, Subscriptions, SystemChance};
pub use state::{Mark, Stage, State, Wake};
pub use tenure::Tenure;
pub use view::{Claimed, Description, ROOT};
