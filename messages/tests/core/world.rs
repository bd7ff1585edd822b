//! A server without its edges: streams over a journal on a simulated disk and a store in memory,
//! driven step by step, so that a seed says everything that happens.

use super::{disk::SimDisk, memory_store::MemoryStore};
use messages::{
    budget::Budget,
    channel::WindowMemory,
    committer::{Commits, Committer},
    flusher::Flusher,
    journal::FileJournal,
    recovery,
    store::Store,
    stream::{Piece, StreamError, Streams},
};
use std::{future::Future, pin::pin, sync::Arc, task::Poll};

pub const SEGMENT_BYTES: u64 = 2048;

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
    pub async fn start(
        disk: &SimDisk,
        store: &Arc<MemoryStore>,
        barrier: bool,
        window_bytes: usize,
    ) -> anyhow::Result<Self> {
        let (journal, replay) = FileJournal::open(Box::new(disk.clone()), SEGMENT_BYTES, barrier)?;
        let store: Arc<dyn Store> = store.clone();
        let start = store.count_start().await?;
        let budget = Budget::new(64 << 20);
        let memory = WindowMemory::new(window_bytes);
        let commits = Commits::new(replay.mark, u64::MAX);
        let streams = Arc::new(Streams::new(
            store.clone(),
            commits.clone(),
            budget.clone(),
            memory.clone(),
            start,
            1 << 30,
        ));
        let recovered = recovery::recover(&*store, replay.changes, &memory).await?;
        let orphans = recovered.orphans();
        recovered.install(&streams, &commits, &budget);
        let committer = Committer::new(commits.clone(), Box::new(journal));
        let flusher = Flusher::new(store.clone(), commits, budget, memory);
        let mut world = Self { streams: streams.clone(), committer, flusher };
        let closing = async move { recovery::close_orphans(&streams, &*store, &orphans).await };
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
                Poll::Ready(Ok(Piece::Data(piece))) => bytes.extend_from_slice(&piece),
                Poll::Ready(Ok(Piece::End(_))) => return Ok((bytes, true)),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok((bytes, false)),
            }
        }
    }
}
