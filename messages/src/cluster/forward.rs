//! Requests that one node at a time can answer: the one that works on subscriptions. Any other passes
//! them on, through the shared log, and the answer back. What they say is the business of whoever asks
//! and answers.
//!
//! Every node has a topic of its own, and all listen to one in which whoever works says so. A request
//! that nobody says to have taken is put again, also to the next worker; one that was taken is put to
//! nobody else: it may have been done.

use crate::{
    limits::{
        FORWARD_AGAIN_MS, FORWARD_ANSWER_WAIT_MS, FORWARD_PART_BYTES_MAX, FORWARD_WAIT_MS,
        FORWARDS_MAX, LOG_RETRY_MS,
    },
    shared_log::LogError,
    stream::{Said, Shared},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, broadcast::error::RecvError, mpsc, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// The topic of whoever works, and wants to know who does.
const WORKER: &str = "worker";

/// There was no answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node that answers this cannot be reached")]
pub struct NoAnswer;

/// Answers what other nodes ask.
pub type Answerer = Box<dyn Fn(Bytes) -> BoxFuture<'static, Bytes> + Send + Sync>;

/// What one node says to another.
enum Letter {
    /// This node works on subscriptions.
    Works(u32),
    /// This one does not any more.
    Rests(u32),
    /// Who does?
    WhoWorks,
    Ask(u32, u64, Bytes),
    /// This question is being answered.
    Taken(u64),
    /// A part of the answer, in order, and whether more comes.
    Part(u64, u32, bool, Bytes),
}

impl Letter {
    fn encode(&self) -> Bytes {
        let mut words = BytesMut::new();
        match self {
            Self::Works(start) => {
                words.put_u8(b'w');
                words.put_u32(*start);
            }
            Self::Rests(start) => {
                words.put_u8(b'r');
                words.put_u32(*start);
            }
            Self::WhoWorks => words.put_u8(b'?'),
            Self::Ask(from, id, body) => {
                words.put_u8(b'a');
                words.put_u32(*from);
                words.put_u64(*id);
                words.put_slice(body);
            }
            Self::Taken(id) => {
                words.put_u8(b't');
                words.put_u64(*id);
            }
            Self::Part(id, number, more, body) => {
                words.put_u8(b'p');
                words.put_u64(*id);
                words.put_u32(*number);
                words.put_u8(u8::from(*more));
                words.put_slice(body);
            }
        }
        words.freeze()
    }

    /// `None` for what a later version may say.
    fn decode(mut words: Bytes) -> Option<Self> {
        Some(match words.try_get_u8().ok()? {
            b'w' => Self::Works(words.try_get_u32().ok()?),
            b'r' => Self::Rests(words.try_get_u32().ok()?),
            b'?' => Self::WhoWorks,
            b'a' => Self::Ask(words.try_get_u32().ok()?, words.try_get_u64().ok()?, words),
            b't' => Self::Taken(words.try_get_u64().ok()?),
            b'p' => {
                let (id, number) = (words.try_get_u64().ok()?, words.try_get_u32().ok()?);
                Self::Part(id, number, words.try_get_u8().ok()? == 1, words)
            }
            _ => return None,
        })
    }
}

/// What is heard of a question.
enum Heard {
    Taken,
    Part(u32, bool, Bytes),
}

/// See the module.
pub struct Forward {
    shared: Arc<Shared>,
    start: u32,
    /// Who works, as far as is known here.
    worker: watch::Sender<Option<u32>>,
    /// This node does.
    works: watch::Sender<bool>,
    asked: Mutex<HashMap<u64, mpsc::UnboundedSender<Heard>>>,
    /// Questions of others that were taken here, and when.
    taken: Mutex<HashMap<(u32, u64), Instant>>,
    next: AtomicU64,
    places: Semaphore,
}

/// Forgets a question that nobody waits for any more.
struct Asked<'a>(&'a Forward, u64);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.asked().remove(&self.1);
    }
}

fn topic(start: u32) -> String {
    format!("node/{start}")
}

