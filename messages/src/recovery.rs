//! The start after a stop or a crash: what the journal holds beyond the store comes back into
//! memory. Its cost grows with what is unstored, never with how much is stored.

use crate::{
    budget::Budget,
    channel::{Channel, HistoryMismatch, WindowMemory},
    committer::Commits,
    limits::LOAD_NAMES_MAX,
    model::{Change, CloseReason, Offset, StreamId, StreamName},
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
    /// For the flusher: a life that was replaced comes before the one that replaces it.
    dirty: Vec<Arc<Channel>>,
    live: Vec<Arc<Channel>>,
    cost: usize,
}

/// Applies the changes of a journal to what the store has.
///
/// # Errors
/// The store does not answer, or the two do not belong together.
pub async fn recover(
    store: &dyn Store,
    changes: Vec<(StreamId, Change)>,
    memory: &Arc<WindowMemory>,
) -> Result<Recovered, RecoveryError> {
    let mut ids: Vec<StreamId> = changes.iter().map(|(id, _)| *id).collect();
    let replaced: BTreeSet<StreamId> =
        changes.iter().filter_map(|(_, change)| replaces(change)).collect();
    ids.extend(&replaced);
    ids.sort_unstable();
    ids.dedup();
    let mut channels = BTreeMap::new();
    for ids in ids.chunks(LOAD_NAMES_MAX) {
        for stored in store.streams(ids).await? {
            channels.insert(stored.id, Arc::new(Channel::load(stored, memory.clone())));
        }
    }
    let mut recovered = Recovered { dirty: Vec::new(), live: Vec::new(), cost: 0 };
    for old in replaced.iter().filter_map(|id| channels.remove(id)) {
        old.writer().replaced = true;
        let _ = old.publish_replaced();
        recovered.dirty.push(old);
    }
    let mut changed = BTreeSet::new();
    for (id, change) in changes {
        if replaced.contains(&id) {
            continue;
        }
        if let Change::Create(create) = &change {
            let make = || Arc::new(Channel::new(id, create, memory.clone()));
            channels.entry(id).or_insert_with(make);
        }
        let unknown = || HistoryMismatch { id, tail: Offset::ZERO, at: offset(&change) };
        let channel = channels.get(&id).ok_or_else(unknown)?;
        if let Some(cost) = channel.replay(change)? {
            recovered.cost += cost;
            if changed.insert(id) {
                recovered.dirty.push(channel.clone());
            }
        }
    }
    recovered.live.extend(channels.into_values().filter(|channel| channel.status().is_some()));
    Ok(recovered)
}

fn replaces(change: &Change) -> Option<StreamId> {
    match change {
        Change::Create(create) => create.replaces,
        Change::Append(_) => None,
    }
}

fn offset(change: &Change) -> Offset {
    match change {
        Change::Create(_) => Offset::ZERO,
        Change::Append(append) => append.chunk.at,
    }
}

impl Recovered {
    /// How many streams have something that the store lacks.
    #[must_use]
    pub fn unstored(&self) -> usize {
        self.dirty.len()
    }

    /// The streams that the journal says are open and tied.
    #[must_use]
    pub fn orphans(&self) -> Vec<StreamName> {
        let is_orphan = |channel: &&Arc<Channel>| {
            let state = channel.writer();
            state.tied && state.closed.is_none()
        };
        self.live.iter().filter(is_orphan).map(|channel| channel.name().clone()).collect()
    }

    /// Puts the channels into their places, before anybody else uses any of these.
    pub fn install(self, streams: &Streams, commits: &Commits, budget: &Budget) {
        budget.take_replayed(self.cost);
        commits.changes().note(&self.dirty);
        commits.push_dirty(self.dirty);
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
        let channel = streams.find(&name).await?;
        let is_orphan = {
            let state = channel.writer();
            state.tied && state.closed.is_none()
        };
        if is_orphan {
            let close = Some(CloseReason::Interrupted);
            let addition = Addition { record: "".into(), at: None, tied: true, close };
            streams.append_patiently(&channel, addition).await?;
        }
        Ok::<_, OrphanError>(usize::from(is_orphan))
    });
    let mut closings = futures::stream::iter(closings).buffer_unordered(CLOSING_MAX);
    let mut closed = 0;
    while let Some(result) = closings.next().await {
        closed += result?;
    }
    Ok(closed)
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
