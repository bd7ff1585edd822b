//! Whoever looks after all conversations, by requests: makes them, removes members and adds them
//! again, pins messages, deletes those of others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::sleep;

use super::known::Fault;
use super::rest::{Answer, Rest};
use super::run::{Run, count};
use super::wire::Kind;
use crate::client::Failure;
use crate::limits;
use crate::random::Random;
use crate::scenario::phase::{Listener, Phase};

/// It changes to another node, where there are several, once in so many requests.
const WHIM: u64 = 4;

/// The host.
pub struct Host {
    run: Arc<Run>,
    rest: Rest,
    phase: Listener,
    random: Random,
    pause: Duration,
    /// Who is out at the moment.
    out: BTreeSet<(usize, usize)>,
    /// What is pinned, as far as it is known.
    pins: BTreeMap<usize, Vec<String>>,
}

/// Makes all conversations.
pub async fn prepare(run: &Run) -> anyhow::Result<()> {
    let cast = &run.cast;
    let mut rest = Rest::new(run.endpoint(0), &run.tokens.of(&cast.host()))?;
    for room in cast.rooms() {
        let participants: Vec<_> = cast.members(room).map(|person| cast.person(person)).collect();
        let body = json!({"name": cast.room(room), "participants": participants});
        let answer = rest.ask(Method::POST, "/conversations", Some(&body)).await?;
        anyhow::ensure!(answer.status.is_success(), answer.wrong("refused").to_string());
    }
    Ok(())
}

impl Host {
    /// Before anything has happened.
    pub fn new(
        run: &Arc<Run>,
        phase: &Listener,
        seed: u64,
        pause: Duration,
    ) -> anyhow::Result<Self> {
        let token = run.tokens.of(&run.cast.host());
        Ok(Self {
            rest: Rest::new(run.endpoint(0), &token)?,
            run: Arc::clone(run),
            phase: phase.clone(),
            random: Random::new(seed, 0x4057),
            pause,
            out: BTreeSet::new(),
            pins: BTreeMap::new(),
        })
    }

    /// Works until nobody is to do anything any more.
    pub async fn work(mut self) {
        while self.phase.now() != Phase::Finish {
            sleep(self.random.up_to(self.pause)).await;
            let room = self.random.below(self.run.cast.rooms().len() as u64) as usize;
            let done = match self.random.below(10) {
                0..6 => self.move_somebody(room).await,
                6..9 => self.pin(room).await,
                _ => self.delete(room).await,
            };
            if let Err(failure) = done {
                let fault = Fault::new("a request of the host failed", failure.to_string());
                self.run.faults.add(&self.run.cast.host(), fault);
            }
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Failure> {
        let nodes = &self.run.endpoints;
        if self.random.one_in(WHIM) {
            self.rest.visit(nodes, self.random.below(nodes.len() as u64) as usize);
        }
        self.rest.insist(nodes, &mut self.phase, method, path, body).await
    }

    /// Somebody to be removed from a conversation, or one who is to be added again to theirs.
    fn some_drifter(&mut self, room: usize) -> Option<(usize, usize)> {
        let drifters: Vec<_> = match self.random.one_in(2) {
            true => self.out.iter().copied().collect(),
            false => self.run.cast.drifters(room).map(|person| (room, person)).collect(),
        };
        drifters.get(self.random.below(drifters.len() as u64) as usize).copied()
    }

    /// Removes somebody, or adds them again.
    async fn move_somebody(&mut self, room: usize) -> Result<(), Failure> {
        let Some((room, person)) = self.some_drifter(room) else {
            return Ok(());
        };
        let (cast, key) = (&self.run.cast, (room, person));
        let path =
            format!("/conversations/{}/participants/{}", cast.room(room), cast.person(person));
        if self.out.contains(&key) {
            self.run.access(room, person).allow();
            let answer = self.ask(Method::PUT, &path, Some(&json!({}))).await?;
            expect(&answer, &[])?;
            self.out.remove(&key);
            count(&self.run.counts.added);
        } else {
            let answer = self.ask(Method::DELETE, &path, None).await?;
            // An attempt that was not answered may have been heard.
            expect(&answer, if answer.repeated { &[403, 404, 409] } else { &[] })?;
            self.out.insert(key);
            count(&self.run.counts.removed);
        }
        Ok(())
    }

    /// Any message that somebody has seen.
    fn some_message(&mut self, room: usize) -> Option<String> {
        let truth = &self.run.truths[room];
        let entry = truth.at(1 + self.random.below(truth.len()))?;
        (entry.event.kind == Kind::Message).then(|| entry.event.id.clone())?
    }

    async fn pin(&mut self, room: usize) -> Result<(), Failure> {
        let base = format!("/conversations/{}/pins", self.run.cast.room(room));
        let pins = self.pins.entry(room).or_default();
        // Others delete what is pinned.
        let gone: &[u16] = &[404, 409, 410];
        if pins.len() >= limits::PINS || !pins.is_empty() && self.random.one_in(3) {
            let message = pins.swap_remove(self.random.below(pins.len() as u64) as usize);
            return expect(
                &self.ask(Method::DELETE, &format!("{base}/{message}"), None).await?,
                gone,
            );
        }
        let Some(message) = self.some_message(room) else {
            return Ok(());
        };
        expect(&self.ask(Method::PUT, &format!("{base}/{message}"), None).await?, gone)?;
        self.pins.entry(room).or_default().push(message);
        Ok(())
    }

    /// Deletes what somebody else has said.
    async fn delete(&mut self, room: usize) -> Result<(), Failure> {
        let Some(message) = self.some_message(room) else {
            return Ok(());
        };
        let path = format!("/messages/{message}?reason=spam");
        expect(&self.ask(Method::DELETE, &path, None).await?, &[404, 409, 410])
    }
}

/// A request succeeds, or is refused with one of these.
fn expect(answer: &Answer, refused: &[u16]) -> Result<(), Failure> {
    let right = answer.status.is_success() || refused.contains(&answer.status.as_u16());
    if right { Ok(()) } else { Err(answer.wrong("refused")) }
}
