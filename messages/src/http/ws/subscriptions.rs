//! All the streams of a socket, driven by its one task.
//!
//! Those that may have something to send stand in a queue and have their turn one after the other, a
//! frame each. The others wait, and only those that are woken are looked at. What is in the store is
//! read beside all this, for a few at a time.

use super::{
    answer,
    label::Label,
    request::Subscribe,
    subscription::{State, Subscription, Turn},
};
use crate::{
    channel::Status,
    http::{gate::Reading, problem::Problem, protocol::Start},
    limits::{SOCKET_PAGES_MAX, SOCKET_SUBSCRIPTIONS_MAX},
    model::{Offset, StreamName},
    stream::{Cursor, StreamError, Streams},
};
use axum::http::StatusCode;
use futures::{
    FutureExt, StreamExt,
    future::{Abortable, BoxFuture},
    stream::{FuturesUnordered, SelectAll, Stream, abortable},
};
use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio_stream::wrappers::BroadcastStream;

/// The number of a subscription on its socket. A label can be used again, and then means another.
type Key = u64;

/// See the module.
pub(super) struct Subscriptions {
    streams: Arc<Streams>,
    keys: HashMap<Label, Key>,
    all: HashMap<Key, Subscription>,
    next_key: Key,
    ready: VecDeque<Key>,
    hungry: VecDeque<Key>,
    /// How many hold a page of the store or are reading one.
    pages: usize,
    wake_ups: SelectAll<WakeUps>,
    opening: FuturesUnordered<BoxFuture<'static, Opened>>,
    loading: FuturesUnordered<BoxFuture<'static, Loaded>>,
}

struct Opened {
    key: Key,
    id: Option<Label>,
    found: Result<(Cursor, Offset, Status), StreamError>,
}

struct Loaded {
    key: Key,
    cursor: Cursor,
    loaded: Result<(), StreamError>,
}

/// Tells that there may be something new for a subscription.
struct WakeUps {
    key: Key,
    stream: Abortable<BroadcastStream<()>>,
}

impl Stream for WakeUps {
    type Item = Key;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Key>> {
        // Also one that was missed says that there is something new.
        let woken = self.stream.poll_next_unpin(context);
        woken.map(|woken| woken.map(|_| self.key))
    }
}

impl Subscriptions {
    /// None yet.
    pub fn new(streams: Arc<Streams>) -> Self {
        Self {
            streams,
            keys: HashMap::new(),
            all: HashMap::new(),
            next_key: 0,
            ready: VecDeque::new(),
            hungry: VecDeque::new(),
            pages: 0,
            wake_ups: SelectAll::new(),
            opening: FuturesUnordered::new(),
            loading: FuturesUnordered::new(),
        }
    }

    /// Begins one.
    pub fn begin(&mut self, request: Subscribe, reading: Reading) {
        let Subscribe { id, sub, stream, start, window } = request;
        let key = self.next_key;
        self.next_key += 1;
        self.keys.insert(sub.clone(), key);
        self.all.insert(key, Subscription::opening(sub, stream.clone(), reading, window));
        let streams = self.streams.clone();
        let open = async move { Opened { key, id, found: open(streams, stream, start).await } };
        self.opening.push(open.boxed());
    }

