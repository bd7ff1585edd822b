//! An event of a conversation, as the log has it.

use serde::Deserialize;
use serde_json::Value;

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Conversation,
    Settings,
    Message,
    Part,
    Finish,
    Edit,
    Delete,
    React,
    Unreact,
    Pin,
    Unpin,
    Join,
    Invite,
    Leave,
    Ban,
    Unban,
    Mute,
    Unmute,
    Role,
    Trim,
    Closed,
    /// One that this program does not know; whoever reads a log ignores these.
    #[default]
    #[serde(other)]
    Other,
}

/// An event. Which members are there depends on its kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Event {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The how-manieth event of the conversation it is, from 1.
    pub position: u64,
    /// When, in milliseconds since 1970.
    pub created: u64,
    /// Who did it.
    pub source: String,
    /// Of a message.
    pub id: Option<String>,
    /// How many messages count with this one.
    pub n: Option<u64>,
    /// What a message says; erased when it is deleted.
    pub text: Option<String>,
    /// What the sender calls it.
    pub txn: Option<String>,
    /// The thread it is in.
    pub thread: Option<Value>,
    /// Whom it mentions.
    pub mentions: Option<Vec<String>>,
    /// It came from elsewhere, and does not count.
    pub imported: Option<Value>,
    /// The position of the message that it is about.
    pub target: Option<u64>,
    /// How often the message has been edited with this.
    pub rev: Option<u64>,
    /// The reaction.
    pub reaction: Option<String>,
    /// Whom it is about.
    pub user: Option<String>,
    /// What they are from now on.
    pub role: Option<String>,
    /// Who takes part from the beginning.
    pub participants: Vec<Member>,
}

/// Somebody who takes part from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Member {
    pub user: String,
    pub role: String,
}

impl Event {
    /// Whether this is `whole` after the deletion of its message: without what that had said.
    pub fn is_erased(&self, whole: &Self) -> bool {
        let erased = Self { text: None, mentions: None, ..whole.clone() };
        self.text.is_none()
            && whole.text.is_some()
            && Self { mentions: None, ..self.clone() } == erased
    }

    /// Whether it ends the access of this user.
    pub fn ends_access(&self, user: &str) -> bool {
        matches!(self.kind, Kind::Leave | Kind::Ban) && self.user.as_deref() == Some(user)
    }
}
