//! What happens in a conversation: the records of its stream, as clients get them.

use super::{
    role::Role,
    settings::{History, Settings},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What has happened.
    #[serde(flatten)]
    pub kind: Kind,
    /// Where.
    pub conversation: Arc<str>,
    /// Its place: the events before it, and it.
    pub position: u64,
    /// Who did it.
    pub source: Arc<str>,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

/// What can happen. `docs/chat.md` has the members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Kind {
    /// The conversation begins.
    Conversation {
        /// Its title.
        title: Option<String>,
        /// Who may be in it.
        kind: Shape,
        /// Its settings.
        settings: Settings,
        /// Who takes part from the beginning.
        participants: Vec<Participant>,
    },
    /// Title and settings are these now.
    Settings {
        /// Its title.
        title: Option<String>,
        /// Its settings.
        settings: Settings,
    },
    /// A message.
    Message(Message),
    /// More of a message that grows.
    Part {
        /// The message.
        target: u64,
        /// What comes behind what there is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// A message that grew is complete.
    Finish {
        /// The message.
        target: u64,
        /// It was to be longer.
        #[serde(default, skip_serializing_if = "is_false")]
        interrupted: bool,
    },
    /// A message says something else.
    Edit(Edit),
    /// A message is gone.
    Delete {
        /// The message.
        target: u64,
        /// Whether it had counted.
        counted: bool,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A reaction.
    React {
        /// The message.
        target: u64,
        /// The reaction.
        reaction: String,
        /// It takes the place of all others of the same user.
        #[serde(default, skip_serializing_if = "is_false")]
        replaces: bool,
    },
    /// A reaction is taken back.
    Unreact {
        /// The message.
        target: u64,
        /// The reaction.
        reaction: String,
    },
    /// A message is pinned.
    Pin {
        /// The message.
        target: u64,
    },
    /// A message is pinned no more.
    Unpin {
        /// The message.
        target: u64,
    },
    /// Somebody takes part.
    Join {
        /// Who.
        user: Arc<str>,
        /// As what.
        role: Role,
        /// What they see of what was before.
        history: History,
    },
    /// Somebody may join.
    Invite {
        /// Who.
        user: Arc<str>,
        /// As what.
        role: Role,
    },
    /// Somebody takes part no more, or does not want to.
    Leave {
        /// Who.
        user: Arc<str>,
    },
    /// Somebody may not take part.
    Ban {
        /// Who.
        user: Arc<str>,
        /// Until when; without it for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody may take part again.
    Unban {
        /// Who.
        user: Arc<str>,
    },
    /// Somebody may only read.
    Mute {
        /// Who.
        user: Arc<str>,
        /// Until when; without it for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody may write again.
    Unmute {
        /// Who.
        user: Arc<str>,
    },
    /// Somebody is something else now.
    Role {
        /// Who.
        user: Arc<str>,
        /// What.
        role: Role,
    },
    /// What is old is gone.
    Trim {
        /// Up to this position.
        low: u64,
        /// The bytes of the stream up to there.
        low_bytes: u64,
        /// How many messages counted up to there.
        n: u64,
    },
    /// The conversation is deleted.
    Closed,
}

/// Who may be in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Anybody who is let in.
    Group,
    /// Two, and nobody else.
    Direct,
}

/// Somebody who takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Who.
    pub user: Arc<str>,
    /// As what.
    pub role: Role,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// How many messages count, up to this one.
    pub n: u64,
    /// What it says. Not there when it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The id of the message that it answers.
    pub reply_to: Option<String>,
    /// What its sender calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    /// The id of the first message of the thread that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// What comes with it.
    #[serde(flatten)]
    pub extra: Extra,
    /// It grows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub streaming: bool,
    /// It was sent elsewhere.
    #[serde(default, skip_serializing_if = "is_false")]
    pub imported: bool,
}

impl Message {
    /// Whether it is one of those that [`Message::n`] counts.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.thread.is_none() && !self.imported
    }
}

/// What a message says now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// The message.
    pub target: u64,
    /// How often it has been edited with this.
    pub rev: u64,
    /// What it says. Not there when the message was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What comes with it.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What comes with the text of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extra {
    /// Users whom it concerns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// References to files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Whatever the application wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
}

impl Extra {
    /// As the tables have it; `None` for nothing.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// From [`Extra::text`].
    #[must_use]
    pub fn of_text(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

/// A reference to a file that lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Where.
    pub url: String,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its media type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::erased;
    use serde_json::json;

    fn event(kind: Kind) -> Event {
        let (conversation, source) = ("team".into(), "alice".into());
        Event { kind, conversation, position: 7, source, created: 5 }
    }

    fn message() -> Event {
        event(Kind::Message(Message {
            id: "team:7".into(),
            n: 3,
            text: Some("hi".into()),
            reply_to: None,
            txn: Some("t".into()),
            thread: None,
            extra: Extra { meta: Some(json!({"a": [1]})), ..Extra::default() },
            streaming: false,
            imported: false,
        }))
    }

    #[test]
    fn events_come_back_as_they_were() {
        for event in [
            message(),
            event(Kind::Closed),
            event(Kind::Leave { user: "bob".into() }),
            event(Kind::React { target: 3, reaction: "👍".into(), replaces: false }),
            event(Kind::Conversation {
                title: None,
                kind: Shape::Group,
                settings: Settings::default(),
                participants: vec![Participant { user: "bob".into(), role: Role::Member }],
            }),
        ] {
            let text = serde_json::to_string(&event).expect("JSON");
            assert!(text.starts_with("{\"type\":\""), "{text}");
            assert_eq!(serde_json::from_str::<Event>(&text).expect("an event"), event);
        }
    }

    #[test]
    fn a_message_is_what_the_documents_say() {
        assert_eq!(
            serde_json::to_value(message()).expect("JSON"),
            json!({"type": "message", "id": "team:7", "n": 3, "text": "hi", "reply_to": null,
                   "txn": "t", "meta": {"a": [1]}, "conversation": "team", "position": 7,
                   "source": "alice", "created": 5})
        );
    }

    #[test]
    fn an_erased_message_is_still_an_event() {
        let text = serde_json::to_vec(&message()).expect("JSON");
        let erased = erased(&[&text[..], b","].concat());
        let event: Event = serde_json::from_slice(&erased[..erased.len() - 1]).expect("an event");
        let Kind::Message(message) = event.kind else { panic!("a message") };
        assert_eq!((message.text, message.extra, message.n), (None, Extra::default(), 3));
    }
}
