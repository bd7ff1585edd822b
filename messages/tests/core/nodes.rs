//! Several nodes in one process, on a shared log in memory and one database.

use super::{clock::ManualClock, memory_store::MemoryStore};
use bytes::Bytes;
use messages::{
    budget::Budget,
    channel::WindowMemory,
    clock::Clock,
    cluster::NodeFlusher,
    committer::Commits,
    journal::{Mark, MemoryJournal},
    model::{
        CloseReason, Flush, Fork, ForkPoint, Stamp, StoredStream, StreamId, StreamName, Writer,
    },
    shared_log::{CallFault, Faults, MemoryLog, Terms},
    store::{self, NodeStore, Store},
    stream::{Addition, Ground, NewStream, Piece, StreamError, Streams},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What nodes have in common.
pub struct Common {
    _home: Option<TempDir>,
    pub log: MemoryLog,
    pub store: Arc<dyn Store>,
    pub nodes: Arc<dyn NodeStore>,
    pub clock: Arc<ManualClock>,
}

impl Common {
    pub async fn new(terms: Terms) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", home.path().join("db").display());
        let clock = ManualClock::new();
        let log = MemoryLog::new(clock.clone(), terms);
        let store = store::open(&url).await.expect("a database");
        Self { _home: Some(home), log, store: store.clone(), nodes: store, clock }
    }

    /// On a store in memory, and with faults of the log.
    pub fn in_memory(terms: Terms, faults: impl Faults + 'static) -> Self {
        let clock = ManualClock::new();
        let log = MemoryLog::with_faults(clock.clone(), terms, faults);
        let store = Arc::new(MemoryStore::default());
        Self { _home: None, log, store: store.clone(), nodes: store, clock }
    }
}

