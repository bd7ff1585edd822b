//! What one client has of one conversation: its log, and where its subscription stands in it.

use std::sync::Arc;

use super::super::wire::position;
use super::{Entry, Fault, Truth};

/// The beginning, as the first `from` of a client says.
const BEGINNING: &str = "-1";

/// A log and a place in it.
#[derive(Debug)]
pub struct Seen {
    user: String,
    log: Vec<Arc<Entry>>,
    /// The position of the last event that the subscription has brought.
    at: u64,
    /// Where to go on.
    offset: String,
    /// The positions of the events that ended this user's access.
    ends: Vec<u64>,
}

impl Seen {
    /// Nothing has been seen by `user`.
    pub fn new(user: &str) -> Self {
        let (log, ends) = Default::default();
        Self { user: user.to_owned(), log, at: 0, offset: BEGINNING.to_owned(), ends }
    }

    /// Where to go on.
    pub fn offset(&self) -> &str {
        &self.offset
    }

    /// The position of the last event that the subscription has brought.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Everything that was seen.
    pub fn log(&self) -> &[Arc<Entry>] {
        &self.log
    }

    /// How often the access of this user has ended at or before the place where it stands.
    pub fn ends(&self) -> u64 {
        self.ends.partition_point(|end| *end <= self.at) as u64
    }

    /// Whether the last event has ended the access.
    pub fn has_ended(&self) -> bool {
        self.at > 0 && self.ends.contains(&self.at)
    }

    /// A subscription begins at `offset`: where this client wanted to go on, or at the beginning
    /// when it has just come into the conversation.
    pub fn begin(&mut self, offset: &str, entered: bool) -> Option<Fault> {
        let wanted = if entered { 0 } else { self.at };
        let Some(begins) = position(offset) else {
            return Some(Fault::new("no offset", offset));
        };
        let same = begins == wanted && (wanted != self.at || wanted == 0 || offset == self.offset);
        let text = format!("begins at {offset} instead of {wanted} (of {})", self.offset);
        self.at = begins;
        offset.clone_into(&mut self.offset);
        (!same).then(|| Fault::new("a subscription begins elsewhere", text))
    }

    /// Takes the next event.
    pub fn take(&mut self, truth: &Truth, raw: &str) -> Result<(), Fault> {
        let due = self.at + 1;
        let entry = match truth.same(due, raw) {
            Some(entry) => entry,
            None => Arc::new(Entry::read(raw)?),
        };
        let came = entry.event.position;
        // One fault for each gap, not for everything behind it.
        self.at = came;
        let entry = truth.saw(entry)?;
        match self.place(came) {
            Ok(at) => self.log[at] = entry,
            Err(at) => {
                if entry.event.ends_access(&self.user) {
                    self.ends.push(came);
                }
                self.log.insert(at, entry);
            }
        }
        if came == due {
            return Ok(());
        }
        let kind = if came > due { "gap" } else { "came again, or out of order" };
        Err(Fault::new(kind, format!("position {came} where {due} was due: {raw}")))
    }

    /// Where the event at a position is in the log, or would be.
    fn place(&self, position: u64) -> Result<usize, usize> {
        self.log.binary_search_by_key(&position, |entry| entry.event.position)
    }

    /// The event that came last.
    pub fn last(&self) -> Option<&Entry> {
        self.place(self.at).ok().map(|at| &*self.log[at])
    }

    /// The server says that everything up to `offset` has been sent, which `take` got.
    pub fn stands(&mut self, offset: &str) -> Option<Fault> {
        let right = position(offset) == Some(self.at);
        offset.clone_into(&mut self.offset);
        let wrong = || format!("{offset} behind position {}", self.at);
        (!right).then(|| Fault::new("an offset is not where the content ends", wrong()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(position: u64) -> String {
        format!(r#"{{"type":"message","position":{position},"text":"x"}}"#)
    }

    fn offset(position: u64) -> String {
        format!("{position:016}_{:016}", position * 100)
    }

    fn read(seen: &mut Seen, truth: &Truth, positions: &[u64]) -> Vec<&'static str> {
        let taken = positions.iter().map(|at| seen.take(truth, &event(*at)));
        taken.filter_map(|taken| taken.err().map(|fault| fault.kind)).collect()
    }

    #[test]
    fn positions_follow_each_other() {
        let truth = Truth::default();
        let mut seen = Seen::new("a");
        assert!(read(&mut seen, &truth, &[1, 2, 3]).is_empty());
        assert_eq!(seen.stands(&offset(3)), None);
        assert!(seen.stands(&offset(2)).is_some());
        assert_eq!(read(&mut seen, &truth, &[5, 6]), ["gap"]);
        assert_eq!(read(&mut seen, &truth, &[3, 4]), ["came again, or out of order"]);
        let positions: Vec<_> = seen.log().iter().map(|entry| entry.event.position).collect();
        assert_eq!(positions, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_gap_or_a_repetition_over_a_break_is_found() {
        let truth = Truth::default();
        let mut seen = Seen::new("a");
        assert_eq!(seen.begin(&offset(0), false), None);
        assert!(read(&mut seen, &truth, &[1, 2, 3]).is_empty());
        seen.stands(&offset(3));
        assert_eq!(seen.begin(&offset(3), false), None);
        assert!(seen.begin(&offset(2), false).is_some());
        let (mut late, mut early) = (Seen::new("b"), Seen::new("c"));
        for (seen, next) in [(&mut late, 5), (&mut early, 3)] {
            seen.begin(&offset(0), false);
            assert!(read(seen, &truth, &[1, 2, 3]).is_empty());
            seen.stands(&offset(3));
            seen.begin(&offset(3), false);
            assert_eq!(read(seen, &truth, &[next]).len(), 1);
        }
    }

    #[test]
    fn whoever_comes_in_again_reads_from_the_beginning() {
        let truth = Truth::default();
        let mut seen = Seen::new("a");
        assert!(read(&mut seen, &truth, &[1, 2]).is_empty());
        assert_eq!(seen.take(&truth, r#"{"type":"leave","position":3,"user":"a"}"#), Ok(()));
        assert!(seen.has_ended() && seen.ends() == 1);
        assert_eq!(seen.begin(&offset(0), true), None);
        assert_eq!(seen.ends(), 0);
        assert!(read(&mut seen, &truth, &[1, 2]).is_empty());
        assert_eq!(seen.log().len(), 3);
    }
}
