//! An idempotent producer: several appends in flight, each repeated until it is acknowledged; now
//! and then a new session after a crash.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http::{Method, StatusCode};
use tokio::select;
use tokio::time::{Instant, sleep};

use super::check::Fate;
use super::look::look;
use super::payload::Label;
use super::run::{Run, count, longest};
use super::stream::{Progress, Sent, Stream};
use crate::dialect::call::{Answer, Call, Caller, name};
use crate::limits;
use crate::load::Pace;
use crate::random::Random;
use crate::scenario::phase::{Listener, Phase};

/// Appends of one producer that are under way at once.
const IN_FLIGHT: usize = 4;

/// A producer changes to another node, where there are several, once in so many appends.
const WHIM: u64 = 50;

/// A number that no append has.
const NEVER: u32 = u32::MAX;

/// What became of an append.
enum Outcome {
    Acknowledged(Answer),
    /// The stream was closed by somebody else.
    Closed,
    /// The stream is deleted.
    Gone,
    Fault(String),
}

/// An append that has come to an end, and the connection it was sent on.
struct Landed {
    sent: Sent,
    outcome: Outcome,
    caller: Caller,
}

/// One producer of one stream.
pub struct Producer {
    run: Arc<Run>,
    stream: Arc<Stream>,
    phase: Listener,
    writer: u32,
    random: Random,
    /// The node that its next append goes to.
    node: usize,
    /// The number with which it closes the stream.
    last: Option<u32>,
    epoch: u64,
    seq: u64,
    flying: FuturesUnordered<BoxFuture<'static, Landed>>,
    numbers: BTreeSet<u32>,
    /// The number of the last append that was sent.
    latest: u32,
    idle: Vec<Caller>,
    /// An older session that must be refused from now on.
    zombie: Option<u64>,
    over: bool,
}

impl Producer {
    /// A producer; with `last` it closes the stream with that append.
    pub fn new(run: &Arc<Run>, stream: &Arc<Stream>, phase: &Listener, last: Option<u32>) -> Self {
        let writer = run.writer();
        Self {
            run: Arc::clone(run),
            stream: Arc::clone(stream),
            phase: phase.clone(),
            writer,
            node: run.some_node().node,
            random: Random::new(run.seed, 3 << 32 | u64::from(writer)),
            last,
            epoch: 0,
            seq: 0,
            flying: FuturesUnordered::new(),
            numbers: BTreeSet::new(),
            latest: 0,
            idle: Vec::new(),
            zombie: None,
            over: false,
        }
    }

    /// Writes until the end of the run or of the stream.
    pub async fn work(mut self, rate: f64) {
        let (mut pace, mut known) = (Pace::new(rate), Phase::Down);
        loop {
            let now = self.phase.up().await;
            if now == Phase::Finish || self.over {
                break;
            }
            if std::mem::replace(&mut known, now) != now {
                pace = Pace::new(rate);
                if self.random.one_in(4) && !self.numbers.is_empty() {
                    self.take_over();
                }
                self.repeat().await;
            }
            // A later session begins with its first append alone; one that overtakes it is refused.
            let begins = self.epoch > 0 && self.seq == 1;
            if self.flying.len() == if begins { 1 } else { IN_FLIGHT } || self.is_held_up() {
                self.land().await;
                continue;
            }
            select! {
                biased;
                Some(landed) = self.flying.next() => self.settle(landed),
                _ = pace.next() => self.launch(),
            }
            self.haunt().await;
        }
        while !self.flying.is_empty() {
            self.land().await;
        }
        self.repeat().await;
    }

    /// Whether an append has not been answered for so long that a server would not remember where it
    /// was put, should it have been taken.
    fn is_held_up(&self) -> bool {
        self.numbers.first().is_some_and(|first| u64::from(self.latest - first) + 1 >= REMEMBERED)
    }

    async fn land(&mut self) {
        if let Some(landed) = self.flying.next().await {
            self.settle(landed);
        }
    }

