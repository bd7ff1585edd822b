//! A stream and everything that is known of it: what readers saw, which offsets they were told,
//! what writers were told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::check::{Fate, Ledgers};
use crate::check::{Truth, excerpt};
use crate::dialect::live::Kind;

/// Acknowledged appends of a producer that are repeated later. A server keeps the offsets of so
/// many and a few more.
const RECENT: usize = 8;

/// What a stream branched off from.
pub struct Origin {
    /// The source.
    pub source: Arc<Stream>,
    /// The byte position from which on the content is its own.
    pub base: u64,
}

/// An append of an idempotent producer that was acknowledged.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The session.
    pub epoch: u64,
    /// The number in the session.
    pub seq: u64,
    /// The number of the writer.
    pub number: u32,
    /// Whether it closed the stream.
    pub closes: bool,
    /// Where the stream ended behind it.
    pub offset: String,
}

/// How far something has come that is asked for and then confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nobody has asked for it.
    #[default]
    No,
    /// It may have happened.
    Asked,
    /// It has happened.
    Done,
}

/// A stream of the run.
pub struct Stream {
    /// Its name.
    pub id: String,
    /// What it holds.
    pub kind: Kind,
    /// What it grows from.
    pub origin: Option<Origin>,
    own: Truth,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Every offset that was told, and the byte position it stands for.
    offsets: BTreeMap<String, u64>,
    ledgers: Ledgers,
    recent: HashMap<u32, VecDeque<Sent>>,
    closed: Progress,
    deleted: Progress,
}

