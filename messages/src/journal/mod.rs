//! The journal: what makes a change durable before anyone sees it, and what is replayed after a
//! crash. It holds everything that the store does not have yet and is trimmed behind the store.

pub mod codec;
mod copy;
pub mod disk;
mod file;
mod inspect;
mod memory;
mod segment;

pub use copy::JournalCopy;
pub use file::{FileJournal, Replay, ReplayError};
pub use inspect::{Flaw, Inspection, inspect, set_aside};
pub use memory::MemoryJournal;

use crate::model::{Change, StreamId};
use std::io;

/// A place in the journal: the number of a batch. Marks grow with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// Where the committer writes. One writer owns it; none of its methods is called concurrently.
pub trait Journal: Send {
    /// Makes sure that a batch of `bytes` payload bytes can be written.
    ///
    /// # Errors
    /// No room can be had now, for example on a full disk. Nothing has changed: call it again.
    fn prepare(&mut self, bytes: usize) -> io::Result<()>;

    /// Writes one batch, in order, as durably as the journal promises. When it returns, a crash
    /// does not take the batch back.
    ///
    /// # Errors
    /// What became of the batch is unknown and cannot be found out: a failed barrier cannot be
    /// repeated. The journal must not be used any more.
    fn commit(&mut self, batch: &mut dyn Iterator<Item = (StreamId, &Change)>) -> io::Result<Mark>;

    /// Tells that every batch up to `stored` is in the store and need not be kept.
    ///
    /// # Errors
    /// A file could not be freed. Nothing is lost, and the next call tries again.
    fn trim(&mut self, stored: Mark) -> io::Result<()>;
}
