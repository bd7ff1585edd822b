//! The journal against everything that can happen to its files: any prefix, any flipped bit. Never
//! a panic, never a wrong byte, and never silence about damage behind which something was promised.

use super::disk::SimDisk;
use super::random::Random;
use messages::{
    journal::{FileJournal, Journal, Mark, Replay, ReplayError},
    model::{
        Append, Change, Chunk, CloseReason, Create, Lengths, Lifetime, Offset, StreamId, Writer,
    },
};
use proptest::prelude::*;

const SEGMENT_BYTES: u64 = 1024;

type Changes = Vec<(StreamId, Change)>;

fn open(disk: &SimDisk) -> Result<(FileJournal, Replay), ReplayError> {
    FileJournal::open(Box::new(disk.clone()), SEGMENT_BYTES, true)
}

fn change(random: &mut Random) -> (StreamId, Change) {
    let id = StreamId(1 + random.next() % 3);
    if random.one_in(4) {
        let create = Create {
            name: format!("stream {}", random.below(100)).parse().expect("valid"),
            content_type: "text/plain".into(),
            tied: random.one_in(2),
            replaces: random.one_in(3).then_some(StreamId(9)),
            lifetime: Lifetime::Unlimited,
            fork: None,
        };
        return (id, Change::Create(create));
    }
    let lengths: Vec<u32> = (0..random.below(4)).map(|_| 1 + random.below(40) as u32).collect();
    let body: Vec<u8> = (0..lengths.iter().sum()).map(|_| random.next() as u8).collect();
    let lengths = if lengths.len() == 1 { Lengths::One } else { Lengths::Many(lengths.into()) };
    let at = Offset { records: random.next() % 1000, bytes: random.next() % 1000 };
    let close = random.one_in(5).then_some(CloseReason::Finished);
    let chunk = Chunk { at, lengths, body: body.into() };
    let tied = random.one_in(2);
    (id, Change::Append(Append { chunk, tied, close, writer: Writer::NOBODY }))
}

/// Writes batches of a few changes each.
fn write(journal: &mut FileJournal, random: &mut Random, batches: usize) -> Vec<Changes> {
    let mut written = Vec::new();
    for _ in 0..batches {
        let batch: Changes = (0..1 + random.below(3)).map(|_| change(random)).collect();
        let bytes = batch.iter().map(|(_, c)| messages::journal::codec::frame_bytes(c)).sum();
        journal.prepare(bytes).expect("room");
        journal.commit(&mut batch.iter().map(|(id, change)| (*id, change))).expect("committed");
        written.push(batch);
    }
    written
}

/// A journal as a killed process leaves it.
fn filled(seed: u64, batches: usize) -> (SimDisk, Vec<Changes>) {
    let (disk, mut random) = (SimDisk::default(), Random::new(seed));
    let (mut journal, _) = open(&disk).expect("empty");
    let written = write(&mut journal, &mut random, batches);
    (disk, written)
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let mut names = messages::journal::disk::Disk::list(disk).expect("names");
    names.retain(|name| name.ends_with(".journal"));
    names.sort();
    names
}

