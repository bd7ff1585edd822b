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
    /// It may have missed some, as [`Letters::has_missed`] says.
    Missed,
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

    pub(super) fn user_text(&self) -> &Arc<str> {
        &self.user
    }

    /// Tells the socket; where it is full, that it misses something.
    pub fn send(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.missed.store(true, Ordering::Release);
        }
    }

    /// Tells the socket that there may have been something that it was not told.
    pub(super) fn miss(&self) {
        self.missed.store(true, Ordering::Release);
        // One that is full says so by itself.
        let _ = self.notices.try_send(Notice::Missed);
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
    /// Other nodes where they have sockets.
    elsewhere: Vec<u32>,
    /// Sockets that want to know whether this user is there.
    watchers: Vec<Mailbox>,
    /// When the last socket went, in milliseconds since 1970.
    last_seen: Option<u64>,
}

impl Presence {
    fn is_online(&self) -> bool {
        !self.sockets.is_empty() || !self.elsewhere.is_empty()
    }

    /// What it is for them to get their first socket here, or to have lost the last.
    fn change(&self) -> Change {
        match (self.sockets.is_empty(), self.elsewhere.is_empty()) {
            (false, _) => Change::None,
            (true, false) => Change::Here,
            (true, true) => Change::Everywhere,
        }
    }
}

/// What has changed when a socket opens or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Its user has others here.
    None,
    /// It is the only one here, but there are others elsewhere.
    Here,
    /// It is the only one.
    Everywhere,
}

impl Hub {
    /// A socket of `user` opens.
    pub fn open(&self, user: &Arc<str>) -> (Mailbox, Letters, Change) {
        let (sender, receiver) = mpsc::channel(MAILBOX_NOTICES_MAX);
        let missed = Arc::new(AtomicBool::new(false));
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mailbox = Mailbox { id, user: user.clone(), notices: sender, missed: missed.clone() };
        let mut presence = self.users.entry(user.clone()).or_default();
        let change = presence.change();
        presence.sockets.push(mailbox.clone());
        drop(presence);
        (mailbox, Letters { notices: receiver, missed }, change)
    }

    /// It closes at `now_ms`.
    pub fn close(&self, mailbox: &Mailbox, watched: &HashSet<Arc<str>>, now_ms: u64) -> Change {
        self.watch(mailbox, watched, &HashSet::new());
        let Some(mut presence) = self.users.get_mut(&mailbox.user) else { return Change::None };
        presence.sockets.retain(|known| !known.is_same(mailbox));
        if presence.sockets.is_empty() {
            presence.last_seen = Some(now_ms);
        }
        presence.change()
    }

    /// Whether `user` has sockets on another node, and when the last there went. Returns whether they
    /// have come or gone by that.
    pub fn set_elsewhere(
        &self,
        user: &Arc<str>,
        node: u32,
        online: bool,
        last_seen: Option<u64>,
    ) -> bool {
        if !online && !self.users.contains_key(user) {
            return false;
        }
        let mut presence = self.users.entry(user.clone()).or_default();
        let before = presence.is_online();
        presence.elsewhere.retain(|known| *known != node);
        if online {
            presence.elsewhere.push(node);
        }
        presence.last_seen = presence.last_seen.max(last_seen);
        presence.is_online() != before
    }

    /// Whether `user` has sockets on this node, and when the last went.
    pub fn here(&self, user: &str) -> (bool, Option<u64>) {
        self.users
            .get(user)
            .map_or((false, None), |known| (!known.sockets.is_empty(), known.last_seen))
    }

    /// Those who have.
    pub fn users_here(&self) -> Vec<Arc<str>> {
        let here = self.users.iter().filter(|known| !known.sockets.is_empty());
        here.map(|known| known.key().clone()).collect()
    }

    /// All sockets of this node.
    pub fn mailboxes(&self) -> Vec<Mailbox> {
        self.users.iter().flat_map(|known| known.sockets.clone()).collect()
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
        self.users.get(user).map_or((false, None), |known| (known.is_online(), known.last_seen))
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
            let quiet = !presence.is_online() && presence.watchers.is_empty();
            !quiet || presence.last_seen.is_some_and(|ms| ms > before_ms)
        });
    }
}
