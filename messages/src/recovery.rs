//! The start after a stop or a crash: what the journal holds beyond the store comes back into
//! memory. Its cost grows with what is unstored, never with how much is stored.

use crate::{
    admission::Over,
    budget::Budget,
    channel::{Channel, HistoryMismatch, WindowMemory},
    committer::Commits,
    limits::LOAD_NAMES_MAX,
    model::{Change, CloseReason, Delete, Fork, Offset, StoredStream, StreamId, StreamName},
    store::{Store, StoreError},
    stream::{Addition, StreamError, Streams},
};
use futures::StreamExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Closings on their way at once at start.
const CLOSING_MAX: usize = 256;

/// Why the server cannot start on this journal and this store.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The store does not say what it has.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Journal and store disagree.
    #[error(transparent)]
    Mismatch(#[from] HistoryMismatch),
}

/// The channels that a journal speaks of, as they are after it.
pub struct Recovered {
    /// Deleted or replaced, with rows that are still there: until those have gone, nobody may find
    /// them in the store.
    gone: Vec<Arc<Channel>>,
    /// For the flusher.
    dirty: Vec<Arc<Channel>>,
    live: Vec<Arc<Channel>>,
    cost: usize,
}

/// Applies the changes of a journal to what the store has, at `now_ms`.
///
/// # Errors
/// The store does not answer, or the two do not belong together.
pub async fn recover(
    store: &dyn Store,
    changes: Vec<(StreamId, Change)>,
    now_ms: u64,
    memory: &Arc<WindowMemory>,
) -> Result<Recovered, RecoveryError> {
    let ids = changes.iter().flat_map(|(id, change)| {
        [Some(*id), replaces(change), fork(change).map(|fork| fork.source)].into_iter().flatten()
    });
    let stored = load(store, ids.collect()).await?;
    let gone: BTreeSet<StreamId> = changes
        .iter()
        .flat_map(|(id, change)| [replaces(change), deletes(*id, change)])
        .flatten()
        .collect();
    let mut recovery = Recovery { gone, channels: BTreeMap::new(), memory, now_ms };
    let mut recovered =
        Recovered { gone: Vec::new(), dirty: Vec::new(), live: Vec::new(), cost: 0 };
    // In the order of their identities, in which a source comes before its forks.
    for stream in stored.into_values() {
        recovered.gone.extend(recovery.load(stream)?);
    }
    let mut changed = BTreeSet::new();
    for (id, change) in changes {
        if recovery.gone.contains(&id) {
            continue;
        }
        let channel = recovery.channel(id, &change)?;
        if let Some(cost) = channel.replay(change)? {
            // Whenever it was: the time since has not been its own fault.
            channel.touch(now_ms);
            recovered.cost += cost;
            if changed.insert(id) {
                recovered.dirty.push(channel);
            }
        }
    }
    let is_live = |channel: &Arc<Channel>| channel.status().is_some() || channel.over().is_some();
    recovered.live.extend(recovery.channels.into_values().filter(is_live));
    Ok(recovered)
}

/// The rows of the streams `ids` and of all that they branch off from.
async fn load(
    store: &dyn Store,
    mut ids: BTreeSet<StreamId>,
) -> Result<BTreeMap<StreamId, StoredStream>, RecoveryError> {
    let mut found = BTreeMap::new();
    while !ids.is_empty() {
        let asked: Vec<StreamId> = std::mem::take(&mut ids).into_iter().collect();
        for asked in asked.chunks(LOAD_NAMES_MAX) {
            for stream in store.streams(asked).await? {
                ids.extend(stream.fork.as_ref().map(|fork| fork.source));
                found.insert(stream.id, stream);
            }
        }
        ids.retain(|id| !found.contains_key(id));
    }
    Ok(found)
}

/// Channels on their way back into memory.
struct Recovery<'a> {
    /// Streams of which nothing is to be kept.
    gone: BTreeSet<StreamId>,
    channels: BTreeMap<StreamId, Arc<Channel>>,
    memory: &'a Arc<WindowMemory>,
    now_ms: u64,
}

