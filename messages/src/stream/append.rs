//! Adding to a stream, closing it, or both.

use super::{StreamError, Streams};
use crate::{
    admission::{Decision, Request},
    channel::{Channel, append_cost},
    committer::{Entry, Ticket},
    limits::PATIENT_RETRY_MS,
    model::{Append, Change, Chunk, CloseReason, Expected, Offset, Records, Writer},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// What a producer adds at once.
#[derive(Clone, Debug, Default)]
pub struct Addition {
    /// The records; JSON messages for a stream of such, bytes for any other.
    pub records: Records,
    /// Where the producer expects the stream to end.
    pub at: Option<Expected>,
    /// Close the stream if this server dies from here on.
    pub tied: bool,
    /// Close the stream behind the records.
    pub close: Option<CloseReason>,
    /// Who adds it, as far as they say.
    pub writer: Writer,
    /// The producer says that it is of another content type than the stream.
    pub wrong_type: bool,
}

impl Addition {
    /// One record of bytes.
    #[must_use]
    pub fn bytes(body: Bytes) -> Self {
        Self { records: Records::bytes(body), ..Self::default() }
    }

    /// Nothing but the end.
    #[must_use]
    pub fn close(reason: CloseReason) -> Self {
        Self { close: Some(reason), ..Self::default() }
    }
}

/// What has become of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where the stream ends behind it.
    pub tail: Offset,
    /// It had happened before, and nothing has happened now.
    pub duplicate: bool,
    /// The stream is closed.
    pub closed: bool,
    /// The last append of the idempotent producer that asked.
    pub seq: Option<u64>,
}

/// An addition that has its place in the order of its stream, and takes its way whether or not
/// anybody waits for it.
#[must_use]
pub struct PendingAppend {
    channel: Arc<Channel>,
    decision: Decision,
    ticket: Ticket,
    closes: bool,
    seq: Option<u64>,
}

impl PendingAppend {
    /// Whether it is on its way, and not refused or a repetition.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self.decision, Decision::Accept { .. })
    }
}

impl Streams {
    /// Adds to a stream, closes it, or both. Returns once that is durable. Cancel safe: the addition
    /// happens whole or not at all, also when nobody waits.
    ///
    /// # Errors
    /// It did not happen; only after [`StreamError::JournalFailed`] that is unknown.
    pub async fn append(
        &self,
        channel: &Arc<Channel>,
        addition: Addition,
    ) -> Result<Appended, StreamError> {
        let pending = self.begin_append(channel, addition).await?;
        self.appended(pending).await
    }

    /// The first half of [`Streams::append`]: takes the place in the order of the stream. Whatever is
    /// begun after it returns comes behind it.
    ///
    /// # Errors
    /// There is no room, or nothing is taken any more.
    pub async fn begin_append(
        &self,
        channel: &Arc<Channel>,
        addition: Addition,
    ) -> Result<PendingAppend, StreamError> {
        self.check_trouble()?;
        let Addition { records, at, tied, close, writer, wrong_type } = addition;
        if records.is_empty() && close.is_none() && !writer.is_nobody() {
            // It has no place of its own, so a replay could not tell it from a repetition.
            return Err(StreamError::NoMessages);
        }
        let cost = append_cost(records.count(), records.len(), &writer);
        let room = self.budget.take(cost).await?;
        let seq = writer.stamp.as_ref().map(|stamp| stamp.seq);
        let mixed = !records.is_empty() && records.are_messages() != channel.holds_messages();
        let request = Request {
            records: records.count() as u64,
            bytes: records.len() as u64,
            at,
            tied,
            close,
            writer: &writer,
            wrong_type: wrong_type || mixed,
        };
        let closes = close.is_some();
        if let Some(shared) = &self.shared {
            let wrong_type = wrong_type || mixed;
            let addition = Addition { records, at, tied, close, writer, wrong_type };
            let decision = shared.append(channel, addition).await?;
            let ticket = self.commits.settled();
            return Ok(PendingAppend { channel: channel.clone(), decision, ticket, closes, seq });
        }
        let (decision, ticket) = {
            let mut state = channel.writer();
            // What is old goes from streams of chat, and somebody must always be able to leave.
            let is_chat = channel.name().in_chat().is_some();
            let bytes_max = if is_chat { u64::MAX } else { self.stream_bytes_max };
            let decision = state.admit(request, bytes_max);
            let ticket = match decision {
                Decision::Accept { at, .. } => {
                    let (lengths, body) = records.into_parts();
                    let chunk = Chunk { at, lengths, body };
                    let change = Change::Append(Append { chunk, tied: state.tied, close, writer });
                    // Before it can be stored, so that its row says it as well.
                    if channel.lives_by_use() {
                        channel.touch(self.clock.now_ms());
                    }
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
        Ok(PendingAppend { channel: channel.clone(), decision, ticket, closes, seq })
    }

    /// The second half: waits until it is durable. Cancel safe.
    ///
    /// # Errors
    /// As [`Streams::append`].
    pub async fn appended(&self, pending: PendingAppend) -> Result<Appended, StreamError> {
        let PendingAppend { channel, decision, ticket, closes, seq } = pending;
        ticket.durable().await?;
        self.count(decision);
        channel.mark_used(self.clock.now_ms());
        if matches!(decision, Decision::Duplicate { .. }) {
            self.touch(&channel);
        }
        match decision {
            Decision::Accept { next: tail, .. } => {
                Ok(Appended { tail, duplicate: false, closed: closes, seq })
            }
            Decision::Duplicate { tail, seq, closed } => {
                Ok(Appended { tail, duplicate: true, closed, seq })
            }
            Decision::Refuse(refusal) => Err(refusal.into()),
        }
    }

    fn count(&self, decision: Decision) {
        let stats = self.commits.stats();
        match decision {
            Decision::Accept { at, next } => {
                stats.appends.one();
                stats.records.add(next.records - at.records);
                stats.bytes.add(next.bytes - at.bytes);
            }
            Decision::Duplicate { .. } => stats.duplicates.one(),
            Decision::Refuse(_) => stats.refusals.one(),
        }
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
    ) -> Result<Appended, StreamError> {
        loop {
            match self.append(channel, addition.clone()).await {
                Err(StreamError::Overloaded | StreamError::JournalFull) => {
                    tokio::time::sleep(Duration::from_millis(PATIENT_RETRY_MS)).await;
                }
                result => return result,
            }
        }
    }
}
