//! The service against a model in which a fork is a copy: random operations, one after the other,
//! with content in memory, in the store or in both, on the plainest store and on SQLite. Every part
//! that a reader gets ends where the model says that a record ends.

use super::{
    memory_store::MemoryStore,
    random::Random,
    world::{Machine, World},
};
use bytes::Bytes;
use messages::{
    admission::Over,
    clock::Clock,
    limits::CHANNEL_IDLE_MS,
    model::{CloseReason, ForkPoint, Lifetime, Offset},
    store::{self, Store},
    stream::{Addition, Cursor, ForkRequest, NewStream, Piece, StreamError, records},
};
use std::sync::Arc;

const NAMES: usize = 4;

/// A life of a name.
struct Life {
    name: String,
    json: bool,
    content: Vec<u8>,
    /// The ends of its records, and the beginning.
    ends: Vec<Offset>,
    closed: bool,
    over: Option<Over>,
    lifetime: Lifetime,
    source: Option<usize>,
    fork: Option<(String, ForkPoint)>,
}

impl Life {
    fn tail(&self) -> Offset {
        *self.ends.last().expect("never empty")
    }

    fn add(&mut self, texts: &[String]) {
        for text in texts {
            let text = if self.json { format!("{text},") } else { text.clone() };
            self.content.extend_from_slice(text.as_bytes());
            self.ends.push(self.tail().advance(1, text.len() as u64));
        }
    }

    /// The whole offset of a byte position, if somebody may branch off there.
    fn place(&self, point: ForkPoint) -> Option<Offset> {
        let anchor = point.anchor.map_or(self.tail().bytes, |anchor| anchor.bytes);
        if self.json {
            let index = self.ends.iter().position(|end| end.bytes == anchor)?;
            return self.ends.get(index + point.beyond as usize).copied();
        }
        let bytes = anchor + point.beyond;
        let whole = self.ends.iter().take_while(|end| end.bytes <= bytes).last()?;
        let records = whole.records + u64::from(whole.bytes < bytes);
        (bytes <= self.tail().bytes).then_some(Offset { records, bytes })
    }
}

struct Reader {
    cursor: Cursor,
    life: usize,
    position: usize,
}

struct Simulation {
    random: Random,
    machine: Machine,
    world: World,
    lives: Vec<Life>,
    readers: Vec<Reader>,
    number: usize,
}

impl Simulation {
    async fn new(seed: u64, store: Arc<dyn Store>) -> Self {
        let mut random = Random::new(seed);
        let window_bytes = random.below(3) * 1000;
        let machine = Machine { window_bytes, barrier: false, ..Machine::new(store) };
        let world = World::start(&machine).await.expect("started");
        Self { random, machine, world, lives: Vec::new(), readers: Vec::new(), number: 0 }
    }

    /// The last life of a name, unless it is gone.
    fn life(&self, name: &str) -> Result<usize, StreamError> {
        let last = self.lives.iter().rposition(|life| life.name == name);
        let last = last.ok_or(StreamError::NotFound)?;
        match self.lives[last].over {
            None => Ok(last),
            Some(Over::Hidden) => Err(StreamError::Hidden),
            Some(Over::Deleted | Over::Replaced) => Err(StreamError::NotFound),
        }
    }

    fn end(&mut self, index: usize) {
        let is_fork = |life: &Life| {
            life.source == Some(index) && matches!(life.over, None | Some(Over::Hidden))
        };
        if self.lives.iter().any(is_fork) {
            self.lives[index].over = Some(Over::Hidden);
            return;
        }
        self.lives[index].over = Some(Over::Deleted);
        if let Some(source) = self.lives[index].source
            && self.lives[source].over == Some(Over::Hidden)
        {
            self.end(source);
        }
    }

