//! The plainest store: the model that the others are compared with, and one that fails on demand.

use super::memory_subscriptions::Subscriptions;
use futures::future::{BoxFuture, ready};
use messages::{
    model::{Chunk, Flush, StoredStream, StreamId, StreamName},
    store::{NodeStore, Store, StoreError},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    pub(super) subscriptions: Mutex<Subscriptions>,
    save_fault: AtomicBool,
    save_wait_ms: AtomicU64,
}

#[derive(Clone, Default)]
struct State {
    starts: u32,
    streams: BTreeMap<StreamId, (StoredStream, Vec<Chunk>)>,
    /// After so many more flushes.
    fault: Option<(u32, Fault)>,
    /// Rows of streams that were written.
    flushes: u64,
}

/// What goes wrong with the next flush.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is not written.
    Refused,
    /// It is written, but nobody is told.
    AnswerLost,
}

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    pub fn fail_next_flush(&self, fault: Fault) {
        self.fail_flush_after(0, fault);
    }

    pub fn fail_flush_after(&self, flushes: u32, fault: Fault) {
        self.state().fault = Some((flushes, fault));
    }

    /// Somebody else removes everything.
    pub fn clear(&self) {
        self.state().streams.clear();
    }

    /// How often the row of a stream was written.
    pub fn flushes(&self) -> u64 {
        self.state().flushes
    }

    pub fn count(&self) -> usize {
        self.state().streams.len()
    }

    pub fn row(&self, name: &str) -> Option<StoredStream> {
        self.select(|stream| stream.name.as_str() == name).pop()
    }

    /// Somebody else removes one.
    pub fn remove(&self, name: &str) {
        self.state().streams.retain(|_, (stream, _)| stream.name.as_str() != name);
    }

    /// The next step of a subscription is not stored.
    pub fn fail_next_save(&self) {
        self.save_fault.store(true, Relaxed);
    }

    /// From now on it takes so long to store a step of a subscription.
    pub fn slow_saves(&self, ms: u64) {
        self.save_wait_ms.store(ms, Relaxed);
    }

    pub(super) fn save_wait_ms(&self) -> u64 {
        self.save_wait_ms.load(Relaxed)
    }

    pub(super) fn take_save_fault(&self) -> bool {
        self.save_fault.swap(false, Relaxed)
    }

    pub(super) fn select(&self, wanted: impl Fn(&StoredStream) -> bool) -> Vec<StoredStream> {
        let state = self.state();
        let found = state.streams.values().map(|(stream, _)| stream).filter(|s| wanted(s));
        found.map(|s| StoredStream { forks: forks(&state, s.id), ..s.clone() }).collect()
    }
}

fn forks(state: &State, id: StreamId) -> u64 {
    let is_fork = |s: &StoredStream| s.fork.as_ref().is_some_and(|fork| fork.source == id);
    state.streams.values().filter(|(stream, _)| is_fork(stream)).count() as u64
}

fn unavailable() -> StoreError {
    StoreError::Database(sqlx::Error::PoolTimedOut)
}

fn write(state: &mut State, flushes: &[Flush]) -> Result<(), StoreError> {
    for flush in flushes.iter().filter(|flush| flush.remove) {
        state.streams.remove(&flush.stream.id);
    }
    for flush in flushes.iter().filter(|flush| !flush.remove) {
        let id = flush.stream.id;
        state.flushes += 1;
        let row = state.streams.get(&id).map(|(stream, _)| stream.tail);
        let version = state.streams.get(&id).map_or(0, |(stream, _)| stream.version);
        let name_is_taken =
            state.streams.values().any(|(s, _)| s.name == flush.stream.name && s.id != id);
        if row != flush.from || version != flush.from_version || name_is_taken {
            return Err(StoreError::Conflict(id));
        }
        let (stream, chunks) =
            state.streams.entry(id).or_insert_with(|| (flush.stream.clone(), Vec::new()));
        let mut producers: HashMap<_, _> = std::mem::take(&mut stream.writers.producers);
        producers.extend(flush.producers.iter().cloned());
        *stream = flush.stream.clone();
        stream.writers.producers = producers;
        chunks.extend(flush.chunks.iter().cloned());
    }
    Ok(())
}

