//! What may happen to a stream next. Pure: no time, no I/O, no locks.

use crate::{
    limits::PRODUCERS_PER_STREAM_MAX,
    model::{CloseReason, Expected, Offset, Producer, Stamp, StoredStream, Writer, Writers},
};

/// The state of a stream as its writers see it: everything that was admitted, durable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where the next record goes.
    pub tail: Offset,
    /// Why nothing more is admitted; `None` while open.
    pub closed: Option<CloseReason>,
    /// Whether the stream must be closed when the server that produces it is gone.
    pub tied: bool,
    /// Why it cannot be used any more at all; `None` while it lives.
    pub over: Option<Over>,
    /// How many streams branch off from it.
    pub forks: u64,
    /// What is known of those who write. Most streams have nobody who says who they are.
    pub writers: Option<Box<Writers>>,
}

/// How the life of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The name has begun a new life.
    Replaced,
    /// It was deleted with its content.
    Deleted,
    /// It was deleted, but others branch off from it: content and name stay.
    Hidden,
}

/// What a producer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
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
    /// Who asks, as far as they say.
    pub writer: &'a Writer,
    /// The records are of another content type than the stream.
    pub wrong_type: bool,
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
    /// It has happened already, and nothing happens now.
    Duplicate {
        /// Where the stream ended behind it; where it ends now if that is forgotten.
        tail: Offset,
        /// The last append of the producer that asks.
        seq: Option<u64>,
        /// The stream is closed, by this or by something later.
        closed: bool,
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
    /// The stream has another content type.
    WrongType,
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
    /// The producer has begun a later session.
    Fenced {
        /// That session.
        epoch: u64,
    },
    /// A session begins with append 0.
    NotFirst,
    /// Appends of the producer are missing before this one.
    Gap {
        /// The append that must come next.
        expected: u64,
        /// The append that came.
        received: u64,
    },
    /// The stream remembers as many producers as it may.
    TooManyProducers,
    /// The `Stream-Seq` is not greater than the last.
    NotGreater,
    /// The life of the stream is over.
    Over(Over),
}

/// Why a stream may not begin anew. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacementRefusal {
    /// It is still being produced.
    Open,
    /// Others branch off from it.
    Forked,
    /// It has begun anew already.
    Replaced,
    /// It is deleted, and its name is kept for its forks.
    Hidden,
}

impl State {
    /// A stream that has just begun, or as the store has it.
    #[must_use]
    pub fn new(stream: &StoredStream) -> Self {
        let writers = &stream.writers;
        Self {
            tail: stream.tail,
            closed: stream.closed,
            tied: stream.tied,
            over: stream.hidden.then_some(Over::Hidden),
            forks: stream.forks,
            writers: (!writers.is_empty()).then(|| Box::new(writers.clone())),
        }
    }

    /// Ends this life so that the name can begin a new one. Only a closed or deleted stream may be
    /// replaced, and only one that nobody branches off from.
    ///
    /// # Errors
    /// It may not; see there.
    pub fn admit_replacement(&mut self) -> Result<(), ReplacementRefusal> {
        match self.over {
            Some(Over::Replaced) => return Err(ReplacementRefusal::Replaced),
            Some(Over::Hidden) => return Err(ReplacementRefusal::Hidden),
            None if self.closed.is_none() => return Err(ReplacementRefusal::Open),
            None if self.forks > 0 => return Err(ReplacementRefusal::Forked),
            None | Some(Over::Deleted) => {}
        }
        self.over = Some(Over::Replaced);
        Ok(())
    }

    /// Deletes the stream, or hides it while it has forks.
    ///
    /// # Errors
    /// Its life is over already.
    pub fn admit_deletion(&mut self) -> Result<Over, Over> {
        match self.over {
            Some(over) => Err(over),
            None => {
                let over = if self.forks > 0 { Over::Hidden } else { Over::Deleted };
                self.over = Some(over);
                Ok(over)
            }
        }
    }

    /// Begins to branch another stream off.
    ///
    /// # Errors
    /// The life of this one is over.
    pub fn admit_fork(&mut self) -> Result<(), Over> {
        self.over.map_or(Ok(()), Err)?;
        self.forks += 1;
        Ok(())
    }

    /// A stream that branched off is gone. Returns whether this one, being hidden, has no more reason
    /// to be kept; it is deleted then.
    pub fn release_fork(&mut self) -> bool {
        self.forks = self.forks.saturating_sub(1);
        let last = self.forks == 0 && self.over == Some(Over::Hidden);
        if last {
            self.over = Some(Over::Deleted);
        }
        last
    }

