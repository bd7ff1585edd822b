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
mod tests;
