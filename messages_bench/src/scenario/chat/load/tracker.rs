//! What became of each message: when it was due, acknowledged, and at its last receiver. Pure.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::limits;
use crate::load::histogram;

/// All messages of a run by their numbers.
pub struct Tracker {
    sent: Vec<Sent>,
    /// From when a message was due to its acknowledgement.
    pub acknowledged: Histogram<u64>,
    /// From when it was due to each receiver.
    pub delivered: Histogram<u64>,
    /// From when it was due to the last of its receivers.
    pub last: Histogram<u64>,
    /// Deliveries in each step of [`limits::TIMELINE_STEP`].
    pub timeline: Vec<u64>,
    /// What came that nobody had sent, or too often.
    pub strange: u64,
}

struct Sent {
    due: Duration,
    is_acknowledged: bool,
    /// Receivers that have not got it.
    left: u64,
}

impl Tracker {
    /// Nothing has been sent.
    pub fn new() -> Self {
        Self {
            sent: Vec::new(),
            acknowledged: histogram(),
            delivered: histogram(),
            last: histogram(),
            timeline: Vec::new(),
            strange: 0,
        }
    }

    /// A message that was due at a time has so many receivers; gives its number.
    pub fn send(&mut self, due: Duration, receivers: u64) -> u64 {
        self.sent.push(Sent { due, is_acknowledged: false, left: receivers });
        self.sent.len() as u64 - 1
    }

    fn get(&mut self, number: u64) -> Option<&mut Sent> {
        self.sent.get_mut(usize::try_from(number).ok()?)
    }

    /// A message was acknowledged.
    pub fn acknowledge(&mut self, number: u64, now: Duration) {
        match self.get(number) {
            Some(sent) if !sent.is_acknowledged => {
                sent.is_acknowledged = true;
                let took = now.saturating_sub(sent.due);
                self.acknowledged.saturating_record(nanos(took));
            }
            _ => self.strange += 1,
        }
    }

    /// A message came to one of its receivers.
    pub fn deliver(&mut self, number: u64, now: Duration) {
        let Some(sent) = self.get(number).filter(|sent| sent.left > 0) else {
            self.strange += 1;
            return;
        };
        sent.left -= 1;
        let (is_last, took) = (sent.left == 0, nanos(now.saturating_sub(sent.due)));
        self.delivered.saturating_record(took);
        if is_last {
            self.last.saturating_record(took);
        }
        let step = (now.as_millis() / limits::TIMELINE_STEP.as_millis()) as usize;
        if self.timeline.len() <= step {
            self.timeline.resize(step + 1, 0);
        }
        self.timeline[step] += 1;
    }

    /// How many messages were sent.
    pub fn sent(&self) -> u64 {
        self.sent.len() as u64
    }

    /// Messages without an acknowledgement, and deliveries that are missing.
    pub fn missing(&self) -> (u64, u64) {
        let open = self.sent.iter().filter(|sent| !sent.is_acknowledged).count();
        (open as u64, self.sent.iter().map(|sent| sent.left).sum())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_last_receiver_counts() {
        let mut tracker = Tracker::new();
        let number = tracker.send(MS, 2);
        tracker.deliver(number, MS * 3);
        assert_eq!((tracker.missing(), tracker.last.len()), ((1, 1), 0));
        tracker.acknowledge(number, MS * 4);
        tracker.deliver(number, MS * 9);
        assert_eq!((tracker.missing(), tracker.strange), ((0, 0), 0));
        assert!(tracker.last.equivalent(tracker.last.max(), 8_000_000));
        assert!(tracker.acknowledged.equivalent(tracker.acknowledged.max(), 3_000_000));
        assert_eq!(tracker.delivered.len(), 2);
    }

    #[test]
    fn what_comes_too_often_is_found() {
        let mut tracker = Tracker::new();
        let number = tracker.send(MS, 1);
        tracker.deliver(number, MS);
        tracker.deliver(number, MS);
        tracker.acknowledge(number, MS);
        tracker.acknowledge(number, MS);
        tracker.deliver(7, MS);
        assert_eq!(tracker.strange, 3);
    }
}
