//! Moves what the journal holds into the store, many small records coalesced into few rows, and
//! lets the journal go behind it.

use crate::{
    budget::Budget,
    channel::{Channel, WindowMemory},
    committer::Commits,
    limits::{
        CHUNK_BYTES_MAX, FLUSH_BYTES_MAX, FLUSH_RETRY_MS_MAX, FLUSH_STREAMS_MAX, LOAD_NAMES_MAX,
        MERGE_ROWS,
    },
    model::{Chunk, Flush, Offset, StreamId},
    stats::Pipeline,
    store::{Store, StoreError},
    traces::Traces,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Finds in what goes to the store what it means for tables beside the streams, so that both are
/// written in one transaction. Pure: asked again after a failure, it says the same.
pub trait Project: Send + Sync {
    /// Adds to `flush.writes`. Its chunks hold whole records.
    fn project(&self, flush: &mut Flush);
}

/// The background writer of the store. There is one, so that the rows of a stream are written in
/// order.
pub struct Flusher {
    store: Arc<dyn Store>,
    commits: Arc<Commits>,
    budget: Budget,
    memory: Arc<WindowMemory>,
    projection: Option<Arc<dyn Project>>,
    traces: Option<Arc<Traces>>,
    /// The outcome of the last write is unknown.
    uncertain: bool,
    /// The store was asked what it has before the last write.
    resynced: bool,
    /// Streams whose rows are to be merged.
    merges: Vec<StreamId>,
}

/// A channel that waits for its turn, and how far it has to come in this round.
struct Waiting {
    channel: Arc<Channel>,
    target: Offset,
}

/// What one transaction writes.
#[derive(Default)]
struct Batch {
    channels: Vec<Waiting>,
    /// One for each of them.
    flushes: Vec<Flush>,
    /// Those that the store has as they are. They stay on the list until the others are written, and
    /// with it in memory: one that came and went without a row stands before the row of an earlier
    /// life of its name, which must not be found as long as it is there.
    current: Vec<Waiting>,
}

impl Flusher {
    /// Flushes from `commits` to `store` and gives back to `budget` what has been stored.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        commits: Arc<Commits>,
        budget: Budget,
        memory: Arc<WindowMemory>,
    ) -> Self {
        Self {
            store,
            commits,
            budget,
            memory,
            projection: None,
            traces: None,
            uncertain: false,
            resynced: false,
            merges: Vec::new(),
        }
    }

    /// With tables beside the streams.
    #[must_use]
    pub fn projecting(mut self, projection: Arc<dyn Project>) -> Self {
        self.projection = Some(projection);
        self
    }

    /// With a span for each transaction.
    #[must_use]
    pub fn traced(mut self, traces: Option<Arc<Traces>>) -> Self {
        self.traces = traces;
        self
    }

    /// Flushes every `interval`, sooner when much is waiting, until `stop`, and once more then.
    /// A store that fails is tried again, less and less often.
    ///
    /// # Errors
    /// The last flush failed. The journal keeps what it could not write.
    pub async fn run(
        mut self,
        interval: Duration,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        let mut wait = interval;
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(wait) => false,
                () = self.commits.many_dirty(), if wait == interval => false,
            };
            let flushed = self.flush().await;
            if stopped {
                return flushed;
            }
            let was_failing = wait != interval;
            match flushed {
                Ok(()) => {
                    if was_failing {
                        tracing::info!("the store takes writes again");
                    }
                    wait = interval;
                }
                Err(error) => {
                    if self.is_final(&error) {
                        tracing::error!(%error, "no more appends");
                        self.commits.fail();
                        return Err(error);
                    }
                    if !was_failing {
                        tracing::warn!(%error, "the store takes no writes; trying again");
                    }
                    let retry_max = Duration::from_millis(FLUSH_RETRY_MS_MAX).max(interval);
                    wait = (wait * 2).clamp(Duration::from_millis(100), retry_max);
                }
            }
        }
    }

    /// Whether the store will never again take what this server has.
    fn is_final(&self, error: &StoreError) -> bool {
        match error {
            StoreError::TakenOver => true,
            // After the store was asked what it has, so somebody else has changed it.
            StoreError::Conflict(_) => self.resynced,
            _ => false,
        }
    }

    /// Writes everything that is published now. What is published meanwhile waits for the next
    /// time, so that a flush ends.
    ///
    /// # Errors
    /// The store failed. Nothing is lost: what is not written stays on the list.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        // The mark first: everything up to it is on the list that is taken then.
        let now_us = self.commits.stats().now_us();
        let mark = self.commits.published();
        let mut dirty = self.commits.take_dirty();
        self.commits.stats().taken.set(dirty.len());
        // An earlier life of a name leaves the store before the next one enters it. Whenever a new
        // life is on the list, the end of the earlier one is visible. And a stream enters before
        // those that branch off from it, which began later.
        dirty.sort_by_cached_key(|channel| (!channel.is_gone(), channel.id()));
        let mut waiting: VecDeque<Waiting> = dirty
            .into_iter()
            .map(|channel| Waiting { target: channel.durable(), channel })
            .collect();
        let result = self.write_all(&mut waiting).await;
        self.resynced = std::mem::replace(&mut self.uncertain, result.is_err());
        self.commits.push_dirty(waiting.into_iter().map(|waiting| waiting.channel));
        self.commits.stats().taken.set(0);
        result?;
        self.commits.stored(mark);
        self.commits.stats().stored(now_us);
        while let Some(stream) = self.merges.pop() {
            // Only tidying up: what could not be merged stays as it is.
            if let Err(error) = self.store.merge(stream).await {
                tracing::warn!(%error, stream = stream.0, "cannot merge the rows of a stream");
            }
        }
        Ok(())
    }

    /// Writes until nothing is left in `waiting`, or the store fails.
    async fn write_all(&mut self, waiting: &mut VecDeque<Waiting>) -> Result<(), StoreError> {
        if self.uncertain {
            self.resync(waiting).await?;
        }
        while !waiting.is_empty() {
            let Batch { channels, mut flushes, current } = next_batch(waiting);
            if let Some(projection) = &self.projection {
                flushes.iter_mut().for_each(|flush| projection.project(flush));
            }
            if let Err(error) = self.write(&flushes).await {
                let all = channels.into_iter().chain(current);
                all.for_each(|channel| waiting.push_front(channel));
                return Err(error);
            }
            current.into_iter().for_each(|waiting| self.settle(waiting.channel));
            for (Waiting { channel, target }, flush) in channels.into_iter().zip(flushes).rev() {
                let reached = flush.remove || flush.stream.tail.bytes >= target.bytes;
                self.budget.give_back(channel.flushed(flush, self.memory.keep_bytes()));
                if channel.take_merge(MERGE_ROWS) {
                    self.merges.push(channel.id());
                }
                if reached {
                    self.settle(channel);
                } else {
                    waiting.push_front(Waiting { channel, target });
                }
            }
        }
        Ok(())
    }

    async fn write(&self, flushes: &[Flush]) -> Result<(), StoreError> {
        let (stats, begun) = (self.commits.stats(), Instant::now());
        let mut span = self.traces.as_ref().and_then(|traces| traces.flush(flushes.len()));
        let written = self.store.flush(flushes).await;
        if let (Some(span), Err(_)) = (&mut span, &written) {
            span.failed("store");
        }
        count(stats, flushes, begun, written.is_ok());
        written
    }

    /// Takes a channel off the list, or puts it on the next one when it has grown meanwhile.
    fn settle(&self, channel: Arc<Channel>) {
        match channel.settle() {
            Some(cost) => self.budget.give_back(cost),
            None => self.commits.push_dirty([channel]),
        }
    }

    /// Asks the store what it has: a transaction may have been committed although its answer was
    /// lost.
    async fn resync(&self, waiting: &VecDeque<Waiting>) -> Result<(), StoreError> {
        let ids: Vec<StreamId> = waiting.iter().map(|waiting| waiting.channel.id()).collect();
        let mut rows = HashMap::new();
        for ids in ids.chunks(LOAD_NAMES_MAX) {
            let found = self.store.streams(ids).await?;
            rows.extend(found.into_iter().map(|stream| (stream.id, stream)));
        }
        for Waiting { channel, .. } in waiting {
            channel.resync(rows.get(&channel.id()));
        }
        Ok(())
    }
}

