//! Streams: what producers and readers do with them. It decides; it knows neither HTTP nor files
//! nor SQL.

mod append;
mod browse;
mod create;
mod cursor;
mod delete;
mod error;
mod fork;
mod list;
mod loader;
mod messages;
mod pace;
mod shared;

pub use append::{Addition, Appended, PendingAppend};
pub use browse::{Page, Shown, Sight};
pub use create::{Ensured, ForkRequest, NewStream};
pub use cursor::{AtHand, Cursor, Piece, Reach};
pub use error::StreamError;
pub use list::Listed;
pub use messages::records;
pub use shared::{Foresight, Planned, Said, Shared};

use crate::{
    admission::Over,
    budget::Budget,
    channel::{Channel, Status, WindowMemory},
    clock::Clock,
    committer::{Commits, Trouble},
    limits::{CHANNEL_IDLE_MS, PAGES_BYTES_MAX},
    model::{StoredStream, StreamId, StreamName},
    shared_log::{Scope, SharedLog},
    stats::Pipeline,
    store::{NodeStore, Readers, Store},
};
use dashmap::DashMap;
use futures::future::BoxFuture;
use loader::Loader;
use pace::Pace;
use shared::SharedGround;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::sync::{OnceCell, Semaphore};

/// Where a name has its channel, once it is loaded. The cell lets only one task load it.
type Slot = Arc<OnceCell<Arc<Channel>>>;

/// All streams of this server.
pub struct Streams {
    /// The live ones, and deleted ones until the store has forgotten them. Guards are held only to
    /// look or to put, never while a channel is locked by somebody who waits for the map.
    slots: DashMap<StreamName, Slot>,
    loader: Arc<Loader>,
    store: Arc<dyn Store>,
    commits: Arc<Commits>,
    budget: Budget,
    memory: Arc<WindowMemory>,
    clock: Arc<dyn Clock>,
    next_id: AtomicU64,
    stream_bytes_max: u64,
    stopping: AtomicBool,
    /// Bytes that all readers may hold of what they have read from the store.
    pages: Arc<Semaphore>,
    /// How fast they take it from there.
    pace: Pace,
    /// Where several nodes share a log: everything that is at work here, in place of the slots.
    shared: Option<Arc<Shared>>,
}

/// What streams stand on.
pub struct Ground {
    /// Where content lies in the end.
    pub store: Arc<dyn Store>,
    /// Where changes become durable.
    pub commits: Arc<Commits>,
    /// What may be acknowledged and not stored.
    pub budget: Budget,
    /// What may stay in memory.
    pub memory: Arc<WindowMemory>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The number of this start on the store.
    pub start: u32,
    /// Bytes that one stream may have.
    pub stream_bytes_max: u64,
}

impl Streams {
    /// Streams on `ground`.
    #[must_use]
    pub fn new(ground: Ground) -> Self {
        let Ground { store, commits, budget, memory, clock, start, stream_bytes_max } = ground;
        Self {
            slots: DashMap::new(),
            loader: Loader::new(store.clone()),
            store,
            commits,
            budget,
            memory,
            clock,
            next_id: AtomicU64::new(u64::from(start) << 32),
            stream_bytes_max,
            stopping: AtomicBool::new(false),
            pages: Arc::new(Semaphore::new(PAGES_BYTES_MAX)),
            pace: Pace::new(0),
            shared: None,
        }
    }

    /// The time of day, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// With readers that take at most `bytes_per_sec` from the store, all together; 0 for no limit.
    #[must_use]
    pub fn paced(mut self, bytes_per_sec: u64) -> Self {
        self.pace = Pace::new(bytes_per_sec);
        self
    }

    /// On a log that several nodes share, with streams of those that begin here from `start` on.
    #[must_use]
    pub fn sharing(mut self, log: Arc<dyn SharedLog>, nodes: Arc<dyn NodeStore>) -> Self {
        self.shared = Some(Shared::new(SharedGround {
            log,
            nodes,
            store: self.store.clone(),
            loader: self.loader.clone(),
            commits: self.commits.clone(),
            memory: self.memory.clone(),
            clock: self.clock.clone(),
            next_number: self.next_id.load(Ordering::Relaxed),
            stream_bytes_max: self.stream_bytes_max,
        }));
        self
    }

    /// What is shared with other nodes, if there are any.
    #[must_use]
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// Puts in a channel that a replay has built, in place of any earlier one of its name.
    pub fn restore(&self, channel: Arc<Channel>) {
        let name = channel.name().clone();
        self.slots.insert(name, Arc::new(OnceCell::new_with(Some(channel))));
    }

