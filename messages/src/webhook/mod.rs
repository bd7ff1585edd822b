//! Requests to addresses that clients of this server have chosen. They must not become a way into
//! the network that the server stands in, so every address is checked at every delivery, and what was
//! checked is what is connected to.

mod address;
mod client;
mod target;

pub use address::is_public;
pub use client::{Client, Resolve, SystemResolver};
pub use target::{RejectedUrl, Target};

use bytes::Bytes;
use futures::future::BoxFuture;
use std::{io, time::Duration};

/// Something to be posted. Its body may hold a token and its URL a password, so nothing prints it.
#[derive(Clone)]
pub struct Letter {
    /// Where to.
    pub url: String,
    /// The header `Webhook-Signature`.
    pub signature: String,
    /// A JSON document.
    pub body: Bytes,
    /// How long all of it may take.
    pub wait: Duration,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body; empty when it was too long to be read.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// This is no URL for a webhook.
    #[error(transparent)]
    Rejected(#[from] RejectedUrl),
    /// The name leads to an address that is not for webhooks.
    #[error("the host has an address that is not a public one")]
    Unsafe,
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// It cannot be found or connected to, or the connection broke.
    #[error("cannot connect: {0}")]
    Io(#[from] io::Error),
    /// It does not speak HTTP as it should.
    #[error("no proper HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be built.
    #[error("the request cannot be built")]
    Request,
}

/// Whoever posts.
pub trait Post: Send + Sync {
    /// Whether anything would be posted to this URL at all.
    ///
    /// # Errors
    /// It would not.
    fn check(&self, url: &str) -> Result<(), RejectedUrl>;

    /// Posts a letter once. Redirects are not followed.
    fn post(&self, letter: Letter) -> BoxFuture<'_, Result<Reply, PostError>>;
}
