//! What a stream remembers of those who write to it, so that a repetition is told from news.

use super::Offset;
use crate::limits::{PRODUCER_RESULTS_KEPT, WRITER_TEXT_BYTES_MAX};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Whether a text may name a writer: what a database or a log would choke on may not.
#[must_use]
pub fn is_writer_text(text: &str) -> bool {
    text.len() <= WRITER_TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

/// What an idempotent producer says of one append: who it is, its session, the number of the append
/// in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The producer's name, unique in its stream.
    pub producer: Arc<str>,
    /// Its session; a greater one fences those before it.
    pub epoch: u64,
    /// The number of the append in its session, from 0 on without a gap.
    pub seq: u64,
}

/// How a writer identified an append, in one of two ways or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// As an idempotent producer.
    pub stamp: Option<Stamp>,
    /// By a text that grows in the order of bytes (`Stream-Seq`); one for the whole stream.
    pub seq: Option<Arc<str>>,
}

impl Writer {
    /// Somebody who does not say who they are.
    pub const NOBODY: Self = Self { stamp: None, seq: None };

    /// Whether there is something to remember.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        *self == Self::NOBODY
    }
}

/// What a stream knows of one producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producer {
    /// Its present session.
    pub epoch: u64,
    /// The last append of that session.
    pub seq: u64,
    /// That append closed the stream.
    pub closed: bool,
    /// Where the stream ended behind the last few appends, the latest at the back.
    pub results: VecDeque<Offset>,
}

impl Producer {
    /// Where the stream ended behind append `seq` of the present session; `None` when that has been
    /// forgotten.
    #[must_use]
    pub fn result(&self, seq: u64) -> Option<Offset> {
        let back = usize::try_from(self.seq.checked_sub(seq)?).ok()?;
        let index = self.results.len().checked_sub(1 + back)?;
        self.results.get(index).copied()
    }
}

/// What a stream knows of all who write to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writers {
    /// The idempotent producers by name.
    pub producers: HashMap<Arc<str>, Producer>,
    /// The greatest `Stream-Seq`.
    pub seq: Option<Arc<str>>,
}

impl Writers {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.seq.is_none()
    }

    /// Remembers an append that was accepted: by whom, where the stream ends behind it, and whether
    /// it is closed by it.
    pub fn remember(&mut self, writer: &Writer, end: Offset, closed: bool) {
        if let Some(seq) = &writer.seq {
            self.seq = Some(seq.clone());
        }
        let Some(Stamp { producer, epoch, seq }) = &writer.stamp else {
            return;
        };
        let known = match self.producers.get_mut(producer) {
            Some(known) => known,
            None => self.producers.entry(producer.clone()).or_default(),
        };
        let is_known = known.epoch == *epoch && *seq <= known.seq && !known.results.is_empty();
        if is_known || known.epoch > *epoch {
            // What was loaded was further already than the content beside it.
            return;
        }
        if known.epoch != *epoch {
            known.results.clear();
        }
        if known.results.len() == PRODUCER_RESULTS_KEPT {
            known.results.pop_front();
        }
        known.results.push_back(end);
        (known.epoch, known.seq, known.closed) = (*epoch, *seq, closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_results_are_kept_and_belong_to_their_session() {
        let mut writers = Writers::default();
        let stamp = |epoch, seq| Writer {
            stamp: Some(Stamp { producer: "p".into(), epoch, seq }),
            seq: None,
        };
        let end = |seq| Offset { records: seq + 1, bytes: 10 * (seq + 1) };
        let many = PRODUCER_RESULTS_KEPT as u64 + 3;
        (0..many).for_each(|seq| writers.remember(&stamp(0, seq), end(seq), false));
        let known = &writers.producers["p"];
        assert_eq!(known.result(many - 1), Some(end(many - 1)));
        assert_eq!(known.result(3), Some(end(3)));
        assert_eq!(known.result(2), None, "forgotten");
        assert_eq!(known.result(many), None, "not there yet");
        writers.remember(&stamp(1, 0), end(many), true);
        let known = &writers.producers["p"];
        assert_eq!((known.result(0), known.closed), (Some(end(many)), true));
        assert_eq!(known.results.len(), 1);
    }
}
