//! The local journal: segment files of checksummed frames, one write and one barrier a batch.
//!
//! Segments are filled with zeros before use and recycled, because overwriting allocated blocks
//! needs no change of the file system's own metadata and so makes the barrier cheaper.

use super::{
    Journal, Mark,
    codec::{self, SEAL_BYTES},
    disk::{Disk, DiskFile},
    segment::{self, Scan},
};
use crate::limits::SPARE_SEGMENTS_MAX;
use crate::model::{Change, StreamId};
use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    io,
};

pub use super::segment::ReplayError;

/// What the journal held when it was opened.
#[derive(Debug, Default)]
pub struct Replay {
    /// Every change since the last trim, some of them perhaps stored already.
    pub changes: Vec<(StreamId, Change)>,
    /// The last batch.
    pub mark: Mark,
    /// The file and position of a write that a crash cut short. It has been repaired.
    pub torn: Option<(String, u64)>,
}

/// The journal of one machine.
pub struct FileJournal {
    disk: Box<dyn Disk>,
    /// Size of a segment.
    segment_bytes: u64,
    /// Whether a batch waits for the disk.
    barrier: bool,
    /// Full segments that hold changes which are not stored, oldest first, each with its last batch.
    full: VecDeque<(u64, u64)>,
    spares: Vec<String>,
    /// The first segment that this run has made.
    first: u64,
    current: Segment,
    /// Made ready by `prepare`; the next commit moves there.
    next: Option<Segment>,
    last_batch: u64,
    buffer: Vec<u8>,
}

struct Segment {
    number: u64,
    tag: u64,
    file: Box<dyn DiskFile>,
    end: u64,
}

impl FileJournal {
    /// Opens the journal on `disk`, repairs a torn end and tells what it holds. With `barrier` a
    /// commit waits until the disk has it, otherwise until the operating system has it.
    ///
    /// # Errors
    /// Damage that no crash explains, an unknown format, or a file system that refuses.
    pub fn open(
        mut disk: Box<dyn Disk>,
        segment_bytes: u64,
        barrier: bool,
    ) -> Result<(Self, Replay), ReplayError> {
        let names = disk.list()?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        // What an earlier run has left may be shorter, and then a full disk would be noticed only
        // by a commit, when it is too late: a segment is filled with zeros in the run that uses it.
        for name in names.iter().filter(|name| name.starts_with("spare.")) {
            disk.remove(name)?;
        }
        let (full, replay) = read_segments(&mut *disk, &mut numbers, barrier)?;
        let number = numbers.last().map_or(1, |last| last + 1);
        let last_batch = replay.mark.0;
        let mut spares = Vec::new();
        let current =
            make_segment(&mut *disk, &mut spares, number, last_batch, segment_bytes, barrier)?;
        let journal = Self {
            disk,
            segment_bytes,
            barrier,
            full,
            spares,
            first: number,
            current,
            next: None,
            last_batch,
            buffer: Vec::new(),
        };
        Ok((journal, replay))
    }

    /// Ends the current segment and goes on in the one that `prepare` has made.
    fn turn_over(&mut self) -> io::Result<()> {
        let Some(next) = self.next.take() else {
            return Ok(());
        };
        let mut old = std::mem::replace(&mut self.current, next);
        seal(&mut old, self.last_batch, self.barrier)?;
        self.full.push_back((old.number, self.last_batch));
        Ok(())
    }

    /// Removes all files, when the store has everything that is in them and nothing more is to be
    /// written here.
    ///
    /// # Errors
    /// A file could not be removed.
    pub fn remove(mut self) -> io::Result<()> {
        let full = self.full.iter().map(|(number, _)| *number);
        // The oldest first and each for good, so that a crash leaves no gap.
        for number in full.chain([self.current.number]) {
            self.disk.remove(&segment_name(number))?;
            self.disk.sync_names()?;
        }
        for spare in &self.spares {
            self.disk.remove(spare)?;
        }
        Ok(())
    }

    fn retire(&mut self, number: u64) -> io::Result<()> {
        let name = segment_name(number);
        if number >= self.first && self.spares.len() < SPARE_SEGMENTS_MAX {
            let spare = format!("spare.{number}");
            self.disk.rename(&name, &spare)?;
            self.spares.push(spare);
            return Ok(());
        }
        self.disk.remove(&name)
    }
}

impl Journal for FileJournal {
    fn prepare(&mut self, bytes: usize) -> io::Result<()> {
        let needed = (bytes + SEAL_BYTES) as u64;
        if self.next.is_some() || self.current.end + needed <= self.segment_bytes {
            return Ok(());
        }
        let next = make_segment(
            &mut *self.disk,
            &mut self.spares,
            self.current.number + 1,
            self.last_batch,
            self.segment_bytes,
            self.barrier,
        )?;
        self.next = Some(next);
        Ok(())
    }

