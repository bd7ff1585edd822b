//! Reading: one position that moves through store, memory and the live end without a gap and
//! without a duplicate.

use super::{StreamError, Streams};
use crate::{
    admission::Over,
    channel::{Channel, Glimpse, Part, Status},
    limits::{CHUNK_BYTES_MAX, READ_BYTES_MAX, STORE_PAGE_BYTES_MAX},
    model::{Chunk, CloseReason, Offset},
    stats::Pipeline,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, atomic::Ordering},
};
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast},
    time::Instant,
};
use tokio_stream::wrappers::BroadcastStream;

/// A reader of one stream. It is its position: what it reads is looked up there each time, so a slow
/// reader costs only itself, and one that lags simply reads on. Of the store it may hold a page.
/// While there is one, the stream counts as used.
pub struct Cursor {
    streams: Arc<Streams>,
    channel: Arc<Channel>,
    /// `None` where somebody waits for it, with many others.
    wake: Option<broadcast::Receiver<()>>,
    position: u64,
    /// Read from the store and not handed out yet; begins at `position`.
    page: VecDeque<(Bytes, Offset)>,
    /// [`Channel::erasures`] before that was read.
    page_erasures: u64,
    /// The part that this one holds of what all readers may hold as pages.
    page_room: Option<OwnedSemaphorePermit>,
    piece_bytes_max: usize,
    /// How far it may read.
    reach: Option<Arc<Reach>>,
    /// When it is the turn of this one to take another page.
    turn: Option<Instant>,
    /// While it reads from the store.
    behind: Option<Behind>,
}

/// A reader that is behind what is in memory, by so many bytes when it last took a page.
struct Behind {
    stats: Arc<Pipeline>,
    bytes: i64,
}

impl Behind {
    fn by(stats: &Arc<Pipeline>, bytes: u64) -> Self {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        stats.behind.add(1);
        stats.behind_bytes.add(bytes);
        Self { stats: stats.clone(), bytes }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.stats.behind.add(-1);
        self.stats.behind_bytes.add(-self.bytes);
    }
}

/// How far somebody may read a stream: to its end, until somebody says otherwise.
#[derive(Debug, Default)]
pub struct Reach(OnceLock<Offset>);

impl Reach {
    /// Nothing behind `at` may be read, where a record ends. To be said before anything behind it is
    /// published: then no reader ever sees any of that. Said again it changes nothing.
    pub fn end(&self, at: Offset) {
        let _ = self.0.set(at);
    }

    /// Where it ends, if it does.
    #[must_use]
    pub fn ends_at(&self) -> Option<Offset> {
        self.0.get().copied()
    }
}

/// What there is for a cursor without waiting for anything.
#[derive(Debug, PartialEq, Eq)]
pub enum AtHand {
    /// What comes next.
    Piece(Piece),
    /// The store has what comes next: [`Cursor::turn_page`] brings it.
    Stored,
    /// Nothing that is not there yet.
    Nothing,
}

/// What a cursor gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes, never none.
    Data(Part),
    /// The stream is closed, and all of it has been read.
    End(CloseReason),
}

impl Cursor {
    pub(super) fn new(channel: Arc<Channel>, streams: Arc<Streams>) -> Self {
        Self {
            wake: Some(channel.subscribe()),
            streams,
            channel,
            position: 0,
            page: VecDeque::new(),
            page_erasures: 0,
            page_room: None,
            piece_bytes_max: READ_BYTES_MAX,
            reach: None,
            turn: None,
            behind: None,
        }
    }

    /// Moves to byte `position` of a stream whose creation is durable.
    pub(super) fn begin(&mut self, position: u64) -> Result<Status, StreamError> {
        let over = || self.channel.over().unwrap_or(Over::Deleted);
        let status = self.channel.status().ok_or_else(over)?;
        if position >= status.tail.bytes && self.channel.is_uncertain() {
            return Err(StreamError::LogUnavailable);
        }
        if position > status.tail.bytes {
            return Err(StreamError::BeyondTail { tail: status.tail });
        }
        self.position = position;
        Ok(status)
    }

