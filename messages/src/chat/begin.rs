//! How conversations begin.

use super::{
    Chat, ChatError,
    conversation::{Conversation, Live},
    decide::{found, found_direct},
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
        let person = live.state.member(owner).ok_or(ChatError::NotAParticipant)?;
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
            let events = [(Arc::new(event), ensured.status.tail)];
            conversation.take_up_first(&events);
            let conversation = Arc::new(conversation);
            begun = Some((conversation.clone(), Live::joined(&events)));
            Ok::<_, ChatError>(conversation)
        });
        let found = found.await.map(drop);
        drop(cell);
        match found {
            Ok(()) => {}
            Err(ChatError::Exists) => {
                self.forget_empty(&name);
                return Ok(None);
            }
            Err(error) => {
                self.forget_empty(&name);
                return Err(error);
            }
        }
        Ok(begun.map(|(conversation, joined)| {
            self.announce(&name, &joined);
            conversation
        }))
    }

    /// Tells users that they have come into a conversation.
    pub(super) fn announce(&self, name: &ConversationName, joined: &[Arc<str>]) {
        for user in joined {
            self.hub.tell(user, &Notice::Joined(name.clone()));
        }
    }

    /// The conversation that two users have with each other, which begins with this where there is
    /// none.
    pub(super) async fn direct(
        &self,
        user: &Arc<str>,
        peer: &str,
    ) -> Result<Arc<Conversation>, ChatError> {
        let peer: Arc<str> = name::user(peer)?.into();
        let name = ConversationName::direct(user, &peer);
        match self.conversation(&name).await {
            Err(ChatError::NotFound) => {}
            found => return found,
        }
        match self.begin(name.clone(), user, found_direct(user, &peer)).await? {
            Some(conversation) => Ok(conversation),
            None => self.conversation(&name).await,
        }
    }
}
