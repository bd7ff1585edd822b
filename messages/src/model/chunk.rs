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

    /// The ends of its records, in order.
    pub fn ends(&self) -> impl Iterator<Item = Offset> {
        let lengths = match &self.lengths {
            Lengths::One => None,
            Lengths::Many(many) => Some(many.iter().copied()),
        };
        let one = lengths.is_none().then_some(self.body.len() as u32);
        one.into_iter().chain(lengths.into_iter().flatten()).scan(self.at, |at, length| {
            *at = at.advance(1, u64::from(length));
            Some(*at)
        })
    }

    /// The whole offset of the byte position `bytes`, which must be in or at an end of the chunk. Of
    /// a record that is cut there, the part before counts as a record of its own.
    #[must_use]
    pub fn offset_at(&self, bytes: u64) -> Offset {
        let before = self.ends().take_while(|end| end.bytes <= bytes).last().unwrap_or(self.at);
        let cut = u64::from(before.bytes < bytes);
        Offset { records: before.records + cut, bytes }
    }

    /// What comes from byte `skip` of the chunk on, and where it ends: whole records of at most
    /// `bytes_max` bytes together, or what is left of a single one that is larger.
    #[must_use]
    pub fn part(&self, skip: usize, bytes_max: usize) -> (Bytes, Offset) {
        let many = match &self.lengths {
            Lengths::Many(many) if self.body.len() - skip > bytes_max => many,
            _ => return (self.body.slice(skip..), self.end()),
        };
        let (mut records, mut end) = (0, 0);
        for length in many.iter() {
            let next = end + *length as usize;
            if end > skip && next - skip > bytes_max {
                break;
            }
            (records, end) = (records + 1, next);
        }
        (self.body.slice(skip..end), self.at.advance(records, end as u64))
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
        fn parts_are_whole_records(sizes in prop::collection::vec(1u32..50, 1..30), at in any::<prop::sample::Index>(), max in 1usize..200) {
            let body: Bytes = (0..sizes.iter().sum::<u32>()).map(|i| i as u8).collect();
            let chunk = Chunk { at: Offset { records: 5, bytes: 100 }, lengths: Lengths::Many(sizes.clone().into()), body: body.clone() };
            let skip = at.index(body.len());
            let (bytes, end) = chunk.part(skip, max);
            prop_assert!(!bytes.is_empty());
            let to = skip + bytes.len();
            prop_assert_eq!(&bytes[..], &body[skip..to]);
            prop_assert_eq!(chunk.offset_at(end.bytes), end);
            let ends: Vec<usize> = sizes.iter().scan(0, |sum, size| { *sum += *size as usize; Some(*sum) }).collect();
            let record = ends.iter().position(|end| *end == to);
            prop_assert_eq!(record.map(|r| chunk.at.advance(r as u64 + 1, to as u64)), Some(end));
            let first = ends.iter().find(|end| **end > skip);
            prop_assert!(bytes.len() <= max || first == Some(&to));
        }

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
