//! Reading one segment file back, and telling a torn end from damage.

use super::codec::{self, Found, Frame, VERSION, VERSION_MIN};
use crate::model::{Change, StreamId};
use memchr::memmem;
use std::io;

/// Why the journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Something in the middle is not what was written.
    #[error(
        "the journal is damaged: file {file}, byte {position}; what comes after it cannot be trusted. \
         Restore the file from a backup, or move it away to go on without the changes in it"
    )]
    Damaged {
        /// The segment file.
        file: String,
        /// Where the first unreadable frame begins.
        position: u64,
    },
    /// A file between others is not there.
    #[error("the journal is damaged: file {file} is missing; restore it from a backup")]
    Missing {
        /// The segment file.
        file: String,
    },
    /// Written by another version of this program.
    #[error(
        "file {file} has journal format {found}, this program reads {VERSION_MIN} to {VERSION}"
    )]
    Version {
        /// The segment file.
        file: String,
        /// Its format.
        found: u32,
    },
    /// The file system refuses.
    #[error("the file system refuses: {0}")]
    Io(#[from] io::Error),
}

/// The valid content of a segment.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Every change with its stream, in order.
    pub changes: Vec<(StreamId, Change)>,
    /// The last batch that has a frame here; that of the segment before when there is none.
    pub last_batch: u64,
    /// Whether all of that batch is here.
    pub whole: bool,
    /// Where the valid part ends.
    pub end: u64,
    /// The tag of its frames.
    pub tag: u64,
    /// Whether a seal says that nothing is missing.
    pub sealed: bool,
}

impl Scan {
    /// Reads `bytes`, the content of `file`, as the segment with this number.
    pub fn read(file: &str, segment: u64, bytes: &[u8]) -> Result<Self, ReplayError> {
        let Some(Found { frame: Frame::Begin(version, tag), batch, size, .. }) =
            codec::decode(bytes, segment)
        else {
            return Ok(Self::default());
        };
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(ReplayError::Version { file: file.into(), found: version });
        }
        let mut scan = Self { last_batch: batch, whole: true, tag, ..Self::default() };
        // The second of the two that begin a segment says the same.
        let mut position = 2 * size;
        let mut before = (0, position, batch);
        while let Some(Found { frame, batch, last, size }) =
            bytes.get(position..).and_then(|rest| codec::decode(rest, tag))
        {
            if scan.whole {
                before = (scan.changes.len(), position, scan.last_batch);
            }
            match frame {
                Frame::Change(stream, change)
                    if batch == scan.last_batch + u64::from(scan.whole) =>
                {
                    scan.changes.push((stream, change));
                }
                Frame::Seal if batch == scan.last_batch => scan.sealed = true,
                _ => break,
            }
            (scan.last_batch, scan.whole) = (batch, last);
            position += size;
            if scan.sealed {
                break;
            }
        }
        if !scan.whole && !scan.sealed {
            // A batch happens whole or not at all. One in a sealed segment was shown in part by an
            // earlier version of this program.
            let count;
            (count, position, scan.last_batch) = before;
            scan.changes.truncate(count);
            scan.whole = true;
        }
        scan.end = position as u64;
        Ok(scan)
    }

    /// Whether what follows the valid part proves that it was once valid too.
    ///
    /// A crash can tear only the batch that was being written, so a frame of a later batch
    /// behind the end means that something was damaged after it had been acknowledged. A segment
    /// begins twice, so that damage to its beginning is not taken for an empty segment.
    pub fn is_damaged(&self, segment: u64, bytes: &[u8]) -> bool {
        if self.end == 0 {
            let second = bytes.get(begin(segment, 0, 0).len() / 2..);
            return second.is_some_and(|second| codec::decode(second, segment).is_some());
        }
        let torn_batch = self.last_batch + u64::from(self.whole);
        let rest = bytes.get(self.end as usize..).unwrap_or_default();
        frames(rest, self.tag).any(|found| found.batch > torn_batch)
    }

    /// Whether a write was cut short: something of this segment begins where its valid part ends.
    pub fn is_torn(&self, bytes: &[u8]) -> bool {
        let tag = self.tag.to_le_bytes();
        let at = self.end as usize + 8;
        self.end > 0 && bytes.get(at..at + 8).is_some_and(|found| found == tag)
    }
}

/// Every frame with `tag` that can be found anywhere in `bytes`.
fn frames(bytes: &[u8], tag: u64) -> impl Iterator<Item = Found> {
    let finder = memmem::Finder::new(&tag.to_le_bytes()).into_owned();
    let mut next = 0;
    std::iter::from_fn(move || {
        loop {
            let at = next + finder.find(bytes.get(next..)?)?;
            next = at + 1;
            let start = at.checked_sub(8);
            if let Some(found) = start.and_then(|start| codec::decode(&bytes[start..], tag)) {
                return Some(found);
            }
        }
    })
}

/// The frames that begin a segment.
pub(super) fn begin(segment: u64, tag: u64, last_batch: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..2 {
        codec::encode_mark(&Frame::Begin(VERSION, tag), segment, last_batch, &mut out);
    }
    out
}

/// The frame that says that a segment is complete.
pub(super) fn seal(tag: u64, last_batch: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(codec::SEAL_BYTES);
    codec::encode_mark(&Frame::Seal, tag, last_batch, &mut out);
    out
}
