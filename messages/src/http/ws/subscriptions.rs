//! All the streams and conversations of a socket, driven by its one task.
//!
//! Those that may have something to send stand in a queue and have their turn one after the other, a
//! frame each. The others wait, and only those that are woken are looked at. What is in the store is
//! read beside all this, for a few at a time.

use super::{
    answer,
    label::Label,
    plain::Plain,
    request::Subscribe,
    source::{Found, Source},
    subscription::{Ending, State, Subscription, Turn, Why},
};
use crate::{
    chat::{ChatError, Conversation, ConversationName},
    http::{App, gate::Reading, problem::Problem},
    limits::{SOCKET_OPENINGS_MAX, SOCKET_PAGES_MAX, SOCKET_SUBSCRIPTIONS_MAX},
    model::StreamName,
    stream::{Cursor, StreamError},
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
    app: App,
    keys: HashMap<Label, Key>,
    /// How many are of each conversation.
    conversations: HashMap<ConversationName, usize>,
    /// What the session has to know of conversations: at most two of each.
    news: VecDeque<News>,
    /// Boxed, because a table is never full and they are large.
    all: HashMap<Key, Box<Subscription>>,
    next_key: Key,
    ready: VecDeque<Key>,
    hungry: VecDeque<Key>,
    /// How many hold a page of the store or are reading one.
    pages: usize,
    wake_ups: SelectAll<WakeUps>,
    /// Those that are not looked up yet.
    unopened: VecDeque<(Key, BoxFuture<'static, Opened>)>,
    opening: FuturesUnordered<BoxFuture<'static, Opened>>,
    loading: FuturesUnordered<BoxFuture<'static, Loaded>>,
}

struct Opened {
    key: Key,
    id: Option<Label>,
    /// The user, for a client that knows nothing of subscriptions.
    plain: Option<Arc<str>>,
    found: Result<Found, ChatError>,
}

/// What has become of a conversation on a socket.
pub(super) enum News {
    /// It is read from now on.
    Opened(Arc<Conversation>),
    /// It is read no more.
    Ended(ConversationName, Why),
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
    pub fn new(app: App) -> Self {
        Self {
            app,
            keys: HashMap::new(),
            conversations: HashMap::new(),
            news: VecDeque::new(),
            all: HashMap::new(),
            next_key: 0,
            ready: VecDeque::new(),
            hungry: VecDeque::new(),
            pages: 0,
            wake_ups: SelectAll::new(),
            unopened: VecDeque::new(),
            opening: FuturesUnordered::new(),
            loading: FuturesUnordered::new(),
        }
    }

    /// Begins one of `user`.
    pub fn begin(&mut self, request: Subscribe, reading: Reading, user: Arc<str>) {
        let Subscribe { id, sub, source, start, window, is_plain } = request;
        let key = self.next_key;
        self.next_key += 1;
        self.keys.insert(sub.clone(), key);
        if let Source::Conversation(name) = &source {
            *self.conversations.entry(name.clone()).or_default() += 1;
        }
        let subscription = Subscription::opening(sub, source.clone(), reading, window);
        self.all.insert(key, Box::new(subscription));
        let app = self.app.clone();
        let open = async move {
            let found = source.open(app, user.clone(), start).await;
            Opened { key, id, plain: is_plain.then_some(user), found }
        };
        self.unopened.push_back((key, open.boxed()));
    }

    /// Looks up those that are new, as many at once as may be.
    pub fn open_more(&mut self) {
        while self.opening.len() < SOCKET_OPENINGS_MAX
            && let Some((_, open)) = self.unopened.pop_front()
        {
            self.opening.push(open);
        }
    }

    /// Whether there is one of this conversation.
    pub fn reads(&self, name: &ConversationName) -> bool {
        self.conversations.contains_key(name)
    }

    /// What the session has to know of conversations, in the order in which it happened.
    pub fn news(&mut self) -> Option<News> {
        self.news.pop_front()
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
        self.remove(key, Why::Other);
        Ok(())
    }

    /// Ends all.
    pub fn clear(&mut self) {
        self.unopened.clear();
        let keys: Vec<Key> = self.all.keys().copied().collect();
        keys.into_iter().for_each(|key| self.remove(key, Why::Other));
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
            // In conversations it is who takes part that counts.
            let Source::Stream(name) = &subscription.source else { return None };
            let problem = check(name).err()?;
            Some((*key, subscription.refusal(None, problem)))
        });
        let (keys, answers): (Vec<Key>, Vec<String>) = refused.unzip();
        keys.into_iter().for_each(|key| self.remove(key, Why::Other));
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

    fn remove(&mut self, key: Key, why: Why) {
        if let Some(subscription) = self.all.remove(&key) {
            self.keys.remove(&subscription.label);
            if let Source::Conversation(name) = &subscription.source {
                self.forget(name, why);
            }
            if subscription.state == State::Opening {
                self.unopened.retain(|(waiting, _)| *waiting != key);
            }
            if subscription.state == State::Hungry {
                // While the store does not answer, nobody takes them from there.
                self.hungry.retain(|hungry| *hungry != key);
            }
            // A page that is on its way is counted until it is here.
            if subscription.has_page && subscription.state != State::Loading {
                self.pages -= 1;
            }
        }
        self.load();
    }

    fn forget(&mut self, name: &ConversationName, why: Why) {
        let Some(count) = self.conversations.get_mut(name) else { return };
        *count -= 1;
        if *count == 0 {
            self.conversations.remove(name);
            self.news.push_back(News::Ended(name.clone(), why));
        }
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
                Turn::Over(Ending { frame, why }) => {
                    self.remove(key, why);
                    if frame.is_some() {
                        return frame;
                    }
                    continue;
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

    fn opened(&mut self, Opened { key, id, plain, found }: Opened) -> Option<String> {
        let subscription = self.all.get_mut(&key)?;
        let mut found = match found {
            Ok(found) => found,
            Err(error) => {
                let Ending { frame, why } = subscription.failure(id.as_ref(), error);
                self.remove(key, why);
                return frame.filter(|_| plain.is_none() || why == Why::Other);
            }
        };
        let (stream, wake_ups) = abortable(found.cursor.wake_ups());
        self.wake_ups.push(WakeUps { key, stream });
        subscription.wake_ups = Some(wake_ups);
        let (label, source) = (&subscription.label, &subscription.source);
        let answer = answer::subscribed(id.as_ref(), label, source, &found);
        let Found { cursor, at, conversation, .. } = found;
        let plain = match (plain, &conversation) {
            (Some(user), Some(conversation)) => {
                Some(Plain::new(self.app.chat.clone(), user, conversation.clone()))
            }
            _ => None,
        };
        let is_told = plain.is_none();
        subscription.open(cursor, at, plain);
        self.make_ready(key);
        self.news.extend(conversation.map(News::Opened));
        is_told.then_some(answer)
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
        let Ending { frame, why } = self.all.get(&key)?.failure(None, error);
        self.remove(key, why);
        frame
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
