//! How long streams live: by use, by date, across restarts; and what is left of them afterwards.

use super::{
    clock::ManualClock,
    disk::SimDisk,
    memory_store::{Fault, MemoryStore},
    world::{Machine, World},
};
use messages::{
    channel::Channel,
    clock::Clock,
    limits::TOUCH_SLACK_MS_MIN,
    model::{CloseReason, ForkPoint, Lifetime, StreamName},
    stream::{Addition, ForkRequest, NewStream, StreamError, Streams},
};
use std::{pin::pin, sync::Arc};

const SECS: u64 = 60;

struct Scene {
    machine: Machine,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    world: World,
}

impl Scene {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let machine = Machine::new(store.clone());
        let world = World::start(&machine).await.expect("started");
        Self { clock: machine.clock.clone(), machine, store, world }
    }

    /// The process is killed and comes back.
    async fn restart(&mut self) {
        self.world = World::start(&self.machine).await.expect("started");
    }

    fn streams(&self) -> Arc<Streams> {
        self.world.streams.clone()
    }

    async fn create(&mut self, new: NewStream) -> Result<Arc<Channel>, StreamError> {
        let streams = self.streams();
        let ensured = self.world.drive(async move { streams.ensure(new).await }).await;
        ensured.expect("a sound disk").map(|ensured| ensured.channel)
    }

    async fn find(&mut self, name: &str) -> Result<Arc<Channel>, StreamError> {
        let (streams, name) = (self.streams(), name.parse().expect("valid"));
        self.world.drive(async move { streams.find(&name).await }).await.expect("a sound disk")
    }

    async fn append(&mut self, name: &str) -> Result<(), StreamError> {
        let (streams, channel) = (self.streams(), self.find(name).await?);
        let append = async move { streams.append(&channel, Addition::bytes("x".into())).await };
        self.world.drive(append).await.expect("a sound disk").map(drop)
    }

    async fn delete(&mut self, name: &str) -> Result<(), StreamError> {
        let (streams, channel) = (self.streams(), self.find(name).await?);
        let delete = async move { streams.delete(&channel).await };
        self.world.drive(delete).await.expect("a sound disk")
    }

    async fn read(&mut self, name: &str) -> Result<Vec<u8>, StreamError> {
        let read = self.world.read(name, 0).await.expect("a sound disk");
        read.map(|(bytes, _)| bytes)
    }

    async fn flush(&mut self) {
        self.world.flusher.flush().await.expect("a sound store");
    }

    async fn reap(&mut self) {
        let streams = self.streams();
        let reaped = self.world.drive(async move { streams.reap().await }).await;
        assert_eq!(reaped.expect("a sound disk"), Ok(false));
    }
}

fn new(name: &str, lifetime: Lifetime) -> NewStream {
    let name: StreamName = name.parse().expect("valid");
    NewStream { lifetime: Some(lifetime), ..NewStream::empty(name, "text/plain") }
}

fn idle(name: &str) -> NewStream {
    new(name, Lifetime::Idle { secs: SECS })
}

fn fork(name: &str, source: &str) -> NewStream {
    let source = source.parse().expect("valid");
    let fork = Some(ForkRequest { source, point: ForkPoint::default() });
    NewStream { fork, content_type: None, lifetime: None, ..idle(name) }
}

#[tokio::test]
async fn a_stream_lives_while_it_is_used_and_no_longer() {
    let mut scene = Scene::new().await;
    scene.create(idle("a")).await.unwrap();
    for n in 0..10 {
        scene.clock.advance_ms(SECS * 1000 - 1);
        if n % 2 == 0 {
            scene.append("a").await.unwrap();
        } else {
            assert_eq!(scene.read("a").await.unwrap().len(), 1 + n / 2);
        }
    }
    // Neither looking for it nor what is refused is a use.
    scene.clock.advance_ms(SECS * 500);
    let channel = scene.find("a").await.unwrap();
    let refused = Addition { wrong_type: true, ..Addition::bytes("x".into()) };
    let streams = scene.streams();
    let append = scene.world.drive(async move { streams.append(&channel, refused).await }).await;
    assert_eq!(append.unwrap(), Err(StreamError::WrongType));
    scene.clock.advance_ms(SECS * 500 - 1);
    scene.find("a").await.expect("a moment is left");
    scene.clock.advance_ms(1);
    assert_eq!(scene.read("a").await, Err(StreamError::NotFound));
    // The name is free, and the new stream has nothing of the old one.
    scene.create(new("a", Lifetime::Unlimited)).await.unwrap();
    assert_eq!(scene.read("a").await, Ok(vec![]));
    scene.flush().await;
    scene.clock.advance_ms(1 << 40);
    assert_eq!(scene.read("a").await, Ok(vec![]));
}

