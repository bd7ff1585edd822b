//! The bound on what is in memory and in the journal but not in the store yet.

use crate::limits::ROOM_WAIT_MS_MAX;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// Bytes that may be unstored at once. Appends take from it, the flusher gives back, so a slow
/// store slows appends and memory does not grow.
#[derive(Clone, Debug)]
pub struct Budget {
    room: Arc<Semaphore>,
    /// What was taken although it was not there. Paid before room is given back.
    debt: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// No room within [`ROOM_WAIT_MS_MAX`]: the store is down or slower than the appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is behind and there is no room for more; try again later")]
pub struct Overloaded;

impl Budget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let bytes_max = bytes.min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(bytes_max)), debt: Arc::default(), bytes_max }
    }

    /// How many bytes are taken, and how many may be.
    #[must_use]
    pub fn used(&self) -> (usize, usize) {
        let taken = self.bytes_max - self.room.available_permits().min(self.bytes_max);
        (taken + self.debt.load(Ordering::Relaxed), self.bytes_max)
    }

    /// Takes `bytes`, waiting a while for them. Cancel safe: a caller that goes away while it
    /// waits has taken nothing.
    ///
    /// # Errors
    /// There was no room in time.
    pub async fn take(&self, bytes: usize) -> Result<Room, Overloaded> {
        let permits = u32::try_from(bytes).map_err(|_| Overloaded)?;
        if let Ok(permit) = self.room.try_acquire_many(permits) {
            permit.forget();
            return Ok(Room { budget: self.clone(), bytes });
        }
        let wait = Duration::from_millis(ROOM_WAIT_MS_MAX);
        match tokio::time::timeout(wait, self.room.acquire_many(permits)).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(Room { budget: self.clone(), bytes })
            }
            _ => Err(Overloaded),
        }
    }

    /// Takes `bytes` whether there is room or not: for what is there already, as after a replay, and
    /// for what must not wait.
    pub fn take_at_once(&self, bytes: usize) {
        let taken = self.room.forget_permits(bytes);
        self.debt.fetch_add(bytes - taken, Ordering::Relaxed);
    }

    /// Gives back what [`Room::keep`] has kept.
    pub fn give_back(&self, bytes: usize) {
        let pay = |debt: usize| Some(debt.saturating_sub(bytes));
        let debt = self.debt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        self.room.add_permits(bytes - bytes.min(debt.unwrap_or_default()));
    }
}

/// Room for one append. Dropped, it goes back; kept, the flusher gives it back.
#[derive(Debug)]
pub struct Room {
    budget: Budget,
    bytes: usize,
}

impl Room {
    /// The append is on its way to the store.
    pub fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn room_is_bounded_waited_for_and_given_back() {
        let budget = Budget::new(100);
        let room = budget.take(80).await.expect("room");
        assert_eq!(budget.take(30).await.err(), Some(Overloaded));
        drop(room);
        budget.take(100).await.expect("all of it").keep();
        let (waiter, ()) = tokio::join!(budget.take(40), async { budget.give_back(40) });
        assert!(waiter.is_ok());
        assert_eq!(budget.room.available_permits(), 0);
    }

    #[tokio::test]
    async fn what_is_taken_beyond_the_budget_is_paid_back_first() {
        let budget = Budget::new(100);
        budget.take_at_once(250);
        budget.give_back(120);
        assert_eq!(budget.room.available_permits(), 0);
        budget.give_back(130);
        assert_eq!(budget.room.available_permits(), 100);
    }
}