impl Stream {
    /// A stream that nobody has seen yet.
    pub fn new(id: String, kind: Kind, origin: Option<Origin>) -> Self {
        Self { id, kind, origin, own: Truth::default(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its own content begins.
    pub fn base(&self) -> u64 {
        self.origin.as_ref().map_or(0, |origin| origin.base)
    }

    /// How far readers have read it.
    pub fn len(&self) -> u64 {
        self.base() + self.own.len()
    }

    /// Takes what a reader got at `position`. What is inherited is compared with the source.
    pub fn saw(&self, position: u64, bytes: &[u8]) -> Option<String> {
        let Some(Origin { source, base }) = &self.origin else {
            return self.own.saw(position, bytes);
        };
        let inherited = base.saturating_sub(position).min(bytes.len() as u64) as usize;
        let (before, behind) = bytes.split_at(inherited);
        let before = (!before.is_empty()).then(|| source.saw(position, before)).flatten();
        let place = || position.max(*base) - base;
        let behind = (!behind.is_empty()).then(|| self.own.saw(place(), behind)).flatten();
        before.or(behind)
    }

    /// Takes an offset that stands for `position`. It must be the only one that does, and offsets
    /// must sort as positions do.
    pub fn told(&self, offset: &str, position: u64) -> Option<String> {
        if let Some(Origin { source, base }) = &self.origin
            && position < *base
        {
            return source.told(offset, position);
        }
        let mut state = self.state();
        if let Some(known) = state.offsets.insert(offset.to_owned(), position) {
            let same = known == position;
            return (!same).then(|| format!("{offset} was byte {known} and is now {position}"));
        }
        let before = state.offsets.range(..offset.to_owned()).next_back();
        let behind = state.offsets.range(offset.to_owned()..).nth(1);
        let wrong = before.filter(|(_, at)| **at >= position);
        let wrong = wrong.or_else(|| behind.filter(|(_, at)| **at <= position));
        wrong.map(|(other, at)| format!("{offset} is byte {position}, but {other} is {at}"))
    }

    /// Offsets at which a reader may begin, inherited ones too, and their positions.
    pub fn places(&self) -> Vec<(String, u64)> {
        let mut places = match &self.origin {
            None => Vec::new(),
            Some(Origin { source, base }) => {
                let inherited = source.places().into_iter();
                inherited.filter(|(_, position)| position < base).collect()
            }
        };
        let len = self.len();
        let state = self.state();
        let own = state.offsets.iter().filter(|(_, position)| **position <= len);
        places.extend(own.map(|(offset, position)| (offset.clone(), *position)));
        places
    }

    /// What has been seen of its own content.
    pub fn own(&self) -> Vec<u8> {
        self.own.content()
    }

    /// What has been seen from `position` on.
    pub fn content(&self, position: u64) -> Vec<u8> {
        let own = self.own.content();
        let Some(Origin { source, base }) = &self.origin else {
            return own[position as usize..].to_vec();
        };
        match base.checked_sub(position) {
            None => own[(position - base) as usize..].to_vec(),
            Some(0) => own,
            Some(inherited) => {
                let mut content = source.content(position);
                content.truncate(inherited as usize);
                content.extend(own);
                content
            }
        }
    }

    /// Compares a whole read from `position` on with what has been seen, which was `len` bytes in all
    /// before that.
    pub fn compare(&self, position: u64, len: u64, got: &[u8]) -> Option<String> {
        let seen = self.content(position);
        let due = len.saturating_sub(position);
        if (got.len() as u64) < due {
            let got = got.len();
            return Some(format!("{got} bytes from byte {position} on, of {due} that were seen"));
        }
        let differs = crate::record::first_difference(&seen, got)?;
        let (want, got) = (excerpt(&seen[differs..]), excerpt(&got[differs..]));
        Some(format!("read from byte {position}: {got} instead of {want} after {differs} bytes"))
    }

    /// The number of a writer's next append, which is under way from now on.
    pub fn issue(&self, writer: u32) -> u32 {
        let mut state = self.state();
        let ledger = state.ledgers.entry(writer).or_default();
        ledger.issued += 1;
        ledger.issued - 1
    }

    /// What became of an append.
    pub fn settle(&self, writer: u32, number: u32, fate: Fate) {
        self.state().ledgers.entry(writer).or_default().fates.insert(number, fate);
    }

    /// Remembers an acknowledged append, to repeat it later.
    pub fn remember(&self, writer: u32, sent: Sent) {
        let mut state = self.state();
        let recent = state.recent.entry(writer).or_default();
        recent.retain(|earlier| earlier.epoch == sent.epoch);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        // Requests in flight are answered in any order.
        let at = recent.partition_point(|earlier| earlier.seq < sent.seq);
        recent.insert(at, sent);
    }

    /// The session of a writer is over, and its appends can be repeated no more.
    pub fn forget(&self, writer: u32) {
        self.state().recent.remove(&writer);
    }

    /// The last acknowledged appends of a writer.
    pub fn recent(&self, writer: u32) -> Vec<Sent> {
        self.state().recent.get(&writer).into_iter().flatten().cloned().collect()
    }

    /// Everybody who has written.
    pub fn writers(&self) -> Vec<u32> {
        self.state().recent.keys().copied().collect()
    }

    /// What the writers know.
    pub fn ledgers(&self) -> Ledgers {
        self.state().ledgers.clone()
    }

    /// Whether it is closed.
    pub fn closed(&self) -> Progress {
        self.state().closed
    }

    /// Moves on towards being closed.
    pub fn close(&self, progress: Progress) {
        let mut state = self.state();
        state.closed = state.closed.max(progress);
    }

    /// Whether it is deleted.
    pub fn deleted(&self) -> Progress {
        self.state().deleted
    }

    /// It has been created: whoever looks for it finds it.
    pub fn begin(&self) {
        self.state().deleted = Progress::No;
    }

    /// Moves on towards being deleted.
    pub fn delete(&self, progress: Progress) {
        let mut state = self.state();
        state.deleted = state.deleted.max(progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_is_compared_with_its_source() {
        let source = Arc::new(Stream::new("a".into(), Kind::Bytes, None));
        assert_eq!(source.saw(0, b"abcdef"), None);
        let origin = Origin { source: Arc::clone(&source), base: 4 };
        let fork = Stream::new("b".into(), Kind::Bytes, Some(origin));
        assert_eq!(fork.saw(0, b"abcdXY"), None);
        assert_eq!(fork.len(), 6);
        assert_eq!(fork.content(3), b"dXY");
        assert_eq!(source.content(3), b"def");
        assert!(fork.saw(2, b"cX").is_some(), "the inherited part differs");
        assert!(fork.saw(4, b"XZ").is_some(), "the own part differs");
        assert_eq!(fork.compare(2, 6, b"cdXYZ"), None);
        assert!(fork.compare(2, 6, b"cdX").is_some() && fork.compare(2, 6, b"cdXX").is_some());
        assert_eq!(fork.compare(2, 5, b"cdX"), None, "seen meanwhile");
    }

    #[test]
    fn offsets_stand_for_one_position_each() {
        let stream = Stream::new("a".into(), Kind::Bytes, None);
        for (offset, position) in [("1", 10), ("3", 30), ("2", 20), ("2", 20)] {
            assert_eq!(stream.told(offset, position), None);
        }
        assert!(stream.told("2", 21).is_some());
        assert!(stream.told("15", 25).is_some());
        assert!(stream.told("4", 30).is_some());
    }
}
