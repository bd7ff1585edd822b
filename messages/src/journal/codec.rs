//! The bytes of the journal. Little-endian. Stored: a change needs a new [`VERSION`].
//!
//! ```text
//! frame    length u32 | crc32c u32 | tag u64 | batch u64 | payload (length bytes)
//!          The highest bit of the length marks the last frame of a batch. The checksum covers
//!          everything but itself. The tag of the frame that begins a segment is the number of the
//!          segment; that of all others is the random number which that frame tells. So nothing
//!          that an earlier life of a recycled file has left behind can be taken for a frame, and
//!          nothing that a client sends: it cannot know the number.
//! payload  kind u8, then by kind
//!   1 begin    version u32 | tag of the other frames u64     twice, at the beginning of a segment
//!   2 seal     nothing                                       last frame of a full segment
//!   3 create   stream u64 | tied u8 | replaces u64 (0: none) | name u16+bytes | type u16+bytes
//!   4 append   stream u64 | tied u8 | close u8 (0: open) | records u64 | bytes u64
//!              | count u32 | count times length u32 | body
//!   5 create   as 3, and then
//!              | lifetime u8 (0: unlimited, 1: idle seconds, 2: until ms) | number u64
//!              | fork u8 (0: none; the rest only with 1, or 2 without the anchor)
//!              | source u64 | source name u16+bytes | at: records u64, bytes u64
//!              | anchor: records u64, bytes u64 | beyond u64
//!   6 append   as 4, but before its records u64
//!              | stamp u8 (0: none) with 1: producer u16+bytes | epoch u64 | seq u64
//!              | sequence u8 (0: none) with 1: text u16+bytes
//!   7 delete   stream u64 | hidden u8
//! ```
//!
//! Version 1 has kinds 1 to 4, which are still used wherever they suffice.

use crate::model::{
    Append, Change, Chunk, CloseReason, Create, Delete, Fork, ForkPoint, Lengths, Lifetime, Offset,
    Stamp, StreamId, StreamName, Writer,
};
use bytes::Bytes;

/// The layout that this code writes.
pub const VERSION: u32 = 2;

/// The oldest layout that it reads.
pub const VERSION_MIN: u32 = 1;

/// Bytes of a frame beside its payload.
pub const FRAME_HEAD_BYTES: usize = 24;

/// Bytes of a seal with its frame.
pub const SEAL_BYTES: usize = FRAME_HEAD_BYTES + 1;

const LAST: u32 = 1 << 31;

const BEGIN: u8 = 1;
const SEAL: u8 = 2;
const CREATE: u8 = 3;
const APPEND: u8 = 4;
const CREATE_MORE: u8 = 5;
const APPEND_BY: u8 = 6;
const DELETE: u8 = 7;

/// One frame of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The segment begins: the version of its layout and the tag of its other frames.
    Begin(u32, u64),
    /// The segment is complete; another follows.
    Seal,
    /// A stream changes.
    Change(StreamId, Change),
}

/// What was found at some place of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The frame.
    pub frame: Frame,
    /// Its batch.
    pub batch: u64,
    /// Whether its batch ends with it.
    pub last: bool,
    /// The bytes it takes.
    pub size: usize,
}

/// At most how many bytes the frame of `change` takes.
#[must_use]
pub fn frame_bytes(change: &Change) -> usize {
    FRAME_HEAD_BYTES
        + match change {
            Change::Create(create) => {
                let fork =
                    create.fork.as_ref().map_or(0, |fork| 50 + fork.source_name.as_str().len());
                32 + create.name.as_str().len() + create.content_type.len() + fork
            }
            Change::Append(Append { chunk, writer, .. }) => {
                let stamp = writer.stamp.as_ref().map_or(0, |stamp| 18 + stamp.producer.len());
                let seq = writer.seq.as_ref().map_or(0, |seq| 2 + seq.len());
                33 + 4 * chunk.records() as usize + chunk.body.len() + stamp + seq
            }
            Change::Delete(_) => 10,
        }
}

/// Appends a frame that begins or seals a segment.
pub fn encode_mark(frame: &Frame, tag: u64, batch: u64, out: &mut Vec<u8>) {
    let start = begin_frame(tag, batch, out);
    match frame {
        Frame::Begin(version, tag) => {
            out.push(BEGIN);
            out.extend_from_slice(&version.to_le_bytes());
            out.extend_from_slice(&tag.to_le_bytes());
        }
        Frame::Seal => out.push(SEAL),
        Frame::Change(stream, change) => encode_payload(*stream, change, out),
    }
    end_frame(start, true, out);
}

