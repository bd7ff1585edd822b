//! No journal, for `--durability memory`.

use super::{FileJournal, Journal, Mark};
use crate::model::{Change, StreamId};
use std::io;

/// Promises nothing: what the store does not have is lost in a crash.
pub struct MemoryJournal {
    batches: u64,
    /// What an earlier run with another durability has left, until the store has it.
    earlier: Option<FileJournal>,
}

impl MemoryJournal {
    /// Counts on from `mark`, the last batch of `earlier`.
    #[must_use]
    pub fn new(mark: Mark, earlier: Option<FileJournal>) -> Self {
        Self { batches: mark.0, earlier }
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

    fn trim(&mut self, stored: Mark) -> io::Result<()> {
        self.earlier.as_mut().map_or(Ok(()), |earlier| earlier.trim(stored))
    }
}
