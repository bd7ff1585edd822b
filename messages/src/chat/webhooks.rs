//! Webhooks of those who take part: each is a subscription to one conversation, in an id that says
//! whose it is. It lasts as long as its owner takes part.

use super::{
    Chat, ChatError, conversation::Conversation, name::ConversationName, role::Permission,
};
use crate::{
    limits::WEBHOOK_NAME_BYTES_MAX,
    model::Offset,
    stream::StreamError,
    subscription::{Config, Description, Desk, Hook, Members, SubscriptionError},
};
use futures::future::BoxFuture;
use std::sync::Arc;

/// Where something begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the conversation ends now.
    End,
    /// With the first event that its reader may see.
    Beginning,
    /// Here.
    At(Offset),
    /// Behind so many events.
    Behind(u64),
}

/// What a webhook is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWebhook {
    /// What is called.
    pub url: String,
    /// What it is told of first.
    pub from: Place,
    /// How long it may be silent.
    pub lease_ttl_ms: Option<u64>,
    /// For people.
    pub description: Option<String>,
}

/// All webhooks of conversations.
pub struct Webhooks {
    chat: Arc<Chat>,
    subscriptions: Arc<Desk>,
}

impl Webhooks {
    /// Those of these conversations, among these subscriptions.
    #[must_use]
    pub fn new(chat: Arc<Chat>, subscriptions: Arc<Desk>) -> Self {
        Self { chat, subscriptions }
    }

    /// Creates one, or finds it as it was asked for. Returns whether it was created.
    ///
    /// # Errors
    /// The user does not take part, or there is another one of this name.
    pub async fn put(
        &self,
        (user, name): (&Arc<str>, &ConversationName),
        called: &str,
        new: NewWebhook,
        origin: String,
    ) -> Result<(bool, Description), ChatError> {
        let (conversation, hook) = self.hook(user, name, called).await?;
        let NewWebhook { url, from, lease_ttl_ms, description } = new;
        let config = Config::webhook(url, name.stream()?, lease_ttl_ms, description);
        let config = config.map_err(SubscriptionError::from)?;
        let from = self.chat.place(&conversation, user, from).await?;
        let subscriptions = self.subscriptions.get()?;
        Ok(subscriptions.put_from(id(&hook)?, config, origin, Some(from)).await?)
    }

    /// Those of `user`, or of everybody where the user may manage the conversation.
    ///
    /// # Errors
    /// The user does not take part.
    pub async fn list(
        &self,
        user: &Arc<str>,
        name: &ConversationName,
        origin: String,
    ) -> Result<Vec<Description>, ChatError> {
        let conversation = self.chat.conversation(name).await?;
        let me = conversation.member(user)?;
        let found = self.subscriptions.get()?.hooks(name.to_string(), origin).await?;
        let live = conversation.live();
        let manages = live.state.may(&me, Permission::Manage);
        let seen = found.into_iter().filter(|(hook, _)| {
            let owner = live.state.member(&hook.owner);
            let kept = owner.is_some_and(|owner| owner.since == hook.since);
            kept && (manages || hook.owner == **user)
        });
        Ok(seen.map(|(_, description)| description).collect())
    }

    /// One of `owner`, who is the user, or anybody where the user may manage the conversation.
    ///
    /// # Errors
    /// There is none that the user may see.
    pub async fn get(
        &self,
        (user, name): (&Arc<str>, &ConversationName),
        called: &str,
        owner: Option<&str>,
        origin: String,
    ) -> Result<Description, ChatError> {
        let (conversation, mut hook) = self.hook(user, name, called).await?;
        if let Some(owner) = owner.filter(|owner| **owner != **user) {
            let live = conversation.live();
            let me = live.state.member(user).ok_or(ChatError::NotAParticipant)?;
            if !live.state.may(me, Permission::Manage) {
                return Err(ChatError::Forbidden(Permission::Manage));
            }
            hook.since = live.state.member(owner).ok_or(ChatError::NoSuchParticipant)?.since;
            owner.clone_into(&mut hook.owner);
        }
        Ok(self.subscriptions.get()?.get(id(&hook)?, origin).await?)
    }

