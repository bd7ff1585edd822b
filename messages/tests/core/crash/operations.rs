//! What clients of the simulation do, and what they make of the answers.

use super::{NAMES, Simulation, World, lifetime};
use bytes::Bytes;
use messages::{
    clock::Clock,
    model::{CloseReason, ForkPoint, Offset, Stamp, StreamId, StreamName, Writer},
    stream::{Addition, ForkRequest, NewStream, StreamError, Streams, records},
};
use std::{future::Future, pin::Pin, sync::Arc, task::Poll};

/// Stream, producer, session, number.
pub type Stamped = (StreamId, String, u64, u64);

type Pending = Pin<Box<dyn Future<Output = Result<Done, StreamError>>>>;

/// An operation on its way.
pub struct InFlight {
    future: Pending,
    /// What it adds; nothing when it only ends something.
    text: String,
    stamped: Option<Stamped>,
    began_ms: u64,
}

/// What became of it.
pub enum Done {
    /// Added: where the stream ends behind it.
    Added(StreamId, Offset),
    Created(StreamId),
    Found,
    Deleted(StreamId),
}

impl Simulation {
    fn name(&mut self) -> (String, StreamName) {
        let name = format!("s{}", self.random.below(NAMES));
        let parsed = name.parse().expect("valid");
        (name, parsed)
    }

    /// A text that nothing else contains, and that is JSON.
    fn text(&mut self) -> String {
        self.number += 1;
        let size = match self.random.below(8) {
            0 if self.large => 3 << 20,
            0 => self.random.below(1500),
            _ => self.random.below(60),
        };
        format!("\"{}:{}\"", self.number, "x".repeat(size))
    }

    async fn launch(
        &mut self,
        in_flight: &mut Vec<InFlight>,
        text: String,
        stamped: Option<Stamped>,
        future: impl Future<Output = Result<Done, StreamError>> + 'static,
    ) -> anyhow::Result<()> {
        let began_ms = self.machine.clock.now_ms();
        in_flight.push(InFlight { future: Box::pin(future), text, stamped, began_ms });
        self.collect(in_flight).await;
        Ok(())
    }

    pub async fn append(
        &mut self,
        world: &World,
        in_flight: &mut Vec<InFlight>,
    ) -> anyhow::Result<()> {
        let ((_, name), text) = (self.name(), self.text());
        let close = self.random.one_in(12).then_some(CloseReason::Finished);
        let tied = self.random.one_in(3);
        let create = self.random.one_in(2);
        let seq = self.random.one_in(6).then(|| format!("{:02}", self.random.below(100)).into());
        let (streams, body) = (world.streams.clone(), Bytes::from(text.clone()));
        self.launch(in_flight, text, None, async move {
            let channel = if create {
                streams.find_or_create(&name, "text/plain", tied).await?.0
            } else {
                streams.find(&name).await?
            };
            let writer = Writer { stamp: None, seq };
            let records = records(body, channel.holds_messages())?;
            let addition = Addition { records, close, tied, writer, ..Addition::default() };
            let appended = streams.append(&channel, addition).await?;
            Ok(Done::Added(channel.id(), appended.tail))
        })
        .await
    }

    /// An idempotent producer sends what comes next, or something again, or too early.
    pub async fn append_by(
        &mut self,
        world: &World,
        in_flight: &mut Vec<InFlight>,
    ) -> anyhow::Result<()> {
        let (name, parsed) = self.name();
        let Some((id, entry)) = self.ledger.life(&name) else {
            return Ok(());
        };
        let producer = format!("p{}", self.random.below(2));
        let known = entry.writers.producers.get(producer.as_str());
        let (epoch, next) = known.map_or((0, 0), |known| (known.epoch, known.seq + 1));
        let (epoch, seq) = match self.random.below(10) {
            0 => (epoch + 1, 0),
            1 => (epoch.saturating_sub(1), 0),
            2 => (epoch, next + 1),
            3..=5 => (epoch, next.saturating_sub(1 + self.random.below(5) as u64)),
            _ => (epoch, next),
        };
        let stamped: Stamped = (id, producer.clone(), epoch, seq);
        let text = self.text();
        let text = self.sent.entry(stamped.clone()).or_insert((text, None)).0.clone();
        let close = (seq % 16 == 15).then_some(CloseReason::Finished);
        let stamp = Stamp { producer: producer.into(), epoch, seq };
        let writer = Writer { stamp: Some(stamp), seq: None };
        let (streams, body) = (world.streams.clone(), Bytes::from(text.clone()));
        self.launch(in_flight, text, Some(stamped), async move {
            let channel = streams.find(&parsed).await?;
            if channel.id() != id {
                return Err(StreamError::NotFound);
            }
            let records = records(body, channel.holds_messages())?;
            let addition = Addition { records, close, writer, ..Addition::default() };
            let appended = streams.append(&channel, addition).await?;
            Ok(Done::Added(id, appended.tail))
        })
        .await
    }

