//! Server-sent events: how content and positions are written down. Pure.
//!
//! Everything goes through a parser that ends lines at CR, LF and CRLF and takes one space from
//! behind the colon (HTML standard, 9.2.6). So that it comes out as it was, a line that begins with a
//! space gets another one; none else does, since the protocol's clients look for `data:{`.

use super::super::encoding::Encoding;
use crate::model::Offset;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt::Write;

/// How many of the last bytes of `content` must wait for those behind them: what is left of a
/// character, or a CR that an LF may follow.
pub(super) fn held_back(encoding: Encoding, content: &[u8]) -> usize {
    let cr = encoding == Encoding::Text && content.last() == Some(&b'\r');
    if cr { 1 } else { encoding.unfinished(content) }
}

/// Writes `content` as one event, with the position behind it.
pub(super) fn data(encoding: Encoding, content: &[u8], end: Offset, out: &mut String) {
    out.push_str("event: data\n");
    match encoding {
        Encoding::Text => lines(&String::from_utf8_lossy(content), out),
        Encoding::Messages => {
            let messages = content.strip_suffix(b",").unwrap_or(content);
            lines(&format!("[{}]", String::from_utf8_lossy(messages)), out);
        }
        Encoding::Base64 => {
            out.push_str("data:");
            STANDARD.encode_string(content, out);
            out.push('\n');
        }
    }
    // Writing to a string cannot fail.
    let _ = write!(out, "id:{end}\n\n");
}

/// Writes a text as the lines of one event.
fn lines(text: &str, out: &mut String) {
    let mut rest = text;
    loop {
        let end = memchr::memchr2(b'\r', b'\n', rest.as_bytes());
        let line = &rest[..end.unwrap_or(rest.len())];
        out.push_str(if line.starts_with(' ') { "data: " } else { "data:" });
        out.push_str(line);
        out.push('\n');
        let Some(end) = end else { return };
        let breaks = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + breaks..];
    }
}

/// What a reader is told of its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control {
    /// Where it goes on.
    pub next: Offset,
    /// For caches; not in the last one.
    pub cursor: u64,
    /// There is nothing more at the moment.
    pub last: bool,
    /// Nothing more will come.
    pub closed: bool,
}

impl Control {
    /// Writes it as an event. With `id`, where no event with data has told the position.
    pub fn write(self, id: bool, out: &mut String) {
        let Self { next, cursor, last, closed } = self;
        let _ = write!(out, "event: control\ndata:{{\"streamNextOffset\":\"{next}\"");
        if !closed {
            let _ = write!(out, ",\"streamCursor\":\"{cursor}\"");
        }
        if last {
            out.push_str(",\"upToDate\":true");
        }
        if closed {
            out.push_str(",\"streamClosed\":true");
        }
        out.push_str("}\n");
        if id {
            let _ = writeln!(out, "id:{next}");
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::encoding::joined;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// What a parser by the standard makes of the data of events.
    fn parse(text: &str) -> Vec<String> {
        let mut events = Vec::new();
        let mut data: Vec<&str> = Vec::new();
        let mut name = "";
        for line in text.split('\n') {
            match line.split_once(':') {
                None if line.is_empty() => {
                    let content = std::mem::take(&mut data).join("\n");
                    if name == "data" {
                        events.push(content);
                    }
                    name = "";
                }
                Some(("data", value)) => data.push(value.strip_prefix(' ').unwrap_or(value)),
                Some(("event", value)) => name = value.strip_prefix(' ').unwrap_or(value),
                _ => {}
            }
        }
        events
    }

    fn event(encoding: Encoding, content: &[u8]) -> String {
        let mut out = String::new();
        data(encoding, content, Offset::ZERO, &mut out);
        out
    }

    proptest! {
        /// However a text is cut into appends: what comes out is the text, but for the kind of its
        /// line breaks.
        #[test]
        fn texts_come_through_whole(text in "[ a\r\né😀:]{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (mut held, mut out) = (Vec::new(), String::new());
            for pair in cuts.windows(2) {
                let piece = Bytes::copy_from_slice(&bytes[pair[0]..pair[1]]);
                let content = joined(&held, &piece).into_owned();
                let at = content.len() - held_back(Encoding::Text, &content);
                if at > 0 {
                    data(Encoding::Text, &content[..at], Offset::ZERO, &mut out);
                }
                held = content[at..].to_vec();
            }
            if !held.is_empty() {
                data(Encoding::Text, &held, Offset::ZERO, &mut out);
            }
            let want = text.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(parse(&out).concat(), want);
        }

        #[test]
        fn bytes_come_through_whole(content in prop::collection::vec(any::<u8>(), 0..60)) {
            let out = event(Encoding::Base64, &content);
            let text = parse(&out).concat();
            prop_assert_eq!(STANDARD.decode(text).expect("base64"), content);
        }
    }

    #[test]
    fn an_event_is_laid_out_as_clients_expect_it() {
        assert_eq!(
            event(Encoding::Text, b" two\n  three"),
            "event: data\ndata:  two\ndata:   three\nid:0000000000000000_0000000000000000\n\n"
        );
        assert_eq!(parse(&event(Encoding::Messages, b"{\"a\":\n1},2,")), ["[{\"a\":\n1},2]"]);
        let next = Offset { records: 1, bytes: 2 };
        let mut out = String::new();
        Control { next, cursor: 7, last: true, closed: false }.write(true, &mut out);
        Control { next, cursor: 7, last: true, closed: true }.write(false, &mut out);
        assert_eq!(
            out,
            "event: control\ndata:{\"streamNextOffset\":\"0000000000000001_0000000000000002\",\
             \"streamCursor\":\"7\",\"upToDate\":true}\nid:0000000000000001_0000000000000002\n\n\
             event: control\ndata:{\"streamNextOffset\":\"0000000000000001_0000000000000002\",\
             \"upToDate\":true,\"streamClosed\":true}\n\n"
        );
    }

    #[test]
    fn what_is_not_whole_waits() {
        for (content, want) in [
            (&b"abc"[..], 0),
            (b"abc\r", 1),
            (b"abc\r\n", 0),
            ("é".as_bytes(), 0),
            (b"a\xC3", 1),
            (b"\xF0\x9F\x98", 3),
            (b"\xE2\x82", 2),
            (b"\x80\x80\x80", 0),
            (b"\xFF", 0),
            (b"", 0),
        ] {
            assert_eq!(held_back(Encoding::Text, content), want, "{content:?}");
            assert_eq!(held_back(Encoding::Base64, content), 0);
        }
    }
}