    /// Forks before their sources: one that expires unseen keeps its source until it is looked for.
    async fn expire(&mut self) {
        let now_ms = self.machine.clock.now_ms();
        for index in (0..self.lives.len()).rev() {
            let life = &self.lives[index];
            let expires_ms = life.lifetime.expires_ms(0);
            if life.over.is_none() && expires_ms.is_some_and(|ms| ms <= now_ms) {
                let (streams, name) = (self.world.streams.clone(), life.name.parse());
                let find = async move { streams.find(&name.expect("valid")).await };
                let found = self.world.drive(find).await.expect("a sound disk");
                self.end(index);
                assert_eq!(found.err(), self.lives[index].over.map(StreamError::from));
            }
        }
    }

    fn name(&mut self) -> String {
        format!("s{}", self.random.below(NAMES))
    }

    fn texts(&mut self, count: usize) -> Vec<String> {
        let mut text = || {
            self.number += 1;
            let size_max = if self.random.one_in(20) { 100_000 } else { 30 };
            format!("\"{}{}\"", self.number, "x".repeat(self.random.below(size_max)))
        };
        (0..count).map(|_| text()).collect()
    }

    async fn step(&mut self) {
        self.expire().await;
        match self.random.below(20) {
            0..=3 => self.ensure().await,
            4..=9 => self.append().await,
            10 => self.delete().await,
            11..=12 => self.world.flusher.flush().await.expect("a sound store"),
            13 => {
                self.machine.clock.advance_ms(CHANNEL_IDLE_MS + 1);
                self.world.streams.sweep();
            }
            14 if self.random.one_in(3) => {
                self.readers.clear();
                self.world = World::start(&self.machine).await.expect("started");
            }
            14 => {
                let streams = self.world.streams.clone();
                let reaped = self.world.drive(async move { streams.reap().await }).await;
                assert_eq!(reaped.expect("a sound disk"), Ok(false));
            }
            15..=16 => self.join().await,
            _ => self.read().await,
        }
    }

    async fn ensure(&mut self) {
        let (name, json) = (self.name(), self.random.one_in(2));
        let count = if json { self.random.below(4) } else { self.random.below(2) };
        let texts = self.texts(count);
        let kind = if json { "application/json" } else { "text/plain" };
        let mut new = NewStream::empty(name.parse().expect("valid"), kind);
        let forks = self.random.one_in(2);
        if forks {
            let source = self.name();
            let point = self.point(&source);
            new.fork = Some(ForkRequest { source: source.parse().expect("valid"), point });
            if self.random.one_in(3) {
                new.content_type = None;
            }
        }
        if self.random.one_in(3) {
            let ms = self.machine.clock.now_ms() + self.random.below(200_000) as u64;
            new.lifetime = Some(Lifetime::Until { ms });
        }
        new.body =
            if json { format!("[{}]", texts.join(",")).into() } else { texts.concat().into() };
        new.closed = self.random.one_in(8);
        let expected = self.expect_ensure(&name, &new, json, &texts);
        let streams = self.world.streams.clone();
        let ensured = self.world.drive(async move { streams.ensure(new).await }).await;
        let got =
            ensured.expect("a sound disk").map(|ensured| (ensured.created, ensured.status.tail));
        let same = match (&got, &expected) {
            (Err(StreamError::Differs(_)), Err(StreamError::Differs(_))) => true,
            // A body of another kind than the source holds.
            (Err(StreamError::BadJson), Err(StreamError::BadJson)) => true,
            (got, expected) => got == expected,
        };
        assert!(same, "{name}: {got:?}, not {expected:?}");
    }

    fn point(&mut self, source: &str) -> ForkPoint {
        let Ok(index) = self.life(source) else { return ForkPoint::default() };
        let (ends, tail) = (&self.lives[index].ends, self.lives[index].tail());
        let anchor = match self.random.below(4) {
            0 => None,
            1 => Some(Offset {
                records: 0,
                bytes: self.random.below(tail.bytes as usize + 2) as u64,
            }),
            _ => Some(ends[self.random.below(ends.len())]),
        };
        let beyond = if self.random.one_in(3) { self.random.below(4) as u64 } else { 0 };
        ForkPoint { anchor, beyond }
    }