    /// Sends the next append.
    fn launch(&mut self) {
        let number = self.stream.issue(self.writer);
        let closes = self.last.is_some_and(|last| number >= last);
        if closes {
            self.stream.close(Progress::Asked);
            self.over = true;
        }
        let sent = Sent { epoch: self.epoch, seq: self.seq, number, closes, offset: String::new() };
        self.seq += 1;
        self.numbers.insert(number);
        self.latest = number;
        let mut caller = self.idle.pop().unwrap_or_else(|| Caller::new(self.run.some_node()));
        if self.random.one_in(WHIM) {
            self.node = self.run.some_node().node;
        }
        caller.visit(&self.run.nodes[self.node]);
        let (run, stream) = (Arc::clone(&self.run), Arc::clone(&self.stream));
        let (call, phase) = (self.call(&sent), self.phase.clone());
        self.flying.push(Box::pin(send(run, stream, phase, caller, call, sent)));
    }

    fn call(&self, sent: &Sent) -> Call {
        let label = Label { writer: self.writer, number: sent.number };
        call(&self.run, &self.stream, label, sent)
    }

    fn settle(&mut self, landed: Landed) {
        let Landed { mut sent, outcome, caller } = landed;
        // Where it was heard, the next ones will be.
        self.node = caller.node();
        self.idle.push(caller);
        self.numbers.remove(&sent.number);
        let fate = match outcome {
            Outcome::Acknowledged(answer) => match told(&answer, &sent) {
                Ok(offset) => {
                    count(&self.run.counts.appends);
                    if sent.closes {
                        self.stream.close(Progress::Done);
                        count(&self.run.counts.closings);
                    }
                    sent.offset.clone_from(&offset);
                    self.stream.remember(self.writer, sent.clone());
                    Fate::Acknowledged(offset)
                }
                Err(fault) => {
                    self.run.fault(&self.stream, format!("writer {}: {fault}", self.writer));
                    Fate::Doubtful
                }
            },
            Outcome::Closed => {
                self.over = true;
                if self.stream.closed() == Progress::No {
                    self.run.fault(&self.stream, "closed, which nobody asked for");
                }
                Fate::Refused
            }
            Outcome::Gone => {
                self.over = true;
                if self.stream.deleted() == Progress::No {
                    self.run.fault(&self.stream, "gone, though nobody deleted it");
                }
                Fate::Doubtful
            }
            Outcome::Fault(fault) => {
                self.over = true;
                self.run.fault(&self.stream, format!("writer {}: {fault}", self.writer));
                Fate::Doubtful
            }
        };
        self.stream.settle(self.writer, sent.number, fate);
    }

    /// Gives up what is under way and begins a new session: whether it arrived, nobody will know.
    fn take_over(&mut self) {
        self.flying = FuturesUnordered::new();
        for number in std::mem::take(&mut self.numbers) {
            self.stream.settle(self.writer, number, Fate::Doubtful);
        }
        self.stream.forget(self.writer);
        self.zombie = Some(self.epoch);
        (self.epoch, self.seq) = (self.epoch + 1, 0);
        self.over = false;
        count(&self.run.counts.epochs);
    }

    /// Sends something in the name of the session before, once the new one is known.
    async fn haunt(&mut self) {
        let known = self.stream.recent(self.writer).last().is_some_and(|s| s.epoch == self.epoch);
        let Some(epoch) = self.zombie.take_if(|_| known) else {
            return;
        };
        let sent = Sent { epoch, seq: 0, number: NEVER, closes: false, offset: String::new() };
        let call = self.call(&sent);
        let mut caller = Caller::new(self.run.some_node());
        // With a server that is not there nothing is learned.
        let Ok(answer) = caller.call(&self.stream.id, &call).await else {
            return;
        };
        let current = answer.header(name::PRODUCER_EPOCH);
        match answer.status {
            StatusCode::FORBIDDEN if current == Some(&self.epoch.to_string()) => {
                count(&self.run.counts.fenced);
            }
            StatusCode::SERVICE_UNAVAILABLE => (),
            _ if is_gone(&answer) => (),
            _ => self.run.fault(&self.stream, answer.wrong("to a session that is over")),
        }
    }

    /// Sends an append again that has long been acknowledged.
    async fn repeat(&mut self) {
        let recent = self.stream.recent(self.writer);
        if recent.is_empty() {
            return;
        }
        let sent = &recent[self.random.below(recent.len() as u64) as usize];
        let call = self.call(sent);
        let mut caller = Caller::new(self.run.some_node());
        if let Ok(answer) = caller.call(&self.stream.id, &call).await {
            judge_repetition(&self.run, &self.stream, sent, &answer);
        }
    }
}

