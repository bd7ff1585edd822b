//! How a subscription begins.

use super::{
    Config, Delivery, Description, Hook, Moment, Sight, SubscriptionError, SubscriptionId,
    Subscriptions,
    entry::{Entry, Phase, beginning},
    view,
};
use crate::{
    limits::{LINKS_MAX, LIST_PAGE_ROWS, SUBSCRIPTIONS_MAX, WEBHOOKS_PER_USER_MAX},
    model::{Offset, StreamId, StreamName},
    store::{StoredLink, SubscriptionWrite},
    stream::StreamError,
};
use std::sync::Arc;

impl Subscriptions {
    /// Creates a subscription, or finds it as it was asked for. Returns whether it was created.
    /// Streams that exist already are linked where they end now.
    ///
    /// # Errors
    /// It exists and was asked to be something else, or cannot be created.
    pub async fn put(
        self: &Arc<Self>,
        id: SubscriptionId,
        config: Config,
        origin: String,
    ) -> Result<(bool, Description), SubscriptionError> {
        self.put_from(id, config, origin, None).await
    }

    /// As [`Subscriptions::put`]; where it is created, streams that it names are linked at `from`.
    ///
    /// # Errors
    /// As there.
    pub async fn put_from(
        self: &Arc<Self>,
        id: SubscriptionId,
        config: Config,
        origin: String,
        from: Option<Offset>,
    ) -> Result<(bool, Description), SubscriptionError> {
        if let Delivery::Webhook(url) = &config.delivery {
            self.parts.post.check(url)?;
        }
        let this = self.clone();
        let work = async move {
            let created = this.put_entry(&id, config, &origin, from).await?;
            Ok((created, this.describe(&id, &origin)?))
        };
        self.detached(work).await
    }

    async fn put_entry(
        &self,
        id: &SubscriptionId,
        config: Config,
        origin: &str,
        from: Option<Offset>,
    ) -> Result<bool, SubscriptionError> {
        loop {
            let (entry, is_new) = self.find_or_begin(id, &config, origin)?;
            let _turn = entry.turn.lock().await;
            if is_new {
                let built = self.build(&entry, from).await;
                if built.is_err() {
                    self.forget(&entry);
                }
                return built.map(|()| true);
            }
            let plan = match entry.inner().live() {
                // Its creation has failed, or it was deleted just now.
                Err(_) => continue,
                Ok(subscription) if subscription.config.hash() != config.hash() => {
                    return Err(SubscriptionError::Different);
                }
                Ok(subscription) => subscription.moved(origin),
            };
            if let Some(plan) = plan {
                self.take(&entry, plan).await?;
            }
            return Ok(false);
        }
    }

    fn find_or_begin(
        &self,
        id: &SubscriptionId,
        config: &Config,
        origin: &str,
    ) -> Result<(Arc<Entry>, bool), SubscriptionError> {
        let mut registry = self.registry_mut();
        if let Some(entry) = registry.get(id) {
            return Ok((entry.clone(), false));
        }
        if registry.len() >= SUBSCRIPTIONS_MAX {
            return Err(SubscriptionError::TooMany);
        }
        if let Some(hook) = Hook::of(id) {
            let others = registry.hooks(&hook.conversation).filter(|(one, _)| one.is_beside(&hook));
            if others.count() >= WEBHOOKS_PER_USER_MAX {
                return Err(SubscriptionError::TooManyHooks);
            }
        }
        let Moment { now_ms, chance } = self.moment();
        // Half of the bits of an id must be enough to tell two lives of it apart.
        let subscription = beginning(config.clone(), chance as u64 >> 1, now_ms, origin);
        let entry = Entry::new(id.clone(), subscription, Phase::Building(Vec::new()));
        registry.insert(entry.clone());
        self.parts.commits.changes().watch(true);
        Ok((entry, true))
    }

    /// Links what exists, stores the subscription, and lets it begin. What happens to streams
    /// meanwhile waits in the entry.
    async fn build(
        &self,
        entry: &Arc<Entry>,
        from: Option<Offset>,
    ) -> Result<(), SubscriptionError> {
        let (config, state) = {
            let subscription = &entry.inner().subscription;
            (subscription.config.clone(), subscription.state.clone())
        };
        self.begin_to_care(|stream| entry.cares_for(stream)).await?;
        let (mut links, mut sights) = (Vec::new(), Vec::new());
        for stream in &config.streams {
            let end = self.end_of(stream).await?;
            let acked = end.map_or(Offset::ZERO, |(_, tail)| from.unwrap_or(tail));
            sights.extend(end.map(|(life, tail)| (stream.clone(), Sight::At(life, tail))));
            let life = end.map(|(life, _)| life);
            links.push(StoredLink { stream: stream.clone(), explicit: true, life, acked });
        }
        self.backfill(entry, &config, &mut links).await?;
        let write = SubscriptionWrite::Create {
            config: config.normal_form(),
            state: serde_json::to_string(&state).unwrap_or_default(),
            links: links.clone(),
        };
        self.save(&entry.id, write).await.map_err(|_| SubscriptionError::NotStored)?;
        let mut inner = entry.inner();
        for StoredLink { stream, explicit, life, acked } in links {
            let link = super::Link { explicit, life, acked, tail: acked };
            inner.subscription.links.restore(stream, link);
        }
        if let Phase::Building(early) = std::mem::replace(&mut inner.phase, Phase::Live) {
            for (stream, sight) in sights.into_iter().chain(early) {
                inner.subscription.see(&stream, sight);
            }
        }
        self.schedule(entry, &mut inner);
        Ok(())
    }

    /// Adds links for all streams that fit the pattern.
    async fn backfill(
        &self,
        entry: &Entry,
        config: &Config,
        links: &mut Vec<StoredLink>,
    ) -> Result<(), SubscriptionError> {
        let Some(pattern) = &config.pattern else { return Ok(()) };
        let mut after: Option<StreamName> = None;
        loop {
            let prefix = pattern.literal_prefix();
            let page = self.parts.streams.list(prefix, after.as_ref(), LIST_PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.name.clone());
            for found in page {
                let named = config.streams.contains(&found.name);
                let may_wake = self.registry().may_wake(entry, &found.name);
                if may_wake && !named && config.matches(&found.name) {
                    let (life, acked) = (Some(found.id), found.status.tail);
                    links.push(StoredLink { stream: found.name, explicit: false, life, acked });
                }
            }
            if links.len() > LINKS_MAX {
                return Err(SubscriptionError::TooManyStreams);
            }
        }
    }

    /// Where a stream ends; `None` when there is none.
    pub(super) async fn end_of(
        &self,
        stream: &StreamName,
    ) -> Result<Option<(StreamId, Offset)>, StreamError> {
        match self.parts.streams.find(stream).await {
            Ok(channel) => Ok(channel.status().map(|status| (channel.id(), status.tail))),
            Err(StreamError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn describe(
        &self,
        id: &SubscriptionId,
        origin: &str,
    ) -> Result<Description, SubscriptionError> {
        let entry = self.entry(id)?;
        let inner = entry.inner();
        let origin = self.parts.public_url.as_deref().unwrap_or(origin);
        Ok(view::describe(id, inner.live()?, self.key_ring()?, origin))
    }
}