    /// Decides on `request` and, when it is accepted, moves on to the state behind it.
    ///
    /// The order of the checks is part of the contract: the end of a life, what the producer has
    /// done already, closed, content type, the expected position, the producer's order, the
    /// `Stream-Seq`, then the cap of `stream_bytes_max` bytes.
    pub fn admit(&mut self, request: Request<'_>, stream_bytes_max: u64) -> Decision {
        match self.decide(&request, stream_bytes_max) {
            Ok(None) => {}
            Ok(Some(duplicate)) => return duplicate,
            Err(refusal) => return Decision::Refuse(refusal),
        }
        let at = self.tail;
        self.tail = at.advance(request.records, request.bytes);
        self.closed = request.close;
        self.tied = request.tied && request.close.is_none();
        if !request.writer.is_nobody() {
            let writers = self.writers.get_or_insert_default();
            writers.remember(request.writer, self.tail, request.close.is_some());
        }
        Decision::Accept { at, next: self.tail }
    }

    /// `Ok(None)` to accept.
    fn decide(
        &self,
        request: &Request<'_>,
        stream_bytes_max: u64,
    ) -> Result<Option<Decision>, Refusal> {
        let tail = self.tail;
        if let Some(over) = self.over {
            return Err(Refusal::Over(over));
        }
        let stamp = request.writer.stamp.as_ref();
        let known = stamp.and_then(|stamp| self.producer(stamp));
        if let (Some(stamp), Some(known)) = (stamp, known)
            && let Some(duplicate) = self.repetition(stamp, known)?
        {
            return Ok(Some(duplicate));
        }
        if let Some(reason) = self.closed {
            let only_closes = request.records == 0 && request.close.is_some() && stamp.is_none();
            return if only_closes && request.at.is_none_or(|at| at.fits(tail)) {
                Ok(Some(Decision::Duplicate { tail, seq: None, closed: true }))
            } else {
                Err(Refusal::Closed { tail, reason })
            };
        }
        if request.wrong_type {
            return Err(Refusal::WrongType);
        }
        if request.at.is_some_and(|at| !at.fits(tail)) {
            return Err(Refusal::Moved { tail });
        }
        if let Some(stamp) = stamp {
            self.check_order(stamp, known)?;
        }
        let last = self.writers.as_ref().and_then(|writers| writers.seq.as_ref());
        if let (Some(seq), Some(last)) = (&request.writer.seq, last)
            && seq.as_bytes() <= last.as_bytes()
        {
            return Err(Refusal::NotGreater);
        }
        if request.bytes > stream_bytes_max.saturating_sub(tail.bytes) {
            return Err(Refusal::TooLong { tail });
        }
        Ok(None)
    }

    fn producer(&self, stamp: &Stamp) -> Option<&Producer> {
        self.writers.as_ref()?.producers.get(&stamp.producer)
    }

    /// Whether an append has been accepted before. Told before anything else, so that one that comes
    /// again late gets the answer of the first time whatever has happened since.
    fn repetition(&self, stamp: &Stamp, known: &Producer) -> Result<Option<Decision>, Refusal> {
        if stamp.epoch < known.epoch {
            return Err(Refusal::Fenced { epoch: known.epoch });
        }
        let repeats = stamp.epoch == known.epoch && stamp.seq <= known.seq;
        Ok(repeats.then(|| Decision::Duplicate {
            tail: known.result(stamp.seq).unwrap_or(self.tail),
            seq: Some(known.seq),
            closed: self.closed.is_some(),
        }))
    }

