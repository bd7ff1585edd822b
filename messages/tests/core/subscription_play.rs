//! One subscription through everything that may happen to it, against what must always hold.

use super::subscription_machine::{ack, fence, name, offset, pull, webhook};
use messages::{
    model::{StreamId, StreamName},
    subscription::{
        Due, Fence, Link, LinkChange, Links, Moment, Plan, Sight, Stage, State, Subscription,
    },
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Append(u8),
    Rebirth(u8),
    Gone(u8),
    Add(u8),
    Remove(u8),
    Evaluate,
    Sent {
        ok: bool,
        done: bool,
    },
    Claim(u8),
    Ack {
        of: u8,
        stream: u8,
        back: u8,
        done: bool,
    },
    Release(u8),
    /// Somebody wants to be told again what is behind this many records, or skips up to there.
    Replay(u8, u8),
    Pass(u16),
    /// The step that was decided last is not stored after all.
    Fail,
    /// While the next step is being stored, this happens to a stream.
    Meanwhile(u8, u8),
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0u8..4).prop_map(Event::Append),
        1 => (0u8..4).prop_map(Event::Rebirth),
        1 => (0u8..4).prop_map(Event::Gone),
        1 => (0u8..4).prop_map(Event::Add),
        1 => (0u8..4).prop_map(Event::Remove),
        4 => Just(Event::Evaluate),
        4 => (any::<bool>(), any::<bool>()).prop_map(|(ok, done)| Event::Sent { ok, done }),
        4 => (0u8..2).prop_map(Event::Claim),
        4 => (0u8..4, 0u8..4, 0u8..3, any::<bool>())
            .prop_map(|(of, stream, back, done)| Event::Ack { of, stream, back, done }),
        1 => (0u8..4).prop_map(Event::Release),
        2 => (0u8..4, 0u8..6).prop_map(|(stream, to)| Event::Replay(stream, to)),
        3 => (0u16..3_000).prop_map(Event::Pass),
        2 => Just(Event::Fail),
        3 => (0u8..3, 0u8..4).prop_map(|(what, stream)| Event::Meanwhile(what, stream)),
        2 => Just(Event::Crash),
    ]
}

/// A subscription, the streams around it, the store below it and the workers that ever had a wake.
struct Play {
    sub: Subscription,
    stored_state: State,
    stored_links: BTreeMap<StreamName, Link>,
    streams: BTreeMap<StreamName, (u64, u64)>,
    workers: Vec<Fence>,
    lives: u64,
    now_ms: u64,
    lose_next: bool,
    meanwhile: Option<Event>,
}

impl Play {
    fn new(sub: Subscription) -> Self {
        let stored_state = sub.state.clone();
        Self {
            sub,
            stored_state,
            stored_links: BTreeMap::new(),
            streams: BTreeMap::new(),
            workers: Vec::new(),
            lives: 0,
            now_ms: 0,
            lose_next: false,
            meanwhile: None,
        }
    }

    fn stream(i: u8) -> StreamName {
        name(["s/a", "s/b", "x", "y"][usize::from(i)])
    }

    fn at(&self) -> Moment {
        Moment { now_ms: self.now_ms, chance: u128::from(self.now_ms) << 32 | self.lives as u128 }
    }

    /// Stores a step and takes it; a step that could not be stored is not taken.
    fn take(&mut self, plan: Option<Plan>) -> bool {
        self.lives += 1;
        let Some(plan) = plan else { return false };
        if std::mem::take(&mut self.lose_next) {
            return false;
        }
        self.stored_state = plan.state.clone();
        for change in &plan.links {
            match change {
                LinkChange::Put { stream, explicit, life, acked } => {
                    let link =
                        Link { explicit: *explicit, life: *life, acked: *acked, tail: *acked };
                    self.stored_links.insert(stream.clone(), link);
                }
                LinkChange::Remove(stream) => drop(self.stored_links.remove(stream)),
            }
        }
        if let Some(event) = self.meanwhile.take() {
            self.happen(event);
        }
        self.sub.apply(plan);
        true
    }

