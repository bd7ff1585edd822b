//! What everybody in a run shares, and how they ask a server that is killed now and then.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use tokio::time::{Duration, Instant, sleep};

use super::stream::Stream;
use crate::client::Failure;
use crate::dialect::call::{Answer, Call, Caller};
use crate::dialect::{Patience, Target};
use crate::limits;
use crate::random::mix;
use crate::record::Filler;
use crate::report::time_of_day;
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
    /// Requests that were repeated because of a fault.
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
    /// Whole streams read by whoever looks after them.
    pub audits: AtomicU64,
    /// Requests given up because their node was silent.
    pub silent: AtomicU64,
    /// Looks at another node right after an acknowledgement.
    pub looks: AtomicU64,
    /// Answers with content that readers got.
    pub deliveries: AtomicU64,
    /// The longest time until an append was acknowledged, in milliseconds.
    pub longest_append: AtomicU64,
    /// The longest time from the failure of a reader until it went on, in milliseconds.
    pub longest_read: AtomicU64,
}

/// Counts the longest of some times.
pub fn longest(counter: &AtomicU64, time: Duration) {
    counter.fetch_max(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Counts one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A run.
pub struct Run {
    /// The server, or its nodes.
    pub nodes: Vec<Target>,
    /// The same, with the plain interface.
    pub plain: Vec<Target>,
    /// Makes the bytes of records.
    pub filler: &'static Filler,
    /// The seed of all choices.
    pub seed: u64,
    /// What is counted.
    pub counts: Counts,
    streams: Mutex<Vec<Arc<Stream>>>,
    faults: Mutex<Vec<String>>,
    writers: AtomicU32,
    moves: AtomicU64,
}

impl Run {
    /// A run without streams.
    pub fn new(nodes: Vec<Target>, plain: Vec<Target>, filler: &'static Filler, seed: u64) -> Self {
        let (counts, streams, faults, writers, moves) = Default::default();
        Self { nodes, plain, filler, seed, counts, streams, faults, writers, moves }
    }

    /// Any node, whether it is there or not.
    pub fn some_node(&self) -> &Target {
        let at = mix(self.seed ^ self.moves.fetch_add(1, Ordering::Relaxed));
        &self.nodes[(at % self.nodes.len() as u64) as usize]
    }

    /// Any node but this one, where there is another.
    pub fn other_node(&self, than: usize) -> &Target {
        let node = self.some_node();
        if node.node == than { &self.nodes[(than + 1) % self.nodes.len()] } else { node }
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
        let fault = format!("{} {}: {fault}", time_of_day(), stream.id);
        if faults.len() < limits::FAULTS_TOLD {
            eprintln!("{fault}");
        }
        faults.push(fault);
    }

    /// Everything that was noted.
    pub fn faults(&self) -> Vec<String> {
        std::mem::take(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Repeats a request, each time to another node, until one that is there answers it, and tells
    /// whether an earlier attempt may have been heard. A failure that nothing explains is given back.
    pub async fn insist(
        &self,
        caller: &mut Caller,
        phase: &mut Listener,
        id: &str,
        call: &Call,
    ) -> Result<(Answer, bool), Failure> {
        let (mut heard, mut refused, begun) = (false, None, Instant::now());
        loop {
            phase.up().await;
            let mark = phase.mark(caller.node());
            match caller.call(id, call).await {
                Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                    let since = *refused.get_or_insert_with(Instant::now);
                    let is_calm = self.is_impatient() && phase.finishing() > limits::CALM;
                    let limit = if is_calm { limits::PATIENCE } else { limits::REFUSED };
                    if since.elapsed() > limit {
                        let node = caller.node();
                        return Err(answer.wrong(&format!("of node {node}, for too long")));
                    }
                    // Whoever is refused by a node that has lost what it stands on may have been heard.
                    heard |= self.is_impatient();
                }
                Ok(answer) => return Ok((answer, heard)),
                Err(failure) => {
                    caller.disconnect();
                    let is_silent = self.is_silent(caller, &failure);
                    if !is_silent && !phase.excuses(mark) || begun.elapsed() > limits::OUTAGE {
                        return Err(failure);
                    }
                    heard |= !matches!(failure, Failure::Connect(..));
                    count(&self.counts.repeated);
                }
            }
            sleep(limits::RECONNECT_PAUSE).await;
            caller.visit(self.other_node(caller.node()));
        }
    }

    /// Whether clients give up on nodes that may only be held.
    pub fn is_impatient(&self) -> bool {
        self.nodes.iter().any(|node| node.patience != Patience::default())
    }

    /// Whether a node was only silent for longer than its client wanted to wait.
    fn is_silent(&self, caller: &Caller, failure: &Failure) -> bool {
        let is_silent = caller.is_impatient() && matches!(failure, Failure::Silent(..));
        if is_silent {
            count(&self.counts.silent);
        }
        is_silent
    }
}
