//! The list of the flusher: what is visible and not in the store yet.

use super::Commits;
use crate::channel::Channel;
use std::sync::{Arc, MutexGuard, PoisonError, atomic::Ordering};

impl Commits {
    fn dirty(&self) -> MutexGuard<'_, Vec<Arc<Channel>>> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands channels to the flusher; each only while it is not on the list.
    pub fn push_dirty(&self, channels: impl IntoIterator<Item = Arc<Channel>>) {
        self.dirty().extend(channels);
    }

    /// Hands a channel to the flusher of which nothing is published now. Marked and put on the list
    /// in one step: were it marked before, the committer would take it for listed, and the flusher
    /// would let the journal go without it.
    pub fn mark_dirty(&self, channel: &Arc<Channel>) {
        let mut dirty = self.dirty();
        if channel.mark_dirty() {
            dirty.push(channel.clone());
        }
    }

    /// Takes the list of the flusher.
    #[must_use]
    pub fn take_dirty(&self) -> Vec<Arc<Channel>> {
        self.dirty_bytes.store(0, Ordering::Relaxed);
        std::mem::take(&mut *self.dirty())
    }

    /// Waits until so much is dirty that a flush should not wait for its time. Cancel safe.
    pub async fn many_dirty(&self) {
        self.flush_early.notified().await;
    }

    /// How many channels wait for the flusher.
    #[must_use]
    pub fn unstored(&self) -> usize {
        self.dirty().len()
    }
}
