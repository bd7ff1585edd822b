//! The live half of a stream: its state for writers, its recent content and a wake-up for readers.

mod frame;
mod inherited;
mod lifetime;
mod memory;
mod shared;
mod visible;
mod window;

pub use frame::{Frame, FrameKey, FrameReader, held_key};
pub use memory::WindowMemory;

use crate::{
    admission::{Over, State},
    limits::{RECORD_OVERHEAD_BYTES, STREAM_OVERHEAD_BYTES},
    model::{
        Append, Change, CloseReason, Create, Delete, Flush, Fork, Lifetime, Offset, StoredStream,
        StreamId, StreamName, Writer, Writers, holds_messages,
    },
};
use bytes::Bytes;
use frame::LastFrame;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool, AtomicU64,
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
    messages: bool,
    lifetime: Lifetime,
    source: Option<Source>,
    writer: Mutex<State>,
    visible: Mutex<Visible>,
    frame: Mutex<LastFrame>,
    /// Says only that there is something new; readers take it by position. So one that lags
    /// misses nothing, and a slot is all the memory that a slow one costs.
    wake: broadcast::Sender<()>,
    /// When the channel was last used at all.
    used_ms: AtomicU64,
    /// When the stream was last read or written: it may live as long as that happens.
    touched_ms: AtomicU64,
    /// When the row lets it go away; 0 for a row that does not say.
    stored_expires_ms: AtomicU64,
    /// When other nodes let it go away, as far as they were told.
    shared_expires_ms: AtomicU64,
    /// On the list of changed channels.
    noticed: AtomicBool,
    /// Other nodes may know more of it, and cannot be asked.
    uncertain: AtomicBool,
    memory: Arc<WindowMemory>,
}

/// The stream that a fork branches off from. It stays in memory with the fork.
#[derive(Debug)]
struct Source {
    channel: Arc<Channel>,
    fork: Fork,
}

/// What there is for a reader at its position.
#[derive(Debug)]
pub enum Glimpse {
    /// The next bytes.
    Data(Part),
    /// They have left memory: the store has them.
    Stored,
    /// Nothing yet, but there may be more.
    Tail,
    /// Nothing, and nothing will come.
    End(CloseReason),
    /// The life of the stream is over.
    Over(Over),
    /// What was here is gone; what there is begins there.
    Trimmed(Offset),
}

