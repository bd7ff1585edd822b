//! Stores steps, those that come at the same time in one transaction.

use super::Tenure;
use crate::{
    limits::SUBSCRIPTION_SAVES_MAX,
    store::{Store, SubscriptionSave},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The store has not taken it, or has not said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotSaved;

type Answer = Result<bool, NotSaved>;

pub(super) struct Saver {
    store: Arc<dyn Store>,
    /// On several nodes: whose steps these are.
    tenure: Option<Arc<Tenure>>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(SubscriptionSave, oneshot::Sender<Answer>)>,
    busy: bool,
}

impl Saver {
    pub fn new(store: Arc<dyn Store>, tenure: Option<Arc<Tenure>>) -> Arc<Self> {
        Arc::new(Self { store, tenure, queue: Mutex::default() })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a step. Tells whether its subscription is there.
    pub async fn save(self: &Arc<Self>, save: SubscriptionSave) -> Answer {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queue = self.queue();
            queue.waiting.push((save, answer));
            !std::mem::replace(&mut queue.busy, true)
        };
        if is_first {
            // A task of its own: the others must be served even if this caller goes away.
            tokio::spawn(self.clone().serve());
        }
        answered.await.unwrap_or(Err(NotSaved))
    }

    async fn serve(self: Arc<Self>) {
        loop {
            let batch: Vec<_> = {
                let mut queue = self.queue();
                let count = queue.waiting.len().min(SUBSCRIPTION_SAVES_MAX);
                queue.busy = count > 0;
                queue.waiting.drain(..count).collect()
            };
            if batch.is_empty() {
                return;
            }
            let (saves, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let saved = match &self.tenure {
                Some(tenure) => tenure.save(&saves).await,
                None => self.store.save_subscriptions(&saves).await,
            };
            if let Err(error) = &saved {
                tracing::warn!(%error, steps = saves.len(), "cannot store what subscriptions do");
            }
            for (i, answer) in answers.into_iter().enumerate() {
                let found = saved.as_ref().map(|found| found.get(i).copied().unwrap_or(false));
                // Whoever is not interested any more has dropped the other end.
                let _ = answer.send(found.map_err(|_| NotSaved));
            }
        }
    }
}
