//! Chat: conversations on streams. A conversation is a stream of events, and everything that happens
//! in it is an event, so history and live are one and a position says what somebody has.
//!
//! * `decide.rs` says what may happen, `state.rs` what is then: both pure.
//! * `act.rs` lets it happen: one at a time in a conversation, durable before it is answered.
//! * `projection.rs` says what events mean for the tables. The flusher writes these together with the
//!   records, so they never disagree; whoever reads tables first waits for what is not written yet.
//! * `webhooks.rs` has the webhooks of those who take part, which are subscriptions.
//! * `receipts.rs` has what is no event: how far everybody is. `hub.rs` has what is never stored.

mod act;
mod attachments;
mod begin;
mod conversation;
mod decide;
mod error;
mod event;
mod history;
mod hub;
mod name;
mod people;
mod projection;
mod receipts;
mod role;
mod seat;
mod settings;
mod state;
mod upkeep;
mod view;
mod webhooks;

#[cfg(test)]
mod tests;

pub use act::{Begun, Done, Sent};
pub use attachments::AttachmentRules;
pub use begin::NewConversation;
pub use conversation::Conversation;
pub use decide::{Action, EVERYBODY, Imported, NewMessage};
pub use error::ChatError;
pub use event::{Attachment, Event, Extra, Kind, Message};
pub use history::{Search, Wanted};
pub use hub::{Letters, Mailbox, Notice};
pub use name::{ConversationName, MessageId, user};
pub use people::Mark;
pub use projection::Projection;
pub use role::{Permission, Role};
pub use seat::{Readable, Seat};
pub use settings::{History, Joining, Reactions, Settings};
pub use view::{
    ConversationView, MessageReceiptView, MessageView, PersonView, ReactionView, ReactorView,
    ReceiptView, ReportView, RevisionView, UnreadView,
};

pub use webhooks::{NewWebhook, Place, Webhooks};

use crate::{
    clock::Clock,
    limits::{CONVERSATION_IDLE_MS, TABLES_WAIT_MS_MAX},
    model::{ParticipantRow, ReceiptRow, Target},
    store::{ChatStore, StoredConversation},
    stream::{StreamError, Streams},
};
use dashmap::{DashMap, DashSet};
use hub::Hub;
use receipts::Receipts;
use state::{Marks, Person, State};
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// Where a name has its conversation, once it is loaded. The cell lets only one task load it.
type Cell = Arc<OnceCell<Arc<Conversation>>>;

/// All conversations of this server.
pub struct Chat {
    streams: Arc<Streams>,
    store: Arc<dyn ChatStore>,
    clock: Arc<dyn Clock>,
    conversations: DashMap<ConversationName, Cell>,
    receipts: Arc<Receipts>,
    /// Messages that somebody lets grow here and now.
    growing: DashSet<Target>,
    attachments: AttachmentRules,
    hub: Arc<Hub>,
}

impl Chat {
    /// Conversations on `streams`, with their tables in `store`.
    #[must_use]
    pub fn new(
        streams: Arc<Streams>,
        store: Arc<dyn ChatStore>,
        clock: Arc<dyn Clock>,
        attachments: AttachmentRules,
    ) -> Arc<Self> {
        let receipts = Arc::new(Receipts::new(streams.clone(), clock.clone()));
        Arc::new(Self {
            streams,
            store,
            clock,
            conversations: DashMap::new(),
            receipts,
            growing: DashSet::new(),
            attachments,
            hub: Arc::default(),
        })
    }

