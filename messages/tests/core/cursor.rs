//! The cursor against the plainest model, a vector of bytes, whatever happens between two reads:
//! appends, commits, flushes, merges, windows that are trimmed, channels that are unloaded.

use super::{
    memory_store::MemoryStore,
    world::{Machine, World},
};
use messages::{
    channel::Part,
    model::{CloseReason, Offset, StreamName},
    stream::{Addition, Cursor, Piece, StreamError},
};
use proptest::prelude::*;
use std::{pin::pin, sync::Arc, task::Poll};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Commit,
    Flush,
    /// A reader comes, at some part of what there is.
    Join(prop::sample::Index),
    /// A reader takes at most so many pieces.
    Read(prop::sample::Index, usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![4 => 1usize..200, 1 => 1usize..200_000].prop_map(Step::Append),
        4 => Just(Step::Commit),
        2 => Just(Step::Flush),
        2 => any::<prop::sample::Index>().prop_map(Step::Join),
        8 => (any::<prop::sample::Index>(), 1usize..5).prop_map(|(who, count)| Step::Read(who, count)),
        1 => Just(Step::Close),
    ]
}

/// A reader and what the model says it has to get next.
struct Reader {
    cursor: Cursor,
    next: usize,
    ended: bool,
}

struct Model {
    world: World,
    name: StreamName,
    admitted: Vec<u8>,
    /// What is durable: readers get no more and no less.
    durable: usize,
    closing: bool,
    closed: bool,
    readers: Vec<Reader>,
}

impl Model {
    async fn apply(&mut self, step: Step) {
        match step {
            Step::Append(size) if !self.closing => self.append(size, None).await,
            Step::Close if !self.closing => self.append(0, Some(CloseReason::Finished)).await,
            Step::Append(_) | Step::Close => {}
            Step::Commit => {
                while self.world.committer.step().expect("a sound disk") {}
                self.durable = self.admitted.len();
                self.closed = self.closing;
            }
            Step::Flush => self.world.flusher.flush().await.expect("a sound store"),
            Step::Join(at) => {
                let position = at.index(self.durable + 1);
                let channel = self.world.streams.find(&self.name).await.expect("created");
                let (cursor, status) =
                    self.world.streams.read(channel, position as u64).await.expect("readable");
                assert_eq!(status.tail.bytes as usize, self.durable);
                self.readers.push(Reader { cursor, next: position, ended: false });
            }
            Step::Read(who, count) if !self.readers.is_empty() => {
                let who = who.index(self.readers.len());
                self.read(who, count).await;
            }
            Step::Read(..) => {}
        }
    }

    async fn append(&mut self, size: usize, close: Option<CloseReason>) {
        let record: Vec<u8> = (0..size).map(|i| (self.admitted.len() + i) as u8).collect();
        let channel = self.world.streams.find(&self.name).await.expect("created");
        let addition = Addition { close, ..Addition::bytes(record.clone().into()) };
        let mut append = pin!(self.world.streams.append(&channel, addition));
        assert!(futures::poll!(append.as_mut()).is_pending(), "answered before it was durable");
        // The client goes away: what it sent takes its way all the same.
        self.admitted.extend(record);
        self.closing |= close.is_some();
    }

    async fn read(&mut self, who: usize, count: usize) {
        let reader = &mut self.readers[who];
        for _ in 0..count {
            let next = {
                let next = pin!(reader.cursor.next());
                futures::poll!(next)
            };
            match next {
                Poll::Ready(Ok(Piece::Data(Part { bytes, end: offset, last, .. }))) => {
                    let end = reader.next + bytes.len();
                    assert!(end <= self.durable, "shown before it was durable");
                    assert!(bytes == self.admitted[reader.next..end], "wrong at {}", reader.next);
                    assert_eq!((offset.bytes as usize, last), (end, end == self.durable));
                    reader.next = end;
                    assert_eq!(reader.cursor.position() as usize, end);
                }
                Poll::Ready(Ok(Piece::End(reason))) => {
                    assert!(self.closed && reader.next == self.durable, "ended early");
                    assert_eq!(reason, CloseReason::Finished);
                    reader.ended = true;
                }
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => {
                    assert_eq!(reader.next, self.durable, "waits although there is more");
                    assert!(!self.closed, "waits at the end");
                    return;
                }
            }
        }
    }
}

async fn agrees_with_a_vector(steps: Vec<Step>, window_bytes: usize) {
    let machine =
        Machine { barrier: false, window_bytes, ..Machine::new(Arc::<MemoryStore>::default()) };
    let mut world = World::start(&machine).await.expect("started");
    let name: StreamName = "s".parse().expect("valid");
    let streams = world.streams.clone();
    let create = streams.find_or_create(&name, "text/plain", false);
    world.drive(create).await.expect("driven").expect("created");
    while world.committer.step().expect("a sound disk") {}
    let (admitted, readers) = (Vec::new(), Vec::new());
    let mut model =
        Model { world, name, admitted, durable: 0, closing: false, closed: false, readers };
    for step in steps {
        model.apply(step).await;
    }
    model.apply(Step::Commit).await;
    for who in 0..model.readers.len() {
        model.read(who, 10_000).await;
        assert_eq!(model.readers[who].next, model.admitted.len());
        assert_eq!(model.readers[who].ended, model.closed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_reader_gets_everything_once(steps in prop::collection::vec(step(), 1..80), window in prop_oneof![Just(0usize), Just(4000), Just(1 << 30)]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(agrees_with_a_vector(steps, window));
    }
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_what_comes() {
    let machine = Machine::new(Arc::<MemoryStore>::default());
    let mut world = World::start(&machine).await.unwrap();
    let streams = world.streams.clone();
    let name = "s".parse().unwrap();
    let create = streams.find_or_create(&name, "text/plain", false);
    let (channel, _) = world.drive(create).await.unwrap().unwrap();
    while world.committer.step().unwrap() {}
    let (mut cursor, _) = streams.read(channel.clone(), 0).await.unwrap();
    let waiting = tokio::spawn(async move { cursor.next().await });
    tokio::task::yield_now().await;
    world.drive(streams.append(&channel, Addition::bytes("now".into()))).await.unwrap().unwrap();
    let end = Offset { records: 1, bytes: 3 };
    let part = Part { bytes: "now".into(), end, last: true, closed: None, erasures: 0 };
    assert_eq!(waiting.await.unwrap(), Ok(Piece::Data(part)));

    let (mut cursor, _) = streams.read(channel, 3).await.unwrap();
    let waiting = tokio::spawn(async move { cursor.next().await });
    tokio::task::yield_now().await;
    streams.stop();
    assert_eq!(waiting.await.unwrap(), Err(StreamError::Stopping));
}
