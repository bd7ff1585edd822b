//! What may happen to a subscription next. Pure: no time, no chance, no I/O.
//!
//! Nothing here changes the subscription but [`Subscription::apply`] and what is seen of streams.
//! Every step is a [`Plan`] first, so that it can be made durable before it counts.

use super::{
    Config, Link, LinkChange, Links, Sight,
    links::{is_before, put_change},
    state::{Mark, Stage, State, Wake},
};
use crate::{
    limits::{RETRY_MS_MAX, RETRY_MS_MIN, WAKE_STREAMS_MAX},
    model::{Offset, StreamId, StreamName},
};
use std::collections::BTreeMap;

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What it was asked to be.
    pub config: Config,
    /// Where it is.
    pub state: State,
    /// Its streams.
    pub links: Links,
}

/// A step that has been decided and not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the state will be.
    pub state: State,
    /// What becomes of links.
    pub links: Vec<LinkChange>,
}

/// What the world contributes to a step.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Random bits.
    pub chance: u128,
}

/// What a worker knows of the wake that it works on.
#[derive(Clone, Debug)]
pub struct Fence {
    /// The incarnation that its token was made for.
    pub token_incarnation: u64,
    /// The generation that its token was made for.
    pub token_generation: u64,
    /// The generation that it names.
    pub generation: u64,
    /// The wake that it names.
    pub wake_id: String,
}

/// Why a worker is refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The wake is over.
    #[error("this wake is over: it is done, released, expired or followed by another one")]
    Fenced,
    /// An acknowledged position cannot be right.
    #[error("stream {0}: {1}")]
    InvalidOffset(String, &'static str),
    /// Another worker is at it.
    #[error("another worker holds the lease")]
    AlreadyClaimed {
        /// Which.
        holder: String,
        /// In which generation.
        generation: u64,
    },
    /// There is nothing to do.
    #[error("no stream of this subscription has anything new")]
    NoPendingWork,
}

/// A position that a worker has processed everything up to, as it was sent.
#[derive(Clone, Debug)]
pub struct Ack {
    /// The stream.
    pub stream: String,
    /// The position.
    pub offset: String,
}

/// What there is to be done about a subscription by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// From this time on, [`Subscription::evaluate`] has something to decide.
    Evaluate(u64),
    /// From this time on, the present wake has to be sent.
    Send(u64),
}

impl Due {
    /// From when on.
    #[must_use]
    pub fn at_ms(self) -> u64 {
        match self {
            Self::Evaluate(at_ms) | Self::Send(at_ms) => at_ms,
        }
    }
}

/// A plan in the making: the state, and the cursors that it moves.
struct Draft<'a> {
    base: &'a Subscription,
    state: State,
    acked: BTreeMap<StreamName, (StreamId, Offset)>,
}

impl<'a> Draft<'a> {
    fn new(base: &'a Subscription) -> Self {
        Self { base, state: base.state.clone(), acked: BTreeMap::new() }
    }

    /// The link as it will be.
    fn link(&self, stream: &StreamName, link: &Link) -> Link {
        match self.acked.get(stream) {
            Some((life, acked)) if link.life == Some(*life) => Link { acked: *acked, ..*link },
            _ => *link,
        }
    }

    fn pending(&self) -> impl Iterator<Item = (&StreamName, Link)> {
        // What was not pending and has gone back is, too.
        let links = self.base.links.pending().chain(self.moved().filter(|(_, l)| !l.is_pending()));
        let links = links.map(|(stream, link)| (stream, self.link(stream, link)));
        links.filter(|(_, link)| link.is_pending())
    }

    /// The links whose cursors move, as they were.
    fn moved(&self) -> impl Iterator<Item = (&StreamName, &Link)> {
        self.acked.keys().filter_map(|stream| Some((stream, self.base.links.get(stream)?)))
    }

    fn is_pending(&self) -> bool {
        self.pending().next().is_some()
    }

    /// Begins the next wake.
    fn wake(&mut self, at: Moment, stage: Stage) {
        let marks = self.pending().take(WAKE_STREAMS_MAX).filter_map(|(stream, link)| {
            let life = link.life?.0;
            Some(Mark { stream: stream.clone(), life, tail: link.tail })
        });
        let marks = marks.collect();
        self.state.generation += 1;
        self.state.wake = Some(Wake { id: format!("w_{:032x}", at.chance), marks, stage });
    }

