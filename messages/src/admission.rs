//! What may happen to a stream next. Pure: no time, no I/O, no locks.

use crate::model::{CloseReason, Expected, Offset};

/// The state of a stream as its writers see it: everything that was admitted, durable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where the next record goes.
    pub tail: Offset,
    /// Why nothing more is admitted; `None` while open.
    pub closed: Option<CloseReason>,
    /// Whether the stream must be closed when the server that produces it is gone.
    pub tied: bool,
    /// The name has begun a new life; this one is over.
    pub replaced: bool,
}

/// What a producer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Records to add.
    pub records: u64,
    /// Bytes of these records together.
    pub bytes: u64,
    /// Where the producer expects the stream to end; `None` for wherever it ends.
    pub at: Option<Expected>,
    /// The tie to the server from here on.
    pub tied: bool,
    /// Close the stream behind the records.
    pub close: Option<CloseReason>,
}

/// The answer to a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The records go to `at`; the stream then ends at `next`.
    Accept {
        /// The position of the first record.
        at: Offset,
        /// The position after the last.
        next: Offset,
    },
    /// It has happened already: a stream that was to be closed is closed.
    Duplicate {
        /// Where the stream ends.
        tail: Offset,
    },
    /// It may not happen.
    Refuse(Refusal),
}

/// Why a request is refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing comes after the end.
    Closed {
        /// Where the stream ends.
        tail: Offset,
        /// Why it is closed.
        reason: CloseReason,
    },
    /// The stream does not end where the producer expects it to.
    Moved {
        /// Where it ends.
        tail: Offset,
    },
    /// The stream would grow past its cap.
    TooLong {
        /// Where it ends.
        tail: Offset,
    },
    /// The name has begun a new life.
    Replaced,
}

/// Why a stream may not begin anew. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacementRefusal {
    /// It is still being produced.
    Open,
    /// It has begun anew already.
    Replaced,
}

impl State {
    /// A stream that has just begun.
    #[must_use]
    pub fn new(tied: bool) -> Self {
        Self { tail: Offset::ZERO, closed: None, tied, replaced: false }
    }

    /// Ends this life so that the name can begin a new one. Only a closed stream may be replaced.
    ///
    /// # Errors
    /// The stream is still open, or has been replaced already.
    pub fn admit_replacement(&mut self) -> Result<(), ReplacementRefusal> {
        if self.replaced {
            return Err(ReplacementRefusal::Replaced);
        }
        if self.closed.is_none() {
            return Err(ReplacementRefusal::Open);
        }
        self.replaced = true;
        Ok(())
    }

    /// Decides on `request` and, when it is accepted, moves on to the state behind it.
    ///
    /// The order of the checks is part of the contract: the end of a life, then closed, then the
    /// expected position, then the cap of `stream_bytes_max` bytes.
    pub fn admit(&mut self, request: Request, stream_bytes_max: u64) -> Decision {
        let tail = self.tail;
        if self.replaced {
            return Decision::Refuse(Refusal::Replaced);
        }
        if let Some(reason) = self.closed {
            let only_closes = request.records == 0 && request.close.is_some();
            return if only_closes && request.at.is_none_or(|at| at.fits(tail)) {
                Decision::Duplicate { tail }
            } else {
                Decision::Refuse(Refusal::Closed { tail, reason })
            };
        }
        if request.at.is_some_and(|at| !at.fits(tail)) {
            return Decision::Refuse(Refusal::Moved { tail });
        }
        if request.bytes > stream_bytes_max.saturating_sub(tail.bytes) {
            return Decision::Refuse(Refusal::TooLong { tail });
        }
        self.tail = tail.advance(request.records, request.bytes);
        self.closed = request.close;
        self.tied = request.tied && request.close.is_none();
        Decision::Accept { at: tail, next: self.tail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: u64 = 1_000;

    fn request() -> impl Strategy<Value = Request> {
        let reason = prop_oneof![
            3 => Just(None),
            1 => Just(Some(CloseReason::Finished)),
            1 => Just(Some(CloseReason::BrokenOff)),
        ];
        (0u64..4, 1u64..120, prop::option::of(0u64..300), any::<bool>(), reason).prop_map(
            |(records, bytes, at, tied, close)| Request {
                records,
                bytes: records * bytes,
                at: at.map(Expected::Bytes),
                tied,
                close,
            },
        )
    }

    proptest! {
        /// Against the plainest model: a vector of bytes and a flag.
        #[test]
        fn admission_agrees_with_a_vector(requests in prop::collection::vec(request(), 0..40)) {
            let mut state = State::new(false);
            let (mut model, mut records, mut closed) = (Vec::<u8>::new(), 0, None);
            for request in requests {
                let before = state.clone();
                let len = model.len() as u64;
                match state.admit(request, MAX) {
                    Decision::Accept { at, next } => {
                        prop_assert_eq!(closed, None);
                        prop_assert!(request.at.is_none_or(|at| at.bytes() == len));
                        prop_assert_eq!(at, Offset { records, bytes: len });
                        model.resize(model.len() + request.bytes as usize, 0);
                        records += request.records;
                        closed = request.close;
                        prop_assert_eq!(next, Offset { records, bytes: model.len() as u64 });
                        prop_assert!(model.len() as u64 <= MAX);
                    }
                    Decision::Duplicate { tail } => {
                        prop_assert!(closed.is_some() && request.close.is_some() && request.records == 0);
                        prop_assert_eq!((tail.bytes, &state), (len, &before));
                    }
                    Decision::Refuse(refusal) => {
                        prop_assert_eq!(&state, &before);
                        let justified = match refusal {
                            Refusal::Closed { reason, .. } => closed == Some(reason),
                            Refusal::Moved { .. } => request.at.is_some_and(|at| at.bytes() != len),
                            Refusal::TooLong { .. } => len + request.bytes > MAX,
                            Refusal::Replaced => false,
                        };
                        prop_assert!(justified, "{:?} for {:?}", refusal, request);
                    }
                }
                prop_assert_eq!(state.closed, closed);
            }
        }
    }

    #[test]
    fn a_life_that_is_over_admits_nothing() {
        let mut state = State { replaced: true, ..State::new(false) };
        let close = Request {
            records: 0,
            bytes: 0,
            at: None,
            tied: false,
            close: Some(CloseReason::Finished),
        };
        assert_eq!(state.admit(close, MAX), Decision::Refuse(Refusal::Replaced));
        assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Replaced));
    }

    #[test]
    fn only_a_closed_stream_begins_anew_and_only_once() {
        let mut state = State::new(true);
        assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Open));
        state.closed = Some(CloseReason::Interrupted);
        assert_eq!(state.admit_replacement(), Ok(()));
        assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Replaced));
    }
}
