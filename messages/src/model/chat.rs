//! What chat keeps in tables of its own: the rows, as they are written in the transaction of the
//! records that they come from. Texts of settings and extras are JSON, which only chat understands.

use super::{Offset, StreamId};
use std::sync::Arc;

/// One change of the tables of chat. Written in order; each may be written twice without harm only
/// together with the records it comes from, whose position is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatWrite {
    /// A conversation begins.
    Conversation(ConversationRow),
    /// Its title and settings are these now.
    Settings {
        /// The conversation.
        conversation: Arc<str>,
        /// Its title.
        title: Option<String>,
        /// Its settings.
        settings: String,
        /// Messages go away by themselves.
        retention: bool,
    },
    /// Everything up to here is in the tables.
    Head {
        /// The conversation.
        conversation: Arc<str>,
        /// The position of its last event.
        position: u64,
        /// How many messages count up to there; no more than is known already where none are in it.
        n: u64,
    },
    /// The conversation is deleted: everything of it goes but its name, which stays taken. The content
    /// of its stream goes up to `tail`.
    Closed {
        /// The conversation.
        conversation: Arc<str>,
        /// Its stream.
        stream: StreamId,
        /// Where that ends.
        tail: Offset,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// Somebody takes part from now on. Whether they are muted stays as it is.
    Participant(ParticipantRow),
    /// Somebody is something else to a conversation, whether or not they were something before.
    Standing {
        /// The conversation.
        conversation: Arc<str>,
        /// The user.
        participant: String,
        /// Their role, if that changes.
        role: Option<&'static str>,
        /// What they are to it.
        standing: Standing,
        /// The position of the event that made them so.
        since: u64,
        /// They may not come in before, in milliseconds since 1970.
        banned_until: Option<u64>,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// Somebody may not write before a time, or may write.
    Voice {
        /// The conversation.
        conversation: Arc<str>,
        /// The user.
        participant: String,
        /// In milliseconds since 1970.
        muted_until: Option<u64>,
    },
    /// Somebody has another role.
    Role {
        /// The conversation.
        conversation: Arc<str>,
        /// The user.
        participant: String,
        /// A word that chat understands.
        role: &'static str,
    },
    /// A message; it is read by whoever sent it, with everything before, unless it was imported.
    Message(MessageRow),
    /// More of a message that grows.
    Part {
        /// The message.
        target: Target,
        /// The record that holds it.
        place: Place,
        /// What comes behind the text that there is.
        text: String,
    },
    /// A message that grew is complete, and can be found from now on.
    Finish {
        /// The message.
        target: Target,
        /// It is not what it was to be.
        interrupted: bool,
    },
    /// A message says something else now. What it said is kept.
    Edit {
        /// The message.
        target: Target,
        /// The record that holds the new text.
        place: Place,
        /// How often it has been edited with this.
        rev: u64,
        /// Who did it.
        source: String,
        /// What it says.
        text: String,
        /// Mentions, attachments and more.
        extra: Option<String>,
        /// Whom it mentions.
        mentions: Vec<String>,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// A message is gone: its text, what it was edited from, reactions, pins and mentions. The text is
    /// erased from the records of the stream, see [`erased`](super::erased).
    Delete {
        /// The message.
        target: Target,
        /// The stream of the conversation.
        stream: StreamId,
        /// Who did it.
        source: String,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// A reaction.
    React {
        /// The message.
        target: Target,
        /// The reaction.
        reaction: String,
        /// Whose it is.
        participant: String,
        /// It takes the place of all others of theirs.
        alone: bool,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// A reaction is taken back.
    Unreact {
        /// The message.
        target: Target,
        /// The reaction.
        reaction: String,
        /// Whose it is.
        participant: String,
    },
    /// A message is pinned.
    Pin {
        /// The message.
        target: Target,
        /// Who did it.
        participant: String,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// A message is pinned no more.
    Unpin {
        /// The message.
        target: Target,
    },
    /// Somebody has got, or read, everything up to a position. Marks never go back.
    Receipt(ReceiptRow),
    /// Somebody complains about a message.
    Report {
        /// The message.
        target: Target,
        /// Who complains.
        participant: String,
        /// Why.
        reason: String,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// What is old is gone: messages and what belongs to them, and the content of the stream.
    Trim {
        /// The conversation.
        conversation: Arc<str>,
        /// Its stream.
        stream: StreamId,
        /// Everything before this is gone: the position of the last event that is.
        low: Offset,
        /// How many messages counted up to there.
        n: u64,
    },
}

impl ChatWrite {
    /// Whether content of the stream is another than before.
    #[must_use]
    pub fn erases(&self) -> bool {
        matches!(self, Self::Delete { .. } | Self::Trim { .. } | Self::Closed { .. })
    }

    /// What lies before this is gone.
    #[must_use]
    pub fn low(&self) -> Option<Offset> {
        match self {
            Self::Trim { low, .. } | Self::Closed { tail: low, .. } => Some(*low),
            _ => None,
        }
    }
}

/// A time that never comes, as databases can hold it.
pub const FOREVER_MS: u64 = i64::MAX as u64;

/// A message by its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The conversation.
    pub conversation: Arc<str>,
    /// The position of the message in it.
    pub position: u64,
}

/// Where a record lies in its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub at: u64,
    /// Its bytes, with the comma behind it.
    pub bytes: u32,
}

/// A row of `conversations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRow {
    /// Its name.
    pub name: Arc<str>,
    /// Its title.
    pub title: Option<String>,
    /// Who created it.
    pub admin: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
    /// Between two users, and nobody else.
    pub direct: bool,
    /// Its stream.
    pub stream: StreamId,
    /// Its settings.
    pub settings: String,
    /// Messages go away by themselves.
    pub retention: bool,
}

/// What somebody is to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Takes part.
    Member,
    /// May join.
    Invited,
    /// Took part, or declined.
    Left,
    /// May not take part.
    Banned,
}

impl Standing {
    const ALL: [(Self, &str); 4] = [
        (Self::Member, "member"),
        (Self::Invited, "invited"),
        (Self::Left, "left"),
        (Self::Banned, "banned"),
    ];

    /// The word for it on the wire and in the database. Stored: never change one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(standing, _)| *standing == self).map_or("", |(_, word)| word)
    }

    /// What a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(standing, _)| *standing)
    }
}

