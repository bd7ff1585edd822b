//! A name at work on this node: the queue of what is asked of it, and the task that serves it.

use super::{
    Shared,
    ask::{Ask, Step, Trial},
    learn::Attempt,
};
use crate::{
    channel::Channel,
    limits::{COMMIT_BYTES_MAX, LOG_CLAIM_MS, LOG_PATIENCE_MS, LOG_RETRY_MS, LOOK_PATIENCE_MS},
    model::{Offset, StreamId, StreamName},
    shared_log::{self, Added, Addition, Head, Known, LogError, SharedLog},
    stream::StreamError,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// See the module.
pub(super) struct Line {
    pub name: StreamName,
    queue: Mutex<Queue>,
    /// Of the task that serves the queue.
    standing: tokio::sync::Mutex<Standing>,
    /// The channel in there, for whoever does not want to wait for that task.
    known: Mutex<Option<Arc<Channel>>>,
    followed: AtomicBool,
    /// Somebody wants to be told of all changes of it, also when nobody uses it here.
    watched: AtomicBool,
    /// Held while `followed` changes.
    following: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    asks: VecDeque<Box<dyn Ask>>,
    /// There is a task that serves it.
    busy: bool,
}

/// What this node knows of a name.
#[derive(Default)]
pub(super) struct Standing {
    /// The present life, also one that has ended; `None` where there has been none.
    pub channel: Option<Arc<Channel>>,
    pub life: StreamId,
    /// The last change of the log that is taken up here.
    pub version: u64,
    /// It is known at all.
    pub loaded: bool,
    /// The log knew it when this node last heard of it.
    pub hot: bool,
    /// When the store was asked last, while the log did not know it.
    pub asked: Option<Instant>,
    /// The store seems to be further than the log.
    pub ahead: bool,
    /// A claim of this node, and when it was made.
    pub claim: Option<(u64, Instant)>,
    /// What the log says that the store has.
    pub stored: u64,
    pub news: u64,
    /// Where the content ended behind changes that the store may not have.
    pub ends: VecDeque<Place>,
    /// Lives that ended with a change that the store may not have.
    pub ended: Vec<(u64, Arc<Channel>)>,
}

/// Where a life ended behind a change.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub version: u64,
    pub life: StreamId,
    pub tail: Offset,
    pub closed: bool,
}

/// What a sweep wants to know.
pub(super) struct Usage {
    pub channel: Option<Arc<Channel>>,
    /// Somebody else holds the channel.
    pub is_held: bool,
}

impl Standing {
    /// The log has just said that this is how it is. What it has told some time ago says less: that may
    /// come when it does not answer any more.
    pub fn is_certain(&self) {
        self.channel.iter().for_each(|channel| channel.set_uncertain(false));
    }

    /// A claim that is good for an addition.
    fn fresh_claim(&self) -> Option<u64> {
        let fresh = Duration::from_millis(LOG_CLAIM_MS / 2);
        self.claim.filter(|(_, made)| made.elapsed() < fresh).map(|(claim, _)| claim)
    }
}

