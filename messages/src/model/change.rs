//! What can happen to a stream: the entries of the journal.

use super::{Chunk, CloseReason, Fork, Lifetime, StreamId, StreamName, Writer};
use std::sync::Arc;

/// One durable step in the life of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The stream begins.
    Create(Create),
    /// Records are added, the stream is closed, or both at once.
    Append(Append),
    /// The stream goes away.
    Delete(Delete),
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
    /// When it goes away by itself.
    pub lifetime: Lifetime,
    /// What it branches off from.
    pub fork: Option<Fork>,
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
    /// Who wrote it, as far as they said.
    pub writer: Writer,
}

/// The end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// Its content goes, too, and its name is free.
    Whole,
    /// It has forks: nobody may use it any more, but its content and name stay while they are there.
    Hidden,
}
