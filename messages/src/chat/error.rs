//! What can go wrong in a chat.

use super::role::Permission;
use crate::{store::StoreError, stream::StreamError};

/// Why something did not happen, or is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// No name of a conversation.
    #[error("a conversation has a name of 1 to 128 letters, digits, dots, underscores and hyphens")]
    BadName,
    /// No id of a message.
    #[error("this is no id of a message; ids look like team:42")]
    BadMessageId,
    /// No user.
    #[error("a user has a name of 1 to 256 bytes without control characters, and no @ before it")]
    BadUser,
    /// Something else that makes no sense, and what.
    #[error("{0}")]
    Invalid(String),
    /// There is no such conversation.
    #[error("there is no conversation of this name")]
    NotFound,
    /// There is one already, or was one.
    #[error("there is a conversation of this name, or was one")]
    Exists,
    /// The user does not take part.
    #[error("you do not take part in this conversation")]
    NotAParticipant,
    /// The user may not do this.
    #[error("your role does not allow this ({})", word(*.0))]
    Forbidden(Permission),
    /// The other has a role that is not below.
    #[error("the role of this user does not allow you to do this to them")]
    Rank,
    /// Without them nobody could do everything.
    #[error("the last owner stays one; make somebody else an owner first")]
    LastOwner,
    /// A conversation of two has no others.
    #[error("a direct conversation has two users and nobody else")]
    Direct,
    /// Kept away.
    #[error("this user is banned from this conversation")]
    Banned {
        /// Until when, in milliseconds since 1970.
        until: Option<u64>,
    },
    /// May only read.
    #[error("you are muted in this conversation")]
    Muted {
        /// Until when, in milliseconds since 1970.
        until: Option<u64>,
    },
    /// Too soon after the last one.
    #[error("this conversation takes a message of yours only every {slow_secs} seconds")]
    Slow {
        /// The setting.
        slow_secs: u64,
        /// How long to wait.
        wait_ms: u64,
    },
    /// Nobody can join, unless somebody lets them in.
    #[error("nobody has invited you to this conversation")]
    NotInvited,
    /// The other is nothing to this conversation.
    #[error("this user does not take part in this conversation")]
    NoSuchParticipant,
    /// There is no such message, or it may not be seen.
    #[error("there is no message with this id")]
    NoMessage,
    /// It is gone.
    #[error("the message is deleted")]
    Deleted,
    /// Only its sender may.
    #[error("the message is of somebody else")]
    NotYours,
    /// Somebody else has edited it.
    #[error("the message has been edited meanwhile, and is at revision {rev} now")]
    EditedMeanwhile {
        /// How often it has been edited.
        rev: u64,
    },
    /// It still grows, or grows no more.
    #[error("a message that still grows cannot be edited, and one that is complete cannot grow")]
    Growing,
    /// Threads have no threads.
    #[error("thread must be the id of a message of this conversation that is in no thread itself")]
    BadThread,
    /// What is answered is not there.
    #[error("reply_to must be the id of a message of this conversation")]
    BadReply,
    /// Somebody who does not take part is mentioned.
    #[error("{0} is mentioned and does not take part in this conversation")]
    BadMention(String),
    /// The name of the client's own is that of another message.
    #[error("another message of yours has this txn")]
    TxnReused,
    /// There is no room for more of these.
    #[error("{0}")]
    TooMany(&'static str),
    /// The stream below.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl From<StoreError> for ChatError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "cannot read the tables of chat");
        Self::Stream(StreamError::StoreUnavailable)
    }
}

fn word(permission: Permission) -> String {
    serde_json::to_value(permission)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
