//! A seeded simulation of crashes: random work, the power or the process goes at any operation of
//! the disk, and what comes back is held against everything that was promised. `CRASH_SEEDS=1000`
//! runs more seeds, `CRASH_SEED=7` runs one again.
//!
//! What was promised is what the journal has taken, told by [`Ledger`]. After a crash everything
//! must be as the ledger says, with the batch that was cut off or without it, never with a part.

mod operations;

use super::{
    ledger::{Entry, Ledger},
    memory_store::{Fault, MemoryStore},
    random::Random,
    world::{Machine, World},
};
use messages::{
    admission::Over,
    clock::Clock,
    model::{Change, Lifetime, Offset, StreamId},
    stream::StreamError,
};
use operations::{InFlight, Stamped};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
};

const BOOTS: usize = 6;
const STEPS: usize = 120;
const NAMES: usize = 5;
const BUDGET_BYTES: usize = 64 << 20;

struct Simulation {
    random: Random,
    machine: Machine,
    store: Arc<MemoryStore>,
    ledger: Ledger,
    /// Counts whatever has to be told apart.
    number: u64,
    /// What producers have sent, with the answer that they got.
    sent: BTreeMap<Stamped, (String, Option<Offset>)>,
    /// Streams that somebody wanted to delete.
    unwanted: BTreeSet<String>,
    /// When a stream was certainly used.
    used_ms: BTreeMap<StreamId, u64>,
    /// Records are large: a flush takes several steps.
    large: bool,
}

