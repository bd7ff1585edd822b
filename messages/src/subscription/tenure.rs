//! The time in which a node is the one that works on subscriptions.

use crate::store::{StoreError, SubscriptionSave, WorkerStore};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One of them. The number of the worker is in every step that it stores.
pub struct Tenure {
    store: Arc<dyn WorkerStore>,
    worker: u64,
    /// Before this nobody else can have begun.
    until: Mutex<Instant>,
    over: CancellationToken,
}

impl Tenure {
    /// That of `worker`, who is the only one before `until`.
    #[must_use]
    pub fn new(store: Arc<dyn WorkerStore>, worker: u64, until: Instant) -> Arc<Self> {
        let (until, over) = (Mutex::new(until), CancellationToken::new());
        Arc::new(Self { store, worker, until, over })
    }

    /// The worker is the only one also until then.
    pub fn prolong(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether nobody else can have begun.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        Instant::now() < *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is cancelled when it is over.
    #[must_use]
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Stores steps of this worker. If another one has begun, nothing is stored and it is over.
    pub(super) async fn save(&self, saves: &[SubscriptionSave]) -> Result<Vec<bool>, StoreError> {
        let saved = self.store.save_as(self.worker, saves).await;
        if matches!(saved, Err(StoreError::Superseded)) {
            self.over.cancel();
        }
        saved
    }
}
