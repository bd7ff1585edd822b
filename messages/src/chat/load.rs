//! How conversations come into memory.

use super::{
    Cell, Chat, ChatError,
    conversation::{AtHand, Conversation},
    name::ConversationName,
    others::Others,
    role::Role,
    state::{Marks, Person, State},
};
use crate::{
    channel::Channel,
    limits::{LOADS_MAX, TABLES_WAIT_MS_MAX},
    model::{Offset, ParticipantRow, ReceiptRow},
    store::StoredConversation,
    stream::StreamError,
};
use std::{sync::Arc, time::Duration};

impl Chat {
    pub(super) fn cell(&self, name: &ConversationName) -> Cell {
        if let Some(cell) = self.conversations.get(name) {
            return cell.clone();
        }
        self.conversations.entry(name.clone()).or_default().clone()
    }

    /// Forgets a name for which nothing was found.
    pub(super) fn forget_empty(&self, name: &ConversationName) {
        let is_empty = |cell: &Cell| !cell.initialized() && Arc::strong_count(cell) == 1;
        self.conversations.remove_if(name, |_, cell| is_empty(cell));
    }

    fn loaded(&self, name: &ConversationName) -> Option<Arc<Conversation>> {
        self.conversations.get(name).and_then(|cell| cell.get().cloned())
    }

    /// The conversation of a name as it is now, whatever node somebody has done something on.
    ///
    /// # Errors
    /// There is none, or the store or the log does not answer.
    pub async fn conversation(
        &self,
        name: &ConversationName,
    ) -> Result<Arc<Conversation>, ChatError> {
        let Some(others) = &self.others else {
            if let Some(found) = self.loaded(name) {
                found.channel().mark_used(self.clock.now_ms());
                return Ok(found);
            }
            return self.load_once(name).await;
        };
        for _ in 0..LOADS_MAX {
            // With this, a conversation that is loaded has taken up what others have done.
            let channel = self.look(others, name).await?;
            if let Some(found) = self.loaded(name) {
                if Arc::ptr_eq(found.channel(), &channel) && !found.is_retired() {
                    return Ok(found);
                }
                self.retire(&found);
            }
            match self.load_once(name).await {
                Ok(found) if Arc::ptr_eq(found.channel(), &channel) && !found.is_retired() => {
                    return Ok(found);
                }
                // Another life has begun meanwhile.
                Ok(_) | Err(ChatError::Stream(StreamError::Replaced)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StreamError::Overloaded.into())
    }

    /// The conversation of a name, if it is here as it was some time ago: for whoever finds out whether
    /// that is good enough.
    pub(super) async fn at_hand(&self, name: &ConversationName) -> Result<AtHand, ChatError> {
        let loaded = self.others.as_ref().and_then(|_| self.loaded(name));
        if let Some(conversation) = loaded.filter(|loaded| !loaded.is_retired()) {
            conversation.channel().mark_used(self.clock.now_ms());
            return Ok(AtHand { conversation, is_fresh: false });
        }
        self.conversation(name).await.map(AtHand::fresh)
    }

    async fn load_once(&self, name: &ConversationName) -> Result<Arc<Conversation>, ChatError> {
        let cell = self.cell(name);
        let found = cell.get_or_try_init(|| self.load(name)).await.cloned();
        drop(cell);
        if found.is_err() {
            self.forget_empty(name);
        }
        found
    }

    /// Nobody is to find this one any more.
    pub(super) fn retire(&self, conversation: &Arc<Conversation>) {
        let is_it = |cell: &Cell| cell.get().is_some_and(|one| Arc::ptr_eq(one, conversation));
        self.conversations.remove_if(conversation.name(), |_, cell| is_it(cell));
        conversation.retire();
    }

    async fn look(
        &self,
        others: &Others,
        name: &ConversationName,
    ) -> Result<Arc<Channel>, ChatError> {
        match others.shared.look_now(&name.stream()?).await? {
            Some(channel) => Ok(channel),
            None => Err(ChatError::NotFound),
        }
    }

    pub(super) async fn load(
        &self,
        name: &ConversationName,
    ) -> Result<Arc<Conversation>, ChatError> {
        match &self.others {
            Some(others) => self.load_with(others, name).await,
            None => self.load_alone(name).await,
        }
    }

    async fn load_alone(&self, name: &ConversationName) -> Result<Arc<Conversation>, ChatError> {
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
        let tail = channel.durable();
        Ok(Arc::new(self.read_tables(name, &channel, tail).await?))
    }

    /// Where others write to it at the same time: what they do is kept from the beginning on, and comes
    /// behind what the tables say.
    async fn load_with(
        &self,
        others: &Arc<Others>,
        name: &ConversationName,
    ) -> Result<Arc<Conversation>, ChatError> {
        let loading = others.load(name);
        // So that marks are kept, too, from now on.
        others.look_for_marks().await?;
        let channel = self.look(others, name).await?;
        match self.streams.status(&channel).await {
            Ok(_) => {}
            Err(StreamError::NotFound | StreamError::Hidden) => return Err(ChatError::NotFound),
            Err(error) => return Err(error.into()),
        }
        // The tables have this and maybe more; all that comes behind it is kept by now.
        let tail = channel.durable();
        self.wait_for_all_tables().await?;
        let conversation = self.read_tables(name, &channel, tail).await?;
        // What the tables have said beyond it is kept, too, behind this.
        if !Arc::ptr_eq(&self.look(others, name).await?, &channel) {
            return Err(StreamError::Replaced.into());
        }
        loading.finish(conversation).ok_or_else(|| StreamError::Replaced.into())
    }

    async fn read_tables(
        &self,
        name: &ConversationName,
        channel: &Arc<Channel>,
        tail: Offset,
    ) -> Result<Conversation, ChatError> {
        let stored = self.store.conversation(name.as_str()).await?;
        let stored = stored.filter(|stored| !stored.closed).ok_or(ChatError::NotFound)?;
        let mut state = state_of(stored);
        // Records that could not be understood are no events, but have their places.
        state.tail = tail;
        channel.set_low(state.low);
        Ok(Conversation::new(name.clone(), channel.clone(), state))
    }
}

pub(super) fn state_of(stored: StoredConversation) -> State {
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
