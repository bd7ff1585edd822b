//! Places in a stream: where another branches off, where a record ends.

use super::{Cursor, ForkRequest, StreamError, Streams};
use crate::{
    channel::{Channel, Status},
    limits::APPEND_MESSAGES_MAX,
    model::{Chunk, Fork, ForkPoint, Offset},
};
use std::sync::Arc;

impl Streams {
    /// The source of a fork and the place in it.
    pub(super) async fn origin(
        &self,
        asked: &ForkRequest,
    ) -> Result<(Arc<Channel>, Fork), StreamError> {
        let source = match self.find(&asked.source).await {
            Ok(source) => source,
            Err(StreamError::NotFound) => return Err(StreamError::NoSource),
            Err(error) => return Err(error),
        };
        let at = match self.status(&source).await {
            Ok(status) => self.place(&source, asked.point, status.tail).await?,
            Err(StreamError::Hidden) => return Err(StreamError::SourceHidden),
            Err(StreamError::NotFound | StreamError::Replaced) => {
                return Err(StreamError::NoSource);
            }
            Err(error) => return Err(error),
        };
        let (source_name, asked) = (asked.source.clone(), asked.point);
        let fork = Fork { source: source.id(), source_name, at, asked };
        Ok((source, fork))
    }

    /// The position that `point` means in a stream that ends at `tail`.
    async fn place(
        &self,
        source: &Channel,
        point: ForkPoint,
        tail: Offset,
    ) -> Result<Offset, StreamError> {
        let anchor = point.anchor.map_or(tail.bytes, |anchor| anchor.bytes);
        if !source.holds_messages() {
            let bytes = anchor.checked_add(point.beyond).filter(|bytes| *bytes <= tail.bytes);
            return self.position(source, bytes.ok_or(StreamError::NoSuchPlace)?, tail).await;
        }
        if anchor > tail.bytes {
            return Err(StreamError::NoSuchPlace);
        }
        let mut at = self.position(source, anchor, tail).await?;
        let near = point.beyond <= APPEND_MESSAGES_MAX as u64;
        let wanted = at.records.checked_add(point.beyond).filter(|wanted| *wanted <= tail.records);
        let wanted = wanted.filter(|_| near);
        let wanted = wanted.ok_or(StreamError::NoSuchPlace)?;
        while at.records < wanted {
            let chunk = self.chunk(source, at.bytes).await?;
            let (_, limit) = source.owner(at.bytes);
            let is_ours = |end: Offset| limit.is_none_or(|limit| end.bytes <= limit);
            let ends = chunk.ends().take_while(|end| end.records <= wanted && is_ours(*end));
            at = ends.last().filter(|end| end.bytes > at.bytes).ok_or(StreamError::Damaged)?;
        }
        Ok(at)
    }

    /// The whole offset of byte `position`. Inside of a record, what comes before counts as a record
    /// of its own; a message cannot be cut like that.
    async fn position(
        &self,
        source: &Channel,
        position: u64,
        tail: Offset,
    ) -> Result<Offset, StreamError> {
        if position == 0 || position == tail.bytes {
            return Ok(if position == 0 { Offset::ZERO } else { tail });
        }
        // The one that ends the part before: `position` may be the end of what the source inherits.
        let chunk = self.chunk(source, position - 1).await?;
        let is_cut = chunk.ends().all(|end| end.bytes != position);
        if is_cut && source.holds_messages() {
            return Err(StreamError::NoSuchPlace);
        }
        Ok(chunk.offset_at(position))
    }

    /// Finds out whether `at` is a place of a stream of messages: its beginning, or the end of one.
    ///
    /// # Errors
    /// It is none, or the store does not answer.
    pub async fn check_place(&self, channel: &Channel, at: Offset) -> Result<(), StreamError> {
        let tail = self.status(channel).await?.tail;
        if at.bytes > tail.bytes {
            return Err(StreamError::BeyondTail { tail });
        }
        let found = self.position(channel, at.bytes, tail).await?;
        if found == at { Ok(()) } else { Err(StreamError::NoSuchPlace) }
    }

    /// As [`Streams::read`], for a client that says where it begins: not inside of a message.
    ///
    /// # Errors
    /// Nobody can begin there, or the life of the stream is over.
    pub async fn read_whole(
        self: &Arc<Self>,
        channel: Arc<Channel>,
        position: u64,
    ) -> Result<(Cursor, Status), StreamError> {
        let (cursor, status) = self.read(channel, position).await?;
        self.check_beginning(cursor.channel(), position, status.tail).await?;
        Ok((cursor, status))
    }

    async fn check_beginning(
        &self,
        channel: &Channel,
        position: u64,
        tail: Offset,
    ) -> Result<(), StreamError> {
        if !channel.holds_messages() || position == 0 || position == tail.bytes {
            return Ok(());
        }
        let chunk = match self.chunk(channel, position).await {
            // It may be gone since; whoever reads it finds out why.
            Err(StreamError::Damaged) => return Ok(()),
            chunk => chunk?,
        };
        let begins = chunk.at.bytes == position || chunk.ends().any(|end| end.bytes == position);
        if begins { Ok(()) } else { Err(StreamError::InsideMessage) }
    }

    /// The place behind the first `count` records of a stream, `low` of which are before all that is
    /// there. Looks at as many chunks as it takes to halve the rest again and again.
    ///
    /// # Errors
    /// There are not so many, or the store does not answer.
    pub async fn place_of(
        &self,
        channel: &Channel,
        count: u64,
        low: Offset,
    ) -> Result<Offset, StreamError> {
        let mut high = self.status(channel).await?.tail;
        if count > high.records {
            return Err(StreamError::BeyondTail { tail: high });
        }
        let mut low = low;
        while low.records < count && count < high.records {
            let chunk = self.chunk(channel, low.bytes + (high.bytes - low.bytes) / 2).await?;
            if let Some(end) = chunk.ends().find(|end| end.records == count) {
                return Ok(end);
            }
            let (begin, end) = (chunk.at, chunk.end());
            if count <= begin.records { high = begin } else { low = end }
        }
        Ok(if count <= low.records { low } else { high })
    }

    /// The last position up to byte `position` at which a record of `channel` ends, or else the first
    /// one behind it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn record_end(
        &self,
        channel: &Channel,
        position: u64,
    ) -> Result<Offset, StreamError> {
        let chunk = self.chunk(channel, position).await?;
        let (_, limit) = channel.owner(position);
        let is_ours = |end: &Offset| limit.is_none_or(|limit| end.bytes <= limit);
        let last = chunk.ends().take_while(|end| end.bytes <= position).last();
        let next = chunk.ends().find(|end| end.bytes > position).filter(is_ours);
        let cut = || chunk.offset_at(limit.unwrap_or(position));
        Ok(last.or(next).unwrap_or_else(cut))
    }

    /// The chunk that holds byte `position`.
    async fn chunk(&self, source: &Channel, position: u64) -> Result<Chunk, StreamError> {
        if let Some(chunk) = source.chunk_at(position) {
            return Ok(chunk);
        }
        let (owner, _) = source.owner(position);
        let read = self.store.read(owner, position, 1).await;
        let chunks = read.map_err(|error| {
            tracing::warn!(%error, stream = %source.name(), "cannot read from the store");
            StreamError::StoreUnavailable
        })?;
        // The rows may have gone with the life of the stream since it was found.
        let missing = || source.over().map_or(StreamError::Damaged, StreamError::from);
        chunks.into_iter().next().ok_or_else(missing)
    }
}
