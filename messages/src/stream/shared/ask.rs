//! What can be asked of a name, and what is decided on it. Nothing here waits.

use super::line::Standing;
use crate::{
    admission::{Decision, Over, Refusal, ReplacementRefusal, Request, State},
    channel::Channel,
    model::{self, Change, Chunk, Delete, Offset, StreamId, Writer},
    shared_log::Head,
    stream::{Addition, StreamError, create::Birth},
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Something that is asked of a name.
pub(super) trait Ask: Send + Sync {
    /// Decides, as if everything before in `trial` had happened. Asked again when somebody else was
    /// faster.
    fn decide(&mut self, trial: &mut Trial);

    /// Answers: what was decided holds, or it is unknown whether it does.
    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>);

    /// Whether the answer has to be true now, and not just when this node last heard of the name.
    fn wants_truth(&self) -> bool {
        true
    }

    /// Whether it may be answered from what is here and in the store, when the log does not answer.
    fn only_reads(&self) -> bool {
        false
    }

    /// Whether it is likely to add something also where there is nothing yet.
    fn begins(&self) -> bool {
        false
    }

    /// Whether it has to be known how many streams branch off.
    fn counts_forks(&self) -> bool {
        false
    }

    /// What another node has told, if that is what this is.
    fn news(&mut self) -> Option<(Head, Vec<Bytes>)> {
        None
    }

    /// A life that has to be in the store before the log has it.
    fn fork(&self) -> Option<&Birth> {
        None
    }

    /// Bytes that it may add to the log.
    fn cost(&self) -> usize {
        0
    }
}

/// One change that was decided on.
#[derive(Clone)]
pub(super) struct Step {
    pub channel: Arc<Channel>,
    pub change: Change,
}

/// A name as it would be if everything that was decided on had happened.
pub(super) struct Trial {
    pub channel: Option<Arc<Channel>>,
    pub state: Option<State>,
    pub steps: Vec<Step>,
    /// A later end of a life that lives by use.
    pub expires_ms: Option<u64>,
}

impl Trial {
    /// From how the name stands, `forks` branching off from it where that is known.
    pub fn new(standing: &Standing, forks: Option<u64>) -> Self {
        let channel = standing.channel.clone();
        let state = channel.as_ref().map(|channel| {
            let mut state = channel.writer().clone();
            state.forks = forks.unwrap_or(state.forks);
            state
        });
        Self { channel, state, steps: Vec::new(), expires_ms: None }
    }

    /// The state of a life, if it is the present one.
    fn life(&mut self, id: StreamId) -> Option<&mut State> {
        let is_present = self.channel.as_ref().is_some_and(|channel| channel.id() == id);
        self.state.as_mut().filter(|_| is_present)
    }

    /// A change of the present life.
    fn push(&mut self, change: Change) {
        if let Some(channel) = self.channel.clone() {
            self.steps.push(Step { channel, change });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.expires_ms.is_none()
    }
}

/// What becomes of the word that nobody may hear.
fn say<T>(to: oneshot::Sender<T>, word: T) {
    drop(to.send(word));
}

/// The present life.
pub(super) struct Look {
    /// Also when the log does not answer: as far as this node and the store know.
    pub anyhow: bool,
    pub answer: oneshot::Sender<Result<Option<Arc<Channel>>, StreamError>>,
}

impl Ask for Look {
    fn decide(&mut self, _: &mut Trial) {}

    fn only_reads(&self) -> bool {
        self.anyhow
    }

    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>) {
        say(self.answer, result.map(|standing| standing.channel.clone()));
    }
}

/// What another node has told.
pub(super) struct News {
    pub head: Head,
    pub changes: Vec<Bytes>,
}

impl Ask for News {
    fn decide(&mut self, _: &mut Trial) {}

    fn answer(self: Box<Self>, _: Result<&Standing, StreamError>) {}

    fn wants_truth(&self) -> bool {
        false
    }

    fn news(&mut self) -> Option<(Head, Vec<Bytes>)> {
        Some((self.head, std::mem::take(&mut self.changes)))
    }
}

