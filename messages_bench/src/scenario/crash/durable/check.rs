//! Decides whether the own content of a stream is what its writers wrote. Pure.

use std::collections::{BTreeMap, HashMap};

use super::payload::Label;
use crate::check::excerpt;
use crate::dialect::live::Kind;
use crate::record::{Filler, first_difference};

/// What became of an append. One that has no fate yet is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was acknowledged; the stream ended at this offset behind it.
    Acknowledged(String),
    /// Nobody knows: it may be there, once.
    Doubtful,
    /// It was refused for good and must not be there.
    Refused,
}

/// What one writer knows of its appends, which have the numbers `0..issued`.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// How many it has tried.
    pub issued: u32,
    /// What became of them.
    pub fates: BTreeMap<u32, Fate>,
}

/// The ledgers of all writers of a stream.
pub type Ledgers = HashMap<u32, Ledger>;

/// What must be in a content that was read between two moments: all that was acknowledged `before`, and
/// of what was sent until `after` whatever is there.
pub fn between(before: &Ledgers, mut after: Ledgers) -> Ledgers {
    for (writer, ledger) in &mut after {
        let known = before.get(writer).map(|ledger| &ledger.fates);
        let is_due = |number: &u32, fate: &mut Fate| {
            let known = known.and_then(|fates| fates.get(number));
            known.is_some() || !matches!(fate, Fate::Acknowledged(_))
        };
        ledger.fates.retain(is_due);
    }
    after
}

/// What is known of a content.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged appends and the byte positions behind them.
    pub ends: Vec<(String, u64)>,
    /// Appends in doubt that are there.
    pub doubtful: u64,
    /// Everything that must not be.
    pub faults: Vec<String>,
}

/// Compares `content`, which begins at byte `base` of its stream, with what the writers know. With
/// `all` it is everything there is, and whatever was acknowledged must be in it.
pub fn check(
    filler: &Filler,
    kind: Kind,
    content: &[u8],
    base: u64,
    ledgers: &Ledgers,
    all: bool,
) -> Verdict {
    let mut check = Check { ledgers, next: HashMap::new(), verdict: Verdict::default() };
    let mut at = 0;
    while at < content.len() {
        let (rest, place) = (&content[at..], base + at as u64);
        let Some(label) = Label::of(rest, kind) else {
            // What a reader had seen when its stream was deleted may end anywhere.
            if all {
                let got = excerpt(rest);
                check.fault(format!("no append begins at byte {place}: {got}"));
            }
            break;
        };
        let due = label.content(filler, kind);
        if !rest.starts_with(&due) {
            let same = first_difference(rest, &due).unwrap_or(rest.len());
            if all || same < rest.len() {
                let (want, got) = (excerpt(&due[same..]), excerpt(&rest[same..]));
                let place = place + same as u64;
                check.fault(format!("{label:?} is wrong at byte {place}: {got} is not {want}"));
            }
            break;
        }
        at += due.len();
        check.found(label, base + at as u64);
    }
    check.finish(all)
}

struct Check<'a> {
    ledgers: &'a Ledgers,
    /// The number behind the last one of each writer.
    next: HashMap<u32, u32>,
    verdict: Verdict,
}

