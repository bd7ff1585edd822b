//! The flusher of one of several nodes. What there is to do is a list in the shared log: any node takes
//! what comes next, and what a dead node has taken is taken by another. A row says of which version it
//! is, and a write of the next one has to fit: so done twice it is done once.

use crate::{
    flusher::{Project, count},
    limits::{
        CHUNK_BYTES_MAX, FLUSH_BYTES_MAX, FLUSH_LEASE_MS, FLUSH_STREAMS_MAX, LOAD_NAMES_MAX,
        STRAY_MS, WORK_TAKEN_MAX,
    },
    model::{Chunk, Flush, StoredStream, StreamId, StreamName},
    shared_log::{Scope, Work},
    store::{NodeStore, Store, StoreError},
    stream::{Planned, Shared},
    traces::Traces,
};
use futures::future::join_all;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// See the module.
pub struct NodeFlusher {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    nodes: Arc<dyn NodeStore>,
    projection: Option<Arc<dyn Project>>,
    traces: Option<Arc<Traces>>,
    /// Taken, and not done.
    taken: HashMap<StreamName, Taken>,
    is_failing: bool,
}

/// Work on a name.
struct Taken {
    since: Instant,
    works: Vec<Work>,
}

impl Default for Taken {
    fn default() -> Self {
        Self { since: Instant::now(), works: Vec::new() }
    }
}

/// What is to be written of a name.
struct Part {
    name: StreamName,
    planned: Planned,
}

impl NodeFlusher {
    /// Flushes from `shared` to `store`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, store: Arc<dyn Store>, nodes: Arc<dyn NodeStore>) -> Self {
        let taken = HashMap::new();
        Self { shared, store, nodes, projection: None, traces: None, taken, is_failing: false }
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

