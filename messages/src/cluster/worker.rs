//! Which node works on subscriptions, and that one does. Each tries to begin; the database lets one. It
//! says again and again that it is there, and when it does not for a while, another begins, reads what
//! it has stored, and goes on. See [`WorkerStore`] for why the first one cannot disturb that.

use super::Forward;
use crate::{
    limits::{WORKER_BEAT_MS, WORKER_LEASE_MS},
    model::StreamId,
    store::WorkerStore,
    subscription::{Desk, Parts, Subscriptions, Tenure},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After so long without a word somebody else begins.
    pub lease: Duration,
    /// Between two words.
    pub beat: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: Duration::from_millis(WORKER_LEASE_MS),
            beat: Duration::from_millis(WORKER_BEAT_MS),
        }
    }
}

/// One node that works, or would.
pub struct Worker {
    /// What it works with; whose tenure it is, is put in.
    pub parts: Parts,
    /// Where it is known who works.
    pub store: Arc<dyn WorkerStore>,
    /// Where its subscriptions are found while it works.
    pub desk: Arc<Desk>,
    /// How others are told.
    pub forward: Arc<Forward>,
    /// How fast.
    pub pace: Pace,
}

impl Worker {
    /// Works whenever nobody else does, until `stop`; somebody else may begin at once then.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let began = Instant::now();
            match self.store.begin_work(self.pace.lease.as_millis() as u64).await {
                Ok(Some(worker)) => self.work(worker, began, &stop).await,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "cannot see who works on subscriptions"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.pace.beat) => {}
                () = self.forward.vacant() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn work(&self, worker: u64, began: Instant, stop: &CancellationToken) {
        let tenure = Tenure::new(self.store.clone(), worker, began + self.pace.lease);
        let parts = Parts { tenure: Some(tenure.clone()), ..self.parts.clone() };
        let subscriptions = Subscriptions::new(parts, tenure.over().clone());
        tracing::info!(worker, "this node works on subscriptions");
        let running = tokio::spawn(subscriptions.clone().run(StreamId(0)));
        self.desk.put(Some(subscriptions.clone()));
        self.forward.works(true).await;
        tokio::select! {
            () = self.keep(worker, &tenure) => {}
            () = tenure.over().cancelled() => {}
            () = stop.cancelled() => {}
        }
        tracing::info!(worker, "this node does not work on subscriptions any more");
        self.desk.put(None);
        tenure.over().cancel();
        if let Err(error) = running.await {
            tracing::error!(%error, "the work on subscriptions has failed");
        }
        subscriptions.ended().await;
        if stop.is_cancelled() {
            subscriptions.finish().await;
        }
        if let Err(error) = self.store.end_work(worker).await {
            tracing::debug!(%error, "others find out that this node does not work any more");
        }
        self.forward.works(false).await;
    }

    /// Says again and again that it works, until another one has begun.
    async fn keep(&self, worker: u64, tenure: &Tenure) {
        loop {
            tokio::time::sleep(self.pace.beat).await;
            let began = Instant::now();
            match self.store.keep_work(worker, self.pace.lease.as_millis() as u64).await {
                Ok(true) => {
                    tenure.prolong(began + self.pace.lease);
                    self.forward.works(true).await;
                }
                Ok(false) => return,
                // While nobody else can say so either, it may go on. It answers nobody, though, when it
                // cannot know that any more.
                Err(error) => tracing::warn!(%error, "cannot say who works on subscriptions"),
            }
        }
    }
}
