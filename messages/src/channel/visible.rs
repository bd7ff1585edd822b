//! What readers and the flusher may see of a stream: everything here is durable.

use super::{Glimpse, Status, window::Window};
use crate::{
    limits::{FLUSH_BYTES_MAX, READ_BYTES_MAX},
    model::{Append, Change, Chunk, CloseReason, Flush, Offset, StoredStream},
};

/// The visible half of a channel. `stored ≤ durable`, and the window has all between them.
#[derive(Debug)]
pub(super) struct Visible {
    window: Window,
    stored: Offset,
    /// The creation is durable.
    created: bool,
    closed: Option<CloseReason>,
    tied: bool,
    /// The name has begun a new life; the content is gone.
    replaced: bool,
    /// What the row of the store says; `None` while there is none.
    row: Option<Row>,
    /// On the list of the flusher.
    dirty: bool,
    /// What the changes that wait for the flusher have taken from the budget.
    cost: usize,
    /// Rows of content added to the store and not merged yet.
    rows: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    tail: Offset,
    tied: bool,
    closed: Option<CloseReason>,
}

impl Visible {
    /// A stream whose creation is not durable yet, or one that the store `exists` in already.
    pub fn new(stream: &StoredStream, exists: bool) -> Self {
        let StoredStream { tail, tied, closed, .. } = *stream;
        Self {
            window: Window::new(tail),
            stored: tail,
            created: exists,
            closed,
            tied,
            replaced: false,
            row: exists.then_some(Row { tail, tied, closed }),
            dirty: false,
            cost: 0,
            rows: 0,
        }
    }

    pub fn glimpse(&mut self, position: u64) -> Glimpse {
        if self.replaced {
            return Glimpse::Replaced;
        }
        match self.window.read(position, READ_BYTES_MAX) {
            None => Glimpse::Stored,
            Some(bytes) if !bytes.is_empty() => Glimpse::Data(bytes),
            Some(_) => self.closed.map_or(Glimpse::Tail, Glimpse::End),
        }
    }

    pub fn status(&self) -> Option<Status> {
        let live = self.created && !self.replaced;
        live.then(|| Status { tail: self.window.end(), closed: self.closed })
    }

    pub fn window_bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Takes up a durable change. Returns whether the flusher has to be told.
    pub fn publish(&mut self, change: Change, cost: usize) -> bool {
        match change {
            Change::Create(_) => self.created = true,
            Change::Append(Append { chunk, tied, close }) => {
                self.window.push(chunk);
                self.tied = tied;
                self.closed = close;
            }
        }
        self.cost += cost;
        !std::mem::replace(&mut self.dirty, true)
    }

    /// Takes up the end of this life. Returns whether the flusher has to be told.
    pub fn publish_replaced(&mut self) -> bool {
        self.replaced = true;
        self.window = Window::new(self.window.end());
        !std::mem::replace(&mut self.dirty, true)
    }

    fn row_is_current(&self) -> bool {
        if self.replaced {
            return self.row.is_none();
        }
        let Self { tied, closed, .. } = *self;
        self.row == Some(Row { tail: self.window.end(), tied, closed })
    }

    /// What the store lacks, at most [`FLUSH_BYTES_MAX`] bytes at a time; `None` for nothing.
    pub fn flush(&self, stream: StoredStream) -> Option<Flush> {
        if self.row_is_current() {
            return None;
        }
        let chunks = self.window.chunks_from(self.stored, FLUSH_BYTES_MAX);
        let tail = chunks.last().map_or(self.stored, Chunk::end);
        let complete = tail == self.window.end();
        let bytes: usize = chunks.iter().map(|chunk| chunk.body.len()).sum();
        Some(Flush {
            stream: StoredStream {
                tail,
                tied: self.tied,
                closed: self.closed.filter(|_| complete),
                ..stream
            },
            from: self.row.map(|row| row.tail),
            chunks,
            remove: self.replaced,
            cost: if complete { self.cost } else { bytes.min(self.cost) },
        })
    }

    /// The store has what `flush` says. At most `keep` bytes of what is stored stay in memory.
    /// Returns what the budget gets back.
    pub fn flushed(&mut self, flush: Flush, keep: usize) -> usize {
        let StoredStream { tail, tied, closed, .. } = flush.stream;
        self.row = (!flush.remove).then_some(Row { tail, tied, closed });
        self.stored = tail;
        self.rows = self.rows.saturating_add(flush.chunks.len() as u32);
        self.window.replace(flush.chunks);
        self.trim(keep);
        self.cost -= flush.cost;
        flush.cost
    }

    /// Takes the word of the store for what it has, after a write whose outcome is unknown. A word
    /// that cannot be is not taken: the next write is refused then.
    pub fn resync(&mut self, row: Option<&StoredStream>) {
        let known =
            |tail: Offset| tail.bytes >= self.stored.bytes && tail.bytes <= self.end().bytes;
        // A row can be gone only because it was to be removed; to insert it anew would leave a hole.
        let is_missing = row.is_none() && self.row.is_some() && !self.replaced;
        if is_missing || row.is_some_and(|row| !known(row.tail)) {
            return;
        }
        self.row = row.map(|&StoredStream { tail, tied, closed, .. }| Row { tail, tied, closed });
        self.stored = row.map_or(self.stored, |row| row.tail);
    }

    /// Goes off the list of the flusher unless there is more to write. Returns what the budget
    /// gets back for changes that never needed a row.
    pub fn settle(&mut self) -> Option<usize> {
        if !self.row_is_current() {
            return None;
        }
        self.dirty = false;
        Some(std::mem::take(&mut self.cost))
    }

    /// Whether the rows of the stream should be merged now: `many` were added, or it is complete.
    pub fn take_merge(&mut self, many: u32) -> bool {
        let complete = self.closed.is_some() && self.row_is_current();
        let due = !self.replaced && self.rows >= if complete { 2 } else { many };
        if due {
            self.rows = 0;
        }
        due
    }

    pub fn trim(&mut self, keep: usize) {
        self.window.trim(self.stored, keep);
    }

    /// The durable position.
    pub fn end(&self) -> Offset {
        self.window.end()
    }

    pub fn is_replaced(&self) -> bool {
        self.replaced
    }
}
