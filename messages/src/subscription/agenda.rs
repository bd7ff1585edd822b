//! When something has to be done about which subscription.

use super::SubscriptionId;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Dates, at most one for each subscription.
#[derive(Default)]
pub(super) struct Agenda {
    dates: Mutex<Dates>,
    /// There is an earlier date than before.
    earlier: Notify,
}

#[derive(Default)]
struct Dates {
    by_time: BTreeSet<(u64, SubscriptionId)>,
    of: HashMap<SubscriptionId, u64>,
}

impl Agenda {
    fn dates(&self) -> MutexGuard<'_, Dates> {
        self.dates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a date in the place of any other.
    pub fn set(&self, id: &SubscriptionId, at_ms: Option<u64>) {
        let mut dates = self.dates();
        let before = dates.by_time.first().map(|(at_ms, _)| *at_ms);
        if let Some(old) = dates.of.remove(id) {
            dates.by_time.remove(&(old, id.clone()));
        }
        if let Some(at_ms) = at_ms {
            dates.of.insert(id.clone(), at_ms);
            dates.by_time.insert((at_ms, id.clone()));
            if before.is_none_or(|before| at_ms < before) {
                self.earlier.notify_one();
            }
        }
    }

    /// Takes what is due, and tells when the next is.
    pub fn take(&self, now_ms: u64) -> (Vec<SubscriptionId>, Option<u64>) {
        let (mut dates, mut due) = (self.dates(), Vec::new());
        while let Some((at_ms, id)) = dates.by_time.pop_first() {
            if at_ms > now_ms {
                dates.by_time.insert((at_ms, id));
                return (due, Some(at_ms));
            }
            dates.of.remove(&id);
            due.push(id);
        }
        (due, None)
    }

    /// Waits until there is an earlier date than before. Cancel safe.
    pub async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// Lets whoever waits look at the clock again.
    pub fn nudge(&self) {
        self.earlier.notify_one();
    }
}
