//! JSON mode: a body is taken apart into messages, and each keeps its text as it came.
//!
//! A message is stored with a comma behind it. So any run of messages is an array as soon as it
//! stands between brackets, without its last comma, and reading needs no parsing and no copying.

use super::StreamError;
use crate::{limits::APPEND_MESSAGES_MAX, model::Records};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// The records of a `body` for a stream of JSON `messages` or of bytes. An array is taken apart one
/// level deep.
///
/// # Errors
/// The body of JSON is none, or has too many messages.
pub fn records(body: Bytes, messages: bool) -> Result<Records, StreamError> {
    if !messages || body.is_empty() {
        return Ok(Records::bytes(body));
    }
    let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let found: Vec<&RawValue> = if is_array {
        serde_json::from_slice::<Messages<'_>>(&body).map(|Messages(found)| found)
    } else {
        serde_json::from_slice(&body).map(|one| vec![one])
    }
    .map_err(|_| StreamError::BadJson)?;
    if found.len() > APPEND_MESSAGES_MAX {
        return Err(StreamError::TooManyMessages);
    }
    let mut lengths = Vec::with_capacity(found.len());
    let mut text = BytesMut::with_capacity(body.len() + found.len());
    for message in found {
        let message = message.get().as_bytes();
        text.put_slice(message);
        text.put_u8(b',');
        lengths.push(message.len() as u32 + 1);
    }
    Ok(Records::messages(&lengths, text.freeze()))
}

/// The elements of an array. Of too many only one more than may be is kept: they could take many
/// times the memory of their text.
struct Messages<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Messages<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = Messages<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some(message) = array.next_element::<&RawValue>()? {
                    if found.len() <= APPEND_MESSAGES_MAX {
                        found.push(message);
                    }
                }
                Ok(Messages(found))
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(body: &str) -> Result<String, StreamError> {
        let records = records(Bytes::copy_from_slice(body.as_bytes()), true)?;
        assert!(records.are_messages() || records.is_empty());
        let (_, text) = records.into_parts();
        Ok(String::from_utf8(text.to_vec()).expect("UTF-8"))
    }

    #[test]
    fn arrays_are_taken_apart_one_level_and_texts_stay() {
        for (body, want) in [
            (r#"{"event": "created"}"#, r#"{"event": "created"},"#),
            (r#" [{"a":1}, {"b":2}] "#, r#"{"a":1},{"b":2},"#),
            ("[[1,2], [3,4]]", "[1,2],[3,4],"),
            ("[[[1,2,3]]]", "[[1,2,3]],"),
            ("12345678901234567890.10", "12345678901234567890.10,"),
            (r#"{"b":1,"a":1,"b":2}"#, r#"{"b":1,"a":1,"b":2},"#),
            (r#""\ud83d\ude00 \u00e9 é""#, r#""\ud83d\ude00 \u00e9 é","#),
            ("[]", ""),
            ("null", "null,"),
        ] {
            assert_eq!(split(body).as_deref(), Ok(want), "{body}");
        }
        for bad in ["{", "[1,]", "1 2", "\"\u{0}\"", "nul", "[1", "{\"a\":}"] {
            assert_eq!(split(bad), Err(StreamError::BadJson), "{bad}");
        }
        assert_eq!(records(Bytes::from_static(b"\"\xff\""), true), Err(StreamError::BadJson));
        let many = format!("[{}1]", "1,".repeat(APPEND_MESSAGES_MAX));
        assert_eq!(split(&many), Err(StreamError::TooManyMessages));
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(split(&deep).is_ok() || split(&deep) == Err(StreamError::BadJson));
    }

    proptest! {
        /// Between brackets and without the last comma, the records are what was sent.
        #[test]
        fn records_are_an_array(values in prop::collection::vec("[a-z\"\\\\,\\[\\]{} é]{0,9}", 1..9)) {
            let sent: Vec<serde_json::Value> = values.into_iter().map(Into::into).collect();
            let body = serde_json::to_vec(&sent).expect("JSON");
            let records = records(body.into(), true).expect("messages");
            prop_assert_eq!(records.count(), sent.len());
            let (_, text) = records.into_parts();
            let array = [b"[", &text[..text.len() - 1], b"]"].concat();
            prop_assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&array).expect("JSON"), sent);
        }
    }
}
