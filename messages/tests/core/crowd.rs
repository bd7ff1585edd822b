//! Many at once on a few names, on real threads: nobody waits for ever, nothing is lost, and what is
//! left is consistent.

use super::{
    clock::ManualClock,
    ledger::Ledger,
    memory_store::{Fault, MemoryStore},
    random::Random,
    world::{Machine, World},
};
use messages::{
    admission::Over,
    budget::Budget,
    committer::Commits,
    limits::{CHANNEL_IDLE_MS, FLUSH_STREAMS_MAX},
    model::{ForkPoint, Lifetime, StreamName},
    stream::{Addition, ForkRequest, NewStream, Piece, StreamError, Streams},
};
use std::{pin::pin, sync::Arc, thread::JoinHandle, time::Duration};
use tokio_util::sync::CancellationToken;

const NAMES: usize = 3;

/// A server at work.
struct Running {
    machine: Machine,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    streams: Arc<Streams>,
    commits: Arc<Commits>,
    budget: Budget,
    committer: JoinHandle<()>,
    stop_flusher: CancellationToken,
    flusher: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        let store = Arc::new(MemoryStore::default());
        let machine = Machine::new(store.clone());
        let world = World::start(&machine).await.expect("started");
        let World { streams, committer, flusher, commits, budget, .. } = world;
        let committer = std::thread::spawn(move || committer.run());
        let stop_flusher = CancellationToken::new();
        let flushing = flusher.run(Duration::from_millis(1), stop_flusher.clone());
        let flusher = tokio::spawn(async move { flushing.await.expect("a sound store") });
        let clock = machine.clock.clone();
        Self { machine, store, clock, streams, commits, budget, committer, stop_flusher, flusher }
    }

    /// Stops in order; gives what the journal has.
    async fn stop(self) -> (Ledger, Arc<MemoryStore>) {
        self.commits.stop();
        self.committer.join().expect("no panic");
        self.stop_flusher.cancel();
        self.flusher.await.expect("no panic");
        let mut ledger = Ledger::default();
        for (id, change) in self.machine.log.lock().expect("sound").committed.iter().flatten() {
            ledger.apply(*id, change);
        }
        (ledger, self.store)
    }
}

fn name(n: usize) -> StreamName {
    format!("s{n}").parse().expect("valid")
}

