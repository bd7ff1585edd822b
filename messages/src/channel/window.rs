//! The recent part of a stream in memory: every record that is not stored yet, and some before.

use crate::limits::JOIN_BYTES_MAX;
use crate::model::{Chunk, Offset};
use bytes::Bytes;
use std::collections::VecDeque;

/// A gapless run of chunks, oldest first.
#[derive(Debug, Default)]
pub(super) struct Window {
    chunks: VecDeque<Chunk>,
    end: Offset,
    bytes: usize,
}

impl Window {
    /// An empty window at `end`.
    pub fn new(end: Offset) -> Self {
        Self { chunks: VecDeque::new(), end, bytes: 0 }
    }

    /// Where the next chunk belongs.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn start_bytes(&self) -> u64 {
        self.end.bytes - self.bytes as u64
    }

    /// Adds what follows.
    pub fn push(&mut self, chunk: Chunk) {
        debug_assert_eq!(chunk.at, self.end);
        self.end = chunk.end();
        self.bytes += chunk.body.len();
        if !chunk.body.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// What comes from `position` on and where it ends, see [`Chunk::part`]: `None` when it is not
    /// here any more, empty at the end. Small chunks are joined on the way and stay so: the first of
    /// many readers pays for the copy, the others share it.
    pub fn read(&mut self, position: u64, max: usize) -> Option<(Bytes, Offset)> {
        if position < self.start_bytes() {
            return None;
        }
        if position >= self.end.bytes {
            return Some((Bytes::new(), self.end));
        }
        let index = self.chunks.partition_point(|chunk| chunk.end().bytes <= position);
        self.join_from(index);
        let chunk = self.chunks.get(index)?;
        Some(chunk.part((position - chunk.at.bytes) as usize, max))
    }

    /// The chunk that holds byte `position`; `None` when it is not here.
    pub fn chunk_at(&self, position: u64) -> Option<Chunk> {
        if position < self.start_bytes() {
            return None;
        }
        let index = self.chunks.partition_point(|chunk| chunk.end().bytes <= position);
        self.chunks.get(index).cloned()
    }

    fn join_from(&mut self, index: usize) {
        let mut bytes = 0;
        let small = self.chunks.range(index..).take_while(|chunk| {
            bytes += chunk.body.len();
            bytes <= JOIN_BYTES_MAX
        });
        let count = small.count();
        if count > 1 {
            let run: Vec<Chunk> = self.chunks.drain(index..index + count).collect();
            self.chunks.insert(index, Chunk::join(&run));
        }
    }

    /// The chunks from `position` on, which must be the beginning of a record, of `max` bytes
    /// together or a single larger one.
    pub fn chunks_from(&self, position: Offset, max: usize) -> Vec<Chunk> {
        let index = self.chunks.partition_point(|chunk| chunk.end().bytes <= position.bytes);
        let mut bytes = 0;
        let mut run: Vec<Chunk> = Vec::new();
        for chunk in self.chunks.range(index..) {
            bytes += chunk.body.len();
            if bytes > max && !run.is_empty() {
                break;
            }
            run.push(chunk.clone());
        }
        if let Some(first) = run.first_mut() {
            first.drop_before(position);
        }
        run
    }

    /// Puts `joined`, which has the same bytes, in place of the chunks that it covers, so that they
    /// are few. A reader may have joined them with later ones in the meantime: then they stay.
    pub fn replace(&mut self, joined: Vec<Chunk>) {
        let (Some(first), Some(last)) = (joined.first(), joined.last()) else {
            return;
        };
        let (at, end) = (first.at.bytes, last.end().bytes);
        let from = self.chunks.partition_point(|chunk| chunk.at.bytes < at);
        let to = self.chunks.partition_point(|chunk| chunk.at.bytes < end);
        let covers =
            from < to && self.chunks[from].at.bytes == at && self.chunks[to - 1].end().bytes == end;
        if covers && to - from > joined.len() {
            let rest = self.chunks.split_off(to);
            self.chunks.truncate(from);
            self.chunks.extend(joined);
            self.chunks.extend(rest);
        }
    }

    /// Forgets everything before `stored`, also of a chunk that goes on behind it: what lies there is
    /// another in the store now.
    pub fn forget(&mut self, stored: Offset) {
        self.trim(stored, 0);
        if let Some(chunk) = self.chunks.front_mut() {
            let before = chunk.body.len();
            chunk.drop_before(stored);
            self.bytes -= before - chunk.body.len();
        }
    }

    /// Forgets the oldest chunks until at most `keep` bytes are left, but nothing from `stored` on.
    pub fn trim(&mut self, stored: Offset, keep: usize) {
        while let Some(chunk) = self.chunks.front() {
            if self.bytes <= keep || chunk.end().bytes > stored.bytes {
                break;
            }
            self.bytes -= chunk.body.len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Lengths;
    use proptest::prelude::*;

    #[test]
    fn what_is_stored_is_forgotten_also_in_the_middle_of_a_chunk() {
        let mut window = Window::new(Offset::ZERO);
        for text in ["old,", "erase,", "new,"] {
            let body = text.as_bytes().to_vec().into();
            window.push(Chunk { at: window.end(), lengths: Lengths::One, body });
        }
        // A reader has joined them.
        assert_eq!(window.read(0, 100).expect("all of it").0, "old,erase,new,");
        window.forget(Offset { records: 2, bytes: 10 });
        assert_eq!(window.read(9, 100), None);
        let (rest, end) = window.read(10, 100).expect("the rest");
        assert_eq!((&rest[..], end), (&b"new,"[..], Offset { records: 3, bytes: 14 }));
        assert_eq!(window.bytes(), 4);
    }

    proptest! {
        /// Whatever is pushed, joined, trimmed and asked for: the bytes are those of the model.
        #[test]
        fn a_window_is_a_slice_of_the_stream(steps in prop::collection::vec((0u8..5, 1usize..3000, any::<prop::sample::Index>()), 1..80)) {
            let (mut window, mut model, mut stored) = (Window::new(Offset::ZERO), Vec::<u8>::new(), Offset::ZERO);
            let mut ends = vec![Offset::ZERO];
            for (step, size, index) in steps {
                match step {
                    0 | 1 => {
                        let body: Vec<u8> = (0..size).map(|i| (model.len() + i) as u8).collect();
                        window.push(Chunk { at: window.end(), lengths: Lengths::One, body: body.clone().into() });
                        model.extend(body);
                        ends.push(window.end());
                    }
                    2 => {
                        let next = ends[index.index(ends.len())];
                        if next.bytes > stored.bytes { stored = next; }
                        let joined = Chunk::coalesce(&window.chunks_from(stored, size), size);
                        window.trim(stored, size);
                        window.replace(joined);
                    }
                    3 => {
                        let joined = Chunk::coalesce(&window.chunks_from(stored, usize::MAX), 10 * size);
                        window.replace(joined);
                    }
                    _ => {
                        let position = index.index(model.len() + 1);
                        match window.read(position as u64, size) {
                            None => prop_assert!((position as u64) < stored.bytes),
                            Some((got, end)) => {
                                prop_assert_eq!(position == model.len(), got.is_empty());
                                prop_assert_eq!(&got[..], &model[position..position + got.len()]);
                                let next = ends.iter().find(|end| end.bytes > position as u64);
                                prop_assert!(got.len() <= size || next == Some(&end));
                                prop_assert!(ends.contains(&end) && end.bytes as usize == position + got.len());
                            }
                        }
                    }
                }
                let unstored = window.chunks_from(stored, usize::MAX);
                let flat: Vec<u8> = unstored.iter().flat_map(|c| c.body.to_vec()).collect();
                prop_assert_eq!(&flat[..], &model[stored.bytes as usize..]);
                let mut at = stored;
                for chunk in &unstored {
                    prop_assert_eq!(chunk.at, at);
                    at = chunk.end();
                }
                prop_assert_eq!(at, window.end());
            }
        }
    }
}