    fn slot(&self, name: &StreamName) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return slot.clone();
        }
        self.slots.entry(name.clone()).or_default().clone()
    }

    /// The stream of a name. Whether its life is over is seen by whoever does something with it.
    ///
    /// # Errors
    /// There is none, or the store does not say.
    pub async fn find(&self, name: &StreamName) -> Result<Arc<Channel>, StreamError> {
        let channel = self.find_any(name).await?;
        if !channel.may_expire() {
            return Ok(channel);
        }
        if !channel.is_expired(self.clock.now_ms()) || channel.writer().over.is_some() {
            return Ok(channel);
        }
        // Nobody may see it any more, also when that cannot be written down now.
        if let Err(error) = self.expire(&channel).await {
            tracing::debug!(%error, stream = %channel.name(), "expired, and cannot be deleted now");
            // Of one that is not durable, not even that can be said.
            return Err(channel.status().map_or(error, |_| StreamError::NotFound));
        }
        let over = channel.writer().over;
        match over {
            Some(Over::Hidden) => Err(StreamError::Hidden),
            Some(Over::Deleted | Over::Replaced) => Err(StreamError::NotFound),
            // Somebody has used it meanwhile.
            None => Ok(channel),
        }
    }

    /// As [`Streams::find`], for whoever appends. Where nodes share a log it may be a life that has ended
    /// elsewhere: an append is decided on the present one, so nobody needs to ask the log before. When it
    /// fails, [`Streams::instead_of`] tells whether that was so.
    ///
    /// # Errors
    /// There is none, or the store does not say.
    pub async fn find_to_append(&self, name: &StreamName) -> Result<Arc<Channel>, StreamError> {
        let known = self.shared.as_ref().and_then(|shared| shared.known(name));
        match known.filter(|channel| !channel.may_expire()) {
            Some(channel) => {
                channel.mark_used(self.clock.now_ms());
                Ok(channel)
            }
            None => self.find(name).await,
        }
    }

    /// The present life in the place of one that [`Streams::find_to_append`] has found, if that was
    /// over; or why there is none.
    pub async fn instead_of(&self, found: &Channel) -> Option<Result<Arc<Channel>, StreamError>> {
        self.shared.as_ref()?;
        let present = self.find(found.name()).await;
        let is_same = present.as_ref().is_ok_and(|present| present.id() == found.id());
        (!is_same).then_some(present)
    }

    /// The channel of a name that is in memory.
    fn loaded_channel(&self, name: &StreamName) -> Option<Arc<Channel>> {
        self.slots.get(name)?.get().cloned()
    }

    /// The stream of a name, also when its time is over.
    async fn find_any(&self, name: &StreamName) -> Result<Arc<Channel>, StreamError> {
        if let Some(shared) = &self.shared {
            return shared.look(name).await?.ok_or(StreamError::NotFound);
        }
        if let Some(channel) = self.loaded_channel(name) {
            channel.mark_used(self.clock.now_ms());
            return Ok(channel);
        }
        let slot = self.slot(name);
        let found =
            slot.get_or_try_init(|| async { self.load(name).await?.ok_or(StreamError::NotFound) });
        let result = found.await.cloned();
        match &result {
            Ok(channel) => channel.mark_used(self.clock.now_ms()),
            Err(_) => self.forget_empty(name, slot),
        }
        result
    }

    async fn load(&self, name: &StreamName) -> Result<Option<Arc<Channel>>, StreamError> {
        match self.loader.load(name).await? {
            None => Ok(None),
            Some(stored) => self.build(stored).await.map(Some),
        }
    }

    /// The channel of a stream that the store has. A fork waits for its source; sources were there
    /// before their forks, so nobody waits in a circle.
    fn build(&self, stored: StoredStream) -> BoxFuture<'_, Result<Arc<Channel>, StreamError>> {
        Box::pin(async move {
            let mut source = None;
            if let Some(fork) = &stored.fork {
                let found = self.find_any(&fork.source_name).await;
                source = match found {
                    Ok(found) if found.id() == fork.source => Some(found),
                    Ok(_) | Err(StreamError::NotFound) => return Err(StreamError::Damaged),
                    Err(error) => return Err(error),
                };
            }
            Ok(Arc::new(Channel::load(stored, source, self.memory.clone())))
        })
    }

    /// Remembers that a stream was read or written, where its life depends on it.
    fn touch(&self, channel: &Arc<Channel>) {
        if !channel.lives_by_use() {
            return;
        }
        channel.touch(self.clock.now_ms());
        if let Some(shared) = &self.shared {
            shared.touch(channel);
        } else if channel.outlives_row() {
            self.commits.mark_dirty(channel);
        }
    }

    fn check_trouble(&self) -> Result<(), StreamError> {
        match self.commits.trouble() {
            None => Ok(()),
            Some(Trouble::Full) => Err(StreamError::JournalFull),
            Some(Trouble::Failed) => Err(StreamError::JournalFailed),
        }
    }

    /// What can be said of a stream. Waits until its creation is durable. Does not count as a use.
    ///
    /// # Errors
    /// Its life is over.
    pub async fn status(&self, channel: &Channel) -> Result<Status, StreamError> {
        if channel.is_uncertain() {
            return Err(StreamError::LogUnavailable);
        }
        if let Some(status) = channel.status() {
            return Ok(status);
        }
        // Its creation or its end is on its way, and nobody may see either before it is durable.
        self.commits.settled().durable().await?;
        channel.status().ok_or_else(|| match channel.over() {
            Some(over) => over.into(),
            None => StreamError::JournalFailed,
        })
    }

    /// A reader of `channel` from byte `position` on, and what could be said of the stream when it
    /// began. Waits until the creation of the stream is durable.
    ///
    /// # Errors
    /// The position does not exist, or the life of the stream is over.
    pub async fn read(
        self: &Arc<Self>,
        channel: Arc<Channel>,
        position: u64,
    ) -> Result<(Cursor, Status), StreamError> {
        if channel.status().is_none() {
            self.status(&channel).await?;
        }
        self.touch(&channel);
        let mut cursor = Cursor::new(channel, self.clone());
        let status = cursor.begin(position)?;
        Ok((cursor, status))
    }

    /// Waits until everything that was admitted before is durable. An answer that leans on what may
    /// not be durable yet waits for this.
    ///
    /// # Errors
    /// It is not, and never will be in this process.
    pub async fn settled(&self) -> Result<(), StreamError> {
        Ok(self.commits.settled().durable().await?)
    }

    /// Waits until everything that is visible now is in the store, which is told to take it at once
    /// if this is to `hurry`. Cancel safe. It may take as long as the store is away.
    pub async fn all_stored(&self, hurry: bool) {
        match &self.shared {
            Some(shared) => shared.all_stored(Scope::Chat, hurry).await,
            None => self.commits.all_stored(hurry).await,
        }
    }

    /// Forgets the slot of a name for which nothing was found.
    fn forget_empty(&self, name: &StreamName, slot: Slot) {
        drop(slot);
        self.slots.remove_if(name, |_, slot| !slot.initialized() && Arc::strong_count(slot) == 1);
    }

    /// Unloads channels that nobody has used for a while. Everybody who does something with a
    /// channel holds it: readers, producers, the committer's queue, the flusher's list. So one
    /// that only the map holds is stored completely. Those that somebody is connected to are used.
    pub fn sweep(&self) {
        if let Some(shared) = &self.shared {
            shared.sweep();
        }
        let now_ms = self.clock.now_ms();
        let full = self.memory.is_full();
        let mut held = Vec::new();
        self.slots.retain(|_, slot| {
            let Some(channel) = slot.get() else {
                // A slot that nobody holds is of a name that nobody looks for any more.
                return Arc::strong_count(slot) > 1;
            };
            let idle = now_ms.saturating_sub(channel.used_ms()) > CHANNEL_IDLE_MS;
            let unheld = Arc::strong_count(slot) == 1 && Arc::strong_count(channel) == 1;
            // One whose creation failed with the journal stands before what it was to replace.
            let known = channel.status().is_some() || channel.over().is_some();
            let unload = idle && unheld && known;
            if full && !unload {
                channel.trim(0);
            }
            if channel.is_held() {
                held.push(channel.clone());
            }
            !unload
        });
        held.iter().for_each(|channel| self.touch(channel));
    }

    /// Streams that begin from here on have an identity of at least this.
    #[must_use]
    pub fn next_id(&self) -> StreamId {
        StreamId(self.next_id.load(Ordering::Relaxed))
    }

    /// How many channels are in memory.
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.shared.as_ref().map_or(self.slots.len(), |shared| shared.loaded())
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> &Arc<Pipeline> {
        self.commits.stats()
    }

    /// The connections for reading that the store has.
    #[must_use]
    pub fn store_readers(&self) -> Option<Readers<'_>> {
        self.store.readers()
    }

    /// How many streams wait for the flusher; of several nodes, for this one.
    #[must_use]
    pub fn unstored(&self) -> usize {
        self.commits.stats().taken.get() as usize + self.commits.unstored()
    }

    /// Bytes that the store does not have yet, and how many these may be.
    #[must_use]
    pub fn unstored_bytes(&self) -> (usize, usize) {
        self.budget.used()
    }

    /// Bytes of content in memory, and how many may stay there when the store has them.
    #[must_use]
    pub fn window_bytes(&self) -> (usize, usize) {
        self.memory.used()
    }

    /// What keeps appends from being taken, if anything does.
    ///
    /// # Errors
    /// The trouble.
    pub fn ready(&self) -> Result<(), StreamError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(StreamError::Stopping);
        }
        self.check_trouble()
    }

    /// Ends all readers that have read everything there is, and all that ever will.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let channels: Vec<_> =
            self.slots.iter().filter_map(|slot| slot.value().get().cloned()).collect();
        let shared = self.shared.as_ref().map(|shared| shared.channels()).unwrap_or_default();
        channels.iter().chain(&shared).for_each(|channel| channel.wake());
    }
}