impl Store for MemoryStore {
    fn count_start(&self) -> BoxFuture<'_, Result<u32, StoreError>> {
        let mut state = self.state();
        state.starts += 1;
        Box::pin(ready(Ok(state.starts)))
    }

    fn find<'a>(
        &'a self,
        names: &'a [StreamName],
    ) -> BoxFuture<'a, Result<Vec<StoredStream>, StoreError>> {
        Box::pin(ready(Ok(self.select(|stream| names.contains(&stream.name)))))
    }

    fn streams<'a>(
        &'a self,
        ids: &'a [StreamId],
    ) -> BoxFuture<'a, Result<Vec<StoredStream>, StoreError>> {
        Box::pin(ready(Ok(self.select(|stream| ids.contains(&stream.id)))))
    }

    fn tied(&self) -> BoxFuture<'_, Result<Vec<StoredStream>, StoreError>> {
        Box::pin(ready(Ok(self.select(|stream| stream.tied && stream.closed.is_none()))))
    }

    fn ended(&self, now_ms: u64, limit: u32) -> BoxFuture<'_, Result<Vec<StreamName>, StoreError>> {
        let state = self.state();
        let is_over = |stream: &StoredStream| match stream.hidden {
            false => stream.expires_ms.is_some_and(|ms| ms <= now_ms),
            true => forks(&state, stream.id) == 0,
        };
        let ended = state.streams.values().map(|(stream, _)| stream).filter(|s| is_over(s));
        let names = ended.map(|stream| stream.name.clone()).take(limit as usize).collect();
        Box::pin(ready(Ok(names)))
    }

    fn read(
        &self,
        stream: StreamId,
        position: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Chunk>, StoreError>> {
        let end = position.saturating_add(bytes_max.max(1) as u64);
        let state = self.state();
        let chunks = state.streams.get(&stream).map_or(&[][..], |(_, chunks)| chunks);
        let wanted = |chunk: &&Chunk| chunk.end().bytes > position && chunk.at.bytes < end;
        Box::pin(ready(Ok(chunks.iter().filter(wanted).cloned().collect())))
    }

    fn flush<'a>(&'a self, flushes: &'a [Flush]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            // A real one takes its time, and other things happen meanwhile.
            tokio::task::yield_now().await;
            let mut state = self.state();
            let fault = match state.fault.take() {
                Some((0, fault)) => Some(fault),
                later => {
                    state.fault = later.map(|(flushes, fault)| (flushes - 1, fault));
                    None
                }
            };
            let mut next = state.clone();
            let written = write(&mut next, flushes);
            if written.is_ok() && !matches!(fault, Some(Fault::Refused)) {
                *state = next;
            }
            if fault.is_some() { Err(unavailable()) } else { written }
        })
    }

    fn merge(&self, stream: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        if let Some((_, chunks)) = self.state().streams.get_mut(&stream) {
            *chunks = Chunk::coalesce(chunks, messages::limits::CHUNK_BYTES_MAX);
        }
        Box::pin(ready(Ok(())))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}

/// Its time stands still: what is held up for too long is for the tests of real ones.
impl NodeStore for MemoryStore {
    fn count_forks(&self, source: StreamId) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(ready(Ok(forks(&self.state(), source))))
    }

    fn incarnation(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(ready(Ok(None)))
    }

    fn begin_incarnation<'a>(
        &'a self,
        _: Option<&'a str>,
        _: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(ready(Ok(true)))
    }

    fn now_ms(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(ready(Ok(0)))
    }

    fn flush_until<'a>(
        &'a self,
        flushes: &'a [Flush],
        _: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.flush(flushes)
    }
}
