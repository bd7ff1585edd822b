//! How far everybody is. A mark is one number for a user and a conversation, which only grows. Marks
//! that come within a moment become one record of the stream `receipts_stream`, and what is in the
//! tables is the last of them: never a row for a message and a reader.

use super::{
    ChatError,
    conversation::Conversation,
    name::{ConversationName, MessageId},
    state::Marks,
};
use crate::{
    clock::Clock,
    limits::{RECEIPTS_AT_ONCE_MAX, RECEIPTS_INTERVAL_MS, RECEIPTS_WAITING_MAX},
    model::{Records, StreamName},
    stream::{Addition, StreamError, Streams},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// What the stream of marks is called among those of chat.
pub(super) const RECEIPTS: &str = "receipts_stream";

/// A record of the stream: what those who take part say that the others do not get as an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    Receipt(Receipt),
    Report(Report),
}

/// A complaint about a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub conversation: Arc<str>,
    pub target: u64,
    pub participant: Arc<str>,
    pub reason: String,
    pub created: u64,
}

/// Where somebody is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub conversation: Arc<str>,
    pub participant: Arc<str>,
    pub delivered: u64,
    pub delivered_at: Option<u64>,
    pub read: u64,
    pub read_at: Option<u64>,
}

type Key = (ConversationName, Arc<str>);

/// Marks on their way.
pub(super) struct Receipts {
    streams: Arc<Streams>,
    clock: Arc<dyn Clock>,
    waiting: Mutex<Waiting>,
    news: Notify,
    /// The last round that is over.
    written: watch::Sender<Written>,
}

/// How far marks are written.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    /// The last round that is over.
    last: u64,
    /// The last one that went wrong.
    failed: u64,
}

#[derive(Default)]
struct Waiting {
    marks: HashMap<Key, (Arc<Conversation>, Marks)>,
    /// The round that these will be written in.
    round: u64,
}

impl Receipts {
    pub fn new(streams: Arc<Streams>, clock: Arc<dyn Clock>) -> Self {
        let waiting = Waiting { marks: HashMap::new(), round: 1 };
        Self {
            streams,
            clock,
            waiting: Mutex::new(waiting),
            news: Notify::new(),
            written: watch::Sender::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `user` has got, and read, everything up to these positions of `conversation`. Returns the round
    /// in which that is written; `None` where it was known.
    pub fn mark(
        &self,
        conversation: &Arc<Conversation>,
        user: &Arc<str>,
        delivered: u64,
        read: u64,
    ) -> Result<Option<u64>, ChatError> {
        let now_ms = self.clock.now_ms();
        let known = {
            let live = conversation.live();
            let person = live.state.insider(user)?;
            // Nobody has what is not there.
            let most = live.state.position();
            let mut marks = person.marks;
            if !marks.advance(delivered.min(most), read.min(most), now_ms) {
                return Ok(None);
            }
            marks
        };
        let mut waiting = self.waiting();
        if waiting.marks.len() >= RECEIPTS_WAITING_MAX {
            return Err(StreamError::Overloaded.into());
        }
        let key = (conversation.name().clone(), user.clone());
        let entry = waiting.marks.entry(key).or_insert_with(|| (conversation.clone(), known));
        let _ = entry.1.advance(known.delivered, known.read, now_ms);
        let round = waiting.round;
        drop(waiting);
        self.news.notify_one();
        Ok(Some(round))
    }

    /// Waits until the marks of `round` are durable. Cancel safe.
    pub async fn durable(&self, round: u64) -> Result<(), ChatError> {
        let mut written = self.written.subscribe();
        let over = written.wait_for(|written| written.last >= round).await;
        match over.map(|over| over.failed) {
            Ok(failed) if failed < round => Ok(()),
            _ => Err(StreamError::JournalFailed.into()),
        }
    }

    /// Writes marks, until `stop`; those who watch a conversation are told what is durable.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.news.notified() => {}
                () = stop.cancelled() => {
                    self.round().await;
                    return;
                }
            }
            self.round().await;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(RECEIPTS_INTERVAL_MS)) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn round(&self) {
        let (marks, round) = {
            let mut waiting = self.waiting();
            let round = waiting.round;
            waiting.round += 1;
            (std::mem::take(&mut waiting.marks), round)
        };
        let marks: Vec<_> = marks.into_iter().collect();
        let mut all_well = true;
        for part in marks.chunks(RECEIPTS_AT_ONCE_MAX) {
            match self.write(part).await {
                // Several nodes take up what is in the stream, also what is their own.
                Ok(()) if self.streams.shared().is_some() => {}
                Ok(()) => take_up(part),
                Err(error) => {
                    tracing::warn!(%error, marks = part.len(), "marks of readers are lost");
                    all_well = false;
                }
            }
        }
        self.written.send_modify(|written| {
            written.last = round;
            written.failed = if all_well { written.failed } else { round };
        });
    }

    async fn write(&self, marks: &[(Key, (Arc<Conversation>, Marks))]) -> Result<(), ChatError> {
        let said = marks.iter().map(|((conversation, participant), (_, marks))| {
            let Marks { delivered, delivered_at, read, read_at } = *marks;
            let (conversation, participant) = (conversation.text().clone(), participant.clone());
            Said::Receipt(Receipt {
                conversation,
                participant,
                delivered,
                delivered_at,
                read,
                read_at,
            })
        });
        self.append(said).await
    }

    /// Keeps a complaint. Returns when it is durable.
    pub async fn report(
        &self,
        user: &Arc<str>,
        message: &MessageId,
        reason: &str,
    ) -> Result<(), ChatError> {
        let report = Report {
            conversation: message.conversation.text().clone(),
            target: message.position,
            participant: user.clone(),
            reason: reason.to_owned(),
            created: self.clock.now_ms(),
        };
        self.append([Said::Report(report)].into_iter()).await
    }

    async fn append(&self, said: impl Iterator<Item = Said>) -> Result<(), ChatError> {
        let name = StreamName::of_chat(RECEIPTS).map_err(|_| ChatError::BadName)?;
        let (mut body, mut lengths) = (Vec::new(), Vec::new());
        for one in said {
            let before = body.len();
            // What is made of texts and numbers can always be written.
            let _ = serde_json::to_writer(&mut body, &one);
            body.push(b',');
            lengths.push((body.len() - before) as u32);
        }
        let (channel, _) = self.streams.find_or_create(&name, "application/json", false).await?;
        let records = Records::messages(&lengths, body.into());
        let addition = Addition { records, ..Addition::default() };
        self.streams.append_patiently(&channel, addition).await?;
        Ok(())
    }
}

/// Lets the conversations know what is durable now, and those who watch them.
fn take_up(marks: &[(Key, (Arc<Conversation>, Marks))]) {
    let mut changed: HashMap<&ConversationName, (&Arc<Conversation>, Vec<Arc<str>>)> =
        HashMap::new();
    for ((name, user), (conversation, marks)) in marks {
        if let Some(person) = conversation.live().state.people.get_mut(user) {
            person.marks.take_up(marks);
            changed.entry(name).or_insert_with(|| (conversation, Vec::new())).1.push(user.clone());
        }
    }
    for (conversation, users) in changed.into_values() {
        conversation.tell_receipts(Some(&users));
    }
}