/// The request of an append.
pub fn call(run: &Run, stream: &Stream, label: Label, sent: &Sent) -> Call {
    Call::new(Method::POST)
        .header(name::PRODUCER_ID, format!("p{}", label.writer))
        .header(name::PRODUCER_EPOCH, sent.epoch)
        .header(name::PRODUCER_SEQ, sent.seq)
        .closing(sent.closes)
        .body(stream.kind.content_type(), label.body(run.filler, stream.kind))
}

/// A late duplicate must be answered as the first time.
pub fn judge_repetition(run: &Run, stream: &Stream, sent: &Sent, answer: &Answer) {
    if answer.status == StatusCode::SERVICE_UNAVAILABLE || is_gone(answer) {
        return;
    }
    let right = answer.status == StatusCode::NO_CONTENT
        && told(answer, sent).is_ok_and(|offset| offset == sent.offset);
    if right {
        count(&run.counts.late);
    } else if !is_forgotten(sent, answer) {
        run.fault(stream, answer.wrong(&format!("to a late duplicate of {sent:?}")));
    }
}

/// Appends of a producer whose offsets a server remembers.
const REMEMBERED: u64 = 16;

/// Whether the repetition was held up for so long that others of its producer have pushed it out of what
/// a server remembers.
fn is_forgotten(sent: &Sent, answer: &Answer) -> bool {
    let last: Option<u64> = answer.header(name::PRODUCER_SEQ).and_then(|seq| seq.parse().ok());
    answer.status == StatusCode::NO_CONTENT
        && last.is_some_and(|last| last.saturating_sub(sent.seq) >= REMEMBERED)
}

/// Whether the stream is no more.
fn is_gone(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// The offset of an acknowledgement, all of whose headers must be right.
fn told(answer: &Answer, sent: &Sent) -> Result<String, String> {
    let offset = answer.offset().map_err(|failure| failure.to_string())?;
    let number = |name| answer.header(name).and_then(|text| text.parse::<u64>().ok());
    let right = number(name::PRODUCER_EPOCH) == Some(sent.epoch)
        && number(name::PRODUCER_SEQ).is_some_and(|seq| seq >= sent.seq)
        && (!sent.closes || answer.says(name::CLOSED))
        && answer.body.is_empty();
    right.then_some(offset).ok_or_else(|| answer.wrong(&format!("to {sent:?}")).to_string())
}

/// Sends one append until it is known what became of it.
async fn send(
    run: Arc<Run>,
    stream: Arc<Stream>,
    mut phase: Listener,
    mut caller: Caller,
    call: Call,
    sent: Sent,
) -> Landed {
    let (begun, mut pause) = (Instant::now(), limits::GAP_PAUSE);
    loop {
        let answer = match run.insist(&mut caller, &mut phase, &stream.id, &call).await {
            Ok((answer, _)) => answer,
            Err(failure) => {
                let node = caller.node();
                let fault = format!("while node {node} was meant to be up: {failure}");
                let outcome = Outcome::Fault(fault);
                return Landed { sent, outcome, caller };
            }
        };
        let expected = answer.header(name::PRODUCER_EXPECTED).and_then(|text| text.parse().ok());
        let outcome = match answer.status {
            StatusCode::OK => Outcome::Acknowledged(answer),
            StatusCode::NO_CONTENT => {
                count(&run.counts.found);
                Outcome::Acknowledged(answer)
            }
            // The one before it is still under way.
            StatusCode::CONFLICT if expected.is_some_and(|expected: u64| expected < sent.seq) => {
                count(&run.counts.gaps);
                sleep(pause).await;
                pause = (pause * 2).min(limits::GAP_PAUSE_MAX);
                continue;
            }
            StatusCode::CONFLICT if answer.says(name::CLOSED) => Outcome::Closed,
            _ if is_gone(&answer) => Outcome::Gone,
            _ => {
                let what = format!("of node {} to {sent:?}", caller.node());
                Outcome::Fault(answer.wrong(&what).to_string())
            }
        };
        if let Outcome::Acknowledged(answer) = &outcome {
            longest(&run.counts.longest_append, begun.elapsed());
            look(&run, &stream, &caller, answer, sent.closes).await;
        }
        return Landed { sent, outcome, caller };
    }
}
