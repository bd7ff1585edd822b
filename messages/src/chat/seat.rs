//! Somebody's socket, as chat sees it: what it is told beside the streams, and what it tells.

use super::{
    Chat, ChatError,
    conversation::Conversation,
    hub::{Change, Letters, Mailbox, Notice},
    name::ConversationName,
    others::Letter,
};
use crate::{
    limits::{EPHEMERAL_MEMBERS_MAX, PRESENCE_WATCHERS_MAX, TYPING_MS},
    model::Offset,
    stream::Reach,
};
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A place in the chat. Dropped, it is free, and who watches its user is told.
pub struct Seat {
    chat: Arc<Chat>,
    mailbox: Mailbox,
    watched: HashSet<Arc<str>>,
    conversations: HashMap<ConversationName, Arc<Conversation>>,
}

/// What somebody may read of a conversation.
pub struct Readable {
    /// It, with the stream of its events.
    pub conversation: Arc<Conversation>,
    /// How far they may read, from now on.
    pub reach: Arc<Reach>,
    /// What comes behind this they may see.
    pub from: Offset,
}

#[derive(Serialize)]
struct PresenceFrame<'a> {
    r#type: &'static str,
    user: &'a str,
    online: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<u64>,
}

#[derive(Serialize)]
struct TypingFrame<'a> {
    r#type: &'static str,
    conversation: &'a str,
    user: &'a str,
    on: bool,
    for_ms: u64,
}

fn text(frame: &impl Serialize) -> Arc<str> {
    // What is made of texts and numbers can always be written.
    serde_json::to_string(frame).unwrap_or_default().into()
}

impl Chat {
    /// Takes a place for a socket of `user`.
    pub fn sit_down(self: &Arc<Self>, user: &Arc<str>) -> (Seat, Letters) {
        let (mailbox, letters, change) = self.hub.open(user);
        self.presence_changed(user, change);
        let (chat, watched) = (self.clone(), HashSet::new());
        (Seat { chat, mailbox, watched, conversations: HashMap::new() }, letters)
    }

    fn presence_changed(&self, user: &Arc<str>, change: Change) {
        if change == Change::Everywhere {
            self.tell_presence(user);
        }
        if let Some(others) = self.others.as_ref().filter(|_| change != Change::None) {
            others.post.changed(user);
        }
    }

    pub(super) fn tell_presence(&self, user: &str) {
        self.hub.tell_watchers(user, &Notice::Frame(self.presence_frame(user)));
    }

    fn presence_frame(&self, user: &str) -> Arc<str> {
        let (online, last_seen) = self.hub.presence(user);
        let last_seen = last_seen.filter(|_| !online);
        text(&PresenceFrame { r#type: "presence", user, online, last_seen })
    }

    /// What `user` may read of a conversation.
    ///
    /// # Errors
    /// They do not take part.
    pub async fn readable(
        &self,
        user: &Arc<str>,
        name: &ConversationName,
    ) -> Result<Readable, ChatError> {
        let (conversation, reach) = loop {
            let conversation = self.conversation(name).await?;
            let reach = conversation.reach(user);
            // Of one that is retired nobody would say where it ends.
            if !conversation.is_retired() {
                break (conversation, reach);
            }
        };
        // It may lean on what is not durable yet.
        self.streams.settled().await?;
        let (reach, from) = reach?;
        Ok(Readable { conversation, reach, from })
    }

    /// Tells those who look at a conversation that `user` is typing, or no more. Never stored.
    ///
    /// # Errors
    /// They do not take part.
    pub async fn typing(
        &self,
        user: &str,
        name: &ConversationName,
        on: bool,
    ) -> Result<(), ChatError> {
        let conversation = self.conversation(name).await?;
        conversation.member(user)?;
        if conversation.live().state.people.len() <= EPHEMERAL_MEMBERS_MAX {
            conversation.tell_typing(user, on);
            if let Some(others) = &self.others {
                let (conversation, user) = (name.text().clone(), user.into());
                others.post.send(Letter::Typing { conversation, user, on });
            }
        }
        Ok(())
    }

    /// Whether users are there who share a conversation with `user`: a frame for each.
    ///
    /// # Errors
    /// Too many, or the store does not answer.
    pub async fn acquainted(&self, user: &str, users: &[String]) -> Result<Vec<String>, ChatError> {
        if users.len() > PRESENCE_WATCHERS_MAX {
            return Err(ChatError::TooMany("watch: at most 500 users"));
        }
        self.wait_for_all_tables().await?;
        Ok(self.store.acquainted(user, users).await?)
    }
}

impl Conversation {
    /// Tells those who watch that `user` types, or no more.
    pub(super) fn tell_typing(&self, user: &str, on: bool) {
        if self.is_watched() {
            let (kind, conversation) = ("typing", self.name().as_str());
            let for_ms = if on { TYPING_MS } else { 0 };
            let frame = TypingFrame { r#type: kind, conversation, user, on, for_ms };
            self.tell(&text(&frame), Some(user));
        }
    }
}

impl Seat {
    /// Watches these users, who must be [`Chat::acquainted`], and no others. Returns a frame for each.
    pub fn watch(&mut self, users: Vec<String>) -> Vec<Arc<str>> {
        let users: HashSet<Arc<str>> = users.into_iter().map(Into::into).collect();
        self.chat.hub.watch(&self.mailbox, &self.watched, &users);
        self.watched = users;
        self.watched.iter().map(|user| self.chat.presence_frame(user)).collect()
    }

    /// Wants to know who types in a conversation, and how far the others are. Returns the frame that
    /// says how far they are now, unless they are too many.
    pub fn look_at(&mut self, conversation: Arc<Conversation>) -> Option<Arc<str>> {
        conversation.watch(self.mailbox.clone());
        let frame = self.receipts_of(&conversation);
        self.conversations.insert(conversation.name().clone(), conversation);
        frame
    }

    /// Those who are watched.
    #[must_use]
    pub fn watched(&self) -> Vec<String> {
        self.watched.iter().map(|user| user.to_string()).collect()
    }

    /// Or no more.
    pub fn look_away(&mut self, name: &ConversationName) {
        if let Some(conversation) = self.conversations.remove(name) {
            conversation.unwatch(&self.mailbox);
        }
    }

    /// The conversations that are looked at.
    pub fn conversations(&self) -> impl Iterator<Item = &ConversationName> {
        self.conversations.keys()
    }

    /// How far everybody is in one of them: for a socket that has missed something.
    #[must_use]
    pub fn receipts(&self, name: &ConversationName) -> Option<Arc<str>> {
        self.receipts_of(self.conversations.get(name)?)
    }

    /// For as long as its user takes part.
    fn receipts_of(&self, conversation: &Conversation) -> Option<Arc<str>> {
        let frame = conversation.receipts_frame(None)?;
        conversation.member(self.mailbox.user()).ok().map(|_| frame)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for conversation in self.conversations.values() {
            conversation.unwatch(&self.mailbox);
        }
        let now_ms = self.chat.clock.now_ms();
        let change = self.chat.hub.close(&self.mailbox, &self.watched, now_ms);
        self.chat.presence_changed(self.mailbox.user_text(), change);
    }
}
