//! What goes from memory to the store.

use super::{ChatWrite, Chunk, Offset, Producer, StoredStream};
use std::sync::Arc;

/// One step of the flusher for one stream: the difference between it and its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flush {
    /// The stream as its row will say.
    pub stream: StoredStream,
    /// Where the row ends now; `None` when there is none yet.
    pub from: Option<Offset>,
    /// The version that the row has now; see [`StoredStream::version`].
    pub from_version: u64,
    /// What goes between `from` and the tail of `stream`, each chunk a row.
    pub chunks: Vec<Chunk>,
    /// The producers that have written since the last step, as they are at its end.
    pub producers: Vec<(Arc<str>, Producer)>,
    /// The stream is over, and all its rows go away instead.
    pub remove: bool,
    /// What its records mean for the tables of chat, in order.
    pub writes: Vec<ChatWrite>,
    /// The records themselves are not kept: everything that they say is in `writes`.
    pub transient: bool,
    /// What the budget gets back for it.
    pub cost: usize,
}
