//! Plays of several nodes on one shared log, from a seed: producers and readers that go from node to
//! node, nodes that die, flushers that stop half way, wake-ups that come late, twice or never, calls
//! of the log that fail before or after they had their effect. In the end everything that was
//! acknowledged is there, once, in order, and every reader has read the same.

use super::{
    nodes::{Common, Node},
    random::Random,
};
use bytes::Bytes;
use messages::{
    model::{CloseReason, Stamp, StreamName, Writer},
    shared_log::{CallFault, Faults, Terms, Wake, WakeFault},
    stream::{Addition, NewStream, Piece, StreamError},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

const NODES: usize = 3;
const STREAMS: usize = 2;
const WRITERS: usize = 4;
const READERS: usize = 3;
const APPENDS: u64 = 25;

/// What goes wrong, while it may.
struct Chaos {
    random: Mutex<Random>,
    on: Arc<AtomicBool>,
    /// Calls fail, and not just wake-ups.
    calls: bool,
}

impl Chaos {
    fn roll(&self) -> usize {
        let on = self.on.load(Relaxed);
        if on { self.random.lock().unwrap().below(100) } else { 99 }
    }
}

impl Faults for Chaos {
    fn call(&self, _: &'static str) -> CallFault {
        match self.roll() {
            _ if !self.calls => CallFault::None,
            0..3 => CallFault::Before,
            3..7 => CallFault::After,
            7 => CallFault::Full,
            _ => CallFault::None,
        }
    }

    fn wake(&self, _: &Wake) -> WakeFault {
        match self.roll() {
            0..8 => WakeFault::Never,
            8..16 => WakeFault::Late,
            16..22 => WakeFault::Twice,
            _ => WakeFault::None,
        }
    }
}

/// The nodes, as those who use them see them.
struct World {
    common: Common,
    nodes: Mutex<Vec<Arc<Node>>>,
    random: Mutex<Random>,
    calls_fail: bool,
}

impl World {
    fn below(&self, end: usize) -> usize {
        self.random.lock().unwrap().below(end)
    }

    fn any_node(&self) -> Arc<Node> {
        let index = self.below(NODES);
        self.nodes.lock().unwrap()[index].clone()
    }

    async fn pause(&self) {
        sleep(Duration::from_millis(self.below(20) as u64)).await;
    }
}

fn name(stream: usize) -> StreamName {
    format!("s{stream}").parse().expect("a name")
}

/// One append that goes on until it is acknowledged. Returns where the stream ended behind it.
async fn append(world: &World, stream: usize, producer: usize, seq: u64) -> u64 {
    let stamp = Stamp { producer: format!("p{producer}").into(), epoch: 0, seq };
    let body = format!("{producer}:{seq} {}\n", "x".repeat(world.below(40)));
    loop {
        let node = world.any_node();
        let new = NewStream::empty(name(stream), "text/plain");
        let appending = async {
            let channel = node.streams.ensure(new).await?.channel;
            let writer = Writer { stamp: Some(stamp.clone()), seq: None };
            let addition = Addition { writer, ..Addition::bytes(Bytes::from(body.clone())) };
            node.streams.append(&channel, addition).await
        };
        match appending.await {
            Ok(appended) => return appended.tail.bytes,
            Err(StreamError::LogUnavailable | StreamError::Overloaded) => world.pause().await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn write(world: Arc<World>, producer: usize) -> BTreeMap<(usize, u64), u64> {
    let mut acked = BTreeMap::new();
    for seq in 0..APPENDS {
        for stream in 0..STREAMS {
            let tail = append(&world, stream, producer, seq).await;
            acked.insert((stream, seq), tail);
            world.pause().await;
            if world.calls_fail {
                continue;
            }
            let node = world.any_node();
            let channel = node.streams.find(&name(stream)).await.expect("there");
            let seen = node.streams.status(&channel).await.expect("a status").tail.bytes;
            assert!(seen >= tail, "{seen} at another node, {tail} was acknowledged");
        }
    }
    acked
}

async fn read(world: Arc<World>, stream: usize) -> Vec<u8> {
    let mut got: Vec<u8> = Vec::new();
    loop {
        let node = world.any_node();
        let reading = async {
            let channel = node.streams.find(&name(stream)).await?;
            let (mut cursor, _) = node.streams.read(channel, got.len() as u64).await?;
            for _ in 0..1 + world.below(20) {
                match cursor.next().await? {
                    Piece::Data(part) => got.extend_from_slice(&part.bytes),
                    Piece::End(_) => return Ok(true),
                }
            }
            Ok(false)
        };
        // One whose node is gone hears nothing more.
        match timeout(Duration::from_secs(3), reading).await {
            Ok(Ok(true)) => return got,
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => {
                let waits = matches!(
                    error,
                    StreamError::NotFound
                        | StreamError::LogUnavailable
                        | StreamError::Overloaded
                        | StreamError::BeyondTail { .. }
                );
                // Beyond the tail: of a node that cannot know better, since the log does not answer.
                assert!(waits, "{error:?}");
                world.pause().await;
            }
        }
    }
}

/// Lets things happen to nodes until it is stopped.
async fn disturb(world: Arc<World>, on: Arc<AtomicBool>) {
    while on.load(Relaxed) {
        world.pause().await;
        match world.below(10) {
            0 => {
                let node = Arc::new(Node::without_flusher(&world.common).await);
                let index = world.below(NODES);
                let old = std::mem::replace(&mut world.nodes.lock().unwrap()[index], node);
                old.kill();
            }
            1 => world.common.log.interrupt(),
            2 => world.common.log.deliver(),
            3 => {
                world.common.clock.advance_ms(20_000);
                tokio::time::advance(Duration::from_millis(20_000)).await;
            }
            4 => world.nodes.lock().unwrap().iter().for_each(|node| node.streams.sweep()),
            5 | 6 => {
                // Held up half way, for longer than others wait.
                let node = world.any_node();
                let mut flusher = node.flusher(&world.common);
                let long = Duration::from_millis(world.below(3) as u64);
                drop(timeout(long, flusher.flush()).await);
            }
            _ => {
                let node = world.any_node();
                let mut flusher = node.flusher(&world.common);
                flusher.flush().await;
            }
        }
    }
}

async fn play(seed: u64) {
    let on = Arc::new(AtomicBool::new(true));
    let mut random = Random::new(seed);
    let calls = random.one_in(2);
    let chaos = Chaos { random: Mutex::new(Random::new(random.next())), on: on.clone(), calls };
    let terms = Terms {
        hot_ms: [1_000, 30_000, 600_000][random.below(3)],
        kept_changes: [0, 3, 64][random.below(3)],
        ..Terms::default()
    };
    let common = Common::in_memory(terms, chaos);
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Arc::new(Node::without_flusher(&common).await));
    }
    let (nodes, random) = (Mutex::new(nodes), Mutex::new(random));
    let world = Arc::new(World { common, nodes, random, calls_fail: calls });
    let disturbing = tokio::spawn(disturb(world.clone(), on.clone()));
    let writing: Vec<_> = (0..WRITERS).map(|p| tokio::spawn(write(world.clone(), p))).collect();
    let reading: Vec<_> = (0..READERS * STREAMS)
        .map(|reader| tokio::spawn(read(world.clone(), reader % STREAMS)))
        .collect();
    let mut acked = Vec::new();
    for writer in writing {
        acked.push(writer.await.expect("no panic"));
    }
    on.store(false, Relaxed);
    disturbing.await.expect("no panic");
    world.common.log.deliver();
    for stream in 0..STREAMS {
        let node = world.any_node();
        let channel = node.streams.find(&name(stream)).await.expect("there");
        let close = Addition::close(CloseReason::Finished);
        node.streams.append(&channel, close).await.expect("closed");
    }
    // What was taken by those that are gone is given to others after a while.
    world.common.clock.advance_ms(60_000);
    let last = Arc::new(Node::without_flusher(&world.common).await);
    let mut flusher = last.flusher(&world.common);
    for _ in 0..3 {
        while flusher.flush().await {}
    }
    let mut contents = Vec::new();
    for stream in 0..STREAMS {
        contents.push(last.content(&name(stream)).await.expect("content"));
        let row = world.common.store.find(&[name(stream)]).await.expect("a store");
        assert_eq!(row[0].tail.bytes, contents[stream].len() as u64);
        assert_eq!(row[0].closed, Some(CloseReason::Finished));
        let chunks = world.common.store.read(row[0].id, 0, usize::MAX / 4).await.expect("chunks");
        let stored: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.body.to_vec()).collect();
        assert_eq!(stored, contents[stream]);
    }
    for (reader, reading) in reading.into_iter().enumerate() {
        let got = reading.await.expect("no panic");
        assert!(got == contents[reader % STREAMS], "reader {reader} has read something else");
    }
    for (producer, acked) in acked.iter().enumerate() {
        check(producer, acked, &contents);
    }
}

fn check(producer: usize, acked: &BTreeMap<(usize, u64), u64>, contents: &[Vec<u8>]) {
    for (stream, content) in contents.iter().enumerate() {
        let text = std::str::from_utf8(content).expect("text");
        let own = |line: &&str| line.starts_with(&format!("{producer}:"));
        let seq =
            |line: &str| line[line.find(':').unwrap() + 1..line.find(' ').unwrap()].to_owned();
        let seqs: Vec<u64> =
            text.lines().filter(own).map(|line| seq(line).parse().expect("a number")).collect();
        assert_eq!(seqs, (0..APPENDS).collect::<Vec<_>>(), "producer {producer}");
        for (_, tail) in acked.iter().filter(|((of, _), _)| *of == stream) {
            let behind = content[..*tail as usize].rsplit(|byte| *byte == b'\n').nth(1);
            let line = std::str::from_utf8(behind.expect("a line")).expect("text");
            assert!(own(&line), "what was acknowledged is not where it was said to be");
        }
    }
}

#[test]
fn whatever_happens_to_nodes_all_readers_see_what_was_acknowledged() {
    let seeds = std::env::var("NODE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let first = std::env::var("NODE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0_u64);
    for seed in first..first + seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        eprintln!("seed {seed}");
        runtime.block_on(play(seed));
    }
}