/// More content, the end, or both.
pub(super) struct Append {
    channel: Arc<Channel>,
    addition: Addition,
    bytes_max: u64,
    outcome: Option<Decision>,
    answer: oneshot::Sender<Result<Decision, StreamError>>,
}

impl Append {
    pub fn new(
        channel: Arc<Channel>,
        addition: Addition,
        bytes_max: u64,
        answer: oneshot::Sender<Result<Decision, StreamError>>,
    ) -> Self {
        Self { channel, addition, bytes_max, outcome: None, answer }
    }
}

impl Ask for Append {
    fn decide(&mut self, trial: &mut Trial) {
        let Addition { records, at, tied, close, writer, wrong_type } = &self.addition;
        let Some(state) = trial.life(self.channel.id()) else {
            let over = self.channel.writer().over.unwrap_or(Over::Replaced);
            self.outcome = Some(Decision::Refuse(Refusal::Over(over)));
            return;
        };
        let request = Request {
            records: records.count() as u64,
            bytes: records.len() as u64,
            at: *at,
            tied: *tied,
            close: *close,
            writer,
            wrong_type: *wrong_type,
        };
        let decision = state.admit(request, self.bytes_max);
        self.outcome = Some(decision);
        if let Decision::Accept { at, .. } = decision {
            let tied = state.tied;
            let (lengths, body) = records.clone().into_parts();
            let chunk = Chunk { at, lengths, body };
            let (close, writer) = (*close, writer.clone());
            let append = model::Append { chunk, tied, close, writer };
            trial.push(Change::Append(append));
        }
    }

    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>) {
        say(self.answer, result.and_then(|_| self.outcome.ok_or(StreamError::Stopping)));
    }

    fn cost(&self) -> usize {
        self.addition.records.len()
    }
}

/// What has become of a birth.
pub(in super::super) enum Begun {
    /// It is the present life now.
    New(Arc<Channel>, Offset),
    /// There is this one.
    Found(Arc<Channel>),
}

/// A new life.
pub(super) struct Begin {
    pub birth: Option<Birth>,
    /// The life that it replaces; `None` for a name that must not have one.
    pub old: Option<Arc<Channel>>,
    pub outcome: Option<Result<Begun, StreamError>>,
    pub answer: oneshot::Sender<Result<Begun, StreamError>>,
}

impl Begin {
    fn admit(&self, trial: &mut Trial) -> Result<Option<Arc<Channel>>, StreamError> {
        let Some(old) = &self.old else {
            return Ok(trial.channel.clone());
        };
        let state = trial.life(old.id()).ok_or(StreamError::Replaced)?;
        state.admit_replacement().map(|()| None).map_err(|refusal| match refusal {
            ReplacementRefusal::Open => StreamError::Open,
            ReplacementRefusal::Forked => StreamError::Forked,
            ReplacementRefusal::Replaced => StreamError::Replaced,
            ReplacementRefusal::Hidden => StreamError::Hidden,
        })
    }
}

impl Ask for Begin {
    fn decide(&mut self, trial: &mut Trial) {
        let Some(birth) = &self.birth else { return };
        match self.admit(trial) {
            Err(error) => self.outcome = Some(Err(error)),
            Ok(Some(found)) => self.outcome = Some(Ok(Begun::Found(found))),
            Ok(None) => {
                let Birth { channel, create, append, state } = birth;
                let create = model::Create {
                    // Also one that this ends without being asked to: it is over already.
                    replaces: trial.channel.as_ref().map(|old| old.id()),
                    ..create.clone()
                };
                trial.channel = Some(channel.clone());
                trial.state = Some(state.clone());
                trial.push(Change::Create(create));
                if let Some(append) = append {
                    trial.push(Change::Append(append.clone()));
                }
                self.outcome = Some(Ok(Begun::New(channel.clone(), state.tail)));
            }
        }
    }

    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>) {
        let outcome = self.outcome.unwrap_or(Err(StreamError::Stopping));
        say(self.answer, result.and(outcome));
    }

    fn begins(&self) -> bool {
        true
    }

    fn counts_forks(&self) -> bool {
        self.old.is_some()
    }

    fn fork(&self) -> Option<&Birth> {
        self.birth.as_ref().filter(|birth| birth.create.fork.is_some())
    }

    fn cost(&self) -> usize {
        let append = self.birth.as_ref().and_then(|birth| birth.append.as_ref());
        append.map_or(0, |append| append.chunk.body.len())
    }
}