/// Appends the frame of one change: its tag, its batch, whether it is the last of it.
pub fn encode_change(
    stream: StreamId,
    change: &Change,
    (tag, batch, last): (u64, u64, bool),
    out: &mut Vec<u8>,
) {
    let start = begin_frame(tag, batch, out);
    encode_payload(stream, change, out);
    end_frame(start, last, out);
}

fn begin_frame(tag: u64, batch: u64, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(&batch.to_le_bytes());
    start
}

fn end_frame(start: usize, last: bool, out: &mut [u8]) {
    let length = (out.len() - start - FRAME_HEAD_BYTES) as u32 | if last { LAST } else { 0 };
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..start + 4]), &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Appends the payload of one change, without a frame.
pub fn encode_payload(stream: StreamId, change: &Change, out: &mut Vec<u8>) {
    match change {
        Change::Create(create) => encode_create(stream, create, out),
        Change::Append(append) => encode_append(stream, append, out),
        Change::Delete(delete) => {
            out.push(DELETE);
            put_u64(stream.0, out);
            out.push(u8::from(*delete == Delete::Hidden));
        }
    }
}

fn put_u64(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_offset(offset: Offset, out: &mut Vec<u8>) {
    put_u64(offset.records, out);
    put_u64(offset.bytes, out);
}

fn encode_create(stream: StreamId, create: &Create, out: &mut Vec<u8>) {
    let Create { name, content_type, tied, replaces, lifetime, fork } = create;
    let plain = *lifetime == Lifetime::Unlimited && fork.is_none();
    out.push(if plain { CREATE } else { CREATE_MORE });
    put_u64(stream.0, out);
    out.push(u8::from(*tied));
    put_u64(replaces.map_or(0, |id| id.0), out);
    put_text(name.as_str(), out);
    put_text(content_type, out);
    if plain {
        return;
    }
    let (kind, number) = match *lifetime {
        Lifetime::Unlimited => (0, 0),
        Lifetime::Idle { secs } => (1, secs),
        Lifetime::Until { ms } => (2, ms),
    };
    out.push(kind);
    put_u64(number, out);
    let Some(Fork { source, source_name, at, asked }) = fork else {
        out.push(0);
        return;
    };
    out.push(if asked.anchor.is_some() { 1 } else { 2 });
    put_u64(source.0, out);
    put_text(source_name.as_str(), out);
    put_offset(*at, out);
    put_offset(asked.anchor.unwrap_or_default(), out);
    put_u64(asked.beyond, out);
}

fn encode_append(stream: StreamId, append: &Append, out: &mut Vec<u8>) {
    let Append { chunk, tied, close, writer } = append;
    out.push(if writer.is_nobody() { APPEND } else { APPEND_BY });
    put_u64(stream.0, out);
    out.push(u8::from(*tied));
    out.push(close.map_or(0, close_code));
    if !writer.is_nobody() {
        out.push(u8::from(writer.stamp.is_some()));
        if let Some(Stamp { producer, epoch, seq }) = &writer.stamp {
            put_text(producer, out);
            put_u64(*epoch, out);
            put_u64(*seq, out);
        }
        out.push(u8::from(writer.seq.is_some()));
        if let Some(seq) = &writer.seq {
            put_text(seq, out);
        }
    }
    put_offset(chunk.at, out);
    out.extend_from_slice(&(chunk.records() as u32).to_le_bytes());
    match &chunk.lengths {
        Lengths::One => out.extend_from_slice(&(chunk.body.len() as u32).to_le_bytes()),
        Lengths::Many(many) => many.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes())),
    }
    out.extend_from_slice(&chunk.body);
}

/// Stored: never change one.
fn close_code(reason: CloseReason) -> u8 {
    match reason {
        CloseReason::Finished => 1,
        CloseReason::Interrupted => 2,
        CloseReason::BrokenOff => 3,
    }
}

/// Reads the frame at the beginning of `bytes`. `None` when there is no valid frame with `tag` there, whatever there is instead.
#[must_use]
pub fn decode(bytes: &[u8], tag: u64) -> Option<Found> {
    let mut head = Reader(bytes);
    let (length, crc) = (head.u32()?, head.u32()?);
    if head.u64()? != tag {
        return None;
    }
    let batch = head.u64()?;
    let size = FRAME_HEAD_BYTES.checked_add((length & !LAST) as usize)?;
    let covered = bytes.get(8..size)?;
    if crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), covered) != crc {
        return None;
    }
    let frame = decode_payload(&bytes[FRAME_HEAD_BYTES..size])?;
    Some(Found { frame, batch, last: length & LAST != 0, size })
}

