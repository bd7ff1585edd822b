//! What can go wrong with a request about a subscription.

use super::{InvalidConfig, Refusal};
use crate::{stream::StreamError, webhook::RejectedUrl};

/// Why it did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// There is no subscription of that id.
    #[error("there is no subscription with this id")]
    NotFound,
    /// There is one that was asked to be something else.
    #[error("there is a subscription with this id and another configuration")]
    Different,
    /// What was asked for makes no sense.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
    /// Nothing is ever sent there.
    #[error(transparent)]
    Rejected(#[from] RejectedUrl),
    /// This way of working is for the other type of subscriptions.
    #[error("this is for subscriptions of type {0}")]
    WrongType(&'static str),
    /// The token was not made by this server for this subscription.
    #[error("the token is not one for this subscription")]
    BadToken,
    /// Not at this moment, or not like this.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There are as many subscriptions as there may be.
    #[error("this server has as many subscriptions as it may")]
    TooMany,
    /// A user has as many webhooks in a conversation as they may.
    #[error("you have as many webhooks in this conversation as you may; delete another one")]
    TooManyHooks,
    /// More streams exist already than a subscription may link.
    #[error("more streams fit the pattern than a subscription may link at once")]
    TooManyStreams,
    /// The streams cannot be looked at.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// It could not be stored, and so has not happened.
    #[error("the database does not answer")]
    NotStored,
    /// The server starts or stops.
    #[error("the server is starting or stopping")]
    NotReady,
}
