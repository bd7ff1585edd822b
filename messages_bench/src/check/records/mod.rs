//! Checks a stream of equally long records by several writers against what each of them was told
//! had been stored: acknowledged records exactly once and in order, doubtful ones at most once.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Range;

use super::excerpt;
use crate::limits::FAULTS_KEPT;
use crate::record::{Filler, HEADER_BYTES, Record, decode, first_difference};

/// What one writer knows about its records in one stream.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// How many records it tried to write: their sequences are `0..issued`.
    pub issued: u32,
    /// The sequences that were never acknowledged: they may be there or not.
    pub doubtful: Vec<u32>,
}

/// The ledgers of all writers of one stream.
pub type Ledgers = HashMap<u32, Ledger>;

/// What a check found out.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Whole, right records.
    pub records: u64,
    /// Doubtful records that turned out to be stored.
    pub doubtful_stored: u64,
    /// Doubtful records of which only the beginning is stored.
    pub torn: u64,
    /// Everything that must not be.
    pub faults: Vec<String>,
}

/// How far one writer's records have been seen.
#[derive(Debug)]
struct Seen {
    writer: u32,
    next: u32,
    missing: Vec<Range<u32>>,
    present: u64,
}

/// Reads a stream in pieces of any size.
pub struct RecordCheck {
    size: usize,
    position: u64,
    partial: Vec<u8>,
    /// Bytes that belong to no right record, since the last right one.
    stray: Vec<u8>,
    strays: Vec<(u64, Vec<u8>)>,
    seen: Vec<Seen>,
    last: usize,
    records: u64,
    faults: Vec<String>,
}

