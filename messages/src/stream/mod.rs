//! Streams: what producers and readers do with them. It decides; it knows neither HTTP nor files
//! nor SQL.

mod cursor;
mod error;
mod list;
mod loader;

pub use cursor::{Cursor, Piece};
pub use error::StreamError;
pub use list::Listed;

use crate::{
    admission::{Decision, ReplacementRefusal, Request},
    budget::Budget,
    channel::{Channel, Status, WindowMemory, change_cost},
    committer::{Commits, Entry, Ticket, Trouble},
    limits::{CHANNEL_IDLE_MS, PAGES_BYTES_MAX, PATIENT_RETRY_MS, RECORD_OVERHEAD_BYTES},
    model::{
        Append, Change, Chunk, CloseReason, Create, Expected, Lengths, Offset, StreamId, StreamName,
    },
    store::Store,
};
use bytes::Bytes;
use dashmap::DashMap;
use loader::Loader;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::Instant,
};

/// Where a name has its channel, once it is loaded. The cell lets only one task load it.
type Slot = Arc<OnceCell<Arc<Channel>>>;

/// All streams of this server.
pub struct Streams {
    /// The live ones. Guards are held only to look or to put, never while a channel is locked by
    /// somebody who waits for the map.
    slots: DashMap<StreamName, Slot>,
    loader: Arc<Loader>,
    store: Arc<dyn Store>,
    commits: Arc<Commits>,
    budget: Budget,
    memory: Arc<WindowMemory>,
    next_id: AtomicU64,
    stream_bytes_max: u64,
    started: Instant,
    stopping: Arc<AtomicBool>,
    /// Bytes that all readers may hold of what they have read from the store.
    pages: Arc<Semaphore>,
}

/// What a producer adds at once.
#[derive(Clone, Debug)]
pub struct Addition {
    /// One record; empty for none.
    pub record: Bytes,
    /// Where the producer expects the stream to end.
    pub at: Option<Expected>,
    /// Close the stream if this server dies from here on.
    pub tied: bool,
    /// Close the stream behind the record.
    pub close: Option<CloseReason>,
}

