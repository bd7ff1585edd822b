//! The cursor that live answers carry, so that caches between us and many readers can tell one
//! round of waiting from the next (PROTOCOL.md, 10.1).

use super::super::jitter::jitter;

/// 2024-10-09T00:00:00Z.
const EPOCH_MS: u64 = 1_728_432_000_000;

const INTERVAL_MS: u64 = 20_000;

/// By how many intervals a cursor may run ahead: an hour.
const AHEAD_MAX: u64 = 180;

/// The cursor to answer with at `now_ms`, greater than the one that the reader `had`.
pub(super) fn next(now_ms: u64, had: Option<u64>) -> u64 {
    let present = now_ms.saturating_sub(EPOCH_MS) / INTERVAL_MS;
    match had {
        Some(had) if had >= present => had.saturating_add(1 + jitter(AHEAD_MAX)),
        _ => present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_only_grows() {
        let now_ms = EPOCH_MS + 1000 * INTERVAL_MS + 7;
        assert_eq!(next(now_ms, None), 1000);
        assert_eq!(next(now_ms, Some(999)), 1000);
        for had in [1000, 1001, 5000, u64::MAX - 1] {
            let cursor = next(now_ms, Some(had));
            assert!(cursor > had && cursor - had <= AHEAD_MAX, "{cursor} after {had}");
        }
    }
}
