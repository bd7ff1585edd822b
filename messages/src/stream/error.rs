//! What can go wrong with a stream.

use crate::{
    admission::Refusal, budget::Overloaded, committer::CommitFailed, model::CloseReason,
    model::Offset,
};

/// Why an operation on a stream did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// There is no stream of that name.
    #[error("there is no stream with this id")]
    NotFound,
    /// It is still open and cannot begin anew.
    #[error("a stream with this id is still being produced")]
    Open,
    /// It takes no more records.
    #[error("the stream is closed ({})", reason.as_str())]
    Closed {
        /// Where it ends.
        tail: Offset,
        /// Why it is closed.
        reason: CloseReason,
    },
    /// It does not end where the producer expects it to.
    #[error("the stream ends at byte {}, not where the producer goes on", tail.bytes)]
    Moved {
        /// Where it ends.
        tail: Offset,
    },
    /// It would grow past its cap.
    #[error("the stream would grow past the cap of this server")]
    TooLong {
        /// Where it ends.
        tail: Offset,
    },
    /// The name has begun a new life.
    #[error("the stream has been started anew by somebody else")]
    Replaced,
    /// A reader asks for a position that does not exist.
    #[error("the stream ends at byte {}, before the offset that was asked for", tail.bytes)]
    BeyondTail {
        /// Where it ends.
        tail: Offset,
    },
    /// The store is behind by as much as memory may hold.
    #[error("the database does not keep up and there is no room for more")]
    Overloaded,
    /// The disk of the journal is full.
    #[error("the disk of the journal is full")]
    JournalFull,
    /// The journal has failed; see [`CommitFailed`].
    #[error(
        "the journal has failed, and nothing can be made durable until the server is restarted"
    )]
    JournalFailed,
    /// The store does not answer.
    #[error("the database does not answer")]
    StoreUnavailable,
    /// Content that should be there is not.
    #[error("the content of this stream is damaged in the database")]
    Damaged,
    /// The server stops.
    #[error("the server is stopping")]
    Stopping,
}

impl From<Refusal> for StreamError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed { tail, reason } => Self::Closed { tail, reason },
            Refusal::Moved { tail } => Self::Moved { tail },
            Refusal::TooLong { tail } => Self::TooLong { tail },
            Refusal::Replaced => Self::Replaced,
        }
    }
}

impl From<Overloaded> for StreamError {
    fn from(_: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl From<CommitFailed> for StreamError {
    fn from(_: CommitFailed) -> Self {
        Self::JournalFailed
    }
}