    /// Does what is not asked for by anybody, until `stop`; and then what must not be left undone.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let upkeep = self.clone().keep_up();
        let receipts = tokio::spawn(self.receipts.clone().run(stop.clone()));
        tokio::select! {
            () = upkeep => {}
            () = stop.cancelled() => {}
        }
        if let Err(error) = receipts.await {
            tracing::error!(%error, "marks of readers are not written any more");
        }
    }

    fn cell(&self, name: &ConversationName) -> Cell {
        if let Some(cell) = self.conversations.get(name) {
            return cell.clone();
        }
        self.conversations.entry(name.clone()).or_default().clone()
    }

    /// Forgets a name for which nothing was found.
    fn forget_empty(&self, name: &ConversationName) {
        let is_empty = |cell: &Cell| !cell.initialized() && Arc::strong_count(cell) == 1;
        self.conversations.remove_if(name, |_, cell| is_empty(cell));
    }

    /// The conversation of a name.
    ///
    /// # Errors
    /// There is none, or the store does not answer.
    pub async fn conversation(
        &self,
        name: &ConversationName,
    ) -> Result<Arc<Conversation>, ChatError> {
        if let Some(found) = self.conversations.get(name).and_then(|cell| cell.get().cloned()) {
            found.channel().mark_used(self.clock.now_ms());
            return Ok(found);
        }
        let cell = self.cell(name);
        let found = cell.get_or_try_init(|| self.load(name)).await.cloned();
        drop(cell);
        if found.is_err() {
            self.forget_empty(name);
        }
        found
    }

    async fn load(&self, name: &ConversationName) -> Result<Arc<Conversation>, ChatError> {
        let channel = match self.streams.find(&name.stream()?).await {
            Ok(channel) => channel,
            Err(StreamError::NotFound | StreamError::Hidden) => return Err(ChatError::NotFound),
            Err(error) => return Err(error.into()),
        };
        self.streams.status(&channel).await?;
        // What an earlier life of it in memory has begun, too.
        let most = Duration::from_millis(TABLES_WAIT_MS_MAX);
        let settled = tokio::time::timeout(most, self.streams.settled()).await;
        settled.map_err(|_| StreamError::Overloaded)??;
        // Nobody but this server writes to it, and it does so only once it is loaded. So what is
        // visible now is all there is, and then the tables have it; and how far everybody is.
        self.wait_for_all_tables().await?;
        let stored = self.store.conversation(name.as_str()).await?;
        let stored = stored.filter(|stored| !stored.closed).ok_or(ChatError::NotFound)?;
        let mut state = state_of(stored);
        // Records that could not be understood are no events, but have their places.
        state.tail = channel.durable();
        channel.set_low(state.low);
        Ok(Arc::new(Conversation::new(name.clone(), channel, state)))
    }

    /// Waits until the tables say everything that was answered until now.
    async fn wait_for_all_tables(&self) -> Result<(), ChatError> {
        let most = Duration::from_millis(TABLES_WAIT_MS_MAX);
        let waited = tokio::time::timeout(most, self.streams.all_stored(true)).await;
        waited.map_err(|_| StreamError::StoreUnavailable.into())
    }

    /// As [`Chat::wait_for_all_tables`], for what concerns one conversation.
    async fn wait_for_tables(&self, conversation: &Conversation) -> Result<(), ChatError> {
        if conversation.channel().is_stored() {
            return Ok(());
        }
        self.wait_for_all_tables().await
    }

    /// Unloads conversations that nobody has used for a while and that the tables know as they are.
    pub fn sweep(&self) {
        let now_ms = self.clock.now_ms();
        self.conversations.retain(|_, cell| {
            let Some(conversation) = cell.get() else {
                return Arc::strong_count(cell) > 1;
            };
            conversation.forget_stored();
            let idle_ms = now_ms.saturating_sub(conversation.channel().used_ms());
            let unheld = Arc::strong_count(cell) == 1 && Arc::strong_count(conversation) == 1;
            let stored = conversation.channel().is_stored() && !conversation.is_watched();
            // Whoever reads must learn when their access ends, which is said here.
            let read = conversation.is_read();
            !(unheld && stored && !read && idle_ms > CONVERSATION_IDLE_MS)
        });
        self.hub.sweep(now_ms.saturating_sub(CONVERSATION_IDLE_MS));
    }
}

fn state_of(stored: StoredConversation) -> State {
    let StoredConversation { row, n, low, closed, participants, receipts, pins, .. } = stored;
    let mut state = State {
        title: row.title,
        admin: row.admin.into(),
        created: row.created,
        direct: row.direct,
        settings: serde_json::from_str(&row.settings).unwrap_or_default(),
        n,
        low,
        closed,
        pins: pins.into_iter().collect(),
        ..State::new(row.name)
    };
    for participant in participants {
        let ParticipantRow { participant: user, role, standing, since, visible_from, .. } =
            participant;
        let person = Person {
            role: Role::from_word(&role).unwrap_or_default(),
            standing,
            since,
            visible_from,
            muted_until: participant.muted_until,
            banned_until: participant.banned_until,
            created: participant.created,
            sent_ms: None,
            marks: Marks::default(),
        };
        state.people.insert(user.into(), person);
    }
    for ReceiptRow { participant, delivered, delivered_at, read, read_at, .. } in receipts {
        if let Some(person) = state.people.get_mut(&*participant) {
            person.marks = Marks { delivered, delivered_at, read, read_at };
        }
    }
    state
}
