//! The record every load scenario writes: who wrote it, the how-manieth it is, when it was sent,
//! and a filler that follows from the first two. A reader can check each byte without knowing
//! what was written.
//!
//! All bytes are letters and digits: a record never begins with a space and never holds a line
//! break, so it passes through Server-Sent Events unchanged.

use bytes::{Bytes, BytesMut};

use crate::random::mix;

/// Bytes before the filler: writer (8 hex digits), sequence (8), time (16), sum of these (8).
pub const HEADER_BYTES: usize = 40;

/// Bytes of the head that the sum covers.
const SUMMED_BYTES: usize = 32;

/// Length of the filler table; fillers are windows of it, so a check is one comparison of memory.
const TABLE_BYTES: usize = 1 << 18;

/// The largest record: windows of the table must fit into it.
pub const MAX_BYTES: usize = TABLE_BYTES / 2;

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What the head of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The writer; unique in its stream.
    pub writer: u32,
    /// The position among the records of this writer in this stream, from 0.
    pub sequence: u32,
    /// Nanoseconds of the bench's clock at which it was (or should have been) sent.
    pub time: u64,
}

/// Makes and checks records.
pub struct Filler(Box<[u8]>);

impl Filler {
    /// The table is the same in every run: records can be checked by a later run as well.
    pub fn new() -> Self {
        let letter = |i: u64| LETTERS[(mix(i) & 63) as usize];
        Self((0..TABLE_BYTES as u64).map(letter).collect())
    }

    /// The filler that belongs to this writer and sequence.
    fn window(&self, record: Record, bytes: usize) -> &[u8] {
        let key = u64::from(record.writer) << 32 | u64::from(record.sequence);
        let start = mix(key) as usize % (TABLE_BYTES - MAX_BYTES);
        &self.0[start..start + bytes]
    }

    /// Appends `record` to `out`, `size` bytes long.
    pub fn encode_into(&self, record: Record, size: usize, out: &mut BytesMut) {
        let mut head = [0; HEADER_BYTES];
        put_hex(&mut head[0..8], u64::from(record.writer));
        put_hex(&mut head[8..16], u64::from(record.sequence));
        put_hex(&mut head[16..32], record.time);
        let sum = sum(&head[..SUMMED_BYTES]);
        put_hex(&mut head[32..40], u64::from(sum));
        out.extend_from_slice(&head);
        out.extend_from_slice(self.window(record, size - HEADER_BYTES));
    }

    /// `record` as bytes of its own.
    pub fn encode(&self, record: Record, size: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(size);
        self.encode_into(record, size, &mut out);
        out.freeze()
    }

    /// Checks a whole record; the error is the offset of the first byte that is wrong.
    pub fn check(&self, bytes: &[u8]) -> Result<Record, usize> {
        let record = decode(bytes).ok_or(0usize)?;
        let got = &bytes[HEADER_BYTES..];
        let expected = self.window(record, got.len());
        if got == expected {
            return Ok(record);
        }
        Err(HEADER_BYTES + first_difference(got, expected).unwrap_or(0))
    }
}

/// Checks that a scenario asks for records that can be made.
pub fn check_size(size: usize) -> anyhow::Result<()> {
    let right = (HEADER_BYTES..=MAX_BYTES).contains(&size);
    anyhow::ensure!(right, "--size must be {HEADER_BYTES} to {MAX_BYTES} bytes");
    Ok(())
}

/// The head of a record, if `bytes` begin with one whose sum is right.
pub fn decode(bytes: &[u8]) -> Option<Record> {
    let head = bytes.get(..HEADER_BYTES)?;
    let record = Record {
        writer: u32::try_from(get_hex(&head[0..8])?).ok()?,
        sequence: u32::try_from(get_hex(&head[8..16])?).ok()?,
        time: get_hex(&head[16..32])?,
    };
    let right = get_hex(&head[32..40])? == u64::from(sum(&head[..SUMMED_BYTES]));
    right.then_some(record)
}

/// The first position at which the two differ, over the length of the shorter one.
pub fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    a.iter().zip(b).position(|(a, b)| a != b)
}

fn put_hex(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(value & 15) as usize];
        value >>= 4;
    }
}

fn get_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// A sum that any single wrong byte changes; it is no protection against intent.
fn sum(bytes: &[u8]) -> u32 {
    let folded = bytes.chunks_exact(8).fold(0x51_7C_C1_B7u64, |sum, chunk| {
        let word = chunk.iter().fold(0, |w, b| w << 8 | u64::from(*b));
        mix(sum ^ word)
    });
    folded as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record { writer: 3, sequence: 70_000, time: 1 << 40 };

    #[test]
    fn a_record_survives_the_round_trip() {
        let filler = Filler::new();
        for size in [HEADER_BYTES, 64, 256, 4096] {
            let bytes = filler.encode(RECORD, size);
            assert_eq!(bytes.len(), size);
            assert_eq!(filler.check(&bytes), Ok(RECORD));
            assert!(bytes.iter().all(u8::is_ascii_graphic));
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let filler = Filler::new();
        let bytes = filler.encode(RECORD, 128);
        for at in 0..bytes.len() * 8 {
            let mut broken = bytes.to_vec();
            broken[at / 8] ^= 1 << (at % 8);
            assert!(filler.check(&broken).is_err(), "bit {at}");
        }
    }
}
