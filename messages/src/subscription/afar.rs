//! What happens on other nodes, for the one that works on subscriptions.
//!
//! It is told of every name that comes to have something for the database ([`Shared::unstored`]). A name
//! that somebody cares for is watched until the database has all of it; then its next change is told
//! again. When something may have been missed, everything that is linked, and every stream that a
//! pattern may fit, is compared with the database and the log, as when this node begins to work. That
//! costs time that grows with these streams, and goes on beside everything else.

use super::{
    Ack, Keys, Sight, Subscription, SubscriptionError, Subscriptions, entry::Entry,
    links::is_before, load::LoadError, path,
};
use crate::{
    channel::Channel,
    limits::{
        AFAR_LOOKS_MAX, AFAR_NAMES_MAX, AFAR_ROUND_MS, LIST_PAGE_ROWS, RETRY_MS_MAX, RETRY_MS_MIN,
    },
    model::{Offset, StreamId, StreamName},
    store::{FoundLink, StreamEntry},
    stream::{Shared, StreamError},
};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, broadcast::error::RecvError};

/// What is known of other nodes.
pub(super) struct Afar {
    shared: Arc<Shared>,
    heard: Mutex<Heard>,
    news: Notify,
    watched: Mutex<HashSet<StreamName>>,
}

/// What has not been looked at yet.
#[derive(Default)]
struct Heard {
    names: HashSet<StreamName>,
    missed: bool,
}

impl Heard {
    fn add(&mut self, names: impl IntoIterator<Item = StreamName>) {
        self.names.extend(names);
        if self.names.len() > AFAR_NAMES_MAX {
            self.names.clear();
            self.missed = true;
        }
    }
}

impl Afar {
    pub fn new(shared: Arc<Shared>) -> Self {
        let (heard, watched) = (Mutex::default(), Mutex::default());
        Self { shared, heard, news: Notify::new(), watched }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self) -> MutexGuard<'_, HashSet<StreamName>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to be looked at, once more or for the first time.
    fn hear(&self, names: impl IntoIterator<Item = StreamName>, missed: bool) {
        let mut heard = self.heard();
        heard.missed |= missed;
        heard.add(names);
        drop(heard);
        self.news.notify_one();
    }

    /// Lets go of names that have nothing for the database. Whatever happens to them next is told.
    async fn let_go(&self) -> Result<(), StreamError> {
        let unstored: HashSet<StreamName> =
            self.shared.unstored_names().await?.into_iter().collect();
        let mut watched = self.watched();
        watched.retain(|name| {
            let stays = unstored.contains(name);
            if !stays {
                self.shared.unwatch(name);
            }
            stays
        });
        Ok(())
    }
}

impl Subscriptions {
    /// As [`Subscriptions::load`], where other nodes have worked before, and others write.
    pub(super) async fn load_afar(
        self: &Arc<Self>,
        afar: &Arc<Afar>,
    ) -> Result<(), SubscriptionError> {
        let heard = afar.shared.unstored();
        self.patiently(|| Box::pin(async { Ok(afar.shared.watch_all(true).await?) })).await?;
        let (this, afar) = (self.clone(), afar.clone());
        self.tasks.spawn({
            let afar = afar.clone();
            async move { this.listen(&afar, heard).await }
        });
        let keys = self.patiently(|| Box::pin(self.load_rows())).await?;
        // Seen by this node when it may have known less than those who worked before.
        let changed = self.parts.commits.changes().take();
        let changed: Vec<StreamName> = changed.iter().map(|found| found.name().clone()).collect();
        self.patiently(|| {
            Box::pin(async {
                self.look_at(&afar, changed.clone()).await?;
                self.look_everywhere(&afar).await
            })
        })
        .await?;
        self.drain();
        self.patiently(|| Box::pin(async { Ok(self.save_links().await?) })).await?;
        self.at_work(keys);
        let this = self.clone();
        self.tasks.spawn(async move { this.look_around(&afar).await });
        Ok(())
    }

    /// Subscriptions and links, whose streams are still to be looked at.
    async fn load_rows(&self) -> Result<Keys, LoadError> {
        let keys = self.load_keys().await?;
        let entries = self.load_entries().await?;
        self.load_links::<()>(&entries, &|entry, FoundLink { link, .. }| {
            let (explicit, life, acked) = (link.explicit, link.life, link.acked);
            let link_here = super::Link { explicit, life, acked, tail: acked };
            entry.inner().subscription.links.restore(link.stream, link_here);
            None
        })
        .await?;
        self.register(entries);
        Ok(keys)
    }

