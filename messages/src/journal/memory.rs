//! No journal, for `--durability memory`.

use super::{Journal, Mark};
use crate::model::{Change, StreamId};
use std::io;

/// Promises nothing: what the store does not have is lost in a crash.
pub struct MemoryJournal {
    batches: u64,
}

impl MemoryJournal {
    /// Counts on from `mark`.
    #[must_use]
    pub fn new(mark: Mark) -> Self {
        Self { batches: mark.0 }
    }
}

impl Journal for MemoryJournal {
    fn prepare(&mut self, _bytes: usize) -> io::Result<()> {
        Ok(())
    }

    fn commit(
        &mut self,
        _batch: &mut dyn Iterator<Item = (StreamId, &Change)>,
    ) -> io::Result<Mark> {
        self.batches += 1;
        Ok(Mark(self.batches))
    }

    fn trim(&mut self, _stored: Mark) -> io::Result<()> {
        Ok(())
    }
}