    fn commit(&mut self, batch: &mut dyn Iterator<Item = (StreamId, &Change)>) -> io::Result<Mark> {
        self.turn_over()?;
        let number = self.last_batch + 1;
        self.buffer.clear();
        let mut batch = batch.peekable();
        while let Some((stream, change)) = batch.next() {
            let place = (self.current.tag, number, batch.peek().is_none());
            codec::encode_change(stream, change, place, &mut self.buffer);
        }
        self.current.file.write_at(&self.buffer, self.current.end)?;
        if self.barrier {
            self.current.file.sync()?;
        }
        self.current.end += self.buffer.len() as u64;
        self.last_batch = number;
        Ok(Mark(number))
    }

    fn trim(&mut self, stored: Mark) -> io::Result<()> {
        let mut freed = false;
        while let Some(&(number, last_batch)) = self.full.front() {
            if last_batch > stored.0 {
                break;
            }
            self.retire(number)?;
            self.full.pop_front();
            freed = true;
        }
        // Otherwise a power cut could bring an old file back without its neighbours.
        if freed && self.barrier { self.disk.sync_names() } else { Ok(()) }
    }
}

/// Reads all segments in order. Leaves in `numbers` those that hold anything, all of them sealed.
fn read_segments(
    disk: &mut dyn Disk,
    numbers: &mut Vec<u64>,
    barrier: bool,
) -> Result<(VecDeque<(u64, u64)>, Replay), ReplayError> {
    if let Some(gap) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        return Err(ReplayError::Missing { file: segment_name(gap[0] + 1) });
    }
    drop_empty_tail(disk, numbers)?;
    let (mut full, mut replay) = (VecDeque::new(), Replay::default());
    for &number in numbers.iter() {
        let file = segment_name(number);
        let bytes = disk.read(&file)?;
        let scan = Scan::read(&file, number, &bytes)?;
        if !scan.sealed {
            if Some(&number) != numbers.last() || scan.is_damaged(number, &bytes) {
                return Err(ReplayError::Damaged { file, position: scan.end });
            }
            if scan.is_torn(&bytes) {
                replay.torn = Some((file.clone(), scan.end));
            }
            let (tag, end) = (scan.tag, scan.end);
            let mut segment = Segment { number, tag, file: disk.open(&file)?, end };
            segment.file.set_len(scan.end)?;
            seal(&mut segment, scan.last_batch, barrier)?;
        } else if barrier {
            // A process that was killed may have written it and not synced it: what is read here
            // is shown to readers, and then a power cut must not take it back.
            disk.open(&file)?.sync()?;
        }
        replay.mark = Mark(replay.mark.0.max(scan.last_batch));
        replay.changes.extend(scan.changes);
        full.push_back((number, scan.last_batch));
    }
    Ok((full, replay))
}

/// A crash can leave a segment in which nothing was written yet, behind one that is not sealed yet.
fn drop_empty_tail(disk: &mut dyn Disk, numbers: &mut Vec<u64>) -> Result<(), ReplayError> {
    while let Some(&number) = numbers.last() {
        let file = segment_name(number);
        let bytes = disk.read(&file)?;
        let scan = Scan::read(&file, number, &bytes)?;
        if !scan.changes.is_empty() || scan.sealed {
            break;
        }
        if scan.is_damaged(number, &bytes) {
            return Err(ReplayError::Damaged { file, position: scan.end });
        }
        disk.remove(&file)?;
        numbers.pop();
    }
    Ok(())
}

fn seal(segment: &mut Segment, last_batch: u64, barrier: bool) -> io::Result<()> {
    let frame = segment::seal(segment.tag, last_batch);
    segment.file.write_at(&frame, segment.end)?;
    if barrier { segment.file.sync() } else { Ok(()) }
}

/// Makes an empty segment, from a spare file where there is one. Its name and first frame are
/// durable before anything is written to it. A failure leaves only a spare or nothing behind.
fn make_segment(
    disk: &mut dyn Disk,
    spares: &mut Vec<String>,
    number: u64,
    last_batch: u64,
    segment_bytes: u64,
    barrier: bool,
) -> io::Result<Segment> {
    let name = segment_name(number);
    let recycled = match spares.last() {
        Some(spare) => {
            disk.rename(spare, &name)?;
            spares.pop();
            true
        }
        None => false,
    };
    let made = (|| {
        let mut file = disk.open(&name)?;
        if recycled {
            file.set_len(segment_bytes)?;
        } else {
            let zeros = vec![0; 1 << 20];
            for at in (0..segment_bytes).step_by(zeros.len()) {
                let part = zeros.len().min((segment_bytes - at) as usize);
                file.write_at(&zeros[..part], at)?;
            }
        }
        let tag = random_tag();
        let frames = segment::begin(number, tag, last_batch);
        file.write_at(&frames, 0)?;
        if barrier {
            file.sync()?;
            disk.sync_names()?;
        }
        Ok(Segment { number, tag, file, end: frames.len() as u64 })
    })();
    if made.is_err() {
        disk.remove(&name).ok();
    }
    made
}

/// A number that nobody can guess: the standard library seeds its hash tables with such.
fn random_tag() -> u64 {
    RandomState::new().build_hasher().finish()
}

pub(super) fn segment_name(number: u64) -> String {
    format!("{number:016}.journal")
}

pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".journal")?.parse().ok()
}
