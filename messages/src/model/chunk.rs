//! Runs of neighbouring records that are kept together.

use super::Offset;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// The lengths of the records of a [`Chunk`], in order. The common case, one record, needs none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// One record: the whole body.
    One,
    /// Any number of records.
    Many(Arc<[u32]>),
}

/// A run of whole records: where it begins, and its bytes. Many small records share one chunk, in
/// memory and as a row of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The position of its first byte.
    pub at: Offset,
    /// Where its records end.
    pub lengths: Lengths,
    /// All its bytes.
    pub body: Bytes,
}

impl Chunk {
    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> u64 {
        match &self.lengths {
            Lengths::One => 1,
            Lengths::Many(lengths) => lengths.len() as u64,
        }
    }

    /// The position after its last byte.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.at.advance(self.records(), self.body.len() as u64)
    }

    /// Forgets the records before `position`, which must be the beginning of one of them.
    pub fn drop_before(&mut self, position: Offset) {
        let (Some(records), Some(bytes)) = (
            position.records.checked_sub(self.at.records).filter(|n| *n > 0),
            position.bytes.checked_sub(self.at.bytes),
        ) else {
            return;
        };
        if let Lengths::Many(many) = &self.lengths {
            self.lengths = match &many[records as usize..] {
                [_] => Lengths::One,
                rest => Lengths::Many(rest.into()),
            };
        }
        self.body = self.body.slice(bytes as usize..);
        self.at = position;
    }

    /// One chunk in place of several that follow each other.
    ///
    /// # Panics
    /// If `chunks` is empty. Neighbours that do not touch are a bug of the caller.
    #[must_use]
    pub fn join(chunks: &[Self]) -> Self {
        if let [only] = chunks {
            return only.clone();
        }
        let mut body = BytesMut::with_capacity(chunks.iter().map(|c| c.body.len()).sum());
        let mut lengths = Vec::with_capacity(chunks.iter().map(|c| c.records() as usize).sum());
        for chunk in chunks {
            debug_assert_eq!(chunk.at.bytes, chunks[0].at.bytes + body.len() as u64);
            body.extend_from_slice(&chunk.body);
            match &chunk.lengths {
                Lengths::One => lengths.push(chunk.body.len() as u32),
                Lengths::Many(many) => lengths.extend_from_slice(many),
            }
        }
        Self { at: chunks[0].at, lengths: Lengths::Many(lengths.into()), body: body.freeze() }
    }

    /// Joins neighbours to chunks of at most `bytes_max` bytes; one that is larger stays alone.
    #[must_use]
    pub fn coalesce(chunks: &[Self], bytes_max: usize) -> Vec<Self> {
        let mut joined = Vec::new();
        let mut rest = chunks;
        while !rest.is_empty() {
            let mut bytes = 0;
            let count = rest.iter().take_while(|c| {
                bytes += c.body.len();
                bytes <= bytes_max
            });
            let (head, tail) = rest.split_at(count.count().max(1));
            joined.push(Self::join(head));
            rest = tail;
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn coalescing_keeps_every_byte_and_record(sizes in prop::collection::vec(1usize..50, 0..60), max in 1usize..200) {
            let mut at = Offset::ZERO;
            let chunks: Vec<Chunk> = sizes.iter().enumerate().map(|(i, size)| {
                let chunk = Chunk { at, lengths: Lengths::One, body: vec![i as u8; *size].into() };
                at = chunk.end();
                chunk
            }).collect();
            let joined = Chunk::coalesce(&chunks, max);
            let mut next = Offset::ZERO;
            for chunk in &joined {
                prop_assert_eq!(chunk.at, next);
                prop_assert!(chunk.body.len() <= max || chunk.records() == 1);
                next = chunk.end();
            }
            prop_assert_eq!(next, at);
            let flat = |cs: &[Chunk]| cs.iter().flat_map(|c| c.body.to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(flat(&joined), flat(&chunks));
        }
    }
}
