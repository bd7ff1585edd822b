//! Reading: one position that moves through store, memory and the live end without a gap and
//! without a duplicate.

use super::{StreamError, pace::Pace};
use crate::{
    channel::{Channel, Glimpse, Status},
    limits::{CHUNK_BYTES_MAX, READ_BYTES_MAX, STORE_PAGE_BYTES_MAX},
    model::{Chunk, CloseReason},
    store::Store,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    time::Instant,
};

/// A reader of one stream. It is its position: what it reads is looked up there each time, so a slow
/// reader costs only itself, and one that lags simply reads on. Of the store it may hold a page.
pub struct Cursor {
    channel: Arc<Channel>,
    store: Arc<dyn Store>,
    wake: broadcast::Receiver<()>,
    stopping: Arc<AtomicBool>,
    position: u64,
    /// Read from the store and not handed out yet; begins at `position`.
    page: VecDeque<Bytes>,
    /// What all readers may hold as pages, and the part of it that this one holds.
    pages: Arc<Semaphore>,
    page_room: Option<OwnedSemaphorePermit>,
    /// How fast all readers take pages, and when it is the turn of this one again.
    pace: Arc<Pace>,
    turn: Option<Instant>,
}

/// What a cursor gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes, never none.
    Data(Bytes),
    /// The stream is closed, and all of it has been read.
    End(CloseReason),
}

impl Cursor {
    pub(super) fn new(
        channel: Arc<Channel>,
        store: Arc<dyn Store>,
        pages: Arc<Semaphore>,
        pace: Arc<Pace>,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        Self {
            wake: channel.subscribe(),
            channel,
            store,
            stopping,
            position: 0,
            page: VecDeque::new(),
            pages,
            page_room: None,
            pace,
            turn: None,
        }
    }

    /// Moves to byte `position` of a stream whose creation is durable.
    pub(super) fn begin(&mut self, position: u64) -> Result<Status, StreamError> {
        let status = self.channel.status().ok_or(StreamError::Replaced)?;
        if position > status.tail.bytes {
            return Err(StreamError::BeyondTail { tail: status.tail });
        }
        self.position = position;
        Ok(status)
    }

    /// The stream that is read.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The byte position of what [`Cursor::next`] gives next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes, when there are any: from memory, else from the store, else it waits. Gives
    /// as much as there is, up to a cap. Cancel safe: what was not given comes the next time.
    ///
    /// # Errors
    /// The store does not answer, the stream has begun a new life, or the server stops. All bytes
    /// that were given are right nevertheless.
    pub async fn next(&mut self) -> Result<Piece, StreamError> {
        loop {
            if let Some(bytes) = self.page.pop_front() {
                return Ok(self.give(bytes));
            }
            self.page_room = None;
            match self.channel.read(self.position) {
                Glimpse::Data(bytes) => return Ok(self.give(bytes)),
                Glimpse::Stored => self.turn_page().await?,
                Glimpse::Tail => self.wait().await?,
                Glimpse::End(reason) => return Ok(Piece::End(reason)),
                Glimpse::Replaced => return Err(StreamError::Replaced),
            }
        }
    }

    fn give(&mut self, bytes: Bytes) -> Piece {
        self.position += bytes.len() as u64;
        Piece::Data(bytes)
    }

    async fn wait(&mut self) -> Result<(), StreamError> {
        // Set before everybody is woken, so it is seen either here or after the wake-up.
        if self.stopping.load(Ordering::Acquire) {
            return Err(StreamError::Stopping);
        }
        match self.wake.recv().await {
            Ok(()) | Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
            // The sender lives in the channel that is held here.
            Err(broadcast::error::RecvError::Closed) => Err(StreamError::Stopping),
        }
    }

    async fn turn_page(&mut self) -> Result<(), StreamError> {
        if let Some(turn) = self.turn {
            tokio::time::sleep_until(turn).await;
        }
        // Where many read at once, each takes less at a time.
        self.page_room =
            self.pages.clone().try_acquire_many_owned(STORE_PAGE_BYTES_MAX as u32).ok();
        let bytes_max =
            if self.page_room.is_some() { STORE_PAGE_BYTES_MAX } else { CHUNK_BYTES_MAX / 4 };
        let read = self.store.read(self.channel.id(), self.position, bytes_max).await;
        let chunks = read.map_err(|error| {
            tracing::warn!(%error, stream = %self.channel.name(), "cannot read from the store");
            StreamError::StoreUnavailable
        })?;
        self.page = page(self.position, chunks).ok_or_else(|| {
            // The rows may have gone with the life of the stream since the channel was asked.
            if matches!(self.channel.read(self.position), Glimpse::Replaced) {
                return StreamError::Replaced;
            }
            let (stream, position) = (self.channel.name(), self.position);
            tracing::error!(%stream, position, "content is missing in the store");
            StreamError::Damaged
        })?;
        self.turn = self.pace.pay(self.page.iter().map(Bytes::len).sum());
        Ok(())
    }
}

/// The bytes of `chunks` from `position` on; `None` when they do not begin there or have a gap.
fn page(position: u64, chunks: Vec<Chunk>) -> Option<VecDeque<Bytes>> {
    let mut page = VecDeque::with_capacity(chunks.len());
    let mut next = position;
    for mut chunk in chunks {
        let skip = next.checked_sub(chunk.at.bytes)?;
        if skip > 0 && (!page.is_empty() || skip >= chunk.body.len() as u64) {
            return None;
        }
        let mut body = chunk.body.split_off(skip as usize);
        next += body.len() as u64;
        while !body.is_empty() {
            page.push_back(body.split_to(body.len().min(READ_BYTES_MAX)));
        }
    }
    (!page.is_empty()).then_some(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lengths, Offset};

    fn chunk(at: u64, body: &'static str) -> Chunk {
        let at = Offset { records: at, bytes: at };
        Chunk { at, lengths: Lengths::One, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn a_page_begins_where_the_reader_is_and_has_no_gap() {
        let text = |page: Option<VecDeque<Bytes>>| page.map(|p| Vec::from(p).concat());
        let whole = vec![chunk(4, "efgh"), chunk(8, "ij")];
        assert_eq!(text(page(4, whole.clone())), Some(b"efghij".to_vec()));
        assert_eq!(text(page(7, whole.clone())), Some(b"hij".to_vec()));
        assert_eq!(page(3, whole.clone()), None, "begins too late");
        assert_eq!(page(4, vec![chunk(4, "efgh"), chunk(9, "j")]), None, "has a gap");
        assert_eq!(page(4, vec![chunk(4, "efgh"), chunk(7, "hij")]), None, "overlaps");
        assert_eq!(page(8, vec![chunk(4, "efgh")]), None, "ends too early");
        assert_eq!(page(0, vec![]), None);
    }
}