    /// Ends the present wake, and begins the next one when there is something pending.
    fn finish(&mut self, at: Moment) -> bool {
        self.state.wake = None;
        let next = self.is_pending();
        if next {
            self.wake(at, Stage::Outgoing { failures: 0, next_attempt_ms: at.now_ms });
        }
        next
    }

    /// The plan. What is not saved yet goes with it.
    fn plan(self) -> Plan {
        let Self { base, state, mut acked } = self;
        let mut links: Vec<LinkChange> = Vec::new();
        for change in base.links.unsaved() {
            links.push(match change {
                LinkChange::Put { stream, explicit, life, acked: before } => {
                    let moved = acked.remove(&stream).filter(|(of, _)| Some(*of) == life);
                    let acked = moved.map_or(before, |(_, offset)| offset);
                    LinkChange::Put { stream, explicit, life, acked }
                }
                remove => remove,
            });
        }
        for (stream, (life, acked)) in acked {
            if let Some(link) = base.links.get(&stream).filter(|link| link.life == Some(life)) {
                links.push(put_change(&stream, &Link { acked, ..*link }));
            }
        }
        Plan { state, links }
    }
}

impl Subscription {
    /// Takes a step that is durable.
    pub fn apply(&mut self, plan: Plan) {
        self.state = plan.state;
        self.links.apply(&self.config, plan.links);
    }

    /// Takes up what was seen of a stream. Returns whether that made a difference.
    pub fn see(&mut self, stream: &StreamName, sight: Sight) -> bool {
        self.links.see(&self.config, stream, sight)
    }

    /// What has to be done next without anybody asking, and when.
    #[must_use]
    pub fn due(&self) -> Option<Due> {
        let pending = self.links.pending().next().is_some();
        match self.state.wake.as_ref().map(|wake| &wake.stage) {
            None => pending.then_some(Due::Evaluate(0)),
            Some(Stage::Outgoing { .. } | Stage::Offered) if !pending => Some(Due::Evaluate(0)),
            Some(Stage::Outgoing { next_attempt_ms, .. }) => Some(Due::Send(*next_attempt_ms)),
            Some(Stage::Offered) => None,
            Some(Stage::Leased { until_ms, .. }) => Some(Due::Evaluate(*until_ms)),
        }
    }