/// Some bytes of a stream, whole records where it was begun at the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The bytes, at least one.
    pub bytes: Bytes,
    /// The position behind them.
    pub end: Offset,
    /// There is nothing more at the moment.
    pub last: bool,
    /// Nothing more will come.
    pub closed: Option<CloseReason>,
    /// [`Channel::erasures`] when it was read.
    pub erasures: u64,
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
    /// A stream that begins at `now_ms`. Readers see it once its creation is published. A fork comes
    /// with its source.
    #[must_use]
    pub fn new(
        id: StreamId,
        create: &Create,
        source: Option<Arc<Self>>,
        now_ms: u64,
        memory: Arc<WindowMemory>,
    ) -> Self {
        let channel = Self::with(StoredStream::new(id, create), false, source, memory);
        channel.used_ms.store(now_ms, Relaxed);
        channel.touched_ms.store(now_ms, Relaxed);
        channel
    }

    /// A stream that the store has. A fork comes with its source.
    #[must_use]
    pub fn load(
        stream: StoredStream,
        source: Option<Arc<Self>>,
        memory: Arc<WindowMemory>,
    ) -> Self {
        Self::with(stream, true, source, memory)
    }

    fn with(
        stream: StoredStream,
        exists: bool,
        source: Option<Arc<Self>>,
        memory: Arc<WindowMemory>,
    ) -> Self {
        let (visible, state) = (Visible::new(&stream, exists), State::new(&stream));
        let StoredStream { id, name, content_type, lifetime, expires_ms, fork, .. } = stream;
        debug_assert_eq!(fork.as_ref().map(|fork| fork.source), source.as_ref().map(|s| s.id));
        let touched_ms = match (lifetime, expires_ms) {
            (Lifetime::Idle { secs }, Some(ms)) => ms.saturating_sub(secs.saturating_mul(1000)),
            _ => 0,
        };
        Self {
            id,
            name,
            messages: holds_messages(&content_type),
            content_type,
            lifetime,
            source: source.zip(fork).map(|(channel, fork)| Source { channel, fork }),
            writer: Mutex::new(state),
            visible: Mutex::new(visible),
            frame: Mutex::default(),
            wake: broadcast::Sender::new(1),
            used_ms: AtomicU64::new(0),
            touched_ms: AtomicU64::new(touched_ms),
            stored_expires_ms: AtomicU64::new(expires_ms.unwrap_or(0)),
            shared_expires_ms: AtomicU64::new(0),
            noticed: AtomicBool::new(false),
            uncertain: AtomicBool::new(false),
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

    /// Whether it holds JSON messages instead of bytes.
    #[must_use]
    pub fn holds_messages(&self) -> bool {
        self.messages
    }

    /// When it goes away by itself.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// What it branches off from.
    #[must_use]
    pub fn fork(&self) -> Option<&Fork> {
        self.source.as_ref().map(|source| &source.fork)
    }

    /// The state for writers. What is admitted must be enqueued for commit before the guard is
    /// dropped, so that positions reach the journal in order. Of two channels, the one with the
    /// smaller identity is locked first.
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

    /// How many readers are connected.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.wake.receiver_count()
    }

    /// Lets everybody who waits look again.
    pub fn wake(&self) {
        // Without readers there is nobody to tell.
        let _ = self.wake.send(());
    }

    /// The frame for `key`, encoded unless it was the last that was asked for.
    pub fn frame(&self, key: FrameKey, encode: impl FnOnce() -> Frame) -> Frame {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner).get(key, encode)
    }

    /// The durable position and whether it is the last; `None` until the creation is durable and
    /// when the life of the stream is over.
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

    /// Whether nothing of this life is to be kept.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.with_visible(|visible| visible.is_gone())
    }

    /// Takes up a change from the journal of an earlier run, unless it is here already.
    /// Returns what it costs; `None` for a repetition.
    ///
    /// # Errors
    /// The change does not fit behind what is there: journal and store are not of one history.
    pub fn replay(&self, change: Change) -> Result<Option<usize>, HistoryMismatch> {
        let mut state = self.writer();
        match &change {
            Change::Create(_) => {
                if self.with_visible(|visible| visible.is_created()) {
                    return Ok(None);
                }
            }
            Change::Append(append) => {
                if !self.replay_append(&mut state, append)? {
                    return Ok(None);
                }
            }
            Change::Delete(Delete::Hidden) if state.over.is_some() => return Ok(None),
            Change::Delete(delete) => {
                state.over = Some(match delete {
                    Delete::Hidden => Over::Hidden,
                    Delete::Whole => Over::Deleted,
                });
            }
        }
        let cost = change_cost(&change);
        let _ = self.publish(change, cost);
        Ok(Some(cost))
    }

    /// Returns whether the append is news.
    fn replay_append(&self, state: &mut State, append: &Append) -> Result<bool, HistoryMismatch> {
        let Append { chunk, tied, close, writer } = append;
        let (end, tail) = (chunk.end(), state.tail);
        let is_here =
            end.bytes < tail.bytes || (end == tail && (close.is_none() || state.closed.is_some()));
        if is_here {
            return Ok(false);
        }
        if chunk.at != tail || state.closed.is_some() {
            return Err(HistoryMismatch { id: self.id, tail, at: chunk.at });
        }
        (state.tail, state.closed, state.tied) = (end, *close, *tied);
        if !writer.is_nobody() {
            let writers = state.writers.get_or_insert_default();
            writers.remember(writer, end, close.is_some());
        }
        Ok(true)
    }

    /// What the flusher has to write next, at most `bytes_max` bytes of content; `None` when the store
    /// has everything.
    #[must_use]
    pub fn flush(&self, bytes_max: usize) -> Option<Flush> {
        let stream = StoredStream {
            id: self.id,
            name: self.name.clone(),
            content_type: self.content_type.clone(),
            tail: Offset::ZERO,
            tied: false,
            closed: None,
            lifetime: self.lifetime,
            expires_ms: self.row_expires_ms(),
            fork: self.fork().cloned(),
            hidden: false,
            forks: 0,
            writers: Writers::default(),
            version: 0,
        };
        let due_ms = self.due_expires_ms();
        self.with_visible(|visible| visible.flush(stream, due_ms, bytes_max))
    }

    /// The store has what `flush` says. At most `keep` bytes of what is stored stay in memory.
    /// Returns what the budget gets back.
    pub fn flushed(&self, flush: Flush, keep: usize) -> usize {
        self.stored_expires_ms.store(flush.stream.expires_ms.unwrap_or(0), Relaxed);
        self.with_visible(|visible| visible.flushed(flush, keep))
    }

    /// Where the content ends that the store has.
    #[must_use]
    pub fn stored(&self) -> Offset {
        self.with_visible(|visible| visible.stored())
    }

    /// Whether the store has all content that is visible.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.with_visible(|visible| visible.is_stored())
    }

    /// How often content of the stream may have become another: what was read before the last time may
    /// have been erased since.
    #[must_use]
    pub fn erasures(&self) -> u64 {
        self.with_visible(|visible| visible.erasures())
    }

    /// What lies before this can be read no more, because it was to go away after some time.
    #[must_use]
    pub fn low(&self) -> Offset {
        self.with_visible(|visible| visible.low())
    }

    /// Says of a stream that was loaded what is gone; see [`Channel::low`]. It never goes back.
    pub fn set_low(&self, low: Offset) {
        self.with_visible(|visible| visible.set_low(low));
    }

    /// Takes the word of the store for what it has, after a write whose outcome is unknown.
    pub fn resync(&self, row: Option<&StoredStream>) {
        self.with_visible(|visible| visible.resync(row));
    }

    /// Puts the channel on the list of the flusher, for more than a change that is published. Returns
    /// whether it was not on it.
    #[must_use]
    pub fn mark_dirty(&self) -> bool {
        self.with_visible(Visible::mark_dirty)
    }

    /// Where the durable content ends.
    #[must_use]
    pub fn durable(&self) -> Offset {
        self.with_visible(|visible| visible.tail())
    }

    /// Goes off the list of the flusher unless there is more to write. Returns what the budget
    /// gets back for changes that never needed a row.
    #[must_use]
    pub fn settle(&self) -> Option<usize> {
        self.with_visible(|visible| visible.settle(self.due_expires_ms()))
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
        Change::Append(Append { chunk, writer, .. }) => {
            append_cost(chunk.records() as usize, chunk.body.len(), writer)
        }
        Change::Delete(_) => RECORD_OVERHEAD_BYTES,
    }
}

/// What an append takes from the budget until it is stored.
#[must_use]
pub fn append_cost(records: usize, bytes: usize, writer: &Writer) -> usize {
    let Writer { stamp, seq } = writer;
    let texts = [stamp.as_ref().map(|stamp| &stamp.producer), seq.as_ref()];
    let writer =
        texts.into_iter().flatten().map(|text| RECORD_OVERHEAD_BYTES + text.len()).sum::<usize>();
    let lengths = if records > 1 { records * size_of::<u32>() } else { 0 };
    RECORD_OVERHEAD_BYTES + bytes + lengths + writer
}
