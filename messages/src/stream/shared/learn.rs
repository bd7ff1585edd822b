//! How a line learns what others have done: from the log, and from the store where the log does not go
//! back far enough.

use super::{
    Shared,
    ask::Step,
    line::{Place, Standing},
};
use crate::{
    admission::Over,
    channel::Channel,
    limits::{LOG_BEHIND_MS, LOG_PATIENCE_MS, LOG_READ_BYTES_MAX, LOG_RETRY_MS},
    model::{Change, Create, Delete, Fork, StoredStream, StreamId, StreamName},
    shared_log::{self, Claimed, Head, LogError, Logged},
    stream::StreamError,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// An addition of this node of which nobody knows whether it has happened.
pub(super) struct Attempt {
    pub origin: u64,
    pub steps: Vec<Step>,
}

/// A change on its way to a channel.
struct Applied {
    life: StreamId,
    change: Change,
    /// This node has added it.
    is_own: bool,
}

impl Shared {
    /// Takes up everything that has happened to a name, `head` being what the log says, if that was
    /// asked already.
    pub(super) async fn learn(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        head: Option<Head>,
    ) -> Result<(), StreamError> {
        self.learn_of(name, standing, head, None).await.map(drop)
    }

    /// As [`Shared::learn`]. Returns whether an attempt has happened.
    pub(super) async fn learn_of(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        head: Option<Head>,
        attempt: Option<&Attempt>,
    ) -> Result<bool, StreamError> {
        let mut happened = false;
        let mut known = head;
        let began = Instant::now();
        let until = began + Duration::from_millis(LOG_PATIENCE_MS);
        loop {
            let head = match known.take() {
                Some(head) => Some(head),
                None => self.head(name).await?,
            };
            let Some(head) = head else {
                self.learn_cold(name, standing).await?;
                return Ok(happened);
            };
            match self.catch_up(name, standing, head, attempt, &mut happened).await {
                Ok(true) => {
                    self.mind(standing, head);
                    standing.is_certain();
                    return Ok(happened);
                }
                Ok(false) => {}
                // What was taken from the store and from the log were not of one moment.
                Err(StreamError::Damaged) if standing.channel.is_none() => {
                    *standing = Standing::default();
                }
                Err(error) => return Err(error),
            }
            if Instant::now() > until {
                tracing::error!(stream = %name, ?head, "the log and the database do not fit together");
                return Err(StreamError::Damaged);
            }
            if standing.ahead && began.elapsed() > Duration::from_millis(LOG_BEHIND_MS) {
                self.mend(name, standing, head).await?;
            }
            // The store is being written at this moment.
            sleep(Duration::from_millis(LOG_RETRY_MS)).await;
        }
    }

    async fn head(&self, name: &StreamName) -> Result<Option<Head>, StreamError> {
        let head = self.log.head(name).await;
        self.note_down(matches!(head, Err(LogError::Unavailable(_))));
        head.map_err(|error| self.trouble(&error))
    }

    /// The log knows nothing of the name: the store has all of it.
    async fn learn_cold(
        &self,
        name: &StreamName,
        standing: &mut Standing,
    ) -> Result<(), StreamError> {
        standing.hot = false;
        // A name stays hot for a while behind every change. So for that long nothing can have happened
        // behind the back of whoever has found it cold.
        let fresh = Duration::from_millis(self.log.terms().hot_ms / 2);
        if standing.loaded && standing.asked.is_some_and(|asked| asked.elapsed() < fresh) {
            standing.is_certain();
            return Ok(());
        }
        let asked = Instant::now();
        let row = self.loader.load(name).await?;
        self.take_row(standing, row).await?;
        standing.asked = Some(asked);
        standing.is_certain();
        Ok(())
    }

    /// The log does not answer: what the store has is better than nothing.
    pub(super) async fn learn_from_store(
        &self,
        name: &StreamName,
        standing: &mut Standing,
    ) -> Result<(), StreamError> {
        let row = self.loader.load(name).await?;
        // One that is here and has no row is just not stored yet.
        if row.is_some() || !standing.loaded {
            self.take_row(standing, row).await?;
        }
        // What the store does not know may be there nevertheless.
        let channel = standing.channel.as_ref().ok_or_else(|| {
            standing.loaded = false;
            StreamError::LogUnavailable
        })?;
        channel.set_uncertain(true);
        Ok(())
    }

    /// Claims a name that is cold as far as this node knows, and takes up what the store says of it then.
    /// There is no claim afterwards if it is hot.
    pub(super) async fn claim(
        &self,
        name: &StreamName,
        standing: &mut Standing,
    ) -> Result<(), StreamError> {
        let claim = self.attempt_number();
        let claimed = self.log.claim(name, claim).await.map_err(|error| self.trouble(&error))?;
        let claim = match claimed {
            Claimed::As(claim) => claim,
            Claimed::Hot(head) => return self.learn(name, standing, Some(head)).await,
        };
        // After the claim, so that it still holds when the claim is used.
        let made = Instant::now();
        let row = self.loader.load(name).await?;
        self.take_row(standing, row).await?;
        standing.hot = false;
        (standing.asked, standing.claim) = (Some(made), Some((claim, made)));
        Ok(())
    }

    /// Goes on from what the store says, if that is further than what is here.
    async fn take_row(
        &self,
        standing: &mut Standing,
        row: Option<StoredStream>,
    ) -> Result<(), StreamError> {
        let (life, version) = row.as_ref().map_or((StreamId(0), 0), |row| (row.id, row.version));
        let is_same = standing.loaded && life == standing.life;
        if is_same && version <= standing.version {
            return Ok(());
        }
        // A life that has ended and left no row.
        let is_over = |channel: &Arc<Channel>| channel.is_gone();
        if row.is_none() && standing.channel.as_ref().is_some_and(is_over) {
            (standing.life, standing.version, standing.loaded) = (life, version, true);
            standing.channel = None;
            return Ok(());
        }
        let present = standing.channel.take();
        if let Some(row) = row {
            standing.channel = Some(match present {
                Some(channel) if is_same => {
                    self.foresee_stored(&channel, &row).await;
                    channel.jump(&row);
                    self.tell(&channel);
                    channel
                }
                other => {
                    self.lose(other);
                    let source = self.source(row.fork.as_ref()).await?;
                    let loaded = Arc::new(Channel::load(row, source, self.memory.clone()));
                    loaded.mark_used(self.clock.now_ms());
                    loaded
                }
            });
        } else {
            self.lose(present);
        }
        (standing.life, standing.version, standing.loaded) = (life, version, true);
        standing.stored = version;
        standing.ends.clear();
        standing.ended.clear();
        Ok(())
    }

    /// A life that is not the present one any more, although nobody has said how it ended.
    pub(super) fn lose(&self, channel: Option<Arc<Channel>>) {
        if let Some(channel) = channel {
            channel.writer().over.get_or_insert(Over::Replaced);
            let _ = channel.publish_replaced();
            self.tell(&channel);
            self.could_not_foresee(channel.name());
        }
    }

    /// The stream that a life branches off from.
    async fn source(&self, fork: Option<&Fork>) -> Result<Option<Arc<Channel>>, StreamError> {
        let Some(fork) = fork else { return Ok(None) };
        let found = self.look_inside(&fork.source_name).await?;
        match found {
            Some(found) if found.id() == fork.source => Ok(Some(found)),
            _ => Err(StreamError::Damaged),
        }
    }

    /// As [`Shared::look`], within the work for another name. Sources began before their forks, so
    /// nobody waits in a circle.
    fn look_inside<'a>(
        &'a self,
        name: &'a StreamName,
    ) -> BoxFuture<'a, Result<Option<Arc<Channel>>, StreamError>> {
        let this = self.this.upgrade();
        Box::pin(async move {
            match this {
                Some(this) => this.look(name).await,
                None => Err(StreamError::Stopping),
            }
        })
    }

    /// Takes up what the log has behind what is here, up to `head`. Returns whether that was possible:
    /// where the log does not go back so far, the store is about to have the rest.
    async fn catch_up(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        head: Head,
        attempt: Option<&Attempt>,
        happened: &mut bool,
    ) -> Result<bool, StreamError> {
        if !standing.loaded {
            self.take_stored(name, standing, head).await?;
        }
        if standing.version > head.version && !self.is_ahead(name, standing, head).await? {
            return Ok(false);
        }
        while standing.version < head.version {
            let before = standing.version;
            let read = self.log.read(name, before, LOG_READ_BYTES_MAX).await;
            for Logged { version, change } in read.map_err(|error| self.trouble(&error))? {
                if version != standing.version + 1 {
                    break;
                }
                match self.take_up(standing, version, &change, attempt).await {
                    Ok(is_attempt) => *happened |= is_attempt,
                    // It stands on what is gone by now, and so must be what it has begun.
                    Err(StreamError::Damaged) if version <= head.stored => break,
                    Err(error) => return Err(error),
                }
            }
            if standing.version == before {
                self.take_stored(name, standing, head).await?;
            }
            // Nothing further is to be had; and what is further back would only lead here again.
            if standing.version <= before {
                return Ok(false);
            }
        }
        Ok(standing.life == head.life || standing.version > head.version)
    }

    /// Goes on from what the store has. Where that is nothing, every life up to what `head` says to be
    /// stored has ended, whether or not the log still has the changes.
    async fn take_stored(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        head: Head,
    ) -> Result<(), StreamError> {
        let row = self.loader.load(name).await?;
        self.take_row(standing, row).await?;
        if standing.channel.is_none() && standing.version < head.stored {
            (standing.life, standing.version) = (head.life, head.stored);
        }
        Ok(())
    }

    /// Takes up what another node has told, if that fits.
    pub(super) async fn hear(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        head: Head,
        changes: &[Bytes],
    ) {
        if !standing.loaded || head.version < standing.version {
            return;
        }
        let first = head.version + 1 - changes.len() as u64;
        if head.version > standing.version {
            let result = if first > standing.version + 1 || changes.is_empty() {
                self.learn(name, standing, None).await
            } else {
                self.take_up_told(standing, first, changes).await
            };
            if let Err(error) = result {
                tracing::debug!(%error, stream = %name, "cannot take up what another node has told");
                if let Some(this) = self.this.upgrade() {
                    this.look_until_known(vec![name.clone()]);
                }
                return;
            }
        }
        if standing.version >= head.version {
            self.mind(standing, head);
        }
    }

    async fn take_up_told(
        &self,
        standing: &mut Standing,
        first: u64,
        changes: &[Bytes],
    ) -> Result<(), StreamError> {
        for (version, change) in (first..).zip(changes) {
            if version > standing.version {
                self.take_up(standing, version, change, None).await?;
            }
        }
        Ok(())
    }

    /// Takes up the next change of the log. Returns whether it is of an attempt of this node.
    async fn take_up(
        &self,
        standing: &mut Standing,
        version: u64,
        change: &Bytes,
        attempt: Option<&Attempt>,
    ) -> Result<bool, StreamError> {
        let decoded = shared_log::decode(change).ok_or_else(|| {
            tracing::error!(life = standing.life.0, version, "a change in Redis makes no sense");
            StreamError::Damaged
        })?;
        let (origin, life, change) = decoded;
        let is_own = self.is_own(origin);
        let is_new = matches!(change, Change::Create(_));
        if !is_new && standing.life != life {
            // It began in the store; see `mend`.
            return self.take_up_stored(standing, version, life).await.map(|()| false);
        }
        let own = attempt.filter(|attempt| attempt.origin == origin);
        let channel = match &change {
            Change::Create(create) => {
                let mut steps = own.iter().flat_map(|own| &own.steps);
                match steps.find(|step| step.channel.id() == life) {
                    Some(step) => Some(step.channel.clone()),
                    None => Some(self.newborn(life, create).await?),
                }
            }
            Change::Append(_) | Change::Delete(_) => standing.channel.clone(),
        };
        self.apply(standing, version, Applied { life, change, is_own }, channel)?;
        Ok(own.is_some())
    }

    async fn take_up_stored(
        &self,
        standing: &mut Standing,
        version: u64,
        life: StreamId,
    ) -> Result<(), StreamError> {
        let rows = self.store.streams(&[life]).await.map_err(|error| {
            tracing::warn!(%error, "cannot look a stream up");
            StreamError::StoreUnavailable
        })?;
        self.take_row(standing, rows.into_iter().next()).await?;
        if standing.version < version {
            tracing::error!(life = life.0, version, "a change in Redis is of no known stream");
            return Err(StreamError::Damaged);
        }
        Ok(())
    }

    async fn newborn(&self, life: StreamId, create: &Create) -> Result<Arc<Channel>, StreamError> {
        let source = self.source(create.fork.as_ref()).await?;
        let (now_ms, memory) = (self.clock.now_ms(), self.memory.clone());
        Ok(Arc::new(Channel::new(life, create, source, now_ms, memory)))
    }

    /// Takes up what this node has added behind `version`.
    pub(super) fn take_up_own(&self, standing: &mut Standing, version: u64, steps: Vec<Step>) {
        for (version, Step { channel, change }) in (version + 1..).zip(steps) {
            let applied = Applied { life: channel.id(), change, is_own: true };
            if let Err(error) = self.apply(standing, version, applied, Some(channel)) {
                tracing::error!(%error, "what this node has added does not fit");
                standing.loaded = false;
            }
        }
    }

    fn apply(
        &self,
        standing: &mut Standing,
        version: u64,
        applied: Applied,
        channel: Option<Arc<Channel>>,
    ) -> Result<(), StreamError> {
        let Applied { life, change, is_own } = applied;
        let channel = channel.filter(|channel| channel.id() == life).ok_or(StreamError::Damaged)?;
        if matches!(change, Change::Create(_)) {
            self.replace(standing, version, &channel);
        }
        let ends = change == Change::Delete(Delete::Whole);
        if let Change::Append(append) = &change {
            self.foresee(&channel, &append.chunk, is_own);
        }
        channel.replay(change).map_err(|mismatch| {
            tracing::error!(%mismatch, stream = %channel.name(), version, "a change does not fit");
            StreamError::Damaged
        })?;
        channel.set_version(version);
        let status = channel.status();
        let closed = status.is_some_and(|status| status.closed.is_some());
        standing.ends.push_back(Place { version, life, tail: channel.durable(), closed });
        if ends {
            standing.ended.push((version, channel.clone()));
        }
        (standing.life, standing.version) = (life, version);
        self.tell(&channel);
        Ok(())
    }

    /// Another life begins.
    fn replace(&self, standing: &mut Standing, version: u64, new: &Arc<Channel>) {
        let Some(old) = standing.channel.replace(new.clone()) else { return };
        if old.id() == new.id() {
            return;
        }
        let is_known = standing.ended.iter().any(|(_, ended)| ended.id() == old.id());
        old.writer().over = Some(Over::Replaced);
        let _ = old.publish_replaced();
        self.tell(&old);
        if !is_known {
            standing.ended.push((version, old));
        }
    }

    /// Tells readers, and whoever wants to know what changes.
    fn tell(&self, channel: &Arc<Channel>) {
        channel.wake();
        self.commits.changes().note(std::slice::from_ref(channel));
    }
}
