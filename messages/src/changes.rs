//! Which channels have changed, for whoever wants to know without following each of them.

use crate::channel::Channel;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Notify;

/// A list of changed channels, each on it once, so that it is no longer than there are channels. While
/// nobody watches it stays empty and costs the committer one look.
#[derive(Debug, Default)]
pub struct Changes {
    watched: AtomicBool,
    list: Mutex<Vec<Arc<Channel>>>,
    news: Notify,
}

impl Changes {
    /// Puts channels on the list, whose changes are visible already.
    pub fn note(&self, channels: &[Arc<Channel>]) {
        // Relaxed is enough. Whoever begins to watch looks at the channels after that, and each look
        // takes the lock that the change was published under: it either sees the change, or comes
        // before it, and then this sees that there is somebody watching.
        if !self.watched.load(Ordering::Relaxed) {
            return;
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = list.is_empty();
        list.extend(channels.iter().filter(|channel| channel.notice()).cloned());
        if was_empty && !list.is_empty() {
            self.news.notify_one();
        }
    }

    /// Takes the list. What changes from here on is on the next one.
    #[must_use]
    pub fn take(&self) -> Vec<Arc<Channel>> {
        let list = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
        // Before anybody looks at them: a change after the look must be noticed again.
        list.iter().for_each(|channel| channel.unnotice());
        list
    }

    /// Says whether anybody wants to know. What changes before is not on the list.
    pub fn watch(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
        if !watched {
            drop(self.take());
        }
    }

    /// Waits until there is something on the list. Cancel safe.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}
