//! How long something has been so.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A state that comes and goes, and the time since which it has been there.
#[derive(Clone, Default)]
pub(super) struct Since(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Those who keep it from being so.
    others: usize,
    since: Option<Instant>,
}

impl Since {
    /// It is so from now on, also if it was before, unless somebody keeps it from that.
    pub fn begin(&self) {
        self.change(|state| state.since = (state.others == 0).then(Instant::now));
    }

    /// It is not so any more.
    pub fn end(&self) {
        self.change(|state| state.since = None);
    }

    /// It is not so until what is returned here, and all others of its kind, are gone.
    pub fn not_during(&self) -> Holding {
        self.change(|state| {
            state.others += 1;
            state.since = None;
        });
        Holding(self.clone())
    }

    /// Waits until it has been so for `long` without a break.
    pub async fn lasted(&self, long: Duration) {
        loop {
            let since = self.change(|state| state.since);
            let until = since.unwrap_or_else(Instant::now) + long;
            tokio::time::sleep_until(until).await;
            if since.is_some() && since == self.change(|state| state.since) {
                return;
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps something from being so.
pub(super) struct Holding(Since);

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.others -= 1;
            if state.others == 0 {
                state.since = Some(Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, sleep};

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_break_begins_the_time_anew() {
        let since = Since::default();
        since.begin();
        let began = Instant::now();
        let lasting = tokio::spawn({
            let since = since.clone();
            async move { since.lasted(LONG).await }
        });
        sleep(LONG / 2).await;
        let (one, other) = (since.not_during(), since.not_during());
        sleep(LONG * 3).await;
        drop(one);
        sleep(LONG * 3).await;
        assert!(!lasting.is_finished());
        drop(other);
        lasting.await.expect("it has lasted");
        assert_eq!(began.elapsed(), LONG / 2 + LONG * 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_lasted_is_known_at_once() {
        let since = Since::default();
        since.begin();
        advance(LONG * 2).await;
        let now = Instant::now();
        since.lasted(LONG).await;
        assert_eq!(now.elapsed(), Duration::ZERO);
        since.end();
        since.begin();
        since.lasted(LONG).await;
        assert_eq!(now.elapsed(), LONG);
    }
}