/// One node. Dropped, it is gone as if it had been killed.
pub struct Node {
    pub streams: Arc<Streams>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Node {
    /// It hears nothing more of others.
    pub fn kill(&self) {
        self.stop.cancel();
        self.tasks.iter().for_each(|task| task.abort());
    }

    pub async fn start(common: &Common) -> Self {
        let node = Self::without_flusher(common).await;
        node.flushing(common)
    }

    pub async fn without_flusher(common: &Common) -> Self {
        let store: Arc<dyn Store> = common.store.clone();
        let streams = Streams::new(Ground {
            start: store.count_start().await.expect("a start"),
            store,
            commits: Commits::direct(Mark(0), u64::MAX, Box::new(MemoryJournal::new(Mark(0)))),
            budget: Budget::new(64 << 20),
            memory: WindowMemory::new(1 << 20),
            clock: common.clock.clone(),
            stream_bytes_max: 1 << 30,
        });
        let log = Arc::new(common.log.node());
        let streams = Arc::new(streams.sharing(log, common.nodes.clone()));
        let shared = streams.shared().expect("a log").clone();
        let stop = CancellationToken::new();
        let tasks = vec![tokio::spawn(shared.run(stop.clone()))];
        Self { streams, tasks, stop }
    }

    fn flushing(mut self, common: &Common) -> Self {
        let flusher = self.flusher(common);
        self.tasks.push(tokio::spawn(flusher.run(Duration::from_millis(5), self.stop.clone())));
        self
    }

    pub fn flusher(&self, common: &Common) -> NodeFlusher {
        let shared = self.streams.shared().expect("a log").clone();
        NodeFlusher::new(shared, common.store.clone(), common.nodes.clone())
    }

    pub async fn append(&self, name: &StreamName, body: &str) -> Result<u64, StreamError> {
        let channel = self.streams.find(name).await?;
        let addition = Addition::bytes(Bytes::copy_from_slice(body.as_bytes()));
        Ok(self.streams.append(&channel, addition).await?.tail.bytes)
    }

    /// Everything that is there now.
    pub async fn content(&self, name: &StreamName) -> Result<Vec<u8>, StreamError> {
        let channel = self.streams.find(name).await?;
        let (mut cursor, status) = self.streams.read(channel, 0).await?;
        let mut content = Vec::new();
        while (content.len() as u64) < status.tail.bytes {
            match cursor.next().await? {
                Piece::Data(part) => content.extend_from_slice(&part.bytes),
                Piece::End(_) => break,
            }
        }
        Ok(content)
    }
}

fn name(text: &str) -> StreamName {
    text.parse().expect("a name")
}

fn empty(text: &str) -> NewStream {
    NewStream::empty(name(text), "text/plain")
}

#[tokio::test]
async fn what_one_node_acknowledges_every_node_has() {
    let common = Common::new(Terms::default()).await;
    let nodes =
        [Node::start(&common).await, Node::start(&common).await, Node::start(&common).await];
    let [a, b, c] = &nodes;
    assert!(matches!(b.content(&name("s")).await, Err(StreamError::NotFound)));
    assert!(a.streams.ensure(empty("s")).await.expect("created").created);
    assert!(!b.streams.ensure(empty("s")).await.expect("there").created);
    let mut want = String::new();
    for i in 0..60 {
        let text = format!("{i},");
        want.push_str(&text);
        nodes[i % 3].append(&name("s"), &text).await.expect("appended");
        let seen = nodes[(i + 1) % 3].content(&name("s")).await.expect("content");
        assert_eq!(String::from_utf8_lossy(&seen), want);
    }
    let channel = c.streams.find(&name("s")).await.expect("there");
    c.streams.append(&channel, Addition::close(CloseReason::Finished)).await.expect("closed");
    let refused = a.append(&name("s"), "late").await;
    assert!(matches!(refused, Err(StreamError::Closed { .. })), "{refused:?}");
    let channel = b.streams.find(&name("s")).await.expect("there");
    b.streams.delete(&channel).await.expect("deleted");
    assert!(matches!(a.content(&name("s")).await, Err(StreamError::NotFound)));
    assert!(c.streams.ensure(empty("s")).await.expect("created").created);
    assert_eq!(a.append(&name("s"), "anew").await, Ok(4));
    assert_eq!(b.content(&name("s")).await.expect("content"), b"anew");
}

#[tokio::test]
async fn readers_are_told_of_what_other_nodes_add() {
    let common = Common::new(Terms::default()).await;
    let (a, b) = (Node::start(&common).await, Node::start(&common).await);
    let channel = a.streams.ensure(empty("s")).await.expect("created").channel;
    let there = b.streams.find(&name("s")).await.expect("there");
    let (mut cursor, _) = b.streams.read(there, 0).await.expect("a cursor");
    let reading = tokio::spawn(async move {
        let mut got = Vec::new();
        loop {
            match cursor.next().await.expect("a piece") {
                Piece::Data(part) => got.extend_from_slice(&part.bytes),
                Piece::End(_) => return got,
            }
        }
    });
    let mut want = Vec::new();
    for i in 0..200_u32 {
        let text = format!("{i} ").repeat(1 + (i as usize % 7) * 300);
        want.extend_from_slice(text.as_bytes());
        let addition = Addition::bytes(text.into_bytes().into());
        a.streams.append(&channel, addition).await.expect("appended");
        if i % 50 == 0 {
            common.log.interrupt();
        }
    }
    a.streams.append(&channel, Addition::close(CloseReason::Finished)).await.expect("closed");
    assert_eq!(reading.await.expect("no panic"), want);
}

/// Producers that go from node to node, all at once on one stream: each of their appends is there
/// once, in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_of_all_nodes_share_a_stream() {
    let common = Common::new(Terms { kept_changes: 3, ..Terms::default() }).await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Arc::new(Node::start(&common).await));
    }
    nodes[0].streams.ensure(empty("s")).await.expect("created");
    let producers: Vec<_> = (0..8)
        .map(|producer| {
            let nodes = nodes.clone();
            tokio::spawn(async move {
                for seq in 0..40_u64 {
                    let stamp = Stamp { producer: format!("p{producer}").into(), epoch: 0, seq };
                    for repeat in 0..2 {
                        let node = &nodes[(producer + seq as usize + repeat) % nodes.len()];
                        let channel = node.streams.find(&name("s")).await.expect("there");
                        let body = Bytes::from(format!("{producer}:{seq}\n"));
                        let writer = Writer { stamp: Some(stamp.clone()), seq: None };
                        let addition = Addition { writer, ..Addition::bytes(body) };
                        let appended = node.streams.append(&channel, addition).await;
                        assert_eq!(appended.expect("appended").duplicate, repeat == 1);
                    }
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.expect("no panic");
    }
    let content = nodes[1].content(&name("s")).await.expect("content");
    let text = String::from_utf8(content).expect("text");
    for producer in 0..8 {
        let own = text.lines().filter_map(|line| line.strip_prefix(&format!("{producer}:")));
        let seqs: Vec<u64> = own.map(|seq| seq.parse().expect("a number")).collect();
        assert_eq!(seqs, (0..40).collect::<Vec<_>>());
    }
    drop(nodes);
    let node = Node::start(&common).await;
    assert_eq!(node.content(&name("s")).await.expect("content"), text.as_bytes());
}

#[tokio::test]
async fn a_name_that_went_cold_goes_on_where_it_was() {
    let terms = Terms { hot_ms: 1000, ..Terms::default() };
    let common = Common::new(terms).await;
    let (a, b) = (Node::start(&common).await, Node::start(&common).await);
    a.streams.ensure(empty("s")).await.expect("created");
    a.append(&name("s"), "one,").await.expect("appended");
    let _ = b.content(&name("s")).await.expect("content");
    a.streams
        .shared()
        .expect("shared")
        .all_stored(messages::shared_log::Scope::Streams, true)
        .await;
    common.clock.advance_ms(2000);
    assert_eq!(b.append(&name("s"), "two,").await, Ok(8));
    assert_eq!(a.append(&name("s"), "three,").await, Ok(14));
    assert_eq!(b.content(&name("s")).await.expect("content"), b"one,two,three,");
    let stored = common.clock.now_ms();
    assert!(stored > 0);
}

/// A node dies between writing the row of a fork and telling the log.
#[tokio::test]
async fn a_fork_that_was_cut_short_has_begun() {
    let common = Common::in_memory(Terms::default(), NoFaults);
    let (a, b) = (Node::start(&common).await, Node::start(&common).await);
    for text in ["source", "fork"] {
        a.streams.ensure(empty(text)).await.expect("created");
    }
    a.append(&name("source"), "shared").await.expect("appended");
    let old = a.streams.find(&name("fork")).await.expect("there");
    a.streams.delete(&old).await.expect("deleted");
    let shared = b.streams.shared().expect("shared");
    shared.all_stored(messages::shared_log::Scope::Streams, true).await;
    let head = shared.log().head(&name("fork")).await.expect("a log").expect("hot");
    let source = common.store.find(&[name("source")]).await.expect("a store").remove(0);
    let row = StoredStream {
        id: StreamId(7 << 32),
        name: name("fork"),
        fork: Some(Fork {
            source: source.id,
            source_name: name("source"),
            at: source.tail,
            asked: ForkPoint { anchor: None, beyond: 0 },
        }),
        version: head.version + 2,
        ..source
    };
    let flush = Flush {
        stream: row,
        from: None,
        from_version: 0,
        chunks: Vec::new(),
        producers: Vec::new(),
        remove: false,
        writes: Vec::new(),
        transient: false,
        cost: 0,
    };
    common.store.flush(&[flush]).await.expect("stored");
    let c = Node::start(&common).await;
    for node in [&c, &a] {
        assert_eq!(node.content(&name("fork")).await.expect("content"), b"shared");
    }
    assert_eq!(b.append(&name("fork"), "own").await, Ok(9));
    assert_eq!(a.content(&name("fork")).await.expect("content"), b"sharedown");
}

/// Of a stream that was deleted the log keeps its last changes, and the database nothing.
#[tokio::test]
async fn a_node_that_comes_late_sees_what_was_deleted() {
    let terms = Terms { kept_changes: 2, ..Terms::default() };
    let common = Common::new(terms).await;
    let (a, b) = (Node::start(&common).await, Node::start(&common).await);
    a.streams.ensure(empty("s")).await.expect("created");
    for _ in 0..9 {
        a.append(&name("s"), "x").await.expect("appended");
    }
    assert_eq!(b.content(&name("s")).await.expect("content").len(), 9);
    let channel = a.streams.find(&name("s")).await.expect("there");
    a.streams.delete(&channel).await.expect("deleted");
    let shared = a.streams.shared().expect("shared");
    shared.all_stored(messages::shared_log::Scope::Streams, true).await;
    let c = Node::start(&common).await;
    for node in [&b, &c] {
        let seen = node.content(&name("s")).await;
        assert!(matches!(seen, Err(StreamError::NotFound)), "{seen:?}");
    }
    assert!(c.streams.ensure(empty("s")).await.expect("created").created);
    assert_eq!(b.append(&name("s"), "anew").await, Ok(4));
    assert_eq!(a.content(&name("s")).await.expect("content"), b"anew");
}

/// The log answers nobody who asks how things are, as long as this is so.
#[derive(Clone, Default)]
struct Silence(Arc<AtomicBool>);

impl Faults for Silence {
    fn call(&self, method: &'static str) -> CallFault {
        let is_silent = self.0.load(Ordering::Relaxed) && matches!(method, "head" | "read");
        if is_silent { CallFault::Before } else { CallFault::None }
    }
}

/// A node that cannot ask does not take the last thing that it was told for the end of it.
#[tokio::test]
async fn what_was_told_before_does_not_make_certain() {
    let silence = Silence::default();
    let common = Common::in_memory(Terms::default(), silence.clone());
    let (a, b) = (Node::start(&common).await, Node::start(&common).await);
    a.streams.ensure(empty("s")).await.expect("created");
    a.append(&name("s"), "before,").await.expect("appended");
    assert_eq!(b.content(&name("s")).await.expect("content"), b"before,");
    let channel = b.streams.find(&name("s")).await.expect("there");
    let (mut reader, _) = b.streams.read(channel.clone(), 7).await.expect("the end");
    b.streams.shared().expect("a log").follow(&channel).await.expect("told of what comes");
    let on_a = a.streams.find(&name("s")).await.expect("there");
    silence.0.store(true, Ordering::Relaxed);
    b.streams.find(&name("s")).await.expect("as far as is known");
    a.streams.append(&on_a, Addition::bytes("told".into())).await.expect("appended");
    assert!(matches!(reader.next().await.expect("a piece"), Piece::Data(_)));
    let status = b.streams.status(&channel).await;
    assert_eq!(status.err(), Some(StreamError::LogUnavailable));
    let beyond = b.streams.read(channel.clone(), 99).await;
    assert_eq!(beyond.err(), Some(StreamError::LogUnavailable));
    silence.0.store(false, Ordering::Relaxed);
    b.streams.find(&name("s")).await.expect("there");
    assert_eq!(b.streams.status(&channel).await.expect("certain").tail.bytes, 11);
}

struct NoFaults;

impl Faults for NoFaults {}

/// A stream that branches off from "source" at its end.
fn fork(text: &str) -> NewStream {
    NewStream {
        content_type: None,
        fork: Some(messages::stream::ForkRequest {
            source: name("source"),
            point: messages::model::ForkPoint { anchor: None, beyond: 0 },
        }),
        ..empty(text)
    }
}

#[tokio::test]
async fn forks_hold_their_source_on_every_node() {
    let common = Common::new(Terms::default()).await;
    let (a, b) = (Node::start(&common).await, Node::start(&common).await);
    a.streams.ensure(empty("source")).await.expect("created");
    a.append(&name("source"), "shared,").await.expect("appended");
    assert!(b.streams.ensure(fork("fork")).await.expect("created").created);
    a.append(&name("source"), "later").await.expect("appended");
    assert_eq!(a.append(&name("fork"), "own").await, Ok(10));
    assert_eq!(b.content(&name("fork")).await.expect("content"), b"shared,own");
    let source = a.streams.find(&name("source")).await.expect("there");
    a.streams.delete(&source).await.expect("hidden");
    assert!(matches!(b.content(&name("source")).await, Err(StreamError::Hidden)));
    assert!(matches!(b.streams.ensure(fork("other")).await, Err(StreamError::SourceHidden)));
    assert_eq!(a.content(&name("fork")).await.expect("content"), b"shared,own");
    let fork = b.streams.find(&name("fork")).await.expect("there");
    b.streams.delete(&fork).await.expect("deleted");
    assert!(matches!(a.content(&name("source")).await, Err(StreamError::NotFound)));
    assert!(a.streams.ensure(empty("source")).await.expect("free again").created);
}

/// Of a fork that is gone the log still has the changes, and of what it branched off from there is
/// nothing.
#[tokio::test]
async fn a_node_that_comes_late_does_not_miss_the_source_of_what_is_gone() {
    let common = Common::new(Terms::default()).await;
    let a = Node::start(&common).await;
    let (deaf, later) = (Node::without_flusher(&common).await, Node::start(&common).await);
    deaf.kill();
    a.streams.ensure(empty("fork")).await.expect("created");
    a.streams.ensure(empty("source")).await.expect("created");
    assert_eq!(deaf.content(&name("fork")).await.expect("content"), b"");
    let delete = async |text: &str| {
        let channel = a.streams.find(&name(text)).await.expect("there");
        a.streams.delete(&channel).await.expect("deleted");
    };
    delete("fork").await;
    assert!(a.streams.ensure(fork("fork")).await.expect("created").created);
    delete("fork").await;
    delete("source").await;
    for node in [&deaf, &later] {
        let seen = node.content(&name("fork")).await;
        assert!(matches!(seen, Err(StreamError::NotFound)), "{seen:?}");
    }
    assert!(later.streams.ensure(empty("fork")).await.expect("free again").created);
    assert_eq!(deaf.append(&name("fork"), "anew").await, Ok(4));
}