    fn look(&mut self, stream: &StreamName) {
        if let Some((life, tail)) = self.streams.get(stream) {
            self.sub.see(stream, Sight::At(StreamId(*life), offset(*tail)));
        }
    }

    fn happen(&mut self, event: Event) {
        let (sub, at) = (self.sub.clone(), self.at());
        match event {
            Event::Append(i) => {
                let stream = Self::stream(i);
                self.lives += 1;
                self.streams.entry(stream.clone()).or_insert((self.lives, 0)).1 += 1;
                self.look(&stream);
            }
            Event::Rebirth(i) => {
                let stream = Self::stream(i);
                self.lives += 1;
                self.streams.insert(stream.clone(), (self.lives, 1));
                self.look(&stream);
            }
            Event::Gone(i) => {
                let stream = Self::stream(i);
                if let Some((life, _)) = self.streams.remove(&stream) {
                    self.sub.see(&stream, Sight::Gone(StreamId(life)));
                }
            }
            Event::Add(i) => {
                let stream = Self::stream(i);
                let tail = self.streams.get(&stream).map(|(l, t)| (StreamId(*l), offset(*t)));
                self.take(Some(sub.add(&[(stream.clone(), tail)])));
                // As the service does: it may have changed, or gone, before it was linked.
                match tail {
                    Some((life, _)) if !self.streams.contains_key(&stream) => {
                        self.sub.see(&stream, Sight::Gone(life));
                    }
                    _ => self.look(&stream),
                }
            }
            Event::Remove(i) => {
                self.take(sub.remove(&Self::stream(i)));
            }
            Event::Evaluate => {
                self.take(sub.evaluate(at));
            }
            Event::Sent { ok, done } => self.send(ok, done),
            Event::Claim(worker) => {
                let plan = sub.claim(&format!("worker-{worker}"), at).ok();
                if self.take(plan) {
                    self.workers.push(fence(&self.sub));
                }
            }
            Event::Ack { of, stream, back, done } => {
                let stream = Self::stream(stream);
                let tail = self.streams.get(&stream).map_or(0, |(_, tail)| *tail);
                let acks = [ack(stream.as_str(), tail.saturating_sub(back.into()))];
                let Some(worker) = self.worker(of) else { return };
                let plan = sub.ack(&worker, &acks, done, at).ok();
                self.take(plan.map(|(plan, _)| plan));
            }
            Event::Release(of) => {
                let Some(worker) = self.worker(of) else { return };
                self.take(sub.release(&worker, at).ok());
            }
            Event::Replay(stream, to) => {
                self.take(sub.replay(&Self::stream(stream), offset(to.into()), at).ok());
            }
            Event::Pass(ms) => self.now_ms += u64::from(ms),
            Event::Fail => self.lose_next = true,
            Event::Meanwhile(what, i) => {
                let event = [Event::Append(i), Event::Rebirth(i), Event::Gone(i)];
                self.meanwhile = event.into_iter().nth(what.into());
            }
            Event::Crash => self.crash(),
        }
    }

    fn worker(&self, of: u8) -> Option<Fence> {
        self.workers.iter().rev().nth(of.into()).cloned()
    }

    fn send(&mut self, ok: bool, done: bool) {
        let at = self.at();
        if !matches!(self.sub.due(), Some(Due::Send(due_ms)) if due_ms <= at.now_ms) {
            return;
        }
        let sent = fence(&self.sub);
        let sub = self.sub.clone();
        let is_pull = sub.config.wake_stream().is_some();
        let plan = match (ok, is_pull) {
            (false, _) => sub.failed(&sent, at),
            (true, true) => sub.announced(&sent),
            (true, false) => {
                self.workers.push(sent.clone());
                sub.delivered(&sent, at.now_ms, done, at)
            }
        };
        self.take(plan);
    }