    /// Begins a new life of a name whose stream is closed.
    pub async fn begin(
        &mut self,
        world: &World,
        in_flight: &mut Vec<InFlight>,
    ) -> anyhow::Result<()> {
        let ((_, name), tied) = (self.name(), self.random.one_in(2));
        let streams = world.streams.clone();
        self.launch(in_flight, String::new(), None, async move {
            streams.begin(&name, "text/plain", tied).await?;
            Ok(Done::Found)
        })
        .await
    }

    /// Creates a stream with its first content, often as a fork.
    pub async fn ensure(
        &mut self,
        world: &World,
        in_flight: &mut Vec<InFlight>,
    ) -> anyhow::Result<()> {
        let ((_, name), (source, source_name)) = (self.name(), self.name());
        let mut new = NewStream { content_type: None, ..NewStream::empty(name, "") };
        let mut text = String::new();
        if self.random.one_in(2) {
            new.fork = Some(ForkRequest { source: source_name, point: self.point(&source) });
        } else {
            let json = self.random.one_in(2);
            let kind = if json { "application/json" } else { "text/plain" };
            new.content_type = Some(kind.into());
            if self.random.one_in(2) {
                text = self.text();
                new.content_type = Some(format!("{kind}; n={}", self.number).into());
            }
        }
        new.lifetime = lifetime(&mut self.random, self.machine.clock.now_ms());
        new.body = Bytes::from(text.clone());
        new.closed = self.random.one_in(10);
        let streams = world.streams.clone();
        self.launch(in_flight, text, None, async move { create(&streams, new).await }).await
    }

    fn point(&mut self, source: &str) -> ForkPoint {
        let Some((_, entry)) = self.ledger.life(source) else {
            return ForkPoint::default();
        };
        let anchor = match self.random.below(3) {
            0 => None,
            _ => Some(entry.ends[self.random.below(entry.ends.len())]),
        };
        let beyond = if self.random.one_in(3) { self.random.below(20) } else { 0 };
        ForkPoint { anchor, beyond: beyond as u64 }
    }

    pub async fn delete(
        &mut self,
        world: &World,
        in_flight: &mut Vec<InFlight>,
    ) -> anyhow::Result<()> {
        let (name, parsed) = self.name();
        self.unwanted.insert(name);
        let streams = world.streams.clone();
        self.launch(in_flight, String::new(), None, async move {
            let channel = streams.find(&parsed).await?;
            streams.delete(&channel).await?;
            Ok(Done::Deleted(channel.id()))
        })
        .await
    }

    /// Lets every operation go as far as it comes by itself, so that none holds up another, and takes
    /// the answers that have come.
    pub async fn collect(&mut self, in_flight: &mut Vec<InFlight>) {
        for _ in 0..4 {
            self.poll(in_flight).await;
            tokio::task::yield_now().await;
        }
    }

    async fn poll(&mut self, in_flight: &mut Vec<InFlight>) {
        let mut waiting = Vec::new();
        for mut operation in in_flight.drain(..) {
            match futures::poll!(operation.future.as_mut()) {
                Poll::Pending => waiting.push(operation),
                Poll::Ready(Ok(done)) => self.done(&operation, done),
                Poll::Ready(Err(error)) => {
                    let wrong = [StreamError::Damaged, StreamError::Overloaded];
                    assert!(!wrong.contains(&error), "{error}");
                }
            }
        }
        *in_flight = waiting;
    }

    /// What is acknowledged is in the ledger.
    fn done(&mut self, operation: &InFlight, done: Done) {
        self.sync();
        let text = operation.text.as_bytes();
        match done {
            Done::Found => {}
            Done::Deleted(id) => {
                assert!(self.ledger.streams[&id].over.is_some(), "deleted and still there");
            }
            Done::Created(id) => {
                let content = &self.ledger.streams[&id].content;
                assert!(contains(content, text) == 1 || text.is_empty(), "its first content");
                self.used_ms.insert(id, operation.began_ms);
            }
            Done::Added(id, tail) => {
                let entry = &self.ledger.streams[&id];
                let before = &entry.content[..tail.bytes as usize];
                let before = before.strip_suffix(b",").unwrap_or(before);
                assert!(before.ends_with(text), "{}: acknowledged another position", entry.name);
                assert!(entry.ends.contains(&tail), "{}: no end of a record", entry.name);
                assert_eq!(contains(&entry.content, text), 1, "{}: not once", entry.name);
                let used = self.used_ms.entry(id).or_default();
                *used = operation.began_ms.max(*used);
                let sent = operation.stamped.as_ref().and_then(|at| self.sent.get_mut(at));
                if let Some((_, answer)) = sent {
                    assert_eq!(*answer.get_or_insert(tail), tail, "another answer than before");
                }
            }
        }
    }
}

async fn create(streams: &Arc<Streams>, new: NewStream) -> Result<Done, StreamError> {
    let ensured = streams.ensure(new).await?;
    Ok(if ensured.created { Done::Created(ensured.channel.id()) } else { Done::Found })
}

/// How often `text` is in `content`.
fn contains(content: &[u8], text: &[u8]) -> usize {
    if text.is_empty() { 0 } else { memchr::memmem::find_iter(content, text).count() }
}
