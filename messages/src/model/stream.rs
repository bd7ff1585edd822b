//! What a stream is called and how it ends.

use super::Offset;
use crate::limits::STREAM_NAME_BYTES_MAX;
use std::{fmt, str::FromStr, sync::Arc};

/// The name of a stream: UTF-8 text of 1 to [`STREAM_NAME_BYTES_MAX`] bytes without control
/// characters and without white space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

impl StreamName {
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
    /// A control character inside.
    #[error("the id contains a control character")]
    Control,
}

/// The identity of one life of a stream. A name that is used anew gets a new one, so that nothing
/// of an earlier life can be mistaken for the present one. Never reused, also not after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
            ("a\u{85}b", InvalidName::Control),
        ] {
            assert_eq!(text.parse::<StreamName>(), Err(want), "{text:?}");
        }
        for text in ["a", "a b", "ö/δ?&=%", &long[1..]] {
            assert_eq!(text.parse::<StreamName>().expect("valid").as_str(), text);
        }
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
