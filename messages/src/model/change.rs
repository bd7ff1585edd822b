//! What can happen to a stream: the entries of the journal.

use super::{Chunk, CloseReason, StreamId, StreamName};
use std::sync::Arc;

/// One durable step in the life of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The stream begins.
    Create(Create),
    /// Records are added, the stream is closed, or both at once.
    Append(Append),
}

/// The beginning of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// The name it is found under.
    pub name: StreamName,
    /// Its content type.
    pub content_type: Arc<str>,
    /// Whether it must be closed when the server that produces it is gone.
    pub tied: bool,
    /// The earlier life of the same name, which ends in the same step.
    pub replaces: Option<StreamId>,
}

/// More content, the end, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The records; with no bytes at all when the stream is only closed.
    pub chunk: Chunk,
    /// The tie to the server from here on, see [`Create::tied`].
    pub tied: bool,
    /// Set when nothing comes after it.
    pub close: Option<CloseReason>,
}
