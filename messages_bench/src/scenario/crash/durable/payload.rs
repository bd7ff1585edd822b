//! What is appended, and how it is recognised again. Every append follows from its writer and its
//! number, so a reader can check each byte without having been told.

use bytes::Bytes;

use crate::dialect::live::Kind;
use crate::random::mix;
use crate::record::{Filler, HEADER_BYTES, Record, decode};

/// The writer whose appends are the bodies of `PUT`.
pub const CREATOR: u32 = u32::MAX;

/// One append: who wrote it, and the how-manieth of that writer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The writer; unique in its stream.
    pub writer: u32,
    /// From 0 on.
    pub number: u32,
}

/// What stands between the messages of a body.
const BETWEEN: [&str; 3] = [",", " , ", ",\n  "];

impl Label {
    fn record(self) -> Record {
        Record { writer: self.writer, sequence: self.number, time: 0 }
    }

    /// A number that belongs to this append and `purpose`.
    fn dice(self, purpose: u64, sides: u64) -> u64 {
        mix(u64::from(self.writer) << 32 ^ u64::from(self.number) ^ purpose << 50) % sides
    }

    /// The append as it stands in the stream.
    pub fn content(self, filler: &Filler, kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Bytes => self.bytes(filler),
            Kind::Text => self.text(filler),
            Kind::Json => {
                let messages = self.messages(filler);
                messages.iter().flat_map(|m| [m.as_bytes(), b","].concat()).collect()
            }
        }
    }

    /// The body that appends it.
    pub fn body(self, filler: &Filler, kind: Kind) -> Bytes {
        if kind != Kind::Json {
            return self.content(filler, kind).into();
        }
        let messages = self.messages(filler);
        let between = BETWEEN[self.dice(1, 3) as usize];
        match &messages[..] {
            [one] if self.dice(2, 2) == 0 => format!(" {one}\n").into(),
            messages => format!("[ {}]", messages.join(between)).into(),
        }
    }

    fn head(self, filler: &Filler) -> String {
        String::from_utf8_lossy(&filler.encode(self.record(), HEADER_BYTES)).into_owned()
    }

    /// Usually short; one in some dozens is long.
    fn length(self) -> usize {
        let long = if self.dice(3, 40) == 0 { 60_000 } else { 400 };
        self.dice(4, long) as usize
    }

    fn bytes(self, filler: &Filler) -> Vec<u8> {
        let mut bytes = filler.encode(self.record(), HEADER_BYTES + self.length()).to_vec();
        let rest = self.dice(5, 30);
        bytes.extend((0..rest).map(|at| self.dice(6 + at, 256) as u8));
        bytes
    }

    /// Lines with spaces in front, empty lines, words of several bytes a letter, no CR: events keep
    /// no difference between the kinds of line breaks.
    fn text(self, filler: &Filler) -> Vec<u8> {
        const WORDS: [&str; 10] =
            [" ", "\n", "\n ", "\n\n", "data:", "é", "😀", "event: control", "x\u{2028}", ": y"];
        let mut text = " ".repeat(self.dice(3, 3) as usize);
        text.push_str(&self.head(filler));
        for at in 0..self.length() as u64 / 8 {
            text.push_str(WORDS[self.dice(100 + at, 10) as usize]);
        }
        text.into_bytes()
    }

    /// Texts that a server must not take apart nor write anew.
    fn messages(self, filler: &Filler) -> Vec<String> {
        const VALUES: [&str; 8] = [
            "null",
            "12345678901234567890.10",
            "[ 1,[2, {\"a\":\"],[\"}] ]",
            "\"a, \\\"b\\\" \\u00e9 é 😀 \\\\\"",
            "{\"z\":1,\"a\":2,\"z\":3}",
            "\"\\n\\r\\u2028\"",
            "-0.0e+00",
            "{ }",
        ];
        let head = self.head(filler);
        let message = |at: u64| {
            let value = VALUES[self.dice(20 + at, 8) as usize];
            let pad = "y".repeat(if at == 0 { self.length() } else { 0 });
            format!("{{\"h\":\"{head}\",\"i\":{at}, \"v\":{value},\n\"p\":\"{pad}\"}}")
        };
        (0..1 + self.dice(7, 4)).map(message).collect()
    }

    /// Which append begins at the beginning of `content`, if any does.
    pub fn of(content: &[u8], kind: Kind) -> Option<Self> {
        let content = match kind {
            Kind::Bytes => content,
            Kind::Text => content.trim_ascii_start(),
            Kind::Json => content.strip_prefix(b"{\"h\":\"")?,
        };
        let Record { writer, sequence, .. } = decode(content)?;
        Some(Self { writer, number: sequence })
    }
}

/// The lengths of the messages in `content`, which is whole messages with a comma behind each;
/// `None` when it is not.
pub fn messages(content: &[u8]) -> Option<Vec<usize>> {
    let (mut lengths, mut begun, mut depth) = (Vec::new(), 0, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in content.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => (),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                lengths.push(at + 1 - begun);
                begun = at + 1;
            }
            _ => (),
        }
    }
    (begun == content.len()).then_some(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Json, Kind::Text, Kind::Bytes];

    #[test]
    fn an_append_is_recognised_by_its_beginning() {
        let filler = Filler::new();
        for kind in KINDS {
            for number in 0..300 {
                let label = Label { writer: 7, number };
                assert_eq!(Label::of(&label.content(&filler, kind), kind), Some(label));
            }
        }
    }

    #[test]
    fn a_body_of_json_is_the_content_as_an_array() {
        let filler = Filler::new();
        for number in 0..100 {
            let label = Label { writer: 1, number };
            let content = label.content(&filler, Kind::Json);
            let array = [b"[", &content[..content.len() - 1], b"]"].concat();
            let array: serde_json::Value = serde_json::from_slice(&array).expect("JSON");
            let body = label.body(&filler, Kind::Json);
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert!(body == array || array.as_array().is_some_and(|all| all[..] == [body]));
            let lengths = messages(&content).expect("whole messages");
            assert_eq!(lengths.iter().sum::<usize>(), content.len());
            assert_eq!(lengths.len(), array.as_array().map_or(0, Vec::len));
        }
    }

    #[test]
    fn texts_are_texts() {
        let filler = Filler::new();
        for number in 0..100 {
            let content = Label { writer: 1, number }.content(&filler, Kind::Text);
            assert!(String::from_utf8(content).is_ok_and(|text| !text.contains('\r')));
        }
    }
}
