//! How fast readers catch up, all together: what they take from the store is taken from producers
//! and live readers, on the disk as on the network.

use crate::limits::CATCHUP_BURST_MS;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The pace of all readers together. Each pays for what it has read and waits until that is paid
/// off before it reads more, so they take turns, and none can starve another. Whoever comes anew
/// waits until all before are paid for: a client may come with every page.
pub struct Pace {
    began: Instant,
    bucket: Option<Mutex<Bucket>>,
}

/// Time as money: whoever reads moves the end on by what that costs.
#[derive(Debug)]
struct Bucket {
    bytes_per_sec: u64,
    /// Everything is paid off then, in nanoseconds.
    paid_at: u64,
}

impl Pace {
    /// At most `bytes_per_sec`, or as fast as can be with 0.
    #[must_use]
    pub fn new(bytes_per_sec: u64) -> Self {
        let bucket = Bucket { bytes_per_sec, paid_at: 0 };
        let bucket = (bytes_per_sec > 0).then(|| Mutex::new(bucket));
        Self { began: Instant::now(), bucket }
    }

    /// When somebody who comes now may read.
    pub fn due(&self) -> Option<Instant> {
        let bucket = self.bucket.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(self.began + Duration::from_nanos(bucket.paid_at))
    }

    /// Pays for `bytes`. Whoever has read them reads no more before the moment that is given.
    pub fn pay(&self, bytes: usize) -> Option<Instant> {
        let mut bucket = self.bucket.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.began.elapsed().as_nanos() as u64;
        Some(self.began + Duration::from_nanos(bucket.pay(now, bytes as u64)))
    }
}

impl Bucket {
    fn pay(&mut self, now: u64, bytes: u64) -> u64 {
        // What was not used is lost, but for a moment's worth.
        let burst = CATCHUP_BURST_MS * 1_000_000;
        let cost = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_sec);
        let begin = self.paid_at.max(now.saturating_sub(burst));
        self.paid_at = begin.saturating_add(u64::try_from(cost).unwrap_or(u64::MAX));
        self.paid_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Reverse;

    const SECOND: u64 = 1_000_000_000;

    proptest! {
        /// Readers come at any time and read again as soon as they may; some come anew each time.
        #[test]
        fn all_together_keep_the_pace_and_take_turns(
            bytes_per_sec in 1_000_u64..10_000_000,
            page in 100_u64..1_000_000,
            begin in prop::collection::vec((0..5 * SECOND, any::<bool>()), 1..20),
        ) {
            let mut bucket = Bucket { bytes_per_sec, paid_at: 0 };
            // When, who, and whether it has waited for its turn.
            let mut waiting: std::collections::BinaryHeap<_> =
                begin.iter().enumerate().map(|(who, (at, _))| Reverse((*at, who, false))).collect();
            let first = begin.iter().map(|(at, _)| *at).min().unwrap_or_default();
            let last = begin.iter().map(|(at, _)| *at).max().unwrap_or_default();
            let mut pages = vec![0_u64; begin.len()];
            let mut before = None;
            for _ in 0..1000 {
                let Some(Reverse((now, who, has_waited))) = waiting.pop() else { break };
                if !has_waited {
                    waiting.push(Reverse((bucket.paid_at.max(now), who, true)));
                    continue;
                }
                if now > last && before.is_none() {
                    before = Some(pages.clone());
                }
                pages[who] += 1;
                let (turn, comes_anew) = (bucket.pay(now, page), begin[who].1);
                let next = if comes_anew { now } else { turn.max(now) };
                waiting.push(Reverse((next, who, !comes_anew)));
                // Each may have one page that is not paid off yet.
                let read = u128::from(pages.iter().sum::<u64>() * page);
                let time = u128::from(now - first + SECOND / 10);
                let due = time * u128::from(bytes_per_sec) / u128::from(SECOND);
                prop_assert!(read <= due + u128::from(page) * (begin.len() as u128 + 1));
            }
            if let Some(before) = before && begin.iter().all(|(_, anew)| *anew == begin[0].1) {
                let turns: Vec<u64> = pages.iter().zip(&before).map(|(a, b)| a - b).collect();
                let (least, most) = (turns.iter().min(), turns.iter().max());
                prop_assert!(most.copied() <= least.map(|least| least + 2), "{turns:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_saved_up() {
        let pace = Pace::new(1_000_000);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let now = Instant::now();
        let until = pace.pay(2_000_000).expect("a limit");
        assert_eq!(until - now, Duration::from_millis(2_000 - CATCHUP_BURST_MS));
        let next = pace.pay(1_000_000).expect("a limit");
        assert_eq!(next - until, Duration::from_secs(1));
        assert_eq!(Pace::new(0).pay(usize::MAX), None);
    }
}
