//! Streams of several nodes, on a log that all of them share.
//!
//! What a node has in memory of a name is a [`Line`]: the channel of its present life, and which change
//! of the log that is behind. Everything that somebody asks of a name goes into the queue of its line.
//! One task at a time takes what is there, decides on it as if nobody else was faster, and adds the
//! changes to the log with a compare. If somebody else was faster it takes up what is new and decides
//! again. So there is no owner of a stream, no lock that a dead node could hold, and what is visible
//! here has been in the log before.
//!
//! `ask.rs` is what can be asked, `line.rs` the queue and the task, `learn.rs` how a line takes up what
//! others have done, `mend.rs` what is done when the log is
//! behind, `foresight.rs` who knows of it before readers do, `fork.rs` what spans two names,
//! `plan.rs` what the flusher needs, `watch.rs` what happens to any name, `others.rs` what nodes say to
//! each other.

mod ask;
mod foresight;
mod fork;
mod health;
mod learn;
mod line;
mod mend;
mod others;
mod plan;
mod watch;

pub use foresight::Foresight;
pub use plan::Planned;

use super::{StreamError, create::Birth, loader::Loader};
use crate::{
    admission::Decision,
    channel::{Channel, WindowMemory},
    clock::Clock,
    committer::Commits,
    limits::{CHANNEL_IDLE_MS, LOG_PATIENCE_MS, TABLES_WAIT_MS_MAX},
    model::{StreamId, StreamName},
    shared_log::{LogError, Memory, Scope, SharedLog, Wake},
    stats::Pipeline,
    store::{NodeStore, Store},
};
pub(super) use ask::{Begun, Ended};

