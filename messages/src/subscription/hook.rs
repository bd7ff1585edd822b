//! Webhooks of conversations: subscriptions with ids that only the server can say.

use super::SubscriptionId;
use crate::{model::InvalidName, stream::StreamError};
use futures::future::BoxFuture;

/// What stands before their ids, within what is chat's own.
const PREFIX: &str = "h/";

/// A webhook that somebody has in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The name of the conversation.
    pub conversation: String,
    /// The position at which its owner came in: whoever leaves and comes again has none.
    pub since: u64,
    /// Whose it is.
    pub owner: String,
    /// What they call it, without slashes.
    pub name: String,
}

impl Hook {
    /// The id of its subscription.
    ///
    /// # Errors
    /// Never; what it is made from is shorter than an id may be.
    pub fn id(&self) -> Result<SubscriptionId, InvalidName> {
        let Self { conversation, since, owner, name } = self;
        // Users have any name, also with slashes. So theirs is between those that have none.
        SubscriptionId::of_chat(&format!("{PREFIX}{conversation}/{since}/{owner}/{name}"))
    }

    /// The webhook that has this id; `None` for any other subscription.
    #[must_use]
    pub fn of(id: &SubscriptionId) -> Option<Self> {
        let (conversation, rest) = id.in_chat()?.strip_prefix(PREFIX)?.split_once('/')?;
        let (since, rest) = rest.split_once('/')?;
        let (owner, name) = rest.rsplit_once('/')?;
        Some(Self {
            conversation: conversation.into(),
            since: since.parse().ok()?,
            owner: owner.into(),
            name: name.into(),
        })
    }

    /// What the ids of all webhooks of a conversation come after, and begin with.
    pub(super) fn before_all(conversation: &str) -> Result<SubscriptionId, InvalidName> {
        SubscriptionId::of_chat(&format!("{PREFIX}{conversation}/"))
    }

    /// Whether both are of one user in one conversation.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        (&self.conversation, self.since, &self.owner)
            == (&other.conversation, other.since, &other.owner)
    }
}

/// Whoever knows who takes part in conversations.
pub trait Members: Send + Sync {
    /// Whether the owner of a webhook still takes part, without having left since.
    fn keep<'a>(&'a self, hook: &'a Hook) -> BoxFuture<'a, Result<bool, StreamError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_whose_it_is_and_nobody_else_can_say_it() {
        for owner in ["alice", "a/b c/", " ", "ö"] {
            let hook = Hook {
                conversation: "team".into(),
                since: 7,
                owner: owner.into(),
                name: "bot-1".into(),
            };
            let id = hook.id().expect("an id");
            assert_eq!(Hook::of(&id), Some(hook));
            assert!(id.as_str().parse::<SubscriptionId>().is_err());
            assert_eq!(SubscriptionId::kept(id.as_str()), Ok(id));
        }
        assert_eq!(Hook::of(&"h/team/7/alice/bot".parse().expect("an id")), None);
    }
}
