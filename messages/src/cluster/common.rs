//! What lets every node know whom another one has let in.

use crate::{
    auth::{self, Away},
    shared_log::{LogError, SharedLog},
    store::{Store, StoreError},
};
use bytes::Bytes;
use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use std::{sync::Arc, time::Duration};

/// What the database keeps the key for signed URLs under.
const URL_KEY: &str = "url-hmac-sha256";

/// The log and the database of all nodes, for [`auth::Auth`].
pub struct Common {
    log: Arc<dyn SharedLog>,
    store: Arc<dyn Store>,
}

impl Common {
    /// Of these.
    #[must_use]
    pub fn new(log: Arc<dyn SharedLog>, store: Arc<dyn Store>) -> Self {
        Self { log, store }
    }
}

impl auth::Common for Common {
    fn url_key<'a>(&'a self, fresh: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Away>> {
        self.store.secret(URL_KEY, fresh).map_err(|error: StoreError| Away(error.into())).boxed()
    }

    fn keep<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Away>> {
        self.log.keep(key, value, ttl).map_err(|error: LogError| Away(error.into())).boxed()
    }

    fn take<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Away>> {
        self.log.take_kept(key).map_err(|error: LogError| Away(error.into())).boxed()
    }
}
