//! What was encoded last for a reader. The readers at the end of a stream all want the same next,
//! so one of them encodes it and the others share it.

use crate::model::Offset;
use bytes::Bytes;

/// What an encoded frame depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameKey {
    /// The byte position at which it begins.
    pub from: u64,
    /// The position behind the bytes that were to be encoded.
    pub to: Offset,
    /// Whether that was the end of the stream, and whether it was closed.
    pub last: (bool, bool),
    /// Who it is for.
    pub reader: FrameReader,
    /// Which state of the content it is, see [`Channel::erasures`](super::Channel::erasures).
    pub erasures: u64,
    /// What was held back of the part before: so many of these bytes.
    pub held: (u8, [u8; 3]),
}

/// The kinds of readers that frames are encoded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameReader {
    /// Server-sent events that carry this cursor.
    Events {
        /// The cursor.
        cursor: u64,
    },
    /// A socket.
    Socket,
}

/// `held` as a key has it. There are never more than three bytes.
#[must_use]
pub fn held_key(held: &[u8]) -> (u8, [u8; 3]) {
    let mut bytes = [0; 3];
    let count = held.len().min(bytes.len());
    bytes[..count].copy_from_slice(&held[..count]);
    (held.len() as u8, bytes)
}

/// An encoded frame, and how far it reaches: not all of what there was may have been complete.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The bytes to send.
    pub bytes: Bytes,
    /// The position behind what is in them.
    pub reaches: Offset,
}

#[derive(Debug, Default)]
pub(super) struct LastFrame(Option<(FrameKey, Frame)>);

impl LastFrame {
    pub fn get(&mut self, key: FrameKey, encode: impl FnOnce() -> Frame) -> Frame {
        match &self.0 {
            Some((known, frame)) if *known == key => frame.clone(),
            _ => self.0.insert((key, encode())).1.clone(),
        }
    }
}
