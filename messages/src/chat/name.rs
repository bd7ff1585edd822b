//! What conversations, users and messages are called.

use super::ChatError;
use crate::{
    limits::{CONVERSATION_NAME_BYTES_MAX, SUBJECT_BYTES_MAX},
    model::{StreamName, Target},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use std::{fmt, str::FromStr, sync::Arc};

/// What stands before the names of conversations in the names of their streams.
const STREAM_PREFIX: &str = "c/";

/// What the names of direct conversations begin with. Nobody else's do.
const DIRECT_PREFIX: &str = "dm-";

/// The name of a conversation: letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationName(Arc<str>);

impl ConversationName {
    /// A name that nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// The one conversation that two users have with each other. The name says nothing of them.
    #[must_use]
    pub fn direct(one: &str, other: &str) -> Self {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        // No user has a control character in their name.
        let hash = digest(&SHA256, format!("{first}\0{second}").as_bytes());
        Self(format!("{DIRECT_PREFIX}{}", URL_SAFE_NO_PAD.encode(hash)).into())
    }

    /// Whether it is one that only [`ConversationName::direct`] makes.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.0.starts_with(DIRECT_PREFIX)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as text that is shared.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }

    /// The stream of its events.
    ///
    /// # Errors
    /// Never; the names of conversations are shorter than those of streams.
    pub(super) fn stream(&self) -> Result<StreamName, ChatError> {
        StreamName::of_chat(&format!("{STREAM_PREFIX}{self}")).map_err(|_| ChatError::BadName)
    }

    /// The conversation of a stream, if it is that of one.
    #[must_use]
    pub fn of_stream(stream: &StreamName) -> Option<Self> {
        stream.in_chat()?.strip_prefix(STREAM_PREFIX)?.parse().ok()
    }
}

impl fmt::Display for ConversationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ConversationName {
    type Err = ChatError;

    fn from_str(text: &str) -> Result<Self, ChatError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=CONVERSATION_NAME_BYTES_MAX).contains(&text.len());
        if !fits || !text.bytes().all(is_plain) || text.bytes().all(|byte| byte == b'.') {
            return Err(ChatError::BadName);
        }
        Ok(Self(text.into()))
    }
}

/// A message: its conversation and its position there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The conversation.
    pub conversation: ConversationName,
    /// The position of the event that it began with.
    pub position: u64,
}

impl MessageId {
    /// As the tables have it.
    #[must_use]
    pub fn target(&self) -> Target {
        Target { conversation: self.conversation.0.clone(), position: self.position }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.conversation, self.position)
    }
}

impl FromStr for MessageId {
    type Err = ChatError;

    fn from_str(text: &str) -> Result<Self, ChatError> {
        let (conversation, position) = text.rsplit_once(':').ok_or(ChatError::BadMessageId)?;
        let is_number = position.bytes().all(|byte| byte.is_ascii_digit());
        let position = position.parse().ok().filter(|_| is_number && !position.starts_with('0'));
        let conversation = conversation.parse().map_err(|_| ChatError::BadMessageId)?;
        Ok(Self { conversation, position: position.ok_or(ChatError::BadMessageId)? })
    }
}

/// A user, as a token can name one.
///
/// # Errors
/// No token could.
pub fn user(text: &str) -> Result<&str, ChatError> {
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&text.len());
    // What stands for many users is none.
    if !fits || text.starts_with('@') || text.chars().any(char::is_control) {
        return Err(ChatError::BadUser);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "team-1", "a.b_c", &"x".repeat(CONVERSATION_NAME_BYTES_MAX)] {
            let name: ConversationName = good.parse().expect("a name");
            let stream = name.stream().expect("a stream");
            assert_eq!(ConversationName::of_stream(&stream), Some(name));
        }
        for bad in ["", ".", "..", "a/b", "a b", "ö", "a:1", &"x".repeat(129)] {
            assert!(bad.parse::<ConversationName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn two_users_have_one_conversation() {
        let name = ConversationName::direct("alice", "bob");
        assert_eq!(name, ConversationName::direct("bob", "alice"));
        assert_ne!(name, ConversationName::direct("alice", "bo"));
        assert!(name.is_direct());
        assert_eq!(name.as_str().parse(), Ok(name));
    }

    #[test]
    fn an_id_is_a_conversation_and_a_position() {
        let id: MessageId = "team:42".parse().expect("an id");
        assert_eq!((id.conversation.as_str(), id.position), ("team", 42));
        assert_eq!(id.to_string(), "team:42");
        for bad in ["team", "team:", "team:0", "team:01", "team:+1", ":1", "a/b:1", "t:1:x"] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
    }
}