    /// Everything that is not stored is gone; streams are looked at anew.
    fn crash(&mut self) {
        (self.lose_next, self.meanwhile) = (false, None);
        self.sub.state = self.stored_state.clone();
        self.sub.links = Links::default();
        for (stream, link) in &self.stored_links {
            self.sub.links.restore(stream.clone(), *link);
        }
        for stream in (0..4).map(Self::stream) {
            if let Some(life) = self.stored_links.get(&stream).and_then(|link| link.life)
                && self.streams.get(&stream).is_none_or(|(now, _)| StreamId(*now) != life)
            {
                self.sub.see(&stream, Sight::Gone(life));
            }
            self.look(&stream);
        }
    }

    fn check(&self, before: &Subscription, replayed: Option<u8>) -> Result<(), TestCaseError> {
        let (sub, old) = (&self.sub, before);
        prop_assert!(sub.state.generation >= old.state.generation, "generations only grow");
        for (stream, link) in sub.links.iter() {
            let was = old
                .links
                .get(stream)
                .filter(|_| replayed.map(Self::stream) != Some(stream.clone()));
            if let Some(was) = was.filter(|was| was.life == link.life) {
                prop_assert!(link.acked.bytes >= was.acked.bytes, "{stream} went back");
            }
            prop_assert!(link.acked.bytes <= link.tail.bytes, "{stream} beyond its end");
            let pending = sub.links.pending().any(|(other, _)| other == stream);
            prop_assert_eq!(pending, link.is_pending());
        }
        // Whoever could still act holds the present wake.
        let at = self.at();
        let able = self.workers.iter().filter(|worker| sub.ack(worker, &[], false, at).is_ok());
        for worker in able {
            prop_assert_eq!(worker.generation, sub.state.generation);
        }
        // No wake is lost: what is pending is held, offered, or due.
        if sub.links.pending().next().is_some() {
            let leased = matches!(
                sub.state.wake.as_ref().map(|wake| &wake.stage),
                Some(Stage::Leased { .. } | Stage::Offered)
            );
            prop_assert!(leased || sub.due().is_some(), "{sub:?}");
        }
        // And every stream that fits is linked, and reaches as far as it does.
        for (stream, (life, tail)) in &self.streams {
            let link = sub.links.get(stream);
            if sub.config.matches(stream) {
                let link = link.expect("linked");
                prop_assert_eq!((link.life, link.tail), (Some(StreamId(*life)), offset(*tail)));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn what_must_hold_holds(
        is_pull in any::<bool>(),
        events in prop::collection::vec(event(), 0..80),
    ) {
        let mut play = Play::new(if is_pull { pull() } else { webhook() });
        for event in events {
            let before = play.sub.clone();
            // A crash may take back what was seen, and a cursor with it; never what was stored.
            let is_crash = matches!(event, Event::Crash);
            let text = format!("{event:?}");
            let replayed = if let Event::Replay(i, _) = event { Some(i) } else { None };
            play.happen(event);
            if !is_crash {
                play.check(&before, replayed).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
            }
        }
        // Left alone, it comes to rest: everything is processed by somebody who is done.
        for _ in 0..40 {
            play.now_ms += 200_000;
            (play.lose_next, play.meanwhile) = (false, None);
            play.happen(Event::Evaluate);
            play.happen(Event::Sent { ok: true, done: true });
            if is_pull {
                play.happen(Event::Claim(0));
                for stream in 0..4 {
                    play.happen(Event::Ack { of: 0, stream, back: 0, done: false });
                }
                play.happen(Event::Ack { of: 0, stream: 0, back: 0, done: true });
                play.happen(Event::Release(0));
            }
        }
        prop_assert_eq!(play.sub.links.pending().count(), 0);
        prop_assert_eq!(play.sub.due(), None);
    }
}
