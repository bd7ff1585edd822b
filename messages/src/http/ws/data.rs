//! Content as frames. Whatever the frames of all readers have in common is encoded once and shared;
//! what is their own, the name of the subscription, comes first. Pure.

use super::label::Label;
use crate::{
    channel::{Frame, FrameKey, FrameReader, Part, held_key},
    http::encoding::{Encoding, before, joined},
    model::Offset,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

/// What the shared half of a frame depends on.
pub(super) fn key(part: &Part, held: &[u8]) -> FrameKey {
    let from = part.end.bytes - part.bytes.len() as u64;
    let (last, reader) = ((false, false), FrameReader::Socket);
    FrameKey { from, to: part.end, last, reader, erasures: part.erasures, held: held_key(held) }
}

/// The shared half of the frame for what was `held` back and `part`: as much of it as is whole. No
/// bytes when nothing is.
pub(super) fn encode(encoding: Encoding, held: &[u8], part: &Part) -> Frame {
    let content = joined(held, &part.bytes);
    let wait = encoding.unfinished(&content);
    let content = &content[..content.len() - wait];
    let reaches = before(part.end, wait as u64);
    if content.is_empty() {
        return Frame { bytes: Bytes::new(), reaches };
    }
    Frame { bytes: body(encoding, content, reaches).into(), reaches }
}

/// The shared half of a frame with all of `content`, whole or not.
pub(super) fn body(encoding: Encoding, content: &[u8], end: Offset) -> String {
    let mut out = String::with_capacity(content.len() + content.len() / 2 + 64);
    out.push_str("\"offset\":\"");
    out.push_str(&end.to_string());
    out.push_str("\",");
    match (encoding, std::str::from_utf8(content)) {
        (Encoding::Text, Ok(text)) => {
            out.push_str("\"text\":");
            // Writing a text cannot fail.
            out.push_str(&serde_json::to_string(text).unwrap_or_default());
        }
        (Encoding::Messages, Ok(text)) => {
            out.push_str("\"messages\":[");
            out.push_str(text.strip_suffix(',').unwrap_or(text));
            out.push(']');
        }
        // Also what calls itself text and is none: not a byte is to be lost.
        _ => {
            out.push_str("\"base64\":\"");
            STANDARD.encode_string(content, &mut out);
            out.push('"');
        }
    }
    out.push('}');
    out
}

/// What stands before the shared half for the subscription `sub`.
pub(super) fn prefix(sub: &Label) -> String {
    format!("{{\"type\":\"data\",\"sub\":{},", sub.json())
}

/// A whole frame.
pub(super) fn frame(prefix: &str, body: &[u8]) -> String {
    let mut text = String::with_capacity(prefix.len() + body.len());
    text.push_str(prefix);
    text.push_str(&String::from_utf8_lossy(body));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn value(body: &str) -> Value {
        let label: Label = serde_json::from_str("7").expect("a label");
        let value: Value =
            serde_json::from_str(&frame(&prefix(&label), body.as_bytes())).expect("JSON");
        assert_eq!((&value["type"], &value["sub"]), (&"data".into(), &7.into()));
        value
    }

    fn content(frame: &Value) -> Vec<u8> {
        match (&frame["text"], &frame["base64"]) {
            (Value::String(text), _) => text.clone().into_bytes(),
            (_, Value::String(base64)) => STANDARD.decode(base64).expect("base64"),
            _ => panic!("{frame}"),
        }
    }

    proptest! {
        /// However bytes are cut into parts, text or not: they come out as they went in, a text as
        /// text, and every offset is that of what has come out until then.
        #[test]
        fn content_comes_through_whole(
            text in "[ a\r\n\"\\\\é😀\u{1}]{0,40}",
            noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let is_text = noise.is_empty();
            let mut bytes = text.into_bytes();
            for (at, byte) in noise {
                bytes.insert(at.index(bytes.len() + 1), byte);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let (mut held, mut out) = (Vec::new(), Vec::new());
            for (record, pair) in cuts.windows(2).enumerate() {
                let end = Offset { records: record as u64 + 1, bytes: pair[1] as u64 };
                let piece = Bytes::copy_from_slice(&bytes[pair[0]..pair[1]]);
                let part = Part { bytes: piece, end, last: false, closed: None, erasures: 0 };
                let frame = encode(Encoding::Text, &held, &part);
                let wait = (end.bytes - frame.reaches.bytes) as usize;
                held = bytes[pair[1] - wait..pair[1]].to_vec();
                if !frame.bytes.is_empty() {
                    let frame_text = std::str::from_utf8(&frame.bytes).expect("text");
                    let value = value(frame_text);
                    prop_assert!(!is_text || value["text"].is_string());
                    out.extend(content(&value));
                    prop_assert_eq!(&value["offset"], &frame.reaches.to_string());
                    prop_assert_eq!(frame.reaches.bytes as usize, out.len());
                }
            }
            if !held.is_empty() {
                out.extend(content(&value(&body(Encoding::Text, &held, Offset::ZERO))));
            }
            prop_assert_eq!(out, bytes);
        }
    }

    #[test]
    fn messages_keep_their_text() {
        let text = body(Encoding::Messages, b"{\"b\": 1.0,\n\"a\":2},[3],", Offset::ZERO);
        assert!(text.contains("\"messages\":[{\"b\": 1.0,\n\"a\":2},[3]]}"), "{text}");
        assert_eq!(value(&text)["messages"][1][0], 3);
    }
}
