//! Where the subscriptions at work are found. On one node they are always the same; of several nodes one
//! works at a time, and what it has in memory is good for no longer than that.

use super::{SubscriptionError, Subscriptions};
use std::sync::{Arc, PoisonError, RwLock};

/// The place.
#[derive(Default)]
pub struct Desk(RwLock<Option<Arc<Subscriptions>>>);

impl Desk {
    /// With these at work.
    #[must_use]
    pub fn with(subscriptions: Arc<Subscriptions>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Some(subscriptions))))
    }

    /// Those that are at work here; `None` where another node works.
    #[must_use]
    pub fn here(&self) -> Option<Arc<Subscriptions>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`Desk::here`], for whoever can do nothing without.
    ///
    /// # Errors
    /// Another node works.
    pub fn get(&self) -> Result<Arc<Subscriptions>, SubscriptionError> {
        self.here().ok_or(SubscriptionError::NotReady)
    }

    /// These are at work here from now on; `None` for no more.
    pub fn put(&self, subscriptions: Option<Arc<Subscriptions>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = subscriptions;
    }
}
