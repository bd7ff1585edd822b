//! Group commit: everything that is queued while a batch is on its way to the disk goes with the
//! next one. One thread, one journal; in this order a batch becomes durable, visible, answered and
//! the flusher's.

mod direct;
mod list;

use crate::{
    changes::Changes,
    channel::{Channel, change_cost},
    journal::{Journal, Mark, codec::frame_bytes},
    limits::{COMMIT_BYTES_MAX, SEGMENT_RETRY_MS},
    model::Change,
    stats::Pipeline,
};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, SetOnce},
    time::Instant,
};

/// A change on its way to the journal.
#[derive(Debug)]
pub struct Entry {
    /// The stream that changes.
    pub channel: Arc<Channel>,
    /// What changes.
    pub change: Change,
    /// The earlier life of the name, which this entry ends.
    pub replaced: Option<Arc<Channel>>,
}

/// The journal has failed or the server has stopped: nothing more becomes durable. What became of
/// the changes that were on their way is known only after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal takes no more changes")]
pub struct CommitFailed;

/// Why nothing is taken at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full; it goes on when there is room.
    Full,
    /// The journal has failed for good.
    Failed,
}

const TROUBLE_NONE: u8 = 0;
const TROUBLE_FULL: u8 = 1;
const TROUBLE_FAILED: u8 = 2;

/// The promise that a group of changes will be durable and visible.
#[derive(Clone, Debug)]
pub struct Ticket(Arc<SetOnce<Result<(), CommitFailed>>>);

impl Ticket {
    /// Waits until the changes are durable and visible. Cancel safe: the changes take their way
    /// whether or not anybody waits.
    ///
    /// # Errors
    /// They are not, and never will be in this process.
    pub async fn durable(&self) -> Result<(), CommitFailed> {
        *self.0.wait().await
    }
}

/// The queue before the committer, the list behind it and how far it has come.
pub struct Commits {
    queue: Mutex<Queue>,
    queued: Condvar,
    trouble: AtomicU8,
    /// The last batch that is visible and on the list of the flusher.
    published: AtomicU64,
    /// The last batch that the store has completely.
    stored: AtomicU64,
    dirty: Mutex<Vec<Arc<Channel>>>,
    dirty_bytes: AtomicU64,
    flush_early: Notify,
    flush_early_bytes: u64,
    /// Told whenever `stored` has moved.
    flushed: Notify,
    changes: Changes,
    stats: Arc<Pipeline>,
    /// The journal where it never waits: then whoever enqueues also commits, and seldom a thread.
    direct: Option<Mutex<Box<dyn Journal>>>,
}

#[derive(Debug)]
struct Queue {
    groups: VecDeque<Group>,
    /// The group of the last entry that was queued, which may be committed already.
    last: Ticket,
    stop: bool,
    /// Whoever committed for the others has had enough of it; see [`Commits::relieve`].
    relieve: bool,
}

#[derive(Debug)]
struct Group {
    entries: Vec<Entry>,
    bytes: usize,
    ticket: Ticket,
    /// When its first change was queued.
    since: Instant,
}

/// Whatever happens to a group, whoever waits for it is answered. A ticket that is set already
/// stays as it is.
impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.ticket.0.set(Err(CommitFailed));
    }
}

impl Commits {
    /// A queue behind what a replay has found, up to `mark`.
    #[must_use]
    pub fn new(mark: Mark, flush_early_bytes: u64) -> Arc<Self> {
        Self::with(mark, flush_early_bytes, None)
    }

    /// As [`Commits::new`], without a [`Committer`]: changes are committed to `journal`, which must
    /// never wait, by whoever enqueues them. That spares two changes of thread for each.
    #[must_use]
    pub fn direct(mark: Mark, flush_early_bytes: u64, journal: Box<dyn Journal>) -> Arc<Self> {
        Self::with(mark, flush_early_bytes, Some(Mutex::new(journal)))
    }