impl RecordCheck {
    /// A check of records of `size` bytes.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            position: 0,
            partial: Vec::new(),
            stray: Vec::new(),
            strays: Vec::new(),
            seen: Vec::new(),
            last: 0,
            records: 0,
            faults: Vec::new(),
        }
    }

    /// Right records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes the next bytes; `on_record` hears of each right record. Records that lie whole in
    /// `bytes` are checked in place.
    pub fn feed(&mut self, filler: &Filler, mut bytes: &[u8], mut on_record: impl FnMut(Record)) {
        loop {
            let whole = self.partial.is_empty() && bytes.len() >= self.size;
            if whole && let Ok(record) = filler.check(&bytes[..self.size]) {
                bytes = &bytes[self.size..];
                self.accept(record, &mut on_record);
                continue;
            }
            let wanted = self.size - self.partial.len();
            if bytes.len() < wanted {
                self.partial.extend_from_slice(bytes);
                return;
            }
            self.partial.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            match filler.check(&self.partial) {
                Ok(record) => {
                    self.partial.clear();
                    self.accept(record, &mut on_record);
                }
                // Something is wrong: look for the next right record from the next byte on.
                Err(_) => self.stray.push(self.partial.remove(0)),
            }
        }
    }

    fn accept(&mut self, record: Record, on_record: &mut impl FnMut(Record)) {
        self.end_stray();
        self.count(record);
        self.position += self.size as u64;
        self.records += 1;
        on_record(record);
    }

    fn end_stray(&mut self) {
        if self.stray.is_empty() {
            return;
        }
        let stray = std::mem::take(&mut self.stray);
        let start = self.position;
        self.position += stray.len() as u64;
        if self.strays.len() < FAULTS_KEPT {
            self.strays.push((start, stray));
        }
    }

    fn count(&mut self, record: Record) {
        let at = self.position;
        let seen = self.writer(record.writer);
        let sequence = record.sequence;
        if sequence == seen.next {
            seen.next = seen.next.wrapping_add(1);
            seen.present += 1;
        } else if sequence > seen.next {
            seen.missing.push(seen.next..sequence);
            seen.next = sequence.wrapping_add(1);
            seen.present += 1;
        } else {
            let late = take_out(&mut seen.missing, sequence);
            let (what, next) =
                if late { ("out of order", seen.next) } else { ("twice", seen.next) };
            let writer = record.writer;
            self.fault(format_args!(
                "record {sequence} of writer {writer} {what}: at byte {at}, where {next} was due"
            ));
        }
    }

    fn writer(&mut self, writer: u32) -> &mut Seen {
        // One writer is the usual case, and several come in turns: try the last one first.
        if self.seen.get(self.last).is_none_or(|seen| seen.writer != writer) {
            self.last =
                self.seen.iter().position(|seen| seen.writer == writer).unwrap_or_else(|| {
                    self.seen.push(Seen { writer, next: 0, missing: Vec::new(), present: 0 });
                    self.seen.len() - 1
                });
        }
        &mut self.seen[self.last]
    }

    fn fault(&mut self, fault: impl Display) {
        if self.faults.len() < FAULTS_KEPT {
            self.faults.push(fault.to_string());
        }
    }

    /// Compares with what the writers know. Every writer of the stream must be in `ledgers`.
    pub fn finish(mut self, filler: &Filler, ledgers: &Ledgers) -> Verdict {
        let rest = std::mem::take(&mut self.partial);
        self.stray.extend_from_slice(&rest);
        self.end_stray();
        let mut torn = 0;
        for (at, stray) in std::mem::take(&mut self.strays) {
            if self.is_torn(filler, ledgers, &stray) {
                torn += 1;
            } else {
                self.report_stray(filler, at, &stray);
            }
        }
        let mut doubtful_stored = 0;
        for (&writer, ledger) in ledgers {
            doubtful_stored += self.settle(writer, ledger);
        }
        for at in 0..self.seen.len() {
            let (writer, present) = (self.seen[at].writer, self.seen[at].present);
            if !ledgers.contains_key(&writer) {
                self.fault(format_args!(
                    "{present} records of writer {writer}, who never wrote here"
                ));
            }
        }
        Verdict { records: self.records, doubtful_stored, torn, faults: self.faults }
    }

    /// Reports what is missing of one writer; tells how many doubtful records are there.
    fn settle(&mut self, writer: u32, ledger: &Ledger) -> u64 {
        let seen = self.writer(writer);
        let (next, issued) = (seen.next, ledger.issued);
        let mut missing = std::mem::take(&mut seen.missing);
        if next > issued {
            self.fault(format_args!(
                "writer {writer}: records {issued}..{next} were never written"
            ));
        }
        if next < issued {
            missing.push(next..issued);
        }
        let mut absent = 0;
        for range in missing {
            for sequence in range {
                if ledger.doubtful.contains(&sequence) {
                    absent += 1;
                } else {
                    self.fault(format_args!("record {sequence} of writer {writer} is missing"));
                }
            }
        }
        ledger.doubtful.len() as u64 - absent
    }

    /// Whether these bytes are the beginning of a record that was never acknowledged.
    fn is_torn(&self, filler: &Filler, ledgers: &Ledgers, stray: &[u8]) -> bool {
        if stray.len() >= self.size {
            return false;
        }
        if let Some(head) = decode(stray) {
            let doubtful =
                ledgers.get(&head.writer).is_some_and(|l| l.doubtful.contains(&head.sequence));
            return doubtful && filler.encode(head, self.size).starts_with(stray);
        }
        // The time in the head is not known, but writer and sequence are.
        let known = &stray[..stray.len().min(16)];
        stray.len() < HEADER_BYTES
            && ledgers.iter().any(|(&writer, ledger)| {
                ledger.doubtful.iter().any(|&sequence| {
                    let record = Record { writer, sequence, time: 0 };
                    filler.encode(record, HEADER_BYTES).starts_with(known)
                })
            })
    }

    fn report_stray(&mut self, filler: &Filler, at: u64, stray: &[u8]) {
        let got = excerpt(stray);
        let bytes = stray.len();
        let Some(head) = decode(stray) else {
            return self.fault(format_args!("{bytes} bytes from byte {at} are no record: {got}"));
        };
        // Its place in the order is taken although its bytes are wrong: it is not missing as well.
        let seen = self.writer(head.writer);
        if head.sequence == seen.next {
            seen.next += 1;
        }
        take_out(&mut seen.missing, head.sequence);
        let expected = filler.encode(head, self.size);
        let differs = first_difference(stray, &expected).unwrap_or(bytes.min(expected.len()));
        let (want, got) = (excerpt(&expected[differs..]), excerpt(&stray[differs.min(bytes)..]));
        let (writer, sequence) = (head.writer, head.sequence);
        let first = at + differs as u64;
        self.fault(format_args!(
            "record {sequence} of writer {writer} is wrong from byte {first} on: expected {want}, got {got}"
        ));
    }
}

/// Removes one number from a list of ranges; false when it is in none of them.
fn take_out(ranges: &mut Vec<Range<u32>>, number: u32) -> bool {
    let Some(at) = ranges.iter().position(|range| range.contains(&number)) else {
        return false;
    };
    let range = ranges.swap_remove(at);
    let halves = [range.start..number, number + 1..range.end];
    ranges.extend(halves.into_iter().filter(|half| !half.is_empty()));
    true
}

#[cfg(test)]
mod tests;