    /// Deletes one of the user's; one that is not there is deleted already.
    ///
    /// # Errors
    /// The user does not take part, or it cannot be stored.
    pub async fn delete(
        &self,
        user: &Arc<str>,
        name: &ConversationName,
        called: &str,
    ) -> Result<(), ChatError> {
        let (_, hook) = self.hook(user, name, called).await?;
        Ok(self.subscriptions.get()?.delete(id(&hook)?).await?)
    }

    /// Lets one of the user's begin again, or go on, at another place.
    ///
    /// # Errors
    /// There is no such webhook or place.
    pub async fn replay(
        &self,
        (user, name): (&Arc<str>, &ConversationName),
        called: &str,
        to: Place,
        origin: String,
    ) -> Result<Description, ChatError> {
        let (conversation, hook) = self.hook(user, name, called).await?;
        let to = self.chat.place(&conversation, user, to).await?;
        let id = id(&hook)?;
        self.subscriptions.get()?.replay(id.clone(), name.stream()?, to).await?;
        Ok(self.subscriptions.get()?.get(id, origin).await?)
    }

    /// What `user` calls so in a conversation, whether or not there is one.
    async fn hook(
        &self,
        user: &Arc<str>,
        name: &ConversationName,
        called: &str,
    ) -> Result<(Arc<Conversation>, Hook), ChatError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=WEBHOOK_NAME_BYTES_MAX).contains(&called.len());
        if !fits || !called.bytes().all(is_plain) {
            return Err(ChatError::Invalid(format!(
                "a webhook has a name of 1 to {WEBHOOK_NAME_BYTES_MAX} letters, digits, dots, \
                 underscores and hyphens"
            )));
        }
        let conversation = self.chat.conversation(name).await?;
        let since = conversation.member(user)?.since;
        // Whether they take part may hang on what is not durable yet.
        self.chat.streams.settled().await?;
        let (conversation_name, owner) = (name.to_string(), user.to_string());
        let hook = Hook { conversation: conversation_name, since, owner, name: called.into() };
        Ok((conversation, hook))
    }
}

fn id(hook: &Hook) -> Result<crate::subscription::SubscriptionId, ChatError> {
    hook.id().map_err(|_| ChatError::BadName)
}

impl Chat {
    /// Where in the stream of a conversation a place is for `user`: never before what they may see.
    async fn place(
        &self,
        conversation: &Conversation,
        user: &Arc<str>,
        place: Place,
    ) -> Result<Offset, ChatError> {
        let channel = conversation.channel();
        // In this order: whoever leaves at this moment does so behind the end.
        let tail = self.streams.status(channel).await?.tail;
        let (_, from) = conversation.reach(user)?;
        Ok(match place {
            Place::End => tail,
            Place::At(at) if at.bytes > from.bytes => {
                match self.streams.check_place(channel, at).await {
                    Err(StreamError::NoSuchPlace) => return Err(ChatError::BadPlace),
                    checked => checked?,
                }
                at
            }
            Place::Behind(count) => self.streams.place_of(channel, count, from).await?,
            Place::Beginning | Place::At(_) => from,
        })
    }
}

impl Members for Chat {
    fn keep<'a>(&'a self, hook: &'a Hook) -> BoxFuture<'a, Result<bool, StreamError>> {
        Box::pin(async move {
            let Ok(name) = hook.conversation.parse() else { return Ok(false) };
            let kept = match self.conversation(&name).await {
                Ok(conversation) => conversation.member(&hook.owner).map(|owner| owner.since),
                Err(error) => Err(error),
            };
            match kept {
                Ok(since) if since == hook.since => return Ok(true),
                Ok(_) | Err(ChatError::NotAParticipant | ChatError::NotFound) => {}
                Err(ChatError::Stream(error)) => return Err(error),
                Err(_) => return Err(StreamError::StoreUnavailable),
            }
            // Whoever has left has left for good only once that is durable.
            self.streams.settled().await.map(|()| false)
        })
    }
}
