//! Letters to other nodes. One task sends them, so they come in order.

use super::{
    super::Chat,
    Others,
    letter::{Growing, Letter, Mail, Statement, Whereabouts},
};
use crate::limits::{
    CHAT_BEAT_MS, CHAT_BEATS_TO_STATE, LETTERS_AT_ONCE_MAX, LETTERS_WAITING_MAX, PEOPLE_AT_ONCE_MAX,
};
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// What letters are addressed to: chat on all nodes.
pub(super) const TOPIC: &str = "chat";

/// What waits to be said.
pub(in crate::chat) struct Post {
    letters: mpsc::Sender<Letter>,
    waiting: Mutex<Option<mpsc::Receiver<Letter>>>,
    /// Users who have come or gone.
    people: Mutex<HashSet<Arc<str>>>,
    news: Notify,
    /// Somebody wants to be told everything.
    asked: Notify,
    /// Something could not be said.
    lost: AtomicBool,
}

impl Post {
    pub fn new() -> Self {
        let (letters, waiting) = mpsc::channel(LETTERS_WAITING_MAX);
        Self {
            letters,
            waiting: Mutex::new(Some(waiting)),
            people: Mutex::default(),
            news: Notify::new(),
            asked: Notify::new(),
            lost: AtomicBool::new(false),
        }
    }

    /// Sends a letter, soon. Does not wait.
    pub fn send(&self, letter: Letter) {
        if self.letters.try_send(letter).is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }

    /// `user` has come or gone here.
    pub fn changed(&self, user: &Arc<str>) {
        self.people().insert(user.clone());
        self.news.notify_one();
    }

    /// Says everything, soon.
    pub fn state_all(&self) {
        self.asked.notify_one();
    }

    fn people(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn some_people(&self) -> HashSet<Arc<str>> {
        let mut people = self.people();
        let some: HashSet<Arc<str>> = people.iter().take(PEOPLE_AT_ONCE_MAX).cloned().collect();
        people.retain(|user| !some.contains(user));
        if !people.is_empty() {
            self.news.notify_one();
        }
        some
    }
}

impl Chat {
    /// Says to other nodes everything that they could not find out, soon and not only at its time.
    pub fn say_everything(&self) {
        if let Some(others) = &self.others {
            others.post.state_all();
        }
    }

    /// Sends letters until `stop`.
    pub(super) async fn send_letters(&self, others: &Others, stop: &CancellationToken) {
        let post = &others.post;
        let taken = post.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = taken else { return };
        let mut beats = interval(Duration::from_millis(CHAT_BEAT_MS));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut beat, mut round) = (0, 0);
        loop {
            let mut letters = Vec::new();
            let mut states = false;
            let stops = tokio::select! {
                Some(letter) = waiting.recv() => {
                    letters.push(letter);
                    false
                }
                () = post.news.notified() => false,
                () = post.asked.notified() => {
                    states = true;
                    false
                }
                _ = beats.tick() => {
                    states = beat % CHAT_BEATS_TO_STATE == 0;
                    beat += 1;
                    letters.push(Letter::Beat);
                    false
                }
                () = stop.cancelled() => true,
            };
            while letters.len() < LETTERS_AT_ONCE_MAX
                && let Ok(letter) = waiting.try_recv()
            {
                letters.push(letter);
            }
            let people = post.some_people();
            if !people.is_empty() {
                let people = people.into_iter().map(|user| self.whereabouts(user)).collect();
                letters.push(Letter::People { people });
            }
            if post.lost.swap(false, Ordering::AcqRel) {
                letters.push(Letter::Missed);
            }
            if stops {
                letters.push(Letter::Bye);
            }
            say(others, letters).await;
            if stops {
                return;
            }
            if states {
                round += 1;
                for part in self.statement(round) {
                    say(others, vec![Letter::All(part)]).await;
                }
            }
        }
    }

    fn whereabouts(&self, user: Arc<str>) -> Whereabouts {
        let (online, last_seen) = self.hub.here(&user);
        Whereabouts { user, online, last_seen }
    }

    /// Everything that others could not find out.
    fn statement(&self, round: u64) -> Vec<Statement> {
        let users = self.hub.users_here();
        let growing: Vec<Growing> = self.growing.iter().map(|target| (&*target).into()).collect();
        let count = users.len().max(growing.len()).div_ceil(PEOPLE_AT_ONCE_MAX).max(1);
        let (mut users, mut growing) =
            (users.chunks(PEOPLE_AT_ONCE_MAX), growing.chunks(PEOPLE_AT_ONCE_MAX));
        let part = |part: usize| Statement {
            round,
            part: part as u32,
            last: part + 1 == count,
            users: users.next().unwrap_or_default().to_vec(),
            growing: growing.next().unwrap_or_default().to_vec(),
        };
        (0..count).map(part).collect()
    }
}

async fn say(others: &Others, letters: Vec<Letter>) {
    if letters.is_empty() {
        return;
    }
    let mail = Mail { node: others.shared.node(), letters };
    // What is made of texts and numbers can always be written.
    let words = serde_json::to_vec(&mail).unwrap_or_default();
    if let Err(error) = others.shared.say(TOPIC, words.into()).await {
        tracing::debug!(%error, "other nodes cannot be told");
        others.post.lost.store(true, Ordering::Release);
    }
}