/// One of the crowd. Says what it met that may not be.
async fn act(streams: &Arc<Streams>, random: &mut Random) -> Result<(), StreamError> {
    let (who, other) = (name(random.below(NAMES)), name(random.below(NAMES)));
    let result = match random.below(8) {
        0..=1 => streams.ensure(NewStream::empty(who, "text/plain")).await.map(drop),
        // Also of itself, and of one that branches off from it at the same time.
        2..=4 => {
            let fork = Some(ForkRequest { source: other, point: ForkPoint::default() });
            let content_type = None;
            let body = "first;".into();
            let new = NewStream { fork, content_type, body, ..NewStream::empty(who, "") };
            streams.ensure(new).await.map(drop)
        }
        5 => match streams.find(&who).await {
            Ok(channel) => streams.delete(&channel).await,
            Err(error) => Err(error),
        },
        6 => match streams.find(&who).await {
            Ok(channel) => {
                streams.append(&channel, Addition::bytes("more;".into())).await.map(drop)
            }
            Err(error) => Err(error),
        },
        _ => match streams.find(&who).await {
            Ok(channel) => match streams.read(channel, 0).await {
                Ok((mut cursor, _)) => cursor.ready().await.map(drop),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        },
    };
    use StreamError::{
        Damaged, Differs, ForkTooDeep, Hidden, NoSource, NotFound, Replaced, SourceHidden,
    };
    match result {
        Err(Damaged) => Err(Damaged),
        Ok(())
        | Err(NotFound | Hidden | Replaced | Differs(_) | NoSource | SourceHidden | ForkTooDeep) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_on_a_few_names_waits_for_nobody_and_loses_nothing() {
    let running = Running::start().await;
    let crowd = (0..16).map(|seed| {
        let streams = running.streams.clone();
        tokio::spawn(async move {
            let mut random = Random::new(seed);
            for _ in 0..300 {
                act(&streams, &mut random).await.expect("one of the answers that may be");
            }
        })
    });
    let crowd = futures::future::try_join_all(crowd);
    let sweeping = async {
        loop {
            running.clock.advance_ms(CHANNEL_IDLE_MS + 1);
            running.streams.sweep();
            running.streams.reap().await.expect("reaped");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        done = tokio::time::timeout(Duration::from_secs(60), crowd) => {
            done.expect("they wait for each other").expect("no panic");
        }
        () = sweeping => {}
    }
    let streams = running.streams.clone();
    let mut seen = Vec::new();
    for n in 0..NAMES {
        let found = match streams.find(&name(n)).await {
            Ok(channel) => {
                let forks = channel.writer().forks;
                let over = channel.writer().over;
                let content = read(&streams, n).await;
                Some((channel.id(), forks, over, content))
            }
            Err(error) => {
                assert_eq!(error, StreamError::NotFound);
                None
            }
        };
        seen.push(found);
    }
    let (commits, budget) = (running.commits.clone(), running.budget.clone());
    drop(streams);
    let (ledger, store) = running.stop().await;
    for (n, found) in seen.into_iter().enumerate() {
        let life = ledger.life(&format!("s{n}"));
        let Some((id, forks, over, content)) =
            found.filter(|(_, _, over, _)| *over != Some(Over::Deleted))
        else {
            assert!(life.is_none(), "s{n} is lost");
            continue;
        };
        let (known, entry) = life.expect("known to the journal");
        assert_eq!((id, forks, over), (known, ledger.forks(known), entry.over), "s{n}");
        match over {
            None => assert_eq!(content, Ok(entry.content.clone()), "s{n}"),
            Some(over) => assert_eq!(content, Err(over.into()), "s{n}"),
        }
    }
    let is_kept = |over| matches!(over, None | Some(Over::Hidden));
    let kept = ledger.streams.values().filter(|entry| is_kept(entry.over)).count();
    assert_eq!(store.count(), kept, "rows of streams that are there");
    assert!(commits.take_dirty().is_empty());
    assert!(futures::poll!(pin!(budget.take(64 << 20))).is_ready());
    assert!(futures::poll!(pin!(budget.take((64 << 20) + 1))).is_pending());
}

async fn read(streams: &Arc<Streams>, n: usize) -> Result<Vec<u8>, StreamError> {
    let channel = streams.find(&name(n)).await?;
    let (mut cursor, _) = streams.read(channel, 0).await?;
    let mut content = Vec::new();
    while let Some(Piece::Data(part)) = cursor.ready().await? {
        content.extend_from_slice(&part.bytes);
    }
    Ok(content)
}

/// A channel that is marked is on the list. Were it marked before, the committer would take it for
/// listed, and the flusher would let the journal go without what was appended meanwhile.
#[tokio::test]
async fn a_use_marks_and_lists_in_one_step() {
    let machine = Machine::new(Arc::new(MemoryStore::default()));
    let mut world = World::start(&machine).await.unwrap();
    let streams = world.streams.clone();
    let lifetime = Some(Lifetime::Idle { secs: 1 });
    let new = NewStream { lifetime, ..NewStream::empty(name(0), "text/plain") };
    let channel = world.drive(streams.ensure(new)).await.unwrap().unwrap().channel;
    world.flusher.flush().await.unwrap();
    // Somebody is busy with the list.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (busy, is_busy) = std::sync::mpsc::channel();
    let commits = world.commits.clone();
    let busy = std::thread::spawn(move || {
        commits.push_dirty(std::iter::from_fn(|| {
            busy.send(()).expect("heard");
            released.recv().err().and(None)
        }));
    });
    is_busy.recv().expect("busy");
    machine.clock.advance_ms(1_000_000);
    let used = channel.clone();
    let using = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async { streams.read(used, 0).await.map(drop) })
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (waits, was_unmarked) = (!using.is_finished(), channel.mark_dirty());
    drop(release);
    busy.join().expect("no panic");
    using.join().expect("no panic").expect("readable");
    assert!(waits && was_unmarked, "marked although it is not on the list");
}

/// Two begin the same name anew, and only one of them branches off.
#[tokio::test]
async fn who_comes_too_late_does_not_count_as_a_fork() {
    let machine = Machine::new(Arc::new(MemoryStore::default()));
    let mut world = World::start(&machine).await.unwrap();
    let streams = world.streams.clone();
    let new = |n| NewStream::empty(name(n), "text/plain");
    let both = async { (streams.ensure(new(0)).await, streams.ensure(new(1)).await) };
    let (source, old) = world.drive(both).await.unwrap();
    let (source, old) = (source.unwrap().channel, old.unwrap().channel);
    world.drive(streams.delete(&old)).await.unwrap().unwrap();
    world.flusher.flush().await.unwrap();
    let fork = Some(ForkRequest { source: name(0), point: ForkPoint::default() });
    let fork = NewStream { fork, ..new(1) };
    // Both have seen that the name is free when there is room for them.
    let room = (64 << 20) - messages::limits::STREAM_OVERHEAD_BYTES;
    world.budget.take(room).await.unwrap().keep();
    {
        let mut two =
            pin!(futures::future::join(streams.ensure(fork.clone()), streams.ensure(fork.clone())));
        assert!(futures::poll!(two.as_mut()).is_pending());
        world.budget.give_back(room);
        let (one, other) = world.drive(two).await.unwrap();
        assert_ne!(one.unwrap().created, other.unwrap().created);
    }
    assert_eq!(source.writer().forks, 1);
}

/// The row of a stream is there before the rows of those that branch off from it, also when it had
/// to wait and the next transaction fails.
#[tokio::test]
async fn a_source_enters_the_store_before_its_forks() {
    let store = Arc::new(MemoryStore::default());
    let machine = Machine::new(store.clone());
    let mut world = World::start(&machine).await.unwrap();
    let streams = world.streams.clone();
    let create = async |world: &mut World, new: NewStream| {
        let streams = world.streams.clone();
        world.drive(async move { streams.ensure(new).await }).await.unwrap().unwrap();
    };
    create(&mut world, NewStream::empty(name(0), "text/plain")).await;
    store.fail_next_flush(Fault::Refused);
    {
        let World { flusher, committer, .. } = &mut world;
        let mut flushing = pin!(flusher.flush());
        assert!(futures::poll!(flushing.as_mut()).is_pending());
        let fork = Some(ForkRequest { source: name(0), point: ForkPoint::default() });
        let new = NewStream { fork, ..NewStream::empty(name(1), "text/plain") };
        let mut forking = pin!(streams.ensure(new));
        while futures::poll!(forking.as_mut()).is_pending() {
            tokio::task::yield_now().await;
            committer.step().unwrap();
        }
        for n in 2..FLUSH_STREAMS_MAX + 10 {
            streams.find_or_create(&name(n), "text/plain", false).await.unwrap();
            while n % 10 == 0 && committer.step().unwrap() {}
        }
        while committer.step().unwrap() {}
        flushing.await.expect_err("refused");
    }
    store.fail_flush_after(1, Fault::Refused);
    world.flusher.flush().await.expect_err("the second transaction");
    assert!(store.row("s0").is_some() || store.row("s1").is_none(), "a fork without its source");
    let world = World::start(&machine).await.expect("a start is possible");
    let fork = world.streams.find(&name(1)).await.unwrap();
    assert_eq!(fork.source_channel().map(|source| source.name().clone()), Some(name(0)));
}

/// A reader of a fork is woken by the fork and by nothing else.
#[tokio::test]
async fn what_happens_to_a_source_wakes_no_reader_of_a_fork() {
    let machine = Machine::new(Arc::new(MemoryStore::default()));
    let mut world = World::start(&machine).await.unwrap();
    let streams = world.streams.clone();
    let source = NewStream { body: "before;".into(), ..NewStream::empty(name(0), "text/plain") };
    let fork = Some(ForkRequest { source: name(0), point: ForkPoint::default() });
    let fork = NewStream { fork, content_type: None, ..NewStream::empty(name(1), "") };
    let both = async { (streams.ensure(source).await, streams.ensure(fork).await) };
    let (source, fork) = world.drive(both).await.unwrap();
    let (source, fork) = (source.unwrap().channel, fork.unwrap().channel);
    let (mut cursor, _) = streams.read(fork.clone(), 0).await.unwrap();
    let Some(Piece::Data(part)) = cursor.ready().await.unwrap() else { panic!("inherited") };
    assert_eq!((&part.bytes[..], part.last), (&b"before;"[..], true));
    {
        let mut waiting = pin!(cursor.wait());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        let append = streams.append(&source, Addition::bytes("behind;".into()));
        world.drive(append).await.unwrap().unwrap();
        world.drive(streams.delete(&source)).await.unwrap().unwrap();
        assert!(futures::poll!(waiting.as_mut()).is_pending(), "woken by its source");
        let append = streams.append(&fork, Addition::bytes("own;".into()));
        world.drive(append).await.unwrap().unwrap();
        assert!(futures::poll!(waiting.as_mut()).is_ready());
    }
    let Some(Piece::Data(part)) = cursor.ready().await.unwrap() else { panic!("its own") };
    assert_eq!((&part.bytes[..], part.end, part.last), (&b"own;"[..], fork.durable(), true));
}
