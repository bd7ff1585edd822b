//! What is added to a stream at once, before it has a place there.

use super::Lengths;
use bytes::Bytes;

/// Records that belong together: they are added all or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    lengths: Lengths,
    body: Bytes,
    messages: bool,
}

impl Records {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { lengths: Lengths::Many([].into()), body: Bytes::new(), messages: false }
    }

    /// Bytes as one record; none at all as none.
    #[must_use]
    pub fn bytes(body: Bytes) -> Self {
        if body.is_empty() {
            return Self::none();
        }
        Self { lengths: Lengths::One, body, messages: false }
    }

    /// JSON messages, each with the comma behind it, of these lengths in `body`.
    #[must_use]
    pub fn messages(lengths: &[u32], body: Bytes) -> Self {
        debug_assert_eq!(lengths.iter().map(|n| *n as usize).sum::<usize>(), body.len());
        let lengths = match lengths {
            [_] => Lengths::One,
            many => Lengths::Many(many.into()),
        };
        Self { lengths, body, messages: true }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.lengths {
            Lengths::One => 1,
            Lengths::Many(many) => many.len(),
        }
    }

    /// Their bytes together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether they are JSON messages, and so may go only to a stream of such.
    #[must_use]
    pub fn are_messages(&self) -> bool {
        self.messages
    }

    /// Lengths and bytes, for a chunk.
    #[must_use]
    pub fn into_parts(self) -> (Lengths, Bytes) {
        (self.lengths, self.body)
    }
}

impl Default for Records {
    fn default() -> Self {
        Self::none()
    }
}
