//! How far somebody says to have come in a conversation.

/// What was asked for, and what was confirmed. Marks never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The largest `read` that was sent.
    pub read: u64,
    /// The largest `delivered` that was sent.
    pub delivered: u64,
}

impl Marks {
    /// The read mark that the server must have: the messages that somebody sends, they have read.
    pub fn expected_read(self, own: u64) -> u64 {
        self.read.max(own)
    }

    /// The delivered mark that the server must have: what is read has arrived.
    pub fn expected_delivered(self, own: u64) -> u64 {
        self.delivered.max(self.expected_read(own))
    }
}
