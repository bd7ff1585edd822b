//! How content is put into text: what clients of events and of sockets have in common. Pure.

use crate::model::{Offset, holds_messages, media_type};
use bytes::Bytes;
use std::borrow::Cow;

/// How content is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is: UTF-8.
    Text,
    /// An array of messages.
    Messages,
    /// Any bytes.
    Base64,
}

impl Encoding {
    /// The encoding for content of a type.
    pub fn of(content_type: &str) -> Self {
        if holds_messages(content_type) {
            return Self::Messages;
        }
        let kind = media_type(content_type);
        let is_text = kind.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case("text/"));
        if is_text { Self::Text } else { Self::Base64 }
    }

    /// How many of the last bytes of `content` are the beginning of a character and must wait for
    /// the rest of it.
    pub fn unfinished(self, content: &[u8]) -> usize {
        if self != Self::Text {
            return 0;
        }
        let tail = content.iter().rev().take(3).enumerate();
        for (behind, byte) in tail {
            let length = match byte {
                0x80..=0xBF => continue,
                0xC2..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF4 => 4,
                _ => 1,
            };
            return if length > behind + 1 { behind + 1 } else { 0 };
        }
        0
    }
}

/// What was held back and what has come since, in one.
pub(super) fn joined<'a>(held: &[u8], bytes: &'a Bytes) -> Cow<'a, [u8]> {
    if held.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned([held, bytes].concat()) }
}

/// The position `bytes` before the end of a record.
pub(super) fn before(end: Offset, bytes: u64) -> Offset {
    if bytes == 0 {
        return end;
    }
    Offset { records: end.records.saturating_sub(1), bytes: end.bytes - bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_and_json_are_written_as_they_are() {
        for (content_type, want) in [
            ("text/plain; charset=utf-8", Encoding::Text),
            ("Text/HTML", Encoding::Text),
            ("application/json", Encoding::Messages),
            ("application/x-ndjson", Encoding::Base64),
            ("application/problem+json", Encoding::Base64),
            ("", Encoding::Base64),
        ] {
            assert_eq!(Encoding::of(content_type), want, "{content_type}");
        }
    }
}