/// How a life has ended.
pub(in super::super) enum Ended {
    /// By this.
    Now(Over),
    /// Before.
    Before(Over),
    /// It was not due.
    Not,
}

/// The end of a life.
pub(super) struct End {
    pub channel: Arc<Channel>,
    /// Only if its time is over at this time.
    pub expired_ms: Option<u64>,
    pub outcome: Option<Ended>,
    pub answer: oneshot::Sender<Result<Ended, StreamError>>,
}

impl Ask for End {
    fn decide(&mut self, trial: &mut Trial) {
        let channel = self.channel.clone();
        let due = self.expired_ms.is_none_or(|ms| channel.is_expired(ms));
        let outcome = match trial.life(channel.id()) {
            None => Ended::Before(channel.writer().over.unwrap_or(Over::Replaced)),
            Some(_) if !due => Ended::Not,
            Some(state) => match state.admit_deletion() {
                Err(over) => Ended::Before(over),
                Ok(over) => {
                    let hidden = over == Over::Hidden;
                    let delete = if hidden { Delete::Hidden } else { Delete::Whole };
                    trial.push(Change::Delete(delete));
                    Ended::Now(over)
                }
            },
        };
        self.outcome = Some(outcome);
    }

    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>) {
        let outcome = self.outcome.ok_or(StreamError::Stopping);
        say(self.answer, result.and(outcome));
    }

    fn counts_forks(&self) -> bool {
        true
    }
}

/// The end of a hidden life that nothing branches off from any more. Answers whether that is so.
pub(super) struct Release {
    pub life: StreamId,
    pub outcome: bool,
    pub answer: oneshot::Sender<Result<bool, StreamError>>,
}

impl Ask for Release {
    fn decide(&mut self, trial: &mut Trial) {
        let Some(state) = trial.life(self.life) else { return };
        self.outcome = state.over == Some(Over::Hidden) && state.forks == 0;
        if self.outcome {
            state.over = Some(Over::Deleted);
            trial.push(Change::Delete(Delete::Whole));
        }
    }

    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>) {
        say(self.answer, result.map(|_| self.outcome));
    }

    fn counts_forks(&self) -> bool {
        true
    }
}

/// A change that changes nothing but the version, of a stream that ends `at`.
pub(super) fn nothing(at: Offset, tied: bool) -> Change {
    let (lengths, body) = model::Records::none().into_parts();
    let chunk = Chunk { at, lengths, body };
    Change::Append(model::Append { chunk, tied, close: None, writer: Writer::NOBODY })
}

/// Puts into the order of a life that something branches off from it: nothing that was decided before
/// without knowing of it can come behind. Answers how the life has ended, if it has.
pub(super) struct Branch {
    pub life: StreamId,
    pub outcome: Option<Over>,
    pub answer: oneshot::Sender<Result<Option<Over>, StreamError>>,
}

impl Ask for Branch {
    fn decide(&mut self, trial: &mut Trial) {
        let Some(state) = trial.life(self.life) else {
            self.outcome = Some(Over::Replaced);
            return;
        };
        self.outcome = state.over;
        let (at, tied) = (state.tail, state.tied);
        if self.outcome.is_none() {
            trial.push(nothing(at, tied));
        }
    }

    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>) {
        say(self.answer, result.map(|_| self.outcome));
    }
}

/// A life that lives by use goes on.
pub(super) struct Expire {
    pub life: StreamId,
    pub expires_ms: u64,
}

impl Ask for Expire {
    fn decide(&mut self, trial: &mut Trial) {
        if trial.life(self.life).is_some_and(|state| state.over.is_none()) {
            trial.expires_ms = trial.expires_ms.max(Some(self.expires_ms));
        }
    }

    fn answer(self: Box<Self>, _: Result<&Standing, StreamError>) {}

    fn wants_truth(&self) -> bool {
        false
    }
}
