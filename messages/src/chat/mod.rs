//! Chat: conversations on streams. A conversation is a stream of events, and everything that happens
//! in it is an event, so history and live are one and a position says what somebody has.
//!
//! * `decide.rs` says what may happen, `state.rs` what is then: both pure.
//! * `act.rs` lets it happen: one at a time in a conversation, durable before it is answered.
//! * `projection.rs` says what events mean for the tables. The flusher writes these together with the
//!   records, so they never disagree; whoever reads tables first waits for what is not written yet.
//! * `others/` has what other nodes do, where there are any: it is taken up before anybody can read it.
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
mod load;
mod name;
mod others;
mod people;
mod projection;
mod receipts;
mod recent;
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
    model::Target,
    store::ChatStore,
    stream::{StreamError, Streams},
};
use dashmap::{DashMap, DashSet};
use hub::Hub;
#[cfg(test)]
use load::state_of;
use others::Others;
use receipts::Receipts;
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
    /// What other nodes do, if there are any.
    others: Option<Arc<Others>>,
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
        let others = streams.shared().map(|shared| Arc::new(Others::new(shared.clone())));
        let chat = Arc::new(Self {
            streams,
            store,
            clock,
            conversations: DashMap::new(),
            receipts,
            growing: DashSet::new(),
            attachments,
            hub: Arc::default(),
            others,
        });
        chat.foresee();
        chat
    }

    /// Does what is not asked for by anybody, until `stop`; and then what must not be left undone.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let upkeep = self.clone().keep_up();
        let receipts = tokio::spawn(self.receipts.clone().run(stop.clone()));
        let upkeep = async {
            tokio::select! {
                () = upkeep => {}
                () = stop.cancelled() => {}
            }
            if let Err(error) = receipts.await {
                tracing::error!(%error, "marks of readers are not written any more");
            }
        };
        tokio::join!(upkeep, self.clone().hear_others(stop.clone()));
    }

    /// Waits until the tables say everything that was answered until now.
    async fn wait_for_all_tables(&self) -> Result<(), ChatError> {
        let most = Duration::from_millis(TABLES_WAIT_MS_MAX);
        let waited = tokio::time::timeout(most, self.streams.all_stored(true)).await;
        waited.map_err(|_| StreamError::StoreUnavailable.into())
    }

    /// As [`Chat::wait_for_all_tables`], for what concerns one conversation.
    async fn wait_for_tables(&self, conversation: &Conversation) -> Result<(), ChatError> {
        if self.is_in_tables(conversation) {
            return Ok(());
        }
        self.wait_for_all_tables().await
    }

    /// Whether the tables say all that is visible of a conversation.
    fn is_in_tables(&self, conversation: &Conversation) -> bool {
        let channel = conversation.channel();
        match self.others {
            // Whoever has written it, this node may not have seen the row.
            Some(_) => channel.stored() == channel.durable(),
            None => channel.is_stored(),
        }
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
            // What another node has written this one may not know, and needs not.
            let stored = self.others.is_some() || conversation.channel().is_stored();
            let unwatched = !conversation.is_watched();
            // Whoever reads must learn when their access ends, which is said here.
            let read = conversation.is_read();
            !(unheld && stored && unwatched && !read && idle_ms > CONVERSATION_IDLE_MS)
        });
        self.hub.sweep(now_ms.saturating_sub(CONVERSATION_IDLE_MS));
        if let Some(others) = &self.others {
            others.sweep();
        }
    }
}