    async fn listen(
        &self,
        afar: &Afar,
        mut told: tokio::sync::broadcast::Receiver<Option<StreamName>>,
    ) {
        loop {
            let told = tokio::select! {
                told = told.recv() => told,
                () = self.stop.cancelled() => return,
            };
            match told {
                Ok(Some(name)) => afar.hear([name], false),
                Ok(None) | Err(RecvError::Lagged(_)) => afar.hear([], true),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Looks at what was heard of, until it is stopped.
    async fn look_around(self: &Arc<Self>, afar: &Arc<Afar>) {
        let round = Duration::from_millis(AFAR_ROUND_MS);
        let mut rounds = tokio::time::interval(round);
        let mut wait_ms = RETRY_MS_MIN;
        loop {
            let is_round = tokio::select! {
                () = afar.news.notified() => false,
                _ = rounds.tick() => true,
                () = self.stop.cancelled() => return,
            };
            let Heard { names, missed } = std::mem::take(&mut *afar.heard());
            let looked = async {
                self.look_at(afar, names.clone()).await?;
                if missed {
                    self.look_everywhere(afar).await?;
                }
                if is_round {
                    afar.let_go().await?;
                }
                Ok::<(), LoadError>(())
            };
            let Err(error) = looked.await else {
                wait_ms = RETRY_MS_MIN;
                continue;
            };
            tracing::warn!(%error, "cannot see what other nodes have done; trying again");
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                () = self.stop.cancelled() => return,
            }
            wait_ms = (wait_ms * 2).min(RETRY_MS_MAX);
            afar.hear(names, missed);
        }
    }

    /// Ends all watching, after everything else.
    pub(super) async fn look_away(&self) {
        let Some(afar) = &self.afar else { return };
        afar.watched().drain().for_each(|name| afar.shared.unwatch(&name));
        if let Err(error) = afar.shared.watch_all(false).await {
            tracing::debug!(%error, "this node is still told of all names");
        }
    }

    /// Watches those of these names that somebody cares for.
    async fn look_at(
        &self,
        afar: &Afar,
        names: impl IntoIterator<Item = StreamName>,
    ) -> Result<(), StreamError> {
        let cared_for: Vec<StreamName> =
            names.into_iter().filter(|name| self.is_cared_for(name)).collect();
        let looks = stream::iter(cared_for).map(|name| self.look(afar, name));
        looks.buffer_unordered(AFAR_LOOKS_MAX).try_collect().await
    }

    async fn look(&self, afar: &Afar, name: StreamName) -> Result<(), StreamError> {
        afar.watched().insert(name.clone());
        let found = afar.shared.watch(&name).await?;
        self.show(&name, found.as_ref());
        Ok(())
    }

    fn is_cared_for(&self, name: &StreamName) -> bool {
        let mut interests = self.interests();
        !interests.of(&self.registry(), name).is_empty()
    }

    /// Shows a stream as it is, as far as this node knows, which only ever goes on.
    fn show(&self, name: &StreamName, found: Option<&Arc<Channel>>) {
        let mut interests = self.interests();
        let registry = self.registry();
        let interest = interests.of(&registry, name);
        let present = found.and_then(|channel| Some((channel.id(), channel.status()?.tail)));
        for entry in &interest.woken {
            let sight = match present {
                Some((life, tail)) => Some(Sight::Now(life, tail)),
                // Whatever life it is linked in.
                None => entry.life(name).map(Sight::Gone),
            };
            let mut is_news = sight.is_some_and(|sight| entry.see(name, sight));
            if let Some((life, tail)) = present {
                is_news |= entry.inner().subscription.links.cut(name, life, tail);
            }
            if is_news {
                self.schedule(entry, &mut entry.inner());
            }
        }
        for entry in interest.announcing.iter().filter(|entry| entry.is_waiting_for(name)) {
            self.schedule(entry, &mut entry.inner());
        }
    }

    /// Watches what somebody else may be changing at this moment, for somebody who did not care for it
    /// before.
    pub(super) async fn begin_to_care(
        &self,
        cares: impl Fn(&StreamName) -> bool,
    ) -> Result<(), StreamError> {
        let Some(afar) = &self.afar else { return Ok(()) };
        let names = afar.shared.unstored_names().await?;
        self.look_at(afar, names.into_iter().filter(cares)).await
    }

    /// Looks at streams of which more was processed, by a worker that has read it on another node, than
    /// is known here.
    pub(super) async fn catch_up(&self, entry: &Entry, acks: &[Ack]) -> Result<(), StreamError> {
        let Some(afar) = &self.afar else { return Ok(()) };
        let is_ahead = |ack: &Ack| {
            let (name, at) = (path(&ack.stream).ok()?, ack.offset.parse::<Offset>().ok()?);
            let inner = entry.inner();
            let link = inner.live().ok()?.links.get(&name)?;
            let is_ahead = is_before(link.tail, at);
            is_ahead.then_some(name)
        };
        let names: Vec<StreamName> = acks.iter().filter_map(is_ahead).collect();
        self.look_at(afar, names).await
    }

    /// Compares everything that subscriptions may care for with what this node knows. What is the same
    /// life is taken from the rows of the database; all else is asked of the stream itself.
    async fn look_everywhere(&self, afar: &Afar) -> Result<(), LoadError> {
        let mut doubts: BTreeSet<StreamName> = BTreeSet::new();
        doubts.extend(afar.shared.unstored_names().await?);
        let entries: BTreeMap<String, Arc<Entry>> = {
            let registry = self.registry();
            registry.entries().map(|entry| (entry.id.to_string(), entry.clone())).collect()
        };
        let found = self.load_links(&entries, &|entry, found| {
            let FoundLink { link, stream, .. } = found;
            (!entry.sees_stored(&link.stream, stream)).then_some((entry.clone(), link.stream))
        });
        doubts.extend(found.await?.into_iter().map(|(_, name)| name));
        for (prefix, entries) in prefixes(entries.values()) {
            self.look_through(&prefix, &entries, &mut doubts).await?;
        }
        self.look_at(afar, doubts).await?;
        for entry in entries.values() {
            self.schedule(entry, &mut entry.inner());
        }
        Ok(())
    }

    /// Goes through all stored streams whose names begin like this, and compares each with the patterns
    /// of `entries`.
    async fn look_through(
        &self,
        prefix: &str,
        entries: &[Arc<Entry>],
        doubts: &mut BTreeSet<StreamName>,
    ) -> Result<(), LoadError> {
        let mut after: Option<StreamName> = None;
        loop {
            let page = self.parts.store.list(prefix, after.as_ref(), LIST_PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.name.clone());
            let registry = self.registry();
            for StreamEntry { id, name, tail, .. } in page {
                let is_doubtful = |entry: &&Arc<Entry>| {
                    entry.matches(&name)
                        && registry.may_wake(entry, &name)
                        && !entry.sees_stored(&name, Some((id, tail)))
                };
                // Each of them sees it.
                if entries.iter().filter(is_doubtful).count() > 0 {
                    doubts.insert(name);
                }
            }
        }
    }
}

/// What the names begin with that patterns may fit, each beginning once, and whose patterns these are.
fn prefixes<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> Vec<(String, Vec<Arc<Entry>>)> {
    let prefix = |entry: &'a Arc<Entry>| {
        let Subscription { config, .. } = &entry.inner().subscription;
        let pattern = config.pattern.as_ref()?;
        Some((pattern.literal_prefix().to_owned(), entry.clone()))
    };
    let mut all: Vec<(String, Arc<Entry>)> = entries.filter_map(prefix).collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut shortest: Vec<(String, Vec<Arc<Entry>>)> = Vec::new();
    for (prefix, entry) in all {
        match shortest.last_mut() {
            // In order, so what begins like another comes right behind it.
            Some((first, entries)) if prefix.starts_with(&*first) => entries.push(entry),
            _ => shortest.push((prefix, vec![entry])),
        }
    }
    shortest
}

impl Entry {
    fn matches(&self, name: &StreamName) -> bool {
        self.inner().subscription.config.matches(name)
    }

    /// The life in which it has linked a stream.
    fn life(&self, name: &StreamName) -> Option<StreamId> {
        self.inner().live().ok()?.links.get(name)?.life
    }

    /// Takes up what a row says. Returns whether that is all there is to know: neither is it a stream
    /// that it could be linked to and is not, nor another life than that of the link.
    fn sees_stored(&self, name: &StreamName, stored: Option<(StreamId, Offset)>) -> bool {
        let link = match self.inner().live() {
            Ok(subscription) => subscription.links.get(name).copied(),
            Err(_) => return true,
        };
        match (link, stored) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(link), stored) if link.life != stored.map(|(life, _)| life) => false,
            (Some(link), Some((life, tail))) => {
                self.see(name, Sight::At(life, tail));
                // More may have been processed than the row knows, and than there is.
                link.acked.bytes <= tail.bytes
            }
            (Some(_), None) => true,
        }
    }
}