impl Check<'_> {
    fn fault(&mut self, fault: String) {
        self.verdict.faults.push(fault);
    }

    fn found(&mut self, label: Label, end: u64) {
        let Label { writer, number } = label;
        let next = self.next.insert(writer, number + 1).unwrap_or(0);
        if number < next {
            return self.fault(format!("{label:?} twice or out of order, where {next} was due"));
        }
        let Some(ledger) = self.ledgers.get(&writer).filter(|ledger| number < ledger.issued) else {
            return self.fault(format!("{label:?} was never written here"));
        };
        self.check_skipped(writer, next, number);
        match ledger.fates.get(&number) {
            Some(Fate::Acknowledged(offset)) => {
                let last = self.verdict.ends.last().map(|(last, _)| last);
                if let Some(last) = last.filter(|last| *last >= offset) {
                    let fault = format!("{label:?} was told {offset}, the one before it {last}");
                    self.fault(fault);
                }
                self.verdict.ends.push((offset.clone(), end));
            }
            Some(Fate::Doubtful) => self.verdict.doubtful += 1,
            Some(Fate::Refused) => self.fault(format!("{label:?} is there, but was refused")),
            None => (),
        }
    }

    /// What a writer wrote between two of its appends that are there must not be acknowledged.
    fn check_skipped(&mut self, writer: u32, from: u32, to: u32) {
        let Some(ledger) = self.ledgers.get(&writer).filter(|_| from < to) else {
            return;
        };
        let missing = ledger.fates.range(from..to);
        let missing: Vec<u32> = missing
            .filter(|(_, fate)| matches!(fate, Fate::Acknowledged(_)))
            .map(|(number, _)| *number)
            .collect();
        if !missing.is_empty() {
            self.fault(format!("missing of writer {writer}: {missing:?}"));
        }
    }

    fn finish(mut self, all: bool) -> Verdict {
        for (&writer, ledger) in self.ledgers {
            if all {
                let from = self.next.get(&writer).copied().unwrap_or(0);
                self.check_skipped(writer, from, ledger.issued.max(from));
            }
        }
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(filler: &Filler, numbers: &[u32]) -> Vec<u8> {
        let one = |number: &u32| Label { writer: 1, number: *number }.content(filler, Kind::Json);
        numbers.iter().flat_map(one).collect()
    }

    fn ledgers(issued: u32, special: &[(u32, Option<Fate>)]) -> Ledgers {
        let usual = |number| (number, Fate::Acknowledged(format!("{number:09}")));
        let mut fates: BTreeMap<u32, Fate> = (0..issued).map(usual).collect();
        for (number, fate) in special {
            match fate {
                Some(fate) => drop(fates.insert(*number, fate.clone())),
                None => drop(fates.remove(number)),
            }
        }
        Ledgers::from([(1, Ledger { issued, fates })])
    }

    fn faults(numbers: &[u32], ledgers: &Ledgers, all: bool) -> Vec<String> {
        let filler = Filler::new();
        check(&filler, Kind::Json, &content(&filler, numbers), 0, ledgers, all).faults
    }

    #[test]
    fn what_was_acknowledged_must_be_there_once_and_in_order() {
        let acknowledged = ledgers(3, &[]);
        assert!(faults(&[0, 1, 2], &acknowledged, true).is_empty());
        assert!(faults(&[0, 1], &acknowledged, false).is_empty(), "not read to the end");
        for wrong in [&[0, 1][..], &[0, 2], &[1, 2], &[0, 1, 1, 2], &[0, 2, 1], &[0, 1, 2, 3]] {
            assert!(!faults(wrong, &acknowledged, true).is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_in_doubt_may_be_there_and_what_was_refused_may_not() {
        for fate in [Some(Fate::Doubtful), None] {
            let doubtful = ledgers(3, &[(1, fate)]);
            assert!(faults(&[0, 1, 2], &doubtful, true).is_empty());
            assert!(faults(&[0, 2], &doubtful, true).is_empty());
            assert!(!faults(&[0, 1, 1, 2], &doubtful, true).is_empty());
        }
        let refused = ledgers(3, &[(1, Some(Fate::Refused))]);
        assert!(faults(&[0, 2], &refused, true).is_empty());
        assert!(!faults(&[0, 1, 2], &refused, true).is_empty());
    }

    #[test]
    fn what_is_acknowledged_meanwhile_may_be_there() {
        let (before, after) = (ledgers(2, &[]), ledgers(4, &[]));
        let meanwhile = between(&before, after);
        for right in [&[0, 1][..], &[0, 1, 2], &[0, 1, 2, 3]] {
            assert!(faults(right, &meanwhile, true).is_empty(), "{right:?}");
        }
        for wrong in [&[0][..], &[0, 2], &[0, 1, 2, 3, 4], &[0, 1, 2, 2]] {
            assert!(!faults(wrong, &meanwhile, true).is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn offsets_must_grow_with_the_content() {
        let told = |offset: &str| Some(Fate::Acknowledged(offset.to_owned()));
        let twisted = ledgers(2, &[(0, told("5")), (1, told("4"))]);
        assert!(!faults(&[0, 1], &twisted, true).is_empty());
        assert!(!faults(&[0, 1], &ledgers(2, &[(0, told("5")), (1, told("5"))]), true).is_empty());
    }

    #[test]
    fn any_wrong_byte_is_noticed() {
        let filler = Filler::new();
        let acknowledged = ledgers(2, &[]);
        let right = content(&filler, &[0, 1]);
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            let verdict = check(&filler, Kind::Json, &wrong, 0, &acknowledged, true);
            assert!(!verdict.faults.is_empty(), "byte {at}");
        }
        let cut = check(&filler, Kind::Json, &right[..right.len() - 1], 0, &acknowledged, true);
        assert!(!cut.faults.is_empty());
    }
}
