//! Whether the log answers, and has room.

use super::Shared;
use crate::{limits::LOOK_PATIENCE_MS, shared_log::Memory, stream::StreamError};
use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

impl Shared {
    /// Says how much memory the log uses, and may: with that there is no room for more. Returns whether
    /// that was so before.
    pub fn set_memory(&self, memory: Memory) -> bool {
        let full = memory.max_bytes > 0 && memory.used_bytes >= memory.max_bytes;
        *self.log_memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        self.full.swap(full, Ordering::Relaxed)
    }

    /// What was said of the memory of the log last.
    #[must_use]
    pub fn log_memory(&self) -> Memory {
        *self.log_memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_down(&self, down: bool) {
        let mut since = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        *since = if down { since.or_else(|| Some(Instant::now())) } else { None };
    }

    /// Whether the log has not answered for so long that nobody should wait for it.
    pub(super) fn is_down(&self) -> bool {
        let since = *self.down.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() > Duration::from_millis(LOOK_PATIENCE_MS))
    }

    pub(super) fn check_room(&self) -> Result<(), StreamError> {
        if self.full.load(Ordering::Relaxed) { Err(StreamError::Overloaded) } else { Ok(()) }
    }
}