/// What [`encode_payload`] has written; `None` for anything else.
#[must_use]
pub fn decode_change(payload: &[u8]) -> Option<(StreamId, Change)> {
    match decode_payload(payload)? {
        Frame::Change(stream, change) => Some((stream, change)),
        Frame::Begin(..) | Frame::Seal => None,
    }
}

fn decode_payload(payload: &[u8]) -> Option<Frame> {
    let mut reader = Reader(payload);
    let kind = reader.u8()?;
    match kind {
        BEGIN => return Some(Frame::Begin(reader.u32()?, reader.u64()?)),
        SEAL => return Some(Frame::Seal),
        _ => {}
    }
    let stream = StreamId(reader.u64()?);
    let change = match kind {
        CREATE | CREATE_MORE => Change::Create(decode_create(kind == CREATE_MORE, &mut reader)?),
        APPEND | APPEND_BY => Change::Append(decode_append(kind == APPEND_BY, &mut reader)?),
        DELETE if reader.u8()? == 0 => Change::Delete(Delete::Whole),
        DELETE => Change::Delete(Delete::Hidden),
        _ => return None,
    };
    Some(Frame::Change(stream, change))
}

fn decode_create(more: bool, reader: &mut Reader<'_>) -> Option<Create> {
    let tied = reader.u8()? != 0;
    let replaces = Some(reader.u64()?).filter(|id| *id != 0).map(StreamId);
    let name = StreamName::kept(reader.text()?).ok()?;
    let content_type = reader.text()?.into();
    let (mut lifetime, mut fork) = (Lifetime::Unlimited, None);
    if more {
        lifetime = match (reader.u8()?, reader.u64()?) {
            (0, _) => Lifetime::Unlimited,
            (1, secs) => Lifetime::Idle { secs },
            (2, ms) => Lifetime::Until { ms },
            _ => return None,
        };
        fork = match reader.u8()? {
            0 => None,
            kind => Some(decode_fork(kind == 1, reader)?),
        };
    }
    Some(Create { name, content_type, tied, replaces, lifetime, fork })
}

fn decode_fork(anchored: bool, reader: &mut Reader<'_>) -> Option<Fork> {
    let source = StreamId(reader.u64()?);
    let source_name = StreamName::kept(reader.text()?).ok()?;
    let (at, anchor) = (reader.offset()?, reader.offset()?);
    let asked = ForkPoint { anchor: anchored.then_some(anchor), beyond: reader.u64()? };
    Some(Fork { source, source_name, at, asked })
}

fn decode_append(by: bool, reader: &mut Reader<'_>) -> Option<Append> {
    let tied = reader.u8()? != 0;
    let close = match reader.u8()? {
        0 => None,
        1 => Some(CloseReason::Finished),
        2 => Some(CloseReason::Interrupted),
        3 => Some(CloseReason::BrokenOff),
        _ => return None,
    };
    let mut writer = Writer::NOBODY;
    if by {
        if reader.u8()? != 0 {
            let producer = reader.text()?.into();
            let (epoch, seq) = (reader.u64()?, reader.u64()?);
            writer.stamp = Some(Stamp { producer, epoch, seq });
        }
        if reader.u8()? != 0 {
            writer.seq = Some(reader.text()?.into());
        }
    }
    let at = reader.offset()?;
    let chunk = decode_chunk(at, reader)?;
    Some(Append { chunk, tied, close, writer })
}

fn decode_chunk(at: Offset, reader: &mut Reader<'_>) -> Option<Chunk> {
    let count = reader.u32()? as usize;
    let table = reader.take(count.checked_mul(4)?)?;
    // A copy: a slice would keep the whole file in memory for as long as the record is.
    let body = Bytes::copy_from_slice(reader.0);
    let lengths: Vec<u32> =
        table.chunks_exact(4).map(|n| u32::from_le_bytes([n[0], n[1], n[2], n[3]])).collect();
    if lengths.iter().map(|n| u64::from(*n)).sum::<u64>() != body.len() as u64 {
        return None;
    }
    let lengths = if count == 1 { Lengths::One } else { Lengths::Many(lengths.into()) };
    Some(Chunk { at, lengths, body })
}