    /// Whether the present wake could not be sent so far.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let stage = self.state.wake.as_ref().map(|wake| &wake.stage);
        matches!(stage, Some(Stage::Outgoing { failures: 1.., .. }))
    }

    /// The next wake, the end of a lease, the end of a wake that there is no reason for any more.
    #[must_use]
    pub fn evaluate(&self, at: Moment) -> Option<Plan> {
        match self.due() {
            Some(Due::Evaluate(due_ms)) if due_ms <= at.now_ms => {
                let mut draft = Draft::new(self);
                draft.finish(at);
                Some(draft.plan())
            }
            _ => None,
        }
    }

    /// The present wake, if it is this one.
    fn present(&self, generation: u64, wake_id: &str) -> Option<&Wake> {
        let wake = self.state.wake.as_ref()?;
        (self.state.generation == generation && wake.id == wake_id).then_some(wake)
    }

    /// The webhook was called at `sent_ms` and has answered well, `done` or not.
    #[must_use]
    pub fn delivered(&self, sent: &Fence, sent_ms: u64, done: bool, at: Moment) -> Option<Plan> {
        let wake = self.present(sent.generation, &sent.wake_id)?;
        let mut draft = Draft::new(self);
        if done {
            for mark in &wake.marks {
                let link = self.links.get(&mark.stream);
                let moves = |link: &&Link| {
                    link.life == Some(mark.life()) && is_before(link.acked, mark.tail)
                };
                if link.filter(moves).is_some() {
                    draft.acked.insert(mark.stream.clone(), (mark.life(), mark.tail));
                }
            }
            draft.finish(at);
            return Some(draft.plan());
        }
        // A worker that has called back meanwhile has extended its lease already.
        if !matches!(wake.stage, Stage::Outgoing { .. }) {
            return None;
        }
        let until_ms = sent_ms + self.config.lease_ttl_ms;
        draft.set_stage(Stage::Leased { holder: None, until_ms });
        Some(draft.plan())
    }

    /// The wake event is written.
    #[must_use]
    pub fn announced(&self, sent: &Fence) -> Option<Plan> {
        let wake = self.present(sent.generation, &sent.wake_id)?;
        let waits = matches!(wake.stage, Stage::Outgoing { .. });
        waits.then(|| {
            let mut draft = Draft::new(self);
            draft.set_stage(Stage::Offered);
            draft.plan()
        })
    }

    /// The webhook could not be called or has not answered well, or the event not be written.
    #[must_use]
    pub fn failed(&self, sent: &Fence, at: Moment) -> Option<Plan> {
        let wake = self.present(sent.generation, &sent.wake_id)?;
        let Stage::Outgoing { failures, .. } = wake.stage else { return None };
        let next_attempt_ms = at.now_ms + backoff_ms(failures, at.chance);
        let mut draft = Draft::new(self);
        draft.set_stage(Stage::Outgoing { failures: failures.saturating_add(1), next_attempt_ms });
        Some(draft.plan())
    }

    /// A worker takes the work.
    ///
    /// # Errors
    /// Another one has it, or there is none.
    pub fn claim(&self, worker: &str, at: Moment) -> Result<Plan, Refusal> {
        let mut draft = Draft::new(self);
        match self.state.wake.as_ref().map(|wake| &wake.stage) {
            Some(Stage::Leased { holder, until_ms }) if *until_ms > at.now_ms => {
                return Err(Refusal::AlreadyClaimed {
                    holder: holder.clone().unwrap_or_default(),
                    generation: self.state.generation,
                });
            }
            _ if !draft.is_pending() => return Err(Refusal::NoPendingWork),
            _ => {}
        }
        let until_ms = at.now_ms + self.config.lease_ttl_ms;
        let stage = Stage::Leased { holder: Some(worker.to_owned()), until_ms };
        match self.state.wake.as_ref().map(|wake| &wake.stage) {
            Some(Stage::Outgoing { .. } | Stage::Offered) => draft.set_stage(stage),
            // Nobody was told of this one: whoever claims knows already.
            None | Some(Stage::Leased { .. }) => draft.wake(at, stage),
        }
        Ok(draft.plan())
    }

    /// A worker tells how far it has come, that it is still there, or that it is done. Returns also
    /// whether there is a next wake.
    ///
    /// # Errors
    /// The wake is not its own any more, or a position cannot be right.
    pub fn ack(
        &self,
        fence: &Fence,
        acks: &[Ack],
        done: bool,
        at: Moment,
    ) -> Result<(Plan, bool), Refusal> {
        let wake = self.fenced(fence, at)?;
        let holder = match &wake.stage {
            Stage::Leased { holder, .. } => holder.clone(),
            _ => None,
        };
        let mut draft = Draft::new(self);
        for ack in acks {
            let (stream, life, offset) = self.check(ack, &draft)?;
            draft.acked.insert(stream, (life, offset));
        }
        if done {
            let next = draft.finish(at);
            return Ok((draft.plan(), next));
        }
        let until_ms = at.now_ms + self.config.lease_ttl_ms;
        draft.set_stage(Stage::Leased { holder, until_ms });
        Ok((draft.plan(), false))
    }

    /// A worker gives the work back.
    ///
    /// # Errors
    /// It is not its own any more.
    pub fn release(&self, fence: &Fence, at: Moment) -> Result<Plan, Refusal> {
        self.fenced(fence, at)?;
        let mut draft = Draft::new(self);
        draft.finish(at);
        Ok(draft.plan())
    }

    /// The present wake, if that is the one that the worker works on, with a token for it.
    fn fenced(&self, fence: &Fence, at: Moment) -> Result<&Wake, Refusal> {
        let is_token_of_this = fence.token_incarnation == self.state.incarnation
            && fence.token_generation == self.state.generation;
        let wake = self.present(fence.generation, &fence.wake_id);
        let wake = wake.filter(|_| is_token_of_this).ok_or(Refusal::Fenced)?;
        match wake.stage {
            Stage::Leased { until_ms, .. } if until_ms <= at.now_ms => Err(Refusal::Fenced),
            _ => Ok(wake),
        }
    }

    fn check(&self, ack: &Ack, draft: &Draft) -> Result<(StreamName, StreamId, Offset), Refusal> {
        let refuse = |what| Refusal::InvalidOffset(ack.stream.clone(), what);
        // Whatever is linked: a wake tells its worker also of what nobody else can name.
        let stream = StreamName::kept(ack.stream.trim_matches('/')).ok();
        let link = stream.and_then(|stream| Some((self.links.get(&stream)?, stream)));
        let (link, stream) = link.ok_or_else(|| refuse("it is not linked"))?;
        let offset: Offset = ack.offset.parse().map_err(|_| refuse("this is no offset"))?;
        let link = draft.link(&stream, link);
        let life = link.life.ok_or_else(|| refuse("there is no such stream yet"))?;
        if is_before(offset, link.acked) {
            return Err(refuse("the offset is before the one that is acknowledged already"));
        }
        if is_before(link.tail, offset) {
            return Err(refuse("the offset is behind the end of the stream"));
        }
        Ok((stream, life, offset))
    }

    /// Goes on from another place of a stream. Whoever works on the present wake has lost it, and what
    /// lies behind the place is told at once.
    ///
    /// # Errors
    /// There is no such place.
    pub fn replay(&self, stream: &StreamName, to: Offset, at: Moment) -> Result<Plan, Refusal> {
        let refuse = |what| Refusal::InvalidOffset(stream.to_string(), what);
        let link = self.links.get(stream).ok_or_else(|| refuse("it is not linked"))?;
        let life = link.life.ok_or_else(|| refuse("there is no such stream yet"))?;
        if is_before(link.tail, to) {
            return Err(refuse("the offset is behind the end of the stream"));
        }
        let mut draft = Draft::new(self);
        draft.acked.insert(stream.clone(), (life, to));
        draft.finish(at);
        Ok(draft.plan())
    }

    /// Links streams by name. Those that are there already begin where they end now.
    #[must_use]
    pub fn add(&self, streams: &[(StreamName, Option<(StreamId, Offset)>)]) -> Plan {
        let mut plan = Draft::new(self).plan();
        for (stream, tail) in streams {
            let new = Link {
                explicit: true,
                life: tail.map(|(life, _)| life),
                acked: tail.map_or(Offset::ZERO, |(_, offset)| offset),
                tail: Offset::ZERO,
            };
            let link = self.links.get(stream).map_or(new, |link| Link { explicit: true, ..*link });
            plan.replace(stream, put_change(stream, &link));
        }
        plan
    }

    /// Takes back the link by name. The link by the pattern stays.
    #[must_use]
    pub fn remove(&self, stream: &StreamName) -> Option<Plan> {
        let link = self.links.get(stream).filter(|link| link.explicit)?;
        let mut plan = Draft::new(self).plan();
        let change = if link.life.is_some() && self.config.matches(stream) {
            put_change(stream, &Link { explicit: false, ..*link })
        } else {
            LinkChange::Remove(stream.clone())
        };
        plan.replace(stream, change);
        Some(plan)
    }

    /// A step that changes nothing but what is stored; `None` when that is complete.
    #[must_use]
    pub fn unsaved(&self) -> Option<Plan> {
        let plan = Draft::new(self).plan();
        (!plan.links.is_empty()).then_some(plan)
    }

    /// Takes note of the address under which the server was reached last.
    #[must_use]
    pub fn moved(&self, origin: &str) -> Option<Plan> {
        (self.state.origin != origin).then(|| {
            let mut draft = Draft::new(self);
            origin.clone_into(&mut draft.state.origin);
            draft.plan()
        })
    }
}

impl Draft<'_> {
    fn set_stage(&mut self, stage: Stage) {
        if let Some(wake) = &mut self.state.wake {
            wake.stage = stage;
        }
    }
}

impl Plan {
    /// Puts a change in the place of what is there for the same stream.
    fn replace(&mut self, stream: &StreamName, change: LinkChange) {
        self.links.retain(|other| match other {
            LinkChange::Put { stream: of, .. } | LinkChange::Remove(of) => of != stream,
        });
        self.links.push(change);
    }
}

/// How long to wait after a failure that had `failures` before it: from a second to a minute, and
/// a fifth more or less, so that those who failed together do not come again together.
fn backoff_ms(failures: u32, chance: u128) -> u64 {
    let base = RETRY_MS_MIN.saturating_mul(1 << failures.min(16)).min(RETRY_MS_MAX);
    let spread = base * 2 / 5;
    base - base / 5 + chance as u64 % (spread + 1)
}
