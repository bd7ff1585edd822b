//! Checks the content of a production: the lines `"{i}: {id}\n"`, from [`FIRST_LINE`] on.

use std::fmt::Write;

use super::excerpt;
use crate::limits::EXCERPT_BYTES;
use crate::record::first_difference;

/// The number in the first line of a production.
pub const FIRST_LINE: u64 = 0;

/// The length of a whole production, in bytes.
pub fn lines_len(id: &str, count: u64) -> u64 {
    let digits = |n: u64| u64::from(n.checked_ilog10().unwrap_or(0)) + 1;
    let numbers: u64 = (FIRST_LINE..FIRST_LINE + count).map(digits).sum();
    numbers + count * (id.len() as u64 + 3)
}

/// Reads a production in pieces of any size and remembers the first byte that differs.
pub struct LineCheck {
    id: String,
    end: u64,
    /// The number of the line that is being read, its text and how much of it has come.
    number: u64,
    line: String,
    within: usize,
    position: u64,
    broken: Option<Broken>,
}

/// Where it went wrong, and what came from there on.
struct Broken {
    at: u64,
    got: Vec<u8>,
}

impl LineCheck {
    /// A check of the production `id` of `count` lines.
    pub fn new(id: &str, count: u64) -> Self {
        let mut check = Self {
            id: id.to_owned(),
            end: FIRST_LINE + count,
            number: FIRST_LINE,
            line: String::with_capacity(id.len() + 16),
            within: 0,
            position: 0,
            broken: None,
        };
        check.begin_line();
        check
    }

    /// Bytes that have come.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether a difference has been found: the rest of the content need not be read.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    fn begin_line(&mut self) {
        self.line.clear();
        self.within = 0;
        if self.number < self.end {
            writeln!(self.line, "{}: {}", self.number, self.id).expect("a String takes any text");
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        let received = bytes.len() as u64;
        let start = self.position;
        self.position += received;
        while !bytes.is_empty() {
            if let Some(broken) = &mut self.broken {
                let room = (4 * EXCERPT_BYTES).saturating_sub(broken.got.len());
                broken.got.extend_from_slice(&bytes[..room.min(bytes.len())]);
                return;
            }
            let due = &self.line.as_bytes()[self.within..];
            let length = due.len().min(bytes.len());
            let at = start + (received - bytes.len() as u64);
            // Past the last line nothing is due, and any byte is one too many.
            if due.is_empty() || due[..length] != bytes[..length] {
                let same = first_difference(due, bytes).unwrap_or(0);
                self.within += same;
                bytes = &bytes[same..];
                self.broken = Some(Broken { at: at + same as u64, got: Vec::new() });
                continue;
            }
            self.within += length;
            bytes = &bytes[length..];
            if self.within == self.line.len() {
                self.number += 1;
                self.begin_line();
            }
        }
    }

    /// The content is over: what is wrong with it, if anything.
    pub fn finish(&self) -> Option<String> {
        let due = self.due();
        match &self.broken {
            Some(broken) => {
                let (at, kind) = (broken.at, self.kind(&broken.got));
                let (want, got) = (excerpt(due.as_bytes()), excerpt(&broken.got));
                Some(format!("{kind}; first differing byte {at}: expected {want}, got {got}"))
            }
            None if self.number < self.end => {
                let (at, number) = (self.position, self.number);
                let want = excerpt(due.as_bytes());
                Some(format!("lines missing from {number} on; ends at byte {at}: expected {want}"))
            }
            None => None,
        }
    }

    /// What should have come from the current position on, as long as an excerpt.
    fn due(&self) -> String {
        let mut due = self.line[self.within..].to_owned();
        for number in self.number + 1..self.end {
            if due.len() > EXCERPT_BYTES {
                break;
            }
            due.push_str(&format!("{number}: {}\n", self.id));
        }
        due
    }

    /// Names the difference by the number of the line that came instead.
    fn kind(&self, got: &[u8]) -> String {
        if self.number >= self.end {
            return "extra bytes after the end".to_owned();
        }
        let mut line = self.line.as_bytes()[..self.within].to_vec();
        line.extend_from_slice(got.split(|b| *b == b'\n').next().unwrap_or(got));
        let text = String::from_utf8_lossy(&line);
        let number = text.strip_suffix(&self.id).and_then(|t| t.strip_suffix(": "));
        match number.and_then(|n| n.parse::<u64>().ok()) {
            Some(came) if came > self.number => {
                format!("lines {}..{came} missing", self.number)
            }
            Some(came) if came < self.number => {
                format!("duplicate line {came} where {} was due", self.number)
            }
            _ => format!("wrong bytes in line {}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|i| format!("{i}: chan\n").into_bytes()).collect()
    }

    /// The verdict, which must not depend on how the content was cut into pieces.
    fn verdict(content: &[u8], count: u64) -> Option<String> {
        let read = |piece: usize| {
            let mut check = LineCheck::new("chan", count);
            content.chunks(piece).for_each(|piece| check.feed(piece));
            assert_eq!(check.position(), content.len() as u64);
            check.finish()
        };
        let whole = read(content.len().max(1));
        (1..40).for_each(|piece| assert_eq!(read(piece), whole, "pieces of {piece}"));
        whole
    }

    #[test]
    fn a_whole_production_is_right() {
        let numbers: Vec<u64> = (0..120).collect();
        let content = content(&numbers);
        assert_eq!(lines_len("chan", 120), content.len() as u64);
        assert_eq!(verdict(&content, 120), None);
        assert_eq!(verdict(b"", 0), None);
    }

    #[test]
    fn differences_are_named() {
        let kind =
            |numbers: &[u64], count| verdict(&content(numbers), count).expect("a difference");
        assert!(kind(&[0, 1, 3, 4], 5).starts_with("lines 2..3 missing; first differing byte 16:"));
        assert!(kind(&[0, 1, 1, 2], 3).starts_with("duplicate line 1 where 2 was due"));
        assert!(kind(&[0, 2, 1, 3], 4).starts_with("lines 1..2 missing"));
        assert!(kind(&[0, 1], 3).starts_with("lines missing from 2 on; ends at byte 16"));
        assert!(kind(&[0, 1, 2], 2).starts_with("extra bytes after the end"));
    }

    #[test]
    fn a_flipped_byte_is_noticed_wherever_it_is() {
        let content = content(&[0, 1, 2]);
        for at in 0..content.len() {
            let mut broken = content.clone();
            broken[at] ^= 1;
            let verdict = verdict(&broken, 3).expect("a difference");
            assert!(verdict.contains(&format!("first differing byte {at}:")), "{verdict}");
        }
    }
}
