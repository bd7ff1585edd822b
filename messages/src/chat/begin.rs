//! How conversations begin.

use super::{
    Chat, ChatError,
    conversation::{AtHand, Conversation, Live},
    decide::{Action, Facts, decide, found, found_direct},
    event::{Event, Kind},
    hub::Notice,
    name::{self, ConversationName},
    settings::Settings,
    state::State,
    view::ConversationView,
};
use crate::stream::{NewStream, StreamError};
use serde_json::Value;
use std::sync::Arc;

/// A conversation that somebody wants to begin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewConversation {
    /// What it is to be called; `None` for anything.
    pub name: Option<ConversationName>,
    /// Its title.
    pub title: Option<String>,
    /// Who takes part, beside its owner.
    pub participants: Vec<String>,
    /// Its settings.
    pub settings: Option<Value>,
}

impl Chat {
    /// Begins a conversation.
    ///
    /// # Errors
    /// There is one of this name, or it cannot be so.
    pub async fn create(
        &self,
        owner: &Arc<str>,
        new: NewConversation,
    ) -> Result<ConversationView, ChatError> {
        let name = new.name.unwrap_or_else(ConversationName::random);
        if name.is_direct() {
            return Err(ChatError::Invalid(
                "names that begin with dm- are the server's own".into(),
            ));
        }
        let settings = match new.settings {
            Some(patch) => Settings::default().patched(patch)?,
            None => Settings::default(),
        };
        let kind = found(owner, new.title, settings, &new.participants)?;
        let conversation = self.begin(name, owner, kind).await?.ok_or(ChatError::Exists)?;
        let live = conversation.live();
        let person = live.state.insider(owner)?;
        Ok(ConversationView::fresh(&live.state, person))
    }

    /// Begins a conversation with its first event; `None` where there is one.
    async fn begin(
        &self,
        name: ConversationName,
        owner: &Arc<str>,
        kind: Kind,
    ) -> Result<Option<Arc<Conversation>>, ChatError> {
        let cell = self.cell(&name);
        let mut begun = None;
        let found = cell.get_or_try_init(|| async {
            let state = State::new(name.text().clone());
            let (source, created) = (owner.clone(), self.clock.now_ms());
            let event =
                Event { kind, conversation: state.name.clone(), position: 1, source, created };
            let body = serde_json::to_vec(&event)
                .map_err(|error| ChatError::Invalid(error.to_string()))?;
            let loading = self.others.as_ref().map(|others| others.load(&name));
            let new = NewStream {
                body: body.into(),
                ..NewStream::empty(name.stream()?, "application/json")
            };
            let ensured = match self.streams.ensure(new).await {
                Ok(ensured) if ensured.created => ensured,
                Ok(_) | Err(StreamError::Differs(_)) => return Err(ChatError::Exists),
                Err(error) => return Err(error.into()),
            };
            let mut conversation = Conversation::new(name.clone(), ensured.channel.clone(), state);
            let conversation = if let Some(loading) = loading {
                // Whatever has happened since is there, too.
                match loading.finish(conversation) {
                    Some(conversation) => conversation,
                    None => self.load(&name).await?,
                }
            } else {
                let events = [(Arc::new(event), ensured.status.tail)];
                conversation.take_up_first(&events);
                self.announce(&name, Live::joined(events.iter().map(|(event, _)| event)));
                Arc::new(conversation)
            };
            Ok::<_, ChatError>(begun.insert(conversation).clone())
        });
        let found = found.await.map(drop);
        drop(cell);
        if found.is_err() {
            self.forget_empty(&name);
        }
        match found {
            Ok(()) => Ok(begun),
            Err(ChatError::Exists) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells users that they have come into a conversation, once that is durable, whether or not
    /// anybody waits for it.
    pub(super) fn announce(&self, name: &ConversationName, joined: Vec<Arc<str>>) {
        if joined.is_empty() {
            return;
        }
        let (streams, hub, name) = (self.streams.clone(), self.hub.clone(), name.clone());
        tokio::spawn(async move {
            if streams.settled().await.is_ok() {
                joined.iter().for_each(|user| hub.tell(user, &Notice::Joined(name.clone())));
            }
        });
    }

    /// The conversation that two users have with each other, which begins with `action` of one of
    /// them where there is none, if that may be the first thing in it.
    pub(super) async fn direct(
        &self,
        user: &Arc<str>,
        peer: &str,
        action: &Action,
    ) -> Result<AtHand, ChatError> {
        self.attachments.check(action)?;
        let peer: Arc<str> = name::user(peer)?.into();
        let name = ConversationName::direct(user, &peer);
        match self.at_hand(&name).await {
            Err(ChatError::NotFound) => {}
            found => return found,
        }
        let (kind, now_ms) = (found_direct(user, &peer), self.clock.now_ms());
        let state = State::begun(name.text().clone(), &kind, user, now_ms);
        drop(decide(&state, user, action, &Facts::default(), now_ms)?);
        match self.begin(name.clone(), user, kind).await? {
            Some(conversation) => Ok(AtHand::fresh(conversation)),
            None => self.conversation(&name).await.map(AtHand::fresh),
        }
    }
}