    fn expect_ensure(
        &mut self,
        name: &str,
        new: &NewStream,
        json: bool,
        texts: &[String],
    ) -> Result<(bool, Offset), StreamError> {
        let fork = new.fork.as_ref().map(|fork| (fork.source.as_str().to_owned(), fork.point));
        match self.life(name) {
            Ok(index) => {
                let life = &self.lives[index];
                let inherited = life.source.map(|source| self.lives[source].lifetime);
                let lifetime = new.lifetime.or(inherited).unwrap_or_default();
                let json = if new.content_type.is_none() && life.source.is_some() {
                    life.json
                } else {
                    json && new.content_type.is_some()
                };
                let plain = new.content_type.is_none() && life.source.is_none();
                let same = !plain
                    && (json, lifetime, &fork) == (life.json, life.lifetime, &life.fork)
                    && life.closed == new.closed;
                return if same { Ok((false, life.tail())) } else { Err(StreamError::Differs("")) };
            }
            Err(StreamError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let mut life = Life {
            name: name.to_owned(),
            json,
            content: Vec::new(),
            ends: vec![Offset::ZERO],
            closed: new.closed,
            over: None,
            lifetime: new.lifetime.unwrap_or_default(),
            source: None,
            fork,
        };
        if let Some((source, point)) = &life.fork {
            let source = self.life(source).map_err(|error| match error {
                StreamError::Hidden => StreamError::SourceHidden,
                _ => StreamError::NoSource,
            })?;
            let from = &self.lives[source];
            let at = from.place(*point).ok_or(StreamError::NoSuchPlace)?;
            if new.content_type.is_some() && json != from.json {
                return Err(StreamError::WrongType);
            }
            life.json = from.json;
            life.lifetime = new.lifetime.unwrap_or(from.lifetime);
            life.source = Some(source);
            life.content = from.content[..at.bytes as usize].to_vec();
            life.ends = from.ends.iter().copied().filter(|end| end.bytes < at.bytes).collect();
            life.ends.push(at);
        }
        if life.json && !json && !texts.is_empty() {
            // One text is a message all the same.
            assert_eq!(texts.len(), 1);
        }
        if json && !life.json {
            // An array is bytes to a stream of bytes.
            life.add(&[format!("[{}]", texts.join(","))]);
        } else {
            life.add(texts);
        }
        let tail = life.tail();
        self.lives.push(life);
        Ok((true, tail))
    }

    async fn append(&mut self) {
        let (name, many) = (self.name(), 1 + self.random.below(3));
        let texts = self.texts(many);
        let close = self.random.one_in(15).then_some(CloseReason::Finished);
        let life = self.life(&name);
        let expected = life.and_then(|index| {
            let life = &mut self.lives[index];
            if life.closed {
                let (tail, reason) = (life.tail(), CloseReason::Finished);
                return Err(StreamError::Closed { tail, reason });
            }
            if life.json {
                life.add(&texts)
            } else {
                life.add(&[texts.concat()])
            }
            life.closed = close.is_some();
            Ok(life.tail())
        });
        let (streams, parsed) = (self.world.streams.clone(), name.parse().expect("valid"));
        let append = async move {
            let channel = streams.find(&parsed).await?;
            let json = channel.holds_messages();
            let body = if json { format!("[{}]", texts.join(",")) } else { texts.concat() };
            let records = records(Bytes::from(body), json)?;
            let addition = Addition { records, close, ..Addition::default() };
            streams.append(&channel, addition).await.map(|appended| appended.tail)
        };
        let got = self.world.drive(append).await.expect("a sound disk");
        assert_eq!(got, expected, "{name}");
    }

    async fn delete(&mut self) {
        let name = self.name();
        let expected = self.life(&name).map(|index| self.end(index));
        let (streams, parsed) = (self.world.streams.clone(), name.parse().expect("valid"));
        let delete = async move {
            let channel = streams.find(&parsed).await?;
            streams.delete(&channel).await
        };
        assert_eq!(self.world.drive(delete).await.expect("a sound disk"), expected, "{name}");
    }

    /// A reader comes, at some part of what there is, or behind it.
    async fn join(&mut self) {
        let name = self.name();
        let life = self.life(&name);
        let tail = life.map(|index| self.lives[index].tail()).unwrap_or_default();
        let position = self.random.below(tail.bytes as usize + 2);
        let (streams, parsed) = (self.world.streams.clone(), name.parse().expect("valid"));
        let begin = async move {
            let channel = streams.find(&parsed).await?;
            streams.read(channel, position as u64).await
        };
        match (self.world.drive(begin).await.expect("a sound disk"), life) {
            (Ok((cursor, status)), Ok(life)) => {
                assert_eq!(status.tail, tail);
                assert_eq!(status.closed.is_some(), self.lives[life].closed);
                self.readers.push(Reader { cursor, life, position });
            }
            (Err(error), Err(expected)) => assert_eq!(error, expected),
            (Err(StreamError::BeyondTail { tail: said }), Ok(_)) => {
                assert_eq!(said, tail);
                assert!(position as u64 > tail.bytes);
            }
            (got, expected) => panic!("{name}: {:?}, not {expected:?}", got.map(|(_, s)| s)),
        }
    }

    /// A reader takes some of what there is.
    async fn read(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let who = self.random.below(self.readers.len());
        let Reader { cursor, life, position } = &mut self.readers[who];
        let life = &self.lives[*life];
        let read = async {
            match cursor.ready().await? {
                None => Ok((vec![], None, true, false)),
                Some(Piece::End(_)) => Ok((vec![], None, true, true)),
                Some(Piece::Data(part)) => {
                    Ok((vec![part.bytes], Some(part.end), part.last, part.closed.is_some()))
                }
            }
        };
        let read: Result<_, StreamError> = self.world.drive(read).await.expect("a sound disk");
        let Ok((parts, end, last, closed)) = read else {
            let error = read.expect_err("just seen");
            // The name may have begun anew since.
            let anew = life.over == Some(Over::Deleted) && error == StreamError::Replaced;
            assert!(anew || life.over.map(StreamError::from) == Some(error), "{error}");
            self.readers.swap_remove(who);
            return;
        };
        let bytes = parts.concat();
        assert!(life.content[*position..].starts_with(&bytes), "{}: wrong bytes", life.name);
        *position += bytes.len();
        let tail = life.tail();
        if life.over.is_some() {
            // The rest of a page that was read before.
            return;
        }
        assert_eq!(last, *position as u64 == tail.bytes, "{}", life.name);
        assert_eq!(closed, last && life.closed, "{}", life.name);
        assert_eq!(end.is_some(), !bytes.is_empty());
        if let Some(end) = end {
            assert_eq!(end.bytes as usize, *position);
            assert!(life.ends.contains(&end), "{}: {end} is not the end of a record", life.name);
        }
        assert!(!bytes.is_empty() || last, "nothing, although there is more");
    }
}

async fn agrees_with_the_model(seeds: std::ops::Range<u64>, steps: usize, sqlite: bool) {
    for seed in seeds {
        eprintln!("seed {seed}");
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = if sqlite {
            store::open(&store::default_url(dir.path())).await.unwrap()
        } else {
            Arc::new(MemoryStore::default())
        };
        let mut simulation = Simulation::new(seed, store).await;
        for _ in 0..steps {
            simulation.step().await;
        }
    }
}

#[tokio::test]
async fn streams_in_memory_agree_with_copies() {
    agrees_with_the_model(0..200, 150, false).await;
}

#[tokio::test]
async fn streams_in_sqlite_agree_with_copies() {
    agrees_with_the_model(1000..1020, 120, true).await;
}