#[tokio::test]
async fn many_uses_cost_few_writes() {
    let mut scene = Scene::new().await;
    scene.create(idle("a")).await.unwrap();
    scene.flush().await;
    let before = scene.store.flushes();
    // One use a second for an hour.
    for _ in 0..3600 {
        scene.clock.advance_ms(1000);
        scene.read("a").await.unwrap();
        scene.flush().await;
    }
    let writes = scene.store.flushes() - before;
    let most = 3_600_000 / (TOUCH_SLACK_MS_MIN / 2) + 1;
    assert!(writes > 0 && writes <= most, "{writes} writes for 3600 uses");
}

#[tokio::test]
async fn whoever_is_connected_holds_a_stream_and_its_row() {
    let mut scene = Scene::new().await;
    let channel = scene.create(idle("a")).await.unwrap();
    scene.flush().await;
    let (cursor, _) = scene.streams().read(channel.clone(), 0).await.unwrap();
    for _ in 0..100 {
        scene.clock.advance_ms(5_000);
        scene.streams().sweep();
        scene.reap().await;
        scene.flush().await;
        let row = scene.store.row("a").expect("it is there");
        assert!(row.expires_ms > Some(scene.clock.now_ms() + SECS * 1000), "the row is behind");
    }
    // Also when nobody has looked after it for long.
    scene.clock.advance_ms(SECS * 5000);
    scene.reap().await;
    assert_eq!(channel.status().map(|status| status.tail.bytes), Some(0));
    assert_eq!(channel.writer().over, None);
    // From when they leave, the time counts anew.
    drop(cursor);
    scene.clock.advance_ms(SECS * 1000 - 1);
    scene.find("a").await.expect("a moment is left");
    scene.clock.advance_ms(1);
    assert_eq!(scene.find("a").await.err(), Some(StreamError::NotFound));
}

#[tokio::test]
async fn a_date_is_kept_also_with_readers() {
    let mut scene = Scene::new().await;
    let ms = scene.clock.now_ms() + 10_000;
    let channel = scene.create(new("a", Lifetime::Until { ms })).await.unwrap();
    scene.flush().await;
    let (mut cursor, _) = scene.streams().read(channel, 0).await.unwrap();
    scene.clock.advance_ms(9_999);
    scene.reap().await;
    assert_eq!(cursor.ready().await, Ok(None));
    scene.append("a").await.unwrap();
    scene.clock.advance_ms(1);
    {
        let mut waiting = pin!(async { (cursor.next().await, cursor.next().await) });
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        scene.reap().await;
        let (_, end) = waiting.await;
        assert_eq!(end, Err(StreamError::NotFound), "who waits is told");
    }
    scene.flush().await;
    assert!(scene.store.row("a").is_none());
}

#[tokio::test]
async fn a_restart_does_not_shorten_a_life() {
    for (used_by_append, flushed) in [(true, true), (true, false), (false, true)] {
        let mut scene = Scene::new().await;
        scene.create(idle("a")).await.unwrap();
        scene.flush().await;
        scene.clock.advance_ms(SECS * 1000 - 1);
        if used_by_append {
            scene.append("a").await.unwrap();
        } else {
            scene.read("a").await.unwrap();
        }
        if flushed {
            scene.flush().await;
        }
        scene.clock.advance_ms(SECS * 1000 - 1);
        scene.restart().await;
        scene.reap().await;
        scene.read("a").await.unwrap_or_else(|error| panic!("{used_by_append} {flushed}: {error}"));
    }
}

#[tokio::test]
async fn a_life_that_no_row_can_tell_ends_its_flushing() {
    for lifetime in [Lifetime::Idle { secs: u64::MAX }, Lifetime::Until { ms: u64::MAX }] {
        let mut scene = Scene::new().await;
        scene.create(new("a", lifetime)).await.unwrap();
        scene.flush().await;
        let expires_ms = scene.store.row("a").and_then(|row| row.expires_ms);
        assert!(expires_ms.is_some_and(|ms| i64::try_from(ms).is_ok()), "{expires_ms:?}");
        assert!(scene.world.commits.take_dirty().is_empty(), "{lifetime:?} is written for ever");
        scene.read("a").await.unwrap();
        assert!(scene.world.commits.take_dirty().is_empty(), "{lifetime:?} is written again");
    }
}

