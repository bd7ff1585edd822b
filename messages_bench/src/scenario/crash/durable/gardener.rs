//! Makes streams, forks, forks of forks; closes and deletes them, all through the crashes.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::{Context, CrashArgs};
use super::check::Fate;
use super::payload::{CREATOR, Label, messages};
use super::producer::Producer;
use super::run::{Run, count};
use super::stream::{Origin, Progress, Stream};
use super::{reader, streamer};
use crate::dialect::call::{Call, Caller, name};
use crate::dialect::live::Kind;
use crate::random::Random;
use crate::scenario::phase::{Listener, Phase};

/// The longest pause between two of its deeds.
const PAUSE: Duration = Duration::from_millis(250);

/// How far behind an offset a fork may begin: messages or bytes.
const BEYOND: usize = 700;

/// How many appends a writer makes at least and at most before it closes its stream.
const LAST: (u64, u64) = (50, 800);

/// The kinds of streams, in turns.
const KINDS: [Kind; 3] = [Kind::Json, Kind::Bytes, Kind::Text];

/// Keeps the streams of a run.
pub struct Gardener {
    ctx: Context,
    args: CrashArgs,
    run: Arc<Run>,
    phase: Listener,
    random: Random,
    caller: Caller,
    made: usize,
    /// Writers of all streams.
    pub producers: JoinSet<()>,
    /// Readers of all streams.
    pub readers: JoinSet<()>,
}

impl Gardener {
    /// A gardener without streams.
    pub fn new(ctx: &Context, args: &CrashArgs, run: &Arc<Run>, phase: &Listener) -> Self {
        Self {
            ctx: ctx.clone(),
            args: args.clone(),
            run: Arc::clone(run),
            phase: phase.clone(),
            random: Random::new(ctx.seed, 0x6A2D),
            caller: Caller::patient(run.some_node()),
            made: 0,
            producers: JoinSet::new(),
            readers: JoinSet::new(),
        }
    }

    /// Works until the end of the run.
    pub async fn work(mut self) -> Self {
        self.phase.up().await;
        for number in 0..self.args.streams {
            self.plant(KINDS[number % KINDS.len()]).await;
        }
        loop {
            sleep(self.random.up_to(PAUSE)).await;
            if self.phase.up().await == Phase::Finish {
                return self;
            }
            let living = self.living();
            let chosen = self.random.below(living.len().max(1) as u64) as usize;
            let stream = living.get(chosen).cloned();
            match (stream, self.random.below(10)) {
                (None, _) => self.plant(KINDS[self.made % KINDS.len()]).await,
                (Some(_), 0) if living.len() < self.args.alive => {
                    self.plant(KINDS[self.made % KINDS.len()]).await;
                }
                (Some(source), 1..=6) if living.len() < self.args.alive => self.fork(source).await,
                (Some(stream), 7) => self.close(&stream).await,
                (Some(stream), 8..) if living.len() > self.args.streams => {
                    self.delete(&stream).await;
                }
                (Some(stream), _) => drop(stream),
            }
        }
    }

    fn living(&self) -> Vec<Arc<Stream>> {
        let mut streams = self.run.streams();
        streams.retain(|stream| stream.deleted() == Progress::No);
        streams
    }

    fn id(&mut self, what: &str) -> String {
        self.made += 1;
        self.ctx.stream(what, "crash", self.made)
    }

    async fn plant(&mut self, kind: Kind) {
        let id = self.id("root");
        let create = Call::new(Method::PUT).header("content-type", kind.content_type());
        self.create(Arc::new(Stream::new(id, kind, None)), create).await;
    }

    /// Branches off at any offset that was told, or a little behind it.
    async fn fork(&mut self, source: Arc<Stream>) {
        let mut places = source.places();
        if places.is_empty() {
            return;
        }
        let at = self.random.below(places.len() as u64) as usize;
        let (offset, position) = places.swap_remove(at);
        let (beyond, bytes) = self.beyond(source.kind, &source.content(position));
        let path = self.caller.path_of(&source.id);
        let mut create = Call::new(Method::PUT)
            .header(name::FORKED_FROM, path)
            .header(name::FORK_OFFSET, &offset);
        if beyond > 0 || self.random.one_in(2) {
            create = create.header(name::FORK_SUB_OFFSET, beyond);
        }
        if self.random.one_in(2) {
            create = create.header("content-type", source.kind.content_type());
        }
        let (id, kind) = (self.id("fork"), source.kind);
        let origin = Origin { source, base: position + bytes };
        self.create(Arc::new(Stream::new(id, kind, Some(origin))), create).await;
        count(&self.run.counts.forks);
    }

