//! What several nodes have in common, as far as it is about who asks: what one of them has handed out
//! must be good on every other.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::time::Duration;

/// It cannot be reached now, or takes nothing more.
#[derive(Debug, thiserror::Error)]
#[error("what the nodes have in common cannot be reached")]
pub struct Away(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// See the module. Only [`super::Auth::sharing`] asks for the key; the others are for tickets.
pub trait Common: Send + Sync {
    /// The key for signed URLs that all nodes use: `fresh` if there is none yet.
    fn url_key<'a>(&'a self, fresh: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Away>>;

    /// Keeps a value for `ttl` under a key, which is no secret.
    fn keep<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Away>>;

    /// Takes it away. Of all who do so at once, on all nodes, one gets it.
    fn take<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Away>>;
}