/// Counts a transaction that has written these, or not.
pub fn count(stats: &Pipeline, flushes: &[Flush], begun: Instant, written: bool) {
    stats.flushes.time(begun.elapsed());
    if !written {
        stats.flush_errors.one();
        return;
    }
    for chunk in flushes.iter().flat_map(|flush| &flush.chunks) {
        stats.rows.one();
        stats.row_records.add(chunk.records());
        stats.row_bytes.add(chunk.body.len() as u64);
    }
}

/// Takes the next channels in the order of the list, as many as one transaction may write.
fn next_batch(waiting: &mut VecDeque<Waiting>) -> Batch {
    let (mut batch, mut bytes) = (Batch::default(), 0);
    while bytes < FLUSH_BYTES_MAX && batch.flushes.len() < FLUSH_STREAMS_MAX {
        let Some(next) = waiting.pop_front() else {
            break;
        };
        let Some(mut flush) = next.channel.flush(FLUSH_BYTES_MAX) else {
            batch.current.push(next);
            continue;
        };
        flush.chunks = Chunk::coalesce(&flush.chunks, CHUNK_BYTES_MAX);
        bytes += flush.chunks.iter().map(|chunk| chunk.body.len()).sum::<usize>();
        batch.channels.push(next);
        batch.flushes.push(flush);
    }
    batch
}