    /// How far behind an offset to branch off: as it is asked for, and in bytes.
    fn beyond(&mut self, kind: Kind, content: &[u8]) -> (usize, u64) {
        if self.random.one_in(3) {
            return (0, 0);
        }
        if kind == Kind::Json {
            let lengths = messages(content).unwrap_or_default();
            let count = self.random.below(lengths.len().min(BEYOND / 100) as u64 + 1) as usize;
            return (count, lengths[..count].iter().map(|length| *length as u64).sum());
        }
        let mut bytes = self.random.below(content.len().min(BEYOND) as u64 + 1) as usize;
        // Half a character cannot be told in an event.
        let is_cut = |at: usize| content.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
        while kind == Kind::Text && is_cut(bytes) {
            bytes -= 1;
        }
        (bytes, bytes as u64)
    }

    /// Creates a stream, perhaps with a first append, and sends its writers and readers.
    async fn create(&mut self, stream: Arc<Stream>, create: Call) {
        let (kind, filler) = (stream.kind, self.run.filler);
        let full = self.random.one_in(2);
        let create = if full {
            let number = stream.issue(CREATOR);
            create.body(kind.content_type(), Label { writer: CREATOR, number }.body(filler, kind))
        } else {
            create
        };
        self.run.add(Arc::clone(&stream));
        // Until its creation is known, nobody looks for it.
        stream.delete(Progress::Asked);
        let asked = self.run.insist(&mut self.caller, &mut self.phase, &stream.id, &create).await;
        let fault = match asked {
            Err(failure) => failure.to_string(),
            Ok((answer, heard)) => match (answer.status, answer.offset()) {
                (StatusCode::CREATED, Ok(offset)) => return self.settle(stream, full, offset),
                (StatusCode::OK, Ok(offset)) if heard => return self.settle(stream, full, offset),
                _ => answer.wrong("to a creation").to_string(),
            },
        };
        self.run.fault(&stream, fault);
    }

    fn settle(&mut self, stream: Arc<Stream>, full: bool, offset: String) {
        stream.begin();
        if full {
            stream.settle(CREATOR, 0, Fate::Acknowledged(offset));
        } else if let Some(fault) = stream.told(&offset, stream.base()) {
            self.run.fault(&stream, format!("created: {fault}"));
        }
        // One in three is closed by one of its writers, behind its last append.
        let (least, most) = LAST;
        let last = (least + self.random.below(most - least)) as u32;
        let mut last = self.random.one_in(3).then_some(last);
        for _ in 0..self.args.writers {
            let producer = Producer::new(&self.run, &stream, &self.phase, last.take());
            self.producers.spawn(producer.work(self.args.rate));
        }
        for _ in 0..self.args.readers {
            let (run, stream) = (Arc::clone(&self.run), Arc::clone(&stream));
            let random = Random::new(self.random.next(), 4);
            self.readers.spawn(reader::follow(run, stream, self.phase.clone(), random));
        }
        if self.args.has_faults() && stream.kind != Kind::Json {
            let (run, stream) = (Arc::clone(&self.run), Arc::clone(&stream));
            self.readers.spawn(streamer::follow(run, stream, self.phase.clone()));
        }
    }

    /// Closes a stream with nothing but that.
    pub async fn close(&mut self, stream: &Stream) {
        stream.close(Progress::Asked);
        let close = Call::new(Method::POST).closing(true);
        let asked = self.run.insist(&mut self.caller, &mut self.phase, &stream.id, &close).await;
        let fault = match asked {
            Err(failure) => failure.to_string(),
            Ok((answer, _)) => {
                let closed = answer.says(name::CLOSED) && answer.offset().is_ok();
                if answer.status == StatusCode::NO_CONTENT && closed {
                    stream.close(Progress::Done);
                    return count(&self.run.counts.closings);
                }
                answer.wrong("to closing").to_string()
            }
        };
        self.run.fault(stream, fault);
    }

    async fn delete(&mut self, stream: &Stream) {
        stream.delete(Progress::Asked);
        let delete = Call::new(Method::DELETE);
        let asked = self.run.insist(&mut self.caller, &mut self.phase, &stream.id, &delete).await;
        let fault = match asked {
            Err(failure) => failure.to_string(),
            Ok((answer, heard)) => match answer.status {
                StatusCode::NO_CONTENT => {
                    stream.delete(Progress::Done);
                    return count(&self.run.counts.deletions);
                }
                StatusCode::NOT_FOUND | StatusCode::GONE if heard => {
                    return stream.delete(Progress::Done);
                }
                _ => answer.wrong("to a deletion").to_string(),
            },
        };
        self.run.fault(stream, fault);
    }

    /// Closes everything that still lives, so that readers come to an end.
    pub async fn close_all(&mut self) {
        for stream in self.living() {
            self.close(&stream).await;
        }
    }
}
