//! How long a stream lives, and what it grows from.

use super::{Offset, StreamId, StreamName};

/// When a stream goes away by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// Never.
    #[default]
    Unlimited,
    /// After so many seconds in which nobody has read or written.
    Idle {
        /// Seconds.
        secs: u64,
    },
    /// At a time of day.
    Until {
        /// Milliseconds since 1970.
        ms: u64,
    },
}

impl Lifetime {
    /// When a stream ends that was last used at `used_ms`; `None` for never.
    #[must_use]
    pub fn expires_ms(self, used_ms: u64) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Idle { secs } => Some(used_ms.saturating_add(secs.saturating_mul(1000))),
            Self::Until { ms } => Some(ms),
        }
    }
}

/// Where a stream branched off another one. It has everything of the source up to there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The source.
    pub source: StreamId,
    /// Its name, which stays its own for as long as it has forks.
    pub source_name: StreamName,
    /// Where the fork's own content begins. Inside of a record, the part before it counts as a whole
    /// record of the fork.
    pub at: Offset,
    /// What was asked for when the fork was created, so that a repetition is known.
    pub asked: ForkPoint,
}

/// What somebody who forks a stream says of the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForkPoint {
    /// A position of the source; `None` for its end, wherever that is.
    pub anchor: Option<Offset>,
    /// How many messages (JSON) or bytes (anything else) behind it.
    pub beyond: u64,
}
