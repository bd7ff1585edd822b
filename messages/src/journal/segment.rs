//! Reading one segment file back, and telling a torn end from damage.

use super::codec::{self, FRAME_HEAD_BYTES, Found, Frame, VERSION};
use crate::model::{Change, StreamId};
use bytes::Bytes;
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
    #[error("file {file} has journal format {found}, this program reads format {VERSION}")]
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
    /// Whether a seal says that nothing is missing.
    pub sealed: bool,
}

impl Scan {
    /// Reads `bytes`, the content of `file`, as the segment with this number.
    pub fn read(file: &str, segment: u64, bytes: &Bytes) -> Result<Self, ReplayError> {
        let mut scan = Self::default();
        let mut position = 0;
        while let Some(found) = codec::decode(&bytes.slice(position..), segment) {
            let Found { frame, batch, last, size } = found;
            if (position == 0) != matches!(frame, Frame::Begin(_)) {
                break;
            }
            match frame {
                Frame::Begin(VERSION) => {}
                Frame::Begin(found) => {
                    return Err(ReplayError::Version { file: file.into(), found });
                }
                Frame::Seal => scan.sealed = true,
                Frame::Change(stream, change) => scan.changes.push((stream, change)),
            }
            scan.last_batch = batch;
            scan.whole = last;
            position += size;
            if scan.sealed {
                break;
            }
        }
        scan.end = position as u64;
        Ok(scan)
    }

    /// Whether what follows the valid part proves that it was once valid too.
    ///
    /// A crash can tear only the batch that was being written, so a frame of a later batch
    /// behind the end means that something was damaged after it had been acknowledged.
    pub fn is_damaged(&self, segment: u64, bytes: &Bytes) -> bool {
        let torn_batch = self.last_batch + u64::from(self.whole);
        let from = (self.end as usize + 1).min(bytes.len());
        memmem::find_iter(&bytes[from..], &segment.to_le_bytes()).any(|found| {
            (from + found).checked_sub(8).filter(|start| *start >= from).is_some_and(|start| {
                codec::decode(&bytes.slice(start..), segment)
                    .is_some_and(|found| self.end == 0 || found.batch > torn_batch)
            })
        })
    }
}

/// The frame that begins a segment.
pub(super) fn begin(segment: u64, last_batch: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEAD_BYTES + 5);
    codec::encode_mark(&Frame::Begin(VERSION), segment, last_batch, &mut out);
    out
}

/// The frame that says that a segment is complete.
pub(super) fn seal(segment: u64, last_batch: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(codec::SEAL_BYTES);
    codec::encode_mark(&Frame::Seal, segment, last_batch, &mut out);
    out
}
