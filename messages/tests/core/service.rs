//! What has to go on working when its neighbours do not: the store, the journal, clients.

use super::{
    clock::ManualClock,
    disk::SimDisk,
    memory_store::{Fault, MemoryStore},
    world::{Machine, World},
};
use messages::{
    budget::Budget,
    channel::{Channel, WindowMemory},
    committer::{CommitFailed, Commits, Committer, Entry},
    flusher::Flusher,
    journal::{FileJournal, Journal, Mark, MemoryJournal},
    model::{
        Change, CloseReason, Create, ForkPoint, Lifetime, Stamp, StreamId, StreamName, Writer,
    },
    production::{Plan, Productions},
    recovery,
    store::{Store, StoreError},
    stream::{Addition, ForkRequest, Ground, NewStream, Piece, StreamError, Streams},
};
use std::{io, pin::pin, sync::Arc, task::Poll, time::Duration};
use tokio_util::sync::CancellationToken;

fn add(text: &str, close: bool) -> Addition {
    let close = close.then_some(CloseReason::Finished);
    Addition { close, ..Addition::bytes(text.to_owned().into()) }
}

/// More streams than one transaction may write.
async fn create_many(streams: &Streams, committer: &mut Committer) {
    for i in 0..messages::limits::FLUSH_STREAMS_MAX + 100 {
        let name = format!("s{i}").parse().unwrap();
        streams.find_or_create(&name, "text/plain", false).await.unwrap();
        while i % 10 == 0 && committer.step().unwrap() {}
    }
    while committer.step().unwrap() {}
}

/// A name begins anew while its earlier life is being flushed, and many others begin beside it: the
/// two lives may go into different transactions, but never in the wrong order.
#[tokio::test]
async fn an_earlier_life_leaves_the_store_first() {
    for fault in [None, Some(Fault::Refused), Some(Fault::AnswerLost)] {
        let store = Arc::new(MemoryStore::default());
        let mut world = World::start(&Machine::new(store.clone())).await.unwrap();
        let streams = world.streams.clone();
        let name: StreamName = "a".parse().unwrap();
        let (old, _) = streams.find_or_create(&name, "text/plain", false).await.unwrap();
        world.drive(streams.append(&old, add("x", false))).await.unwrap().unwrap();
        world.flusher.flush().await.unwrap();
        world.drive(streams.append(&old, add("y", true))).await.unwrap().unwrap();
        if let Some(fault) = fault {
            store.fail_next_flush(fault);
        }
        {
            let World { flusher, committer, .. } = &mut world;
            let mut flushing = pin!(flusher.flush());
            assert!(futures::poll!(flushing.as_mut()).is_pending());
            streams.begin(&name, "text/plain", false).await.unwrap();
            create_many(&streams, committer).await;
            assert_eq!(flushing.await.is_err(), fault.is_some());
        }
        world.flusher.flush().await.expect("the store is well");
        assert_eq!(store.find(&[name]).await.unwrap()[0].tail.bytes, 0, "the new life");
    }
}

/// Rows that are gone without the server are not written around: a hole would be worse.
#[tokio::test]
async fn a_stream_that_somebody_removed_from_the_database_is_a_conflict() {
    let store = Arc::new(MemoryStore::default());
    let mut world = World::start(&Machine::new(store.clone())).await.unwrap();
    let streams = world.streams.clone();
    let name: StreamName = "a".parse().unwrap();
    let (channel, _) = streams.find_or_create(&name, "text/plain", false).await.unwrap();
    world.drive(streams.append(&channel, add("x", false))).await.unwrap().unwrap();
    world.flusher.flush().await.unwrap();
    world.drive(streams.append(&channel, add("y", false))).await.unwrap().unwrap();
    store.fail_next_flush(Fault::Refused);
    world.flusher.flush().await.expect_err("the store is down");
    store.clear();
    let error = world.flusher.flush().await;
    assert!(matches!(error, Err(StoreError::Conflict(_))), "{error:?}");
}