impl Line {
    pub fn new(name: StreamName) -> Arc<Self> {
        Arc::new(Self {
            name,
            queue: Mutex::default(),
            standing: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            followed: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            following: tokio::sync::Mutex::new(()),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life that this node last knew, which may have ended since.
    pub fn known(&self) -> MutexGuard<'_, Option<Arc<Channel>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks something of the name.
    pub fn ask(self: &Arc<Self>, shared: &Arc<Shared>, ask: impl Ask + 'static) {
        let mut queue = self.queue();
        queue.asks.push_back(Box::new(ask));
        if !std::mem::replace(&mut queue.busy, true) {
            drop(queue);
            // A task of its own: it goes on whether or not whoever asked is still there.
            tokio::spawn(self.clone().serve(shared.clone()));
        }
    }

    async fn serve(self: Arc<Self>, shared: Arc<Shared>) {
        let mut standing = self.standing.lock().await;
        while let Some(mut asks) = self.next() {
            let result = shared.round(&self.name, &mut standing, &mut asks).await;
            self.known().clone_from(&standing.channel);
            for ask in asks {
                ask.answer(result.map(|()| &*standing));
            }
        }
    }

    /// What is decided on together; `None`, and nobody serves any more, when there is nothing.
    fn next(&self) -> Option<Vec<Box<dyn Ask>>> {
        let mut queue = self.queue();
        let (mut asks, mut bytes) = (Vec::new(), 0);
        while let Some(ask) = queue.asks.front() {
            bytes += ask.cost();
            let alone = ask.fork().is_some();
            if !asks.is_empty() && (alone || bytes > COMMIT_BYTES_MAX) {
                break;
            }
            asks.extend(queue.asks.pop_front());
            if alone {
                break;
            }
        }
        queue.busy = !asks.is_empty();
        (!asks.is_empty()).then_some(asks)
    }

    pub fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Acquire)
    }

    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// To be called before [`Line::follow`]: then no sweep ends that.
    pub fn watch(&self, watched: bool) {
        self.watched.store(watched, Ordering::Release);
    }

    pub async fn follow(&self, log: &dyn SharedLog) -> Result<(), LogError> {
        let _turn = self.following.lock().await;
        if !self.is_followed() {
            log.follow(&self.name).await?;
            self.followed.store(true, Ordering::Release);
        }
        Ok(())
    }

    pub async fn unfollow(&self, log: &dyn SharedLog) {
        let _turn = self.following.lock().await;
        if self.is_watched() {
            return;
        }
        self.followed.store(false, Ordering::Release);
        if let Err(error) = log.unfollow(&self.name).await {
            tracing::debug!(%error, stream = %self.name, "followed for longer than needed");
        }
    }

    /// `None` while something is asked of it.
    pub fn usage(&self) -> Option<Usage> {
        let standing = self.standing.try_lock().ok()?;
        let channel = standing.channel.clone();
        // One in the standing, one beside it, one here.
        let is_held = channel.as_ref().is_some_and(|channel| Arc::strong_count(channel) > 3);
        Some(Usage { channel, is_held })
    }
}

impl Shared {
    /// Decides on what is asked together, and lets it happen.
    async fn round(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        asks: &mut [Box<dyn Ask>],
    ) -> Result<(), StreamError> {
        for ask in asks.iter_mut() {
            if let Some((head, changes)) = ask.news() {
                self.hear(name, standing, head, &changes).await;
            }
        }
        let until = Instant::now() + Duration::from_millis(LOG_PATIENCE_MS);
        let wants_truth = asks.iter().any(|ask| ask.wants_truth());
        let mut is_true = false;
        let is_claimed = standing.hot || standing.fresh_claim().is_some();
        if !is_claimed && asks.iter().any(|ask| ask.begins()) {
            self.claim(name, standing).await?;
            is_true = true;
        }
        loop {
            if !standing.loaded && wants_truth {
                self.learn_or_read(name, standing, asks).await?;
                is_true = true;
            }
            let forks = self.forks(standing, asks).await?;
            let mut trial = Trial::new(standing, forks);
            asks.iter_mut().for_each(|ask| ask.decide(&mut trial));
            if trial.is_empty() {
                if is_true || !wants_truth {
                    return Ok(());
                }
                self.learn_or_read(name, standing, asks).await?;
                is_true = true;
                continue;
            }
            if asks.iter().any(|ask| ask.fork().is_some()) {
                return self.begin_fork(name, standing, trial, until).await;
            }
            match self.attempt(name, standing, trial, until).await? {
                true => return Ok(()),
                false if Instant::now() > until => return Err(StreamError::Overloaded),
                false => is_true = true,
            }
        }
    }

    /// As [`Shared::learn`]; where the log does not answer and nobody wants to change anything, what is
    /// here and in the store is good enough.
    async fn learn_or_read(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        asks: &[Box<dyn Ask>],
    ) -> Result<(), StreamError> {
        let only_reads = asks.iter().all(|ask| ask.only_reads());
        let until = Instant::now() + Duration::from_millis(LOOK_PATIENCE_MS);
        loop {
            match self.learn(name, standing, None).await {
                Err(StreamError::LogUnavailable) if only_reads => {}
                result => return result,
            }
            // Long enough for a short outage to pass unseen; in a long one nobody waits.
            if self.is_down() || Instant::now() > until {
                return self.learn_from_store(name, standing).await;
            }
            sleep(Duration::from_millis(LOG_RETRY_MS)).await;
        }
    }