/// A row of `participants`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantRow {
    /// The conversation.
    pub conversation: Arc<str>,
    /// The user.
    pub participant: String,
    /// Their role, a word that chat understands.
    pub role: String,
    /// What they are to it.
    pub standing: Standing,
    /// The position of the event that made them so.
    pub since: u64,
    /// They see what comes behind this.
    pub visible_from: Offset,
    /// They may not write before, in milliseconds since 1970.
    pub muted_until: Option<u64>,
    /// They may not come in before, in milliseconds since 1970.
    pub banned_until: Option<u64>,
    /// When they came, in milliseconds since 1970.
    pub created: u64,
}

/// A row of `messages`, when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// The message.
    pub target: Target,
    /// How many messages count, up to this one.
    pub n: u64,
    /// Whether it is one of these.
    pub counted: bool,
    /// Its id.
    pub id: String,
    /// Who sent it.
    pub source: String,
    /// What it says.
    pub text: String,
    /// The id of the message that it answers.
    pub reply_to: Option<String>,
    /// When, in milliseconds since 1970.
    pub created: u64,
    /// What its sender calls it.
    pub txn: Option<String>,
    /// The first message of the thread that it is in.
    pub thread: Option<u64>,
    /// Mentions, attachments and more.
    pub extra: Option<String>,
    /// Whom it mentions.
    pub mentions: Vec<String>,
    /// It grows.
    pub streaming: bool,
    /// It was sent elsewhere.
    pub imported: bool,
    /// The record that holds it.
    pub place: Place,
}

/// A row of `message_receipts`: how far somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// The conversation.
    pub conversation: Arc<str>,
    /// The user.
    pub participant: String,
    /// Everything up to this position has arrived.
    pub delivered: u64,
    /// Since when, in milliseconds since 1970; `None` while that is 0.
    pub delivered_at: Option<u64>,
    /// Everything up to this position is read.
    pub read: u64,
    /// Since when, in milliseconds since 1970; `None` while that is 0.
    pub read_at: Option<u64>,
}

/// What is left of the record of a message when it is deleted: JSON of the same length without the
/// members that say something, filled up with spaces. Whatever is no record of chat becomes spaces
/// between its first and its last byte. Pure.
///
/// `record` ends with the comma that stands behind every message of a stream.
#[must_use]
pub fn erased(record: &[u8]) -> Vec<u8> {
    const CONTENT: [&str; 4] = ["text", "mentions", "attachments", "meta"];
    let json = record.strip_suffix(b",").unwrap_or(record);
    let mut kept = match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(json)
    {
        Ok(mut members) => {
            members.retain(|member, _| !CONTENT.contains(&member.as_str()));
            serde_json::to_vec(&members).unwrap_or_default()
        }
        Err(_) => b"null".to_vec(),
    };
    if kept.len() > json.len() {
        // Numbers and escapes may have been written shorter than they are here.
        kept = b"{}".to_vec();
    }
    kept.resize(json.len(), b' ');
    kept.extend_from_slice(&record[json.len()..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_erased_says_nothing_and_keeps_its_length() {
        let record =
            br#"{"type":"message","position":7,"text":"se\u0063ret","meta":{"a":"secret"}},"#;
        let erased = erased(record);
        assert_eq!(erased.len(), record.len());
        let text = String::from_utf8(erased).expect("UTF-8");
        let json: serde_json::Value =
            serde_json::from_str(text.strip_suffix(',').expect("a comma")).expect("JSON");
        assert_eq!(json, serde_json::json!({"type": "message", "position": 7}));
    }

    #[test]
    fn words_of_standings_stay() {
        for (standing, word) in Standing::ALL {
            assert_eq!(Standing::from_word(word), Some(standing));
            assert_eq!(standing.as_str(), word);
        }
    }
}