/// The budget is used up when the server dies, and a stream is open that must be closed.
#[tokio::test(start_paused = true)]
async fn a_start_finds_room_although_the_replay_takes_it_all() {
    let disk = SimDisk::default();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let name: StreamName = "a".parse().unwrap();
    for _ in 0..3 {
        let (journal, replay) = FileJournal::open(Box::new(disk.clone()), 64 << 10, true).unwrap();
        let (budget, memory) = (Budget::new(10_000), WindowMemory::new(1000));
        let commits = Commits::new(replay.mark, u64::MAX);
        let start = store.count_start().await.unwrap();
        let streams = Streams::new(Ground {
            store: store.clone(),
            commits: commits.clone(),
            budget: budget.clone(),
            memory: memory.clone(),
            clock: ManualClock::new(),
            start,
            stream_bytes_max: 1 << 30,
        });
        let recovered = recovery::recover(&*store, replay.changes, 0, &memory).await.unwrap();
        let orphans = recovered.orphans();
        recovered.install(&streams, &commits, &budget);
        let committer = Committer::new(commits.clone(), Box::new(journal));
        let committer = std::thread::spawn(move || committer.run());
        let flusher = Flusher::new(store.clone(), commits.clone(), budget, memory);
        let flushing =
            tokio::spawn(flusher.run(Duration::from_millis(500), CancellationToken::new()));
        recovery::close_orphans(&streams, &*store, &orphans).await.expect("closed");
        // The committer's thread knows nothing of the time that is passed over here.
        let channel = loop {
            match streams.begin(&name, "text/plain", true).await {
                Err(messages::stream::StreamError::Overloaded) => {}
                begun => break begun.expect("begun anew"),
            }
        };
        flushing.abort();
        while streams.append(&channel, Addition { tied: true, ..add("x", false) }).await.is_ok() {}
        commits.stop();
        committer.join().unwrap();
    }
}

struct Panics;

