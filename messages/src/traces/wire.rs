//! As much of the wire format of protobuf as spans need (protobuf.dev, "Encoding"). The fields of a message may
//! come in any order, so a span is written down while it is told, and is nothing but its bytes.

/// A message, as far as it has been written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// What an attribute says.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u64),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// How a field is written (its "wire type").
#[derive(Clone, Copy)]
enum As {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

impl Message {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Begins anew, in the same room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn number(&mut self, field: u8, value: u64) {
        self.key(field, As::Varint);
        self.varint(value);
    }

    pub fn fixed32(&mut self, field: u8, value: u32) {
        self.key(field, As::Fixed32);
        self.0.extend(value.to_le_bytes());
    }

    pub fn fixed64(&mut self, field: u8, value: u64) {
        self.key(field, As::Fixed64);
        self.0.extend(value.to_le_bytes());
    }

    /// A text, bytes, or another message.
    pub fn bytes(&mut self, field: u8, value: &[u8]) {
        self.begin(field, value.len());
        self.0.extend(value);
    }

    /// A text out of several.
    pub fn text(&mut self, field: u8, parts: &[&str]) {
        self.begin(field, parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| self.0.extend(part.as_bytes()));
    }

    /// A `KeyValue` of OpenTelemetry (common.proto).
    pub fn attribute(&mut self, field: u8, name: &str, value: Value<'_>) {
        let value_len = match value {
            Value::Text(text) => bytes_len(text.len()),
            Value::Number(number) => 1 + varint_len(number),
        };
        self.begin(field, bytes_len(name.len()) + bytes_len(value_len));
        self.bytes(1, name.as_bytes());
        self.begin(2, value_len);
        match value {
            Value::Text(text) => self.bytes(1, text.as_bytes()),
            Value::Number(number) => self.number(3, number),
        }
    }

    /// A field whose content follows.
    pub fn begin(&mut self, field: u8, content_bytes: usize) {
        self.key(field, As::Bytes);
        self.varint(content_bytes as u64);
    }

    /// Fields that were written elsewhere.
    pub fn extend(&mut self, fields: &[u8]) {
        self.0.extend(fields);
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u8, how: As) {
        self.varint(u64::from(field) << 3 | how as u64);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// What a field of such content takes, with a number below 16.
pub(super) fn bytes_len(content_bytes: usize) -> usize {
    1 + varint_len(content_bytes as u64) + content_bytes
}

fn varint_len(value: u64) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::{
        common::v1::{KeyValue, any_value},
        trace::v1::{Span, Status},
    };
    use proptest::prelude::*;
    use prost::Message as _;

    fn said(attribute: &KeyValue) -> Option<&any_value::Value> {
        attribute.value.as_ref()?.value.as_ref()
    }

    proptest! {
        #[test]
        fn whoever_knows_protobuf_reads_what_was_written(
            texts in prop::collection::vec((".{0,200}", ".{0,20000}"), 0..5),
            numbers in prop::collection::vec(any::<u64>(), 0..5),
            (time, flags) in any::<(u64, u32)>(),
        ) {
            let mut written = Message::default();
            written.fixed32(16, flags);
            written.fixed64(7, time);
            for (name, text) in &texts {
                written.attribute(9, name, text.as_str().into());
            }
            let mut status = Message::default();
            status.text(2, &["no", "", "t"]);
            status.number(3, 2);
            written.bytes(15, status.as_bytes());
            for number in &numbers {
                written.attribute(9, "number", (*number).into());
            }
            let read = Span::decode(written.as_bytes()).expect("a span");
            prop_assert_eq!((read.flags, read.start_time_unix_nano), (flags, time));
            prop_assert_eq!(read.status, Some(Status { message: "not".to_owned(), code: 2 }));
            prop_assert_eq!(read.attributes.len(), texts.len() + numbers.len());
            let (of_texts, of_numbers) = read.attributes.split_at(texts.len());
            for ((name, text), attribute) in texts.iter().zip(of_texts) {
                prop_assert_eq!(name, &attribute.key);
                let expected = any_value::Value::StringValue(text.clone());
                prop_assert_eq!(said(attribute), Some(&expected));
            }
            for (number, attribute) in numbers.iter().zip(of_numbers) {
                let expected = any_value::Value::IntValue(*number as i64);
                prop_assert_eq!(said(attribute), Some(&expected));
            }
        }
    }
}