use ask::{Append, Begin, End, Expire, Look, News};
use bytes::Bytes;
use dashmap::DashMap;
use futures::{StreamExt, future::join_all};
use line::Line;
use std::{
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, broadcast, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// The topic under which nodes ask each other to flush at once.
const HURRY: &str = "hurry";

/// Between two looks at whether the store has everything, at first and at most.
const BARRIER_MS: (u64, u64) = (2, 50);

/// Before the log is asked again that has not answered.
const LOOK_AGAIN_MS: u64 = 200;

/// So many names are looked at at once when something may have been missed.
const LOOKS_MAX: usize = 256;

/// How many words of other nodes may wait for whoever listens here.
const SAID_MAX: usize = 4096;

/// All names that are at work on this node.
pub struct Shared {
    log: Arc<dyn SharedLog>,
    store: Arc<dyn Store>,
    nodes: Arc<dyn NodeStore>,
    loader: Arc<Loader>,
    commits: Arc<Commits>,
    memory: Arc<WindowMemory>,
    clock: Arc<dyn Clock>,
    lines: DashMap<StreamName, Arc<Line>>,
    next_number: AtomicU64,
    stream_bytes_max: u64,
    /// The log has no room.
    full: AtomicBool,
    /// What it said last of its memory.
    log_memory: Mutex<Memory>,
    /// Since when it does not answer.
    down: Mutex<Option<Instant>>,
    hurry: Notify,
    said: broadcast::Sender<Said>,
    unstored: broadcast::Sender<Option<StreamName>>,
    /// Who knows what comes before it is visible.
    foresight: OnceLock<Weak<dyn Foresight>>,
    /// The number of this start, by which others know this node.
    node: u32,
    attempts: AtomicU32,
    /// For the task of a name that needs another one.
    this: Weak<Self>,
}

/// Something that another node, or this one, has said.
#[derive(Clone, Debug)]
pub struct Said {
    /// To whom.
    pub topic: Arc<str>,
    /// What; `None` when something may have been missed.
    pub words: Option<Bytes>,
}

/// What lines stand on.
pub(super) struct SharedGround {
    pub log: Arc<dyn SharedLog>,
    pub store: Arc<dyn Store>,
    pub nodes: Arc<dyn NodeStore>,
    pub loader: Arc<Loader>,
    pub commits: Arc<Commits>,
    pub memory: Arc<WindowMemory>,
    pub clock: Arc<dyn Clock>,
    pub next_number: u64,
    pub stream_bytes_max: u64,
}

impl Shared {
    pub(super) fn new(ground: SharedGround) -> Arc<Self> {
        let SharedGround { log, store, nodes, loader, commits, memory, clock, .. } = ground;
        Arc::new_cyclic(|this| Self {
            log,
            store,
            nodes,
            loader,
            commits,
            memory,
            clock,
            lines: DashMap::new(),
            next_number: AtomicU64::new(ground.next_number),
            stream_bytes_max: ground.stream_bytes_max,
            full: AtomicBool::new(false),
            log_memory: Mutex::default(),
            down: Mutex::default(),
            hurry: Notify::new(),
            said: broadcast::Sender::new(SAID_MAX),
            unstored: broadcast::Sender::new(SAID_MAX),
            foresight: OnceLock::new(),
            node: (ground.next_number >> 32) as u32,
            attempts: AtomicU32::new(0),
            this: this.clone(),
        })
    }

    /// A number that no other node and no other start uses.
    fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn line(&self, name: &StreamName) -> Arc<Line> {
        if let Some(line) = self.lines.get(name) {
            return line.clone();
        }
        self.lines.entry(name.clone()).or_insert_with(|| Line::new(name.clone())).clone()
    }

    /// The channel of the present life of a name as it is when this is called, or later; `None` when
    /// there is none. While the log does not answer, as far as this node and the store know. Cancel safe.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn look(
        self: &Arc<Self>,
        name: &StreamName,
    ) -> Result<Option<Arc<Channel>>, StreamError> {
        self.look_with(name, true).await
    }

    /// The life of a name that this node last knew, if it knows of no end.
    pub(super) fn known(&self, name: &StreamName) -> Option<Arc<Channel>> {
        let channel = self.lines.get(name)?.known().clone()?;
        channel.over().is_none().then_some(channel)
    }

    async fn look_with(
        self: &Arc<Self>,
        name: &StreamName,
        anyhow: bool,
    ) -> Result<Option<Arc<Channel>>, StreamError> {
        let (answer, answered) = oneshot::channel();
        self.line(name).ask(self, Look { anyhow, answer });
        let found = answered.await.unwrap_or(Err(StreamError::Stopping))?;
        if let Some(channel) = &found {
            channel.mark_used(self.clock.now_ms());
        }
        Ok(found)
    }

    /// Adds to a stream, once it has been said what. Cancel safe: it happens whole or not at all.
    pub(super) async fn append(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        mut addition: super::Addition,
    ) -> Result<Decision, StreamError> {
        self.check_room()?;
        // The tie is to the node that a stream began on. A producer that has gone on at another one must
        // not be cut off when that one dies.
        addition.tied &= (channel.id().0 >> 32) as u32 == self.node;
        let (answer, answered) = oneshot::channel();
        // What is old goes from streams of chat, and somebody must always be able to leave.
        let is_chat = channel.name().in_chat().is_some();
        let bytes_max = if is_chat { u64::MAX } else { self.stream_bytes_max };
        let append = Append::new(channel.clone(), addition, bytes_max, answer);
        self.line(channel.name()).ask(self, append);
        answered.await.unwrap_or(Err(StreamError::Stopping))
    }

    /// Begins a life of a name: where it has none, or in place of `old`.
    pub(super) async fn begin(
        self: &Arc<Self>,
        birth: Birth,
        old: Option<Arc<Channel>>,
    ) -> Result<Begun, StreamError> {
        self.check_room()?;
        if birth.create.fork.is_some() && old.is_some() {
            // The row of a fork is written first, and that of the earlier life is in its place.
            let most = Duration::from_millis(TABLES_WAIT_MS_MAX);
            let stored = tokio::time::timeout(most, self.all_stored(Scope::Streams, true)).await;
            stored.map_err(|_| StreamError::StoreUnavailable)?;
        }
        let (answer, answered) = oneshot::channel();
        let line = self.line(birth.channel.name());
        line.ask(self, Begin { birth: Some(birth), old, outcome: None, answer });
        answered.await.unwrap_or(Err(StreamError::Stopping))
    }

    /// Ends the life of a stream if that is `due` when it is decided. Returns how, or how it had ended
    /// already; `None` where it was not due.
    pub(super) async fn end(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        expired: bool,
    ) -> Result<Ended, StreamError> {
        let (answer, answered) = oneshot::channel();
        let now_ms = expired.then(|| self.clock.now_ms());
        let end = End { channel: channel.clone(), expired_ms: now_ms, outcome: None, answer };
        self.line(channel.name()).ask(self, end);
        answered.await.unwrap_or(Err(StreamError::Stopping))
    }

    /// Tells the others that a stream which lives by use is used.
    pub(super) fn touch(self: &Arc<Self>, channel: &Arc<Channel>) {
        if let Some(ms) = channel.shares_expiry() {
            let life = channel.id();
            self.line(channel.name()).ask(self, Expire { life, expires_ms: ms });
        }
    }

    /// Sees to it that this node is told of all changes of a stream.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn follow(self: &Arc<Self>, channel: &Channel) -> Result<(), StreamError> {
        let line = self.line(channel.name());
        if line.is_followed() {
            return Ok(());
        }
        line.follow(&*self.log).await.map_err(|error| self.trouble(&error))?;
        // What has happened before.
        self.look_with(channel.name(), false).await.map(drop)
    }

    /// As [`Shared::look`], but never of an earlier time, and nothing where the log does not answer.
    ///
    /// # Errors
    /// The log or the store does not answer.
    pub async fn look_now(
        self: &Arc<Self>,
        name: &StreamName,
    ) -> Result<Option<Arc<Channel>>, StreamError> {
        self.look_with(name, false).await
    }

    /// As [`Shared::follow`], without waiting: whatever is new by then wakes the readers.
    pub(super) fn follow_soon(self: &Arc<Self>, channel: &Arc<Channel>) {
        if self.follows(channel.name()) {
            return;
        }
        let (this, channel) = (self.clone(), channel.clone());
        tokio::spawn(async move {
            while this.follow(&channel).await.is_err() {
                tokio::time::sleep(Duration::from_millis(LOG_PATIENCE_MS)).await;
            }
        });
    }

    /// Whether it is told of them already.
    pub(super) fn follows(&self, name: &StreamName) -> bool {
        self.lines.get(name).is_some_and(|line| line.is_followed())
    }

    /// What an error of the log is for whoever asked for something.
    fn trouble(&self, error: &LogError) -> StreamError {
        match error {
            LogError::Unavailable(_) | LogError::Unfit(_) => StreamError::LogUnavailable,
            LogError::Full(_) => StreamError::Overloaded,
            LogError::Corrupt(_) => StreamError::Damaged,
            LogError::Lost => {
                tracing::error!(%error, "no more appends until this is resolved");
                self.commits.fail();
                StreamError::JournalFailed
            }
        }
    }

    /// Waits until everything that was acknowledged by any node before is in the store. Cancel safe.
    /// It may take as long as the log or the store is away.
    pub async fn all_stored(&self, scope: Scope, hurry: bool) {
        let mut wait_ms = BARRIER_MS.0;
        let mut unstored = None;
        loop {
            let over = match &unstored {
                None => {
                    unstored = self.log.unstored(scope).await.ok();
                    unstored.as_ref().is_some_and(|unstored| unstored.0.is_empty())
                }
                Some(unstored) => matches!(self.log.is_stored(unstored).await, Ok(true)),
            };
            if over {
                return;
            }
            if hurry && unstored.is_some() && wait_ms == BARRIER_MS.0 {
                self.hurry.notify_one();
                // If it gets lost they flush at their time.
                let _ = self.log.say(HURRY, Bytes::new()).await;
            }
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            wait_ms = (wait_ms * 2).min(BARRIER_MS.1);
        }
    }

    /// Waits until somebody wants everything flushed. Cancel safe.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// What nodes say to all, from now on.
    #[must_use]
    pub fn said(&self) -> broadcast::Receiver<Said> {
        self.said.subscribe()
    }

    /// Names that get something for the store on any node, from now on; `None` when some may have been
    /// missed. Only while [`SharedLog::watch_all`] is on.
    #[must_use]
    pub fn unstored(&self) -> broadcast::Receiver<Option<StreamName>> {
        self.unstored.subscribe()
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> &Arc<Pipeline> {
        self.commits.stats()
    }

    /// The log itself.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn SharedLog> {
        &self.log
    }

    /// Takes up what other nodes tell, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let Some(mut wakes) = self.log.wakes() else { return };
        if let Err(error) = self.log.listen(HURRY).await {
            tracing::warn!(%error, "cannot listen to other nodes yet");
        }
        loop {
            let wake = tokio::select! {
                wake = wakes.recv() => wake,
                () = stop.cancelled() => return,
            };
            match wake {
                Some(wake) => self.take(wake),
                None => return,
            }
        }
    }

    fn take(self: &Arc<Self>, wake: Wake) {
        match wake {
            Wake::Moved { name, head, changes } => {
                let line = self.lines.get(&name).map(|line| line.clone());
                if let Some(line) = line {
                    line.ask(self, News { head, changes });
                }
            }
            Wake::Unstored(name) => drop(self.unstored.send(Some(name))),
            Wake::Said { topic, .. } if topic == HURRY => self.hurry.notify_one(),
            Wake::Said { topic, words } => {
                let said = Said { topic: topic.into(), words: Some(words) };
                drop(self.said.send(said));
            }
            Wake::Lost => self.look_again(),
        }
    }

    fn look_again(self: &Arc<Self>) {
        let followed = self.lines.iter().filter(|line| line.is_followed());
        let names: Vec<StreamName> = followed.map(|line| line.key().clone()).collect();
        self.look_until_known(names);
        drop(self.said.send(Said { topic: "".into(), words: None }));
        drop(self.unstored.send(None));
    }

    /// Takes up what has happened to these, however long the log does not answer: nothing else may tell
    /// their readers.
    fn look_until_known(self: &Arc<Self>, names: Vec<StreamName>) {
        let this = self.clone();
        tokio::spawn(async move {
            let look = |name: StreamName| {
                let this = this.clone();
                async move {
                    while this.lines.contains_key(&name)
                        && this.look_with(&name, false).await.is_err()
                    {
                        tokio::time::sleep(Duration::from_millis(LOOK_AGAIN_MS)).await;
                    }
                }
            };
            futures::stream::iter(names).for_each_concurrent(LOOKS_MAX, look).await;
        });
    }

    /// Unloads names that nobody has used for a while.
    pub(super) fn sweep(self: &Arc<Self>) {
        let now_ms = self.clock.now_ms();
        let full = self.memory.is_full();
        let (mut idle, mut held) = (Vec::new(), Vec::new());
        self.lines.retain(|_, line| {
            let Some(used) = line.usage() else { return true };
            let keeps = used.channel.as_ref().is_some_and(|channel| {
                if full {
                    channel.trim(0);
                }
                if channel.is_held() {
                    held.push(channel.clone());
                }
                now_ms.saturating_sub(channel.used_ms()) <= CHANNEL_IDLE_MS || used.is_held
            });
            if keeps || line.is_watched() || Arc::strong_count(line) > 1 {
                return true;
            }
            if line.is_followed() {
                idle.push(line.clone());
                return true;
            }
            false
        });
        for channel in held {
            channel.touch(now_ms);
            self.touch(&channel);
        }
        if !idle.is_empty() {
            let log = self.log.clone();
            // They go at the next sweep, unless somebody has come meanwhile.
            tokio::spawn(async move {
                join_all(idle.iter().map(|line| line.unfollow(&*log))).await;
            });
        }
    }

    /// How many names are at work.
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.lines.len()
    }

    /// All channels of this node.
    pub(super) fn channels(&self) -> Vec<Arc<Channel>> {
        self.lines.iter().filter_map(|line| line.usage()?.channel).collect()
    }

    /// The identity of a new life.
    pub(super) fn new_life(&self) -> StreamId {
        StreamId(self.number())
    }
}