/// Takes values from the front and never panics.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn offset(&mut self) -> Option<Offset> {
        Some(Offset { records: self.u64()?, bytes: self.u64()? })
    }
    fn text(&mut self) -> Option<&'a str> {
        let length = self.array().map(u16::from_le_bytes)?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offset() -> impl Strategy<Value = Offset> {
        any::<(u32, u32)>()
            .prop_map(|(records, bytes)| Offset { records: records.into(), bytes: bytes.into() })
    }

    fn create() -> impl Strategy<Value = Change> {
        let lifetime = prop_oneof![
            2 => Just(Lifetime::Unlimited),
            1 => any::<u64>().prop_map(|secs| Lifetime::Idle { secs }),
            1 => any::<u64>().prop_map(|ms| Lifetime::Until { ms }),
        ];
        let fork =
            (any::<u64>(), "[a-z/]{1,20}", offset(), prop::option::of(offset()), any::<u64>())
                .prop_map(|(source, name, at, anchor, beyond)| Fork {
                    source: StreamId(source),
                    source_name: name.parse().expect("valid"),
                    at,
                    asked: ForkPoint { anchor, beyond },
                });
        let basics = ("[a-zé/]{1,40}", "[a-z/]{0,20}", any::<bool>(), 0u64..3);
        (basics, lifetime, prop::option::of(fork)).prop_map(
            |((name, content_type, tied, replaces), lifetime, fork)| {
                Change::Create(Create {
                    name: name.parse().expect("valid"),
                    content_type: content_type.into(),
                    tied,
                    replaces: Some(StreamId(replaces)).filter(|id| id.0 != 0),
                    lifetime,
                    fork,
                })
            },
        )
    }

    fn change() -> impl Strategy<Value = Change> {
        let reasons = prop_oneof![
            Just(None),
            Just(Some(CloseReason::Finished)),
            Just(Some(CloseReason::Interrupted)),
            Just(Some(CloseReason::BrokenOff)),
        ];
        let stamp = ("[a-zé]{1,20}", any::<u64>(), any::<u64>())
            .prop_map(|(producer, epoch, seq)| Stamp { producer: producer.into(), epoch, seq });
        let seq = "[0-9]{0,9}".prop_map(|seq| seq.into());
        let writer = (prop::option::of(stamp), prop::option::of(seq))
            .prop_map(|(stamp, seq)| Writer { stamp, seq });
        let lengths = prop::collection::vec(1u32..20, 0..5);
        let append = (lengths, offset(), any::<bool>(), reasons, writer).prop_map(
            |(lengths, at, tied, close, writer)| {
                let body = vec![7; lengths.iter().sum::<u32>() as usize].into();
                let lengths =
                    if lengths.len() == 1 { Lengths::One } else { Lengths::Many(lengths.into()) };
                Change::Append(Append { chunk: Chunk { at, lengths, body }, tied, close, writer })
            },
        );
        let delete =
            prop_oneof![Just(Delete::Whole), Just(Delete::Hidden)].prop_map(Change::Delete);
        prop_oneof![4 => create(), 4 => append, 1 => delete]
    }

    proptest! {
        #[test]
        fn frames_round_trip(change in change(), ids in any::<(u64, u64, u64)>(), last: bool) {
            let (stream, segment, batch) = ids;
            let mut out = vec![];
            encode_change(StreamId(stream), &change, (segment, batch, last), &mut out);
            prop_assert!(out.len() <= frame_bytes(&change));
            let size = out.len();
            let frame = Frame::Change(StreamId(stream), change);
            prop_assert_eq!(decode(&out, segment), Some(Found { frame, batch, last, size }));
            prop_assert_eq!(decode(&out, segment.wrapping_add(1)), None);
        }

        #[test]
        fn a_flipped_bit_or_a_missing_byte_is_never_a_frame(change in change(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut out = vec![];
            encode_change(StreamId(1), &change, (2, 3, true), &mut out);
            let cut = at.index(out.len());
            prop_assert_eq!(decode(&out[..cut], 2), None);
            out[cut] ^= 1 << bit;
            prop_assert_eq!(decode(&out, 2), None);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut framed = vec![];
            let start = begin_frame(1, 1, &mut framed);
            framed.extend_from_slice(&bytes);
            end_frame(start, true, &mut framed);
            let _ = decode(&framed, 1);
            let _ = decode(&bytes, 1);
        }
    }
}
