//! How much of the streams is kept in memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The bytes that all windows hold together, and how many they may.
#[derive(Debug)]
pub struct WindowMemory {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl WindowMemory {
    /// Windows that may hold `bytes_max` bytes of what is stored already.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), bytes_max })
    }

    pub(super) fn change(&self, before: usize, after: usize) {
        if after > before {
            self.bytes.fetch_add(after - before, Relaxed);
        } else if after < before {
            self.bytes.fetch_sub(before - after, Relaxed);
        }
    }

    /// What one stream may keep of its stored content: half of everything, nothing when
    /// memory is full.
    #[must_use]
    pub fn keep_bytes(&self) -> usize {
        if self.bytes.load(Relaxed) > self.bytes_max { 0 } else { self.bytes_max / 2 }
    }

    /// How many bytes there are, and how many may be.
    #[must_use]
    pub fn used(&self) -> (usize, usize) {
        (self.bytes.load(Relaxed), self.bytes_max)
    }

    /// Whether memory is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.load(Relaxed) > self.bytes_max
    }
}
