//! Chance, where many would otherwise do the same at the same time.

use std::hash::{BuildHasher, RandomState};

/// A number below `bound`, by chance: not for secrets.
pub(super) fn jitter(bound: u64) -> u64 {
    // Every one of them is seeded anew.
    RandomState::new().hash_one(()) % bound.max(1)
}