impl Streams {
    /// Streams over a store and a journal, `start` being the number of this start on the store.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        commits: Arc<Commits>,
        budget: Budget,
        memory: Arc<WindowMemory>,
        start: u32,
        stream_bytes_max: u64,
    ) -> Self {
        Self {
            slots: DashMap::new(),
            loader: Loader::new(store.clone()),
            store,
            commits,
            budget,
            memory,
            next_id: AtomicU64::new(u64::from(start) << 32),
            stream_bytes_max,
            started: Instant::now(),
            stopping: Arc::default(),
            pages: Arc::new(Semaphore::new(PAGES_BYTES_MAX)),
        }
    }

    /// Puts in a channel that a replay has built, in place of any earlier one of its name.
    pub fn restore(&self, channel: Arc<Channel>) {
        let name = channel.name().clone();
        self.slots.insert(name, Arc::new(OnceCell::new_with(Some(channel))));
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn slot(&self, name: &StreamName) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return slot.clone();
        }
        self.slots.entry(name.clone()).or_default().clone()
    }

    /// The stream of a name.
    ///
    /// # Errors
    /// There is none, or the store does not say.
    pub async fn find(&self, name: &StreamName) -> Result<Arc<Channel>, StreamError> {
        let slot = self.slot(name);
        let found =
            slot.get_or_try_init(|| async { self.load(name).await?.ok_or(StreamError::NotFound) });
        let result = found.await.cloned();
        match &result {
            Ok(channel) => channel.touch(self.now_ms()),
            Err(_) => self.forget_empty(name, slot),
        }
        result
    }

    /// The stream of a name, created with `content_type` where there is none. Tells whether it was
    /// created; its creation may not be durable before the first append to it is.
    ///
    /// # Errors
    /// The store does not say whether there is one, or nothing can be created now.
    pub async fn find_or_create(
        &self,
        name: &StreamName,
        content_type: &str,
        tied: bool,
    ) -> Result<(Arc<Channel>, bool), StreamError> {
        let slot = self.slot(name);
        let mut created = false;
        let found = slot.get_or_try_init(|| async {
            if let Some(channel) = self.load(name).await? {
                return Ok(channel);
            }
            created = true;
            self.create(name, content_type, tied, None).await
        });
        let result = found.await.cloned();
        match &result {
            Ok(channel) => channel.touch(self.now_ms()),
            Err(_) => self.forget_empty(name, slot),
        }
        Ok((result?, created))
    }

    /// Begins a stream: a new one, or a new life of a name whose stream is closed.
    ///
    /// # Errors
    /// The name has an open stream, or nothing can be created now.
    pub async fn begin(
        &self,
        name: &StreamName,
        content_type: &str,
        tied: bool,
    ) -> Result<Arc<Channel>, StreamError> {
        loop {
            let (channel, created) = self.find_or_create(name, content_type, tied).await?;
            if created {
                return Ok(channel);
            }
            match self.create(name, content_type, tied, Some(&channel)).await {
                // Somebody else was faster: look at the new life.
                Err(StreamError::Replaced) => tokio::task::yield_now().await,
                result => return result,
            }
        }
    }

    async fn load(&self, name: &StreamName) -> Result<Option<Arc<Channel>>, StreamError> {
        let stored = self.loader.load(name).await?;
        Ok(stored.map(|stored| Arc::new(Channel::load(stored, self.memory.clone()))))
    }

    /// Queues the creation of a stream, in place of `old` where that is given.
    async fn create(
        &self,
        name: &StreamName,
        content_type: &str,
        tied: bool,
        old: Option<&Arc<Channel>>,
    ) -> Result<Arc<Channel>, StreamError> {
        self.check_trouble()?;
        let create = Create {
            name: name.clone(),
            content_type: content_type.into(),
            tied,
            replaces: old.map(|old| old.id()),
        };
        let id = StreamId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let channel = Arc::new(Channel::new(id, &create, self.memory.clone()));
        channel.touch(self.now_ms());
        let change = Change::Create(create);
        let room = self.budget.take(change_cost(&change)).await?;
        let entry = Entry { channel: channel.clone(), change, replaced: old.cloned() };
        let Some(old) = old else {
            self.commits.enqueue(entry)?;
            room.keep();
            return Ok(channel);
        };
        // Under the lock of the old life until the new one is in its place: whoever is refused
        // because of the replacement finds the new one.
        let mut state = old.writer();
        state.admit_replacement().map_err(|refusal| match refusal {
            ReplacementRefusal::Open => StreamError::Open,
            ReplacementRefusal::Replaced => StreamError::Replaced,
        })?;
        if let Err(failed) = self.commits.enqueue(entry) {
            state.replaced = false;
            return Err(failed.into());
        }
        room.keep();
        self.restore(channel.clone());
        Ok(channel)
    }

    /// Adds to a stream, closes it, or both. Returns where the stream ends behind it, once that is
    /// durable. Cancel safe: the addition happens whole or not at all, also when nobody waits.
    ///
    /// # Errors
    /// It did not happen; only after [`StreamError::JournalFailed`] that is unknown.
    pub async fn append(
        &self,
        channel: &Arc<Channel>,
        addition: Addition,
    ) -> Result<Offset, StreamError> {
        self.check_trouble()?;
        let Addition { record, at, tied, close } = addition;
        let room = self.budget.take(RECORD_OVERHEAD_BYTES + record.len()).await?;
        let records = u64::from(!record.is_empty());
        let request = Request { records, bytes: record.len() as u64, at, tied, close };
        let (decision, ticket) = {
            let mut state = channel.writer();
            let decision = state.admit(request, self.stream_bytes_max);
            let ticket = match decision {
                Decision::Accept { at, .. } => {
                    let lengths =
                        if records == 1 { Lengths::One } else { Lengths::Many([].into()) };
                    let chunk = Chunk { at, lengths, body: record };
                    let change = Change::Append(Append { chunk, tied: state.tied, close });
                    let entry = Entry { channel: channel.clone(), change, replaced: None };
                    let ticket = self.commits.enqueue(entry)?;
                    room.keep();
                    ticket
                }
                // These answers lean on changes that may still be on their way.
                Decision::Duplicate { .. } | Decision::Refuse(_) => self.commits.settled(),
            };
            (decision, ticket)
        };
        self.finish(channel, decision, ticket).await
    }

    /// As [`Streams::append`], but waits as long as there is no room: for producers that nobody
    /// could tell to come again.
    ///
    /// # Errors
    /// As there, except for [`StreamError::Overloaded`] and [`StreamError::JournalFull`].
    pub async fn append_patiently(
        &self,
        channel: &Arc<Channel>,
        addition: Addition,
    ) -> Result<Offset, StreamError> {
        loop {
            match self.append(channel, addition.clone()).await {
                Err(StreamError::Overloaded | StreamError::JournalFull) => {
                    tokio::time::sleep(Duration::from_millis(PATIENT_RETRY_MS)).await;
                }
                result => return result,
            }
        }
    }

    async fn finish(
        &self,
        channel: &Channel,
        decision: Decision,
        ticket: Ticket,
    ) -> Result<Offset, StreamError> {
        ticket.durable().await?;
        channel.touch(self.now_ms());
        match decision {
            Decision::Accept { next, .. } => Ok(next),
            Decision::Duplicate { tail } => Ok(tail),
            Decision::Refuse(refusal) => Err(refusal.into()),
        }
    }

    fn check_trouble(&self) -> Result<(), StreamError> {
        match self.commits.trouble() {
            None => Ok(()),
            Some(Trouble::Full) => Err(StreamError::JournalFull),
            Some(Trouble::Failed) => Err(StreamError::JournalFailed),
        }
    }

    /// A reader of `channel` from byte `position` on, and what could be said of the stream when it
    /// began. Waits until the creation of the stream is durable.
    ///
    /// # Errors
    /// The position does not exist, or the server stops.
    pub async fn read(
        &self,
        channel: Arc<Channel>,
        position: u64,
    ) -> Result<(Cursor, Status), StreamError> {
        if channel.status().is_none() {
            // Its creation is on its way, and nobody may see it before it is durable.
            self.commits.settled().durable().await?;
        }
        let (store, pages) = (self.store.clone(), self.pages.clone());
        let mut cursor = Cursor::new(channel, store, pages, self.stopping.clone());
        let status = cursor.begin(position)?;
        Ok((cursor, status))
    }

    /// Forgets the slot of a name for which nothing was found.
    fn forget_empty(&self, name: &StreamName, slot: Slot) {
        drop(slot);
        self.slots.remove_if(name, |_, slot| !slot.initialized() && Arc::strong_count(slot) == 1);
    }

    /// Unloads channels that nobody has used for a while. Everybody who does something with a
    /// channel holds it: readers, producers, the committer's queue, the flusher's list. So one
    /// that only the map holds is stored completely.
    pub fn sweep(&self) {
        let now_ms = self.now_ms();
        let full = self.memory.is_full();
        self.slots.retain(|_, slot| {
            let Some(channel) = slot.get() else {
                // A slot that nobody holds is of a name that nobody looks for any more.
                return Arc::strong_count(slot) > 1;
            };
            let idle = now_ms.saturating_sub(channel.used_ms()) > CHANNEL_IDLE_MS;
            let unload = idle && Arc::strong_count(slot) == 1 && Arc::strong_count(channel) == 1;
            if full && !unload {
                channel.trim(0);
            }
            !unload
        });
    }

    /// Streams that begin from here on have an identity of at least this.
    #[must_use]
    pub fn next_id(&self) -> StreamId {
        StreamId(self.next_id.load(Ordering::Relaxed))
    }

    /// How many channels are in memory.
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.slots.len()
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
        channels.iter().for_each(|channel| channel.wake());
    }
}
