//! The live half of a stream: its state for writers, its recent content and a wake-up for readers.

mod visible;
mod window;

use crate::{
    admission::State,
    limits::{RECORD_OVERHEAD_BYTES, STREAM_OVERHEAD_BYTES},
    model::{
        Append, Change, CloseReason, Create, Flush, Offset, StoredStream, StreamId, StreamName,
    },
};
use bytes::Bytes;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};
use tokio::sync::broadcast;
use visible::Visible;

/// One life of one stream, in memory while it is used.
///
/// Writers lock [`Channel::writer`], where positions are assigned. The committer moves what has
/// become durable to the visible half, from which readers and the flusher take it. So there are
/// three positions, and always `stored ≤ durable ≤ assigned`.
#[derive(Debug)]
pub struct Channel {
    id: StreamId,
    name: StreamName,
    content_type: Arc<str>,
    writer: Mutex<State>,
    visible: Mutex<Visible>,
    /// Says only that there is something new; readers take it by position. So one that lags
    /// misses nothing, and a slot is all the memory that a slow one costs.
    wake: broadcast::Sender<()>,
    used_ms: AtomicU64,
    /// On the list of changed channels.
    noticed: AtomicBool,
    memory: Arc<WindowMemory>,
}

/// What there is for a reader at its position.
#[derive(Debug)]
pub enum Glimpse {
    /// The next bytes.
    Data(Bytes),
    /// They have left memory: the store has them.
    Stored,
    /// Nothing yet, but there may be more.
    Tail,
    /// Nothing, and nothing will come.
    End(CloseReason),
    /// The name has begun a new life and the content of this one is gone.
    Replaced,
}

/// What can be said about a stream from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where its durable content ends.
    pub tail: Offset,
    /// Why it is closed; `None` while it is open.
    pub closed: Option<CloseReason>,
}

impl Channel {
    /// A stream that begins. Readers see it once its creation is published.
    #[must_use]
    pub fn new(id: StreamId, create: &Create, memory: Arc<WindowMemory>) -> Self {
        let stream = StoredStream {
            id,
            name: create.name.clone(),
            content_type: create.content_type.clone(),
            tail: Offset::ZERO,
            tied: create.tied,
            closed: None,
        };
        Self::with(stream, false, memory)
    }

    /// A stream that the store has.
    #[must_use]
    pub fn load(stream: StoredStream, memory: Arc<WindowMemory>) -> Self {
        Self::with(stream, true, memory)
    }

    fn with(stream: StoredStream, exists: bool, memory: Arc<WindowMemory>) -> Self {
        let visible = Visible::new(&stream, exists);
        let StoredStream { id, name, content_type, tail, tied, closed } = stream;
        Self {
            id,
            name,
            content_type,
            writer: Mutex::new(State { tail, closed, tied, replaced: false }),
            visible: Mutex::new(visible),
            wake: broadcast::Sender::new(1),
            used_ms: AtomicU64::new(0),
            noticed: AtomicBool::new(false),
            memory,
        }
    }

    /// The identity of this life.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The name of the stream.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// The content type, as its creator gave it.
    #[must_use]
    pub fn content_type(&self) -> &Arc<str> {
        &self.content_type
    }

