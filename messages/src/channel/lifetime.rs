//! Until when a stream lives, for those that go away when nobody uses them.
//!
//! A use is remembered here. The row says a later time than it must, and is written anew when half
//! of that slack is used up. So many uses cost few writes, and the row of a server that dies is not
//! behind.

use super::Channel;
use crate::{
    limits::{TOUCH_SLACK_MS_MAX, TOUCH_SLACK_MS_MIN},
    model::Lifetime,
};
use std::sync::atomic::Ordering::Relaxed;

/// The row has a signed number.
const EXPIRES_MS_MAX: u64 = i64::MAX as u64;

impl Channel {
    /// Remembers that somebody looked for the channel at `now_ms`, so that it stays in memory.
    pub fn mark_used(&self, now_ms: u64) {
        self.used_ms.store(now_ms, Relaxed);
    }

    /// When the channel was last looked for.
    #[must_use]
    pub fn used_ms(&self) -> u64 {
        self.used_ms.load(Relaxed)
    }

    /// Remembers that the stream was read or written at `now_ms`, which prolongs a life that depends
    /// on it.
    pub fn touch(&self, now_ms: u64) {
        self.touched_ms.fetch_max(now_ms, Relaxed);
    }

    /// Whether its life depends on being used.
    #[must_use]
    pub fn lives_by_use(&self) -> bool {
        matches!(self.lifetime, Lifetime::Idle { .. })
    }

    /// Whether its time can ever be over.
    #[must_use]
    pub fn may_expire(&self) -> bool {
        self.lifetime != Lifetime::Unlimited
    }

    /// Whether the row must be written soon because the stream lives longer than that says.
    #[must_use]
    pub fn outlives_row(&self) -> bool {
        self.due_expires_ms() > Some(self.stored_expires_ms.load(Relaxed))
    }

    /// Whether it lives while it is used and somebody is connected to it now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lives_by_use() && self.wake.receiver_count() > 0
    }

    /// Whether its time is over at `now_ms`.
    #[must_use]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms(0).is_some_and(|ms| ms <= now_ms) && !self.is_held()
    }

    /// When other nodes have to be told that it goes away, where that is later than they know by more
    /// than a little. They are taken to know it then.
    #[must_use]
    pub fn shares_expiry(&self) -> Option<u64> {
        let Lifetime::Idle { secs } = self.lifetime else { return None };
        let expires_ms = self.expires_ms(0)?;
        let slack_ms = secs.saturating_mul(1000) / 32;
        let known_ms = self.shared_expires_ms.load(Relaxed);
        if expires_ms <= known_ms.saturating_add(slack_ms) {
            return None;
        }
        self.shared_expires_ms.fetch_max(expires_ms, Relaxed);
        Some(expires_ms)
    }

    /// Others say that it does not go away before `expires_ms`; 0 for nothing said.
    pub fn hears_expiry(&self, expires_ms: u64) {
        if let Lifetime::Idle { secs } = self.lifetime
            && expires_ms > 0
        {
            self.shared_expires_ms.fetch_max(expires_ms, Relaxed);
            self.touch(expires_ms.saturating_sub(secs.saturating_mul(1000)));
        }
    }

    /// What the row is to say.
    pub(super) fn row_expires_ms(&self) -> Option<u64> {
        self.expires_ms(self.slack_ms())
    }

    /// What the row has to say at least.
    pub(super) fn due_expires_ms(&self) -> Option<u64> {
        self.expires_ms(self.slack_ms() / 2)
    }

    /// When it goes away if nobody uses it any more, and `slack_ms` later.
    fn expires_ms(&self, slack_ms: u64) -> Option<u64> {
        let expires_ms = self.lifetime.expires_ms(self.touched_ms.load(Relaxed));
        expires_ms.map(|ms| ms.saturating_add(slack_ms).min(EXPIRES_MS_MAX))
    }

    fn slack_ms(&self) -> u64 {
        match self.lifetime {
            Lifetime::Idle { secs } => {
                (secs.saturating_mul(1000) / 16).clamp(TOUCH_SLACK_MS_MIN, TOUCH_SLACK_MS_MAX)
            }
            Lifetime::Unlimited | Lifetime::Until { .. } => 0,
        }
    }
}
