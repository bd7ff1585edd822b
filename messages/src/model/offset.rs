//! Positions in a stream.

use std::{fmt, str::FromStr};

/// A position: how many records and how many bytes of the stream come before it.
///
/// Its wire form is `{records:016}_{bytes:016}`, which sorts as text in the order of positions.
/// Both halves grow with every record, so either of them names the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offset {
    /// Records before this position.
    pub records: u64,
    /// Bytes before this position.
    pub bytes: u64,
}

impl Offset {
    /// The beginning of every stream.
    pub const ZERO: Self = Self { records: 0, bytes: 0 };

    /// The position after `records` more records that hold `bytes` bytes together.
    #[must_use]
    pub fn advance(self, records: u64, bytes: u64) -> Self {
        Self { records: self.records + records, bytes: self.bytes + bytes }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand, because every append tells one and padding by `fmt` goes digit by digit.
        let mut text = [b'_'; 33];
        for (mut number, digits) in [(self.records, 0..16), (self.bytes, 17..33)] {
            for digit in text[digits].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Offset {
    type Err = InvalidOffset;

    fn from_str(text: &str) -> Result<Self, InvalidOffset> {
        let (records, bytes) = text.split_once('_').ok_or(InvalidOffset)?;
        Ok(Self { records: digits(records, 16)?, bytes: digits(bytes, 16)? })
    }
}

/// What a producer says of where the stream must end for its append to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Only the number of bytes, which is what a program that was cut off knows.
    Bytes(u64),
    /// The whole offset.
    Exact(Offset),
}

impl Expected {
    /// Whether `tail` is where the producer expects the stream to end.
    #[must_use]
    pub fn fits(self, tail: Offset) -> bool {
        match self {
            Self::Bytes(bytes) => bytes == tail.bytes,
            Self::Exact(offset) => offset == tail,
        }
    }

    /// The byte position that is meant.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Exact(offset) => offset.bytes,
        }
    }
}

impl FromStr for Expected {
    type Err = InvalidOffset;

    /// Takes a plain byte count (`1024`) or the full form of an [`Offset`].
    fn from_str(text: &str) -> Result<Self, InvalidOffset> {
        if text.contains('_') {
            return text.parse().map(Self::Exact);
        }
        if text.is_empty() || text.len() > 16 {
            return Err(InvalidOffset);
        }
        digits(text, text.len()).map(Self::Bytes)
    }
}

/// Neither a byte count nor `{records:016}_{bytes:016}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an offset is a number of bytes, or sixteen digits, an underscore and sixteen digits")]
pub struct InvalidOffset;

/// Parses exactly `len` decimal digits: no sign, no space, no other notation.
fn digits(text: &str, len: usize) -> Result<u64, InvalidOffset> {
    if text.len() != len || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidOffset);
    }
    text.parse().map_err(|_| InvalidOffset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: u64 = 9_999_999_999_999_999;

    proptest! {
        #[test]
        fn wire_form_round_trips_and_sorts_as_text(a in 0..=MAX, b in 0..=MAX, c in 0..=MAX, d in 0..=MAX) {
            let (x, y) = (Offset { records: a, bytes: b }, Offset { records: c, bytes: d });
            prop_assert_eq!(x.to_string().parse(), Ok(x));
            prop_assert_eq!(x.to_string().cmp(&y.to_string()), (a, b).cmp(&(c, d)));
        }

        #[test]
        fn anything_else_is_refused(text in "[-+ 0-9_a-z.]{0,40}") {
            if let Ok(offset) = text.parse::<Offset>() {
                prop_assert_eq!(offset.to_string(), text);
            }
        }
    }

    #[test]
    fn expected_takes_bytes_or_the_full_form() {
        assert_eq!("12".parse(), Ok(Expected::Bytes(12)));
        let full = Offset { records: 3, bytes: 12 };
        assert_eq!(full.to_string().parse(), Ok(Expected::Exact(full)));
        for bad in ["", "-1", "+1", "1.0", " 1", "1_2", "12345678901234567"] {
            assert_eq!(bad.parse::<Expected>(), Err(InvalidOffset), "{bad:?}");
        }
        assert!(Expected::Bytes(12).fits(full) && !Expected::Bytes(11).fits(full));
        assert!(!Expected::Exact(Offset { records: 2, bytes: 12 }).fits(full));
    }
}
