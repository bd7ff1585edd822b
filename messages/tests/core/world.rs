//! A server without its edges: streams over a journal on a simulated disk and a store in memory,
//! driven step by step, so that a seed says everything that happens.

use super::{clock::ManualClock, disk::SimDisk, ledger::Batch};
use messages::{
    budget::Budget,
    channel::WindowMemory,
    clock::Clock,
    committer::{Commits, Committer},
    flusher::Flusher,
    journal::{FileJournal, Journal, Mark},
    model::{Change, StreamId},
    recovery,
    store::Store,
    stream::{Ground, Piece, StreamError, Streams},
};
use std::{
    future::Future,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
};

pub const SEGMENT_BYTES: u64 = 2048;

/// What outlives a server.
pub struct Machine {
    pub disk: SimDisk,
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    /// Whether the journal waits for the disk.
    pub barrier: bool,
    pub window_bytes: usize,
    pub log: Arc<Mutex<Log>>,
}

/// What the journal was told.
#[derive(Default)]
pub struct Log {
    /// What it has.
    pub committed: Vec<Batch>,
    /// What it may have, whole or not at all.
    pub failed: Option<Batch>,
}

impl Machine {
    pub fn new(store: Arc<dyn Store>) -> Self {
        let (disk, clock) = (SimDisk::default(), ManualClock::new());
        Self { disk, store, clock, barrier: true, window_bytes: 0, log: Arc::default() }
    }
}

pub struct World {
    pub streams: Arc<Streams>,
    pub committer: Committer,
    pub flusher: Flusher,
    pub commits: Arc<Commits>,
    pub budget: Budget,
    /// What was in the journal at the start.
    pub replayed: Batch,
}

/// A journal that tells what happens to it.
struct Recorder {
    journal: FileJournal,
    log: Arc<Mutex<Log>>,
}

impl Journal for Recorder {
    fn prepare(&mut self, bytes: usize) -> io::Result<()> {
        self.journal.prepare(bytes)
    }

    fn commit(&mut self, batch: &mut dyn Iterator<Item = (StreamId, &Change)>) -> io::Result<Mark> {
        let batch: Batch = batch.map(|(id, change)| (id, change.clone())).collect();
        let result = self.journal.commit(&mut batch.iter().map(|(id, change)| (*id, change)));
        let mut log = self.log.lock().expect("no panic while locked");
        match result {
            Ok(_) => log.committed.push(batch),
            Err(_) => log.failed = Some(batch),
        }
        result
    }

    fn trim(&mut self, stored: Mark) -> io::Result<()> {
        self.journal.trim(stored)
    }
}

impl World {
    /// Starts on what is on the disk and in the store.
    ///
    /// # Errors
    /// What the journal says when it cannot be opened.
    pub async fn start(machine: &Machine) -> anyhow::Result<Self> {
        let Machine { disk, store, clock, barrier, window_bytes, log } = machine;
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
        let replayed = replay.changes.clone();
        let recovered = recovery::recover(&**store, replay.changes, now_ms, &memory).await?;
        let orphans = recovered.orphans();
        recovered.install(&streams, &commits, &budget);
        let committer =
            Committer::new(commits.clone(), Box::new(Recorder { journal, log: log.clone() }));
        let flusher = Flusher::new(store.clone(), commits.clone(), budget.clone(), memory);
        let mut world =
            Self { streams: streams.clone(), committer, flusher, commits, budget, replayed };
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
        for _ in 0..100_000 {
            if let Poll::Ready(value) = futures::poll!(future.as_mut()) {
                return Ok(value);
            }
            self.committer.step()?;
            tokio::task::yield_now().await;
        }
        panic!("it waits for ever");
    }

    /// Everything that a reader gets from `position` on without waiting, and whether it was the end.
    ///
    /// # Errors
    /// What the reader is told.
    pub async fn read(
        &mut self,
        name: &str,
        position: u64,
    ) -> anyhow::Result<Result<(Vec<u8>, bool), StreamError>> {
        let streams = self.streams.clone();
        let name = name.parse().expect("valid");
        self.drive(async move {
            let channel = streams.find(&name).await?;
            let (mut cursor, _) = streams.read(channel, position).await?;
            let mut bytes = Vec::new();
            loop {
                match cursor.ready().await? {
                    Some(Piece::Data(part)) => {
                        bytes.extend_from_slice(&part.bytes);
                        assert_eq!(part.end.bytes, position + bytes.len() as u64);
                    }
                    Some(Piece::End(_)) => return Ok((bytes, true)),
                    None => return Ok((bytes, false)),
                }
            }
        })
        .await
    }
}