#[tokio::test]
async fn a_fork_has_its_own_life_and_keeps_its_source() {
    let mut scene = Scene::new().await;
    scene.create(idle("a")).await.unwrap();
    scene.append("a").await.unwrap();
    let inherits = scene.create(fork("b", "a")).await.unwrap();
    assert_eq!(inherits.lifetime(), Lifetime::Idle { secs: SECS });
    drop(inherits);
    scene
        .create(NewStream { lifetime: Some(Lifetime::Unlimited), ..fork("c", "a") })
        .await
        .unwrap();
    scene.flush().await;
    scene.clock.advance_ms(SECS * 1000);
    assert_eq!(scene.read("b").await, Err(StreamError::NotFound));
    assert_eq!(scene.read("a").await, Err(StreamError::Hidden), "it is needed");
    assert_eq!(scene.read("c").await, Ok(b"x".to_vec()));
    assert_eq!(scene.create(idle("a")).await.err(), Some(StreamError::Hidden));
    assert_eq!(scene.create(fork("d", "a")).await.err(), Some(StreamError::SourceHidden));
    scene.delete("c").await.unwrap();
    assert_eq!(scene.read("a").await, Err(StreamError::NotFound), "it is not needed any more");
    scene.flush().await;
    assert_eq!(scene.store.count(), 0);
}

/// A hidden stream whose time is over as well, whose last fork went right before a crash.
#[tokio::test]
async fn what_a_crash_left_hidden_is_reaped() {
    for lifetime in [Lifetime::Unlimited, Lifetime::Idle { secs: SECS }] {
        let mut scene = Scene::new().await;
        scene.create(new("a", lifetime)).await.unwrap();
        scene
            .create(NewStream { lifetime: Some(Lifetime::Unlimited), ..fork("b", "a") })
            .await
            .unwrap();
        scene.flush().await;
        scene.delete("a").await.unwrap();
        scene.flush().await;
        scene.clock.advance_ms(SECS * 2000);
        // As when only the first of the two entries came to the disk, and is stored.
        scene.store.remove("b");
        scene.machine.disk = SimDisk::default();
        scene.restart().await;
        assert_eq!(scene.read("a").await, Err(StreamError::Hidden));
        scene.reap().await;
        assert_eq!(scene.read("a").await, Err(StreamError::NotFound), "{lifetime:?}");
        scene.flush().await;
        assert_eq!(scene.store.count(), 0);
        scene.reap().await;
    }
}

/// Until the store has forgotten it, nobody may find it there.
#[tokio::test]
async fn a_deleted_stream_does_not_come_back() {
    let mut scene = Scene::new().await;
    scene.create(new("a", Lifetime::Unlimited)).await.unwrap();
    scene.create(fork("b", "a")).await.unwrap();
    scene.flush().await;
    for name in ["b", "a"] {
        scene.delete(name).await.unwrap();
        for _ in 0..2 {
            assert_eq!(scene.read(name).await, Err(StreamError::NotFound));
            scene.clock.advance_ms(1 << 20);
            scene.streams().sweep();
            scene.restart().await;
        }
    }
    // And its name can be had at once.
    scene.create(new("a", Lifetime::Unlimited)).await.unwrap();
    scene.append("a").await.unwrap();
    scene.restart().await;
    assert_eq!(scene.read("a").await, Ok(b"x".to_vec()));
    scene.store.fail_next_flush(Fault::AnswerLost);
    scene.world.flusher.flush().await.expect_err("lost");
    scene.flush().await;
    assert_eq!(scene.store.count(), 1);
    assert_eq!(scene.read("a").await, Ok(b"x".to_vec()));
}

/// A life that came and went without a row, while the row of the life before is still there.
#[tokio::test]
async fn an_earlier_life_does_not_come_back_either() {
    let mut scene = Scene::new().await;
    scene.create(new("a", Lifetime::Unlimited)).await.unwrap();
    scene.append("a").await.unwrap();
    scene.flush().await;
    scene.delete("a").await.unwrap();
    scene.create(new("a", Lifetime::Unlimited)).await.unwrap();
    scene.delete("a").await.unwrap();
    scene.store.fail_next_flush(Fault::Refused);
    scene.world.flusher.flush().await.expect_err("the store is down");
    scene.clock.advance_ms(1 << 20);
    scene.streams().sweep();
    assert_eq!(scene.read("a").await, Err(StreamError::NotFound));
    scene.flush().await;
    assert_eq!(scene.store.count(), 0);
}

