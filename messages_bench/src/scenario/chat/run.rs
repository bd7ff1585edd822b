//! What everybody in a run shares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::cast::Cast;
use super::known::{Access, Tally, Truth};
use super::token::Tokens;
use crate::client::Endpoint;
use crate::dialect::Patience;
use crate::sample::Sample;

/// What is counted.
#[derive(Default)]
pub struct Counts {
    pub sent: AtomicU64,
    pub resent: AtomicU64,
    pub found: AtomicU64,
    pub late: AtomicU64,
    pub deeds: AtomicU64,
    pub refused: AtomicU64,
    pub events: AtomicU64,
    pub breaks: AtomicU64,
    pub silent: AtomicU64,
    pub resumed: AtomicU64,
    pub removed: AtomicU64,
    pub added: AtomicU64,
    pub typing: AtomicU64,
    pub receipts: AtomicU64,
}

/// Counts one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    /// Adds them to the sample of the run.
    pub fn report(&self, sample: &mut Sample) {
        let counted = [
            ("messages acknowledged", &self.sent),
            ("sent again after a break", &self.resent),
            ("of these found to be there", &self.found),
            ("acknowledged ones sent again", &self.late),
            ("edits, deletions, reactions", &self.deeds),
            ("refused, as they had to be", &self.refused),
            ("events delivered", &self.events),
            ("connections broken off", &self.breaks),
            ("connections given up as silent", &self.silent),
            ("connections resumed", &self.resumed),
            ("members removed", &self.removed),
            ("members added again", &self.added),
            ("typing seen", &self.typing),
            ("frames of receipts", &self.receipts),
        ];
        for (name, counter) in counted {
            sample.count(name, counter.load(Ordering::Relaxed));
        }
    }
}

/// How a run comes to its end.
#[derive(Clone, Debug)]
pub enum End {
    /// It does not yet.
    Open,
    /// Nobody does anything any more, and this is where the conversations are.
    Heads(Arc<Heads>),
    /// Whoever is not there by now is late.
    Late,
}

/// The ends of all conversations by their names.
pub type Heads = BTreeMap<String, Head>;

/// The end of a conversation.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The position of its last event.
    pub position: u64,
    /// How far everybody has come: delivered, read.
    pub marks: BTreeMap<String, (u64, u64)>,
}

/// A run.
pub struct Run {
    /// The server, or the nodes of it.
    pub endpoints: Vec<Endpoint>,
    /// How long its clients wait.
    pub patience: Patience,
    /// Makes tokens for it.
    pub tokens: Tokens,
    /// Who is in which conversation.
    pub cast: Cast,
    /// What anybody has seen of each conversation.
    pub truths: Vec<Arc<Truth>>,
    /// Who may come back to which.
    access: BTreeMap<(usize, usize), Arc<Access>>,
    /// What must not be.
    pub faults: Tally,
    /// What is counted.
    pub counts: Counts,
    /// Those who have nothing to do any more.
    pub quiet: AtomicU64,
    /// Tells the end.
    pub end: watch::Sender<End>,
    numbers: AtomicU64,
}

impl Run {
    /// A run in which nothing has happened.
    pub fn new(endpoints: Vec<Endpoint>, tokens: Tokens, cast: Cast) -> Self {
        let access = cast.rooms().flat_map(|room| {
            cast.drifters(room)
                .map(move |person| ((room, person), Arc::default()))
                .collect::<Vec<_>>()
        });
        Self {
            endpoints,
            patience: Patience::default(),
            tokens,
            access: access.collect(),
            truths: cast.rooms().map(|_| Arc::default()).collect(),
            cast,
            faults: Tally::default(),
            counts: Counts::default(),
            quiet: AtomicU64::new(0),
            end: watch::Sender::new(End::Open),
            numbers: AtomicU64::new(0),
        }
    }

    /// Whether somebody may see a conversation.
    pub fn access(&self, room: usize, person: usize) -> Arc<Access> {
        self.access.get(&(room, person)).cloned().unwrap_or_default()
    }

    /// The node for whoever has this number: they take the nodes in turns.
    pub fn endpoint(&self, number: usize) -> &Endpoint {
        &self.endpoints[number % self.endpoints.len()]
    }

    /// Whether clients give up on nodes that may only be held.
    pub fn is_impatient(&self) -> bool {
        self.patience != Patience::default()
    }

    /// A number that nothing has had before.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}