    /// The stream that is read.
    #[must_use]
    pub fn channel(&self) -> &Arc<Channel> {
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
    /// The store does not answer, the life of the stream is over, or the server stops. All bytes
    /// that were given are right nevertheless.
    pub async fn next(&mut self) -> Result<Piece, StreamError> {
        loop {
            if let Some(piece) = self.ready().await? {
                return Ok(piece);
            }
            self.wait().await?;
        }
    }

    /// As [`Cursor::next`], but gives `None` instead of waiting for what is not there yet.
    ///
    /// # Errors
    /// As there.
    pub async fn ready(&mut self) -> Result<Option<Piece>, StreamError> {
        loop {
            match self.at_hand()? {
                AtHand::Piece(piece) => return Ok(Some(piece)),
                AtHand::Stored => self.turn_page().await?,
                AtHand::Nothing => return Ok(None),
            }
        }
    }

    /// As [`Cursor::ready`], but does not go to the store either: for whoever reads many streams by
    /// turns, of which none may hold up the others.
    ///
    /// # Errors
    /// The life of the stream is over.
    pub fn at_hand(&mut self) -> Result<AtHand, StreamError> {
        if !self.page.is_empty() && self.channel.erasures() != self.page_erasures {
            // Some of it may have been erased since it was read.
            self.forget_page();
        }
        if let Some((bytes, end)) = self.page.pop_front() {
            return self.reachable(self.stored_part(bytes, end));
        }
        self.page_room = None;
        match self.channel.read(self.position, self.piece_bytes_max) {
            Glimpse::Data(part) => {
                self.behind = None;
                self.reachable(part)
            }
            Glimpse::Stored => Ok(AtHand::Stored),
            Glimpse::Tail => {
                self.behind = None;
                match self.reach_end() {
                    Some(end) if self.position >= end.bytes => Err(StreamError::AccessEnded),
                    _ => Ok(AtHand::Nothing),
                }
            }
            Glimpse::End(reason) => Ok(AtHand::Piece(Piece::End(reason))),
            Glimpse::Over(over) => Err(over.into()),
            Glimpse::Trimmed(low) => Err(StreamError::Trimmed { low }),
        }
    }

    /// Whether something read from the store waits to be given.
    #[must_use]
    pub fn holds_page(&self) -> bool {
        !self.page.is_empty()
    }

    /// Lets that go. It is read again when it is wanted.
    pub fn forget_page(&mut self) {
        self.page.clear();
        self.page_room = None;
    }

    /// Gives pieces of at most `bytes_max` bytes, as long as no single record is larger.
    #[must_use]
    pub fn with_pieces_of(mut self, bytes_max: usize) -> Self {
        self.piece_bytes_max = bytes_max;
        self
    }

    /// Yields whenever there may be something new from now on: for whoever waits for many streams
    /// at once. Look with [`Cursor::at_hand`] after it was made.
    #[must_use]
    pub fn wake_ups(&mut self) -> BroadcastStream<()> {
        if let Some(shared) = &self.streams.shared {
            shared.follow_soon(&self.channel);
        }
        // A reader waits in one place, and is counted there.
        BroadcastStream::new(self.wake.take().unwrap_or_else(|| self.channel.subscribe()))
    }

    /// For somebody who may read only so far, and is told when that is the end.
    #[must_use]
    pub fn within(mut self, reach: Arc<Reach>) -> Self {
        self.reach = Some(reach);
        self
    }

    /// Where it may read no further, if that has been said.
    #[must_use]
    pub fn reach_end(&self) -> Option<Offset> {
        // After what was published was seen: an end that lies before that is seen, too.
        self.reach.as_ref().and_then(|reach| reach.ends_at())
    }

    /// As much of `part` as may be read.
    fn reachable(&mut self, mut part: Part) -> Result<AtHand, StreamError> {
        if let Some(end) = self.reach_end()
            && part.end.bytes > end.bytes
        {
            self.forget_page();
            let left = end.bytes.saturating_sub(self.position);
            if left == 0 {
                return Err(StreamError::AccessEnded);
            }
            part = Part {
                bytes: part.bytes.slice(..left as usize),
                end,
                last: false,
                closed: None,
                ..part
            };
        }
        Ok(AtHand::Piece(self.give(part)))
    }

    fn give(&mut self, part: Part) -> Piece {
        let stats = self.streams.commits.stats();
        stats.deliveries.one();
        stats.delivered_bytes.add(part.bytes.len() as u64);
        self.position += part.bytes.len() as u64;
        Piece::Data(part)
    }

    /// What comes from the store is the last only if nothing was added since.
    fn stored_part(&self, bytes: Bytes, end: Offset) -> Part {
        let status = self.channel.status();
        let last = status.is_some_and(|status| status.tail.bytes == end.bytes);
        let closed = status.and_then(|status| status.closed).filter(|_| last);
        Part { bytes, end, last, closed, erasures: self.page_erasures }
    }

    /// Waits until there may be something new. Cancel safe.
    ///
    /// # Errors
    /// The server stops.
    pub async fn wait(&mut self) -> Result<(), StreamError> {
        // Set before everybody is woken, so it is seen either here or after the wake-up.
        if self.streams.stopping.load(Ordering::Acquire) {
            return Err(StreamError::Stopping);
        }
        if let Some(shared) = &self.streams.shared
            && !shared.follows(self.channel.name())
        {
            shared.follow(&self.channel).await?;
            // There may be something that nobody would have told of.
            return Ok(());
        }
        let Some(wake) = &mut self.wake else {
            self.wake = Some(self.channel.subscribe());
            return Ok(());
        };
        match wake.recv().await {
            Ok(()) | Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
            // The sender lives in the channel that is held here.
            Err(broadcast::error::RecvError::Closed) => Err(StreamError::Stopping),
        }
    }

    /// Reads a page from the store. Cancel safe.
    ///
    /// # Errors
    /// The store does not answer, or does not have what it should.
    pub async fn turn_page(&mut self) -> Result<(), StreamError> {
        // Kept until it is over: to be asked again is not to come anew.
        self.turn = self.turn.or_else(|| self.streams.pace.due());
        if let Some(turn) = self.turn {
            tokio::time::sleep_until(turn).await;
        }
        // Where many read at once, each takes less at a time.
        let pages = self.streams.pages.clone();
        self.page_room = pages.try_acquire_many_owned(STORE_PAGE_BYTES_MAX as u32).ok();
        let bytes_max =
            if self.page_room.is_some() { STORE_PAGE_BYTES_MAX } else { CHUNK_BYTES_MAX / 4 };
        self.page_erasures = self.channel.erasures();
        let (owner, end) = self.channel.owner(self.position);
        let (stats, begun) = (self.streams.commits.stats(), Instant::now());
        let tail = self.channel.status().map_or(self.position, |status| status.tail.bytes);
        self.behind = Some(Behind::by(stats, tail.saturating_sub(self.position)));
        let read = self.streams.store.read(owner, self.position, bytes_max).await;
        stats.pages.time(begun.elapsed());
        if read.is_err() {
            stats.page_errors.one();
        }
        let chunks = read.map_err(|error| {
            tracing::warn!(%error, stream = %self.channel.name(), "cannot read from the store");
            StreamError::StoreUnavailable
        })?;
        // Another node may have stored more than this one has taken up, and has looked at.
        let end = match &self.streams.shared {
            Some(_) => end.into_iter().chain([self.channel.durable().bytes]).min(),
            None => end,
        };
        let page = page(self.position, end, chunks, self.piece_bytes_max);
        if let (None, Some(shared)) = (&page, &self.streams.shared) {
            // It may have removed them, too.
            shared.look(self.channel.name()).await?;
        }
        self.page = page.ok_or_else(|| {
            // The rows may have gone with the life of the stream since the channel was asked.
            match self.channel.read(self.position, self.piece_bytes_max) {
                Glimpse::Over(over) => return over.into(),
                Glimpse::Trimmed(low) => return StreamError::Trimmed { low },
                _ => {}
            }
            let (stream, position) = (self.channel.name(), self.position);
            tracing::error!(%stream, position, "content is missing in the store");
            StreamError::Damaged
        })?;
        let bytes = self.page.iter().map(|(bytes, _)| bytes.len()).sum();
        self.turn = self.streams.pace.pay(bytes);
        Ok(())
    }
}

/// Whoever has read until now has used the stream until now.
impl Drop for Cursor {
    fn drop(&mut self) {
        self.streams.touch(&self.channel);
    }
}

/// What `chunks` have from `position` on, up to `limit`, in parts and with their ends; `None` when
/// they do not begin there or have a gap.
fn page(
    position: u64,
    limit: Option<u64>,
    chunks: Vec<Chunk>,
    piece_bytes_max: usize,
) -> Option<VecDeque<(Bytes, Offset)>> {
    let mut page = VecDeque::with_capacity(chunks.len());
    let (mut next, limit) = (position, limit.unwrap_or(u64::MAX));
    for chunk in chunks {
        if next >= limit {
            break;
        }
        let skip = next.checked_sub(chunk.at.bytes)?;
        if skip > 0 && (!page.is_empty() || skip >= chunk.body.len() as u64) {
            return None;
        }
        let mut skip = skip as usize;
        while skip < chunk.body.len() && next < limit {
            let (mut bytes, mut end) = chunk.part(skip, piece_bytes_max);
            skip += bytes.len();
            if end.bytes > limit {
                bytes.truncate((limit - next) as usize);
                end = chunk.offset_at(limit);
            }
            next += bytes.len() as u64;
            page.push_back((bytes, end));
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
        let text = |page: Option<VecDeque<(Bytes, Offset)>>| {
            page.map(|p| p.iter().flat_map(|(bytes, _)| bytes.to_vec()).collect::<Vec<u8>>())
        };
        let page = |position, chunks| page(position, None, chunks, READ_BYTES_MAX);
        let whole = vec![chunk(4, "efgh"), chunk(8, "ij")];
        assert_eq!(text(page(4, whole.clone())), Some(b"efghij".to_vec()));
        assert_eq!(text(page(7, whole.clone())), Some(b"hij".to_vec()));
        assert_eq!(page(3, whole.clone()), None, "begins too late");
        assert_eq!(page(4, vec![chunk(4, "efgh"), chunk(9, "j")]), None, "has a gap");
        assert_eq!(page(4, vec![chunk(4, "efgh"), chunk(7, "hij")]), None, "overlaps");
        assert_eq!(page(8, vec![chunk(4, "efgh")]), None, "ends too early");
        assert_eq!(page(0, vec![]), None);
        let cut = super::page(4, Some(6), whole.clone(), READ_BYTES_MAX);
        assert_eq!(text(cut), Some(b"ef".to_vec()), "what lies behind the limit does not matter");
        let up_to = super::page(4, Some(9), whole, READ_BYTES_MAX);
        assert_eq!(text(up_to.clone()), Some(b"efghi".to_vec()));
        assert_eq!(up_to.and_then(|p| p.back().map(|(_, end)| end.bytes)), Some(9));
        let up_to = super::page(4, Some(6), vec![chunk(4, "efgh"), chunk(8, "ij")], READ_BYTES_MAX);
        assert_eq!(text(up_to), Some(b"ef".to_vec()), "what is behind does not matter");
    }
}