/// A deleted stream whose row is still there, and whose name was to begin anew when the journal failed.
#[tokio::test]
async fn a_journal_that_fails_brings_nothing_back() {
    let mut scene = Scene::new().await;
    scene.create(new("a", Lifetime::Unlimited)).await.unwrap();
    scene.append("a").await.unwrap();
    scene.flush().await;
    scene.delete("a").await.unwrap();
    scene.machine.disk.cut_power_after(0);
    let streams = scene.streams();
    {
        let mut creating = pin!(streams.ensure(idle("a")));
        assert!(futures::poll!(creating.as_mut()).is_pending());
        scene.world.committer.step().expect_err("the journal has failed");
        assert_eq!(creating.await.err(), Some(StreamError::JournalFailed));
    }
    scene.store.fail_next_flush(Fault::Refused);
    scene.world.flusher.flush().await.expect_err("the store is down");
    scene.clock.advance_ms(1 << 20);
    streams.sweep();
    assert_eq!(scene.read("a").await, Err(StreamError::JournalFailed));
}

/// A stream whose producer died with the server, and that nobody may close any more.
#[tokio::test]
async fn orphans_that_are_over_do_not_keep_a_server_from_starting() {
    let mut scene = Scene::new().await;
    for name in ["hidden", "expired", "deleted", "open"] {
        scene.create(NewStream { tied: true, ..idle(name) }).await.unwrap();
    }
    scene
        .create(NewStream { lifetime: Some(Lifetime::Unlimited), ..fork("b", "hidden") })
        .await
        .unwrap();
    scene.flush().await;
    scene.delete("hidden").await.unwrap();
    scene.delete("deleted").await.unwrap();
    for flush in [false, true] {
        if flush {
            scene.flush().await;
            scene.clock.advance_ms(SECS * 2000);
        }
        scene.restart().await;
        assert_eq!(scene.read("hidden").await, Err(StreamError::Hidden));
    }
    assert_eq!(scene.read("expired").await, Err(StreamError::NotFound));
}

/// A cascade gives back the room that it took, not more.
#[tokio::test]
async fn a_cascade_takes_the_room_that_it_gives_back() {
    let mut scene = Scene::new().await;
    scene.create(new("s0", Lifetime::Unlimited)).await.unwrap();
    for n in 1..20 {
        scene.create(fork(&format!("s{n}"), &format!("s{}", n - 1))).await.unwrap();
        scene.delete(&format!("s{}", n - 1)).await.unwrap();
    }
    scene.delete("s19").await.unwrap();
    scene.flush().await;
    assert_eq!(scene.store.count(), 0);
    let budget = scene.world.budget.clone();
    assert!(futures::poll!(pin!(budget.take(64 << 20))).is_ready());
    assert!(futures::poll!(pin!(budget.take((64 << 20) + 1))).is_pending());
}

#[tokio::test]
async fn forks_have_a_depth_and_streams_a_size() {
    let mut scene = Scene::new().await;
    scene.create(new("s0", Lifetime::Unlimited)).await.unwrap();
    let depth = messages::limits::FORK_DEPTH_MAX;
    for n in 1..depth {
        scene.create(fork(&format!("s{n}"), &format!("s{}", n - 1))).await.unwrap();
    }
    let deepest = format!("s{}", depth - 1);
    assert_eq!(scene.create(fork("x", &deepest)).await.err(), Some(StreamError::ForkTooDeep));
    assert_eq!(scene.read(&deepest).await, Ok(vec![]));
    scene.flush().await;
    scene.restart().await;
    assert_eq!(scene.read(&deepest).await, Ok(vec![]));
}

/// Nothing is written of a stream whose creation is not durable.
#[tokio::test]
async fn what_is_not_durable_is_not_touched() {
    let mut scene = Scene::new().await;
    let ms = scene.clock.now_ms() + 1;
    scene.create(new("a", Lifetime::Until { ms })).await.unwrap();
    scene.flush().await;
    scene.clock.advance_ms(1);
    let streams = scene.streams();
    let mut creating = Box::pin(streams.ensure(idle("a")));
    assert!(futures::poll!(creating.as_mut()).is_pending());
    assert!(scene.world.committer.step().unwrap(), "its end");
    assert!(futures::poll!(creating.as_mut()).is_pending(), "its next beginning is on its way");
    scene.clock.advance_ms(1000);
    let mut reaping = Box::pin(streams.reap());
    let _ = futures::poll!(reaping.as_mut());
    scene.world.flusher.flush().await.expect("nothing is in the way");
    assert!(scene.store.row("a").is_none());
    drop((creating, reaping));
    while scene.world.committer.step().unwrap() {}
    scene.flush().await;
    assert!(scene.store.row("a").is_some());
    let close = Addition::close(CloseReason::Finished);
    let channel = scene.find("a").await.unwrap();
    let append = async move { streams.append(&channel, close).await };
    scene.world.drive(append).await.unwrap().unwrap();
}