    /// How many streams branch off from the present life, where somebody wants to know.
    async fn forks(
        &self,
        standing: &Standing,
        asks: &[Box<dyn Ask>],
    ) -> Result<Option<u64>, StreamError> {
        let wanted = asks.iter().any(|ask| ask.counts_forks());
        let Some(channel) = standing.channel.as_ref().filter(|_| wanted) else { return Ok(None) };
        let counted = self.nodes.count_forks(channel.id()).await;
        counted.map(Some).map_err(|error| {
            tracing::warn!(%error, "cannot count what branches off from a stream");
            StreamError::StoreUnavailable
        })
    }

    /// Adds what was decided on to the log. Returns whether that has happened; otherwise everything
    /// that has happened instead is taken up.
    pub(super) async fn attempt(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        trial: Trial,
        until: Instant,
    ) -> Result<bool, StreamError> {
        let (life, version) = (standing.life, standing.version);
        let known = match standing.fresh_claim() {
            _ if standing.hot => Known::Last { life, version },
            Some(claim) => Known::Claimed { claim, life, version },
            None => {
                // What was decided may be wrong by now; if not, the claim is there the next time.
                self.claim(name, standing).await?;
                if (standing.life, standing.version) != (life, version) {
                    return Ok(false);
                }
                match standing.fresh_claim() {
                    Some(claim) => Known::Claimed { claim, life, version },
                    None => return Ok(false),
                }
            }
        };
        let origin = self.attempt_number();
        let addition = self.addition(origin, &trial);
        match self.log.add(name, known, addition).await {
            Ok(Added::Done(head)) => {
                self.take_up_own(standing, version, trial.steps);
                self.mind(standing, head);
                standing.is_certain();
                Ok(true)
            }
            Ok(Added::Moved(head)) => {
                self.learn(name, standing, Some(head)).await?;
                Ok(false)
            }
            Ok(Added::Cold) => {
                (standing.hot, standing.asked, standing.claim) = (false, None, None);
                Ok(false)
            }
            Err(LogError::Unavailable(error)) => {
                tracing::debug!(error, stream = %name, "no answer from the log");
                let attempt = Attempt { origin, steps: trial.steps };
                self.find_out(name, standing, attempt, until).await
            }
            Err(error) => Err(self.trouble(&error)),
        }
    }

    fn addition(&self, origin: u64, trial: &Trial) -> Addition {
        let encode = |step: &Step| shared_log::encode(origin, step.channel.id(), &step.change);
        Addition {
            changes: trial.steps.iter().map(encode).collect(),
            skip: 0,
            life: trial.channel.as_ref().map_or(StreamId(0), |channel| channel.id()),
            expires_ms: trial.expires_ms.or_else(|| expiry(trial, self.clock.now_ms())),
        }
    }

    /// Nobody knows whether an attempt has happened: looks into the log until that is clear. Returns
    /// whether it has.
    async fn find_out(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        attempt: Attempt,
        until: Instant,
    ) -> Result<bool, StreamError> {
        loop {
            sleep(Duration::from_millis(LOG_RETRY_MS)).await;
            match self.learn_of(name, standing, None, Some(&attempt)).await {
                Ok(happened) => return Ok(happened),
                Err(StreamError::LogUnavailable) if Instant::now() < until => {}
                Err(error) => {
                    // What has become of it will be seen the next time.
                    return Err(error);
                }
            }
        }
    }

    /// Takes up what the log says beside changes.
    pub(super) fn mind(&self, standing: &mut Standing, head: Head) {
        (standing.hot, standing.claim) = (true, None);
        standing.news = head.news;
        standing.stored = standing.stored.max(head.stored);
        let keep = self.memory.keep_bytes();
        let mut last = None;
        while let Some(place) = standing.ends.front()
            && place.version <= standing.stored
        {
            last = standing.ends.pop_front();
        }
        if let (Some(place), Some(channel)) = (last, &standing.channel)
            && channel.id() == place.life
        {
            channel.stored_elsewhere(place.tail, place.closed, keep);
        }
        standing.ended.retain(|(version, _)| *version > standing.stored);
        if let Some(channel) = &standing.channel {
            channel.hears_expiry(head.expires_ms);
        }
    }
}

/// When the life is over that a trial leaves behind, where that hangs on being used.
fn expiry(trial: &Trial, now_ms: u64) -> Option<u64> {
    let channel = trial.channel.as_ref()?;
    if !channel.lives_by_use() {
        return None;
    }
    channel.touch(now_ms);
    channel.shares_expiry()
}
