//! Taking the array apart that a stream of messages is answered with, as it comes.

use std::io::{self, Write};

/// One array after the other. What stands in a message stays as it is, except that line breaks between its
/// parts become spaces, so that it is one line.
#[derive(Debug, Default)]
pub(super) struct Elements {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// What there is of the present element.
    element: Vec<u8>,
    /// Bytes of the array so far, and how many of them come before the present element.
    bytes: u64,
    bytes_before: u64,
    /// Elements of this array that are through.
    done: u64,
}

impl Elements {
    pub fn new() -> Self {
        Self::default()
    }

    /// Prints every element that ends in `bytes` on a line of its own.
    pub fn print(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        bytes.iter().try_for_each(|byte| self.take(*byte, out))
    }

    /// How far in the stream that is, for whoever goes on behind the last whole element: records, and
    /// bytes. In a stream every message has one byte behind it, in the array a comma.
    pub fn passed(&self) -> (u64, u64) {
        (self.done, self.bytes_before.saturating_sub(1))
    }

    /// Another array comes.
    pub fn next_array(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self, byte: u8, out: &mut impl Write) -> io::Result<()> {
        self.bytes += 1;
        if self.depth == 0 {
            self.depth = usize::from(byte == b'[');
            return Ok(());
        }
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            self.element.push(byte);
            return Ok(());
        }
        match byte {
            b',' if self.depth == 1 => return self.end(out),
            b']' if self.depth == 1 => {
                self.depth = 0;
                return self.end(out);
            }
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth -= 1,
            _ => {}
        }
        self.in_string = byte == b'"';
        self.element.push(if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
        Ok(())
    }

    fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        let element = self.element.trim_ascii();
        if !element.is_empty() {
            self.done += 1;
            out.write_all(element)?;
            out.write_all(b"\n")?;
        }
        self.bytes_before = self.bytes;
        self.element.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(r#"{"a":[1,{"b":"],}\\\"["}],"c":"ü"}"#.to_owned()),
            Just("\"a,\\\"b\"".to_owned()),
            Just("[]".to_owned()),
            Just("{ \"a\" : 1.50 }".to_owned()),
            any::<i32>().prop_map(|n| n.to_string()),
        ]
    }

    proptest! {
        #[test]
        fn a_line_for_each_however_it_comes(
            messages in prop::collection::vec(message(), 0..8),
            sizes in prop::collection::vec(1usize..9, 1..9),
            cut in any::<prop::sample::Index>(),
        ) {
            // As the stream has it, and as it is sent from some place on.
            let stream: String = messages.iter().map(|message| format!("{message},")).collect();
            let array = |from: usize| format!("[{}]", stream[from..].trim_end_matches(','));
            let want: String = messages.iter().map(|message| format!("{message}\n")).collect();
            let (mut out, mut elements) = (Vec::new(), Elements::new());
            // It breaks off somewhere, and is gone on with.
            let whole = array(0);
            elements.print(&whole.as_bytes()[..cut.index(whole.len())], &mut out).expect("memory");
            let (records, from) = elements.passed();
            let lines = out.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(records, lines as u64);
            elements.next_array();
            let array = array(from as usize);
            let (mut rest, mut sizes) = (array.as_bytes(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().expect("a size")));
                elements.print(piece, &mut out).expect("memory");
                rest = behind;
            }
            prop_assert_eq!(String::from_utf8(out).expect("text"), want);
        }
    }

    #[test]
    fn line_breaks_within_a_message_become_spaces() {
        let (mut out, mut elements) = (Vec::new(), Elements::new());
        elements.print(b"[{\n\"a\":\r\n1},\n2]", &mut out).expect("memory");
        assert_eq!(out, b"{ \"a\":  1}\n2\n");
        elements.next_array();
        elements.print(b"[3]", &mut out).expect("memory");
        assert!(out.ends_with(b"2\n3\n"));
    }
}
