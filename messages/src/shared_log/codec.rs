//! The bytes of a change in the shared log: those of the journal's payload.

use crate::{
    journal,
    model::{Change, StreamId},
};
use bytes::Bytes;

/// The bytes of a change of a life.
#[must_use]
pub fn encode(life: StreamId, change: &Change) -> Bytes {
    let mut bytes = Vec::with_capacity(journal::codec::frame_bytes(change));
    journal::codec::encode_payload(life, change, &mut bytes);
    bytes.into()
}

/// What [`encode`] was given; `None` for anything else.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(StreamId, Change)> {
    journal::codec::decode_change(bytes)
}
