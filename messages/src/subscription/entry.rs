//! A subscription in the registry of the service.

use super::{Config, Hook, Sight, State, Subscription, SubscriptionError, SubscriptionId};
use crate::model::StreamName;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One subscription. Steps are taken one after the other, by whoever has the turn; what is seen of
/// streams is taken up at any time.
pub(super) struct Entry {
    pub id: SubscriptionId,
    /// The turn to take a step.
    pub turn: tokio::sync::Mutex<()>,
    /// It is a webhook of a conversation.
    is_hook: bool,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub subscription: Subscription,
    pub phase: Phase,
    /// The generation whose wake is on its way.
    pub sending: Option<u64>,
    /// The next attempt need not wait for its time.
    pub hurry: bool,
    /// Something has happened in its conversation: its owner may have left.
    pub unsure: bool,
}

pub(super) enum Phase {
    /// It is not stored yet. What is seen of streams waits until its links are known.
    Building(Vec<(StreamName, Sight)>),
    /// It is at work.
    Live,
    /// It is deleted, or has never come to be.
    Gone,
}

impl Entry {
    pub fn new(id: SubscriptionId, subscription: Subscription, phase: Phase) -> Arc<Self> {
        let (sending, hurry, unsure) = (None, false, false);
        let inner = Mutex::new(Inner { subscription, phase, sending, hurry, unsure });
        let is_hook = Hook::of(&id).is_some();
        Arc::new(Self { id, turn: tokio::sync::Mutex::default(), is_hook, inner })
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what was seen of a stream. Returns whether that made a difference.
    pub fn see(&self, stream: &StreamName, sight: Sight) -> bool {
        let mut inner = self.inner();
        match &mut inner.phase {
            Phase::Building(early) => {
                early.push((stream.clone(), sight));
                false
            }
            Phase::Live => {
                let news = inner.subscription.see(stream, sight);
                inner.unsure |= news && self.is_hook;
                news
            }
            Phase::Gone => false,
        }
    }

    /// Whether it has anything to do with streams of this name.
    pub fn cares_for(&self, stream: &StreamName) -> bool {
        let Subscription { config, links, .. } = &self.inner().subscription;
        config.matches(stream) || config.streams.contains(stream) || links.get(stream).is_some()
    }

    /// Whether an event could not be written to this stream, and may be tried again at once now that
    /// something has happened to it.
    pub fn is_waiting_for(&self, stream: &StreamName) -> bool {
        let mut inner = self.inner();
        let waits = inner.subscription.config.wake_stream() == Some(stream)
            && inner.subscription.is_failing();
        inner.hurry |= waits;
        waits
    }

    /// The stream that takes its wake events.
    pub fn wake_stream(&self) -> Option<StreamName> {
        self.inner().subscription.config.wake_stream().cloned()
    }
}

impl Inner {
    /// The subscription, if it is at work.
    pub fn live(&self) -> Result<&Subscription, SubscriptionError> {
        match self.phase {
            Phase::Live => Ok(&self.subscription),
            Phase::Building(_) | Phase::Gone => Err(SubscriptionError::NotFound),
        }
    }
}

/// A subscription that begins.
pub(super) fn beginning(
    config: Config,
    incarnation: u64,
    now_ms: u64,
    origin: &str,
) -> Subscription {
    let origin = origin.to_owned();
    let state = State { incarnation, created_ms: now_ms, origin, generation: 0, wake: None };
    Subscription { config, state, links: super::Links::default() }
}

/// All subscriptions.
#[derive(Default)]
pub(super) struct Registry {
    all: BTreeMap<SubscriptionId, Arc<Entry>>,
    /// Streams that take wake events, and of how many subscriptions.
    wake_streams: HashMap<StreamName, usize>,
    /// Counts what may change who cares for which stream.
    version: u64,
}

impl Registry {
    pub fn get(&self, id: &SubscriptionId) -> Option<&Arc<Entry>> {
        self.all.get(id)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.all.values()
    }

    /// The webhooks of a conversation.
    pub fn hooks(&self, conversation: &str) -> impl Iterator<Item = (Hook, Arc<Entry>)> {
        let before = Hook::before_all(conversation).ok();
        let all = before.into_iter().flat_map(|before| {
            let behind = self.all.range(before.clone()..);
            behind.take_while(move |(id, _)| id.as_str().starts_with(before.as_str()))
        });
        all.filter_map(|(id, entry)| Some((Hook::of(id)?, entry.clone())))
    }

    /// Another one than before when others may care for a stream than before.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Goes on counting versions where `old` has stopped.
    pub fn follow(&mut self, old: &Self) {
        self.version = old.version + 1;
    }

    /// Somebody may care for a stream that it did not care for before.
    pub fn changed(&mut self) {
        self.version += 1;
    }

    pub fn insert(&mut self, entry: Arc<Entry>) {
        self.changed();
        if let Some(stream) = entry.wake_stream() {
            *self.wake_streams.entry(stream).or_default() += 1;
        }
        self.all.insert(entry.id.clone(), entry);
    }

    /// Removes this entry, if it is still the one of its id.
    pub fn remove(&mut self, entry: &Arc<Entry>) {
        if !self.all.get(&entry.id).is_some_and(|found| Arc::ptr_eq(found, entry)) {
            return;
        }
        self.changed();
        self.all.remove(&entry.id);
        if let Some(stream) = entry.wake_stream()
            && let Some(count) = self.wake_streams.get_mut(&stream)
        {
            *count -= 1;
            if *count == 0 {
                self.wake_streams.remove(&stream);
            }
        }
    }

    /// Whether a stream takes wake events.
    pub fn is_wake_stream(&self, stream: &StreamName) -> bool {
        self.wake_streams.contains_key(stream)
    }

    /// Whether what happens to a stream may wake this subscription. A wake event never causes another
    /// one: two subscriptions with each other's wake streams would go on for ever.
    pub fn may_wake(&self, entry: &Entry, stream: &StreamName) -> bool {
        !self.is_wake_stream(stream) || entry.wake_stream().is_none()
    }
}