impl Forward {
    /// For the node of this start.
    #[must_use]
    pub fn new(shared: Arc<Shared>, start: u32) -> Arc<Self> {
        Arc::new(Self {
            shared,
            start,
            worker: watch::Sender::new(None),
            works: watch::Sender::new(false),
            asked: Mutex::default(),
            taken: Mutex::default(),
            next: AtomicU64::new(1),
            places: Semaphore::new(FORWARDS_MAX),
        })
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<u64, mpsc::UnboundedSender<Heard>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn say(&self, topic: &str, letter: &Letter) {
        if let Err(error) = self.shared.log().say(topic, letter.encode()).await {
            // It is said again, or somebody waits in vain for a while.
            tracing::debug!(%error, topic, "could not say something to other nodes");
        }
    }

    /// Hears what other nodes ask and answer, until `stop`. Questions are for `answerer`, while this
    /// node is the one that works.
    pub async fn run(self: Arc<Self>, answerer: Answerer, stop: CancellationToken) {
        let mut said = self.shared.said();
        let own = topic(self.start);
        let answerer = Arc::new(answerer);
        while let Err(error) = self.listen(&own).await {
            tracing::debug!(%error, "cannot listen to other nodes yet");
            tokio::select! {
                () = sleep(Duration::from_millis(LOG_RETRY_MS)) => {}
                () = stop.cancelled() => return,
            }
        }
        self.say(WORKER, &Letter::WhoWorks).await;
        loop {
            let heard = tokio::select! {
                heard = said.recv() => heard,
                () = stop.cancelled() => return,
            };
            match heard {
                Ok(Said { topic, words: Some(words) }) if *topic == *own || &*topic == WORKER => {
                    if let Some(letter) = Letter::decode(words) {
                        self.hear(letter, &answerer).await;
                    }
                }
                Ok(Said { words: Some(_), .. }) => {}
                Ok(Said { words: None, .. }) | Err(RecvError::Lagged(_)) => {
                    self.say(WORKER, &Letter::WhoWorks).await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn listen(&self, own: &str) -> Result<(), LogError> {
        self.shared.log().listen(WORKER).await?;
        self.shared.log().listen(own).await
    }

    async fn hear(self: &Arc<Self>, letter: Letter, answerer: &Arc<Answerer>) {
        match letter {
            Letter::Works(start) => self.know(Some(start)),
            Letter::Rests(start) if *self.worker.borrow() == Some(start) => self.know(None),
            Letter::Rests(_) => {}
            Letter::WhoWorks if *self.works.borrow() => self.announce().await,
            Letter::WhoWorks => {}
            Letter::Ask(from, id, words) => self.take(from, id, words, answerer),
            Letter::Taken(id) => self.tell(id, Heard::Taken),
            Letter::Part(id, number, more, part) => self.tell(id, Heard::Part(number, more, part)),
        }
    }

    fn know(&self, worker: Option<u32>) {
        self.worker.send_if_modified(|known| std::mem::replace(known, worker) != worker);
    }

    fn tell(&self, id: u64, heard: Heard) {
        if let Some(asked) = self.asked().get(&id) {
            drop(asked.send(heard));
        }
    }

    /// Answers a question, unless that is done already.
    fn take(self: &Arc<Self>, from: u32, id: u64, words: Bytes, answerer: &Arc<Answerer>) {
        if !*self.works.borrow() {
            return;
        }
        let is_new = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let most = Duration::from_millis(FORWARD_WAIT_MS);
            taken.retain(|_, at| at.elapsed() < most);
            taken.insert((from, id), Instant::now()).is_none()
        };
        let (this, answerer) = (self.clone(), answerer.clone());
        tokio::spawn(async move {
            let to = topic(from);
            if !is_new {
                return this.say(&to, &Letter::Taken(id)).await;
            }
            let mut answer = answerer(words);
            let soon = Duration::from_millis(FORWARD_AGAIN_MS / 4);
            let mut answer = match tokio::time::timeout(soon, &mut answer).await {
                Ok(answer) => answer,
                Err(_) => {
                    this.say(&to, &Letter::Taken(id)).await;
                    answer.await
                }
            };
            for number in 0.. {
                let part = answer.split_to(answer.len().min(FORWARD_PART_BYTES_MAX));
                let more = !answer.is_empty();
                this.say(&to, &Letter::Part(id, number, more, part)).await;
                if !more {
                    return;
                }
            }
        });
    }

    /// This node works from now on, or does not any more. To be said again now and then.
    pub async fn works(&self, works: bool) {
        let worked = self.works.send_replace(works);
        if works {
            self.announce().await;
        } else if worked {
            self.say(WORKER, &Letter::Rests(self.start)).await;
        }
    }

    async fn announce(&self) {
        self.say(WORKER, &Letter::Works(self.start)).await;
    }

    /// Waits until somebody says that nobody works. Cancel safe.
    pub async fn vacant(&self) {
        let mut worker = self.worker.subscribe();
        while worker.changed().await.is_ok() {
            if worker.borrow().is_none() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Asks the node that works, and waits for the next one where there is none.
    ///
    /// # Errors
    /// There is no answer in time; it may come to be known or not what was asked.
    pub async fn ask(&self, words: Bytes) -> Result<Bytes, NoAnswer> {
        let _place = self.places.try_acquire().map_err(|_| NoAnswer)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, mut heard) = mpsc::unbounded_channel();
        self.asked().insert(id, sender);
        let _asked = Asked(self, id);
        let letter = Letter::Ask(self.start, id, words);
        let mut worker = self.worker.subscribe();
        let until = Instant::now() + Duration::from_millis(FORWARD_WAIT_MS);
        loop {
            let known = *worker.borrow_and_update();
            match known {
                Some(start) => self.say(&topic(start), &letter).await,
                None => self.say(WORKER, &Letter::WhoWorks).await,
            }
            let again = Instant::now() + Duration::from_millis(FORWARD_AGAIN_MS);
            let first = tokio::select! {
                first = heard.recv() => first,
                _ = worker.changed() => continue,
                () = tokio::time::sleep_until(again.min(until)) => {
                    if Instant::now() >= until {
                        return Err(NoAnswer);
                    }
                    continue;
                }
            };
            return self.collect(first, heard).await;
        }
    }

    async fn collect(
        &self,
        first: Option<Heard>,
        mut heard: mpsc::UnboundedReceiver<Heard>,
    ) -> Result<Bytes, NoAnswer> {
        let until = Instant::now() + Duration::from_millis(FORWARD_ANSWER_WAIT_MS);
        let (mut answer, mut next) = (BytesMut::new(), first);
        let mut expected = 0;
        loop {
            match next {
                None => return Err(NoAnswer),
                Some(Heard::Taken) => {}
                Some(Heard::Part(number, more, part)) if number == expected => {
                    if number == 0 && !more {
                        return Ok(part);
                    }
                    expected += 1;
                    answer.extend_from_slice(&part);
                    if !more {
                        return Ok(answer.freeze());
                    }
                }
                Some(Heard::Part(number, ..)) if number < expected => {}
                // One is missing.
                Some(Heard::Part(..)) => return Err(NoAnswer),
            }
            next = timeout_at(until, heard.recv()).await.map_err(|_| NoAnswer)?;
        }
    }
}