impl Recovery<'_> {
    fn source(
        &self,
        id: StreamId,
        fork: Option<&Fork>,
    ) -> Result<Option<Arc<Channel>>, HistoryMismatch> {
        let Some(fork) = fork else { return Ok(None) };
        let found = self.channels.get(&fork.source).cloned();
        found.map(Some).ok_or(HistoryMismatch { id, tail: Offset::ZERO, at: fork.at })
    }

    /// Takes up what the store has. One that is gone is given back, for its rows to be removed.
    fn load(&mut self, stream: StoredStream) -> Result<Option<Arc<Channel>>, HistoryMismatch> {
        let id = stream.id;
        if self.gone.contains(&id) {
            // As long as its row is there, the store counts it for its source, which must therefore
            // stay in memory. A source that is gone, too, does not matter.
            let source =
                stream.fork.as_ref().and_then(|fork| self.channels.get(&fork.source)).cloned();
            if let Some(source) = &source {
                let mut source = source.writer();
                source.forks = source.forks.saturating_sub(1);
            }
            let fork = stream.fork.filter(|_| source.is_some());
            let stream = StoredStream { fork, ..stream };
            let channel = Arc::new(Channel::load(stream, source, self.memory.clone()));
            channel.writer().over = Some(Over::Deleted);
            let _ = channel.publish(Change::Delete(Delete::Whole), 0);
            return Ok(Some(channel));
        }
        let source = self.source(id, stream.fork.as_ref())?;
        let channel = Arc::new(Channel::load(stream, source, self.memory.clone()));
        self.channels.insert(id, channel);
        Ok(None)
    }

    /// The stream that a change belongs to.
    fn channel(&mut self, id: StreamId, change: &Change) -> Result<Arc<Channel>, HistoryMismatch> {
        if let Some(channel) = self.channels.get(&id) {
            return Ok(channel.clone());
        }
        let Change::Create(create) = change else {
            return Err(HistoryMismatch { id, tail: Offset::ZERO, at: offset(change) });
        };
        let source = self.source(id, create.fork.as_ref())?;
        if let Some(source) = &source {
            source.writer().forks += 1;
        }
        let channel = Channel::new(id, create, source, self.now_ms, self.memory.clone());
        let channel = Arc::new(channel);
        self.channels.insert(id, channel.clone());
        Ok(channel)
    }
}

fn replaces(change: &Change) -> Option<StreamId> {
    match change {
        Change::Create(create) => create.replaces,
        Change::Append(_) | Change::Delete(_) => None,
    }
}

fn fork(change: &Change) -> Option<&Fork> {
    match change {
        Change::Create(create) => create.fork.as_ref(),
        Change::Append(_) | Change::Delete(_) => None,
    }
}

fn deletes(id: StreamId, change: &Change) -> Option<StreamId> {
    matches!(change, Change::Delete(Delete::Whole)).then_some(id)
}

fn offset(change: &Change) -> Offset {
    match change {
        Change::Create(_) | Change::Delete(_) => Offset::ZERO,
        Change::Append(append) => append.chunk.at,
    }
}

impl Recovered {
    /// How many streams have something that the store lacks.
    #[must_use]
    pub fn unstored(&self) -> usize {
        self.gone.len() + self.dirty.len()
    }

    /// The streams that the journal says are open and tied.
    #[must_use]
    pub fn orphans(&self) -> Vec<StreamName> {
        let is_orphan = |channel: &&Arc<Channel>| {
            let state = channel.writer();
            state.tied && state.closed.is_none() && state.over.is_none()
        };
        self.live.iter().filter(is_orphan).map(|channel| channel.name().clone()).collect()
    }

    /// Puts the channels into their places, before anybody else uses any of these.
    pub fn install(self, streams: &Streams, commits: &Commits, budget: &Budget) {
        budget.take_at_once(self.cost);
        commits.changes().note(&self.dirty);
        commits.push_dirty(self.gone.iter().cloned().chain(self.dirty));
        // A name may live again.
        self.gone.into_iter().for_each(|channel| streams.restore(channel));
        self.live.into_iter().for_each(|channel| streams.restore(channel));
    }
}

/// Closes the open streams whose producer lived in an earlier run of the server, so that no reader
/// waits for ever. Returns how many there were.
///
/// # Errors
/// The store does not answer, or the journal takes nothing.
pub async fn close_orphans(
    streams: &Streams,
    store: &dyn Store,
    unstored: &[StreamName],
) -> Result<usize, OrphanError> {
    let stored = store.tied().await?;
    let names: BTreeSet<StreamName> =
        stored.into_iter().map(|stream| stream.name).chain(unstored.iter().cloned()).collect();
    let closings = names.into_iter().map(|name| async move {
        match close_orphan(streams, &name).await {
            // One that was deleted, or whose time is over, is nobody's.
            Err(StreamError::NotFound | StreamError::Hidden) => Ok(0),
            closed => closed.map(usize::from),
        }
    });
    let mut closings = futures::stream::iter(closings).buffer_unordered(CLOSING_MAX);
    let mut closed = 0;
    while let Some(result) = closings.next().await {
        closed += result?;
    }
    Ok(closed)
}

/// Returns whether it was one.
async fn close_orphan(streams: &Streams, name: &StreamName) -> Result<bool, StreamError> {
    let channel = streams.find(name).await?;
    let is_orphan = {
        let state = channel.writer();
        state.tied && state.closed.is_none()
    };
    if is_orphan {
        let close = Some(CloseReason::Interrupted);
        let addition = Addition { tied: true, close, ..Addition::default() };
        streams.append_patiently(&channel, addition).await?;
    }
    Ok(is_orphan)
}

/// Why orphans could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum OrphanError {
    /// The store does not say which there are.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of them cannot be closed.
    #[error(transparent)]
    Stream(#[from] StreamError),
}
