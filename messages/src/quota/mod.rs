//! What one principal may take of the server. Without keys all callers are one principal.
//!
//! Nobody waits to be counted: it is a look into memory. Of several nodes each says what it has counted
//! to the others, and what they have counted is taken off here (`news.rs`). So they know of each other
//! what was a moment ago: somebody who asks all of them at once may get his share on each, and has to wait
//! the longer for what comes after that.

mod news;
mod rate;
mod reads;

pub use reads::Place;

use crate::limits::REQUESTS_BURST_SECS;
use rate::Rate;
use reads::Reads;
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The shares of all principals. A share of zero is no limit.
pub struct Quotas {
    requests: Option<Rate>,
    creations: Option<Rate>,
    reads: Option<Reads>,
    messages: Option<Rate>,
    since: Instant,
}

/// A principal has had its share for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({})", what.as_str(), what.setting())]
pub struct Exceeded {
    /// Its share of what.
    pub what: Share,
    /// When to come again.
    pub retry_after_secs: u64,
}

/// What is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// Requests a second.
    Requests,
    /// New streams a minute.
    Creations,
    /// Reads that are open at once.
    Reads,
    /// Messages to conversations a minute.
    Messages,
}

impl Share {
    fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "too many requests in this time",
            Self::Creations => "too many new streams in this time",
            Self::Reads => "too many open reads",
            Self::Messages => "too many messages in this time",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Requests => "--requests-per-sec-max",
            Self::Creations => "--creations-per-min-max",
            Self::Reads => "--reads-per-principal-max",
            Self::Messages => "--messages-per-min-max",
        }
    }
}

impl Quotas {
    /// So many for each principal.
    #[must_use]
    pub fn new(
        requests_per_sec: u32,
        creations_per_min: u32,
        reads: u32,
        messages_per_min: u32,
    ) -> Self {
        let burst = requests_per_sec.saturating_mul(REQUESTS_BURST_SECS);
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        Self {
            requests: Rate::new(Share::Requests, requests_per_sec, second, burst),
            creations: Rate::new(Share::Creations, creations_per_min, minute, creations_per_min),
            reads: (reads > 0).then(|| Reads::new(reads)),
            messages: Rate::new(Share::Messages, messages_per_min, minute, messages_per_min),
            since: Instant::now(),
        }
    }

    /// Counts a request of `subject`.
    ///
    /// # Errors
    /// It is one too many.
    pub fn request(&self, subject: &Arc<str>) -> Result<(), Exceeded> {
        self.take(self.requests.as_ref(), subject)
    }

    /// Counts a stream that `subject` creates.
    ///
    /// # Errors
    /// It is one too many.
    pub fn creation(&self, subject: &Arc<str>) -> Result<(), Exceeded> {
        self.take(self.creations.as_ref(), subject)
    }

    /// Counts a message that `subject` sends to a conversation.
    ///
    /// # Errors
    /// It is one too many.
    pub fn message(&self, subject: &Arc<str>) -> Result<(), Exceeded> {
        self.take(self.messages.as_ref(), subject)
    }

    fn take(&self, rate: Option<&Rate>, subject: &Arc<str>) -> Result<(), Exceeded> {
        rate.map_or(Ok(()), |rate| rate.take(subject, self.now()))
    }

    /// Whether creations are counted, so that it is worth to find out whether something is one.
    #[must_use]
    pub fn counts_creations(&self) -> bool {
        self.creations.is_some()
    }

    /// A place for a read of `subject`, for as long as it is held; `None` where they are not
    /// counted.
    ///
    /// # Errors
    /// All are taken.
    pub fn read(&self, subject: &Arc<str>) -> Result<Option<Place>, Exceeded> {
        self.reads.as_ref().map(|reads| reads.take(subject, self.now())).transpose()
    }

    /// Forgets principals that have not been seen for a while.
    pub fn sweep(&self) {
        self.rates().for_each(|rate| rate.sweep(self.now()));
        if let Some(reads) = &self.reads {
            reads.sweep(self.now());
        }
    }

    fn rates(&self) -> impl Iterator<Item = &Rate> {
        [&self.requests, &self.creations, &self.messages].into_iter().flatten()
    }

    /// Time since the beginning of these.
    fn now(&self) -> Duration {
        self.since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_limit() {
        let quotas = Quotas::new(0, 0, 0, 0);
        let alice: Arc<str> = "alice".into();
        for _ in 0..10_000 {
            assert_eq!((quotas.request(&alice), quotas.creation(&alice)), (Ok(()), Ok(())));
        }
        assert!(quotas.read(&alice).expect("no limit").is_none());
        let fast = Quotas::new(u32::MAX, u32::MAX, u32::MAX, u32::MAX);
        assert_eq!(fast.request(&alice), Ok(()));
    }
}