    /// Flushes every `interval`, sooner when somebody waits for it, until `stop`; and then everything
    /// that is there. What cannot be written then, another node writes, or the next start.
    pub async fn run(mut self, interval: Duration, stop: CancellationToken) {
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(interval) => false,
                () = self.shared.hurried() => false,
            };
            while self.flush().await && stopped {}
            if stopped {
                return;
            }
        }
    }

    /// Writes what there is. Returns whether there may be more.
    pub async fn flush(&mut self) -> bool {
        let now_us = self.shared.stats().now_us();
        let flushed = self.try_flush().await;
        let stats = self.shared.stats();
        stats.taken.set(self.taken.len());
        if self.taken.is_empty() {
            stats.stored(now_us);
        }
        match &flushed {
            Ok(_) if self.is_failing => tracing::info!("the database takes writes again"),
            Err(error) if !self.is_failing => {
                tracing::warn!(%error, "the database takes no writes; trying again");
            }
            _ => {}
        }
        self.is_failing = flushed.is_err();
        flushed.unwrap_or(false)
    }

    async fn try_flush(&mut self) -> Result<bool, StoreError> {
        // Before the work is taken, so that the claim lasts longer than what is done on it.
        let until_ms = self.nodes.now_ms().await? + FLUSH_LEASE_MS;
        let before = self.taken.len();
        for scope in [Scope::Chat, Scope::Streams] {
            match self.shared.log().take_work(scope, WORK_TAKEN_MAX).await {
                Ok(found) => found.into_iter().for_each(|work| {
                    self.taken.entry(work.name.clone()).or_default().works.push(work);
                }),
                Err(error) => tracing::debug!(%error, "no work for the flusher can be taken now"),
            }
        }
        let found = self.taken.len() > before;
        self.shared.stats().taken.set(self.taken.len());
        let names: Vec<StreamName> = self.taken.keys().cloned().collect();
        for names in names.chunks(LOAD_NAMES_MAX) {
            let parts = self.plan(names).await?;
            match self.write_all(parts, until_ms).await {
                // What is left is looked at again.
                Err(StoreError::TooLate) => return Ok(true),
                written => written?,
            }
        }
        Ok(found)
    }

    async fn plan(&self, names: &[StreamName]) -> Result<Vec<Part>, StoreError> {
        let looks = join_all(names.iter().map(|name| self.shared.look(name))).await;
        let known = names.iter().zip(looks).filter(|(_, look)| look.is_ok());
        let names: Vec<StreamName> = known.map(|(name, _)| name.clone()).collect();
        let rows = self.store.find(&names).await?;
        let mut rows: HashMap<StreamName, StoredStream> =
            rows.into_iter().map(|row| (row.name.clone(), row)).collect();
        let long = Duration::from_millis(STRAY_MS);
        let plans = names.iter().map(|name| {
            let is_old = self.taken.get(name).is_some_and(|taken| taken.since.elapsed() > long);
            self.shared.plan(name, rows.remove(name), is_old)
        });
        let plans = join_all(plans.collect::<Vec<_>>()).await;
        let parts = names.into_iter().zip(plans).filter_map(|(name, planned)| {
            let planned = planned.ok().flatten()?;
            Some(Part { name, planned })
        });
        Ok(parts.collect())
    }

    async fn write_all(&mut self, parts: Vec<Part>, until_ms: u64) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        for part in parts {
            let flushes = &part.planned.flushes;
            count += flushes.len();
            bytes += flushes.iter().map(|(_, flush)| size(flush)).sum::<usize>();
            batch.push(part);
            if bytes >= FLUSH_BYTES_MAX || count >= FLUSH_STREAMS_MAX {
                self.write(std::mem::take(&mut batch), until_ms).await?;
                (bytes, count) = (0, 0);
            }
        }
        self.write(batch, until_ms).await
    }

    /// Writes some names in one transaction; each in its own where one does not fit.
    async fn write(&mut self, parts: Vec<Part>, until_ms: u64) -> Result<(), StoreError> {
        match self.write_together(&parts, until_ms).await {
            Ok(()) => {
                self.done(parts).await;
                return Ok(());
            }
            Err(StoreError::Conflict(_)) if parts.len() > 1 => {}
            Err(StoreError::Conflict(stream)) => {
                // Another node has written it, which the next look tells.
                tracing::debug!(stream = stream.0, "another node was faster to flush");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        for part in parts {
            Box::pin(self.write(vec![part], until_ms)).await?;
        }
        Ok(())
    }

    async fn write_together(&self, parts: &[Part], until_ms: u64) -> Result<(), StoreError> {
        let mut flushes: Vec<Flush> = parts
            .iter()
            .flat_map(|part| {
                let lives = part.planned.flushes.iter().map(|(_, flush)| flush);
                part.planned.stray.iter().chain(lives).cloned()
            })
            .collect();
        if flushes.is_empty() {
            return Ok(());
        }
        for flush in &mut flushes {
            flush.chunks = Chunk::coalesce(&flush.chunks, CHUNK_BYTES_MAX);
            if let Some(projection) = &self.projection {
                projection.project(flush);
            }
        }
        flushes.sort_by_key(|flush| (!flush.remove, flush.stream.id));
        let begun = Instant::now();
        let mut span = self.traces.as_ref().and_then(|traces| traces.flush(flushes.len()));
        let written = self.nodes.flush_until(&flushes, until_ms).await;
        if let (Some(span), Err(_)) = (&mut span, &written) {
            span.failed("store");
        }
        count(self.shared.stats(), &flushes, begun, written.is_ok());
        written
    }

    /// Tells the log what the database has now.
    async fn done(&mut self, parts: Vec<Part>) {
        let mut merges: Vec<StreamId> = Vec::new();
        let mut told = Vec::new();
        for Part { name, planned: Planned { version, news, flushes, .. } } in parts {
            merges.extend(self.shared.flushed(flushes));
            let taken = self.taken.remove(&name).unwrap_or_default();
            told.extend(taken.works.into_iter().map(|work| (work, version, news)));
        }
        let log = self.shared.log();
        let answers =
            join_all(told.iter().map(|(work, version, news)| log.done(work, *version, *news)));
        let answers = answers.await;
        for ((work, ..), answer) in told.into_iter().zip(answers) {
            match answer {
                Ok(Some(head)) => self.shared.hear_stored(&work.name, head),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "the log does not know yet what is stored");
                    self.taken.entry(work.name.clone()).or_default().works.push(work);
                }
            }
        }
        for stream in merges {
            // Only tidying up: what could not be merged stays as it is.
            if let Err(error) = self.store.merge(stream).await {
                tracing::warn!(%error, stream = stream.0, "cannot merge the rows of a stream");
            }
        }
    }
}

fn size(flush: &Flush) -> usize {
    flush.chunks.iter().map(|chunk| chunk.body.len()).sum()
}