    fn with(
        mark: Mark,
        flush_early_bytes: u64,
        direct: Option<Mutex<Box<dyn Journal>>>,
    ) -> Arc<Self> {
        let last = Ticket(Arc::new(SetOnce::new_with(Some(Ok(())))));
        Arc::new(Self {
            queue: Mutex::new(Queue { groups: VecDeque::new(), last, stop: false, relieve: false }),
            queued: Condvar::new(),
            trouble: AtomicU8::new(TROUBLE_NONE),
            published: AtomicU64::new(mark.0),
            stored: AtomicU64::new(0),
            dirty: Mutex::new(Vec::new()),
            dirty_bytes: AtomicU64::new(0),
            flush_early: Notify::new(),
            flush_early_bytes,
            flushed: Notify::new(),
            changes: Changes::default(),
            stats: Arc::default(),
            direct,
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a change. The caller holds the writer lock of the channel, so that the positions of
    /// one stream are queued in order.
    ///
    /// # Errors
    /// Nothing is taken any more.
    pub fn enqueue(&self, entry: Entry) -> Result<Ticket, CommitFailed> {
        self.enqueue_both(entry, None)
    }

    /// As [`Commits::enqueue`], with another change that becomes durable in the same step or not at
    /// all.
    ///
    /// # Errors
    /// Nothing is taken any more.
    pub fn enqueue_both(&self, entry: Entry, next: Option<Entry>) -> Result<Ticket, CommitFailed> {
        let mut queue = self.queue();
        if queue.stop || self.trouble() == Some(Trouble::Failed) {
            return Err(CommitFailed);
        }
        let bytes =
            frame_bytes(&entry.change) + next.as_ref().map_or(0, |next| frame_bytes(&next.change));
        let fits = |group: &&mut Group| group.bytes + bytes <= COMMIT_BYTES_MAX;
        if let Some(group) = queue.groups.back_mut().filter(fits) {
            group.entries.push(entry);
            group.entries.extend(next);
            group.bytes += bytes;
            let ticket = group.ticket.clone();
            drop(queue);
            self.commit_directly();
            return Ok(ticket);
        }
        let ticket = Ticket(Arc::new(SetOnce::new()));
        queue.last = ticket.clone();
        let mut entries = vec![entry];
        entries.extend(next);
        queue.groups.push_back(Group {
            entries,
            bytes,
            ticket: ticket.clone(),
            since: Instant::now(),
        });
        let was_idle = queue.groups.len() == 1;
        drop(queue);
        if self.direct.is_some() {
            self.commit_directly();
        } else if was_idle {
            self.queued.notify_one();
        }
        Ok(ticket)
    }

    fn next_group(&self) -> Option<Group> {
        self.queue().groups.pop_front()
    }

    /// Commits a group and tells whoever waits for it.
    fn write(&self, mut group: Group, journal: &mut dyn Journal) -> io::Result<()> {
        let begun = Instant::now();
        let mut batch = group.entries.iter().map(|entry| (entry.channel.id(), &entry.change));
        match journal.commit(&mut batch) {
            Ok(mark) => {
                self.stats.queue.time(begun - group.since);
                let mut durable = begun;
                // Without a journal there is no such stage.
                if self.direct.is_none() {
                    durable = Instant::now();
                    self.stats.journal.time(durable - begun);
                    self.stats.journal_bytes.add(group.bytes as u64);
                }
                self.stats.groups.add(group.entries.len() as u64);
                self.publish(std::mem::take(&mut group.entries), mark);
                let _ = group.ticket.0.set(Ok(()));
                self.stats.publish.time(durable.elapsed());
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the journal has failed; no more appends until a restart");
                self.fail();
                Err(error)
            }
        }
    }

    /// A ticket for everything that was queued before. An answer that leans on a change which may
    /// not be durable yet waits for it.
    #[must_use]
    pub fn settled(&self) -> Ticket {
        self.queue().last.clone()
    }

    /// What keeps changes from being taken, if anything does.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match self.trouble.load(Ordering::Acquire) {
            TROUBLE_FULL => Some(Trouble::Full),
            TROUBLE_FAILED => Some(Trouble::Failed),
            _ => None,
        }
    }

    /// From one trouble to another, unless something else is the matter: what has failed for good
    /// stays so. Returns whether it was so.
    fn change_trouble(&self, from: u8, to: u8) -> bool {
        self.trouble.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Everything up to this mark is visible and on the list of the flusher.
    #[must_use]
    pub fn published(&self) -> Mark {
        Mark(self.published.load(Ordering::Acquire))
    }

    /// The store has everything up to `mark`: the journal need not keep it.
    pub fn stored(&self, mark: Mark) {
        if self.stored.fetch_max(mark.0, Ordering::AcqRel) < mark.0 {
            // Under the lock, so that it cannot slip between the committer's look and its sleep.
            let _queue = self.queue();
            self.queued.notify_one();
        }
        self.flushed.notify_waiters();
    }

    /// Waits until everything that is visible now is in the store, and has it written at once where
    /// it is told to `hurry`. Cancel safe. It may take as long as the store is away.
    pub async fn all_stored(&self, hurry: bool) {
        let mark = self.published().0;
        loop {
            let mut flushed = std::pin::pin!(self.flushed.notified());
            // Before the look, so that nothing is missed between it and the wait.
            flushed.as_mut().enable();
            if self.stored.load(Ordering::Acquire) >= mark {
                return;
            }
            if hurry {
                self.flush_early.notify_one();
            }
            flushed.await;
        }
    }

    /// Lets the committer finish what is queued and then end; nothing more is taken.
    pub fn stop(&self) {
        self.queue().stop = true;
        self.queued.notify_one();
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> &Arc<Pipeline> {
        &self.stats
    }

    /// The channels that have changed.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    fn publish(&self, entries: Vec<Entry>, mark: Mark) {
        let mut dirty = Vec::new();
        let mut changed: Vec<Arc<Channel>> = Vec::with_capacity(entries.len());
        let mut bytes = 0;
        for Entry { channel, change, replaced } in entries {
            if let Some(old) = replaced {
                if old.publish_replaced() {
                    dirty.push(old.clone());
                }
                changed.push(old);
            }
            let cost = change_cost(&change);
            bytes += cost as u64;
            if channel.publish(change, cost) {
                dirty.push(channel.clone());
            }
            changed.push(channel);
        }
        self.push_dirty(dirty);
        self.published.store(mark.0, Ordering::Release);
        let before = self.dirty_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < self.flush_early_bytes && before + bytes >= self.flush_early_bytes {
            self.flush_early.notify_one();
        }
        if changed.len() > 1 {
            changed.sort_unstable_by_key(|channel| channel.id());
            changed.dedup_by_key(|channel| channel.id());
        }
        changed.iter().for_each(|channel| channel.wake());
        self.changes.note(&changed);
    }

    /// Takes no more changes, for good: what is acknowledged could never be stored.
    pub fn fail(&self) {
        let mut queue = self.queue();
        self.trouble.store(TROUBLE_FAILED, Ordering::Release);
        queue.groups.clear();
    }
}

/// The one writer of the journal.
pub struct Committer {
    commits: Arc<Commits>,
    journal: Box<dyn Journal>,
    trimmed: u64,
}

impl Committer {
    /// Commits what `commits` queues to `journal`.
    #[must_use]
    pub fn new(commits: Arc<Commits>, journal: Box<dyn Journal>) -> Self {
        Self { commits, journal, trimmed: 0 }
    }

    /// Works until [`Commits::stop`] is called and everything is committed, or the journal fails.
    /// Blocks: run it on a thread of its own.
    pub fn run(mut self) {
        let _guard = FailOnDrop(self.commits.clone());
        while let Some(work) = self.wait() {
            self.trim();
            if let Some(group) = work
                && self.commit(group).is_err()
            {
                return;
            }
        }
        self.trim();
    }

    /// Waits for a group, for something to trim (`Some(None)`), or for the end (`None`).
    fn wait(&self) -> Option<Option<Group>> {
        let mut queue = self.commits.queue();
        loop {
            if let Some(group) = queue.groups.pop_front() {
                return Some(Some(group));
            }
            if queue.stop {
                return None;
            }
            if self.commits.stored.load(Ordering::Acquire) > self.trimmed {
                return Some(None);
            }
            queue = self.commits.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the journal has room for a batch. A full disk is not the end: the flusher frees
    /// segments, people free disks.
    ///
    /// # Errors
    /// The server stops before there is room.
    fn prepare(&mut self, bytes: usize) -> io::Result<()> {
        while let Err(error) = self.journal.prepare(bytes) {
            let queue = self.commits.queue();
            if queue.stop {
                return Err(error);
            }
            if self.commits.trouble() == Some(Trouble::Failed) {
                return Err(error);
            }
            if self.commits.change_trouble(TROUBLE_NONE, TROUBLE_FULL) {
                tracing::error!(%error, "the journal has no room; appends wait for the disk");
            }
            let wait = Duration::from_millis(SEGMENT_RETRY_MS);
            drop(self.commits.queued.wait_timeout(queue, wait));
            self.trim();
        }
        if self.commits.change_trouble(TROUBLE_FULL, TROUBLE_NONE) {
            tracing::info!("the journal has room again");
        }
        Ok(())
    }

    /// Commits one group that is queued, without waiting for one. For tests that decide themselves
    /// when the committer runs. Returns whether there was one.
    ///
    /// # Errors
    /// The journal has no room, and the group stays queued; or it has failed.
    pub fn step(&mut self) -> io::Result<bool> {
        self.trim();
        let Some(group) = self.commits.next_group() else { return Ok(false) };
        if let Err(error) = self.journal.prepare(group.bytes) {
            self.commits.queue().groups.push_front(group);
            return Err(error);
        }
        self.commits.write(group, &mut *self.journal)?;
        Ok(true)
    }

    fn commit(&mut self, group: Group) -> io::Result<()> {
        self.prepare(group.bytes)?;
        self.commits.write(group, &mut *self.journal)
    }

    fn trim(&mut self) {
        let stored = self.commits.stored.load(Ordering::Acquire);
        if stored > self.trimmed {
            self.trimmed = stored;
            if let Err(error) = self.journal.trim(Mark(stored)) {
                tracing::warn!(%error, "cannot free journal files; trying again after the next flush");
            }
        }
    }
}

/// Fails everything that is still queued, also when the committer panics, so that nobody waits for
/// ever.
struct FailOnDrop(Arc<Commits>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        self.0.fail();
    }
}