    /// Whether there may be another one called `sub`.
    pub fn check(&self, sub: &Label) -> Result<(), Problem> {
        if self.keys.contains_key(sub) {
            let detail = "there is a subscription with this sub; unsubscribe first";
            return Err(Problem::new(StatusCode::CONFLICT, "subscription_exists", detail));
        }
        if self.all.len() >= SOCKET_SUBSCRIPTIONS_MAX {
            let detail = "this socket has as many subscriptions as it may; open another one";
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Problem::new(status, "too_many_subscriptions", detail));
        }
        Ok(())
    }

    /// Ends the one called `sub`. Nothing more of it is sent.
    pub fn end(&mut self, sub: &Label) -> Result<(), Problem> {
        let key = self.keys.get(sub).copied().ok_or_else(no_subscription)?;
        self.remove(key);
        Ok(())
    }

    /// The client has everything of `sub` up to byte `bytes`.
    pub fn acknowledge(&mut self, sub: &Label, bytes: u64) -> Result<(), Problem> {
        let key = self.keys.get(sub).copied().ok_or_else(no_subscription)?;
        if let Some(subscription) = self.all.get_mut(&key) {
            subscription.acknowledge(bytes);
            if subscription.state == State::Full {
                self.make_ready(key);
            }
        }
        Ok(())
    }

    /// Ends those whose streams `check` refuses, and tells why.
    pub fn retain(&mut self, check: impl Fn(&StreamName) -> Result<(), Problem>) -> Vec<String> {
        let refused = self.all.iter().filter_map(|(key, subscription)| {
            let problem = check(&subscription.name).err()?;
            Some((*key, subscription.failure(problem)))
        });
        let (keys, answers): (Vec<Key>, Vec<String>) = refused.unzip();
        keys.into_iter().for_each(|key| self.remove(key));
        answers
    }

    /// Whether one may have something to send.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn make_ready(&mut self, key: Key) {
        if let Some(subscription) = self.all.get_mut(&key) {
            subscription.state = State::Ready;
            self.ready.push_back(key);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(subscription) = self.all.remove(&key) {
            self.keys.remove(&subscription.label);
            // A page that is on its way is counted until it is here.
            if subscription.has_page && subscription.state != State::Loading {
                self.pages -= 1;
            }
        }
        self.load();
    }

    /// What comes next of those that are ready: the one that has waited longest.
    pub fn next_frame(&mut self) -> Option<String> {
        while let Some(key) = self.ready.pop_front() {
            let Some(subscription) = self.all.get_mut(&key) else { continue };
            let turn = subscription.turn();
            let (state, frame) = match turn {
                Turn::Frame(frame) => (State::Ready, Some(frame)),
                Turn::More => (State::Ready, None),
                Turn::Idle(frame) => (State::Idle, frame),
                Turn::Full => {
                    // It may take long, and others are waiting to read.
                    subscription.forget_page();
                    (State::Full, None)
                }
                Turn::Stored => (State::Hungry, None),
                Turn::Over(frame) => {
                    self.remove(key);
                    return Some(frame);
                }
            };
            subscription.state = state;
            if subscription.has_page && !subscription.holds_page() {
                subscription.has_page = false;
                self.pages -= 1;
            }
            match state {
                State::Ready => self.ready.push_back(key),
                State::Hungry => self.hungry.push_back(key),
                _ => {}
            }
            self.load();
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    /// Lets those read that have waited longest for it, as many as may.
    fn load(&mut self) {
        while self.pages < SOCKET_PAGES_MAX
            && let Some(key) = self.hungry.pop_front()
        {
            let Some(subscription) = self.all.get_mut(&key) else { continue };
            let Some(mut cursor) = subscription.cursor.take() else { continue };
            (subscription.state, subscription.has_page) = (State::Loading, true);
            self.pages += 1;
            let load = async move {
                let loaded = cursor.turn_page().await;
                Loaded { key, cursor, loaded }
            };
            self.loading.push(load.boxed());
        }
    }

    /// Waits until something has happened that is no turn, and tells what the client has to know of
    /// it. Cancel safe.
    pub async fn progress(&mut self) -> Option<String> {
        tokio::select! {
            Some(key) = self.wake_ups.next(), if !self.wake_ups.is_empty() => {
                if self.all.get(&key).is_some_and(|woken| woken.state == State::Idle) {
                    self.make_ready(key);
                }
                None
            }
            Some(opened) = self.opening.next(), if !self.opening.is_empty() => self.opened(opened),
            Some(loaded) = self.loading.next(), if !self.loading.is_empty() => self.loaded(loaded),
            else => std::future::pending().await,
        }
    }

    fn opened(&mut self, Opened { key, id, found }: Opened) -> Option<String> {
        let subscription = self.all.get_mut(&key)?;
        let (cursor, at, status) = match found {
            Ok(found) => found,
            Err(error) => {
                let answer = answer::error(id.as_ref(), Some(&subscription.label), &error.into());
                self.remove(key);
                return Some(answer);
            }
        };
        let (stream, wake_ups) = abortable(cursor.wake_ups());
        self.wake_ups.push(WakeUps { key, stream });
        let channel = cursor.channel();
        let stream = (channel.name().as_str(), &**channel.content_type());
        let answer = answer::subscribed(id.as_ref(), &subscription.label, stream, at, status);
        subscription.wake_ups = Some(wake_ups);
        subscription.open(cursor, at);
        self.make_ready(key);
        Some(answer)
    }

    fn loaded(&mut self, Loaded { key, cursor, loaded }: Loaded) -> Option<String> {
        let Some(subscription) = self.all.get_mut(&key) else {
            self.pages -= 1;
            self.load();
            return None;
        };
        subscription.cursor = Some(cursor);
        // Whatever has gone wrong, it is no longer reading.
        self.make_ready(key);
        let error = loaded.err()?;
        let answer = self.all.get(&key).map(|subscription| subscription.failure(error));
        self.remove(key);
        answer
    }
}

impl Subscription {
    /// Whether there is something left of what was read from the store.
    fn holds_page(&self) -> bool {
        self.cursor.as_ref().is_some_and(Cursor::holds_page)
    }

    fn forget_page(&mut self) {
        if let Some(cursor) = &mut self.cursor {
            cursor.forget_page();
        }
    }
}

fn no_subscription() -> Problem {
    let detail = "there is no subscription with this sub; it may have ended just now";
    Problem::new(StatusCode::NOT_FOUND, "no_such_subscription", detail)
}

/// A reader of `name` from `start` on.
async fn open(
    streams: Arc<Streams>,
    name: StreamName,
    start: Start,
) -> Result<(Cursor, Offset, Status), StreamError> {
    loop {
        let channel = streams.find(&name).await?;
        let at = match start {
            Start::Beginning => Offset::ZERO,
            Start::At(offset) => offset,
            Start::Now => streams.status(&channel).await?.tail,
        };
        match streams.read(channel, at.bytes).await {
            // The name has just begun anew, and is found with its new life now.
            Err(StreamError::Replaced) => tokio::task::yield_now().await,
            Err(error) => return Err(error),
            Ok((cursor, status)) => {
                // A client may know the bytes only; at the end the whole offset is known.
                let at = if at.bytes == status.tail.bytes { status.tail } else { at };
                return Ok((cursor, at, status));
            }
        }
    }
}
