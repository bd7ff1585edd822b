//! The bytes of a change in the shared log: those of the journal's payload behind a number that tells
//! who has added it. So whoever gets no answer finds out whether it has happened.

use crate::{
    journal,
    model::{Change, StreamId},
};
use bytes::Bytes;

/// The bytes of a change of a life, added as `origin`, a number that nobody else uses.
#[must_use]
pub fn encode(origin: u64, life: StreamId, change: &Change) -> Bytes {
    let mut bytes = Vec::with_capacity(journal::codec::frame_bytes(change));
    bytes.extend_from_slice(&origin.to_le_bytes());
    journal::codec::encode_payload(life, change, &mut bytes);
    bytes.into()
}

/// What [`encode`] was given; `None` for anything else.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(u64, StreamId, Change)> {
    let (origin, payload) = bytes.split_first_chunk::<8>()?;
    let (life, change) = journal::codec::decode_change(payload)?;
    Some((u64::from_le_bytes(*origin), life, change))
}
