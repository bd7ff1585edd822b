//! What must not be. A server that does something wrong does it often, so faults are counted by
//! their kind, with the first of each in words.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::sample::Sample;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What faults of its kind have in common.
    pub kind: &'static str,
    /// What it was.
    pub text: String,
}

impl Fault {
    /// A fault.
    pub fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// Faults by their kind.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, (u64, String)>>);

impl Tally {
    /// Counts a fault that was found at a place.
    pub fn add(&self, place: &str, fault: Fault) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || (0, format!("{place}: {}", fault.text));
        kinds.entry(fault.kind).or_insert_with(first).0 += 1;
    }

    /// Counts several.
    pub fn add_all(&self, place: &str, faults: impl IntoIterator<Item = Fault>) {
        faults.into_iter().for_each(|fault| self.add(place, fault));
    }

    /// Adds them to the sample of the run.
    pub fn report(&self, sample: &mut Sample) {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, (count, first)) in kinds.iter() {
            sample.faults.add_many(*count, format!("{kind} ({count}): {first}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind_is_shown_and_all_count() {
        let tally = Tally::default();
        tally.add("alice", Fault::new("gap", "5 after 3"));
        tally.add_all("bob", [Fault::new("gap", "9 after 3"), Fault::new("order", "3 after 9")]);
        let mut sample = Sample::default();
        tally.report(&mut sample);
        assert_eq!(sample.faults.total, 3);
        assert_eq!(sample.faults.list, ["gap (2): alice: 5 after 3", "order (1): bob: 3 after 9"]);
    }
}
