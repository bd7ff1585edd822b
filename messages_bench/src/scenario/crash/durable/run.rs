//! What everybody in a run shares, and how they ask a server that is killed now and then.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use tokio::time::{Instant, sleep};

use super::stream::Stream;
use crate::client::Failure;
use crate::dialect::Target;
use crate::dialect::call::{Answer, Call, Caller};
use crate::limits;
use crate::record::Filler;
use crate::scenario::phase::Listener;

/// What is counted.
#[derive(Default)]
pub struct Counts {
    /// Appends acknowledged.
    pub appends: AtomicU64,
    /// Appends that a repetition found to be there.
    pub found: AtomicU64,
    /// Late duplicates, each answered as the first time.
    pub late: AtomicU64,
    /// Appends that came before the one before them.
    pub gaps: AtomicU64,
    /// Sessions that producers took over.
    pub epochs: AtomicU64,
    /// Appends of old sessions, each refused.
    pub fenced: AtomicU64,
    /// Requests that were repeated because of a kill.
    pub repeated: AtomicU64,
    /// Forks made.
    pub forks: AtomicU64,
    /// Streams deleted.
    pub deletions: AtomicU64,
    /// Streams closed.
    pub closings: AtomicU64,
    /// Bytes that readers got.
    pub read: AtomicU64,
    /// How often readers went on after a kill.
    pub resumed: AtomicU64,
    /// Whole streams read after restarts.
    pub audits: AtomicU64,
}

/// Counts one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A run.
pub struct Run {
    /// The server.
    pub target: Target,
    /// Makes the bytes of records.
    pub filler: &'static Filler,
    /// The seed of all choices.
    pub seed: u64,
    /// What is counted.
    pub counts: Counts,
    streams: Mutex<Vec<Arc<Stream>>>,
    faults: Mutex<Vec<String>>,
    writers: AtomicU32,
}

impl Run {
    /// A run without streams.
    pub fn new(target: Target, filler: &'static Filler, seed: u64) -> Self {
        let (counts, streams, faults) = Default::default();
        Self { target, filler, seed, counts, streams, faults, writers: AtomicU32::new(0) }
    }

    /// A writer that nobody was before.
    pub fn writer(&self) -> u32 {
        self.writers.fetch_add(1, Ordering::Relaxed)
    }

    /// All streams there ever were, oldest first.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a stream.
    pub fn add(&self, stream: Arc<Stream>) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
    }

    /// Notes what must not be.
    pub fn fault(&self, stream: &Stream, fault: impl std::fmt::Display) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push(format!("{}: {fault}", stream.id));
    }

    /// Everything that was noted.
    pub fn faults(&self) -> Vec<String> {
        std::mem::take(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Repeats a request until a server that is there answers it, and tells whether an earlier
    /// attempt may have been heard. A failure that no kill explains is given back.
    pub async fn insist(
        &self,
        caller: &mut Caller,
        phase: &mut Listener,
        id: &str,
        call: &Call,
    ) -> Result<(Answer, bool), Failure> {
        let mut heard = false;
        let mut refused = None;
        loop {
            let began = phase.up().await;
            match caller.call(id, call).await {
                Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                    let since = *refused.get_or_insert_with(Instant::now);
                    if since.elapsed() > limits::REFUSED {
                        return Err(answer.wrong("for too long"));
                    }
                    sleep(limits::RECONNECT_PAUSE).await;
                }
                Ok(answer) => return Ok((answer, heard)),
                Err(failure) => {
                    caller.disconnect();
                    if phase.now() == began {
                        return Err(failure);
                    }
                    heard |= !matches!(failure, Failure::Connect(..));
                    count(&self.counts.repeated);
                    sleep(limits::RECONNECT_PAUSE).await;
                }
            }
        }
    }
}
