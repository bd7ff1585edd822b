//! What is kept for a while under a key, and taken away once.

use super::{LogError, RedisLog, answer::Reply, keys::Keys, scripts};
use crate::shared_log::check_kept;
use bytes::Bytes;
use std::{ops::Deref, time::Duration};

impl RedisLog {
    pub(super) async fn put_away(
        &self,
        key: &str,
        value: Bytes,
        ttl: Duration,
    ) -> Result<(), LogError> {
        check_kept(&value)?;
        let partition = Keys::partition_of(key);
        let call = self.script(&scripts::KEEP, partition, &[self.keys.kept(key)]);
        let call = call.arg(value.deref()).arg((ttl.as_millis() as u64).max(1));
        self.ask(partition, call).await.map(|_| ())
    }

    /// Replicas must know of it as of what is added: otherwise one that takes the place of the master
    /// would give it to somebody else again.
    pub(super) async fn take_away(&self, key: &str) -> Result<Option<Bytes>, LogError> {
        let partition = Keys::partition_of(key);
        let call = self.script(&scripts::TAKE_KEPT, partition, &[self.keys.kept(key)]);
        Reply::of(self.servers.call(partition, &call, self.replicas).await?)?.kept()
    }
}
