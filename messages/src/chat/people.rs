//! Who takes part, and how far they are.

use super::{
    Chat, ChatError,
    conversation::Conversation,
    name::{ConversationName, MessageId},
    view::{MessageReceiptView, PersonView, ReceiptView},
};
use crate::{limits::REACTORS_MAX, model::Standing};
use std::{collections::HashMap, sync::Arc};

/// What somebody says about how far they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It has arrived.
    Delivered,
    /// It has been read.
    Read,
}

impl Chat {
    /// Those who are `standing` to a conversation, by name.
    ///
    /// # Errors
    /// The user does not take part.
    pub async fn participants(
        &self,
        user: &str,
        name: &ConversationName,
        standing: Standing,
    ) -> Result<Vec<PersonView>, ChatError> {
        let conversation = self.conversation(name).await?;
        conversation.member(user)?;
        let mut people = PersonView::all(&conversation.live().state, standing, self.clock.now_ms());
        // Without holding up anybody.
        people.sort_unstable_by(|one, other| one.participant.cmp(&other.participant));
        self.streams.settled().await?;
        Ok(people)
    }

    /// What somebody is to a conversation, if anything.
    ///
    /// # Errors
    /// There is none.
    pub async fn person(
        &self,
        name: &ConversationName,
        user: &Arc<str>,
    ) -> Result<Option<PersonView>, ChatError> {
        let conversation = self.conversation(name).await?;
        let live = conversation.live();
        let now_ms = self.clock.now_ms();
        Ok(live.state.people.get(user).map(|person| PersonView::of(user, person, now_ms)))
    }

    /// `user` has got, or read, everything up to `position`, or everything there is. Waits until that
    /// is durable if `durable` says so. Returns the position.
    ///
    /// # Errors
    /// The user does not take part, or it cannot be written.
    pub async fn mark(
        &self,
        user: &Arc<str>,
        name: &ConversationName,
        mark: Mark,
        position: Option<u64>,
        durable: bool,
    ) -> Result<u64, ChatError> {
        let conversation = self.conversation(name).await?;
        let most = conversation.live().state.position();
        let position = position.map_or(most, |position| position.min(most));
        let (delivered, read) = match mark {
            Mark::Delivered => (position, 0),
            Mark::Read => (position, position),
        };
        let round = self.receipts.mark(&conversation, user, delivered, read)?;
        if let Some(round) = round.filter(|_| durable) {
            self.receipts.durable(round).await?;
        }
        Ok(position)
    }

    /// `user` has got everything up to `position`, as far as somebody who only sends can know. Nothing
    /// is lost when that cannot be written: the next time says it, too.
    pub fn delivered(&self, user: &Arc<str>, conversation: &Arc<Conversation>, position: u64) {
        let _ = self.receipts.mark(conversation, user, position, 0);
    }

    /// How far all who take part are, by name.
    ///
    /// # Errors
    /// The user does not take part.
    pub async fn receipts(
        &self,
        user: &str,
        name: &ConversationName,
    ) -> Result<Vec<ReceiptView>, ChatError> {
        self.take_up_marks(name).await?;
        let conversation = self.conversation(name).await?;
        conversation.member(user)?;
        let mut receipts: Vec<ReceiptView> = conversation
            .live()
            .state
            .members()
            .map(|(user, person)| ReceiptView::of(user, &person.marks))
            .collect();
        receipts.sort_unstable_by(|one, other| one.participant.cmp(&other.participant));
        self.streams.settled().await?;
        Ok(receipts)
    }

    /// What the others have done with a message of `user`: computed from how far they are.
    ///
    /// # Errors
    /// It is of somebody else, or not there.
    pub async fn message_receipts(
        &self,
        user: &str,
        message: &MessageId,
    ) -> Result<Vec<MessageReceiptView>, ChatError> {
        self.take_up_marks(&message.conversation).await?;
        let (seen, found) = self.seen_message(user, message).await?;
        let conversation = seen.conversation;
        if found.source != user {
            return Err(ChatError::NotYours);
        }
        let reactors = self.store.reactors(&message.target(), REACTORS_MAX).await?;
        let reactions: HashMap<String, String> =
            reactors.into_iter().map(|one| (one.participant, one.reaction)).collect();
        let position = message.position;
        let mut receipts: Vec<MessageReceiptView> = conversation
            .live()
            .state
            .members()
            .filter(|(other, _)| ***other != *user)
            .map(|(other, person)| {
                let marks = &person.marks;
                let reached = |mark: u64, at: Option<u64>| at.filter(|_| mark >= position);
                MessageReceiptView {
                    message: found.id.clone(),
                    user: other.clone(),
                    delivered_at: reached(marks.delivered, marks.delivered_at),
                    read_at: reached(marks.read, marks.read_at),
                    reaction: reactions.get(&**other).cloned(),
                }
            })
            .filter(|one| one.delivered_at.is_some() || one.reaction.is_some())
            .collect();
        receipts.sort_unstable_by(|one, other| one.user.cmp(&other.user));
        Ok(receipts)
    }
}
