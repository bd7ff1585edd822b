//! What readers and the flusher may see of a stream: everything here is durable.

use super::{Part, Status, window::Window};
use crate::{
    admission::Over,
    model::{
        Append, Change, ChatWrite, Chunk, CloseReason, Delete, Flush, Offset, Producer,
        StoredStream, Writer, Writers,
    },
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// The visible half of a channel. `stored ≤ durable`, and the window has all between them.
#[derive(Debug)]
pub(super) struct Visible {
    window: Window,
    pub(super) stored: Offset,
    /// What lies before was to go away, and is gone.
    low: Offset,
    /// See [`Visible::erasures`].
    erasures: u64,
    /// The creation is durable.
    created: bool,
    closed: Option<CloseReason>,
    tied: bool,
    /// How its life ended. With [`Over::Hidden`] the content stays for others.
    over: Option<Over>,
    /// What the row of the store says; `None` while there is none.
    pub(super) row: Option<Row>,
    /// What the store knows of writers.
    pub(super) stored_writers: Writers,
    /// Who wrote what the store does not know yet, and where that ends.
    pub(super) wrote: VecDeque<Wrote>,
    /// On the list of the flusher.
    dirty: bool,
    /// What the changes that wait for the flusher have taken from the budget.
    cost: usize,
    /// Rows of content added to the store and not merged yet.
    rows: u32,
    /// Where nodes share a log: the last change there that is visible here.
    pub(super) version: u64,
    /// Once these are stored, what lies before them has to be read anew. In order.
    pub(super) erases: VecDeque<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    tail: Offset,
    tied: bool,
    closed: Option<CloseReason>,
    hidden: bool,
    expires_ms: Option<u64>,
    version: u64,
}

impl Row {
    pub(super) fn of(stream: &StoredStream) -> Self {
        let StoredStream { tail, tied, closed, hidden, expires_ms, version, .. } = *stream;
        Self { tail, tied, closed, hidden, expires_ms, version }
    }
}

#[derive(Debug)]
pub(super) struct Wrote {
    pub(super) end: Offset,
    pub(super) closes: bool,
    pub(super) writer: Writer,
}

impl Wrote {
    /// Whether this belongs to a stream that ends at `tail` and is `closed`.
    pub(super) fn is_within(&self, tail: Offset, closed: bool) -> bool {
        self.end.bytes < tail.bytes || (self.end == tail && (!self.closes || closed))
    }
}

impl Visible {
    /// A stream whose creation is not durable yet, or one that the store `exists` in already.
    pub fn new(stream: &StoredStream, exists: bool) -> Self {
        let StoredStream { tail, tied, closed, .. } = *stream;
        Self {
            window: Window::new(tail),
            stored: tail,
            low: Offset::ZERO,
            erasures: 0,
            created: exists,
            closed,
            tied,
            over: stream.hidden.then_some(Over::Hidden),
            row: exists.then(|| Row::of(stream)),
            stored_writers: stream.writers.clone(),
            wrote: VecDeque::new(),
            dirty: false,
            cost: 0,
            rows: 0,
            version: stream.version,
            erases: VecDeque::new(),
        }
    }

    /// What comes from `position` on: `None` when it has left memory; no bytes at the end.
    pub fn part(&mut self, position: u64, bytes_max: usize) -> Option<Part> {
        let (bytes, end) = self.window.read(position, bytes_max)?;
        let last = end == self.window.end();
        Some(Part {
            bytes,
            end,
            last,
            closed: self.closed.filter(|_| last),
            erasures: self.erasures,
        })
    }

    pub fn chunk_at(&self, position: u64) -> Option<Chunk> {
        self.window.chunk_at(position)
    }

    pub fn over(&self) -> Option<Over> {
        self.over
    }

    pub fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    pub fn status(&self) -> Option<Status> {
        let live = self.created && self.over.is_none();
        live.then(|| Status { tail: self.window.end(), closed: self.closed })
    }

    pub fn is_created(&self) -> bool {
        self.created
    }

    pub fn window_bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Takes up a durable change. Returns whether the flusher has to be told.
    pub fn publish(&mut self, change: Change, cost: usize) -> bool {
        match change {
            Change::Create(_) => self.created = true,
            Change::Append(Append { chunk, tied, close, writer }) => {
                self.window.push(chunk);
                self.tied = tied;
                self.closed = close;
                if !writer.is_nobody() {
                    let (end, closes) = (self.window.end(), close.is_some());
                    self.wrote.push_back(Wrote { end, closes, writer });
                }
            }
            Change::Delete(Delete::Hidden) => self.over = Some(Over::Hidden),
            Change::Delete(Delete::Whole) => self.end(Over::Deleted),
        }
        self.cost += cost;
        self.mark_dirty()
    }

    /// Takes up the end of this life. Returns whether the flusher has to be told.
    pub fn publish_replaced(&mut self) -> bool {
        self.end(Over::Replaced);
        self.mark_dirty()
    }

    fn end(&mut self, over: Over) {
        self.over = Some(over);
        self.window = Window::new(self.window.end());
        self.wrote.clear();
    }

    /// Puts the stream on the list of the flusher. Returns whether it was not on it. There is nothing
    /// to write of one whose creation is not durable.
    pub fn mark_dirty(&mut self) -> bool {
        self.created && !std::mem::replace(&mut self.dirty, true)
    }

    /// Whether nothing of the stream is to be kept.
    pub fn is_gone(&self) -> bool {
        matches!(self.over, Some(Over::Replaced | Over::Deleted))
    }

    /// Whether the row says everything, with a stream that lives until `expires_ms` at least.
    fn row_is_current(&self, expires_ms: Option<u64>) -> bool {
        let Some(row) = self.row else {
            return self.is_gone();
        };
        let hidden = self.over == Some(Over::Hidden);
        let Self { tied, closed, version, .. } = *self;
        let written = Row { tail: self.window.end(), tied, closed, hidden, version, ..row };
        !self.is_gone() && row == written && expires_ms <= row.expires_ms && self.wrote.is_empty()
    }

    /// What the store lacks, at most `bytes_max` bytes at a time; `None` for nothing.
    pub fn flush(
        &self,
        stream: StoredStream,
        expires_ms: Option<u64>,
        bytes_max: usize,
    ) -> Option<Flush> {
        if self.row_is_current(expires_ms) {
            return None;
        }
        let chunks = self.window.chunks_from(self.stored, bytes_max);
        let tail = chunks.last().map_or(self.stored, Chunk::end);
        let complete = tail == self.window.end();
        let closed = self.closed.filter(|_| complete);
        let bytes: usize = chunks.iter().map(|chunk| chunk.body.len()).sum();
        let Writers { producers, seq } = self.writers_at(tail, closed.is_some());
        Some(Flush {
            stream: StoredStream {
                tail,
                tied: self.tied,
                closed,
                hidden: self.over == Some(Over::Hidden),
                writers: Writers { producers: HashMap::new(), seq },
                version: self.version,
                ..stream
            },
            from: self.row.map(|row| row.tail),
            from_version: self.row.map_or(0, |row| row.version),
            chunks,
            producers: producers.into_iter().collect(),
            remove: self.is_gone(),
            writes: Vec::new(),
            transient: false,
            cost: if complete { self.cost } else { bytes.min(self.cost) },
        })
    }

    /// The producers that the store does not know as they are at `tail`, and the last sequence there.
    fn writers_at(&self, tail: Offset, closed: bool) -> Writers {
        let mut writers =
            Writers { producers: HashMap::new(), seq: self.stored_writers.seq.clone() };
        for Wrote { end, closes, writer } in
            self.wrote.iter().take_while(|wrote| wrote.is_within(tail, closed))
        {
            if let Some(stamp) = &writer.stamp
                && !writers.producers.contains_key(&stamp.producer)
                && let Some(known) = self.stored_writers.producers.get(&stamp.producer)
            {
                writers.producers.insert(stamp.producer.clone(), known.clone());
            }
            writers.remember(writer, *end, *closes);
        }
        writers
    }

    /// The store has what `flush` says. At most `keep` bytes of what is stored stay in memory.
    /// Returns what the budget gets back.
    pub fn flushed(&mut self, flush: Flush, keep: usize) -> usize {
        self.row = (!flush.remove).then(|| Row::of(&flush.stream));
        self.stored = flush.stream.tail;
        self.rows = self.rows.saturating_add(flush.chunks.len() as u32);
        flush.writes.iter().filter_map(ChatWrite::low).for_each(|low| self.set_low(low));
        let erases = flush.writes.iter().any(ChatWrite::erases);
        self.window.replace(flush.chunks);
        if erases {
            self.forget_stored();
        } else {
            self.trim(keep);
        }
        self.stored_writers(flush.producers, flush.stream.writers.seq);
        let closed = flush.stream.closed.is_some();
        while self.wrote.front().is_some_and(|wrote| wrote.is_within(self.stored, closed)) {
            self.wrote.pop_front();
        }
        self.cost -= flush.cost;
        flush.cost
    }

    fn stored_writers(&mut self, producers: Vec<(Arc<str>, Producer)>, seq: Option<Arc<str>>) {
        self.stored_writers.producers.extend(producers);
        self.stored_writers.seq = seq;
    }

    /// Takes the word of the store for what it has, after a write whose outcome is unknown. A word
    /// that cannot be is not taken: the next write is refused then.
    pub fn resync(&mut self, row: Option<&StoredStream>) {
        let known =
            |tail: Offset| tail.bytes >= self.stored.bytes && tail.bytes <= self.window.end().bytes;
        // A row can be gone only because it was to be removed; to insert it anew would leave a hole.
        let is_missing = row.is_none() && self.row.is_some() && !self.is_gone();
        if is_missing || row.is_some_and(|row| !known(row.tail)) {
            return;
        }
        // What is known of writers is written once more, which changes nothing.
        self.row = row.map(Row::of);
        if let Some(row) = row.filter(|row| row.tail.bytes > self.stored.bytes) {
            self.stored = row.tail;
            // Nobody knows any more what that flush has erased.
            self.forget_stored();
        }
    }

    /// Content that the store has may be another there: it is read from there from now on.
    pub(super) fn forget_stored(&mut self) {
        self.erasures += 1;
        self.window.forget(self.stored);
    }

    /// Goes on with what was known of readers.
    pub(super) fn follow(&mut self, erasures: u64, low: Offset) {
        self.erasures = erasures;
        self.set_low(low);
    }

    /// How often content may have changed.
    pub fn erasures(&self) -> u64 {
        self.erasures
    }

    /// Goes off the list of the flusher unless there is more to write. Returns what the budget
    /// gets back for changes that never needed a row.
    pub fn settle(&mut self, expires_ms: Option<u64>) -> Option<usize> {
        if !self.row_is_current(expires_ms) {
            return None;
        }
        self.dirty = false;
        Some(std::mem::take(&mut self.cost))
    }

    /// Whether the rows of the stream should be merged now: `many` were added, or it is complete.
    pub fn take_merge(&mut self, many: u32) -> bool {
        let stored = self.row.is_some_and(|row| row.tail == self.window.end());
        let complete = self.closed.is_some() && stored;
        let due = !self.is_gone() && self.rows >= if complete { 2 } else { many };
        if due {
            self.rows = 0;
        }
        due
    }

    pub fn trim(&mut self, keep: usize) {
        self.window.trim(self.stored, keep);
    }

    pub fn low(&self) -> Offset {
        self.low
    }

    pub fn set_low(&mut self, low: Offset) {
        if low.bytes > self.low.bytes {
            self.low = low;
        }
    }

    pub fn stored(&self) -> Offset {
        self.stored
    }

    /// Whether the store has all content.
    pub fn is_stored(&self) -> bool {
        self.row.is_some_and(|row| row.tail == self.window.end())
    }

    /// The durable position.
    pub fn tail(&self) -> Offset {
        self.window.end()
    }
}
