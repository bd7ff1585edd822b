//! Who lives. A node that has not said so for a while is gone: what was produced inside of it is
//! closed, so that no reader waits for ever.

use crate::{
    limits::{NODE_BEAT_MS, NODE_TTL_MS},
    model::{CloseReason, StoredStream},
    shared_log::{Memory, Node, SharedLog},
    store::{Store, StoreError},
    stream::{Addition, Shared, StreamError, Streams},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// What is watched, and by whom.
pub struct Watch {
    /// The streams of this node.
    pub streams: Arc<Streams>,
    /// What it shares.
    pub shared: Arc<Shared>,
    /// The database of all.
    pub store: Arc<dyn Store>,
    /// Who this node is.
    pub node: Node,
    /// Bytes of memory of the log with which it counts as full; 0 for what it says itself.
    pub log_bytes_max: u64,
}

/// The nodes that live, as far as this one knows.
pub struct Nodes {
    watch: Watch,
    alive: Mutex<Vec<Node>>,
}

impl Nodes {
    /// Nobody yet but this node.
    #[must_use]
    pub fn new(watch: Watch) -> Arc<Self> {
        let alive = Mutex::new(vec![watch.node.clone()]);
        Arc::new(Self { watch, alive })
    }

    /// Those that live.
    #[must_use]
    pub fn alive(&self) -> Vec<Node> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says again and again that this node lives, until `stop`, and then that it is gone.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let log = self.watch.shared.log().clone();
        let mut ticks = tokio::time::interval(Duration::from_millis(NODE_BEAT_MS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => {
                    if let Err(error) = log.gone(self.watch.node.start).await {
                        tracing::debug!(%error, "could not say that this node is gone");
                    }
                    return;
                }
            }
            if let Err(error) = self.beat(&*log).await {
                tracing::debug!(%error, "could not look after other nodes");
            }
        }
    }

    async fn beat(&self, log: &dyn SharedLog) -> anyhow::Result<()> {
        self.look_for_room(log).await?;
        log.alive(&self.watch.node, Duration::from_millis(NODE_TTL_MS)).await?;
        let alive = log.nodes().await?;
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = alive.clone();
        self.close_orphans(&alive).await?;
        Ok(())
    }

    async fn look_for_room(&self, log: &dyn SharedLog) -> anyhow::Result<()> {
        let memory = log.memory().await?;
        let max = match (self.watch.log_bytes_max, memory.max_bytes) {
            (0, most) => most - most / 10,
            (ours, 0) => ours,
            (ours, most) => ours.min(most - most / 10),
        };
        let used = memory.used_bytes;
        let full = max > 0 && used >= max;
        if self.watch.shared.set_memory(Memory { used_bytes: used, max_bytes: max }) != full {
            if full {
                tracing::error!(used, max, "Redis is full; appends wait for the database");
            } else {
                tracing::info!(used, max, "Redis has room again");
            }
        }
        Ok(())
    }

    /// Closes what was produced in nodes that are gone.
    async fn close_orphans(&self, alive: &[Node]) -> Result<(), StoreError> {
        let alive: BTreeSet<u32> = alive.iter().map(|node| node.start).collect();
        let is_orphan = |stream: &StoredStream| !alive.contains(&((stream.id.0 >> 32) as u32));
        let tied = self.watch.store.tied().await?;
        for stream in tied.into_iter().filter(is_orphan) {
            if let Err(error) = self.close(&stream).await {
                tracing::warn!(%error, stream = %stream.name, "cannot close what nobody produces any more");
            }
        }
        Ok(())
    }

    async fn close(&self, stream: &StoredStream) -> Result<(), StreamError> {
        let streams = &self.watch.streams;
        let channel = match streams.find(&stream.name).await {
            Ok(channel) if channel.id() == stream.id => channel,
            Ok(_) | Err(StreamError::NotFound | StreamError::Hidden) => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_open = {
            let state = channel.writer();
            state.tied && state.closed.is_none() && state.over.is_none()
        };
        if is_open {
            let close = Addition { tied: true, ..Addition::close(CloseReason::Interrupted) };
            streams.append(&channel, close).await?;
        }
        Ok(())
    }
}