    fn check_order(&self, stamp: &Stamp, known: Option<&Producer>) -> Result<(), Refusal> {
        let Stamp { epoch, seq: received, .. } = *stamp;
        match known {
            Some(known) if epoch > known.epoch && received > 0 => Err(Refusal::NotFirst),
            Some(known) if epoch == known.epoch && received > known.seq + 1 => {
                Err(Refusal::Gap { expected: known.seq + 1, received })
            }
            Some(_) => Ok(()),
            None if received > 0 => Err(Refusal::Gap { expected: 0, received }),
            None => {
                let count = self.writers.as_ref().map_or(0, |writers| writers.producers.len());
                let full = count >= PRODUCERS_PER_STREAM_MAX;
                if full { Err(Refusal::TooManyProducers) } else { Ok(()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Create, Lifetime, StreamId};
    use proptest::prelude::*;
    use std::{collections::HashMap, sync::Arc};

    const MAX: u64 = 1_000;

    fn open() -> State {
        let create = Create {
            name: "s".parse().expect("a name"),
            content_type: "".into(),
            tied: false,
            replaces: None,
            lifetime: Lifetime::Unlimited,
            fork: None,
        };
        State::new(&StoredStream::new(StreamId(1), &create))
    }

    /// A request without its writer, and the writer.
    fn request() -> impl Strategy<Value = (Request<'static>, Writer)> {
        let reason = prop_oneof![
            8 => Just(None),
            1 => Just(Some(CloseReason::Finished)),
            1 => Just(Some(CloseReason::BrokenOff)),
        ];
        let at = prop_oneof![3 => Just(None), 1 => (0u64..300).prop_map(Some)];
        let stamp = prop_oneof![
            1 => Just(None),
            3 => ("[ab]", 0u64..3, 0u64..5).prop_map(|(producer, epoch, seq)| {
                Some(Stamp { producer: producer.into(), epoch, seq })
            }),
        ];
        let seq = prop_oneof![3 => Just(None), 1 => "[a-c]{1,2}".prop_map(|seq| Some(seq.into()))];
        let flags = any::<(bool, u8)>();
        ((0u64..4, 1u64..120, at), flags, reason, (stamp, seq)).prop_map(
            |((records, bytes, at), (tied, wrong), close, (stamp, seq))| {
                let request = Request {
                    records,
                    bytes: records * bytes,
                    at: at.map(Expected::Bytes),
                    tied,
                    close,
                    writer: &Writer::NOBODY,
                    wrong_type: wrong < 16,
                };
                (request, Writer { stamp, seq })
            },
        )
    }

    proptest! {
        /// Against the plainest model: a vector of bytes, a flag, and the answers that were given.
        #[test]
        fn admission_agrees_with_a_vector(requests in prop::collection::vec(request(), 0..60)) {
            let mut state = open();
            let (mut model, mut records, mut closed) = (Vec::<u8>::new(), 0, None);
            let mut answers = HashMap::<(Arc<str>, u64, u64), Offset>::new();
            let mut sessions = HashMap::<Arc<str>, (u64, u64)>::new();
            let mut greatest: Option<Arc<str>> = None;
            for (request, writer) in requests {
                let request = Request { writer: &writer, ..request };
                let before = state.clone();
                let len = model.len() as u64;
                let key = writer.stamp.as_ref().map(|s| (s.producer.clone(), s.epoch, s.seq));
                let session = writer.stamp.as_ref().and_then(|s| sessions.get(&s.producer)).copied();
                match state.admit(request, MAX) {
                    Decision::Accept { at, next } => {
                        prop_assert_eq!(closed, None);
                        prop_assert!(!request.wrong_type);
                        prop_assert!(request.at.is_none_or(|at| at.bytes() == len));
                        prop_assert_eq!(at, Offset { records, bytes: len });
                        model.resize(model.len() + request.bytes as usize, 0);
                        records += request.records;
                        closed = request.close;
                        prop_assert_eq!(next, Offset { records, bytes: model.len() as u64 });
                        prop_assert!(model.len() as u64 <= MAX);
                        if let Some(seq) = &writer.seq {
                            prop_assert!(greatest.as_ref().is_none_or(|last| last < seq));
                            greatest = Some(seq.clone());
                        }
                        if let Some((producer, epoch, seq)) = key {
                            let follows = match session {
                                None => seq == 0,
                                Some((e, s)) => (epoch, seq) == (e, s + 1) || (epoch > e && seq == 0),
                            };
                            prop_assert!(follows);
                            sessions.insert(producer.clone(), (epoch, seq));
                            prop_assert_eq!(answers.insert((producer, epoch, seq), next), None);
                        }
                    }
                    Decision::Duplicate { tail, seq, closed: is_closed } => {
                        prop_assert_eq!(&state, &before);
                        prop_assert_eq!(is_closed, closed.is_some());
                        match key {
                            Some(key) => {
                                prop_assert_eq!(answers.get(&key), Some(&tail));
                                prop_assert_eq!(seq, session.map(|(_, seq)| seq));
                            }
                            None => {
                                prop_assert!(is_closed && request.close.is_some() && request.records == 0);
                                prop_assert_eq!(tail.bytes, len);
                            }
                        }
                    }
                    Decision::Refuse(refusal) => {
                        prop_assert_eq!(&state, &before);
                        let asked = writer.stamp.as_ref().map_or((0, 0), |s| (s.epoch, s.seq));
                        let justified = match refusal {
                            Refusal::Closed { reason, .. } => closed == Some(reason),
                            Refusal::WrongType => request.wrong_type,
                            Refusal::Moved { .. } => request.at.is_some_and(|at| at.bytes() != len),
                            Refusal::TooLong { .. } => len + request.bytes > MAX,
                            Refusal::Fenced { epoch } => session.is_some_and(|(e, _)| e == epoch && asked.0 < e),
                            Refusal::NotFirst => session.is_some_and(|(e, _)| asked.0 > e && asked.1 > 0),
                            Refusal::Gap { expected, received } => {
                                let next = session.map_or(0, |(_, seq)| seq + 1);
                                expected == next && received == asked.1 && received > expected
                            }
                            Refusal::NotGreater => writer.seq <= greatest && writer.seq.is_some(),
                            Refusal::TooManyProducers | Refusal::Over(_) => false,
                        };
                        prop_assert!(justified, "{:?} for {:?}", refusal, request);
                    }
                }
                prop_assert_eq!(state.closed, closed);
            }
        }

        /// However forks and deletions interleave: content goes exactly when nobody needs it.
        #[test]
        fn a_stream_is_kept_for_its_forks(steps in prop::collection::vec(0u8..4, 0..40)) {
            let (mut state, mut forks, mut deleted) = (open(), 0u64, false);
            for step in steps {
                let over = match (deleted, forks) {
                    (false, _) => None,
                    (true, 0) => Some(Over::Deleted),
                    (true, _) => Some(Over::Hidden),
                };
                prop_assert_eq!(state.over, over);
                match step {
                    0 | 1 => {
                        prop_assert_eq!(state.admit_fork().is_ok(), !deleted);
                        forks += u64::from(!deleted);
                    }
                    2 if forks > 0 => {
                        forks -= 1;
                        prop_assert_eq!(state.release_fork(), deleted && forks == 0);
                    }
                    2 => {}
                    _ => {
                        prop_assert_eq!(state.admit_deletion().is_ok(), !deleted);
                        deleted = true;
                    }
                }
            }
        }
    }

    #[test]
    fn a_life_that_is_over_admits_nothing() {
        for over in [Over::Replaced, Over::Deleted, Over::Hidden] {
            let mut state = State { over: Some(over), ..open() };
            let close = Request {
                records: 0,
                bytes: 0,
                at: None,
                tied: false,
                close: Some(CloseReason::Finished),
                writer: &Writer::NOBODY,
                wrong_type: false,
            };
            assert_eq!(state.admit(close, MAX), Decision::Refuse(Refusal::Over(over)));
            assert_eq!(state.admit_fork(), Err(over));
            assert_eq!(state.admit_deletion(), Err(over));
        }
    }

    #[test]
    fn only_what_nobody_needs_begins_anew_and_only_once() {
        let mut state = open();
        assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Open));
        state.closed = Some(CloseReason::Interrupted);
        state.forks = 1;
        assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Forked));
        state.forks = 0;
        assert_eq!(state.admit_replacement(), Ok(()));
        assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Replaced));
        let mut state = State { over: Some(Over::Deleted), ..open() };
        assert_eq!(state.admit_replacement(), Ok(()));
        let mut state = State { over: Some(Over::Hidden), ..open() };
        assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Hidden));
    }

    #[test]
    fn a_stream_remembers_only_so_many_producers() {
        let mut state = open();
        let writer = |n: usize| Writer {
            stamp: Some(Stamp { producer: n.to_string().into(), epoch: 0, seq: 0 }),
            seq: None,
        };
        let mut admit = |n| {
            let writer = writer(n);
            let request = Request {
                records: 1,
                bytes: 0,
                at: None,
                tied: false,
                close: None,
                writer: &writer,
                wrong_type: false,
            };
            state.admit(request, MAX)
        };
        for n in 0..PRODUCERS_PER_STREAM_MAX {
            assert!(matches!(admit(n), Decision::Accept { .. }));
        }
        assert_eq!(admit(PRODUCERS_PER_STREAM_MAX), Decision::Refuse(Refusal::TooManyProducers));
        assert!(matches!(admit(0), Decision::Duplicate { .. }));
    }
}
