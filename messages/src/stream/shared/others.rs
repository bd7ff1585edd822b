//! What nodes say to each other, and of each other.

use super::Shared;
use crate::stream::StreamError;
use bytes::Bytes;
use std::sync::atomic::Ordering;

impl Shared {
    /// The number by which others know this node.
    #[must_use]
    pub fn node(&self) -> u32 {
        self.node
    }

    /// A number for something that this node tries. After very many they begin again: then nobody thinks
    /// of the first any more. Those of lives must not, so they are counted apart.
    pub(super) fn attempt_number(&self) -> u64 {
        u64::from(self.node) << 32 | u64::from(self.attempts.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a change with this number as its origin was added by this node.
    pub(super) fn is_own(&self, origin: u64) -> bool {
        (origin >> 32) as u32 == self.node
    }

    /// Says something to all nodes that listen to `topic`, this one too. Nothing of it is kept.
    ///
    /// # Errors
    /// The log does not answer; nobody knows who has heard it.
    pub async fn say(&self, topic: &str, words: Bytes) -> Result<(), StreamError> {
        self.log.say(topic, words).await.map_err(|error| self.trouble(&error))
    }

    /// Listens to `topic` from now on; see [`Shared::said`].
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn listen(&self, topic: &str) -> Result<(), StreamError> {
        self.log.listen(topic).await.map_err(|error| self.trouble(&error))
    }

    /// The nodes that live.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn alive(&self) -> Result<Vec<u32>, StreamError> {
        let nodes = self.log.nodes().await.map_err(|error| self.trouble(&error))?;
        Ok(nodes.into_iter().map(|node| node.start).collect())
    }
}
