//! Finds streams in the store, many with one query: whoever asks while a query is on its way is
//! served by the next one.

use super::StreamError;
use crate::{
    limits::{LOAD_NAMES_MAX, LOAD_QUEUE_MAX},
    model::{StoredStream, StreamName},
    store::Store,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

type Answer = Result<Option<StoredStream>, StreamError>;

pub(super) struct Loader {
    store: Arc<dyn Store>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(StreamName, oneshot::Sender<Answer>)>,
    busy: bool,
}

impl Loader {
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, queue: Mutex::default() })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store has under `name`. Cancel safe.
    pub async fn load(self: &Arc<Self>, name: &StreamName) -> Answer {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queue = self.queue();
            if queue.waiting.len() >= LOAD_QUEUE_MAX {
                return Err(StreamError::Overloaded);
            }
            queue.waiting.push((name.clone(), answer));
            !std::mem::replace(&mut queue.busy, true)
        };
        if is_first {
            // A task of its own: the others must be served even if this caller goes away.
            tokio::spawn(self.clone().serve());
        }
        answered.await.unwrap_or(Err(StreamError::StoreUnavailable))
    }

    async fn serve(self: Arc<Self>) {
        loop {
            let batch: Vec<_> = {
                let mut queue = self.queue();
                let count = queue.waiting.len().min(LOAD_NAMES_MAX);
                queue.busy = count > 0;
                queue.waiting.drain(..count).collect()
            };
            if batch.is_empty() {
                return;
            }
            let names: Vec<StreamName> = batch.iter().map(|(name, _)| name.clone()).collect();
            let found = self.store.find(&names).await;
            if let Err(error) = &found {
                tracing::warn!(%error, streams = names.len(), "cannot look streams up");
            }
            let found: Result<HashMap<_, _>, _> =
                found.map(|all| all.into_iter().map(|s| (s.name.clone(), s)).collect());
            for (name, answer) in batch {
                // Whoever is not interested any more has dropped the other end.
                let _ = answer.send(match &found {
                    Ok(found) => Ok(found.get(&name).cloned()),
                    Err(_) => Err(StreamError::StoreUnavailable),
                });
            }
        }
    }
}