    /// The state for writers. What is admitted must be enqueued for commit before the guard is
    /// dropped, so that positions reach the journal in order.
    pub fn writer(&self) -> MutexGuard<'_, State> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_visible<T>(&self, act: impl FnOnce(&mut Visible) -> T) -> T {
        let mut visible = self.visible.lock().unwrap_or_else(PoisonError::into_inner);
        let before = visible.window_bytes();
        let result = act(&mut visible);
        self.memory.change(before, visible.window_bytes());
        result
    }

    /// Remembers that somebody used the channel at `now_ms`, on the clock of its keeper.
    pub fn touch(&self, now_ms: u64) {
        self.used_ms.store(now_ms, Relaxed);
    }

    /// When the channel was last used.
    #[must_use]
    pub fn used_ms(&self) -> u64 {
        self.used_ms.load(Relaxed)
    }

    /// Goes on the list of changed channels. Returns whether it was not there yet.
    #[must_use]
    pub fn notice(&self) -> bool {
        !self.noticed.swap(true, AcqRel)
    }

    /// Goes off that list. Whoever looks at the channel after this sees what it was noticed for.
    pub fn unnotice(&self) {
        self.noticed.swap(false, AcqRel);
    }

    /// Readers wait here. Subscribe first and look with [`Channel::read`] then: what is published
    /// after the look wakes the subscription.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<()> {
        self.wake.subscribe()
    }

    /// Lets everybody who waits look again.
    pub fn wake(&self) {
        // Without readers there is nobody to tell.
        let _ = self.wake.send(());
    }

    /// What there is at byte `position`.
    #[must_use]
    pub fn read(&self, position: u64) -> Glimpse {
        self.with_visible(|visible| visible.glimpse(position))
    }

    /// The durable position and whether it is the last; `None` until the creation is durable.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.with_visible(|visible| visible.status())
    }

    /// Makes a durable change visible. Returns whether the flusher has to be told about the
    /// channel; readers are woken by [`Channel::wake`], once for all changes of a batch.
    #[must_use]
    pub fn publish(&self, change: Change, cost: usize) -> bool {
        self.with_visible(|visible| visible.publish(change, cost))
    }

    /// Makes the end of this life visible. Returns as [`Channel::publish`] does.
    #[must_use]
    pub fn publish_replaced(&self) -> bool {
        self.with_visible(Visible::publish_replaced)
    }

    /// Whether the name has begun a new life.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.with_visible(|visible| visible.is_replaced())
    }

    /// Takes up a change from the journal of an earlier run, unless it is here already.
    /// Returns what it costs; `None` for a repetition.
    ///
    /// # Errors
    /// The change does not fit behind what is there: journal and store are not of one history.
    pub fn replay(&self, change: Change) -> Result<Option<usize>, HistoryMismatch> {
        let mut state = self.writer();
        match &change {
            Change::Create(_) if self.status().is_some() => return Ok(None),
            Change::Create(_) => {}
            Change::Append(Append { chunk, tied, close }) => {
                let (end, tail) = (chunk.end(), state.tail);
                let is_here = end.bytes < tail.bytes
                    || (end == tail && (close.is_none() || state.closed.is_some()));
                if is_here {
                    return Ok(None);
                }
                if chunk.at != tail || state.closed.is_some() {
                    return Err(HistoryMismatch { id: self.id, tail, at: chunk.at });
                }
                *state = State { tail: end, closed: *close, tied: *tied, replaced: false };
            }
        }
        let cost = change_cost(&change);
        let _ = self.publish(change, cost);
        Ok(Some(cost))
    }

    /// What the flusher has to write next; `None` when the store has everything.
    #[must_use]
    pub fn flush(&self) -> Option<Flush> {
        let stream = StoredStream {
            id: self.id,
            name: self.name.clone(),
            content_type: self.content_type.clone(),
            tail: Offset::ZERO,
            tied: false,
            closed: None,
        };
        self.with_visible(|visible| visible.flush(stream))
    }

    /// The store has what `flush` says. At most `keep` bytes of what is stored stay in memory.
    /// Returns what the budget gets back.
    pub fn flushed(&self, flush: Flush, keep: usize) -> usize {
        self.with_visible(|visible| visible.flushed(flush, keep))
    }

    /// Takes the word of the store for what it has, after a write whose outcome is unknown.
    pub fn resync(&self, row: Option<&StoredStream>) {
        self.with_visible(|visible| visible.resync(row));
    }

    /// Where the durable content ends.
    #[must_use]
    pub fn durable(&self) -> Offset {
        self.with_visible(|visible| visible.end())
    }

    /// Goes off the list of the flusher unless there is more to write. Returns what the budget
    /// gets back for changes that never needed a row.
    #[must_use]
    pub fn settle(&self) -> Option<usize> {
        self.with_visible(Visible::settle)
    }

    /// Whether the rows of the stream should be merged now: `many` were added, or it is complete.
    #[must_use]
    pub fn take_merge(&self, many: u32) -> bool {
        self.with_visible(|visible| visible.take_merge(many))
    }

    /// Keeps at most `keep` bytes of what is stored in memory.
    pub fn trim(&self, keep: usize) {
        self.with_visible(|visible| visible.trim(keep));
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let visible = self.visible.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.memory.change(visible.window_bytes(), 0);
    }
}

/// Journal and store disagree about the past of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal continues stream {} at {at}, but the database has it up to {tail}: \
     they do not belong together. Start with the --data-dir and the database that were used last",
    id.0
)]
pub struct HistoryMismatch {
    /// The stream.
    pub id: StreamId,
    /// Where the store has it end.
    pub tail: Offset,
    /// Where the journal goes on.
    pub at: Offset,
}

/// What a change takes from the budget until it is stored.
#[must_use]
pub fn change_cost(change: &Change) -> usize {
    match change {
        Change::Create(create) => STREAM_OVERHEAD_BYTES + create.name.as_str().len(),
        Change::Append(append) => RECORD_OVERHEAD_BYTES + append.chunk.body.len(),
    }
}

/// The bytes that all windows hold together, and how many they may.
#[derive(Debug)]
pub struct WindowMemory {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl WindowMemory {
    /// Windows that may hold `bytes_max` bytes of what is stored already.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), bytes_max })
    }

    fn change(&self, before: usize, after: usize) {
        if after > before {
            self.bytes.fetch_add(after - before, Relaxed);
        } else if after < before {
            self.bytes.fetch_sub(before - after, Relaxed);
        }
    }

    /// What one stream may keep of its stored content: half of everything, nothing when
    /// memory is full.
    #[must_use]
    pub fn keep_bytes(&self) -> usize {
        if self.bytes.load(Relaxed) > self.bytes_max { 0 } else { self.bytes_max / 2 }
    }

    /// Whether memory is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.load(Relaxed) > self.bytes_max
    }
}
