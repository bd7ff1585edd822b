//! Where several nodes share a log: what this node learns of a stream from others.

use super::{Channel, visible::Visible};
use crate::{
    admission::State,
    model::{Offset, StoredStream},
};
use std::sync::atomic::Ordering::Relaxed;

impl Channel {
    /// What is visible is what it is behind change `version` of the shared log.
    pub fn set_version(&self, version: u64) {
        self.with_visible(|visible| visible.set_version(version));
    }

    /// Says whether other nodes may know more of it and cannot be asked.
    pub fn set_uncertain(&self, uncertain: bool) {
        self.uncertain.store(uncertain, Relaxed);
    }

    /// Whether there may be more than what is here. Nothing comes behind the end.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.uncertain.load(Relaxed) && self.status().is_none_or(|status| status.closed.is_none())
    }

    /// Whoever it was, somebody has brought the content up to `tail` into the store, and the closing if
    /// it is `closed` there. At most `keep` bytes of what is stored stay in memory.
    pub fn stored_elsewhere(&self, tail: Offset, closed: bool, keep: usize) {
        self.with_visible(|visible| visible.stored_elsewhere(tail, closed, keep));
    }

    /// This is the row of the stream, which a flush has to fit; `None` where there is none.
    pub fn take_row(&self, row: Option<&StoredStream>, keep: usize) {
        let expires_ms = row.and_then(|row| row.expires_ms).unwrap_or(0);
        self.stored_expires_ms.store(expires_ms, Relaxed);
        self.with_visible(|visible| visible.take_row(row, keep));
    }

    /// Goes on from what the store has, which is further than what is here. What lies between is read
    /// from there.
    pub fn jump(&self, row: &StoredStream) {
        let mut state = self.writer();
        *state = State::new(row);
        self.with_visible(|visible| visible.jump(row));
    }

    /// Lets content that lies before `end` be read anew from the store as soon as that has it: it is
    /// about to become another there.
    pub fn erase_before(&self, end: Offset) {
        self.with_visible(|visible| visible.erase_before(end));
    }
}

impl Visible {
    fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    fn stored_elsewhere(&mut self, tail: Offset, closed: bool, keep: usize) {
        if tail.bytes < self.stored.bytes || tail.bytes > self.tail().bytes {
            return;
        }
        while let Some(wrote) = self.wrote.front()
            && wrote.is_within(tail, closed)
        {
            self.stored_writers.remember(&wrote.writer, wrote.end, wrote.closes);
            self.wrote.pop_front();
        }
        self.stored = tail;
        let erased = self.erases.partition_point(|end| end.bytes <= tail.bytes);
        if erased > 0 {
            self.erases.drain(..erased);
            self.forget_stored();
        } else {
            self.trim(keep);
        }
    }

    fn take_row(&mut self, row: Option<&StoredStream>, keep: usize) {
        self.row = row.map(super::visible::Row::of);
        if let Some(row) = row {
            self.stored_elsewhere(row.tail, row.closed.is_some(), keep);
            self.stored_writers.clone_from(&row.writers);
        }
    }

    fn jump(&mut self, row: &StoredStream) {
        let (erasures, low) = (self.erasures() + 1, self.low());
        *self = Self::new(row, true);
        self.follow(erasures, low);
    }

    fn erase_before(&mut self, end: Offset) {
        if self.erases.back().is_none_or(|last| last.bytes < end.bytes) {
            self.erases.push_back(end);
        }
    }
}