#[tokio::test]
async fn nothing_promised_is_ever_lost() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("CRASH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("CRASH_SEEDS").unwrap_or(200),
    };
    let count = seeds.end - seeds.start;
    for seed in seeds {
        eprintln!("CRASH_SEED={seed}");
        Simulation::new(seed).run().await;
    }
    println!("{count} seeds, {BOOTS} starts each");
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let barrier = !random.one_in(3);
        let large = random.one_in(40);
        let store = Arc::<MemoryStore>::default();
        Self {
            random,
            machine: Machine { barrier, ..Machine::new(store.clone()) },
            store,
            ledger: Ledger::default(),
            number: 0,
            sent: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            used_ms: BTreeMap::new(),
            large,
        }
    }

    async fn run(&mut self) {
        for _ in 0..BOOTS {
            self.machine.window_bytes = self.random.below(3) * 300;
            let start = World::start(&self.machine).await;
            let mut world = start.expect("a crash never damages the journal");
            self.settle_cut_batch(&world);
            self.sync();
            let is_orphan =
                |entry: &Entry| entry.over.is_none() && entry.closed.is_none() && entry.tied;
            assert!(!self.ledger.streams.values().any(is_orphan), "an orphan is open");
            self.check_everything(&mut world).await.expect("the disk is well");
            let in_flight = self.work(&mut world).await;
            // Nobody waits any more when the process is gone.
            drop((in_flight, world));
            self.sync();
            if self.machine.barrier && self.random.one_in(2) {
                self.machine.disk.restart_after_power_cut(&mut self.random);
            } else {
                self.machine.disk.restart_after_kill();
            }
        }
    }

    /// A batch that was cut off is in the journal or not, but never in part.
    fn settle_cut_batch(&mut self, world: &World) {
        let Some(cut) = self.machine.log.lock().expect("sound").failed.take() else {
            return;
        };
        if world.replayed.ends_with(&cut) {
            self.apply(&cut);
            return;
        }
        let is_cut = |(id, change): &(StreamId, Change)| cut.contains(&(*id, change.clone()));
        assert!(!world.replayed.iter().any(is_cut), "a part of a batch came back");
    }

    /// Takes note of what the journal has.
    fn sync(&mut self) {
        let committed = std::mem::take(&mut self.machine.log.lock().expect("sound").committed);
        committed.iter().for_each(|batch| self.apply(batch));
    }

    fn apply(&mut self, batch: &[(StreamId, Change)]) {
        for (at, (id, change)) in batch.iter().enumerate() {
            match change {
                // A fork has the type of its source.
                Change::Create(create) if create.fork.is_none() => {
                    let number = create.content_type.split_once("; n=").map(|(_, number)| number);
                    let is_first = |number| holds_first(&batch[at + 1..], *id, number);
                    assert!(number.is_none_or(is_first), "created without its first content");
                }
                Change::Delete(_) => self.check_deletion(*id),
                Change::Create(_) | Change::Append(_) => {}
            }
            self.ledger.apply(*id, change);
        }
    }

    /// Nothing goes away that nobody wanted to go and whose time is not over.
    fn check_deletion(&self, id: StreamId) {
        let entry = &self.ledger.streams[&id];
        if entry.over.is_some() || self.unwanted.contains(&entry.name) {
            return;
        }
        let used_ms = self.used_ms.get(&id).copied().unwrap_or(0);
        let expires_ms = entry.lifetime.expires_ms(used_ms);
        let now_ms = self.machine.clock.now_ms();
        assert!(expires_ms.is_some_and(|ms| ms <= now_ms), "{} went too early", entry.name);
    }

    /// Everything is as the ledger says, when nothing is on its way.
    async fn check_everything(&mut self, world: &mut World) -> anyhow::Result<()> {
        for number in 0..NAMES {
            let name = format!("s{number}");
            self.read(world, &name, 0).await?;
            let Some((id, entry)) = self.ledger.life(&name) else {
                continue;
            };
            let streams = world.streams.clone();
            let parsed = name.parse().expect("valid");
            let found = world.drive(async move { streams.find(&parsed).await }).await?;
            if let Err(error) = &found {
                assert_eq!((*error, entry.over), (StreamError::Hidden, Some(Over::Hidden)));
            }
            if let Ok(channel) = found {
                assert_eq!(channel.id(), id);
                let state = channel.writer();
                assert_eq!((state.tail, state.closed), (entry.tail(), entry.closed), "{name}");
                assert_eq!(state.over, entry.over, "{name}");
                assert_eq!(state.forks, self.ledger.forks(id), "{name}: forks");
                let writers = state.writers.as_deref().cloned().unwrap_or_default();
                assert_eq!(writers, entry.writers, "{name}");
            }
        }
        Ok(())
    }

    /// A reader gets what the ledger has, all of it and nothing else.
    async fn read(&mut self, world: &mut World, name: &str, position: usize) -> anyhow::Result<()> {
        let read = loop {
            match world.read(name, position as u64).await? {
                Err(StreamError::Replaced) => {}
                read => break read,
            }
        };
        self.sync();
        let life = self.ledger.life(name).map(|(_, entry)| entry);
        match (life, read) {
            (None, Err(StreamError::NotFound)) => {}
            (Some(Entry { over: Some(Over::Hidden), .. }), Err(StreamError::Hidden)) => {}
            (Some(entry), Ok((bytes, ended))) => {
                assert_eq!(entry.over, None, "{name} is over and was read");
                assert!(bytes == entry.content[position..], "{name}: wrong bytes");
                assert_eq!(ended, entry.closed.is_some(), "{name}");
            }
            (Some(entry), Err(StreamError::BeyondTail { tail })) => {
                assert_eq!(tail, entry.tail(), "{name}");
                assert!(position as u64 > tail.bytes, "{name}");
            }
            // Of what was on its way when the journal failed nothing can be said.
            (_, Err(StreamError::JournalFailed)) => anyhow::bail!("the journal has failed"),
            (Some(entry), Err(StreamError::NotFound))
                if entry.lifetime != Lifetime::Unlimited && world.commits.trouble().is_some() =>
            {
                anyhow::bail!("the journal does not take its end");
            }
            (life, read) => {
                let read = read.map(|(bytes, ended)| (bytes.len(), ended));
                panic!("{name}: {read:?}, but it is {:?}", life.map(|entry| entry.over));
            }
        }
        Ok(())
    }

    async fn work(&mut self, world: &mut World) -> Vec<InFlight> {
        let mut in_flight = Vec::new();
        if self.random.one_in(2) {
            self.machine.disk.cut_power_after(self.random.below(60));
        }
        for _ in 0..self.random.below(STEPS) {
            let done = match self.random.below(24) {
                0..=5 => self.append(world, &mut in_flight).await,
                6..=7 => self.append_by(world, &mut in_flight).await,
                8 => self.begin(world, &mut in_flight).await,
                9..=10 => self.ensure(world, &mut in_flight).await,
                11 => self.delete(world, &mut in_flight).await,
                12..=15 => world.committer.step().map(drop).map_err(Into::into),
                16..=17 => {
                    self.flush(world).await;
                    Ok(())
                }
                18..=20 => {
                    let name = format!("s{}", self.random.below(NAMES));
                    let end = self.ledger.life(&name).map_or(0, |(_, entry)| entry.content.len());
                    let position = self.random.below(end + 2);
                    self.read(world, &name, position).await
                }
                21 => self.time(world).await,
                _ => {
                    if !in_flight.is_empty() && self.random.one_in(3) {
                        // A client goes away: what it wants happens or not, as a whole.
                        in_flight.swap_remove(self.random.below(in_flight.len()));
                    }
                    Ok(())
                }
            };
            if done.is_err() {
                return in_flight;
            }
            self.collect(&mut in_flight).await;
        }
        if self.random.one_in(3) {
            // A failure here is a crash like any other.
            let _ = self.store_everything(world, &mut in_flight).await;
        }
        in_flight
    }

    /// Time passes, and whoever looks after it does so.
    async fn time(&mut self, world: &mut World) -> anyhow::Result<()> {
        let long = self.random.one_in(4);
        self.machine.clock.advance_ms(if long { 31_000 } else { self.random.below(4000) as u64 });
        if self.random.one_in(2) {
            world.streams.sweep();
        }
        if self.random.one_in(2) {
            let streams = world.streams.clone();
            let reaped = world.drive(async move { streams.reap().await }).await?;
            assert_ne!(reaped, Ok(true), "there are not so many");
        }
        Ok(())
    }

    async fn flush(&mut self, world: &mut World) {
        match self.random.below(8) {
            0 => self.store.fail_next_flush(Fault::Refused),
            1 => self.store.fail_next_flush(Fault::AnswerLost),
            _ => {}
        }
        // Whether it succeeds or not, nothing may change for readers and nothing may be lost.
        let _ = self.flush_beside_commits(world).await;
    }

    async fn flush_beside_commits(
        &mut self,
        world: &mut World,
    ) -> Result<(), messages::store::StoreError> {
        let mut flush = pin!(world.flusher.flush());
        loop {
            if let std::task::Poll::Ready(result) = futures::poll!(flush.as_mut()) {
                return result;
            }
            // A journal that fails here is noticed by the next step.
            let _ = world.committer.step();
        }
    }

    /// A store that is well again takes everything, whatever went wrong before, and then the budget
    /// has everything back and not more.
    async fn store_everything(
        &mut self,
        world: &mut World,
        in_flight: &mut Vec<InFlight>,
    ) -> anyhow::Result<()> {
        while world.committer.step()? {}
        self.collect(in_flight).await;
        while world.committer.step()? {}
        let first = self.flush_beside_commits(world).await;
        let second = self.flush_beside_commits(world).await;
        assert!(second.is_ok(), "the store refuses for ever: {first:?}, {second:?}");
        anyhow::ensure!(world.commits.trouble().is_none(), "the journal has failed");
        self.check_everything(world).await?;
        while world.committer.step()? {}
        self.flush_beside_commits(world).await?;
        assert!(world.commits.take_dirty().is_empty(), "flushing does not end");
        in_flight.clear();
        let all = futures::poll!(pin!(world.budget.take(BUDGET_BYTES)));
        assert!(all.is_ready(), "something that was taken is never given back");
        drop(all);
        let more = futures::poll!(pin!(world.budget.take(BUDGET_BYTES + 1)));
        assert!(more.is_pending(), "more was given back than taken");
        Ok(())
    }
}

/// Whether the first of these changes adds the text of this number to the stream.
fn holds_first(changes: &[(StreamId, Change)], id: StreamId, number: &str) -> bool {
    let Some((other, Change::Append(append))) = changes.first() else {
        return false;
    };
    *other == id && append.chunk.body.starts_with(format!("\"{number}:").as_bytes())
}

/// How long streams of the simulation live.
fn lifetime(random: &mut Random, now_ms: u64) -> Option<Lifetime> {
    match random.below(6) {
        0 => Some(Lifetime::Idle { secs: 1 + random.below(20) as u64 }),
        1 => Some(Lifetime::Until { ms: now_ms + random.below(20_000) as u64 }),
        2 => Some(Lifetime::Unlimited),
        _ => None,
    }
}