impl Journal for Panics {
    fn prepare(&mut self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn commit(&mut self, _: &mut dyn Iterator<Item = (StreamId, &Change)>) -> io::Result<Mark> {
        panic!("a bug")
    }
    fn trim(&mut self, _: Mark) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nobody_waits_for_a_committer_that_is_gone() {
    let commits = Commits::new(Mark(0), u64::MAX);
    let create = Create {
        name: "a".parse().unwrap(),
        content_type: "text/plain".into(),
        tied: false,
        replaces: None,
        lifetime: Lifetime::Unlimited,
        fork: None,
    };
    let channel = Channel::new(StreamId(1), &create, None, 0, WindowMemory::new(10));
    let channel = Arc::new(channel);
    let entry = || Entry {
        channel: channel.clone(),
        change: Change::Create(create.clone()),
        replaced: None,
    };
    let in_hand = commits.enqueue(entry()).unwrap();
    let committer = Committer::new(commits.clone(), Box::new(Panics));
    assert!(std::thread::spawn(move || committer.run()).join().is_err(), "it panics");
    assert_eq!(in_hand.durable().await, Err(CommitFailed));
    assert_eq!(commits.enqueue(entry()).err(), Some(CommitFailed));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_during_a_lookup_leaves_nothing_behind() {
    let machine = Machine::new(Arc::new(MemoryStore::default()));
    let world = World::start(&machine).await.unwrap();
    for i in 0..100 {
        let name: StreamName = format!("n{i}").parse().unwrap();
        let mut finding = pin!(world.streams.find(&name));
        assert!(matches!(futures::poll!(finding.as_mut()), Poll::Pending));
    }
    world.streams.sweep();
    assert_eq!(world.streams.loaded(), 0);
}

/// The store is slow for longer than any client would wait.
#[tokio::test]
async fn a_production_survives_an_overload() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (budget, memory) = (Budget::new(10_000), WindowMemory::new(1000));
    let commits = Commits::new(Mark(0), u64::MAX);
    let streams = Arc::new(Streams::new(Ground {
        store,
        commits: commits.clone(),
        budget: budget.clone(),
        memory,
        clock: ManualClock::new(),
        start: 1,
        stream_bytes_max: 1 << 30,
    }));
    let committer = Committer::new(commits.clone(), Box::new(MemoryJournal::new(Mark(0))));
    let committer = std::thread::spawn(move || committer.run());
    let productions = Productions::new(streams.clone(), CancellationToken::new());
    let plan = Plan { name: "a".parse().unwrap(), freq: 100, lines: 5, anew: false };
    // All but what the beginning takes.
    let rest = 10_000 - messages::limits::STREAM_OVERHEAD_BYTES - 1;
    budget.take(rest).await.unwrap().keep();
    let channel = productions.start(plan).await.unwrap();
    let (mut cursor, _) = streams.read(channel, 0).await.unwrap();
    // Until a first append has been refused.
    tokio::time::sleep(Duration::from_millis(messages::limits::ROOM_WAIT_MS_MAX + 200)).await;
    budget.give_back(rest);
    let mut content = Vec::new();
    while let Piece::Data(part) = cursor.next().await.unwrap() {
        content.extend_from_slice(&part.bytes);
    }
    assert_eq!(content, b"0: a\n1: a\n2: a\n3: a\n4: a\n");
    commits.stop();
    committer.join().unwrap();
}

/// Without a journal whoever appends commits for all who wait, and now and then a thread; nobody is
/// forgotten, whoever comes while another is at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_commit_for_each_other_without_a_journal() {
    const WRITERS: usize = 16;
    const APPENDS: usize = 200;
    let commits = Commits::direct(Mark(0), u64::MAX, Box::new(MemoryJournal::new(Mark(0))));
    let relief = std::thread::spawn({
        let commits = commits.clone();
        move || commits.relieve()
    });
    let streams = Arc::new(Streams::new(Ground {
        store: Arc::new(MemoryStore::default()),
        commits: commits.clone(),
        budget: Budget::new(64 << 20),
        memory: WindowMemory::new(64 << 20),
        clock: ManualClock::new(),
        start: 1,
        stream_bytes_max: 1 << 30,
    }));
    let names: [StreamName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (streams, name) = (streams.clone(), names[writer % names.len()].clone());
        tasks.spawn(async move {
            let (channel, _) = streams.find_or_create(&name, "text/plain", false).await.unwrap();
            for _ in 0..APPENDS {
                let tail = streams.append(&channel, add("x", false)).await.unwrap().tail;
                assert!(channel.durable().bytes >= tail.bytes, "what is acknowledged is visible");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for name in &names {
        let channel = streams.find(name).await.unwrap();
        assert_eq!(channel.durable().records as usize, WRITERS / names.len() * APPENDS);
    }
    commits.stop();
    relief.join().unwrap();
    assert!(
        streams.append(&streams.find(&names[0]).await.unwrap(), add("x", false)).await.is_err()
    );
}

/// What a stream begins with counts like everything else.
#[tokio::test]
async fn a_stream_never_grows_past_its_cap() {
    let store = Arc::new(MemoryStore::default());
    let machine = Machine { stream_bytes_max: 10, ..Machine::new(store) };
    let mut world = World::start(&machine).await.unwrap();
    let streams = world.streams.clone();
    let new = |name: &str, body: &str, source: Option<&str>| {
        let fork = source.map(|source| ForkRequest {
            source: source.parse().unwrap(),
            point: ForkPoint::default(),
        });
        let empty = NewStream::empty(name.parse().unwrap(), "text/plain");
        NewStream { body: body.to_owned().into(), fork, ..empty }
    };
    for (new, fits) in [
        (new("a", "0123456789x", None), false),
        (new("a", "012345", None), true),
        (new("b", "6789x", Some("a")), false),
        (new("b", "6789", Some("a")), true),
    ] {
        let ensured = world.drive(streams.ensure(new)).await.unwrap();
        let is_too_long = matches!(ensured, Err(StreamError::TooLong { .. }));
        assert_eq!((ensured.is_ok(), is_too_long), (fits, !fits));
    }
}

/// It would have no place of its own in the stream, and after a crash nobody could tell whether it
/// has been there.
#[tokio::test]
async fn a_producer_adds_something_or_closes() {
    let machine = Machine::new(Arc::new(MemoryStore::default()));
    let mut world = World::start(&machine).await.unwrap();
    let streams = world.streams.clone();
    let name: StreamName = "a".parse().unwrap();
    let created = world.drive(streams.ensure(NewStream::empty(name.clone(), "text/plain"))).await;
    let channel = created.unwrap().unwrap().channel;
    let stamp = Some(Stamp { producer: "p".into(), epoch: 0, seq: 0 });
    let nothing = Addition { writer: Writer { stamp, seq: None }, ..Addition::default() };
    let close = Addition { close: Some(CloseReason::Finished), ..nothing.clone() };
    let refused = world.drive(streams.append(&channel, nothing)).await.unwrap();
    assert_eq!(refused, Err(StreamError::NoMessages));
    let closed = world.drive(streams.append(&channel, close.clone())).await.unwrap().unwrap();
    assert!(closed.closed && !closed.duplicate);
    for flush in [false, true, true] {
        if flush {
            world.flusher.flush().await.unwrap();
        }
        world = World::start(&machine).await.unwrap();
        let (streams, close) = (world.streams.clone(), close.clone());
        let channel = streams.find(&name).await.unwrap();
        let again = world.drive(async move { streams.append(&channel, close).await }).await;
        let again = again.unwrap().unwrap();
        assert!(again.closed && again.duplicate, "{again:?}");
        assert_eq!(again.seq, Some(0));
    }
}
