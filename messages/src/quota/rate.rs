//! So many in a time, each principal for itself.
//!
//! What somebody has taken is kept as the time at which they have their whole share again (the generic
//! cell rate algorithm). So it is one number, which grows with whatever is counted, here or elsewhere.

use super::{Exceeded, Share};
use dashmap::DashMap;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub(super) struct Rate {
    pub what: Share,
    /// The time after which there is one more.
    each_ns: u64,
    /// The time after which the whole share is there again.
    whole_ns: u64,
    taken: DashMap<Arc<str>, Taken>,
}

/// What one principal has taken.
#[derive(Default)]
struct Taken {
    /// When they have their whole share again.
    whole_at_ns: AtomicU64,
    /// How many of that other nodes do not know of.
    untold: AtomicU32,
}

impl Rate {
    /// `count` in `period`, and `burst` at once after a pause; `None` for no limit.
    pub fn new(what: Share, count: u32, period: Duration, burst: u32) -> Option<Self> {
        let each = nanos(period).checked_div(count.into())?;
        // The shortest time there is, where a count is larger than a time can be divided.
        let each_ns = each.max(1);
        let whole_ns = each_ns.saturating_mul(burst.into());
        Some(Self { what, each_ns, whole_ns, taken: DashMap::new() })
    }

    /// One more for `subject`, the time being `now`.
    pub fn take(&self, subject: &Arc<str>, now: Duration) -> Result<(), Exceeded> {
        let now = nanos(now);
        let took = self.of(subject, |taken| {
            let took = taken.whole_at_ns.fetch_update(Relaxed, Relaxed, |whole_at| {
                let whole_at = self.with(whole_at, 1, now);
                (whole_at - now <= self.whole_ns).then_some(whole_at)
            });
            taken.untold.fetch_add(took.is_ok().into(), Relaxed);
            took
        });
        let Err(whole_at) = took else { return Ok(()) };
        let wait_ns = self.with(whole_at, 1, now) - now - self.whole_ns;
        let retry_after_secs = wait_ns.div_ceil(1_000_000_000).max(1);
        Err(Exceeded { what: self.what, retry_after_secs })
    }

    /// `count` that `subject` has taken elsewhere. Nobody asks whether they were too many.
    pub fn hear(&self, subject: &Arc<str>, count: u32, now: Duration) {
        let now = nanos(now);
        self.of(subject, |taken| {
            let later = |whole_at| Some(self.with(whole_at, count, now));
            let _ = taken.whole_at_ns.fetch_update(Relaxed, Relaxed, later);
        });
    }

    fn of<T>(&self, subject: &Arc<str>, work: impl FnOnce(&Taken) -> T) -> T {
        match self.taken.get(subject) {
            Some(taken) => work(&taken),
            None => work(&self.taken.entry(subject.clone()).or_default()),
        }
    }

    fn with(&self, whole_at: u64, count: u32, now: u64) -> u64 {
        whole_at.max(now).saturating_add(self.each_ns.saturating_mul(count.into()))
    }

    /// What others do not know of yet. They do then.
    pub fn untold(&self) -> Vec<(Arc<str>, u32)> {
        let all = self.taken.iter();
        let news = all.filter_map(|taken| match taken.untold.swap(0, Relaxed) {
            0 => None,
            count => Some((taken.key().clone(), count)),
        });
        news.collect()
    }

    /// Forgets who has a whole share.
    pub fn sweep(&self, now: Duration) {
        let now = nanos(now);
        self.taken.retain(|_, taken| *taken.whole_at_ns.get_mut() > now);
        self.taken.shrink_to_fit();
    }
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ten_a_second() -> Rate {
        Rate::new(Share::Requests, 10, SECOND, 50).expect("a limit")
    }

    fn take_all(rate: &Rate, subject: &Arc<str>, now: Duration) -> usize {
        std::iter::from_fn(|| rate.take(subject, now).ok()).count()
    }

    #[test]
    fn a_rate_has_a_burst_and_then_an_even_pace() {
        let (rate, mut now) = (ten_a_second(), 7 * SECOND);
        let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
        assert_eq!(take_all(&rate, &alice, now), 50);
        let refused = rate.take(&alice, now).expect_err("used up");
        assert_eq!((refused.what, refused.retry_after_secs), (Share::Requests, 1));
        assert_eq!(rate.take(&bob, now), Ok(()), "everybody has a share");
        now += SECOND / 10 - Duration::from_nanos(1);
        assert!(rate.take(&alice, now).is_err());
        now += Duration::from_nanos(1);
        assert_eq!(rate.take(&alice, now), Ok(()));
        assert!(rate.take(&alice, now).is_err());
        rate.sweep(now + 5 * SECOND - Duration::from_nanos(1));
        assert_eq!(rate.taken.len(), 1, "who has not is not forgotten");
        rate.sweep(now + 5 * SECOND);
        assert_eq!(rate.taken.len(), 0, "who has a whole share again is forgotten");
    }

    #[test]
    fn what_is_taken_elsewhere_counts_also_if_it_is_too_much() {
        let (rate, now) = (ten_a_second(), SECOND);
        let alice: Arc<str> = "alice".into();
        rate.hear(&alice, 20, now);
        assert_eq!(take_all(&rate, &alice, now), 30);
        rate.hear(&alice, 50, now);
        let refused = rate.take(&alice, now).expect_err("used up");
        assert_eq!(
            refused.retry_after_secs, 6,
            "5 s for what was too much, and 0.1 s for one more"
        );
        assert_eq!(take_all(&rate, &alice, now + 5 * SECOND), 0);
        assert_eq!(take_all(&rate, &alice, now + 6 * SECOND), 10, "in the end it is the same rate");
    }

    #[test]
    fn others_are_told_once_of_what_was_granted() {
        let rate = Rate::new(Share::Messages, 2, 60 * SECOND, 2).expect("a limit");
        let alice: Arc<str> = "alice".into();
        assert_eq!(take_all(&rate, &alice, SECOND), 2);
        rate.hear(&alice, 7, SECOND);
        assert_eq!(rate.untold(), [(alice, 2)]);
        assert!(rate.untold().is_empty());
        assert!(Rate::new(Share::Messages, 0, SECOND, 0).is_none());
    }
}
