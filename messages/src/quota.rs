//! What one principal may take of the server. Without keys all callers are one principal.

use crate::limits::{REQUESTS_BURST_SECS, RETRY_AFTER_SECS};
use dashmap::{DashMap, mapref::entry::Entry};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};
use std::{num::NonZeroU32, sync::Arc, time::Duration};

/// The shares of all principals. A share of zero is no limit.
pub struct Quotas {
    requests: Option<Rate<DefaultClock>>,
    creations: Option<Rate<DefaultClock>>,
    reads: Option<Reads>,
    messages: Option<Rate<DefaultClock>>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let rate = |what, count, period, burst| {
            let (count, burst) = (NonZeroU32::new(count)?, NonZeroU32::new(burst)?);
            Some(Rate::new(what, count, period, burst, DefaultClock::default()))
        };
        let burst = requests_per_sec.saturating_mul(REQUESTS_BURST_SECS);
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        Self {
            requests: rate(Share::Requests, requests_per_sec, second, burst),
            creations: rate(Share::Creations, creations_per_min, minute, creations_per_min),
            reads: (reads > 0).then(|| Reads { open: Arc::default(), max: reads }),
            messages: rate(Share::Messages, messages_per_min, minute, messages_per_min),
        }
    }

    /// Counts a request of `subject`.
    ///
    /// # Errors
    /// It is one too many.
    pub fn request(&self, subject: &Arc<str>) -> Result<(), Exceeded> {
        self.requests.as_ref().map_or(Ok(()), |rate| rate.take(subject))
    }

    /// Counts a stream that `subject` creates.
    ///
    /// # Errors
    /// It is one too many.
    pub fn creation(&self, subject: &Arc<str>) -> Result<(), Exceeded> {
        self.creations.as_ref().map_or(Ok(()), |rate| rate.take(subject))
    }

    /// Counts a message that `subject` sends to a conversation.
    ///
    /// # Errors
    /// It is one too many.
    pub fn message(&self, subject: &Arc<str>) -> Result<(), Exceeded> {
        self.messages.as_ref().map_or(Ok(()), |rate| rate.take(subject))
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
        self.reads.as_ref().map(|reads| reads.take(subject)).transpose()
    }

    /// Forgets principals that have not been seen for a while.
    pub fn sweep(&self) {
        for rate in [&self.requests, &self.creations, &self.messages].into_iter().flatten() {
            rate.limiter.retain_recent();
            rate.limiter.shrink_to_fit();
        }
    }
}

type Limiter<C> = RateLimiter<Arc<str>, Subjects, C, NoOpMiddleware<<C as Clock>::Instant>>;
type Subjects = DashMapStateStore<Arc<str>>;

/// So many in a time, each principal for itself.
struct Rate<C: Clock> {
    what: Share,
    limiter: Limiter<C>,
    clock: C,
}

impl<C: Clock + Clone> Rate<C> {
    fn new(what: Share, count: NonZeroU32, period: Duration, burst: NonZeroU32, clock: C) -> Self {
        // The shortest time there is, where a count is larger than a time can be divided.
        let each = (period / count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(each).unwrap_or(Quota::per_second(count));
        let quota = quota.allow_burst(burst);
        let limiter = RateLimiter::dashmap_with_clock(quota, clock.clone());
        Self { what, limiter, clock }
    }

    fn take(&self, subject: &Arc<str>) -> Result<(), Exceeded> {
        self.limiter.check_key(subject).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let retry_after_secs = (wait.as_millis() as u64).div_ceil(1000).max(1);
            Exceeded { what: self.what, retry_after_secs }
        })
    }
}

/// Reads that are open, by principal.
struct Reads {
    open: Arc<DashMap<Arc<str>, u32>>,
    max: u32,
}

/// The place of one read. It is free again when this is dropped.
pub struct Place {
    open: Arc<DashMap<Arc<str>, u32>>,
    subject: Arc<str>,
}

impl Reads {
    fn take(&self, subject: &Arc<str>) -> Result<Place, Exceeded> {
        let mut count = self.open.entry(subject.clone()).or_default();
        if *count >= self.max {
            return Err(Exceeded { what: Share::Reads, retry_after_secs: RETRY_AFTER_SECS });
        }
        *count += 1;
        Ok(Place { open: self.open.clone(), subject: subject.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.open.entry(self.subject.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn subject(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_rate_has_a_burst_and_then_an_even_pace() {
        let clock = FakeRelativeClock::default();
        let count = |count| NonZeroU32::new(count).expect("some");
        let second = Duration::from_secs(1);
        let rate = Rate::new(Share::Requests, count(10), second, count(50), clock.clone());
        let (alice, bob) = (subject("alice"), subject("bob"));
        for _ in 0..50 {
            assert_eq!(rate.take(&alice), Ok(()));
        }
        let refused = rate.take(&alice).expect_err("used up");
        assert_eq!(refused.retry_after_secs, 1);
        assert_eq!(rate.take(&bob), Ok(()), "everybody has a share");
        clock.advance(Duration::from_millis(100));
        assert_eq!(rate.take(&alice), Ok(()));
        assert!(rate.take(&alice).is_err());
        clock.advance(Duration::from_secs(6));
        rate.limiter.retain_recent();
        assert_eq!(rate.limiter.len(), 0, "who has a whole share again is forgotten");
    }

    #[test]
    fn a_place_is_free_when_its_read_ends() {
        let quotas = Quotas::new(0, 0, 2, 0);
        let (alice, bob) = (subject("alice"), subject("bob"));
        let first = quotas.read(&alice).expect("free");
        let second = quotas.read(&alice).expect("free");
        let refused = quotas.read(&alice).err().expect("all taken");
        assert!(refused.to_string().contains("--reads-per-principal-max"), "{refused}");
        assert!(quotas.read(&bob).is_ok());
        drop(first);
        assert!(quotas.read(&alice).is_ok());
        drop(second);
        assert!(quotas.reads.as_ref().expect("counted").open.is_empty());
    }

    #[test]
    fn zero_is_no_limit() {
        let quotas = Quotas::new(0, 0, 0, 0);
        let alice = subject("alice");
        for _ in 0..10_000 {
            assert_eq!((quotas.request(&alice), quotas.creation(&alice)), (Ok(()), Ok(())));
        }
        assert!(quotas.read(&alice).expect("no limit").is_none());
        let fast = Quotas::new(u32::MAX, u32::MAX, u32::MAX, u32::MAX);
        assert_eq!(fast.request(&alice), Ok(()));
    }
}
