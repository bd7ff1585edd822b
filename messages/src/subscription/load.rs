//! How subscriptions come back at a start. The server serves meanwhile; requests about subscriptions
//! wait.
//!
//! Links are read with the ends of their streams. Streams that have begun in an earlier run and were
//! not compared with the patterns before its end have ids from a mark on, or are on the list of changes
//! because the journal brought them back.

use super::{
    Config, Keys, Link, Sight, State, Subscription, SubscriptionError, SubscriptionId,
    Subscriptions,
    entry::{Entry, Phase},
    keys::{SIGNING, TOKENS},
};
use crate::{
    limits::{LIST_PAGE_ROWS, RETRY_MS_MAX, RETRY_MS_MIN},
    model::{StreamId, StreamName},
    store::{FoundLink, StoreError, StoredSubscription},
    stream::StreamError,
};
use futures::future::BoxFuture;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Why subscriptions cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Key(#[from] super::BadKey),
    #[error(transparent)]
    Step(#[from] SubscriptionError),
}

/// A link about which only the stream itself can say more.
type Doubt = (Arc<Entry>, StreamName, StreamId);

impl Subscriptions {
    /// Loads everything, and lets requests in. `first` is the first id of streams of this run.
    ///
    /// # Errors
    /// The server stops.
    pub(super) async fn load(&self, first: StreamId) -> Result<(), SubscriptionError> {
        let (keys, doubts) = self.patiently(|| Box::pin(self.load_stored(first))).await?;
        // From here on changes are taken up, and nothing may be read from the store for all again.
        self.drain();
        for doubt in doubts {
            self.patiently(|| Box::pin(self.settle(doubt.clone()))).await?;
        }
        self.patiently(|| {
            Box::pin(async move {
                self.save_links().await?;
                Ok(self.parts.store.set_compared(first).await?)
            })
        })
        .await?;
        self.at_work(keys);
        Ok(())
    }

    /// Everything is loaded: lets requests in.
    pub(super) fn at_work(&self, keys: Keys) {
        let entries: Vec<Arc<Entry>> = self.registry().entries().cloned().collect();
        for entry in &entries {
            self.schedule(entry, &mut entry.inner());
        }
        if !entries.is_empty() {
            tracing::info!(subscriptions = entries.len(), "subscriptions are at work");
        }
        // Nobody else sets them.
        let _ = self.keys.set(keys);
    }

    /// Tries until it works.
    pub(super) async fn patiently<'a, T>(
        &'a self,
        work: impl Fn() -> BoxFuture<'a, Result<T, LoadError>>,
    ) -> Result<T, SubscriptionError> {
        let mut wait_ms = RETRY_MS_MIN;
        loop {
            match work().await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    tracing::warn!(%error, "cannot load the subscriptions; trying again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                () = self.stop.cancelled() => return Err(SubscriptionError::NotReady),
            }
            wait_ms = (wait_ms * 2).min(RETRY_MS_MAX);
        }
    }

    /// What the store has, with nothing of an attempt that failed.
    async fn load_stored(&self, first: StreamId) -> Result<(Keys, Vec<Doubt>), LoadError> {
        let keys = self.load_keys().await?;
        let entries = self.load_entries().await?;
        let doubts = self.load_links(&entries, &restore).await?;
        self.register(entries);
        self.compare(first).await?;
        Ok((keys, doubts))
    }

    /// Puts these in the place of any others.
    pub(super) fn register(&self, entries: BTreeMap<String, Arc<Entry>>) {
        let mut registry = self.registry_mut();
        let old = std::mem::take(&mut *registry);
        registry.follow(&old);
        entries.into_values().for_each(|entry| registry.insert(entry));
        if registry.len() == 0 {
            self.parts.commits.changes().watch(false);
        }
    }

    pub(super) async fn load_keys(&self) -> Result<Keys, LoadError> {
        let (signing, tokens) = Keys::generate()?;
        let signing = self.parts.store.secret(SIGNING, &signing).await?;
        let tokens = self.parts.store.secret(TOKENS, &tokens).await?;
        Ok(Keys::new(&signing, &tokens)?)
    }

    pub(super) async fn load_entries(&self) -> Result<BTreeMap<String, Arc<Entry>>, LoadError> {
        let mut entries = BTreeMap::new();
        for row in self.parts.store.subscriptions().await? {
            let StoredSubscription { id, config, state } = &row;
            let read = || {
                let id: SubscriptionId = SubscriptionId::kept(id).ok()?;
                let config = Config::kept(config.as_bytes()).ok()?;
                let state: State = serde_json::from_str(state).ok()?;
                let links = super::Links::default();
                Some(Entry::new(id, Subscription { config, state, links }, Phase::Live))
            };
            match read() {
                Some(entry) => drop(entries.insert(row.id, entry)),
                // It stays where it is: a later version may be able to read it.
                None => tracing::error!(id, "a subscription in the database cannot be read"),
            }
        }
        Ok(entries)
    }

    /// Goes through all links, and returns those about which `take` has a doubt.
    pub(super) async fn load_links<T>(
        &self,
        entries: &BTreeMap<String, Arc<Entry>>,
        take: &(dyn Fn(&Arc<Entry>, FoundLink) -> Option<T> + Sync),
    ) -> Result<Vec<T>, LoadError> {
        let (mut after, mut doubts) = ((String::new(), String::new()), Vec::new());
        loop {
            let store = &self.parts.store;
            let page = store.subscription_links((&after.0, &after.1), LIST_PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(doubts) };
            after = (last.subscription.clone(), last.link.stream.to_string());
            for found in page {
                if let Some(entry) = entries.get(&found.subscription) {
                    doubts.extend(take(entry, found));
                }
            }
        }
    }

    /// Shows the streams that have begun late in an earlier run to all subscriptions.
    async fn compare(&self, first: StreamId) -> Result<(), LoadError> {
        if self.registry().len() == 0 {
            return Ok(());
        }
        let mut next = self.parts.store.compared().await?;
        while next < first {
            let page = self.parts.store.list_since(next, LIST_PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            next = StreamId(last.id.0 + 1);
            let registry = self.registry();
            for stream in page {
                for entry in registry.entries() {
                    if registry.may_wake(entry, &stream.name) {
                        entry.see(&stream.name, Sight::At(stream.id, stream.tail));
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds out about a stream that the store did not know, or knew to be shorter than what was
    /// processed of it.
    async fn settle(&self, (entry, stream, life): Doubt) -> Result<(), LoadError> {
        match self.end_of(&stream).await? {
            Some((now, tail)) => {
                entry.see(&stream, Sight::At(now, tail));
                entry.inner().subscription.links.cut(&stream, now, tail);
            }
            None => {
                entry.see(&stream, Sight::Gone(life));
            }
        }
        Ok(())
    }

    /// Stores links that are not stored yet, so that they need not be found again.
    pub(super) async fn save_links(&self) -> Result<(), SubscriptionError> {
        let entries: Vec<Arc<Entry>> = self.registry().entries().cloned().collect();
        for entry in entries {
            let _turn = entry.turn.lock().await;
            let plan = entry.inner().live().ok().and_then(Subscription::unsaved);
            if let Some(plan) = plan {
                self.take(&entry, plan).await?;
            }
        }
        Ok(())
    }
}

/// Puts a link into its place. Returns it when there is a doubt about its stream.
fn restore(entry: &Arc<Entry>, found: FoundLink) -> Option<Doubt> {
    let FoundLink { link, stream, .. } = found;
    let mut inner = entry.inner();
    let (explicit, life, acked) = (link.explicit, link.life, link.acked);
    let name = link.stream;
    inner.subscription.links.restore(name.clone(), Link { explicit, life, acked, tail: acked });
    if let Some((id, tail)) = stream {
        drop(inner);
        entry.see(&name, Sight::At(id, tail));
    }
    let life = life?;
    let is_certain = stream.is_some_and(|(id, tail)| id == life && acked.bytes <= tail.bytes);
    (!is_certain).then(|| (entry.clone(), name, life))
}
