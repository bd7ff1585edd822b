//! What a stream is called and how it ends.

use super::{Create, Fork, Lifetime, Offset, Writers};
use crate::limits::STREAM_NAME_BYTES_MAX;
use std::{fmt, str::FromStr, sync::Arc};

/// Streams under these names are of the server: the first would be taken for the control interface of
/// the protocol, the second are those of chat, which has its own ways to them.
const RESERVED: [&str; 2] = ["__ds", "__chat"];

/// What stands before the names of the streams of chat.
const OF_CHAT: &str = "__chat/";

/// The name of a stream: UTF-8 text of 1 to [`STREAM_NAME_BYTES_MAX`] bytes without control
/// characters and without white space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// The stream of chat that is called `name` there. Nobody else can name it.
    ///
    /// # Errors
    /// The name cannot be one.
    pub fn of_chat(name: &str) -> Result<Self, InvalidName> {
        Self::kept(&format!("{OF_CHAT}{name}"))
    }

    /// What [`StreamName::of_chat`] was made from; `None` for any other stream.
    #[must_use]
    pub fn in_chat(&self) -> Option<&str> {
        self.0.strip_prefix(OF_CHAT)
    }

    /// A text behind all names of conversations, and before any other name behind them.
    #[must_use]
    pub fn behind_chat() -> &'static str {
        "__chat/\u{10ffff}"
    }

    /// A name as it was kept in a journal or a database: one of the server's own is not refused.
    ///
    /// # Errors
    /// It cannot be one.
    pub fn kept(text: &str) -> Result<Self, InvalidName> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    fn check(text: &str) -> Result<(), InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > STREAM_NAME_BYTES_MAX {
            return Err(InvalidName::TooLong);
        }
        if text.trim() != text {
            return Err(InvalidName::Space);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidName::Control);
        }
        Ok(())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StreamName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::check(text)?;
        let first = text.split('/').next().unwrap_or_default();
        if RESERVED.contains(&first) {
            return Err(InvalidName::Reserved);
        }
        Ok(Self(text.into()))
    }
}

/// Why a text is no stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing was given.
    #[error("the id is empty")]
    Empty,
    /// Longer than the cap.
    #[error("the id is longer than {STREAM_NAME_BYTES_MAX} bytes")]
    TooLong,
    /// White space at the beginning or the end, usually a stray newline.
    #[error("the id begins or ends with white space")]
    Space,
    /// In the part that the server keeps for itself.
    #[error("ids that begin with __ds/ or __chat/ are reserved")]
    Reserved,
    /// A control character inside.
    #[error("the id contains a control character")]
    Control,
}

/// The identity of one life of a stream. A name that is used anew gets a new one, so that nothing
/// of an earlier life can be mistaken for the present one. Never reused, also not after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Why a stream takes no more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Its producer said that it is complete.
    Finished,
    /// Its producer lived in a server that stopped or died.
    Interrupted,
    /// Its producer broke off and had asked for the stream to end with it.
    BrokenOff,
}

impl CloseReason {
    const ALL: [(Self, &str); 3] = [
        (Self::Finished, "finished"),
        (Self::Interrupted, "interrupted"),
        (Self::BrokenOff, "broken-off"),
    ];

    /// The word for it on the wire and in the database. Stored: never change one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(reason, _)| *reason == self).map_or("", |(_, word)| word)
    }

    /// The reason that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(reason, _)| *reason)
    }
}

/// What the store knows of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStream {
    /// Its identity.
    pub id: StreamId,
    /// Its name.
    pub name: StreamName,
    /// Its content type, as its creator gave it.
    pub content_type: Arc<str>,
    /// Where its stored content ends.
    pub tail: Offset,
    /// Whether it must be closed when the server that produces it is gone.
    pub tied: bool,
    /// Why it is closed; `None` while it is open.
    pub closed: Option<CloseReason>,
    /// When it goes away by itself.
    pub lifetime: Lifetime,
    /// When that would be if nobody used it any more, in milliseconds since 1970. A little late for
    /// one that lives while it is used, so that not every use has to be written down.
    pub expires_ms: Option<u64>,
    /// What it branches off from.
    pub fork: Option<Fork>,
    /// Deleted, but kept for its forks.
    pub hidden: bool,
    /// How many streams branch off from it. Not a column: counted when it is loaded.
    pub forks: u64,
    /// What is known of those who write to it.
    pub writers: Writers,
    /// How many changes of its name came before, where nodes share a log; 0 where there is none.
    pub version: u64,
}

impl StoredStream {
    /// A stream that has just begun and has no rows yet.
    #[must_use]
    pub fn new(id: StreamId, create: &Create) -> Self {
        Self {
            id,
            name: create.name.clone(),
            content_type: create.content_type.clone(),
            tail: create.fork.as_ref().map_or(Offset::ZERO, |fork| fork.at),
            tied: create.tied,
            closed: None,
            lifetime: create.lifetime,
            expires_ms: None,
            fork: create.fork.clone(),
            hidden: false,
            forks: 0,
            writers: Writers::default(),
            version: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_edge() {
        let long = "x".repeat(STREAM_NAME_BYTES_MAX + 1);
        for (text, want) in [
            ("", InvalidName::Empty),
            (long.as_str(), InvalidName::TooLong),
            (" a", InvalidName::Space),
            ("a\n", InvalidName::Space),
            ("a\0b", InvalidName::Control),
            ("__ds", InvalidName::Reserved),
            ("__ds/x", InvalidName::Reserved),
            ("__chat/x", InvalidName::Reserved),
            ("a\u{85}b", InvalidName::Control),
        ] {
            assert_eq!(text.parse::<StreamName>(), Err(want), "{text:?}");
        }
        for text in ["a", "a b", "ö/δ?&=%", &long[1..]] {
            assert_eq!(text.parse::<StreamName>().expect("valid").as_str(), text);
        }
    }

    #[test]
    fn chat_has_names_that_nobody_else_can_say() {
        let name = StreamName::of_chat("team").expect("a name");
        assert_eq!((name.as_str(), name.in_chat()), ("__chat/team", Some("team")));
        assert_eq!(name.as_str().parse::<StreamName>(), Err(InvalidName::Reserved));
        assert_eq!(StreamName::kept(name.as_str()), Ok(name));
        assert_eq!("__chatter".parse::<StreamName>().expect("a name").in_chat(), None);
    }

    #[test]
    fn close_reasons_keep_their_words() {
        for (reason, word) in CloseReason::ALL {
            assert_eq!(reason.as_str(), word);
            assert_eq!(CloseReason::from_word(word), Some(reason));
        }
        assert_eq!(CloseReason::from_word("other"), None);
    }
}
