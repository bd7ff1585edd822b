//! The pace of a load and the record of how it went.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep_until};

use crate::limits;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// When the next operation is due.
pub struct Pace {
    due: Instant,
    step: Option<Duration>,
}

impl Pace {
    /// `rate` operations a second from now on; `0` means flat out.
    pub fn new(rate: f64) -> Self {
        let step = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
        Self { due: Instant::now(), step }
    }

    /// Waits until the next operation is due and tells when that was. A server that is slow does
    /// not make the operations behind it look faster: they are due when they were due.
    pub async fn next(&mut self) -> Instant {
        let Some(step) = self.step else {
            return Instant::now();
        };
        let due = self.due;
        self.due += step;
        sleep_until(due).await;
        due
    }
}

/// What operations took, shared by the workers of one run.
#[derive(Clone)]
pub struct Recorder {
    /// When the measured time began; operations before it do not count.
    pub start: Instant,
    inner: Arc<Mutex<Recorded>>,
}

/// What has been recorded.
pub struct Recorded {
    /// Latencies in nanoseconds.
    pub latency: Histogram<u64>,
    /// Operations in each step of the timeline.
    pub timeline: Vec<u64>,
    /// All operations.
    pub operations: u64,
    /// When the last operation ended, since the start.
    pub last: Duration,
}

impl Recorder {
    /// Begins to measure at `start`.
    pub fn new(start: Instant) -> Self {
        let inner = Recorded {
            latency: histogram(),
            timeline: Vec::new(),
            operations: 0,
            last: Duration::ZERO,
        };
        Self { start, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Opens the record; taken once for many operations where they come in batches.
    pub fn open(&self) -> MutexGuard<'_, Recorded> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records one operation that lasted from `began` to now, if it began in the measured time.
    pub fn note(&self, began: Instant) {
        if began < self.start {
            return;
        }
        let now = Instant::now();
        let mut recorded = self.open();
        recorded.count(now.duration_since(self.start), 1);
        recorded.latency(now.duration_since(began));
    }
}

impl Recorded {
    /// Counts `operations` that ended `at` after the start.
    pub fn count(&mut self, at: Duration, operations: u64) {
        let step = (at.as_millis() / limits::TIMELINE_STEP.as_millis()) as usize;
        if self.timeline.len() <= step {
            self.timeline.resize(step + 1, 0);
        }
        self.timeline[step] += operations;
        self.operations += operations;
        self.last = self.last.max(at);
    }

    /// Records one latency.
    pub fn latency(&mut self, latency: Duration) {
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// An empty histogram of nanoseconds.
pub fn histogram() -> Histogram<u64> {
    let longest = u64::try_from(limits::LATENCY.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, longest, DIGITS).expect("the bounds are constant and right")
}
