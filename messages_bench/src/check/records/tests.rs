//! Every way in which a stream can be wrong must be noticed, however it is cut into pieces.

use super::*;

const SIZE: usize = 64;

fn record(filler: &Filler, writer: u32, sequence: u32) -> Vec<u8> {
    filler.encode(Record { writer, sequence, time: 9 }, SIZE).to_vec()
}

fn ledgers(issued: u32, doubtful: &[u32]) -> Ledgers {
    Ledgers::from([(1, Ledger { issued, doubtful: doubtful.to_vec() })])
}

fn verdict(content: &[u8], piece: usize, ledgers: &Ledgers) -> Verdict {
    let filler = Filler::new();
    let mut check = RecordCheck::new(SIZE);
    content.chunks(piece).for_each(|piece| check.feed(&filler, piece, |_| ()));
    check.finish(&filler, ledgers)
}

/// The content of these sequences, read in pieces of every size, always gives these faults.
fn faults(sequences: &[u32], ledgers: &Ledgers) -> Vec<String> {
    let filler = Filler::new();
    let content: Vec<u8> = sequences.iter().flat_map(|s| record(&filler, 1, *s)).collect();
    let whole = verdict(&content, content.len().max(1), ledgers).faults;
    for piece in 1..2 * SIZE {
        assert_eq!(verdict(&content, piece, ledgers).faults, whole, "pieces of {piece}");
    }
    whole
}

#[test]
fn what_was_written_is_right() {
    assert!(faults(&[0, 1, 2, 3], &ledgers(4, &[])).is_empty());
    assert!(faults(&[], &ledgers(0, &[])).is_empty());
}

#[test]
fn a_gap_is_noticed() {
    assert_eq!(faults(&[0, 1, 3], &ledgers(4, &[])), ["record 2 of writer 1 is missing"]);
    assert_eq!(faults(&[0, 1, 2], &ledgers(4, &[])), ["record 3 of writer 1 is missing"]);
    assert_eq!(faults(&[1, 2, 3], &ledgers(4, &[])), ["record 0 of writer 1 is missing"]);
}

#[test]
fn a_duplicate_is_noticed() {
    let faults = faults(&[0, 1, 1, 2], &ledgers(3, &[]));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("record 1 of writer 1 twice"), "{faults:?}");
}

#[test]
fn a_reorder_is_noticed() {
    let faults = faults(&[0, 2, 1, 3], &ledgers(4, &[]));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("record 1 of writer 1 out of order"), "{faults:?}");
}

#[test]
fn a_record_too_many_is_noticed() {
    assert_eq!(faults(&[0, 1], &ledgers(1, &[])), ["writer 1: records 1..2 were never written"]);
    let strange = Ledgers::new();
    assert_eq!(faults(&[0], &strange), ["1 records of writer 1, who never wrote here"]);
}

#[test]
fn a_flipped_byte_is_noticed_wherever_it_is() {
    let filler = Filler::new();
    let content: Vec<u8> = (0..3).flat_map(|s| record(&filler, 1, s)).collect();
    for at in 0..content.len() {
        let mut broken = content.clone();
        broken[at] ^= 1;
        let faults = verdict(&broken, 50, &ledgers(3, &[])).faults;
        assert!(!faults.is_empty(), "byte {at}");
    }
    let mut broken = content;
    broken[SIZE + 50] ^= 1;
    let faults = verdict(&broken, 50, &ledgers(3, &[])).faults;
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("record 1 of writer 1 is wrong from byte 114 on"), "{faults:?}");
}

#[test]
fn a_doubtful_record_may_be_there_or_not_or_torn() {
    let ledgers = ledgers(4, &[1, 3]);
    assert!(faults(&[0, 1, 2, 3], &ledgers).is_empty());
    assert!(faults(&[0, 2], &ledgers).is_empty());
    assert_eq!(faults(&[0, 1, 1, 2], &ledgers).len(), 1);
    let filler = Filler::new();
    for cut in 1..SIZE {
        let mut content = record(&filler, 1, 0);
        content.extend_from_slice(&record(&filler, 1, 1)[..cut]);
        content.extend(record(&filler, 1, 2));
        let verdict = verdict(&content, 30, &ledgers);
        assert_eq!((verdict.torn, verdict.faults), (1, vec![]), "cut at {cut}");
    }
}

#[test]
fn writers_may_be_interleaved() {
    let filler = Filler::new();
    let order = [(1, 0), (2, 0), (1, 1), (2, 1), (2, 2)];
    let content: Vec<u8> = order.iter().flat_map(|(w, s)| record(&filler, *w, *s)).collect();
    let ledger = |issued| Ledger { issued, doubtful: vec![] };
    let both = Ledgers::from([(1, ledger(2)), (2, ledger(3))]);
    let verdict = verdict(&content, 100, &both);
    assert_eq!((verdict.records, verdict.faults), (5, vec![]));
}