proptest! {
    #[test]
    fn what_was_committed_is_replayed_in_order(seed: u64, batches in 0usize..40) {
        let (disk, mut written) = filled(seed, batches);
        let (mut journal, replay) = open(&disk).expect("whole");
        prop_assert_eq!(&replay.changes, &written.concat());
        prop_assert_eq!(replay.mark, Mark(batches as u64));
        // And it goes on behind that.
        written.extend(write(&mut journal, &mut Random::new(seed ^ 1), 5));
        drop(journal);
        let (_, replay) = open(&disk).expect("whole");
        prop_assert_eq!(replay.changes, written.concat());
    }

    #[test]
    fn any_prefix_of_the_last_file_is_a_torn_end(seed: u64, batches in 1usize..12, at: prop::sample::Index) {
        let (disk, written) = filled(seed, batches);
        let last = segments(&disk).pop().expect("a segment");
        disk.with_file(&last, |bytes| bytes.truncate(at.index(bytes.len())));
        let (_, replay) = open(&disk).expect("a torn end is repaired");
        prop_assert!(written.concat().starts_with(&replay.changes));
        // The repair is lasting.
        let (_, again) = open(&disk).expect("repaired");
        prop_assert_eq!(again.changes, replay.changes);
    }

    #[test]
    fn a_flipped_bit_is_noticed_or_harmless(seed: u64, batches in 1usize..20, file: prop::sample::Index, at: prop::sample::Index, bit in 0u8..8) {
        let (disk, written) = filled(seed, batches);
        let names = segments(&disk);
        let name = &names[file.index(names.len())];
        let position = disk.with_file(name, |bytes| {
            let position = at.index(bytes.len());
            bytes[position] ^= 1 << bit;
            position
        });
        let all = written.concat();
        match open(&disk) {
            Ok((_, replay)) => {
                // Only the last batch can be gone: it looks like one that was never finished.
                let kept = written[..batches - 1].concat();
                prop_assert!(all.starts_with(&replay.changes), "wrong changes");
                prop_assert!(replay.changes.starts_with(&kept), "silently lost promised changes");
            }
            Err(ReplayError::Damaged { file, position: said }) => {
                prop_assert_eq!(&file, name);
                prop_assert!(said <= position as u64);
            }
            Err(ReplayError::Version { .. }) => prop_assert!(false, "a checksum let it through"),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let (disk, _) = filled(1, 60);
    let names = segments(&disk);
    assert!(names.len() > 3, "{names:?}");
    messages::journal::disk::Disk::remove(&mut disk.clone(), &names[1]).unwrap();
    let error = open(&disk).err().expect("a gap").to_string();
    assert!(error.contains(&names[1]), "{error}");
}

#[test]
fn what_is_stored_is_trimmed_and_its_files_are_used_again() {
    let (disk, mut random) = (SimDisk::default(), Random::new(3));
    let (mut journal, _) = open(&disk).unwrap();
    let mut written = write(&mut journal, &mut random, 40);
    let before = segments(&disk).len();
    journal.trim(Mark(20)).unwrap();
    assert!(segments(&disk).len() < before);
    written.extend(write(&mut journal, &mut random, 40));
    drop(journal);
    let (mut journal, replay) = open(&disk).unwrap();
    assert!(written[20..].concat().len() <= replay.changes.len(), "something unstored is gone");
    assert!(written.concat().ends_with(&replay.changes));
    journal.trim(replay.mark).unwrap();
    drop(journal);
    let (_, replay) = open(&disk).unwrap();
    assert_eq!(replay.changes, []);
}

#[test]
fn a_full_disk_changes_nothing_and_passes() {
    let disk = SimDisk::default();
    let (mut journal, _) = open(&disk).unwrap();
    let mut random = Random::new(4);
    let mut written = write(&mut journal, &mut random, 10);
    let used = segments(&disk).len() as u64 * SEGMENT_BYTES;
    disk.set_capacity(Some(used));
    assert!(journal.prepare(SEGMENT_BYTES as usize / 2 + 500).is_err());
    disk.set_capacity(None);
    written.extend(write(&mut journal, &mut random, 10));
    drop(journal);
    assert_eq!(open(&disk).unwrap().1.changes, written.concat());
}

fn append(body: Vec<u8>) -> (StreamId, Change) {
    let chunk = Chunk { at: Offset::ZERO, lengths: Lengths::One, body: body.into() };
    let append = Append { chunk, tied: false, close: None, writer: Writer::NOBODY };
    (StreamId(1), Change::Append(append))
}

fn commit(journal: &mut FileJournal, (id, change): (StreamId, Change)) -> Mark {
    journal.prepare(messages::journal::codec::frame_bytes(&change)).expect("room");
    journal.commit(&mut std::iter::once((id, &change))).expect("committed")
}

/// What a client sends stands in files that are used again. None of it may be taken for a frame,
/// wherever the valid part of a later segment ends.
#[test]
fn content_that_looks_like_frames_is_only_content() {
    for size in 1..200 {
        let disk = SimDisk::default();
        let (mut journal, _) = open(&disk).unwrap();
        let mut forged = Vec::new();
        while forged.len() < 700 {
            let change = append(b"forged".to_vec()).1;
            for tag in [1, 2, 3] {
                let place = (tag, u64::MAX - 1, true);
                messages::journal::codec::encode_change(StreamId(7), &change, place, &mut forged);
            }
        }
        commit(&mut journal, append(forged));
        let mark = commit(&mut journal, append(vec![b'x'; 700]));
        commit(&mut journal, append(vec![b'y'; 700]));
        journal.trim(mark).unwrap();
        commit(&mut journal, append(vec![b'z'; size]));
        drop(journal);
        let (_, replay) = open(&disk).expect("nothing is damaged");
        assert!(
            replay.changes.iter().all(|(id, _)| *id == StreamId(1)),
            "a forged change at {size}"
        );
        assert!(replay.torn.is_none(), "nothing was torn: {:?}", replay.torn);
    }
}

/// Restarts in which nothing happens, between others.
#[test]
fn quiet_restarts_bring_nothing_back() {
    let disk = SimDisk::default();
    let (mut journal, _) = open(&disk).unwrap();
    let mark = commit(&mut journal, append(b"old".to_vec()));
    drop(journal);
    let (mut journal, replay) = open(&disk).unwrap();
    assert_eq!(replay.changes.len(), 1);
    journal.trim(mark).unwrap();
    for _ in 0..3 {
        drop(journal);
        let replay;
        (journal, replay) = open(&disk).unwrap();
        assert_eq!(replay.changes, []);
    }
    let new = append(b"new".to_vec());
    commit(&mut journal, new.clone());
    drop(journal);
    assert_eq!(open(&disk).unwrap().1.changes, [new]);
}

/// A segment as it was written before there were forks, producers and deletions.
fn old_segment(disk: &SimDisk, version: u32, changes: &Changes) {
    use messages::journal::{
        codec::{Frame, encode_change, encode_mark},
        disk::Disk,
    };
    let (mut bytes, tag) = (Vec::new(), 77);
    encode_mark(&Frame::Begin(version, tag), 1, 0, &mut bytes);
    encode_mark(&Frame::Begin(version, tag), 1, 0, &mut bytes);
    for (at, (id, change)) in changes.iter().enumerate() {
        let start = bytes.len();
        encode_change(*id, change, (tag, at as u64 + 1, true), &mut bytes);
        let kind = bytes[start + messages::journal::codec::FRAME_HEAD_BYTES];
        assert!(matches!(kind, 3 | 4), "version 1 has no kind {kind}");
    }
    let mut disk = disk.clone();
    disk.open("0000000000000001.journal").unwrap().write_at(&bytes, 0).unwrap();
    disk.sync_names().unwrap();
}

#[test]
fn a_journal_of_version_1_is_read_and_a_later_one_is_refused() {
    let changes: Changes = {
        let mut random = Random::new(9);
        (0..20).map(|_| change(&mut random)).collect()
    };
    let disk = SimDisk::default();
    old_segment(&disk, 1, &changes);
    let (mut journal, replay) = open(&disk).expect("readable");
    assert_eq!((replay.changes, replay.mark), (changes.clone(), Mark(20)));
    let new = write(&mut journal, &mut Random::new(10), 5).concat();
    drop(journal);
    assert_eq!(open(&disk).expect("whole").1.changes, [changes.clone(), new].concat());

    let disk = SimDisk::default();
    old_segment(&disk, 3, &changes);
    let error = open(&disk).err();
    assert!(matches!(error, Some(ReplayError::Version { found: 3, .. })), "{error:?}");
}

/// What was queued in one step happens in one step, wherever a crash cuts the file.
#[test]
fn a_batch_comes_back_whole_or_not_at_all() {
    let (disk, written) = filled(5, 4);
    let last = segments(&disk).pop().expect("a segment");
    let whole = disk.with_file(&last, |bytes| bytes.clone());
    for cut in 0..whole.len() {
        let (disk, _) = filled(5, 4);
        let name = segments(&disk).pop().expect("a segment");
        disk.with_file(&name, |bytes| bytes.truncate(cut));
        let (_, replay) = open(&disk).expect("a torn end is repaired");
        let batches = (0..=4).find(|n| written[..*n].concat() == replay.changes);
        assert!(batches.is_some(), "a part of a batch came back after a cut at {cut}");
    }
    assert!(written.iter().any(|batch| batch.len() > 1), "batches of several changes");
}
