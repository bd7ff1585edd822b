//! Reads Server-Sent Events piece by piece: content is handed on in place, wherever the network
//! cut it. Only control events, which are rare and short, are collected.

use memchr::memchr2;

/// What the events of a stream say.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes of the content.
    Data(&'a [u8]),
    /// The data of one event are complete.
    Complete,
    /// A whole control event: a JSON object.
    Control(&'a [u8]),
}

/// The kind of the event being read. The name comes before the data in this protocol, so data
/// can be handed on before the event is complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Control,
}

/// The field whose value is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Event,
    Data,
    Other,
}

/// Where in a line the reader is.
enum Place {
    Name,
    /// Behind the colon, where one space does not count.
    Colon(Field),
    Value(Field),
}

/// The state between two pieces of the body.
pub struct Sse {
    place: Place,
    /// The name of the field, or the name of the event; both are a few bytes long.
    name: Vec<u8>,
    kind: Kind,
    control: Vec<u8>,
    /// Whether this event has had a data line: the next one is separated by a line break.
    continued: bool,
    /// Whether the last byte was a carriage return, so that a line feed belongs to it.
    returned: bool,
}

impl Sse {
    /// At the start of a body.
    pub fn new() -> Self {
        Self {
            place: Place::Name,
            name: Vec::new(),
            kind: Kind::Data,
            control: Vec::new(),
            continued: false,
            returned: false,
        }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.returned) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let used = match self.place {
                Place::Name => self.name(bytes, &mut sink),
                Place::Colon(field) => {
                    self.begin_value(field, &mut sink);
                    usize::from(first == b' ')
                }
                Place::Value(field) => self.value(field, bytes, &mut sink),
            };
            bytes = &bytes[used..];
        }
    }

    fn name(&mut self, bytes: &[u8], sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let end = bytes.iter().position(|b| matches!(b, b':' | b'\n' | b'\r'));
        let Some(end) = end else {
            self.name.extend_from_slice(bytes);
            return bytes.len();
        };
        self.name.extend_from_slice(&bytes[..end]);
        if bytes[end] == b':' {
            let field = match self.name.as_slice() {
                b"event" => Field::Event,
                b"data" => Field::Data,
                _ => Field::Other,
            };
            self.place = Place::Colon(field);
        } else {
            self.returned = bytes[end] == b'\r';
            if self.name.is_empty() {
                self.end_event(sink);
            }
        }
        self.name.clear();
        end + 1
    }

    fn begin_value(&mut self, field: Field, sink: &mut impl FnMut(Piece<'_>)) {
        self.place = Place::Value(field);
        if field == Field::Data && std::mem::replace(&mut self.continued, true) {
            self.data(b"\n", sink);
        }
    }

    fn value(&mut self, field: Field, bytes: &[u8], sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let end = memchr2(b'\n', b'\r', bytes);
        let value = &bytes[..end.unwrap_or(bytes.len())];
        match field {
            Field::Data => self.data(value, sink),
            Field::Event => self.name.extend_from_slice(value),
            Field::Other => (),
        }
        let Some(end) = end else {
            return bytes.len();
        };
        if field == Field::Event {
            self.kind = if self.name == b"control" { Kind::Control } else { Kind::Data };
            self.name.clear();
        }
        self.returned = bytes[end] == b'\r';
        self.place = Place::Name;
        end + 1
    }

    fn data(&mut self, value: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        match self.kind {
            Kind::Control => self.control.extend_from_slice(value),
            Kind::Data if value.is_empty() => (),
            Kind::Data => sink(Piece::Data(value)),
        }
    }

    fn end_event(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        if !self.control.is_empty() {
            sink(Piece::Control(&self.control));
            self.control.clear();
        } else if self.continued && self.kind == Kind::Data {
            sink(Piece::Complete);
        }
        self.kind = Kind::Data;
        self.continued = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content and the control events of a body that arrives in these pieces.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, Vec<String>) {
        let (mut sse, mut data, mut controls) = (Sse::new(), Vec::new(), Vec::new());
        for piece in pieces {
            sse.feed(piece, |piece| match piece {
                Piece::Data(bytes) => data.extend_from_slice(bytes),
                Piece::Complete => data.push(b'|'),
                Piece::Control(json) => controls.push(String::from_utf8_lossy(json).into_owned()),
            });
        }
        (String::from_utf8_lossy(&data).into_owned(), controls)
    }

    const BODY: &str = "event: data\ndata:abc\n\n: a comment\nevent: control\ndata:{\"a\":1}\n\n\
        event: data\r\ndata: def\r\n\r\nid: 7\nevent:data\ndata:g:h\ndata: i\n\n\n\
        event: control\ndata: {\"b\":\ndata: 2}\n\n";

    #[test]
    fn events_are_read_wherever_the_body_is_cut() {
        let expected =
            ("abc|def|g:h\ni|".to_owned(), vec!["{\"a\":1}".into(), "{\"b\":\n2}".into()]);
        assert_eq!(read([BODY.as_bytes()]), expected);
        for cut in 0..=BODY.len() {
            let (head, tail) = BODY.as_bytes().split_at(cut);
            assert_eq!(read([head, tail]), expected, "cut at {cut}");
        }
        assert_eq!(read(BODY.as_bytes().chunks(1)), expected);
    }

    #[test]
    fn content_is_handed_on_before_its_event_is_complete() {
        let mut got = Vec::new();
        Sse::new().feed(b"event: data\ndata:half", |piece| {
            assert_eq!(piece, Piece::Data(b"half"));
            got.push(());
        });
        assert_eq!(got.len(), 1);
    }
}
