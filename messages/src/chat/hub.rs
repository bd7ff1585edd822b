//! Who is there: the sockets of every user, and what they are told beside the streams. Nothing here
//! is stored, and what a slow socket does not take is lost; it is told that, and asks anew.

use super::name::ConversationName;
use crate::limits::{MAILBOX_NOTICES_MAX, PRESENCE_WATCHERS_MAX};
use dashmap::DashMap;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

/// What a socket is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Its user has come into a conversation.
    Joined(ConversationName),
    /// A frame for its client, as it is.
    Frame(Arc<str>),
}

/// Where notices for a socket go. The socket has the other end.
#[derive(Clone, Debug)]
pub struct Mailbox {
    id: u64,
    user: Arc<str>,
    notices: mpsc::Sender<Notice>,
    missed: Arc<AtomicBool>,
}

/// The socket's end of a [`Mailbox`].
#[derive(Debug)]
pub struct Letters {
    notices: mpsc::Receiver<Notice>,
    missed: Arc<AtomicBool>,
}

impl Letters {
    /// The next notice. Cancel safe.
    pub async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }

    /// Whether some were lost since this was asked last: then look again at everything that they
    /// could have told of.
    #[must_use]
    pub fn has_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }
}

impl Mailbox {
    /// Whose socket it is.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Tells the socket; where it is full, that it misses something.
    pub fn send(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.missed.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
    }

    pub(super) fn is_closed(&self) -> bool {
        self.notices.is_closed()
    }
}

/// All sockets.
#[derive(Default)]
pub(super) struct Hub {
    next_id: AtomicU64,
    users: DashMap<Arc<str>, Presence>,
}

/// One user.
#[derive(Default)]
struct Presence {
    sockets: Vec<Mailbox>,
    /// Sockets that want to know whether this user is there.
    watchers: Vec<Mailbox>,
    /// When the last socket went, in milliseconds since 1970.
    last_seen: Option<u64>,
}

impl Hub {
    /// A socket of `user` opens. Says whether it is their first.
    pub fn open(&self, user: &Arc<str>) -> (Mailbox, Letters, bool) {
        let (sender, receiver) = mpsc::channel(MAILBOX_NOTICES_MAX);
        let missed = Arc::new(AtomicBool::new(false));
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mailbox = Mailbox { id, user: user.clone(), notices: sender, missed: missed.clone() };
        let mut presence = self.users.entry(user.clone()).or_default();
        presence.sockets.push(mailbox.clone());
        let is_first = presence.sockets.len() == 1;
        drop(presence);
        (mailbox, Letters { notices: receiver, missed }, is_first)
    }

    /// It closes at `now_ms`. Says whether it was the last of its user.
    pub fn close(&self, mailbox: &Mailbox, watched: &HashSet<Arc<str>>, now_ms: u64) -> bool {
        self.watch(mailbox, watched, &HashSet::new());
        let Some(mut presence) = self.users.get_mut(&mailbox.user) else { return false };
        presence.sockets.retain(|known| !known.is_same(mailbox));
        let is_last = presence.sockets.is_empty();
        if is_last {
            presence.last_seen = Some(now_ms);
        }
        drop(presence);
        is_last
    }

    /// Tells all sockets of `user`.
    pub fn tell(&self, user: &str, notice: &Notice) {
        if let Some(presence) = self.users.get(user) {
            presence.sockets.iter().for_each(|socket| socket.send(notice.clone()));
        }
    }

    /// Tells those who watch `user`.
    pub fn tell_watchers(&self, user: &str, notice: &Notice) {
        if let Some(presence) = self.users.get(user) {
            presence.watchers.iter().for_each(|socket| socket.send(notice.clone()));
        }
    }

    /// Whether `user` is there, and when they last were.
    pub fn presence(&self, user: &str) -> (bool, Option<u64>) {
        self.users
            .get(user)
            .map_or((false, None), |known| (!known.sockets.is_empty(), known.last_seen))
    }

    /// `mailbox` watches `now` instead of `before`.
    pub fn watch(&self, mailbox: &Mailbox, before: &HashSet<Arc<str>>, now: &HashSet<Arc<str>>) {
        for user in before.difference(now) {
            if let Some(mut presence) = self.users.get_mut(user) {
                presence.watchers.retain(|known| !known.is_same(mailbox));
            }
        }
        for user in now.difference(before).take(PRESENCE_WATCHERS_MAX) {
            self.users.entry(user.clone()).or_default().watchers.push(mailbox.clone());
        }
    }

    /// Forgets users of whom nobody wants to know anything since `before_ms`.
    pub fn sweep(&self, before_ms: u64) {
        self.users.retain(|_, presence| {
            presence.watchers.retain(|watcher| !watcher.is_closed());
            let quiet = presence.sockets.is_empty() && presence.watchers.is_empty();
            !quiet || presence.last_seen.is_some_and(|ms| ms > before_ms)
        });
    }
}
