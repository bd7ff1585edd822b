//! A server without its edges: streams over a journal on a simulated disk and a store in memory,
//! driven step by step, so that a seed says everything that happens.

use super::{clock::ManualClock, disk::SimDisk};
use messages::{
    budget::Budget,
    channel::WindowMemory,
    clock::Clock,
    committer::{Commits, Committer},
    flusher::Flusher,
    journal::FileJournal,
    recovery,
    store::Store,
    stream::{Ground, Piece, StreamError, Streams},
};
use std::{future::Future, pin::pin, sync::Arc, task::Poll};

pub const SEGMENT_BYTES: u64 = 2048;

/// What outlives a server.
pub struct Machine {
    pub disk: SimDisk,
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    /// Whether the journal waits for the disk.
    pub barrier: bool,
    pub window_bytes: usize,
}

impl Machine {
    pub fn new(store: Arc<dyn Store>) -> Self {
        let (disk, clock) = (SimDisk::default(), ManualClock::new());
        Self { disk, store, clock, barrier: true, window_bytes: 0 }
    }
}

pub struct World {
    pub streams: Arc<Streams>,
    pub committer: Committer,
    pub flusher: Flusher,
}

impl World {
    /// Starts on what is on the disk and in the store.
    ///
    /// # Errors
    /// What the journal says when it cannot be opened.
    pub async fn start(machine: &Machine) -> anyhow::Result<Self> {
        let Machine { disk, store, clock, barrier, window_bytes } = machine;
        let (journal, replay) = FileJournal::open(Box::new(disk.clone()), SEGMENT_BYTES, *barrier)?;
        let start = store.count_start().await?;
        let budget = Budget::new(64 << 20);
        let memory = WindowMemory::new(*window_bytes);
        let commits = Commits::new(replay.mark, u64::MAX);
        let streams = Arc::new(Streams::new(Ground {
            store: store.clone(),
            commits: commits.clone(),
            budget: budget.clone(),
            memory: memory.clone(),
            clock: clock.clone(),
            start,
            stream_bytes_max: 1 << 30,
        }));
        let now_ms = clock.now_ms();
        let recovered = recovery::recover(&**store, replay.changes, now_ms, &memory).await?;
        let orphans = recovered.orphans();
        recovered.install(&streams, &commits, &budget);
        let committer = Committer::new(commits.clone(), Box::new(journal));
        let flusher = Flusher::new(store.clone(), commits, budget, memory);
        let mut world = Self { streams: streams.clone(), committer, flusher };
        let closing = async move { recovery::close_orphans(&streams, &**store, &orphans).await };
        world.drive(closing).await??;
        Ok(world)
    }

    /// Waits for `future` with a committer at work.
    ///
    /// # Errors
    /// The journal fails.
    pub async fn drive<T>(&mut self, future: impl Future<Output = T>) -> anyhow::Result<T> {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(value) = futures::poll!(future.as_mut()) {
                return Ok(value);
            }
            self.committer.step()?;
            tokio::task::yield_now().await;
        }
    }

    /// Everything that a reader gets from `position` on without waiting, and whether it was the end.
    ///
    /// # Errors
    /// What the reader is told.
    pub async fn read(&self, name: &str, position: u64) -> Result<(Vec<u8>, bool), StreamError> {
        let channel = self.streams.find(&name.parse().expect("valid")).await?;
        let mut begin = pin!(self.streams.read(channel, position));
        let Poll::Ready(begun) = futures::poll!(begin.as_mut()) else {
            return Err(StreamError::NotFound);
        };
        let (mut cursor, _) = begun?;
        let mut bytes = Vec::new();
        loop {
            let next = pin!(cursor.next());
            match futures::poll!(next) {
                Poll::Ready(Ok(Piece::Data(part))) => bytes.extend_from_slice(&part.bytes),
                Poll::Ready(Ok(Piece::End(_))) => return Ok((bytes, true)),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok((bytes, false)),
            }
        }
    }
}
