//! What readers have seen of a stream: from then on it must stay.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::excerpt;
use crate::record::first_difference;

/// The longest content that any reader has seen of one stream.
#[derive(Default)]
pub struct Truth(Mutex<Vec<u8>>);

impl Truth {
    fn open(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes have been seen.
    pub fn len(&self) -> u64 {
        self.open().len() as u64
    }

    /// A copy of what has been seen.
    pub fn content(&self) -> Vec<u8> {
        self.open().clone()
    }

    /// Takes what a reader got at `position`, and tells if others got something else there.
    /// Readers have no gaps, so `position` is never beyond what has been seen.
    pub fn saw(&self, position: u64, bytes: &[u8]) -> Option<String> {
        let mut seen = self.open();
        let position = usize::try_from(position).ok().filter(|p| *p <= seen.len());
        let Some(position) = position else {
            return Some("a reader is beyond everything that was read".to_owned());
        };
        let known = &seen[position..];
        let common = known.len().min(bytes.len());
        if known[..common] == bytes[..common] {
            seen.extend_from_slice(&bytes[common..]);
            return None;
        }
        let same = first_difference(known, bytes).unwrap_or(0);
        let (want, got) = (excerpt(&known[same..]), excerpt(&bytes[same..]));
        let at = position + same;
        Some(format!("byte {at} has changed: readers had seen {want}, now it is {got}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_must_stay() {
        let truth = Truth::default();
        assert_eq!(truth.saw(0, b"abcdef"), None);
        assert_eq!(truth.saw(0, b"abc"), None);
        assert_eq!(truth.saw(3, b"defghi"), None);
        assert_eq!(truth.len(), 9);
        let changed = truth.saw(4, b"efXh").expect("a difference");
        assert!(changed.starts_with("byte 6 has changed"), "{changed}");
        assert!(truth.saw(10, b"x").is_some());
        assert_eq!(truth.content(), b"abcdefghi");
    }
}
