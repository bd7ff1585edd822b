//! What can go wrong with a stream.

use crate::{
    admission::{Over, Refusal},
    budget::Overloaded,
    committer::CommitFailed,
    model::CloseReason,
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
    /// It was deleted and is kept only for the streams that branch off from it.
    #[error("the stream was deleted; streams that branch off from it keep its name")]
    Hidden,
    /// Others branch off from it, so it cannot begin anew.
    #[error("other streams branch off from this one, so it cannot begin anew")]
    Forked,
    /// There is a stream of this name that is not as asked for.
    #[error("there is a stream with this name that differs in {0}")]
    Differs(&'static str),
    /// The stream has another content type.
    #[error("the stream has another content type")]
    WrongType,
    /// The producer has begun a later session.
    #[error("the producer has begun session {epoch}, and this is an earlier one")]
    Fenced {
        /// That session.
        epoch: u64,
    },
    /// A session begins with append 0.
    #[error("a new session of a producer begins with append 0")]
    NotFirst,
    /// Appends of the producer are missing before this one.
    #[error("append {expected} of the producer comes next, and this is {received}")]
    Gap {
        /// The append that must come next.
        expected: u64,
        /// The append that came.
        received: u64,
    },
    /// It remembers as many producers as it may.
    #[error("the stream has as many producers as it may")]
    TooManyProducers,
    /// The `Stream-Seq` is not greater than the last.
    #[error("the sequence is not greater than the last one of this stream")]
    NotGreater,
    /// The body is no JSON.
    #[error("the body is not valid JSON")]
    BadJson,
    /// An array without messages is appended.
    #[error("the array holds no message")]
    NoMessages,
    /// More messages than one append may have.
    #[error("the array holds more messages than one append may have")]
    TooManyMessages,
    /// There is no stream of the name to branch off from.
    #[error("there is no stream to branch off from")]
    NoSource,
    /// The stream to branch off from is deleted.
    #[error("the stream to branch off from was deleted")]
    SourceHidden,
    /// The source has no such place.
    #[error("the stream to branch off from has no such position")]
    NoSuchPlace,
    /// As many streams branch off one from the other as may.
    #[error("too many streams branch off one from the other")]
    ForkTooDeep,
    /// A reader asks for a position that does not exist.
    #[error("the stream ends at byte {}, before the offset that was asked for", tail.bytes)]
    BeyondTail {
        /// Where it ends.
        tail: Offset,
    },
    /// A reader asks for a part of a message.
    #[error("the offset is inside of a message")]
    InsideMessage,
    /// A reader asks for what was to go away after some time.
    #[error("what was here has gone away; what there is begins at {low}")]
    Trimmed {
        /// Where that is.
        low: Offset,
    },
    /// The reader may read no further.
    #[error("access has ended here")]
    AccessEnded,
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
    /// The log that several nodes share does not answer. Whether something has happened is unknown.
    #[error("Redis does not answer")]
    LogUnavailable,
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
            Refusal::WrongType => Self::WrongType,
            Refusal::Fenced { epoch } => Self::Fenced { epoch },
            Refusal::NotFirst => Self::NotFirst,
            Refusal::Gap { expected, received } => Self::Gap { expected, received },
            Refusal::TooManyProducers => Self::TooManyProducers,
            Refusal::NotGreater => Self::NotGreater,
            Refusal::Over(over) => over.into(),
        }
    }
}

impl From<Over> for StreamError {
    fn from(over: Over) -> Self {
        match over {
            Over::Replaced => Self::Replaced,
            Over::Deleted => Self::NotFound,
            Over::Hidden => Self::Hidden,
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
