//! Subscriptions at work: what all requests and the work between them share.
//!
//! A step is decided on what is in memory, stored, and only then taken, so that an answer stands
//! whatever happens to the server. Every request runs in a task of its own: a client that goes away
//! cannot leave a step stored and not taken.

use super::{
    Due, Keys, LinkChange, Members, Moment, Plan, Sight, Subscription, SubscriptionError,
    SubscriptionId, Tenure,
    afar::Afar,
    agenda::Agenda,
    entry::{Entry, Inner, Phase, Registry},
    interest::Interests,
    saver::{NotSaved, Saver},
};
use crate::{
    clock::Clock,
    committer::Commits,
    limits::{DELIVERIES_MAX, RETRY_MS_MIN},
    model::StreamName,
    store::{Store, StoredLink, SubscriptionSave, SubscriptionWrite},
    stream::Streams,
    webhook::Post,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::{Semaphore, SetOnce};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Random bits.
pub trait Chance: Send + Sync {
    /// Others than before.
    fn bits(&self) -> u128;
}

/// Those of the system.
#[derive(Clone, Debug)]
pub struct SystemChance(SystemRandom);

impl Default for SystemChance {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Chance for SystemChance {
    fn bits(&self) -> u128 {
        let mut bytes = [0; 16];
        // Without random bytes nothing here could be kept secret, and the start has failed already.
        let _ = self.0.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

/// What subscriptions work with.
#[derive(Clone)]
pub struct Parts {
    /// The streams that wake, and those that take wake events.
    pub streams: Arc<Streams>,
    /// Where steps are stored.
    pub store: Arc<dyn Store>,
    /// Tells which streams change.
    pub commits: Arc<Commits>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Ids, and a spread of retries.
    pub chance: Arc<dyn Chance>,
    /// Who takes part in conversations.
    pub members: Arc<dyn Members>,
    /// Calls webhooks.
    pub post: Arc<dyn Post>,
    /// Scheme and authority under which everybody reaches this server, when requests do not say.
    pub public_url: Option<String>,
    /// The time in which this node is the one that works, where there are several.
    pub tenure: Option<Arc<Tenure>>,
}

/// All subscriptions of this server.
pub struct Subscriptions {
    pub(super) parts: Parts,
    pub(super) registry: RwLock<Registry>,
    pub(super) keys: SetOnce<Keys>,
    pub(super) agenda: Agenda,
    saver: Arc<Saver>,
    /// Held while the list of changes is taken up, so that whoever comes next sees all of it.
    interests: Mutex<Interests>,
    pub(super) tasks: TaskTracker,
    pub(super) deliveries: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
    /// Where there are several nodes.
    pub(super) afar: Option<Arc<Afar>>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// All.
    pub all: usize,
    /// Those with a wake that is not delivered yet.
    pub pending: usize,
    /// Those of them whose wake has failed before.
    pub failing: usize,
}

impl Subscriptions {
    /// How many there are now. It looks at each of them.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for entry in self.registry().entries() {
            let inner = entry.inner();
            let Ok(subscription) = inner.live() else { continue };
            census.all += 1;
            census.pending += usize::from(matches!(subscription.due(), Some(Due::Send(_))));
            census.failing += usize::from(subscription.is_failing());
        }
        census
    }

    /// Subscriptions that are at work once [`Subscriptions::run`] runs. Changes are noted from here
    /// on, so this comes before anything changes.
    #[must_use]
    pub fn new(parts: Parts, stop: CancellationToken) -> Arc<Self> {
        // Until it is known whether there are any: what a start brings back must not be missed.
        parts.commits.changes().watch(true);
        Arc::new(Self {
            saver: Saver::new(parts.store.clone(), parts.tenure.clone()),
            afar: parts.streams.shared().map(|shared| Arc::new(Afar::new(shared.clone()))),
            parts,
            registry: RwLock::default(),
            keys: SetOnce::new(),
            agenda: Agenda::default(),
            interests: Mutex::default(),
            tasks: TaskTracker::new(),
            deliveries: Arc::new(Semaphore::new(DELIVERIES_MAX)),
            stop,
        })
    }

    pub(super) fn interests(&self) -> MutexGuard<'_, Interests> {
        self.interests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn registry_mut(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { now_ms: self.parts.clock.now_ms(), chance: self.parts.chance.bits() }
    }

    /// Runs a request to its end, whether or not somebody waits for it, once everything is loaded.
    pub(super) async fn detached<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T, SubscriptionError>> + Send + 'static,
    ) -> Result<T, SubscriptionError> {
        tokio::select! {
            _ = self.keys.wait() => {}
            () = self.stop.cancelled() => return Err(SubscriptionError::NotReady),
        }
        // What is in memory here may be what another node has left behind long ago.
        if self.parts.tenure.as_ref().is_some_and(|tenure| !tenure.is_certain()) {
            return Err(SubscriptionError::NotReady);
        }
        self.tasks.spawn(work).await.unwrap_or(Err(SubscriptionError::NotReady))
    }

    pub(super) fn entry(&self, id: &SubscriptionId) -> Result<Arc<Entry>, SubscriptionError> {
        self.registry().get(id).cloned().ok_or(SubscriptionError::NotFound)
    }

    pub(super) fn key_ring(&self) -> Result<&Keys, SubscriptionError> {
        self.keys.get().ok_or(SubscriptionError::NotReady)
    }

    /// Takes up everything that has changed. When this returns, whatever was visible before it was
    /// called has been seen by all subscriptions.
    pub(super) fn drain(&self) {
        let mut interests = self.interests();
        let changed = self.parts.commits.changes().take();
        if changed.is_empty() {
            return;
        }
        let registry = self.registry();
        let mut touched: BTreeMap<SubscriptionId, Arc<Entry>> = BTreeMap::new();
        for channel in &changed {
            let (name, id) = (channel.name(), channel.id());
            let interest = interests.of(&registry, name);
            if interest.is_empty() {
                continue;
            }
            let sight = channel.status();
            let sight = match sight {
                None => Sight::Gone(id),
                Some(status) if self.afar.is_some() => Sight::Now(id, status.tail),
                Some(status) => Sight::At(id, status.tail),
            };
            let woken = interest.woken.iter().filter(|entry| entry.see(name, sight));
            // The stream may have been missing until now.
            let waiting = interest.announcing.iter().filter(|entry| entry.is_waiting_for(name));
            touched.extend(woken.chain(waiting).map(|entry| (entry.id.clone(), entry.clone())));
        }
        for entry in touched.values() {
            self.schedule(entry, &mut entry.inner());
        }
    }

    /// Puts the next thing to do about a subscription on the agenda.
    pub(super) fn schedule(&self, entry: &Entry, inner: &mut Inner) {
        let due = inner.live().ok().and_then(Subscription::due);
        let is_on_its_way = inner.sending == Some(inner.subscription.state.generation);
        let due = due.filter(|due| !(is_on_its_way && matches!(due, Due::Send(_))));
        let at_ms = due.map(|due| if inner.hurry { 0 } else { due.at_ms() });
        let at_ms = if inner.unsure && inner.live().is_ok() { Some(0) } else { at_ms };
        self.agenda.set(&entry.id, at_ms);
    }

    /// Stores a step and takes it. The caller has the turn.
    pub(super) async fn take(
        &self,
        entry: &Arc<Entry>,
        plan: Plan,
    ) -> Result<(), SubscriptionError> {
        let write = SubscriptionWrite::Update {
            state: serde_json::to_string(&plan.state).unwrap_or_default(),
            put: plan.links.iter().filter_map(stored).collect(),
            remove: plan.links.iter().filter_map(removed).collect(),
        };
        match self.save(&entry.id, write).await {
            Ok(true) => {
                let mut inner = entry.inner();
                inner.subscription.apply(plan);
                self.schedule(entry, &mut inner);
                Ok(())
            }
            // It was deleted, although the answer to that got lost.
            Ok(false) => {
                self.forget(entry);
                Err(SubscriptionError::NotFound)
            }
            Err(NotSaved) => {
                self.agenda.set(&entry.id, Some(self.parts.clock.now_ms() + RETRY_MS_MIN));
                Err(SubscriptionError::NotStored)
            }
        }
    }

    pub(super) async fn save(
        &self,
        id: &SubscriptionId,
        write: SubscriptionWrite,
    ) -> Result<bool, NotSaved> {
        self.saver.save(SubscriptionSave { id: id.to_string(), write }).await
    }

    /// Lets go of a subscription that is not stored, or not any more.
    pub(super) fn forget(&self, entry: &Arc<Entry>) {
        entry.inner().phase = Phase::Gone;
        let mut registry = self.registry_mut();
        registry.remove(entry);
        self.agenda.set(&entry.id, None);
        if registry.len() == 0 {
            self.parts.commits.changes().watch(false);
        }
    }

    /// Decides on a step and takes it, everything that has changed before being seen.
    pub(super) async fn step<T>(
        &self,
        entry: &Arc<Entry>,
        decide: impl FnOnce(&Subscription, Moment) -> Result<(Option<Plan>, T), SubscriptionError>,
    ) -> Result<T, SubscriptionError> {
        let _turn = entry.turn.lock().await;
        self.drain();
        let (plan, value) = decide(entry.inner().live()?, self.moment())?;
        if let Some(plan) = plan {
            self.take(entry, plan).await?;
        }
        Ok(value)
    }
}

fn stored(change: &LinkChange) -> Option<StoredLink> {
    match change {
        LinkChange::Put { stream, explicit, life, acked } => {
            let (stream, explicit, life, acked) = (stream.clone(), *explicit, *life, *acked);
            Some(StoredLink { stream, explicit, life, acked })
        }
        LinkChange::Remove(_) => None,
    }
}

fn removed(change: &LinkChange) -> Option<StreamName> {
    match change {
        LinkChange::Put { .. } => None,
        LinkChange::Remove(stream) => Some(stream.clone()),
    }
}
